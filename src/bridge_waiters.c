/*
 * bridge_waiters: sources that wait for room in the same queue take turns.
 *
 * A source that is paused by a full queue is appended to the waiters of its port and is
 * not read.  When the queue is half empty again, and as long as it has room after that,
 * as many waiters as it has room for get a turn, in their order.  A turn is what a source
 * holds already, or one read of at most TURN_QUANTUM bytes; after it the source is the
 * last of the waiters.  So all get the same number of bytes, regardless of their frames
 * and of the order in which they are read in a pass of the event loop.  A source that has
 * nothing to be read at its turn waits no longer, and is read as usual.
 *
 * While only one waits, it may use all the room.  But a fast source that has nothing to
 * be read for a moment must not lose its share: for SHARED_NS after several have waited,
 * none takes more than a quantum at a time.  The same applies while the port already has
 * something to write, because otherwise the first of several sources would fill the queue
 * before the others are read.  At a port that has nothing to write, a source may use
 * twice as much as the last time, as long as the port writes it immediately.
 *
 * A source waits for one port at a time.  At its turn it continues if its other
 * destinations have room, even if others wait for them; if one has none, it then waits
 * for that.  If the first that waits for one of them had its last turn earlier, that one
 * gets a turn, too, so that it does not get less because it waits for another port.
 *
 * None of this applies to a port with a single source: that is read as long as there is
 * room, and waits when there is none.
 */
#include <event2/event.h>

#include "bridge_batch.h"

/* A read includes a small rest in any case, and a tty returns no more at a time. */
#define TURN_QUANTUM ((size_t)SMALL_REST)
#define SHARED_NS (100 * NSEC_PER_MSEC)
/* The least that a datagram counts as. */
#define DATAGRAM_MIN ((size_t)64)

static bool
is_shared(struct port *to)
{
	if (to->shared && task_now() - to->shared_ns > SHARED_NS)
		to->shared = false;
	return to->shared;
}

/* How much a source may use at a port that has nothing to write. */
static size_t
window(struct port *to)
{
	uint64_t sent = to->traffic.tx_bytes - to->window_tx;

	if (sent >= to->window / 2)
		to->window = MIN(2 * to->window, (size_t)TURN_BYTES);
	else
		to->window /= 2;
	to->window = MAX(to->window, TURN_QUANTUM);
	to->window_tx = to->traffic.tx_bytes;
	return to->window;
}

static void
give_turn(struct port *from)
{
	static uint64_t turns;

	from->turn = true;
	from->turn_left = TURN_QUANTUM;
	from->last_turn = ++turns;
	link_poke(from->link, EV_READ);
}

/* A turn for the next that waits for the port, unless from has waited longer. */
static void
let_earlier_go(const struct port *from, struct port *to)
{
	struct port *next;

	TAILQ_FOREACH(next, &to->waiters, waiting) {
		if (next->turn)
			continue;
		if (next->last_turn < from->last_turn)
			give_turn(next);
		return;
	}
}

size_t
waiter_room(const struct port *from, struct port *to, size_t room)
{
	if (to->full && !from->turn)
		return 0;
	if (to->full && from->by != to)
		let_earlier_go(from, to);
	if (from->by == to || is_shared(to) || to->handed.waits ||
	    !queue_empty(&to->queue))
		return MIN(room, TURN_QUANTUM);
	return MIN(room, window(to));
}

void
waiter_join(struct port *from, struct port *to)
{
	if (from->by == to)
		return;
	waiter_leave(from);
	TAILQ_INSERT_TAIL(&to->waiters, from, waiting);
	from->by = to;
	to->full = true;
}

void
waiter_leave(struct port *from)
{
	struct port *to = from->by;
	bool turn = from->turn;

	if (to == NULL)
		return;
	TAILQ_REMOVE(&to->waiters, from, waiting);
	from->by = NULL;
	from->turn = false;
	to->full = !TAILQ_EMPTY(&to->waiters);
	if (!to->full && !to->stalled)
		to->stall_at = 0;
	/* It may have left room to the others. */
	if (turn && to->full)
		port_next_turn(to);
}

void
waiter_turn_end(struct port *from, size_t len)
{
	struct port *to = from->by;
	size_t cost = MAX(len, DATAGRAM_MIN);

	if (len == 0) {
		/* It now waits for input, and for room only when input has come:
		 * otherwise two sources without input would give each other turns
		 * for ever. */
		waiter_leave(from);
		port_await_input(from);
	} else if (from->conf->ops->datagram != 0 && from->turn_left > cost) {
		/* A read is one datagram. */
		from->turn_left -= cost;
		link_poke(from->link, EV_READ);
	} else {
		from->turn = false;
		TAILQ_REMOVE(&to->waiters, from, waiting);
		TAILQ_INSERT_TAIL(&to->waiters, from, waiting);
		if (!queue_full(&to->queue))
			port_next_turn(to);
	}
}

/* In their order, as far as there is room. */
static void
give_turns(struct port *to)
{
	size_t room = queue_room(&to->queue);
	struct port *from;

	TAILQ_FOREACH(from, &to->waiters, waiting) {
		if (room == 0)
			break;
		give_turn(from);
		room -= MIN(room, TURN_QUANTUM);
	}
}

void
port_release(struct port *port)
{
	struct port *from = TAILQ_FIRST(&port->waiters);

	if (from == NULL)
		return;
	if (!port_blocks(port)) {
		while ((from = TAILQ_FIRST(&port->waiters)) != NULL) {
			waiter_leave(from);
			port_update(from);
		}
		return;
	}
	if (TAILQ_NEXT(from, waiting) != NULL) {
		port->shared = true;
		port->shared_ns = task_now();
	} else if (!is_shared(port)) {
		waiter_leave(from);
		port_update(from);
		return;
	}
	give_turns(port);
}
