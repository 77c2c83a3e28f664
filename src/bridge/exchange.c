/*
 * exchange: masters that share a bus on which one request is answered at
 * a time (exchange = modbus).
 *
 * Each master's requests wait in a queue of their own, and the masters take turns, so
 * that none is kept waiting by one that asks a lot.  The request whose turn it is goes to
 * the bus; until its answer is there, or its time is over, nothing else does.  A frame
 * of the bus is that answer if its unit, its function and what it says of the
 * request fit; any other is counted, and given to no master.
 *
 *	IDLE -> AWAITING (a request is out) -> RESTING (silence before the next) -> IDLE
 *	     -> RESTING (a broadcast is out, nobody answers it)
 *
 * The answer to a request that has timed out may still arrive, and nothing in it shows
 * that it is late.  So a request to the same unit with the same function waits for
 * late_guard (struct guard); others do not.
 *
 * A frame from the control port takes its turn like a request of a master.  Its master
 * is the tap of the session, or none if the frame is only to be sent.
 *
 * All that follows from a request or an answer is done in the exchange's own
 * callback, not in the turn that brought it, where the batch and the buffers of the path
 * are in use.
 *
 * Messages have no number that ties an answer to its request.  So a master that
 * asks again after a while without an answer is taken to have given up on what it
 * asked before: it would take the answer to that for the answer to this.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "exchange.h"
#include "log.h"

/* What units are given to deal with a broadcast. */
#define TURNAROUND (100 * NSEC_PER_MSEC)
/* Requests of one master that come within that time do not replace each other. */
#define BREATH (20 * NSEC_PER_MSEC)
/* How often an answer that has begun in time is looked at again. */
#define ARRIVING (50 * NSEC_PER_MSEC)
/* How often a bus that has not accepted a request is checked again. */
#define UNWRITTEN (50 * NSEC_PER_MSEC)
/* Bits of a character on the line. */
#define CHARACTER 11
/* The longest message of modbus-rtu. */
#define LONGEST_RTU 256

static const struct framing_conf *
bus_framing(const struct exchange *ex)
{
	return &ex->to->endpoint->conf->framing;
}

static uint64_t
answer_timeout(const struct exchange *ex)
{
	uint64_t given = ex->route->conf->answer_timeout;

	return given != 0 ? given : ANSWER_TIMEOUT;
}

/* A request that does not get to the bus. */
static void
drop(struct exchange *ex, enum drop_reason reason, size_t len)
{
	struct port *port = TAILQ_FIRST(&ex->to->ports);

	if (port != NULL) {
		port_drop(port, reason, len);
		return;
	}
	ex->to->retired.dropped[reason]++;
	ex->to->retired.dropped_bytes += len;
	loss_dropped(ex->to, reason, 1, len);
}

/* --- what has not been written to the bus -------------------------------- */

/* Whether nothing is queued before the next request; a bus that is down counts as clear,
 * because requests to it are dropped. */
static bool
bus_clear(const struct exchange *ex)
{
	const struct port *port;

	TAILQ_FOREACH(port, &ex->to->ports, entry)
		if (port_open(port) &&
		    (port->in_flight.waits || !queue_empty(&port->queue)))
			return false;
	return true;
}

/* Drops the frame that was handed to the bufferevent, if none of it is written. */
static bool
withdraw_in_flight(struct port *port, enum drop_reason reason)
{
	struct in_flight *h = &port->in_flight;

	if (!h->waits || h->partial ||
	    (h->wire > 0 && link_pending(port->link) < h->wire))
		return false;
	if (h->wire > 0)
		port->traffic.tx_bytes -= link_take_back(port->link);
	port_drop(port, reason, h->len);
	free(h->payload);
	memset(h, 0, sizeof(*h));
	return true;
}

void
exchange_wake(struct exchange *ex)
{
	event_del(ex->event);
	TASK_SET(&ex->task, TASK_IDLE);
	event_active(ex->event, EV_TIMEOUT, 0);
}

/*
 * A request for which no master waits any longer must not be sent when the bus accepts
 * data again.
 */
