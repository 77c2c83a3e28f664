/*
 * forward: the interface of the data path for the other files of the bridge.
 */
#ifndef FORWARD_H
#define FORWARD_H

#include "bridge.h"

/* Adds to a counter of a port. */
#define COUNT(port, member, n) ((port)->traffic.member += (n))

/* --- the data path (forward.c) -------------------------------------------- */

/*
 * Whether frames can be written to the port: it is up, writable, and its endpoint not
 * paused.
 */
static inline bool
port_open(const struct port *port)
{
	return port->link->up && !port->link->unwritable &&
	    !port->node->endpoint->paused;
}
/* Writes what is configured to be written before the link is closed, once. */
void port_say_last(struct port *port);
/* Whether frames from another port, or NULL, are delivered to the port. */
static inline bool
port_gets(const struct port *port, const struct port *from)
{
	return port != from && !port->link->receive_only;
}
/* Reads input, cuts it into frames and forwards them. */
void port_input(struct port *port);
/*
 * The same for the input that is kept, when the line has been silent, or when
 * frame_timeout has expired.
 */
void port_silent(struct port *port);
void port_timeout(struct port *port);
/*
 * The link is restricted: asks whether its input, of which the first held bytes were there
 * before, may be forwarded.  (refuse.c)
 */
void port_ask(struct port *port, size_t held, size_t len);
/* Writes queued frames, as far as the kernel accepts them. */
void port_flush(struct port *port);
/* The part of a frame that the bufferevent held has been written. */
void port_in_flight_done(struct port *port);
/* Sends a frame to every port of a node, as if a route had delivered it. */
void node_send_frame(struct node *node, const struct queued *q);
/* Sends a frame to one port. */
void port_send(struct port *port, const struct queued *q);

/* --- counters (traffic.c, loss.c) ----------------------------------------- */

/* Keeps a copy of the frame in flight; returns the frame in flight. */
void in_flight_keep(struct in_flight *h, const struct queued *q);
struct queued in_flight_queued(const struct in_flight *h);
/* Frees the copy: no frame is in flight. */
void in_flight_clear(struct in_flight *h);
/*
 * A frame for the port was dropped: counts and logs it, and shows it to the taps; payload:
 * NULL if it is not to be shown.
 */
void port_drop(struct port *port, enum drop_reason reason,
    const uint8_t *payload, size_t len);
/* The same for the frame in flight. */
void port_drop_in_flight(struct port *port, enum drop_reason reason);
/*
 * n frames for a node, the first one of that length, were dropped and counted; or len bytes
 * of its input were discarded and counted.  At log level debug this is logged, and once a
 * minute the number since then.  (loss.c)
 */
void loss_dropped(
    struct node *node, enum drop_reason reason, uint64_t n, size_t len);
void loss_discarded(struct node *node, enum bad_reason reason, size_t len);
/* Logs the numbers of losses since the last call; returns whether there were any. */
bool losses_count(struct bridge *b);
void losses_free(struct bridge *b);

/* Frees the table of the latest messages in the port's queue: routes have changed, or the
 * port is being freed.  (latest.c) */
void latest_forget(struct port *port);

/* Determines what the taps ask for, after one was added or removed.  (tap.c) */
void taps_changed(struct bridge *b);
/* Whether they ask for bytes; a copy of that flag, for speed. */
extern bool taps_see_bytes;
/* Whether any tap asks for these things. */
static inline bool
is_tapped(const struct bridge *b, enum tapped what)
{
	return (b->tapped & what) != 0;
}
/* Whether any tap is notified of forwarded frames. */
static inline bool
is_watched(const struct port *port)
{
	return is_tapped(port->node->bridge, TAPPED_FRAMES);
}
/*
 * The outcome of a frame is collected from tap_begin() to taps_tell() or taps_tell_sent().
 * In between, functions that are passed another payload have no effect.  To be called only
 * while TAPPED_FRAMES is set.
 */
void tap_begin(const uint8_t *payload);
bool tap_is_collecting(const uint8_t *payload);
void tap_sent(const struct port *to, const uint8_t *payload);
void tap_queued(const char *to, const uint8_t *payload);
void tap_rejected(const struct route_target *target, const uint8_t *payload);
void tap_outcome(const uint8_t *payload, const char *fmt, ...) PRINTF(2, 3);
/*
 * Notifies the taps of the frame that was received; to: the names of its destinations, or
 * "".
 */
void taps_tell(const struct port *from, const char *to, const uint8_t *payload,
    size_t len);
/* Notifies them of the frame that a command sent. */
void taps_tell_sent(const struct node *to, const uint8_t *payload, size_t len);
/*
 * A frame is dropped: part of its outcome if that is being collected, otherwise the taps
 * are notified of it.
 */
void taps_drop(const struct port *to, enum drop_reason reason,
    const uint8_t *payload, size_t len);
/* Notifies them of what an exchange does with a frame; from, to: names, or "-". */
void taps_note(struct bridge *b, const char *from, const char *to,
    const struct queued *q, const char *note);
