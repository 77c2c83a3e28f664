/*
 * port: whether a port is read, the sources that wait for room in its queue, and its
 * timer.
 *
 * port_update() derives from the state whether a port is read; only port_turn_end() also
 * changes that.  A port has one timer for all of its times; events.c handles those that
 * have passed.
 *
 * Sources that wait for room in the same queue take turns.
 * A source that is paused by a full queue is appended to the waiters of its port and is
 * not read.  When the queue is half empty again, and as long as it has room after that,
 * as many waiters as it has room for get a turn, in their order.  A turn is the input
 * that a source holds already, or one read of at most TURN_QUANTUM bytes; after it the
 * source is the last of the waiters.  Therefore all get the same number of bytes,
 * regardless of their frames and of the order in which they are read in a pass of the
 * event loop.  A source that has no input at its turn waits no longer, and is read as
 * usual.
 *
 * While only one source waits, it may use all the room.  But a fast source that has no
 * input for a moment must not lose its share: for SHARED_NS after several have waited,
 * none takes more than a quantum at a time.  The same applies while the port already has
 * something to write, because otherwise the first of several sources would fill the queue
 * before the others are read.  At a port that has nothing to write, a source may use
 * twice as much as the last time, as long as the port writes it immediately.
 *
 * A source waits for one port at a time.  At its turn it continues if its other
 * destinations have room, even if others wait for them; if one has none, it then waits
 * for that.  If the first waiter of such a destination had its last turn earlier, that
 * waiter gets a turn, too, so that it does not get less because it waits for another
 * port.
 *
 * None of this applies to a port with a single source: that source is read as long as
 * there is room, and waits when there is none.
 */
#include <event2/event.h>

#include "ack.h"
#include "batch.h"
#include "pace.h"
#include "port_spool.h"

/*
 * A read includes a small rest in any case, and a tty returns at most this much at a
 * time.
 */
#define TURN_QUANTUM ((size_t)SMALL_REST)
#define SHARED_NS (100 * NSEC_PER_MSEC)
/* The minimum that a datagram counts as. */
#define DATAGRAM_MIN ((size_t)64)

/* The number of checks within stall_timeout; and the interval once it is stalled. */
#define LOOKS 4
#define STALLED_LOOK_NS NSEC_PER_SEC

/* --- timer ---------------------------------------------------------------- */

static uint64_t
earliest(const struct port *port)
{
	const uint64_t at[] = { port->stall_at, port->silence_at, port->age_at,
		port->linger_at, port->gap_at, port->turn_at, port->pace_at };
	uint64_t first = 0;

	for (size_t i = 0; i < NELEM(at); i++)
		if (at[i] != 0 && at[i] != GAP_NEVER &&
		    (first == 0 || at[i] < first))
			first = at[i];
	return first;
}

static void
timer_label(const struct task *task, char *buf, size_t size)
{
	const struct port *port = task->arg;
	uint64_t at = earliest(port);
	const char *name = port->link->name;

	if (at == 0)
		snprintf(buf, size, "nothing: the time of %s is over", name);
	else if (at == port->stall_at)
		snprintf(buf, size,
		    port->stalled
			? "%s to take something: it is stalled"
			: "%s to take something before it counts as stalled",
		    name);
	else if (at == port->silence_at)
		snprintf(buf, size, "a silence of %s to end a frame", name);
	else if (at == port->age_at)
		snprintf(buf, size,
		    "the rest of a frame from %s, before it is"
		    " too old",
		    name);
	else if (at == port->turn_at)
		snprintf(buf, size, "the next turn of the sources of %s", name);
	else if (at == port->gap_at)
		snprintf(buf, size, "the silence after a frame to %s", name);
	else if (at == port->pace_at)
		snprintf(buf, size,
		    "the time of the next bytes to %s, by its pace", name);
	else
		snprintf(buf, size,
		    "the rest to be written to %s, which sends no more", name);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct port *port = arg;
	uint64_t now;

	(void)fd, (void)what;
	now = task_begin(&port->timer_task);
	TASK_SET(&port->timer_task, TASK_IDLE);
	precise_stop(&port->precise);
	port->timer_at = 0;
	port->due(port, now);
	port_arm(port);
	task_end(&port->timer_task);
}

