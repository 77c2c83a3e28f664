/*
 * exchange: masters that share a bus on which one request is answered at a time (exchange
 * = modbus).
 *
 * The requests of each master are in a separate queue, and the masters take turns, so
 * that a master that sends many requests does not delay the others.  The next request is
 * sent to the bus; nothing else is sent until its answer arrives or its timeout expires.
 * A frame from the bus is that answer if its unit, its function and the fields that it
 * repeats match the request; any other frame is counted, and given to no master.
 *
 * IDLE -> AWAITING (a request was sent) -> RESTING (silence before the next) -> IDLE
 *      -> RESTING (a broadcast was sent, which is not answered)
 *
 * A frame from the control port takes its turn like a request of a master.  Its master is
 * the tap of the session, or none if the frame is only to be sent.
 *
 * All actions that follow from a request or an answer are done in the exchange's own
 * callback, not in the turn that received it, where the batch and the buffers of the data
 * path are in use.
 *
 * Serial messages have no number that identifies the request of an answer.  Therefore a
 * master that sends a request after the retry window is assumed to have given up on its
 * earlier requests: it would take an answer to those for the answer to this one.  The
 * messages of modbus-tcp do have a number: such a master may have several requests
 * queued, and gets an exception for each that is not answered.
 *
 * Masters and bus may have different framings: requests and answers are converted.
 */
#include <string.h>

#include <event2/event.h>

#include "exchange.h"
#include "log.h"

/* The time that units are given to process a broadcast. */
#define TURNAROUND (100 * NSEC_PER_MSEC)
/* The interval at which a bus that has not accepted a request is checked again. */
#define UNWRITTEN (50 * NSEC_PER_MSEC)

/* --- the next request ----------------------------------------------------- */

/*
 * Unit 0 is the broadcast address on a serial bus only; on a connection it is a unit like
 * any other.
 */
static bool
is_broadcast(const struct exchange *ex)
{
	return ex->request.unit == MODBUS_BROADCAST &&
	    exchange_framing(ex)->rule->number_size == 0;
}

static void
deliver(struct exchange *ex, struct port *port, const struct queued *q)
{
	if (queue_room(&port->queue) < queue_cost(q->len))
		port_drop(port, DROP_OVERFLOW, q->len);
	else
		ex->ops->answer(port, q);
}

/*
 * Informs the master that its request gets no answer, if its messages have a number.
 * Other masters would take the exception for the answer of the unit to a later request.
 */
static void
give_exception(struct exchange *ex)
{
	const struct master *master = ex->master;
	const struct framing_conf *conf;
	const uint8_t inner[] = { ex->request.unit,
		ex->request.function | MODBUS_EXCEPTION, ex->exception };
	uint8_t payload[CONVERT_MAX];
	struct queued q = { .payload = payload, .since_ns = now_ns() };
	bool told = ex->exception != 0 && master != NULL &&
	    exchange_master_numbers(master);
	long len;

	ex->master = NULL;
	ex->exception = 0;
	if (!told)
		return;
	conf = exchange_master_framing(master);
	if ((len = framing_outer(conf, inner, sizeof(inner), payload)) < 0)
		return;
	framing_set_number(conf, payload, (size_t)len, ex->master_number);
	q.len = (size_t)len;
	q.route = ex->route->number;
	deliver(ex, master->port, &q);
}

/* Sends the oldest request of a master, or drops it. */
static void
ask(struct exchange *ex, struct master *master)
{
	const struct framing_conf *from = exchange_master_framing(master);
	struct queued q;
	bool sent, refused;

	queue_head(&master->queue, &q);
	refused = q.route == NO_ROUTE;
	q.route = ex->route->number;
	exchange_read_request(ex, master, &q, &ex->request);
	ex->master_number =
	    from != NULL ? framing_number(from, q.payload, q.len) : 0;
	sent = !refused && exchange_put_on_bus(ex, from, &q);
	queue_pop(&master->queue);
	ex->master = master;
	if (!sent) {
		if (refused || (!exchange_bus_open(ex) && !is_broadcast(ex)))
			ex->exception = MODBUS_NO_PATH;
		give_exception(ex);
		return;
	}
	ex->arriving = 0;
	if (is_broadcast(ex)) {
		ex->phase = EXCHANGE_RESTING;
		ex->until_ns += MIN(TURNAROUND, exchange_answer_timeout(ex));
	} else {
		ex->phase = EXCHANGE_AWAITING;
		ex->until_ns += exchange_answer_timeout(ex);
	}
}

