/*
 * restore: what one process leaves to the next: queues, frames that are partially
 * written, bytes that are not a frame yet, counters.
 */
#ifndef RESTORE_H
#define RESTORE_H

#include "bridge.h"
#include "pack.h"

struct snapshot;

/* Writes down what the bridge has.  Nothing of it is changed, so that the bridge can
 * go on; what happens to it from now on is not in there. */
void bridge_save(const struct bridge *b, struct pack *p);
/*
 * Reads that; old: in the format of versions that only saved payloads.  The bytes remain
 * the caller's, and must stay valid until the snapshot is freed.  -EINVAL: they are not
 * what bridge_save() writes; -ENOMEM.
 */
int snapshot_read(
    const uint8_t *data, size_t len, bool old, struct snapshot **ret);
/* An empty snapshot; NULL: out of memory. */
struct snapshot *snapshot_new(void);
/* Adds a copy of the frames that waited for the endpoint's port with that name.  -EINVAL:
 * one of them is too long to be a frame; -ENOMEM. */
int snapshot_add_queue(struct snapshot *h, const struct endpoint_conf *conf,
    const char *port_name, const struct queue *queue);
/* Also counts, as dropped, the frames for connections that are no more.  NULL is
 * fine. */
void snapshot_free(struct snapshot *h, struct bridge *b);

/* --- a frame that waits (saved_frame.c) --------------------------------- */

void frame_save(const struct queued *q, struct pack *p);
/* The number of frames, and the frames. */
void queue_save(const struct queue *queue, struct pack *p);
/* The bytes stay where they are. */
void frame_read(struct unpack *u, struct queued *q);
/* Only the frame as it was received, which versions that only saved payloads have not. */
void frame_read_wire(struct unpack *u, struct queued *q);
#define FRAME_SIZE_MIN (3 * sizeof(uint64_t)) /* of any version */

/* --- for the bridge ------------------------------------------------------ */

/* What waits for the link of a port. */
struct restored_link {
	uint64_t since_ns;
	bool discarding;
	uint32_t state[2];
	bool half;	       /* a frame is partially written... */
	struct device_id line; /* ...to this line */
	size_t len;	       /* of the rest */
	uint8_t rest[];
};

/* The counters of a route, in the order of the file. */
#define ROUTE_COUNTERS(route)                                                 \
	{                                                                     \
		&(route)->frames, &(route)->bytes, &(route)->rejected,        \
		    &(route)->limited, &(route)->answers, &(route)->timeouts, \
		    &(route)->late, &(route)->foreign                         \
	}

/* The bridge, not at work yet, gets what was left for its nodes and routes. */
void bridge_restore(struct bridge *b);
/*
 * The port's link has come up: goes on where the process before was, if the link is
 * that process's own; else what was on its way is lost and counted.
 */
void port_restore(struct port *port);

#endif