void
port_arm(struct port *port)
{
	uint64_t at = earliest(port), now;
	struct timeval tv;

	if (at == 0 || (port->timer_at != 0 && port->timer_at <= at))
		return;
	if (port->timer == NULL) {
		port->timer =
		    evtimer_new(port->node->bridge->base, on_timer, port);
		if (port->timer == NULL)
			return;
		task_add(&port->timer_task, port, timer_label, "%s.timer",
		    port->link->name);
		port->timer_task.event = port->timer;
	}
	now = now_ns();
	tv = to_timeval(at > now ? at - now : 0);
	event_add(port->timer, &tv);
	port->timer_at = at;
	/*
	 * Where silence delimits frames, the timer needs a higher resolution than that of
	 * the event loop.
	 */
	if (framing_silence(&port->conf->framing) != 0)
		precise_set(&port->precise, port->timer, at);
	TASK_WAIT(&port->timer_task);
}

void
port_start_decoder(struct port *port)
{
	framing_start(&port->decoder, &port->conf->framing);
	port->decoder.messages = port->node->messages;
}

void
port_age(struct port *port, uint64_t now, bool consumed)
{
	const struct framing_conf *framing = port->decoder.conf;
	uint64_t timeout = port->conf->frame_timeout;
	uint64_t silence, pause;

	silence = framing->rule->silent != NULL ? framing_silence(framing) : 0;
	if (silence == 0 && timeout == 0)
		return;
	port->silence_at = 0;
	if (port->held_len > 0 && silence != 0) {
		pause =
		    framing_pause(&port->decoder, port->held, port->held_len);
		port->silence_at = now + MAX(silence, pause);
	}
	if (port->held_len == 0 || timeout == 0)
		port->age_at = 0;
	else if (port->age_at == 0 || consumed)
		port->age_at = now + timeout;
	port_arm(port);
}

void
port_gap(struct port *port, uint64_t now, size_t len)
{
	uint64_t gap = port_gap_time(port, len);

	if (gap == 0 || port->ack != NULL)
		return;
	port->gap_since_ns = now;
	port->gap_len = len;
	port->gap_at = now + gap;
	port_arm(port);
}

void
port_gap_follow(struct port *port)
{
	if (port->gap_at == 0 || port->ack != NULL)
		return;
	port->gap_at = port->gap_since_ns + port_gap_time(port, port->gap_len);
	port_arm(port);
}

/* --- turns ---------------------------------------------------------------- */

/* Its waiters get their next turns after one pass of the event loop. */
static void
port_next_turn(struct port *port)
{
	port->turn_at = now_ns();
	port_arm(port);
}

/* Reads from it until something has arrived, even if its destinations have no room. */
static void
port_await_input(struct port *port)
{
	bool read = port->link->up && !port->node->endpoint->paused &&
	    !port->node->bridge->stopping;

	if (read && !port->link->reading)
		port_age(port, task_now(), true);
	link_set_reading(port->link, read);
}

static bool
is_shared(struct port *to)
{
	if (to->shared && task_now() - to->shared_ns > SHARED_NS)
		to->shared = false;
	return to->shared;
}

/* How much a source may use at a port that has nothing queued. */
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
	link_trigger(from->link, EV_READ);
}

/* Gives a turn to the next waiter of the port, unless from has waited longer. */
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

/* How much of the room in the queue of a port with several sources this source may use. */
static size_t
waiter_room(const struct port *from, struct port *to, size_t room)
{
	size_t most = TURN_QUANTUM;

	if (to->full && !from->turn)
		return 0;
	if (to->full && from->blocked_by != to)
		let_earlier_go(from, to);
	if (from->blocked_by != to && !is_shared(to) && !to->in_flight.waits &&
	    queue_empty(&to->queue))
		most = window(to);
	return MIN(room, most);
}

/* Makes the source wait for that port. */
static void
waiter_join(struct port *from, struct port *to)
{
	if (from->blocked_by == to)
		return;
	port_stop_waiting(from);
	TAILQ_INSERT_TAIL(&to->waiters, from, waiting);
	from->blocked_by = to;
	to->full = true;
}

void
port_stop_waiting(struct port *from)
{
	struct port *to = from->blocked_by;
	bool turn = from->turn;

	if (to == NULL)
		return;
	TAILQ_REMOVE(&to->waiters, from, waiting);
	from->blocked_by = NULL;
	from->turn = false;
	to->full = !TAILQ_EMPTY(&to->waiters);
	if (!to->full && !to->stalled)
		to->stall_at = 0;
	/* It may have left room for the others. */
	if (turn && to->full)
		port_next_turn(to);
}