static void
withdraw(struct exchange *ex, enum drop_reason reason)
{
	struct port *port;
	struct queued q;
	bool any = false;

	TAILQ_FOREACH(port, &ex->to->ports, entry) {
		any |= withdraw_in_flight(port, reason);
		for (; queue_head(&port->queue, &q); any = true) {
			port_drop(port, reason, q.len);
			queue_pop(&port->queue);
		}
	}
	if (!any || ex->phase != EXCHANGE_AWAITING)
		return;
	ex->phase = EXCHANGE_IDLE;
	ex->master = NULL;
	exchange_wake(ex);
}

/* No master waits any longer for the answer to the request that was sent. */
static void
abandon(struct exchange *ex, enum drop_reason reason)
{
	ex->master = NULL;
	if (ex->phase == EXCHANGE_AWAITING)
		withdraw(ex, reason);
}

/* --- requests ------------------------------------------------------------ */

static struct master *
find_master(
    const struct exchange *ex, const struct port *port, const struct tap *tap)
{
	struct master *master;

	TAILQ_FOREACH(master, &ex->masters, entry)
		if (master->port == port && master->tap == tap)
			return master;
	return NULL;
}

struct master *
exchange_add_master(
    struct exchange *ex, struct port *port, const struct tap *tap)
{
	struct master *master = calloc(1, sizeof(*master));

	if (master == NULL)
		return NULL;
	master->port = port;
	master->tap = tap;
	queue_init(&master->queue, ex->to->endpoint->conf->queue);
	TAILQ_INSERT_TAIL(&ex->masters, master, entry);
	return master;
}

/* With all that it had to ask. */
static void
free_master(struct exchange *ex, struct master *master, enum drop_reason reason)
{
	struct queued q;

	while (queue_head(&master->queue, &q)) {
		drop(ex, reason, q.len);
		queue_pop(&master->queue);
	}
	if (ex->master == master)
		abandon(ex, reason);
	TAILQ_REMOVE(&ex->masters, master, entry);
	queue_free(&master->queue);
	free(master);
}

/* It waits for none of its answers any more; broadcasts have none. */
static void
give_up(struct exchange *ex, struct master *master)
{
	uint8_t copy[MODBUS_LONGEST], wire[MODBUS_LONGEST + 2];
	struct modbus request;
	struct queued q;

	for (size_t n = master->queue.frames; n > 0; n--) {
		if (!queue_head(&master->queue, &q))
			break;
		q.payload = memcpy(copy, q.payload, q.len);
		if (q.wire_len > sizeof(wire))
			q.wire = NULL;
		if (q.wire != NULL)
			q.wire = memcpy(wire, q.wire, q.wire_len);
		queue_pop(&master->queue);
		if (!modbus_read(copy, q.len, &request) ||
		    request.unit != MODBUS_BROADCAST)
			drop(ex, DROP_REPLACED, q.len);
		else if (queue_add(&master->queue, &q) < 0)
			drop(ex, DROP_MEMORY, q.len);
	}
	if (ex->phase == EXCHANGE_AWAITING && ex->master == master &&
	    !ex->answered)
		abandon(ex, DROP_REPLACED);
}

static void
add_request(
    struct exchange *ex, struct master *master, const struct queued *item)
{
	struct modbus request;

	if (!modbus_read(item->payload, item->len, &request)) {
		drop(ex, DROP_UNENCODABLE, item->len);
		return;
	}
	if (item->since_ns - master->last_ns > BREATH)
		give_up(ex, master);
	master->last_ns = item->since_ns;
	if (master->queue.bytes + queue_cost(item->len) > master->queue.limit)
		drop(ex, DROP_OVERFLOW, item->len);
	else if (queue_add(&master->queue, item) < 0)
		drop(ex, DROP_MEMORY, item->len);
}

void
exchange_submit(struct exchange *ex, const struct batch *batch)
{
	struct master *master = find_master(ex, batch->from, NULL);

	if (master == NULL)
		master = exchange_add_master(ex, batch->from, NULL);
	for (unsigned i = 0; i < batch->npick; i++) {
		const struct item *item = &batch->item[batch->pick[i]];
		struct queued q = item_queued(batch, item, ex->to);

		if (master != NULL)
			add_request(ex, master, &q);
		else
			drop(ex, DROP_MEMORY, item->len);
	}
	if (ex->phase == EXCHANGE_IDLE)
		exchange_wake(ex);
}

