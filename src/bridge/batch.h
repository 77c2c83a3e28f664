/*
 * batch: the frames of one turn, on their way through.
 *
 * Items point into the input, or into a queue; nothing is copied.  For each
 * destination some of them are picked, and encoded once into the shared buffer.
 */
#ifndef BATCH_H
#define BATCH_H

#include "forward.h"

#define BATCH_FRAMES 1024
/* The same while somebody watches, which takes longer; a turn has one such batch. */
#define WATCHED_FRAMES 128
#define TURN_BYTES (60 * 1024)
/* The bytes that may be examined in a turn; bytes whose checksum was wrong count again. */
#define TURN_WORK (4 * (size_t)TURN_BYTES)
/* A rest of the last turn up to this is copied in front of what is read. */
#define SMALL_REST 4096
#define NO_ROUTE UINT32_MAX
#define NO_CLASS UINT32_MAX

struct item {
	const uint8_t *payload;
	size_t len;
	const uint8_t *wire; /* as received; NULL: to be encoded */
	size_t wire_len;
	uint64_t since_ns;
	unsigned route;
};

struct batch {
	struct port *from; /* NULL: the control port */
	unsigned class;	   /* that of its framing, for frames as received */
	unsigned n;
	uint64_t payload, wire; /* bytes of all of them */
	/* They are contiguous as received; end is valid. */
	bool in_row;
	struct item item[BATCH_FRAMES];
	/* The share of the destination at hand, and its encoding. */
	bool all; /* every one, for one route, come at one time */
	unsigned npick;
	unsigned pick[BATCH_FRAMES];
	const uint8_t *data;	  /* NULL: not encoded yet */
	size_t end[BATCH_FRAMES]; /* of each picked frame in data */
};

/* The buffers that all ports share, for payloads of up to max_frame bytes to so many
 * nodes. -ENOMEM. */
int bridge_buffers(struct bridge *b, size_t max_frame, unsigned nodes);
/* Starts over; from is NULL for frames that come from no port. */
void batch_start(struct batch *batch, struct port *from);
/* Goes on with that one of its frames alone. */
void batch_only(struct batch *batch, const struct item *item);
/* How many of those picked from i on, up to n, are of one route and came at one time. */
unsigned batch_run(const struct batch *batch, unsigned i, unsigned n);
/* Of the first n that are picked, in bytes. */
uint64_t batch_payload(const struct batch *batch, unsigned n);
/* Adds and picks a frame for a node that was not read just now. */
void batch_add_queued(
    struct batch *batch, const struct queued *frame, const struct node *to);
/* The form in which it is queued for the node. */
struct queued item_queued(
    const struct batch *batch, const struct item *item, const struct node *to);
/*
 * Cuts frames off the front of the bytes until they fill the room, or the decoder has
 * done TURN_WORK; true when there may be more frames in the rest.  What is discarded is
 * counted.
 */
bool batch_cut(struct batch *batch, struct port *from, uint8_t **in,
    size_t *len, size_t room, uint64_t now);
/* framing_silent or framing_timeout. */
typedef enum decode_result batch_end(
    struct decoder *, uint8_t *, size_t, struct decoded *);
/* The same when no more comes, one frame at a time: how many bytes left the input. */
size_t batch_cut_end(struct batch *batch, struct port *from, batch_end *end,
    uint8_t *in, size_t len, uint64_t now);
/* Picks the frames that a route lets through to the target. */
void batch_pick(struct batch *batch, const struct route_target *target);
/*
 * Encodes the picked frames for a node, once for all its ports; those that its
 * framing cannot express are counted and no longer picked.
 */
void batch_encode(struct batch *batch, struct node *to);
/*
 * Fills the batch with what waits for the port, encoded: first the frame that a
 * lost link did not get out, then those of the queue, as many as go into one
 * write.  Those in front that its framing cannot express are dropped.
 */
void batch_fill(struct batch *batch, struct port *port);
/*
 * Puts the frame in the place of one that waits for the port, if its route keeps
 * only the latest of each message and an older one of the same waits.  That one is
 * counted.  Also returns false when there is no room for it and it has not been admitted
 * by the policy of the queue.  *ret_enter: if the frame is queued instead, latest_enter()
 * has to be called after that.  (latest.c)
 */
bool latest_replace(struct port *port, const struct queued *frame,
    bool admitted, bool *ret_enter);
void latest_enter(struct port *port);

#endif
