/*
 * ack: frames of a port whose link confirms what it delivers (endpoint_ops.confirms).
 *
 * Such frames always go through the queue.  The link takes some of them, which stay at the head
 * of the queue until it reports that they are delivered, or its connection is lost: then they
 * are submitted again.  They are neither dropped for want of room nor replaced by newer frames.
 */
#ifndef ACK_H
#define ACK_H

#include "forward.h"

/* gap_at of such a port: nothing is written to it directly. */
#define GAP_NEVER UINT64_MAX

struct ack {
	unsigned
	    n; /* frames at the head of the queue that the link has taken */
	unsigned size;	  /* of id */
	unsigned *id;	  /* the link's, in the order of the queue */
	uint64_t next;	  /* the place behind the last of them... */
	unsigned rebuilt; /* ...for this value of queue.rebuilt */
	bool triggered;	  /* a submit is due */
	bool held; /* nothing is submitted: the connection will be closed */
};

/* -ENOMEM. */
int ack_new(struct port *port);
void ack_free(struct port *port);
/* The queue is emptied: what the link reports about frames that it has taken is ignored. */
void ack_forget(struct port *port);
/* The connection is lost: unconfirmed frames are submitted again after the next one. */
void ack_lost(struct port *port);
/*
 * Gives a frame of the batch for that port the next origin.  It is stored in *origin, of
 * ORIGIN_SIZE_MAX bytes.
 */
void ack_identify(const struct port *port, const struct batch *batch,
    struct queued *q, struct origin *origin);
/* A frame was queued. */
void ack_queued(struct port *port);
/* Whether the link has taken the frame in that place. */
bool ack_has(const struct port *port, uint64_t place);
/*
 * The frame that is dropped first, of any port: the oldest one, which its link has not taken.
 * False: there is none.
 */
bool port_oldest(const struct port *port, struct queued *ret);
/* The position for queue_next() behind the frames that the link has taken. */
size_t ack_position(const struct port *port);
void ack_label(const struct port *port, char *buf, size_t size);

/* --- the output (submit.c) -------------------------------------------------- */

/* Submits queued frames, as many as the link takes. */
void ack_submit(struct port *port);
/* The link reports a frame as delivered, or refused (code). */
void ack_delivered(struct port *port, unsigned id, int code);

/* --- all of a bridge (acks.c) ----------------------------------------------- */

/* Whether frames of the bridge are not confirmed; none is submitted any more. */
bool acks_await(const struct bridge *b);
/* They are submitted again. */
void acks_resume(const struct bridge *b);
/*
 * Closes the endpoints that are not connected, or whose frames are all confirmed, or all; what
 * they have received is forwarded before.
 */
void acks_stop(const struct bridge *b, bool all);
/* Closes their connections, in a deferred step. */
void acks_close(const struct bridge *b, const char *why);

#endif
