/*
 * metrics_route: the metrics of routes.
 */
#include <event2/buffer.h>

#include "metric.h"
#include "metrics.h"

static void
print_histogram(
    struct http_session *s, const char *name, const struct histogram *h)
{
	uint64_t count[METRICS_BOUNDS + 1], bounds[METRICS_BOUNDS], sum;

	for (unsigned i = 0; i < METRICS_BOUNDS; i++)
		bounds[i] = METRICS_BOUND_NS(i);
	sum = histogram_below(h, bounds, METRICS_BOUNDS, count);
	for (unsigned i = 0; i <= METRICS_BOUNDS; i++) {
		metric_named(s, "_bucket", "route", name);
		if (i < METRICS_BOUNDS)
			evbuffer_add_printf(s->out, ",le=\"%.9g\"}",
			    (double)bounds[i] / (double)NSEC_PER_SEC);
		else
			evbuffer_add_printf(s->out, ",le=\"+Inf\"}");
		metric_number(s, count[i]);
	}
	metric_named(s, "_sum", "route", name);
	evbuffer_add_printf(s->out, "}");
	metric_seconds(s, sum);
	metric_named(s, "_count", "route", name);
	evbuffer_add_printf(s->out, "}");
	metric_number(s, count[METRICS_BOUNDS]);
}

static void
print_latency(struct http_session *s, const void *object)
{
	const struct route *r = object;

	print_histogram(s, r->name, &r->latency);
}

/* 1 for the endpoint that a route with 'prefer' uses. */
static void
print_used(struct http_session *s, const void *object)
{
	const struct route *r = object;
	const struct choice *choice = r->choice;
	const char *list, *word;
	size_t len;

	if (choice == NULL)
		return;
	list = choice->of_sources ? r->conf->from : r->conf->to;
	for (unsigned i = 0; (word = list_word(&list, &len)) != NULL; i++) {
		metric_named(s, "", "route", r->name);
		evbuffer_add_printf(s->out, ",endpoint=\"%.*s\"} %d\n",
		    (int)len, word, i == choice->used);
	}
}

static void
print_bus_time(struct http_session *s, const void *object)
{
	const struct route *r = object;

	if (r->stats != NULL && r->stats->bus_time.total > 0)
		print_histogram(s, r->name, &r->stats->bus_time);
}

#define ROUTE(metric, kind, name_, text)                                \
	{                                                               \
		.name = "route_" metric, .type = kind, .help = text,    \
		.of = OF_ROUTES, .rows = route_rows, .attribute = name_ \
	}

const struct metric route_metrics[] = {
	ROUTE("frames_total", "counter", "frames",
	    "Frames accepted for a destination."),
	ROUTE("bytes_total", "counter", "bytes", "Bytes of these."),
	ROUTE("rejected_frames_total", "counter", "rejected",
	    "Frames that did not pass its filter."),
	ROUTE("limited_frames_total", "counter", "limited",
	    "Frames above its rate."),
	ROUTE("too_long_frames_total", "counter", "too_long",
	    "Frames that were too expensive for its expressions."),
	PRINTED(OF_ROUTES, "route_latency_seconds", "histogram", print_latency,
	    "Time of frames inside the bridge.  The sum is an estimate, to"
	    " 3 %."),
	PRINTED(OF_ROUTES, "route_used", "gauge", print_used,
	    "1 for the endpoint that a route with prefer uses, 0 for others."),
	ROUTE("switches_total", "counter", "switches",
	    "How often it has changed to another endpoint."),
	ROUTE("standby_frames_total", "counter", "standby",
	    "Frames of, or for, endpoints that it did not use."),
	ROUTE("duplicate_frames_total", "counter", "duplicate_frames",
	    "Frames that came from another source before."),
	ROUTE("forgotten_frames_total", "counter", "forgotten_frames",
	    "Frames whose copies are forwarded, for want of room in a table."),
	ROUTE("not_heard_frames_total", "counter", "not_heard",
	    "MAVLink messages to systems that were not heard there."),
	ROUTE("requests_total", "counter", "requests",
	    "Requests sent to the bus of an exchange, each counted once."),
	ROUTE("answers_total", "counter", "answers",
	    "Answers that were delivered."),
	ROUTE("timeouts_total", "counter", "timeouts",
	    "Requests that were not answered in time."),
	ROUTE("retries_total", "counter", "retried",
	    "How often a request was sent again."),
	ROUTE("expired_total", "counter", "expired",
	    "Requests that have waited for request_timeout."),
	ROUTE("refused_requests_total", "counter", "refused",
	    "Requests whose function is not permitted."),
	ROUTE(
	    "late_total", "counter", "late", "Answers that arrived too late."),
	ROUTE("foreign_total", "counter", "foreign",
	    "Other frames while an answer was awaited."),
	ROUTE("exceptions_total", "counter", "exceptions",
	    "Exceptions of Modbus that were given to masters."),
	ROUTE("bus_busy_seconds_total", "counter", "busy",
	    "Time in which the bus was not idle."),
	PRINTED(OF_ROUTES, "route_bus_seconds", "histogram", print_bus_time,
	    "Time from a request on the bus to its answer.  The sum is an"
	    " estimate, to 3 %."),
	{ .name = NULL },
};
