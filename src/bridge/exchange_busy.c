/*
 * exchange_busy: the share of time in which the bus of an exchange is busy: from a request
 * to its answer, and in the silence that has to follow.
 */
#include "exchange_parts.h"

static void
add_busy(struct busy *busy, uint64_t from, uint64_t to)
{
	if (to - from > BUSY_SECONDS * NSEC_PER_SEC)
		from = to - BUSY_SECONDS * NSEC_PER_SEC;
	while (from < to) {
		uint64_t second = from / NSEC_PER_SEC;
		uint64_t end = MIN(to, (second + 1) * NSEC_PER_SEC);
		unsigned i = (unsigned)(second % BUSY_SECONDS);

		if (busy->second[i] != second) {
			busy->second[i] = second;
			busy->ns[i] = 0;
		}
		busy->ns[i] += end - from;
		from = end;
	}
}

void
exchange_busy_end(struct exchange *ex, uint64_t now)
{
	struct exchange_stats *stats = ex->route[0]->stats;
	struct busy *busy = &stats->busy;

	if (busy->since_ns != 0) {
		stats->counters.busy_ns += now - busy->since_ns;
		add_busy(busy, busy->since_ns, now);
	}
	busy->since_ns = 0;
}

void
exchange_busy(struct exchange *ex, uint64_t now)
{
	exchange_busy_end(ex, now);
	if (ex->nrequests > 0 || ex->rest_ns != 0)
		ex->route[0]->stats->busy.since_ns = now;
}

double
exchange_utilisation(const struct exchange_stats *stats)
{
	uint64_t now = now_ns(), second = now / NSEC_PER_SEC, ns = 0;
	struct busy busy = stats->busy;

	if (busy.since_ns != 0)
		add_busy(&busy, busy.since_ns, now);
	for (unsigned i = 0; i < BUSY_SECONDS; i++)
		if (busy.second[i] + BUSY_SECONDS > second)
			ns += busy.ns[i];
	/* The present second is not over. */
	return 100.0 * (double)ns /
	    (double)((BUSY_SECONDS - 1) * NSEC_PER_SEC + now % NSEC_PER_SEC);
}
