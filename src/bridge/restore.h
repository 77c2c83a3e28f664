/*
 * restore: hands state over from one process to the next: queues, frames that are
 * partially written, bytes that are not a frame yet, counters.
 */
#ifndef RESTORE_H
#define RESTORE_H

#include "bridge.h"
#include "pack.h"

struct snapshot;

/* Versions of the format of the state file. */
enum pack_version {
	PACK_PAYLOADS = 2, /* frames have a payload only */
	PACK_WIRE = 3,	   /* frames as received */
	PACK_EXCHANGES =
	    4,	      /* exchanges with several requests, and their counters */
	PACK_FILTERS, /* filters of links, and lines that clients control */
	PACK_PERMISSIONS, /* who may write */
	PACK_HISTORY,	  /* histories of endpoints */
	/* identities of frames, frames in spools, and which endpoints a route uses */
	PACK_ORIGINS
};
#define PACK_VERSION PACK_ORIGINS

/*
 * Saves the state of the bridge, which is not changed and can continue to run; later
 * changes are not included.
 */
void bridge_save(const struct bridge *b, struct pack *p);
/*
 * Reads a snapshot in a version of the format (enum pack_version).  The caller keeps the
 * bytes, which must stay valid until the snapshot is freed.  -EINVAL: they were not
 * written by bridge_save(); -ENOMEM.
 */
int snapshot_read(
    const uint8_t *data, size_t len, int version, struct snapshot **ret);
/* An empty snapshot; NULL: out of memory. */
struct snapshot *snapshot_new(void);
/*
 * Adds a copy of the frames queued for the endpoint's port with that name.  -EINVAL: one
 * of them is too long to be a frame; -ENOMEM.
 */
int snapshot_add_queue(struct snapshot *h, const struct endpoint_conf *conf,
    const char *port_name, const struct queue *queue);
/*
 * Also counts the frames of connections that were not restored as dropped.  h may be
 * NULL.
 */
void snapshot_free(struct snapshot *h, struct bridge *b);

/* --- a queued frame (saved_frame.c) --------------------------------------- */

void frame_save(const struct queued *q, struct pack *p);
/* The number of frames, and the frames. */
void queue_save(const struct queue *queue, struct pack *p);
/* The frame points to the bytes that were read. */
void frame_read(struct unpack *u, struct queued *q);
/*
 * Reads only the frame as received, which versions that only saved payloads do not
 * include.
 */
void frame_read_wire(struct unpack *u, struct queued *q);
/* The origin that was saved; it is valid until the next call.  False: it is not one. */
bool frame_origin(const uint8_t *at, size_t len, struct queued *q);
#define FRAME_SIZE_MIN (3 * sizeof(uint64_t)) /* in any version */

/* --- for the bridge ------------------------------------------------------- */

/* State that is restored when the link of a port is up. */
struct restored_link {
	uint64_t since_ns;
	uint64_t heard_ns; /* 0: not known */
	bool discarding;
	uint32_t state[2];
	bool half;	       /* a frame is partially written... */
	struct device_id line; /* ...to this line */
	size_t len;	       /* length of rest */
	size_t filter_len;
	uint8_t rest[]; /* followed by the state of the filter */
};

/* The counters of a route, in the order of the file. */
#define ROUTE_COUNTERS(route)                                          \
	{                                                              \
		&(route)->frames, &(route)->bytes, &(route)->rejected, \
		    &(route)->limited                                  \
	}

/* Restores the state of the nodes and routes of a bridge that is not in use yet. */
void bridge_restore(struct bridge *b);
/*
 * The port's link is up: continues where the previous process was, if the link was handed
 * over by that process; otherwise partial frames are lost and counted.
 */
void port_restore(struct port *port);

#endif
