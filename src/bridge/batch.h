/*
 * batch: the frames of one turn while they are forwarded.
 *
 * Items point into the input, or into a queue; nothing is copied.  For each destination
 * some of them are picked, and encoded once into the shared buffer.
 */
#ifndef BATCH_H
#define BATCH_H

#include "forward.h"

#define BATCH_FRAMES 1024
/*
 * The limit while there are taps, because frames are then delivered one by one; a turn
 * has one such batch.
 */
#define WATCHED_FRAMES 128
#define TURN_BYTES (60 * 1024)
/* The bytes that may be examined in a turn; bytes whose checksum was wrong count again. */
#define TURN_WORK (4 * (size_t)TURN_BYTES)
/* Up to this many undecoded bytes of the last turn are copied before new input. */
#define SMALL_REST 4096
/* So many bytes of queued frames are encoded at least, before they are written. */
#define FLUSH_MIN (8 * 1024)
#define NO_ROUTE UINT32_MAX
#define NO_CLASS UINT32_MAX

struct item {
	const uint8_t *payload;
	size_t len;
	const uint8_t *wire; /* as received; NULL: to be encoded */
	size_t wire_len;
	uint64_t since_ns;
	unsigned route;
	bool submitted; /* to an exchange */
	unsigned
	    refused_by; /* the exchange that does not permit its function */
	bool answer;	/* to a request of an exchange */
};

struct batch {
	struct port *from; /* NULL: the control port */
	unsigned class; /* the framing class of from, for frames as received */
	unsigned n;
	uint64_t payload, wire; /* bytes of all of them */
	/* The items are contiguous as received; end is valid. */
	bool in_row;
	bool skip_answers; /* those to requests of an exchange are not picked */
	struct item item[BATCH_FRAMES];
	/* The frames for the current destination, and their encoding. */
	bool all; /* all frames, for one route, with one time of receipt */
	unsigned npick, nrejected;
	unsigned pick[BATCH_FRAMES];
	const uint8_t *data;	  /* NULL: not encoded yet */
	size_t end[BATCH_FRAMES]; /* end of each picked frame in data */
};

/*
 * Allocates the buffers that all ports share, for payloads of up to max_frame bytes and
 * this number of nodes.  -ENOMEM.
 */
int bridge_buffers(struct bridge *b, size_t max_frame, unsigned nodes);
/* Empties the batch; from is NULL for frames that come from no port. */
void batch_start(struct batch *batch, struct port *from);
/* Reduces the batch to one of its frames. */
void batch_only(struct batch *batch, const struct item *item);
/*
 * The number of picked frames from i on, up to n, that have the same route and the same
 * time of receipt.
 */
unsigned batch_run(const struct batch *batch, unsigned i, unsigned n);
/* The payload bytes of the first n picked frames. */
uint64_t batch_payload(const struct batch *batch, unsigned n);
/* Adds and picks a frame that comes from a queue or the control port. */
void batch_add_queued(
    struct batch *batch, const struct queued *frame, const struct node *to);
/* The form in which it is queued for the node. */
struct queued item_queued(
    const struct batch *batch, const struct item *item, const struct node *to);
/*
 * Cuts frames off the front of the input until they fill the room, the batch is full, or
 * the decoder has done TURN_WORK; returns true when the rest may contain more frames.
 * Discarded input is counted.
 */
bool batch_cut(struct batch *batch, struct port *from, uint8_t **in,
    size_t *len, size_t room, uint64_t now);
/* framing_silent, framing_timeout or framing_datagram_end. */
typedef enum decode_result batch_end(
    struct decoder *, uint8_t *, size_t, struct decoded *);
/*
 * The same when no more input is expected, one frame at a time.  Returns the number of
 * bytes consumed.
 */
size_t batch_cut_end(struct batch *batch, struct port *from, batch_end *end,
    uint8_t *in, size_t len, uint64_t now);
/*
 * Whether the frames of the batch are discarded because they came without the right to
 * write; they are counted then.  used: the bytes of input that were consumed for it.  Only
 * to be called while port->refused_len is not 0, after a batch of one frame or of
 * refused_len bytes at most.  (refuse.c)
 */
bool port_refuses(struct port *port, struct batch *batch, size_t used);
/* Passes the frames to the failovers and the tables of systems (route_source.hears). */
void batch_hear(const struct batch *batch);
/* Picks the frames that a route lets through to the target. */
void batch_pick(struct batch *batch, const struct route_target *target);
/*
 * Encodes the picked frames for a node, once for all its ports; those that its
 * framing cannot express are counted and no longer picked.
 */
void batch_encode(struct batch *batch, struct node *to);
/*
 * Fills the batch with the encoded frames queued for the port: first the frame that is to
 * be sent again after a lost link, then those of the queue, as many as go into one write,
 * but no more than twice the bytes of the last batch that were written: a full line
 * accepts little at a time, and the rest would be encoded again each time.
 * Frames at the head of the queue that its framing cannot express are dropped.
 */
void batch_fill(struct batch *batch, struct port *port);
/* Encodes one queued frame for its port, to data; returns the length, or -EINVAL, -EMSGSIZE. */
long batch_encode_one(
    struct batch *batch, const struct port *port, const struct queued *frame);
/*
 * Replaces a frame that is queued for the port, if the route keeps only the latest of
 * each message and an older frame of the same message is queued.  The older frame is
 * counted as dropped.  Also returns false when there is no room for the new frame and it
 * has not been admitted by the policy of the queue.  *ret_enter: if the frame is queued
 * instead, latest_enter() has to be called after that.  (latest.c)
 */
bool latest_replace(struct port *port, const struct queued *frame,
    bool admitted, bool *ret_enter);
void latest_enter(struct port *port);

/* --- the parts of the data path (forward.c) -------------------------------- */

/* Delivers the picked frames to every port of a node except the one they came from. */
void node_deliver(struct node *to, struct batch *batch);
/*
 * Writes the encoded frames immediately, as far as the kernel accepts them; a frame that
 * it accepted partially, or the first that it did not accept, is passed to the
 * bufferevent.  Returns the number of frames written or passed on.
 */
unsigned port_write(struct port *port, const struct batch *batch);
/* Queues a frame that cannot be written now; false: it was dropped.  (enqueue.c) */
bool port_queue(
    struct port *port, const struct batch *batch, const struct item *item);
/* Updates counters, latency and progress for frames that were written. */
void port_account(struct port *port, const struct batch *batch, unsigned n);

#endif
