/*
 * forward: what making and changing a bridge needs of the data path.
 */
#ifndef FORWARD_H
#define FORWARD_H

#include "bridge.h"

/* Counts for a port. */
#define COUNT(port, member, n) ((port)->traffic.member += (n))

/* --- the path itself (forward.c) ------------------------------------------ */

/* Frames can be written to it: it is there, and not paused by hand. */
static inline bool
port_open(const struct port *port)
{
	return port->link->up && !port->link->unwritable &&
	    !port->node->endpoint->paused;
}
/* Cuts what has come in into frames and forwards them. */
void port_input(struct port *port);
/* The same when the line has been silent, or what is held has grown too old. */
void port_silent(struct port *port);
void port_timeout(struct port *port);
/* Writes what waits, as far as it goes. */
void port_flush(struct port *port);
/* The part of a frame that the bufferevent held has been written. */
void port_in_flight_done(struct port *port);
/* To every port of a node, as if a route had brought it. */
void node_send_frame(struct node *node, const struct queued *q);
/* The same to one port alone. */
void port_send(struct port *port, const struct queued *q);

/* --- counters (traffic.c, loss.c) -------------------------- */

/* Keeps a copy of the frame that is being written; and returns that frame. */
void in_flight_keep(struct in_flight *h, const struct queued *q);
struct queued in_flight_queued(const struct in_flight *h);
/* Frees what it has: no frame is being written. */
void in_flight_clear(struct in_flight *h);
/* A frame of len payload bytes for the port was dropped: counts and logs it. */
void port_drop(struct port *port, enum drop_reason reason, size_t len);
/* The same with the frame that is being written. */
void port_drop_in_flight(struct port *port, enum drop_reason reason);
/*
 * n frames for a node, the first one of that length, were dropped and counted; or len bytes
 * of its input were discarded and counted.  At log level debug this is logged, and once a
 * minute the number since then.  (loss.c)
 */
void loss_dropped(
    struct node *node, enum drop_reason reason, uint64_t n, size_t len);
void loss_discarded(struct node *node, enum bad_reason reason, size_t len);
/* Logs how many there were since the last call; returns whether there were any. */
bool losses_count(struct bridge *b);
void losses_free(struct bridge *b);

/* Frees the table of the latest messages in the port's queue: routes have changed, or the
 * port is being freed.  (latest.c) */
void latest_forget(struct port *port);

/* Whether somebody is told of the frames that pass. */
static inline bool
is_watched(const struct port *port)
{
	return !TAILQ_EMPTY(&port->node->bridge->taps);
}
/* A frame passes, to the endpoints of a list with commas, or "-".  (tap.c) */
void taps_tell(const struct port *from, const char *to, const uint8_t *payload,
    size_t len);

/* --- positions of replies in pieces (cursor.c) -------------------- */

/* The port is about to be removed from its node. */
void cursors_leave_port(const struct bridge *b, const struct port *port);
/*
 * Nodes and routes are about to be replaced.  Each table says, for a cursor that has
 * passed so many of the old ones, how many of the new ones that are.
 */
void cursors_change(const struct bridge *b, const unsigned *node_passed,
    const unsigned *route_passed);

/* --- nodes (bridge.c) ---------------------------------------------- */

/* Takes the conf over, unless it fails. */
struct node *node_new(struct bridge *b, struct endpoint_conf *conf);
/* It must not be in the bridge any more. */
void node_free(struct node *node);

/* --- ports come and go (events.c) --------------------------------- */

/* What the endpoints tell. */
extern const struct endpoint_owner bridge_owner;
/* A port of the node on that link.  NULL: out of memory. */
struct port *port_new(struct node *node, struct link *link);
/* What waits is kept for the next process, under the name that the link has now. */
void port_keep_queue(struct port *port);
/* Frames that wait carry other numbers of routes: number[] of the n there were, or
 * ROUTE_NONE. */
void port_renumber(struct port *port, const unsigned *number, unsigned n);
/* What waits in it is dropped and counted. */
void port_drop_waiting(struct port *port);
/* The same, and it is freed. NULL is fine. */
void port_free(struct port *port);

/* --- what is read, turns and times (port.c) ----------------------- */

/* Whether its queue, once full, pauses its sources. */
static inline bool
port_blocks(const struct port *port)
{
	return port->conf->overflow == OVERFLOW_BLOCK && port_open(port) &&
	    !port->stalled && !port->closing;
}
/* What every destination of a source can take; *ret_by is the one with the least
 * room, NULL when all have plenty. */
size_t port_room(const struct port *from, struct port **ret_by);
/* Decides from the state what is read. */
void port_update(struct port *port);
/* A source has used its turn for len bytes. */
void port_turn_end(struct port *from, size_t len);
/* The source no longer waits for another port. */
void port_stop_waiting(struct port *from);
/* Gives the port's waiters a turn, or ends their waiting if it does not block any more. */
void port_release(struct port *port);
/* A frame of len bytes was written at time now: when the next one may be. */
void port_gap(struct port *port, uint64_t now, size_t len);
/* After a turn at time now: how old the rest is; consumed: some of the bytes left. */
void port_age(struct port *port, uint64_t now, bool consumed);
/* How long until the receiver is checked again. */
uint64_t port_look_time(const struct port *port);
/* Sets the timer to the earliest time.  One that was set to an earlier time stays, and may
 * find nothing due. */
void port_arm(struct port *port);

/* --- receivers that take nothing (stall.c) ------------------------ */

void port_stall_due(struct port *port, uint64_t now);
/* The peer has shut down its sending direction.  The caller sets the timer. */
void port_ended(struct port *port, uint64_t now);
void port_linger_due(struct port *port, uint64_t now);
/* Closes a peer that has ended once nothing is queued for it. */
void port_closing_done(struct port *port);

#endif