/* Notifies them of discarded input. */
void taps_bad(const struct port *from, enum bad_reason reason,
    const uint8_t *data, size_t len, bool again);
/* Notifies them of losses without their frames. */
void taps_lost(const struct node *node, const char *reason, uint64_t n,
    bool first, bool input);
/* Notifies them of the state of the node's endpoint. */
void taps_state(const struct node *node);
/* Notifies them of bytes; out: they were written. */
void taps_bytes(
    const struct port *port, bool out, const uint8_t *data, size_t len);

/* --- positions of replies in pieces (cursor.c) ---------------------------- */

/* The port is about to be removed from its node. */
void cursors_leave_port(const struct bridge *b, const struct port *port);
/*
 * Nodes and routes are about to be replaced.  Each table maps the number of old objects
 * that a cursor has passed to the number of new ones.
 */
void cursors_change(const struct bridge *b, const unsigned *node_passed,
    const unsigned *route_passed);

/* --- nodes (bridge.c) ----------------------------------------------------- */

/* Takes ownership of conf, unless it fails. */
struct node *node_new(struct bridge *b, struct endpoint_conf *conf);
/* The node must have been removed from the bridge. */
void node_free(struct node *node);

/* --- creating and freeing ports (events.c) -------------------------------- */

/* The callbacks of the endpoints. */
extern const struct endpoint_owner bridge_owner;
/* Creates a port of the node for that link.  NULL: out of memory. */
struct port *port_new(struct node *node, struct link *link);
/* Keeps the queue for the next process, under the current name of the link. */
void port_keep_queue(struct port *port);
/*
 * Changes the route numbers of queued frames: number[] has an entry for each of the n old
 * numbers, which may be ROUTE_NONE.
 */
void port_renumber(struct port *port, const unsigned *number, unsigned n);
/* Drops and counts all queued frames. */
void port_drop_waiting(struct port *port);
/* Also frees the port, which may be NULL. */
void port_free(struct port *port);

/* --- flow control, turns and times (port.c) ------------------------------- */

/* Whether the port pauses its sources when its queue is full. */
static inline bool
port_blocks(const struct port *port)
{
	return port->conf->overflow == OVERFLOW_BLOCK && port_open(port) &&
	    !port->stalled && !port->closing;
}
/* Whether something waits that this process has yet to write. */
static inline bool
port_owes(const struct port *port)
{
	return port->in_flight.waits || !queue_empty(&port->queue) ||
	    link_held(port->link) > 0;
}
/*
 * How much every destination of a source can accept; *ret_by is the one with the least
 * room, NULL when none limits the source.
 */
size_t port_room(const struct port *from, struct port **ret_by);
/* Decides from the state whether the port is read. */
void port_update(struct port *port);
/* The source has read len bytes in its turn. */
void port_turn_end(struct port *from, size_t len);
/* The source no longer waits for another port. */
void port_stop_waiting(struct port *from);
/*
 * Gives the port's waiters a turn, or ends their waiting if the port does not block any
 * more.
 */
void port_release(struct port *port);
/* A frame of len bytes was written at time now: sets the earliest time of the next one. */
void port_gap(struct port *port, uint64_t now, size_t len);
/* The keys that determine the gap may have changed: applies them to a gap that has begun. */
void port_gap_follow(struct port *port);
/* The decoder begins with the next byte. */
void port_start_decoder(struct port *port);
/*
 * Called after a turn at time now: sets the timeouts for the bytes that are kept;
 * consumed: some input was decoded.
 */
void port_age(struct port *port, uint64_t now, bool consumed);
/* The time until the receiver is checked again. */
uint64_t port_look_time(const struct port *port);
/* Sets the timer to the earliest time.  One that was set to an earlier time stays, and may
 * find nothing due. */
void port_arm(struct port *port);

/* --- what is received of the own output (local_echo.c) --------------------- */

/* The bytes were written to a port with the key echo, and are expected in its input. */
void port_echo_sent(struct port *port, const uint8_t *data, size_t len);
/*
 * Removes what is expected from n bytes of input, and returns how many are left.  After a
 * collision they can be more than before, up to size, the space at in.  The port must
 * have sent something.
 */
size_t port_echo_remove(struct port *port, uint8_t *in, size_t n, size_t size);
/* Whether there was a collision since the last write: its echo may be input. */
bool port_echo_collided(const struct port *port);
/* Nothing is expected any more. */
void port_echo_forget(struct port *port);
void port_echo_free(struct port *port);
/* For the handover: the writes that are expected, or NULL, and how much of the first one
 * was received; port_echo_sent() and port_echo_matched() restore that. */
const struct queue *port_echo_expected(
    const struct port *port, size_t *ret_matched);
void port_echo_matched(struct port *port, size_t matched);

/* --- receivers that make no progress (stall.c) ---------------------------- */

void port_stall_due(struct port *port, uint64_t now);
/* The peer has shut down its sending direction.  The caller sets the timer. */
void port_ended(struct port *port, uint64_t now);
void port_linger_due(struct port *port, uint64_t now);
/* Closes a peer that sends no more once nothing is queued for it. */
void port_closing_done(struct port *port);

#endif