int
exchange_send(struct exchange *ex, const struct tap *tap,
    const uint8_t *payload, size_t len)
{
	const struct port *port = TAILQ_FIRST(&ex->to->ports);
	struct master *master = find_master(ex, NULL, tap);
	struct modbus request;

	if (!modbus_read(payload, len, &request))
		return -EINVAL;
	if (port == NULL)
		return -ENOTCONN;
	if (!port_open(port))
		return -ENETDOWN;
	if (master == NULL &&
	    (master = exchange_add_master(ex, NULL, tap)) == NULL)
		return -ENOMEM;
	if (master->queue.bytes + queue_cost(len) > master->queue.limit)
		return -ENOBUFS;
	if (queue_push(
		&master->queue, payload, len, now_ns(), ex->route->number) < 0)
		return -ENOMEM;
	if (ex->phase == EXCHANGE_IDLE)
		exchange_wake(ex);
	return 0;
}

bool
exchange_answers(const struct exchange *ex, const struct tap *tap)
{
	return ex->answered && ex->master != NULL && ex->master->tap == tap;
}

void
exchange_forget_tap(struct bridge *b, const struct tap *tap)
{
	struct exchange *ex;
	struct master *master;

	TAILQ_FOREACH(ex, &b->exchanges, entry) {
		master = find_master(ex, NULL, tap);
		if (master != NULL)
			free_master(ex, master, DROP_CLOSED);
	}
}

void
exchange_forget(struct bridge *b, const struct port *port)
{
	struct exchange *ex;
	struct master *master;

	TAILQ_FOREACH(ex, &b->exchanges, entry) {
		if (ex->to == port->node && ex->phase != EXCHANGE_IDLE)
			withdraw(ex, DROP_DOWN);
		master = find_master(ex, port, NULL);
		if (master != NULL)
			free_master(ex, master, DROP_CLOSED);
	}
}

void
exchange_queued(const struct exchange *ex, size_t *bytes, size_t *frames)
{
	const struct master *master;

	TAILQ_FOREACH(master, &ex->masters, entry) {
		*bytes += master->queue.payload;
		*frames += master->queue.frames;
	}
}

/* --- to the bus ---------------------------------------------------------- */

/* So long the line is busy with that many bytes; 0 where its rate is not known. */
static uint64_t
line_time(const struct exchange *ex, size_t bytes)
{
	const struct framing_conf *framing = bus_framing(ex);

	if (framing->baud == 0)
		return 0;
	return bytes * CHARACTER * NSEC_PER_SEC / framing->baud;
}

/* Whether it went to the bus; counted if not. */
static bool
put_on_bus(struct exchange *ex, const struct queued *q)
{
	const struct framing_conf *framing = bus_framing(ex);
	struct port *port = TAILQ_FIRST(&ex->to->ports);
	uint8_t *wire;
	long len;

	if (port == NULL) {
		drop(ex, DROP_NO_PEER, q->len);
		return false;
	}
	if (!port_open(port)) {
		drop(ex, DROP_DOWN, q->len);
		return false;
	}
	port->queue.limit = ex->to->endpoint->conf->queue;
	if (queue_room(&port->queue) < queue_cost(q->len)) {
		drop(ex, DROP_OVERFLOW, q->len);
		return false;
	}
	wire = malloc(framing_bound(framing, q->len));
	len = wire == NULL ? -ENOMEM
			   : framing_encode(framing, q->payload, q->len, wire);
	free(wire);
	if (len < 0) {
		drop(ex, len == -ENOMEM ? DROP_MEMORY : DROP_UNENCODABLE,
		    q->len);
		return false;
	}
	ex->sent_ns = now_ns();
	ex->until_ns = ex->sent_ns + line_time(ex, (size_t)len);
	ex->ops->send(ex->to, q);
	return true;
}

/* --- answers that are late ----------------------------------------------- */

/* How long after its timeout the answer to a request may still arrive. */
static uint64_t
guard_time(const struct exchange *ex)
{
	uint64_t given = ex->route->conf->late_guard;

	return MAX(given != 0 ? given : answer_timeout(ex) / 2,
	    line_time(ex, LONGEST_RTU));
}

