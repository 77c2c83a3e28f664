/*
 * exchange_request: the requests that were sent to the bus, and their answers.
 *
 * NONE -> AWAITING (sent) -> ANSWERED (all frames of the answer have arrived) -> NONE
 *		   -> FAILED (not answered in time, or the bus went down) -> NONE
 *      -> UNANSWERED (a broadcast was sent) -> NONE
 *
 * Answers and exceptions are delivered in the callback of the exchange.
 */
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "exchange_parts.h"
#include "permission.h"
#include "log.h"

/* The time that units are given to process a broadcast. */
#define TURNAROUND (100 * NSEC_PER_MSEC)

static const char *const state_names[REQUEST_STATES] = {
	[REQUEST_NONE] = "completed",
	[REQUEST_AWAITING] = "sent",
	[REQUEST_UNANSWERED] = "sent, and not answered",
	[REQUEST_ANSWERED] = "answered",
	[REQUEST_FAILED] = "failed",
};

void
request_set(struct exchange *ex, struct request *r, enum request_state state)
{
	if (log_level() >= LOG_DEBUG)
		log_to(LOG_DEBUG, ABOUT_ROUTE,
		    exchange_route(ex, r->route)->name, "a request of %s: %s",
		    exchange_master_name(r->master, "a disconnected master"),
		    state_names[state]);
	if (r->state == REQUEST_NONE)
		ex->nrequests++;
	r->state = state;
	if (state != REQUEST_NONE)
		return;
	ex->nrequests--;
	if (ex->newest == r)
		ex->newest = NULL;
	if (ex->shown == r)
		ex->shown = NULL;
	free(r->payload);
	memset(r, 0, sizeof(*r));
}

/* Nothing is sent until the silence after that time is over. */
static void
rest_after(struct exchange *ex, uint64_t ns)
{
	uint64_t gap = MAX(
	    framing_gap(exchange_framing(ex), 0), exchange_conf(ex)->min_gap);

	if (gap > 0)
		ex->rest_ns = MAX(ex->rest_ns, ns + gap);
}

/* --- delivery ------------------------------------------------------------- */

static void
deliver(struct exchange *ex, struct port *port, const struct queued *q)
{
	if (port->link->role == ROLE_WRITE)
		return;
	if (queue_room(&port->queue) < queue_cost(q->len)) {
		COUNT(port, offered, 1);
		port_drop(port, DROP_OVERFLOW, q->payload, q->len);
	} else
		ex->ops->answer(port, q);
}

/* Gives the master an exception in reply to the request. */
static void
deliver_exception(struct exchange *ex, const struct request *r)
{
	struct exchange_counters *counters =
	    &exchange_route(ex, r->route)->stats->counters;
	const struct framing_conf *conf =
	    exchange_master_framing(ex, r->master);
	const uint8_t inner[] = { r->unit,
		r->message.function | MODBUS_EXCEPTION, r->exception };
	uint8_t payload[CONVERT_MAX];
	struct queued q = { .payload = payload, .since_ns = now_ns() };
	long len = framing_outer(conf, inner, sizeof(inner), payload);

	if (len < 0)
		return;
	framing_set_number(conf, payload, (size_t)len, r->master_number);
	q.len = (size_t)len;
	q.route = r->route;
	counters->exceptions[0]++;
	if (r->exception <= EXCHANGE_EXCEPTIONS)
		counters->exceptions[r->exception]++;
	exchange_note_exception(ex, r, &q);
	deliver(ex, r->master->port, &q);
}

/*
 * A master whose messages have no numbers would take an exception of the gateway for the
 * answer of the unit to a later request; that a function is refused, a unit would report
 * itself, unless the request is a broadcast.
 */
static bool
is_told(const struct exchange *ex, const struct request *r)
{
	const struct master *master = r->master;

	if (master == NULL || master->port == NULL || !ex->protocol->units ||
	    r->exception == 0)
		return false;
	return exchange_master_numbers(master) ||
	    (r->exception == MODBUS_ILLEGAL_FUNCTION &&
		!ex->protocol->unanswered(ex, &r->message, NULL, 0));
}

/* Informs the master of a request that it gets no answer. */
static void
fail(struct exchange *ex, struct request *r)
{
	const struct master *master = r->master;

	exchange_tell_unanswered(master, r->exception == MODBUS_NO_ANSWER);
	if (is_told(ex, r))
		deliver_exception(ex, r);
	request_set(ex, r, REQUEST_NONE);
}

