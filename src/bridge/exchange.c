/*
 * exchange: masters that share a bus on which one request is answered at a time (exchange
 * = modbus, exchange = any).
 *
 * The requests of each master are in a separate queue, and the masters take turns, so
 * that a master that sends many requests does not delay the others.  The next request is
 * sent to the bus; nothing else is sent until its answer arrives or its timeout expires.
 * What the answer to a request is, exchange_modbus.c and exchange_any.c decide; any other
 * frame is counted, and given to no master.  Several requests may await their answers only
 * where messages have a number that identifies the request of an answer (window).
 *
 *   exchange_submit -> queue of the master -> request_start (convert, send)
 *   exchange_answer -> answers -> requests_deliver (convert, deliver)
 *
 * A frame from the control port takes its turn like a request of a master.  Its master is
 * the tap of the session, or none if the frame is only to be sent.
 *
 * All actions that follow from a request or an answer are done in the exchange's own
 * callback, not in the turn that received it, where the batch and the buffers of the data
 * path are in use.
 *
 * Serial messages have no number.  Therefore a master that sends a Modbus request after
 * the retry window is assumed to have given up on its earlier requests: it would take an
 * answer to those for the answer to this one.  The messages of modbus-tcp do have a
 * number: such a master may have several requests queued, and gets an exception for each
 * that is not answered.
 *
 * Masters and bus may have different framings: requests and answers are converted.
 */
#include <string.h>

#include <event2/event.h>

#include "exchange_parts.h"

void
exchanges_settle(struct bridge *b)
{
	struct exchange *ex;

	TAILQ_FOREACH(ex, &b->exchanges, entry) {
		requests_deliver(ex);
		while (exchange_answer_refused(ex))
			continue;
	}
}

/* --- times ---------------------------------------------------------------- */

/* Whether more bytes of an answer have arrived since the last check. */
static bool
arrives(struct exchange *ex)
{
	const struct port *port = TAILQ_FIRST(&ex->to->ports);
	size_t had = ex->arriving;

	ex->arriving = port == NULL ? 0 : port->held_len;
	return ex->arriving > had;
}

/* Handles the times that have passed. */
static void
times_due(struct exchange *ex, uint64_t now)
{
	uint64_t guard = exchange_first_guard(ex);
	uint64_t request = requests_time(ex);
	bool arriving = false;

	if ((request != 0 && now >= request) || (guard != 0 && now >= guard))
		arriving = arrives(ex);
	exchange_guards_end(ex, now, arriving);
	requests_due(ex, now, arriving);
	if (now >= ex->rest_ns)
		ex->rest_ns = 0;
}

static bool
may_send(const struct exchange *ex)
{
	/* While the bus is down, requests fail at once. */
	return (ex->rest_ns == 0 || !exchange_bus_open(ex)) &&
	    !ex->bridge->stopping &&
	    ex->nrequests < MAX(exchange_conf(ex)->window, 1U) &&
	    exchange_bus_clear(ex);
}

/* The earlier one of two times, 0: none. */
static uint64_t
earlier(uint64_t a, uint64_t b)
{
	if (a == 0 || b == 0)
		return a + b;
	return MIN(a, b);
}

/* The time of the next action, 0: none before a request arrives. */
static uint64_t
next_time(struct exchange *ex, uint64_t now)
{
	uint64_t at = earlier(requests_time(ex), ex->rest_ns);
	size_t bytes = 0, frames = 0;

	exchange_queued(ex, &bytes, &frames);
	if (frames == 0)
		return at;
	at = earlier(at, exchange_expire(ex, now));
	if (ex->nrequests < MAX(exchange_conf(ex)->window, 1U))
		at = earlier(at,
		    exchange_bus_clear(ex) ? exchange_first_guard(ex)
					   : now + UNWRITTEN);
	return at;
}

void
exchange_arm(struct exchange *ex, uint64_t now)
{
	uint64_t at = next_time(ex, now), wait = at > now ? at - now : 0;
	struct timeval tv = to_timeval(wait);

	exchange_busy(ex, now);
	/* event_add() would take back an event that is active. */
	if (ex->woken)
		return;
	if (at == 0) {
		TASK_SET(&ex->task, TASK_IDLE);
		return;
	}
	event_add(ex->event, &tv);
	if (at == ex->rest_ns)
		precise_set(&ex->precise, ex->event, at);
	TASK_WAIT(&ex->task);
}

/*
 * Sends the requests that may be sent now.  Those that cannot be sent are limited in
 * number, so that the loop is not held.
 */
static void
send_requests(struct exchange *ex)
{
	struct master *master;

	for (unsigned n = 0; n < TURN_REQUESTS; n++) {
		if (!may_send(ex) ||
		    (master = exchange_next_master(ex)) == NULL)
			return;
		request_start(ex, master);
	}
	exchange_wake(ex);
}

void
exchange_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct exchange *ex = arg;
	uint64_t now = task_begin(&ex->task);

	(void)fd, (void)what;
	ex->woken = false;
	precise_stop(&ex->precise);
	requests_deliver(ex);
	times_due(ex, now);
	requests_deliver(ex);
	exchange_expire(ex, now);
	if (exchange_answer_refused(ex))
		exchange_wake(ex);
	send_requests(ex);
	exchange_arm(ex, now);
	task_end(&ex->task);
}