/* The request that was sent has not been answered in time. */
static void
add_guard(struct exchange *ex, uint64_t now)
{
	ex->guard[ex->nguards++] =
	    (struct guard){ ex->request, now + guard_time(ex) };
}

/* Whether a late answer could be mistaken for that to the master's next request. */
static bool
is_guarded(const struct exchange *ex, const struct master *master)
{
	struct modbus request;
	struct queued q;

	if (ex->nguards == GUARDS)
		return true;
	if (!queue_head(&master->queue, &q) ||
	    !modbus_read(q.payload, q.len, &request))
		return false;
	/* An exception contains nothing else that identifies its request. */
	for (unsigned i = 0; i < ex->nguards; i++)
		if (ex->guard[i].request.unit == request.unit &&
		    ex->guard[i].request.function == request.function)
			return true;
	return false;
}

/* Whether it is the late answer to a request. */
static bool
is_late(const struct exchange *ex, const struct item *item)
{
	struct modbus m;

	if (ex->nguards == 0 || !modbus_read(item->payload, item->len, &m))
		return false;
	for (unsigned i = 0; i < ex->nguards; i++)
		if (modbus_answers(&ex->guard[i].request, &m))
			return true;
	return false;
}

/* When the first guard expires, 0 if there is none. */
static uint64_t
first_guard(const struct exchange *ex)
{
	uint64_t first = 0;

	for (unsigned i = 0; i < ex->nguards; i++)
		if (first == 0 || ex->guard[i].until_ns < first)
			first = ex->guard[i].until_ns;
	return first;
}

/* Removes the guards that have expired, unless an answer is arriving. */
static void
end_guards(struct exchange *ex, uint64_t now, bool arriving)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ex->nguards; i++) {
		struct guard *guard = &ex->guard[i];

		if (guard->until_ns <= now && arriving)
			guard->until_ns = now + ARRIVING;
		if (guard->until_ns > now)
			ex->guard[n++] = *guard;
	}
	ex->nguards = n;
}

/* --- the next request ---------------------------------------------------- */

/* Sends the oldest request of a master, or drops it. */
static void
ask(struct exchange *ex, struct master *master)
{
	struct queued q;
	bool sent;

	queue_head(&master->queue, &q);
	q.route = ex->route->number;
	modbus_read(q.payload, q.len, &ex->request);
	sent = put_on_bus(ex, &q);
	queue_pop(&master->queue);
	if (!sent)
		return;
	ex->master = master;
	ex->arriving = 0;
	if (ex->request.unit == MODBUS_BROADCAST) {
		ex->phase = EXCHANGE_RESTING;
		ex->until_ns += MIN(TURNAROUND, answer_timeout(ex));
	} else {
		ex->phase = EXCHANGE_AWAITING;
		ex->until_ns += answer_timeout(ex);
	}
}

/* The next master: the one whose last turn was the longest time ago and that may ask now. */
static struct master *
next_master(struct exchange *ex)
{
	struct master *master;

	TAILQ_FOREACH(master, &ex->masters, entry)
		if (!queue_empty(&master->queue) && !is_guarded(ex, master))
			break;
	if (master != NULL) {
		TAILQ_REMOVE(&ex->masters, master, entry);
		TAILQ_INSERT_TAIL(&ex->masters, master, entry);
	}
	return master;
}

/* --- from the bus -------------------------------------------------------- */

/* True when it is what is awaited. */
static bool
is_answer(const struct exchange *ex, const struct item *item)
{
	struct modbus m;

	return ex->phase == EXCHANGE_AWAITING && !ex->answered &&
	    item->len <= sizeof(ex->answer_payload) &&
	    modbus_read(item->payload, item->len, &m) &&
	    modbus_answers(&ex->request, &m);
}

/* Keeps the answer for the master that asked, as received where that is possible. */
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
			    !is_late(ex, item))
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
	ex->until_ns = q.since_ns + framing_gap(bus_framing(ex), 0);
	if (master == NULL && !ex->shown) {
		ex->route->late++;
		return;
	}
	ex->route->answers++;
	if (port == NULL)
		return;
	if (queue_room(&port->queue) < queue_cost(q.len))
		port_drop(port, DROP_OVERFLOW, q.len);
	else
		ex->ops->answer(port, &q);
}