void
request_answer_exception(struct exchange *ex, struct master *master,
    const struct queued *q, uint8_t code)
{
	const struct framing_conf *conf = exchange_master_framing(ex, master);
	struct request r = { .master = master,
		.route = exchange_route_of(ex, master, q->route)->number,
		.exception = code };

	if (!ex->protocol->read(conf, q->payload, q->len, &r.message))
		return;
	/* Unless it is refused, a broadcast gets no answer. */
	if (code == MODBUS_NO_ANSWER &&
	    ex->protocol->unanswered(ex, &r.message, q->payload, q->len))
		return;
	r.unit = r.message.unit;
	r.master_number = framing_number(conf, q->payload, q->len);
	if (is_told(ex, &r))
		deliver_exception(ex, &r);
}

/*
 * Converts the answer to the framing of its master, and sets the unit and the number that
 * the master expects.
 */
static void
convert_answer(struct exchange *ex, const struct request *r, struct queued *q,
    uint8_t *out)
{
	const struct framing_conf *bus = exchange_framing(ex);
	const struct framing_conf *to = exchange_master_framing(ex, r->master);
	long len;

	if (!framing_differs(bus, to) && to->rule->number_size == 0 &&
	    r->unit == r->message.unit)
		return;
	if ((len = framing_inner(bus, q->payload, q->len, out)) <= 0)
		return; /* counted when it is sent */
	if (ex->protocol->units)
		out[0] = r->unit;
	if ((len = framing_outer(to, out, (size_t)len, out)) < 0)
		return;
	framing_set_number(to, out, (size_t)len, r->master_number);
	q->payload = out;
	q->len = (size_t)len;
	q->wire = NULL;
}

static void
count_exception(const struct exchange *ex, struct exchange_counters *counters,
    const struct queued *q)
{
	struct modbus m;

	if (!ex->protocol->units ||
	    !framing_modbus(exchange_framing(ex), q->payload, q->len, &m) ||
	    (m.function & MODBUS_EXCEPTION) == 0)
		return;
	counters->exceptions[0]++;
	if (m.data[0] >= 1 && m.data[0] <= EXCHANGE_EXCEPTIONS)
		counters->exceptions[m.data[0]]++;
}

/* Delivers a frame of an answer. */
static void
deliver_answer(struct exchange *ex, struct request *r, const struct queued *in)
{
	struct queued q = *in;
	uint8_t payload[CONVERT_MAX];

	if (r->master == NULL)
		return;
	count_exception(ex, &exchange_route(ex, r->route)->stats->counters, in);
	if (r->master->port == NULL)
		return;
	convert_answer(ex, r, &q, payload);
	q.route = r->route;
	deliver(ex, r->master->port, &q);
}

/* The answer was delivered, or is for none any more. */
static void
complete(struct exchange *ex, struct request *r)
{
	struct route *route = exchange_route(ex, r->route);

	if (r->master == NULL && !r->shown)
		ex->route[0]->stats->counters.late++;
	else
		route->stats->counters.answers++;
	histogram_add(
	    &ex->route[0]->stats->bus_time, r->until_ns - r->sent_ns, 1);
	rest_after(ex, r->until_ns);
	request_set(ex, r, REQUEST_NONE);
}

/* The master of a request whose route was removed or changed gets an exception. */
static void
disown(struct exchange *ex, struct request *r)
{
	r->unrouted = false;
	r->exception = MODBUS_NO_PATH;
	if (r->state != REQUEST_UNANSWERED && is_told(ex, r))
		deliver_exception(ex, r);
	r->exception = 0;
	r->master = NULL;
}

void
requests_deliver(struct exchange *ex)
{
	struct request *r;
	struct queued q;

	EACH_REQUEST(r, ex)
		if (r->unrouted)
			disown(ex, r);
	while (queue_head(&ex->answers, &q)) {
		deliver_answer(ex, &ex->request[q.route], &q);
		queue_pop(&ex->answers);
	}
	EACH_REQUEST(r, ex)
		if (r->state == REQUEST_ANSWERED)
			complete(ex, r);
		else if (r->state == REQUEST_FAILED)
			fail(ex, r);
}

