/*
 * exchange_guard: answers that may still arrive after their timeout.
 *
 * Nothing in a serial answer shows that it is late.  Therefore a request to which a late
 * answer could be taken for the answer, one to the same unit with the same function, is
 * delayed by late_guard; other requests are not, unless there are GUARDS guards.
 */
#include "exchange_parts.h"

/* The longest message of modbus-rtu. */
#define LONGEST_RTU 256

uint64_t
exchange_guard_time(const struct exchange *ex)
{
	uint64_t given = exchange_conf(ex)->late_guard;

	return MAX(given != 0 ? given : exchange_answer_timeout(ex) / 2,
	    exchange_line_time(ex, LONGEST_RTU));
}

void
exchange_guard_add(
    struct exchange *ex, const struct modbus *request, uint64_t after)
{
	/* With numbered messages the number shows that an answer is late. */
	if (exchange_framing(ex)->rule->number_size == 0 &&
	    ex->nguards < GUARDS)
		ex->guard[ex->nguards++] =
		    (struct guard){ *request, after + exchange_guard_time(ex) };
}

bool
exchange_is_guarded(const struct exchange *ex, const struct master *master)
{
	struct modbus request;
	struct queued q;

	if (ex->nguards == 0 || !exchange_bus_open(ex))
		return false;
	if (ex->nguards == GUARDS)
		return true;
	if (!queue_head(&master->queue, &q) ||
	    !ex->protocol->read(exchange_master_framing(ex, master), q.payload,
		q.len, &request))
		return false;
	if (request.unit != MODBUS_BROADCAST)
		request.unit +=
		    (uint8_t)exchange_unit_offset(ex, master, q.route);
	for (unsigned i = 0; i < ex->nguards; i++)
		if (ex->protocol->alike(&ex->guard[i].request, &request))
			return true;
	return false;
}

bool
exchange_is_late(const struct exchange *ex, const struct item *item)
{
	for (unsigned i = 0; i < ex->nguards; i++)
		if (ex->protocol->answers(
			ex, &ex->guard[i].request, item->payload, item->len))
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