void
port_turn_end(struct port *from, size_t len)
{
	struct port *to = from->blocked_by;
	size_t cost = MAX(len, DATAGRAM_MIN);

	if (len == 0) {
		/*
		 * It now waits for input, and for room only when there is input:
		 * otherwise two sources without input would give each other turns
		 * indefinitely.
		 */
		port_stop_waiting(from);
		port_await_input(from);
	} else if (from->conf->ops->datagram != 0 && from->turn_left > cost) {
		/* A read is one datagram. */
		from->turn_left -= cost;
		link_trigger(from->link, EV_READ);
	} else {
		from->turn = false;
		TAILQ_REMOVE(&to->waiters, from, waiting);
		TAILQ_INSERT_TAIL(&to->waiters, from, waiting);
		if (!queue_full(&to->queue))
			port_next_turn(to);
	}
}

/* Gives turns to the waiters in their order, as far as there is room. */
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

	if (from == NULL || (port->spooling && port_spool_room(port) == 0))
		return;
	if (!port_blocks(port) || port->spooling) {
		while ((from = TAILQ_FIRST(&port->waiters)) != NULL) {
			port_stop_waiting(from);
			port_update(from);
		}
		return;
	}
	if (TAILQ_NEXT(from, waiting) != NULL) {
		port->shared = true;
		port->shared_ns = task_now();
	} else if (!is_shared(port)) {
		port_stop_waiting(from);
		port_update(from);
		return;
	}
	give_turns(port);
}

/* --- whether a port is read ----------------------------------------------- */

/* How much the source may send to the port now. */
static inline size_t
port_takes(const struct port *from, struct port *port)
{
	size_t room;

	if (!port_blocks(port))
		return port->spooling ? port_spool_room(port) : TURN_BYTES;
	port->queue.limit = port->conf->queue;
	room = queue_room(&port->queue);
	if (port->spooling || (room == 0 && port->spool != NULL))
		return port_spool_room(port);
	return port->fair && room > 0 ? waiter_room(from, port, room) : room;
}

size_t
port_room(const struct port *from, struct port **ret_by)
{
	const struct bridge *b = from->node->bridge;
	const struct route_source *s = &b->routes->source[from->node->number];
	size_t room = TURN_BYTES, takes;
	struct port *to;

	*ret_by = NULL;
	for (unsigned i = 0; i < s->ntargets; i++) {
		TAILQ_FOREACH(to, &b->node[s->targets[i].to]->ports, entry) {
			if (to == from ||
			    (takes = port_takes(from, to)) >= room ||
			    route_target_waits(&s->targets[i]))
				continue;
			room = takes;
			*ret_by = to;
		}
	}
	return room;
}

uint64_t
port_look_time(const struct port *port)
{
	uint64_t wait = port->conf->stall_timeout / LOOKS;

	return port->stalled ? MAX(wait, (uint64_t)STALLED_LOOK_NS)
			     : MAX(wait, (uint64_t)NSEC_PER_MSEC);
}

/* The queue is full: starts the checks of its receiver. */
static void
port_suspect(struct port *port, uint64_t now)
{
	if (port->conf->stall_timeout == 0 || port->stall_at != 0 ||
	    (port->spooling && !port_spool_full(port)))
		return;
	port->progress.looked = false;
	port->stall_at = now + port_look_time(port);
}

/* The queue is full and pauses its sources: checks that its receiver makes progress. */
static void
watch_stall(struct port *port)
{
	port_suspect(port, task_now());
	port_arm(port);
}

void
port_update(struct port *port)
{
	struct port *by;
	bool can = port->link->up && !port->node->endpoint->paused;
	bool room = port_room(port, &by) > 0;
	bool read =
	    can && room && (!port->node->bridge->stopping || port->ack != NULL);

	if (can && !room) {
		waiter_join(port, by);
		watch_stall(port->blocked_by);
	} else if (!port->turn || !can)
		port_stop_waiting(port);
	read &= !port->turn;
	if (read && !port->link->reading)
		port_age(port, task_now(), true);
	link_set_reading(port->link, read);
	if (can && room && (port->backlog || port->turn))
		link_trigger(port->link, EV_READ);
}