/* --- sending -------------------------------------------------------------- */

static struct request *
free_request(struct exchange *ex)
{
	struct request *r = ex->request;

	while (r->state != REQUEST_NONE)
		r++;
	ex->nslots = MAX(ex->nslots, (unsigned)(r - ex->request) + 1);
	return r;
}

/* Sends it and awaits its answer; false: it was not sent. */
static bool
transmit(struct exchange *ex, struct request *r, struct queued *q)
{
	const struct framing_conf *bus = exchange_framing(ex);
	const struct route_conf *conf = exchange_conf(ex);
	uint8_t payload[CONVERT_MAX];

	if (bus->rule->number_size > 0) {
		/* A retry keeps it, so that each try may be answered. */
		if (r->tries == 0)
			r->number = ex->number = (ex->number + 1) & UINT16_MAX;
		q->payload = memcpy(payload, q->payload, q->len);
		framing_set_number(bus, payload, q->len, r->number);
	}
	if (!exchange_transmit(ex, r, q))
		return false;
	ex->arriving = 0;
	r->sent_len = q->len;
	r->sent_crc = crc32_ieee(0, q->payload, q->len);
	if (ex->protocol->unanswered(ex, &r->message, q->payload, q->len)) {
		if (ex->protocol->units)
			r->until_ns +=
			    MIN(TURNAROUND, exchange_answer_timeout(ex));
		request_set(ex, r, REQUEST_UNANSWERED);
		return true;
	}
	r->until_ns += exchange_answer_timeout(ex);
	request_set(ex, r, REQUEST_AWAITING);
	if (conf->retries == 0 || r->payload != NULL ||
	    (r->payload = malloc(q->len)) == NULL)
		return true;
	memcpy(r->payload, q->payload, q->len);
	r->len = q->len;
	return true;
}

/* Converts the request and sends it; returns the exception for its master, or 0. */
static uint8_t
send_first(struct exchange *ex, struct request *r, struct queued *q)
{
	struct route *route = exchange_route(ex, q->route);
	const struct framing_conf *from =
	    exchange_master_framing(ex, r->master);
	uint8_t payload[CONVERT_MAX];

	if (!ex->protocol->read(from, q->payload, q->len, &r->message)) {
		exchange_drop_request(ex, r->master, q, DROP_UNENCODABLE);
		return 0;
	}
	r->unit = r->message.unit;
	if (!exchange_convert(ex, from, q,
		exchange_unit_offset(ex, r->master, q->route), payload) ||
	    !ex->protocol->read(
		exchange_framing(ex), q->payload, q->len, &r->message)) {
		exchange_drop_request(ex, r->master, q, DROP_UNENCODABLE);
		return MODBUS_NO_PATH;
	}
	if (!transmit(ex, r, q))
		return ex->protocol->unanswered(
			   ex, &r->message, q->payload, q->len)
		    ? 0
		    : MODBUS_NO_PATH;
	route->stats->counters.requests++;
	return 0;
}

void
request_start(struct exchange *ex, struct master *master)
{
	struct request *r = free_request(ex);
	struct queued q;

	queue_head(&master->queue, &q);
	r->master = master;
	r->route = exchange_route(ex, q.route)->number;
	r->master_number = framing_number(
	    exchange_master_framing(ex, master), q.payload, q.len);
	r->exception = send_first(ex, r, &q);
	queue_pop(&master->queue);
	if (r->state != REQUEST_NONE)
		return;
	request_set(ex, r, REQUEST_FAILED);
	fail(ex, r);
}

/* --- requests that are not answered in time ------------------------------- */

/* Sends the request once more, if it may be sent again, or waits for the silence before. */
static bool
retry(struct exchange *ex, struct request *r, uint64_t now)
{
	struct queued q = { .payload = r->payload,
		.len = r->len,
		.since_ns = now_ns(),
		.route = r->route };

	if (r->payload == NULL || r->tries > exchange_conf(ex)->retries ||
	    r->master == NULL || r->frames > 0 || ex->bridge->stopping ||
	    !exchange_bus_open(ex) || !exchange_bus_clear(ex))
		return false;
	if (ex->rest_ns > now) {
		r->until_ns = ex->rest_ns;
		return true;
	}
	if (!transmit(ex, r, &q))
		return false;
	exchange_route(ex, r->route)->stats->counters.retries++;
	exchange_note_again(ex, r, &q);
	return true;
}

