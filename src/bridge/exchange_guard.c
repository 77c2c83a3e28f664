/*
 * exchange_guard: answers that may still arrive after their time is over.
 *
 * Nothing in an answer shows that it is late.  So a request to the same unit with the
 * same function waits for late_guard; others do not.
 */
#include "exchange.h"

/* The longest message of modbus-rtu. */
#define LONGEST_RTU 256

/* How long after its timeout the answer to a request may still arrive. */
static uint64_t
guard_time(const struct exchange *ex)
{
	uint64_t given = ex->route->conf->late_guard;

	return MAX(given != 0 ? given : exchange_answer_timeout(ex) / 2,
	    exchange_line_time(ex, LONGEST_RTU));
}

/* The request that was sent has not been answered in time. */
void
exchange_guard_add(struct exchange *ex, uint64_t now)
{
	/* A number shows that an answer is late. */
	if (exchange_framing(ex)->rule->number_size == 0)
		ex->guard[ex->nguards++] =
		    (struct guard){ ex->request, now + guard_time(ex) };
}

/* Whether a late answer could be mistaken for that to the master's next request. */
bool
exchange_is_guarded(const struct exchange *ex, const struct master *master)
{
	const struct framing_conf *conf = exchange_master_framing(master);
	struct modbus request;
	struct queued q;

	if (ex->nguards == 0)
		return false;
	if (ex->nguards == GUARDS)
		return true;
	if (!queue_head(&master->queue, &q) ||
	    !exchange_read(conf, q.payload, q.len, &request))
		return false;
	/* An exception contains nothing else that identifies its request. */
	for (unsigned i = 0; i < ex->nguards; i++)
		if (ex->guard[i].request.unit == request.unit &&
		    ex->guard[i].request.function == request.function)
			return true;
	return false;
}

/* Whether it is the late answer to a request. */
bool
exchange_is_late(const struct exchange *ex, const struct item *item)
{
	struct modbus m;

	if (ex->nguards == 0 ||
	    !exchange_read(exchange_framing(ex), item->payload, item->len, &m))
		return false;
	for (unsigned i = 0; i < ex->nguards; i++)
		if (modbus_answers(&ex->guard[i].request, &m))
			return true;
	return false;
}

/* When the first guard expires, 0 if there is none. */
uint64_t
exchange_first_guard(const struct exchange *ex)
{
	uint64_t first = 0;

	for (unsigned i = 0; i < ex->nguards; i++)
		if (first == 0 || ex->guard[i].until_ns < first)
			first = ex->guard[i].until_ns;
	return first;
}

/* Removes the guards that have expired, unless an answer is arriving. */
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