/* --- from the bus --------------------------------------------------------- */

/* Whether the frame is the answer to the current request. */
static bool
is_answer(const struct exchange *ex, const struct item *item)
{
	const struct framing_conf *bus = exchange_framing(ex);
	struct modbus m;

	return ex->phase == EXCHANGE_AWAITING && !ex->answered &&
	    item->len <= sizeof(ex->answer_payload) &&
	    framing_number(bus, item->payload, item->len) == ex->number &&
	    framing_modbus(bus, item->payload, item->len, &m) &&
	    modbus_answers(&ex->request, &m);
}

/*
 * Converts the answer to the framing of its master and sets the number that the master
 * expects.
 */
static void
convert_answer(struct exchange *ex)
{
	const struct framing_conf *bus = exchange_framing(ex), *to;
	struct queued *q = &ex->answer;
	long len;

	to = ex->master != NULL ? exchange_master_framing(ex->master) : NULL;
	if (to == NULL ||
	    (!framing_differs(bus, to) && to->rule->number_size == 0))
		return;
	len = framing_convert(bus, q->payload, q->len, to, ex->answer_payload);
	if (len < 0)
		return; /* counted when it is sent */
	framing_set_number(
	    to, ex->answer_payload, (size_t)len, ex->master_number);
	q->len = (size_t)len;
	q->wire = NULL;
}

/*
 * Keeps the answer for the master that sent the request, as received where that is
 * possible.
 */
static void
keep_answer(
    struct exchange *ex, const struct batch *batch, const struct item *item)
{
	const struct port *port = ex->master != NULL ? ex->master->port : NULL;
	const struct node *to = port != NULL ? port->node : ex->to;
	struct queued *q = &ex->answer;

	*q = item_queued(batch, item, to);
	q->payload = memcpy(ex->answer_payload, item->payload, item->len);
	if (q->wire_len > sizeof(ex->answer_wire))
		q->wire = NULL;
	if (q->wire != NULL)
		q->wire = memcpy(ex->answer_wire, q->wire, q->wire_len);
	convert_answer(ex);
	ex->answered = true;
}

void
exchange_answer(
    struct exchange *ex, const struct batch *batch, char *names, size_t size)
{
	for (unsigned i = 0; i < batch->n; i++) {
		const struct item *item = &batch->item[i];

		if (!is_answer(ex, item)) {
			if (ex->phase == EXCHANGE_AWAITING && !ex->answered &&
			    !exchange_is_late(ex, item))
				ex->route->foreign++;
			else
				ex->route->late++;
			continue;
		}
		keep_answer(ex, batch, item);
		ex->shown = ex->master != NULL && ex->master->port == NULL;
		exchange_wake(ex);
		if (names != NULL && ex->master != NULL &&
		    ex->master->port != NULL)
			append(names, size, "%s%s", *names != '\0' ? "," : "",
			    ex->master->port->node->endpoint->conf->name);
	}
}

static void
give_answer(struct exchange *ex)
{
	struct queued q = ex->answer;
	const struct master *master = ex->master;
	struct port *port = master != NULL ? master->port : NULL;

	q.route = ex->route->number;
	ex->answered = false;
	ex->master = NULL;
	ex->phase = EXCHANGE_RESTING;
	ex->until_ns = q.since_ns + framing_gap(exchange_framing(ex), 0);
	if (master == NULL && !ex->shown) {
		ex->route->late++;
		return;
	}
	ex->route->answers++;
	if (port != NULL)
		deliver(ex, port, &q);
}

void
exchanges_settle(struct bridge *b)
{
	struct exchange *ex;

	TAILQ_FOREACH(ex, &b->exchanges, entry) {
		if (ex->answered)
			give_answer(ex);
		if (ex->exception != 0)
			give_exception(ex);
	}
}

/* Whether more bytes of an answer have arrived since the last check. */
static bool
arrives(struct exchange *ex)
{
	const struct port *port = TAILQ_FIRST(&ex->to->ports);
	size_t had = ex->arriving;

	ex->arriving = port == NULL ? 0 : port->held_len;
	return ex->arriving > had;
}