static void
answer_due(struct exchange *ex, struct request *r, uint64_t now)
{
	static struct log_limit limit;
	struct route *route = exchange_route(ex, r->route);
	bool withdrawn = ex->newest == r && exchange_withdraw(ex, DROP_STALLED);
	char unit[ENDPOINT_NAME_MAX + 24];

	exchange_forget_echo(ex);
	if (!withdrawn && retry(ex, r, now))
		return;
	route->stats->counters.timeouts++;
	if (!withdrawn || r->tries > 1)
		exchange_guard_add(ex, &r->message, now);
	if (ex->protocol->units)
		log_limited(&limit, LOG_INFO, ABOUT_ROUTE, route->name,
		    "%s did not answer %s (function %u)",
		    exchange_unit_text(ex, r, unit, sizeof(unit)),
		    exchange_master_name(r->master, "in time"),
		    r->message.function);
	else
		log_limited(&limit, LOG_INFO, ABOUT_ROUTE, route->name,
		    "'%s' did not answer %s", ex->to->endpoint->conf->name,
		    exchange_master_name(r->master, "in time"));
	r->exception = MODBUS_NO_ANSWER;
	request_set(ex, r, REQUEST_FAILED);
}

/* A request that is not answered is over, unless the bus has not accepted it yet. */
static void
unanswered_due(struct exchange *ex, struct request *r, uint64_t now)
{
	uint64_t last = r->sent_ns + exchange_answer_timeout(ex);

	if (ex->newest == r && !exchange_bus_clear(ex)) {
		if (now < last) {
			r->until_ns = MIN(last, now + UNWRITTEN);
			return;
		}
		exchange_withdraw(ex, DROP_STALLED);
	}
	rest_after(ex, r->until_ns);
	request_set(ex, r, REQUEST_NONE);
}

void
requests_due(struct exchange *ex, uint64_t now, bool arriving)
{
	struct request *r;

	EACH_REQUEST(r, ex) {
		if (r->until_ns > now)
			continue;
		if (r->state == REQUEST_AWAITING && arriving)
			r->until_ns = now + ARRIVING;
		else if (r->state == REQUEST_AWAITING)
			answer_due(ex, r, now);
		else if (r->state == REQUEST_UNANSWERED)
			unanswered_due(ex, r, now);
	}
}

uint64_t
requests_time(const struct exchange *ex)
{
	const struct request *r;
	uint64_t first = 0;

	EACH_REQUEST(r, ex)
		if (r->state != REQUEST_NONE &&
		    (first == 0 || r->until_ns < first))
			first = r->until_ns;
	return first;
}

/* --- lost masters, and a lost bus ----------------------------------------- */

/* The answer may still arrive if the bus is back soon. */
static void
lost_answer(struct exchange *ex, const struct request *r)
{
	exchange_route(ex, r->route)->stats->counters.timeouts++;
	exchange_guard_add(ex, &r->message, MAX(now_ns(), r->until_ns));
}

void
requests_bus_down(struct exchange *ex)
{
	struct request *r, *newest = ex->newest;
	bool withdrawn = exchange_withdraw(ex, DROP_DOWN);

	EACH_REQUEST(r, ex) {
		if (r->state == REQUEST_UNANSWERED)
			request_set(ex, r, REQUEST_NONE);
		if (r->state != REQUEST_AWAITING)
			continue;
		if (!withdrawn || r != newest || r->tries > 1)
			lost_answer(ex, r);
		r->exception = MODBUS_NO_PATH;
		request_set(ex, r, REQUEST_FAILED);
	}
	exchange_wake(ex);
}

void
requests_abandon(
    struct exchange *ex, const struct master *master, enum drop_reason reason)
{
	struct request *r;

	EACH_REQUEST(r, ex) {
		if (r->state == REQUEST_NONE || r->master != master ||
		    (reason == DROP_REPLACED && r->state != REQUEST_AWAITING))
			continue;
		r->master = NULL;
		if (r->state != REQUEST_AWAITING || ex->newest != r ||
		    !exchange_withdraw(ex, reason) || r->tries > 1)
			continue;
		request_set(ex, r, REQUEST_NONE);
		exchange_wake(ex);
	}
}
