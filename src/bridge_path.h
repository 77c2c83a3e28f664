/*
 * bridge_path: what making and changing a bridge needs of the data path.
 */
#ifndef BRIDGE_PATH_H
#define BRIDGE_PATH_H

#include "bridge.h"

/* Counts for a port. */
#define COUNT(port, member, n) ((port)->traffic.member += (n))

/* --- the path itself (bridge.c) ------------------------------------------ */

/* Frames can be written to it: it is there, and not paused by hand. */
static inline bool
port_open(const struct port *port)
{
	return port->link->up && !port->link->mute &&
	    !port->node->endpoint->paused;
}
/* What every destination of a source can take; *ret_by is the one with the least
 * room, NULL when all have plenty. */
size_t port_room(const struct port *from, struct port **ret_by);
/* Cuts what has come in into frames and forwards them. */
void port_input(struct port *port);
/* The same when the line has been silent, or what is held has grown too old. */
void port_silent(struct port *port);
void port_timeout(struct port *port);
/* Writes what waits, as far as it goes. */
void port_flush(struct port *port);
/* What the bufferevent had of a frame is written. */
void port_handed_out(struct port *port);
/* Makes the frame, of which it gets a copy, the one that is on its way; and what that
 * is. */
void handed_keep(struct handed *h, const struct queued *q);
struct queued handed_queued(const struct handed *h);
void port_drop(struct port *port, enum drop_reason reason, size_t len);
/* To every port of a node, as if a route had brought it. */
void node_send_frame(struct node *node, const struct queued *q);
/* The same to one port alone. */
void port_send(struct port *port, const struct queued *q);

/*
 * Of a node, n frames were dropped and counted, the first one of that length; or so many
 * bytes of input were discarded and counted.  At log level debug it is told, and once a
 * minute how many there were since.  (bridge_loss.c)
 */
void loss_dropped(
    struct node *node, enum drop_reason reason, uint64_t n, size_t len);
void loss_discarded(struct node *node, enum bad_reason reason, size_t len);
/* Tells how many there were since; whether there were any. */
bool losses_count(struct bridge *b);
void losses_free(struct bridge *b);

/* The table of what the port's queue has the latest of is no longer right: routes have
 * changed, or the port ends.  (bridge_latest.c) */
void latest_forget(struct port *port);

/* A frame passes, to the endpoints of a list with commas, or "-".  (bridge_tap.c) */
void taps_tell(const struct port *from, const char *to, const uint8_t *payload,
    size_t len);

/* --- places of replies in pieces (bridge_cursor.c) ----------------------- */

/* The port is about to be taken off its node. */
void cursors_leave_port(const struct bridge *b, const struct port *port);
/* These nodes and routes are about to take the place of the bridge's. */
void cursors_change(const struct bridge *b, struct node *const *node,
    unsigned n, const struct routes *routes);

/* --- the state of ports (bridge_port.c) ---------------------------------- */

/* What the endpoints tell. */
extern const struct endpoint_owner bridge_owner;
/* A port of the node on that link.  NULL: out of memory. */
struct port *port_new(struct node *node, struct link *link);
/* What waits is kept for the next process, under the name that the link has now. */
void port_keep_queue(struct port *port);
/* What waits in it is dropped and counted. */
void port_drop_waiting(struct port *port);
/* The same, and it is freed. NULL is fine. */
void port_free(struct port *port);
/* Decides from the state what is read. */
void port_update(struct port *port);
/* Reads it whatever its destinations can take, until something has come. */
void port_await_input(struct port *port);
/* After a pass of the loop its waiters get their next turns. */
void port_next_turn(struct port *port);
/* A frame of len bytes was written at time now: when the next one may be. */
void port_gap(struct port *port, uint64_t now, size_t len);
/* After a turn at time now: how old the rest is; consumed: some of the bytes left. */
void port_age(struct port *port, uint64_t now, bool consumed);

/* --- receivers that take nothing (bridge_stall.c) ------------------------ */

/* Its queue is full: from now on it is looked at.  The caller sets the timer. */
void port_suspect(struct port *port, uint64_t now);
void port_stall_due(struct port *port, uint64_t now);
/* The peer sends no more.  The caller sets the timer. */
void port_ended(struct port *port, uint64_t now);
void port_linger_due(struct port *port, uint64_t now);
/* Closes a peer that has ended when nothing waits for it any more. */
void port_closing_done(struct port *port);

/* --- sources that wait for room (bridge_waiters.c) ----------------------- */

/* Its queue, once full, holds sources back. */
static inline bool
port_blocks(const struct port *port)
{
	return port->conf->overflow == OVERFLOW_BLOCK && port_open(port) &&
	    !port->stalled && !port->closing;
}

/* What a source may take of the room in the queue of a port that has several. */
size_t waiter_room(const struct port *from, struct port *to, size_t room);
/* The source waits for that port from now on; for none. */
void waiter_join(struct port *from, struct port *to);
void waiter_leave(struct port *from);
/* A source that had a turn took len bytes. */
void waiter_turn_end(struct port *from, size_t len);
/* The port's waiters get a turn, or wait no more if it blocks none now. */
void port_release(struct port *port);

#endif