static void
answer_due(struct exchange *ex, uint64_t now, bool arriving)
{
	static struct log_limit limit;

	if (arriving) {
		ex->until_ns = now + ARRIVING;
		return;
	}
	ex->phase = EXCHANGE_IDLE;
	ex->route->timeouts++;
	exchange_guard_add(ex, now);
	exchange_withdraw(ex, DROP_STALLED);
	log_limited(&limit, LOG_INFO, ABOUT_ROUTE, ex->route->name,
	    "unit %u did not answer %s (function %u)", ex->request.unit,
	    exchange_master_name(ex->master, "in time"), ex->request.function);
	ex->exception = MODBUS_NO_ANSWER;
	give_exception(ex);
}

/* --- the callback --------------------------------------------------------- */

void
exchange_label(const struct task *task, char *buf, size_t size)
{
	const struct exchange *ex = task->arg;
	const char *master =
	    exchange_master_name(ex->master, "a disconnected master");
	char since[24], of[24];
	size_t bytes = 0, frames = 0;

	format_time(now_ns() - ex->sent_ns, since, sizeof(since));
	format_time(exchange_answer_timeout(ex), of, sizeof(of));
	exchange_queued(ex, &bytes, &frames);
	if (ex->phase == EXCHANGE_IDLE && frames == 0)
		snprintf(buf, size, "nothing: no request for %s",
		    ex->to->endpoint->conf->name);
	else if (ex->phase == EXCHANGE_IDLE && !exchange_bus_clear(ex))
		snprintf(buf, size, "%s to accept the previous request",
		    ex->to->endpoint->conf->name);
	else if (ex->phase == EXCHANGE_IDLE)
		snprintf(
		    buf, size, "a late answer, before the unit is asked again");
	else if (ex->phase == EXCHANGE_AWAITING)
		snprintf(buf, size, "unit %u's answer to %s, %s of %s",
		    ex->request.unit, master, since, of);
	else if (is_broadcast(ex))
		snprintf(buf, size, "every unit to deal with %s's broadcast",
		    master);
	else
		snprintf(buf, size, "the silence before the next request");
	if (frames > 0)
		append(buf, size, " (%zu request%s more)", frames,
		    frames == 1 ? "" : "s");
}

/* The time of the next action, 0: none before a request arrives. */
static uint64_t
next_time(const struct exchange *ex, uint64_t now)
{
	size_t bytes = 0, frames = 0;

	if (ex->phase != EXCHANGE_IDLE)
		return ex->until_ns;
	exchange_queued(ex, &bytes, &frames);
	if (frames == 0)
		return 0;
	return exchange_bus_clear(ex) ? exchange_first_guard(ex)
				      : now + UNWRITTEN;
}

void
exchange_arm(struct exchange *ex, uint64_t now)
{
	uint64_t at = next_time(ex, now), wait = at > now ? at - now : 0;
	struct timeval tv = to_timeval(wait);

	if (at == 0) {
		TASK_SET(&ex->task, TASK_IDLE);
		return;
	}
	event_add(ex->event, &tv);
	if (ex->phase == EXCHANGE_RESTING)
		precise_set(&ex->precise, ex->event, ex->until_ns);
	TASK_WAIT(&ex->task);
}

/* Handles the times that have passed. */
static void
times_due(struct exchange *ex, uint64_t now)
{
	uint64_t guard = exchange_first_guard(ex);
	bool over = ex->phase != EXCHANGE_IDLE && now >= ex->until_ns;
	bool arriving = false;

	if ((over && ex->phase == EXCHANGE_AWAITING) ||
	    (guard != 0 && now >= guard))
		arriving = arrives(ex);
	exchange_guards_end(ex, now, arriving);
	if (over && ex->phase == EXCHANGE_AWAITING)
		answer_due(ex, now, arriving);
	else if (over) {
		ex->phase = EXCHANGE_IDLE;
		if (is_broadcast(ex))
			exchange_withdraw(ex, DROP_STALLED);
	}
}

void
exchange_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct exchange *ex = arg;
	uint64_t now = task_begin(&ex->task);
	struct master *master;

	(void)fd, (void)what;
	precise_stop(&ex->precise);
	if (ex->answered)
		give_answer(ex);
	if (ex->exception != 0)
		give_exception(ex);
	times_due(ex, now);
	while (ex->phase == EXCHANGE_IDLE && !ex->bridge->stopping &&
	    exchange_bus_clear(ex) &&
	    (master = exchange_next_master(ex)) != NULL)
		ask(ex, master);
	exchange_arm(ex, now);
	task_end(&ex->task);
}
