/*
 * snapshot: what the process before had, as it was read, for restore.c.
 *
 * Names, frames and bytes stay where they were read from.
 */
#ifndef SNAPSHOT_H
#define SNAPSHOT_H

#include "restore.h"

#define NONE UINT32_MAX

/* A port as it was. */
struct old_port {
	struct span name, address;
	uint64_t since_ns, rx_bytes, tx_bytes;
	struct traffic traffic;
	bool discarding;
	uint32_t state[2];
	struct span held; /* read, and not decoded */
	struct span rest; /* handed over, and not written */
	struct in_flight in_flight;
	struct span payload, wire; /* of that frame */
	size_t nframes;
	struct unpack frames;
	bool taken;
	uint8_t *data; /* its own, NULL: all lies in a file */
};

struct old_node {
	struct span name, type;
	bool paused;
	uint64_t opens, losses, refused;
	unsigned next_link;
	struct traffic traffic;
	bool half;	       /* a frame is partially written... */
	struct device_id line; /* ...to this line */
	size_t nports;
	struct old_port *port;
};

struct old_route {
	struct span name, text;
	uint64_t counter[8];
	uint64_t too_long;
	uint64_t total, max_ns;
	size_t nbuckets;
	struct unpack buckets;
	unsigned number; /* now, NONE: it is no more */
};

struct snapshot {
	size_t nroutes, nnodes, nrates;
	struct old_route *route;
	struct old_node *node;
	struct unpack rates;
	struct old_exchanges *exchanges; /* NULL: there are none */
};

/* What an endpoint with that name had, NULL: there was none. */
struct old_node *snapshot_node(const struct snapshot *h, const char *name);

#endif
