/*
 * snapshot: the state of the previous process, as it was read, for restore.c.
 *
 * Names, frames and bytes point into the memory they were read from.
 */
#ifndef SNAPSHOT_H
#define SNAPSHOT_H

#include "restore.h"

#define NONE UINT32_MAX

/* The saved state of a port. */
struct old_port {
	struct span name, address;
	uint64_t since_ns, rx_bytes, tx_bytes;
	struct traffic traffic;
	bool discarding;
	uint32_t state[2];
	struct span held; /* read, but not decoded */
	struct span rest; /* passed to the bufferevent, but not written */
	struct in_flight in_flight;
	struct span payload, wire; /* of in_flight */
	size_t nframes;
	struct unpack frames;
	struct span filter;	    /* see link_filter_save() */
	size_t echo_matched, necho; /* see port_echo_expected() */
	struct unpack echo;
	uint64_t heard_ns; /* 0: not known */
	size_t refused_len;
	bool writer;	  /* it has the right to write... */
	uint64_t used_ns; /* ...and used it at that time */
	bool taken;
	uint8_t *data; /* allocated for this port; NULL: in the file */
};

struct old_node {
	struct span name, type;
	bool paused;
	uint64_t opens, losses, refused;
	unsigned next_link;
	struct traffic traffic;
	bool half;	       /* a frame is partially written... */
	struct device_id line; /* ...to this line */
	struct span line_use;  /* see line_use_save() */
	/* See history_save(). */
	struct span history;
	size_t nhistory;
	struct unpack history_frames;
	uint64_t spooled; /* frames in its spool */
	size_t nports;
	struct old_port *port;
};

struct old_histogram {
	uint64_t total, max_ns;
	size_t nbuckets;
	struct unpack buckets;
};

struct old_route {
	struct span name, text;
	uint64_t counter[4];
	uint64_t too_long;
	struct exchange_counters counters; /* of an exchange */
	struct old_histogram latency, bus_time;
	struct span used; /* the endpoint that it uses */
	uint64_t switches, standby;
	unsigned number; /* new number, NONE: it no longer exists */
};

struct snapshot {
	size_t nroutes, nnodes, nrates;
	struct old_route *route;
	struct old_node *node;
	struct unpack rates;
	struct old_exchanges *exchanges; /* NULL: there are none */
};

/* The saved state of the endpoint with that name, NULL: there is none. */
struct old_node *snapshot_node(const struct snapshot *h, const char *name);

#endif
