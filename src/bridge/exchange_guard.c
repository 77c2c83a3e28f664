/*
 * exchange_guard: answers that may still arrive after their timeout.
 *
 * Nothing in a serial answer shows that it is late.  Therefore a request to the same unit
 * with the same function is delayed by late_guard; other requests are not, unless there
 * are GUARDS guards.
 */
#include "exchange.h"

/* The longest message of modbus-rtu. */
#define LONGEST_RTU 256

/* The time after the timeout during which the answer to a request may still arrive. */
static uint64_t
guard_time(const struct exchange *ex)
{
	uint64_t given = ex->route->conf->late_guard;

	return MAX(given != 0 ? given : exchange_answer_timeout(ex) / 2,
	    exchange_line_time(ex, LONGEST_RTU));
}

void
exchange_guard_add(struct exchange *ex, uint64_t now)
{
	/* With numbered messages the number shows that an answer is late. */
	if (exchange_framing(ex)->rule->number_size == 0)
		ex->guard[ex->nguards++] =
		    (struct guard){ ex->request, now + guard_time(ex) };
}

bool
exchange_is_guarded(const struct exchange *ex, const struct master *master)
{
	struct modbus request;
	struct queued q;

	if (ex->nguards == 0)
		return false;
	if (ex->nguards == GUARDS)
		return true;
	if (!queue_head(&master->queue, &q) ||
	    !exchange_read_request(ex, master, &q, &request))
		return false;
	/* An exception response contains nothing else that identifies its request. */
	for (unsigned i = 0; i < ex->nguards; i++)
		if (ex->guard[i].request.unit == request.unit &&
		    ex->guard[i].request.function == request.function)
			return true;
	return false;
}

bool
exchange_is_late(const struct exchange *ex, const struct item *item)
{
	struct modbus m;

	if (ex->nguards == 0 ||
	    !framing_modbus(exchange_framing(ex), item->payload, item->len, &m))
		return false;
	for (unsigned i = 0; i < ex->nguards; i++)
		if (modbus_answers(&ex->guard[i].request, &m))
			return true;
	return false;
}

uint64_t
exchange_first_guard(const struct exchange *ex)
{
	uint64_t first = 0;

	for (unsigned i = 0; i < ex->nguards; i++)
		if (first == 0 || ex->guard[i].until_ns < first)
			first = ex->guard[i].until_ns;
	return first;
}

void
exchange_guards_end(struct exchange *ex, uint64_t now, bool arriving)
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
