/*
 * value_route: the attributes of routes, except for the keys of their sections.
 */
#include "bridge.h"
#include "value.h"

enum route_value { ROUTE_P50, ROUTE_P99, ROUTE_MAX };

static bool
print_latency(const void *object, size_t at, char *buf, size_t size)
{
	const struct histogram *h = &((const struct route *)object)->latency;
	uint64_t ns = h->max_ns;

	if (at != ROUTE_MAX)
		ns = histogram_percentile(h, at == ROUTE_P50 ? 50 : 99);
	print_seconds(ns, 9, buf, size);
	return true;
}

/* Counters of routes that have a rate, are exchanges, or have an expression. */
static bool
print_limited(const void *object, size_t at, char *buf, size_t size)
{
	const struct route *route = object;

	return print_counter(object, at, buf, size) && route->until != NULL;
}

enum choice_value { CHOICE_USED, CHOICE_SWITCHES, CHOICE_STANDBY };

/* The endpoint that the route uses, and counters, of a route with 'prefer'. */
static bool
print_choice(const void *object, size_t at, char *buf, size_t size)
{
	const struct route *route = object;
	const char *list, *word;
	size_t len;

	if (route->choice == NULL)
		return false;
	if (at != CHOICE_USED) {
		print_number(
		    at == CHOICE_SWITCHES ? route->switches : route->standby,
		    buf, size);
		return true;
	}
	list = route->choice->of_sources ? route->conf->from : route->conf->to;
	for (unsigned i = 0; (word = list_word(&list, &len)) != NULL; i++)
		if (i == route->choice->used)
			snprintf(buf, size, "%.*s", (int)len, word);
	return true;
}

/* Counters of a route with 'duplicates'. */
static bool
print_duplicates(const void *object, size_t at, char *buf, size_t size)
{
	const struct route *route = object;

	return route->duplicates != NULL &&
	    print_counter(route->duplicates, at, buf, size);
}

/* Of a route with routing = target. */
static bool
print_not_heard(const void *object, size_t at, char *buf, size_t size)
{
	const struct route *route = object;

	return route->systems != NULL && print_counter(object, at, buf, size);
}

static bool
print_exchanged(const void *object, size_t at, char *buf, size_t size)
{
	const struct exchange_stats *stats =
	    ((const struct route *)object)->stats;

	return stats != NULL && print_counter(stats, at, buf, size);
}

/* Exceptions with a code, which only Modbus has. */
static bool
print_exceptions(const void *object, size_t at, char *buf, size_t size)
{
	const struct route *route = object;

	return print_exchanged(object, at, buf, size) &&
	    route->conf->exchange == EXCHANGE_MODBUS;
}

enum bus_value { BUS_P50, BUS_P99, BUS_BUSY, BUS_UTILISATION };

static bool
print_bus(const void *object, size_t at, char *buf, size_t size)
{
	const struct exchange_stats *stats =
	    ((const struct route *)object)->stats;

	if (stats == NULL)
		return false;
	if (at == BUS_UTILISATION)
		snprintf(buf, size, "%.1f", exchange_utilisation(stats));
	else if (at == BUS_BUSY)
		print_seconds(stats->counters.busy_ns, 9, buf, size);
	else
		print_seconds(histogram_percentile(
				  &stats->bus_time, at == BUS_P50 ? 50 : 99),
		    9, buf, size);
	return true;
}

static bool
print_too_long(const void *object, size_t at, char *buf, size_t size)
{
	const struct route *route = object;

	return print_counter(object, at, buf, size) &&
	    (route->match != NULL || route->reject != NULL);
}

#define LIMITED(member) print_limited, offsetof(struct route, member)
#define EXCHANGED(member) \
	print_exchanged, offsetof(struct exchange_stats, counters.member)
#define EXCEPTIONS(code)  \
	print_exceptions, \
	    offsetof(struct exchange_stats, counters.exceptions[code])

const struct row route_rows[] = {
	{ "frames", print_counter, offsetof(struct route, frames) },
	{ "bytes", print_counter, offsetof(struct route, bytes) },
	{ "rejected", print_counter, offsetof(struct route, rejected) },
	{ "limited", LIMITED(limited) },
	{ "too_long", print_too_long, offsetof(struct route, too_long) },
	{ "used", print_choice, CHOICE_USED },
	{ "switches", print_choice, CHOICE_SWITCHES },
	{ "standby", print_choice, CHOICE_STANDBY },
	{ "duplicate_frames", print_duplicates,
	    offsetof(struct duplicates, found) },
	{ "forgotten_frames", print_duplicates,
	    offsetof(struct duplicates, forgotten) },
	{ "not_heard", print_not_heard, offsetof(struct route, not_heard) },
	{ "requests", EXCHANGED(requests) },
	{ "answers", EXCHANGED(answers) },
	{ "timeouts", EXCHANGED(timeouts) },
	{ "retried", EXCHANGED(retries) },
	{ "expired", EXCHANGED(expired) },
	{ "refused", EXCHANGED(refused) },
	{ "late", EXCHANGED(late) },
	{ "foreign", EXCHANGED(foreign) },
	{ "exceptions", EXCEPTIONS(0) },
	{ "exception_01", EXCEPTIONS(1) },
	{ "exception_02", EXCEPTIONS(2) },
	{ "exception_03", EXCEPTIONS(3) },
	{ "exception_04", EXCEPTIONS(4) },
	{ "exception_05", EXCEPTIONS(5) },
	{ "exception_06", EXCEPTIONS(6) },
	{ "exception_07", EXCEPTIONS(7) },
	{ "exception_08", EXCEPTIONS(8) },
	{ "exception_09", EXCEPTIONS(9) },
	{ "exception_0a", EXCEPTIONS(10) },
	{ "exception_0b", EXCEPTIONS(11) },
	{ "bus_p50", print_bus, BUS_P50 },
	{ "bus_p99", print_bus, BUS_P99 },
	{ "busy", print_bus, BUS_BUSY },
	{ "utilisation", print_bus, BUS_UTILISATION },
	{ "p50", print_latency, ROUTE_P50 },
	{ "p99", print_latency, ROUTE_P99 },
	{ "max", print_latency, ROUTE_MAX },
	{ .name = NULL },
};
