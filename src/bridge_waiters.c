/*
 * bridge_waiters: sources that wait for room in the same queue take turns.
 *
 * A source that a queue holds back joins the waiters of its port, at the end, and is not
 * read.  When the queue is half empty again, and as long as it has room after that, as
 * many waiters as it has room for get a turn, in their order.  A turn is what a source
 * holds already, or one read of TURN_QUANTUM bytes at most; then it is the last of the
 * waiters.  So all get the same number of bytes, whatever their frames are, and
 * whichever of them is read first in a pass of the loop.  A source that has nothing to
 * be read at its turn waits no more, and is read as usual.
 *
 * While only one waits, it takes all the room that there is.  But a source that is fast,
 * and yet has nothing to be read for a moment, must not lose its share by that: for
 * SHARED_NS after several have waited, none takes more than a quantum at a time.
 * Nor does one while the port has something to write already, or the first of
 * several sources would fill the queue before the others are read.  Of a port that
 * has nothing to write a source may take twice as much as the last time, as long as
 * the port takes it at once.
 *
 * A source waits in one place at a time.  At its turn it goes on if its other
 * destinations have room, though others may be waiting for them; if one has none, it
 * waits there.
 *
 * None of this concerns a port to which one source alone leads: that is read as far as
 * there is room, and waits when there is none.
 */
#include <event2/event.h>

#include "bridge_batch.h"

/* A read takes in a small rest in any case, and a tty gives no more at once. */
#define TURN_QUANTUM ((size_t)SMALL_REST)
#define SHARED_NS (100 * NSEC_PER_MSEC)
/* What a datagram counts for at least. */
#define DATAGRAM_MIN ((size_t)64)

static bool
is_shared(struct port *to)
{
	if (to->shared && task_now() - to->shared_ns > SHARED_NS)
		to->shared = false;
	return to->shared;
}

/* What a source may take of a port that has nothing to write. */
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

size_t
waiter_room(const struct port *from, struct port *to, size_t room)
{
	if (to->full && !from->turn)
		return 0;
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
	/* It may have left room for the others. */
	if (turn && to->full)
		port_next_turn(to);
}

void
waiter_turn_end(struct port *from, size_t len)
{
	struct port *to = from->by;
	size_t cost = MAX(len, DATAGRAM_MIN);

	if (len == 0) {
		/* It waits for input now, and for room only when there is some:
		 * two sources without input would give each other turns. */
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

/* In their order, as far as the room goes. */
static void
give_turns(struct port *to)
{
	size_t room = queue_room(&to->queue);
	struct port *from;

	TAILQ_FOREACH(from, &to->waiters, waiting) {
		if (room == 0)
			break;
		from->turn = true;
		from->turn_left = TURN_QUANTUM;
		link_poke(from->link, EV_READ);
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