void
exchanges_settle(struct bridge *b)
{
	struct exchange *ex;

	TAILQ_FOREACH(ex, &b->exchanges, entry)
		if (ex->answered)
			give_answer(ex);
}

/* True when the answer has begun, and more of it has come since the last look. */
static bool
arrives(struct exchange *ex)
{
	const struct port *port = TAILQ_FIRST(&ex->to->ports);
	size_t had = ex->arriving;

	ex->arriving = port == NULL ? 0 : port->held_len;
	return ex->arriving > had;
}

static const char *
master_name(const struct master *master, const char *none)
{
	if (master == NULL)
		return none;
	return master->port != NULL ? master->port->link->name
				    : "the control port";
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
	add_guard(ex, now);
	withdraw(ex, DROP_STALLED);
	log_limited(&limit, LOG_INFO, ABOUT_ROUTE, ex->route->name,
	    "unit %u did not answer %s (function %u)", ex->request.unit,
	    master_name(ex->master, "in time"), ex->request.function);
	ex->master = NULL;
}

/* --- the callback -------------------------------------------------------- */

static void
exchange_label(const struct task *task, char *buf, size_t size)
{
	const struct exchange *ex = task->arg;
	const char *master = master_name(ex->master, "nobody any more");
	char since[24], of[24];
	size_t bytes = 0, frames = 0;

	format_time(now_ns() - ex->sent_ns, since, sizeof(since));
	format_time(answer_timeout(ex), of, sizeof(of));
	exchange_queued(ex, &bytes, &frames);
	if (ex->phase == EXCHANGE_IDLE && frames == 0)
		snprintf(buf, size, "nothing: no request for %s",
		    ex->to->endpoint->conf->name);
	else if (ex->phase == EXCHANGE_IDLE && !bus_clear(ex))
		snprintf(buf, size, "%s to accept the previous request",
		    ex->to->endpoint->conf->name);
	else if (ex->phase == EXCHANGE_IDLE)
		snprintf(
		    buf, size, "a late answer, before the unit is asked again");
	else if (ex->phase == EXCHANGE_AWAITING)
		snprintf(buf, size, "unit %u's answer to %s, %s of %s",
		    ex->request.unit, master, since, of);
	else if (ex->request.unit == MODBUS_BROADCAST)
		snprintf(buf, size, "every unit to deal with %s's broadcast",
		    master);
	else
		snprintf(buf, size, "the silence before the next request");
	if (frames > 0)
		append(buf, size, " (%zu request%s more)", frames,
		    frames == 1 ? "" : "s");
}

/* When there is something to do next, 0: not before a request arrives. */
static uint64_t
next_time(const struct exchange *ex, uint64_t now)
{
	size_t bytes = 0, frames = 0;

	if (ex->phase != EXCHANGE_IDLE)
		return ex->until_ns;
	exchange_queued(ex, &bytes, &frames);
	if (frames == 0)
		return 0;
	return bus_clear(ex) ? first_guard(ex) : now + UNWRITTEN;
}

static void
arm(struct exchange *ex, uint64_t now)
{
	uint64_t at = next_time(ex, now), wait = at > now ? at - now : 0;
	struct timeval tv = {
		.tv_sec = (time_t)(wait / NSEC_PER_SEC),
		.tv_usec =
		    (suseconds_t)(wait % NSEC_PER_SEC / NSEC_PER_USEC) + 1,
	};

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
	uint64_t guard = first_guard(ex);
	bool over = ex->phase != EXCHANGE_IDLE && now >= ex->until_ns;
	bool arriving = false;

	if ((over && ex->phase == EXCHANGE_AWAITING) ||
	    (guard != 0 && now >= guard))
		arriving = arrives(ex);
	end_guards(ex, now, arriving);
	if (over && ex->phase == EXCHANGE_AWAITING)
		answer_due(ex, now, arriving);
	else if (over) {
		ex->phase = EXCHANGE_IDLE;
		if (ex->request.unit == MODBUS_BROADCAST)
			withdraw(ex, DROP_STALLED);
	}
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct exchange *ex = arg;
	uint64_t now = task_begin(&ex->task);
	struct master *master;

	(void)fd, (void)what;
	precise_stop(&ex->precise);
	if (ex->answered)
		give_answer(ex);
	times_due(ex, now);
	while (ex->phase == EXCHANGE_IDLE && !ex->bridge->stopping &&
	    bus_clear(ex) && (master = next_master(ex)) != NULL)
		ask(ex, master);
	arm(ex, now);
	task_end(&ex->task);
}

/* --- made and changed ---------------------------------------------------- */

static void
exchange_free(struct exchange *ex)
{
	struct master *master;

	while ((master = TAILQ_FIRST(&ex->masters)) != NULL)
		free_master(ex, master, DROP_CLOSED);
	precise_stop(&ex->precise);
	if (ex->event != NULL)
		event_free(ex->event);
	task_remove(&ex->task);
	free(ex);
}

void
exchanges_free(struct exchange_list *list)
{
	struct exchange *ex;

	while ((ex = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, ex, entry);
		exchange_free(ex);
	}
}

static struct node *
node_called(struct node *const *node, unsigned n, const char *name)
{
	for (unsigned i = 0; i < n; i++)
		if (strcmp(node[i]->endpoint->conf->name, name) == 0)
			return node[i];
	return NULL;
}

static struct exchange *
exchange_new(struct bridge *b, struct route *route, struct node *to)
{
	struct exchange *ex = calloc(1, sizeof(*ex));

	if (ex == NULL)
		return NULL;
	TAILQ_INIT(&ex->masters);
	ex->bridge = b;
	ex->route = route;
	ex->to = to;
	ex->event = evtimer_new(b->base, on_event, ex);
	if (ex->event != NULL)
		return ex;
	free(ex);
	return NULL;
}

int
exchanges_new(struct bridge *b, const struct exchange_ops *ops,
    const struct routes *routes, struct node *const *node, unsigned n,
    struct exchange_list *ret)
{
	struct exchange *ex;

	TAILQ_INIT(ret);
	for (unsigned i = 0; i < routes->nroutes; i++) {
		struct route *route = routes->route[i];

		if (route->conf == NULL ||
		    route->conf->exchange == EXCHANGE_NONE)
			continue;
		ex = exchange_new(b, route, node_called(node, n, route->to));
		if (ex == NULL) {
			exchanges_free(ret);
			return -ENOMEM;
		}
		ex->ops = ops;
		TAILQ_INSERT_TAIL(ret, ex, entry);
	}
	return 0;
}

/* The old one of the same route and bus goes on as the new one. */
static void
take_over(struct exchange *ex, struct exchange *old)
{
	TAILQ_CONCAT(&ex->masters, &old->masters, entry);
	ex->phase = old->phase;
	ex->master = old->master;
	ex->request = old->request;
	ex->sent_ns = old->sent_ns;
	ex->until_ns = old->until_ns;
	ex->arriving = old->arriving;
	ex->answered = old->answered;
	ex->shown = old->shown;
	memcpy(ex->guard, old->guard, sizeof(ex->guard));
	ex->nguards = old->nguards;
	if (!old->answered)
		return;
	ex->answer = old->answer;
	ex->answer.payload =
	    memcpy(ex->answer_payload, old->answer.payload, old->answer.len);
	if (old->answer.wire != NULL)
		ex->answer.wire = memcpy(
		    ex->answer_wire, old->answer.wire, old->answer.wire_len);
}

void
exchanges_use(struct bridge *b, struct exchange_list *list)
{
	struct exchange *ex, *old;

	TAILQ_FOREACH(old, &b->exchanges, entry) {
		TAILQ_FOREACH(ex, list, entry)
			if (ex->to == old->to &&
			    strcmp(ex->route->conf->text,
				old->route->conf->text) == 0)
				take_over(ex, old);
		old->to->exchange = NULL;
	}
	exchanges_free(&b->exchanges);
	TAILQ_CONCAT(&b->exchanges, list, entry);
	TAILQ_FOREACH(ex, &b->exchanges, entry) {
		ex->to->exchange = ex;
		task_add(&ex->task, ex, exchange_label, "%s.exchange",
		    ex->route->name);
		if (ex->phase == EXCHANGE_IDLE || ex->answered)
			exchange_wake(ex);
		else
			arm(ex, now_ns());
	}
}
