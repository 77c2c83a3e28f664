/*
 * metrics: /metrics, the counters of the daemon in the text format of Prometheus.
 *
 * The format wants the samples of all objects together for each metric.  So the reply goes
 * through the table of metrics, and for each through the objects, in pieces: with
 * thousands of endpoints it takes many turns.  Values that are attributes are printed by
 * the tables of control/value.h, so that they are those that `list` shows.
 */
#include <sys/resource.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "call.h"
#include "http_reply.h"
#include "metrics.h"
#include "ports.h"
#include "pulse.h"
#include "value.h"
#include "warning.h"

/* The objects of which samples are produced in a step. */
#define STEP_OBJECTS 32

enum objects { OF_DAEMON, OF_TASKS, OF_NODES, OF_ROUTES };

struct metric {
	const char *name; /* without the prefix */
	const char *type;
	const char *help;
	enum objects of;
	const struct row *rows; /* the attribute of each object... */
	const char *attribute;
	/* ...or what prints the samples of an object, which is NULL for the daemon. */
	void (*print)(struct http_session *s, const void *object);
};

struct metrics {
	const struct metric *metric; /* the current one, or NULL: none yet */
	const struct row *row;	     /* its attribute, or NULL */
	bool headed;		     /* its HELP and TYPE are printed */
	struct cursor at;
	struct task_cursor task;
	/* Of all tasks. */
	uint64_t tasks[TASK_RUNNING + 1], max_ns, slow;
	struct node_sums sums; /* of the current node */
};

/* --- samples -------------------------------------------------------------- */

/* The name and the labels of a sample; the value and a line feed follow. */
static void
sample(struct http_session *s, const char *suffix)
{
	struct metrics *m = s->metrics;
	const struct metric *metric = m->metric;

	if (!m->headed)
		evbuffer_add_printf(s->out,
		    "# HELP ttybridge_%s %s\n# TYPE ttybridge_%s %s\n",
		    metric->name, metric->help, metric->name, metric->type);
	m->headed = true;
	evbuffer_add_printf(s->out, "ttybridge_%s%s", metric->name, suffix);
}

/* The value of a label. */
static void
label(struct http_session *s, const char *start, const char *name,
    const char *text)
{
	char safe[VALUE_TEXT_MAX];

	printable(text, safe, sizeof(safe));
	evbuffer_add_printf(s->out, "%s%s=\"", start, name);
	for (const char *p = safe; *p != '\0'; p++) {
		if (*p == '"' || *p == '\\')
			evbuffer_add(s->out, "\\", 1);
		evbuffer_add(s->out, p, 1);
	}
	evbuffer_add(s->out, "\"", 1);
}

static void
number(struct http_session *s, uint64_t n)
{
	evbuffer_add_printf(s->out, " %" PRIu64 "\n", n);
}

static void
seconds(struct http_session *s, uint64_t ns)
{
	evbuffer_add_printf(
	    s->out, " %.9g\n", (double)ns / (double)NSEC_PER_SEC);
}

/* The names of endpoints and routes need no escapes. */
static void
named(struct http_session *s, const char *suffix, const char *what,
    const char *name)
{
	sample(s, suffix);
	evbuffer_add_printf(s->out, "{%s=\"%s\"", what, name);
}

static void
of_node(struct http_session *s, const struct node *node)
{
	named(s, "", "endpoint", node->endpoint->conf->name);
}

/* --- the daemon ----------------------------------------------------------- */

static void
print_build(struct http_session *s, const void *object)
{
	(void)object;
	sample(s, "");
	label(s, "{", "version", VERSION);
	evbuffer_add_printf(s->out, "} 1\n");
}

/* An attribute of the daemon. */
static void
print_daemon(struct http_session *s, const char *name)
{
	struct call call;
	char text[VALUE_TEXT_MAX];

	call.client = &s->client;
	call.bridge = s->client.bridge;
	for (const struct row *row = daemon_rows; row->name != NULL; row++)
		if (strcmp(row->name, name) == 0 &&
		    row->print(&call, row->at, text, sizeof(text))) {
			sample(s, "");
			evbuffer_add_printf(s->out, " %s\n", text);
		}
}

static void
print_uptime(struct http_session *s, const void *object)
{
	(void)object;
	print_daemon(s, "uptime");
}

static void
print_memory(struct http_session *s, const void *object)
{
	(void)object;
	print_daemon(s, "memory");
}

static void
print_cpu(struct http_session *s, const void *object)
{
	struct rusage use;

	(void)object;
	if (getrusage(RUSAGE_SELF, &use) < 0)
		return;
	sample(s, "");
	evbuffer_add_printf(s->out, " %lld.%06lld\n",
	    (long long)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
		(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1000000,
	    (long long)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) % 1000000);
}

static void
print_lag(struct http_session *s, const void *object)
{
	(void)object;
	sample(s, "");
	seconds(s, pulse_lag());
}

static void
print_lag_max(struct http_session *s, const void *object)
{
	(void)object;
	sample(s, "");
	seconds(s, pulse_lag_max());
}

static void
print_port_clients(const struct control *c, void *arg)
{
	struct http_session *s = arg;

	named(s, "", "port", c->conf.name);
	evbuffer_add_printf(s->out, ",type=\"%s\"}", c->conf.type);
	number(s, control_sessions(c));
}

static void
print_clients(struct http_session *s, const void *object)
{
	(void)object;
	control_ports_each(print_port_clients, s);
}

static void
print_port_expiry(const struct control *c, void *arg)
{
	struct http_session *s = arg;
	const struct tls_context *tls = c->conf.context;

	if (tls == NULL || tls->expires == 0)
		return;
	named(s, "", "port", c->conf.name);
	evbuffer_add_printf(s->out, "} %lld\n", (long long)tls->expires);
}

static void
print_port_expiries(struct http_session *s, const void *object)
{
	(void)object;
	control_ports_each(print_port_expiry, s);
}

/* --- tasks ---------------------------------------------------------------- */

/* Called for each task, and with NULL after the last one. */
static void
print_tasks(struct http_session *s, const void *object)
{
	struct metrics *m = s->metrics;
	const struct task *task = object;

	if (task != NULL) {
		m->tasks[task->state]++;
		m->slow += task->slow;
		m->max_ns = MAX(m->max_ns, task->max_ns);
		return;
	}
	for (enum task_state i = TASK_IDLE; i <= TASK_RUNNING; i++) {
		named(s, "", "state", task_state_name(i));
		evbuffer_add_printf(s->out, "}");
		number(s, m->tasks[i]);
	}
}

static void
print_hold_max(struct http_session *s, const void *object)
{
	(void)object;
	sample(s, "");
	seconds(s, s->metrics->max_ns);
}

static void
print_slow(struct http_session *s, const void *object)
{
	(void)object;
	sample(s, "");
	number(s, s->metrics->slow);
}

/* Those that were found by now: looking for more could take long. */
static void
print_warnings(struct http_session *s, const void *object)
{
	(void)object;
	for (int i = 0; i < WARNINGS; i++) {
		named(s, "", "warning", warning_names[i]);
		evbuffer_add_printf(s->out, "}");
		number(s, warning_count((enum warning_kind)i));
	}
}

/* --- endpoints ------------------------------------------------------------ */

static void
print_info(struct http_session *s, const void *object)
{
	const struct endpoint *ep = ((const struct node *)object)->endpoint;

	of_node(s, object);
	label(s, ",", "type", ep->conf->ops->type);
	label(s, ",", "address", ep->address);
	label(s, ",", "framing", ep->conf->framing.rule->name);
	label(s, ",", "label", ep->conf->label != NULL ? ep->conf->label : "");
	evbuffer_add_printf(s->out, "} 1\n");
}

static void
print_up(struct http_session *s, const void *object)
{
	of_node(s, object);
	evbuffer_add_printf(
	    s->out, "} %d\n", strcmp(attribute_state(object), "up") == 0);
}

static void
print_required(struct http_session *s, const void *object)
{
	const struct node *node = object;

	of_node(s, node);
	evbuffer_add_printf(s->out, "} %d\n", node->endpoint->conf->required);
}

static void
print_state(struct http_session *s, const void *object)
{
	const char *state = attribute_state(object), *name;

	for (int i = ENDPOINT_CLOSED; i <= ENDPOINT_IDLE + 1; i++) {
		name = i > ENDPOINT_IDLE
		    ? "paused"
		    : endpoint_state_name((enum endpoint_state)i);
		of_node(s, object);
		evbuffer_add_printf(s->out, ",state=\"%s\"} %d\n", name,
		    strcmp(name, state) == 0);
	}
}

static void
print_reasons(struct http_session *s, const void *object,
    const char *const *names, size_t n, const uint64_t *counts)
{
	for (size_t i = 0; i < n; i++) {
		of_node(s, object);
		evbuffer_add_printf(s->out, ",reason=\"%s\"}", names[i]);
		number(s, counts[i]);
	}
}

static void
print_bad(struct http_session *s, const void *object)
{
	print_reasons(s, object, bad_reason_names, BAD_REASONS,
	    s->metrics->sums.traffic.bad);
}

static void
print_bad_bytes(struct http_session *s, const void *object)
{
	print_reasons(s, object, bad_reason_names, BAD_REASONS,
	    s->metrics->sums.traffic.bad_bytes);
}

static void
print_dropped(struct http_session *s, const void *object)
{
	print_reasons(s, object, drop_reason_names, DROP_REASONS,
	    s->metrics->sums.traffic.dropped);
}

static void
print_line_errors(struct http_session *s, const void *object)
{
	static const struct {
		const char *attribute, *reason;
	} errors[] = {
		{ "line_frame", "frame" },
		{ "line_parity", "parity" },
		{ "line_overrun", "overrun" },
		{ "line_break", "break" },
	};
	char text[VALUE_TEXT_MAX];

	for (const struct row *row = node_rows; row->name != NULL; row++)
		for (size_t i = 0; i < NELEM(errors); i++)
			if (strcmp(row->name, errors[i].attribute) == 0 &&
			    row->print(&s->metrics->sums, row->at, text,
				sizeof(text))) {
				of_node(s, object);
				evbuffer_add_printf(s->out,
				    ",reason=\"%s\"} %s\n", errors[i].reason,
				    text);
			}
}

static void
print_expiry(struct http_session *s, const void *object)
{
	const struct endpoint_conf *conf =
	    ((const struct node *)object)->endpoint->conf;

	if (conf->tls == NULL || conf->tls->expires == 0)
		return;
	of_node(s, object);
	evbuffer_add_printf(s->out, "} %lld\n", (long long)conf->tls->expires);
}

/* --- routes --------------------------------------------------------------- */

static void
print_histogram(
    struct http_session *s, const char *name, const struct histogram *h)
{
	uint64_t count[METRICS_BOUNDS + 1], bounds[METRICS_BOUNDS], sum;

	for (unsigned i = 0; i < METRICS_BOUNDS; i++)
		bounds[i] = METRICS_BOUND_NS(i);
	sum = histogram_below(h, bounds, METRICS_BOUNDS, count);
	for (unsigned i = 0; i <= METRICS_BOUNDS; i++) {
		named(s, "_bucket", "route", name);
		if (i < METRICS_BOUNDS)
			evbuffer_add_printf(s->out, ",le=\"%.9g\"}",
			    (double)bounds[i] / (double)NSEC_PER_SEC);
		else
			evbuffer_add_printf(s->out, ",le=\"+Inf\"}");
		number(s, count[i]);
	}
	named(s, "_sum", "route", name);
	evbuffer_add_printf(s->out, "}");
	seconds(s, sum);
	named(s, "_count", "route", name);
	evbuffer_add_printf(s->out, "}");
	number(s, count[METRICS_BOUNDS]);
}

static void
print_latency(struct http_session *s, const void *object)
{
	const struct route *r = object;

	print_histogram(s, r->name, &r->latency);
}

static void
print_bus_time(struct http_session *s, const void *object)
{
	const struct route *r = object;

	if (r->stats != NULL && r->stats->bus_time.total > 0)
		print_histogram(s, r->name, &r->stats->bus_time);
}

/* --- the table ------------------------------------------------------------ */

#define NODE(metric, kind, name_, text)                                 \
	{                                                               \
		.name = "endpoint_" metric, .type = kind, .help = text, \
		.of = OF_NODES, .rows = node_rows, .attribute = name_   \
	}
#define ROUTE(metric, kind, name_, text)                                \
	{                                                               \
		.name = "route_" metric, .type = kind, .help = text,    \
		.of = OF_ROUTES, .rows = route_rows, .attribute = name_ \
	}
#define PRINTED(objects, metric, kind, function, text)                     \
	{                                                                  \
		.name = metric, .type = kind, .help = text, .of = objects, \
		.print = function                                          \
	}

static const struct metric table[] = {
	PRINTED(OF_DAEMON, "build_info", "gauge", print_build,
	    "The version, as a label."),
	PRINTED(OF_DAEMON, "uptime_seconds", "gauge", print_uptime,
	    "Time since the process started."),
	PRINTED(OF_DAEMON, "resident_memory_bytes", "gauge", print_memory,
	    "Resident memory of the process."),
	PRINTED(OF_DAEMON, "cpu_seconds_total", "counter", print_cpu,
	    "CPU time of the process."),
	PRINTED(OF_DAEMON, "loop_lag_seconds", "gauge", print_lag,
	    "How late the last timer was, which fires once a second."),
	PRINTED(OF_DAEMON, "loop_lag_max_seconds", "gauge", print_lag_max,
	    "How late such a timer has been at most."),
	PRINTED(OF_DAEMON, "port_clients", "gauge", print_clients,
	    "Clients of control ports and web servers."),
	PRINTED(OF_DAEMON, "port_certificate_expiry_timestamp_seconds", "gauge",
	    print_port_expiries,
	    "When the certificate of a control port or web server expires."),
	PRINTED(OF_TASKS, "tasks", "gauge", print_tasks,
	    "Tasks of the event loop, by state."),
	PRINTED(OF_DAEMON, "task_hold_max_seconds", "gauge", print_hold_max,
	    "The longest time that a task has held the loop."),
	PRINTED(OF_DAEMON, "task_holds", "gauge", print_slow,
	    "Runs of the present tasks that have held the loop for over"
	    " 100 ms."),
	PRINTED(OF_DAEMON, "warnings", "gauge", print_warnings,
	    "Warnings in force, by kind."),
	PRINTED(OF_NODES, "endpoint_info", "gauge", print_info,
	    "The endpoints: type, address, framing and label."),
	PRINTED(OF_NODES, "endpoint_up", "gauge", print_up,
	    "Whether the endpoint is up."),
	PRINTED(OF_NODES, "endpoint_required", "gauge", print_required,
	    "Whether /healthz fails while it is not up."),
	PRINTED(OF_NODES, "endpoint_state", "gauge", print_state,
	    "1 for the state that it is in."),
	NODE("opens_total", "counter", "opens", "How often it was opened."),
	NODE("losses_total", "counter", "losses", "How often it was lost."),
	NODE("peers", "gauge", "peers", "Connections of a server."),
	NODE("refused_total", "counter", "refused",
	    "Connections or datagrams that were refused."),
	NODE("received_bytes_total", "counter", "rx_bytes",
	    "Bytes received on the line."),
	NODE("sent_bytes_total", "counter", "tx_bytes",
	    "Bytes sent on the line."),
	NODE("received_frames_total", "counter", "rx_frames",
	    "Frames received."),
	NODE("sent_frames_total", "counter", "tx_frames", "Frames sent."),
	NODE("received_payload_bytes_total", "counter", "rx_payload",
	    "Bytes of the payload of frames received."),
	NODE("sent_payload_bytes_total", "counter", "tx_payload",
	    "Bytes of the payload of frames sent."),
	PRINTED(OF_NODES, "endpoint_bad_frames_total", "counter", print_bad,
	    "Frames that its decoder discarded, by reason."),
	PRINTED(OF_NODES, "endpoint_bad_bytes_total", "counter",
	    print_bad_bytes, "Bytes of these, by reason."),
	PRINTED(OF_NODES, "endpoint_dropped_frames_total", "counter",
	    print_dropped, "Frames for it that were dropped, by reason."),
	NODE("dropped_bytes_total", "counter", "dropped_bytes",
	    "Bytes of the payload of frames for it that were dropped."),
	NODE("refused_frames_total", "counter", "refused_frames",
	    "Frames of clients that may not write."),
	NODE("unchecked_frames_total", "counter", "unchecked",
	    "Frames whose checksum could not be checked."),
	NODE("offered_frames_total", "counter", "offered",
	    "Frames that were to be sent to it: the sum of those that were"
	    " sent, are queued, were rejected and were dropped."),
	NODE("rejected_frames_total", "counter", "rejected",
	    "Frames that no route accepted for it."),
	NODE("queued_bytes", "gauge", "queued_bytes",
	    "Bytes of frames that wait to be written to it."),
	NODE("queued_frames", "gauge", "queued_frames",
	    "Frames that wait to be written to it."),
	NODE("stalls_total", "counter", "stalls",
	    "How often it, or a peer of it, has stalled."),
	PRINTED(OF_NODES, "endpoint_line_errors_total", "counter",
	    print_line_errors,
	    "Errors and breaks that the driver of a serial port has counted."),
	NODE("collisions_total", "counter", "collisions",
	    "Collisions with its own output, with echo = yes."),
	NODE("tls_handshakes_failed_total", "counter", "tls_failed",
	    "Handshakes of TLS that have failed."),
	PRINTED(OF_NODES, "endpoint_certificate_expiry_timestamp_seconds",
	    "gauge", print_expiry, "When its certificate expires."),
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
	ROUTE("requests_total", "counter", "requests",
	    "Requests sent to the bus of an exchange, each counted once."),
	ROUTE("answers_total", "counter", "answers",
	    "Answers that were delivered."),
	ROUTE("timeouts_total", "counter", "timeouts",
	    "Requests that were not answered in time."),
	ROUTE("retries_total", "counter", "retries",
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
};

/* --- the reply ------------------------------------------------------------ */

/* The samples of an attribute of an object. */
static void
print_attribute(
    struct http_session *s, const char *what, const char *name, const void *of)
{
	const struct row *row = s->metrics->row;
	char text[VALUE_TEXT_MAX];

	if (!row->print(of, row->at, text, sizeof(text)))
		return;
	named(s, "", what, name);
	evbuffer_add_printf(s->out, "} %s\n", text);
}

static bool
next_node(struct http_session *s)
{
	struct metrics *m = s->metrics;
	const struct node *node = cursor_node(&m->at);

	if (node == NULL)
		return false;
	m->sums.node = node;
	node_traffic(node, &m->sums.traffic);
	node_queued(node, &m->sums.bytes, &m->sums.frames);
	if (m->metric->print != NULL)
		m->metric->print(s, node);
	else
		print_attribute(
		    s, "endpoint", node->endpoint->conf->name, &m->sums);
	return true;
}

static bool
next_route(struct http_session *s)
{
	struct metrics *m = s->metrics;
	const struct route *route = cursor_route(&m->at);

	if (route == NULL)
		return false;
	if (m->metric->print != NULL)
		m->metric->print(s, route);
	else
		print_attribute(s, "route", route->name, route);
	return true;
}

static bool
next_task(struct http_session *s)
{
	struct metrics *m = s->metrics;
	const struct task *task = task_cursor_next(&m->task);

	m->metric->print(s, task);
	return task != NULL;
}

/* Prints the samples of the next object of the metric; false: there is none. */
static bool
next_object(struct http_session *s)
{
	switch (s->metrics->metric->of) {
	case OF_NODES:
		return next_node(s);
	case OF_ROUTES:
		return next_route(s);
	case OF_TASKS:
		return next_task(s);
	default:
		s->metrics->metric->print(s, NULL);
		return false;
	}
}

/* Goes on to the next metric; false: that was the last one. */
static bool
next_metric(struct metrics *m, struct bridge *b)
{
	const struct row *row;

	m->metric = m->metric == NULL ? table : m->metric + 1;
	if (m->metric == table + NELEM(table))
		return false;
	m->headed = false;
	cursor_open(&m->at, b);
	if (m->metric->of == OF_TASKS)
		task_cursor_open(&m->task);
	for (row = m->metric->rows; row != NULL; row++)
		if (strcmp(row->name, m->metric->attribute) == 0)
			break;
	m->row = row;
	return true;
}

static enum step
metrics_step(struct http_session *s)
{
	uint64_t until = now_ns() + TURN_NS / 2;
	struct metrics *m = s->metrics;

	for (unsigned i = 0; i < STEP_OBJECTS; i++) {
		if (!next_object(s) && !next_metric(m, s->client.bridge))
			return STEP_DONE;
		if (i % 4 == 3 && now_ns() >= until)
			break;
	}
	return STEP_MORE;
}

static void
metrics_end(struct http_session *s)
{
	cursor_close(&s->metrics->at);
	task_cursor_close(&s->metrics->task);
	free(s->metrics);
	s->metrics = NULL;
}

static const struct reply_ops metrics_ops = {
	.step = metrics_step,
	.end = metrics_end,
};

void
metrics_reply(struct http_session *s)
{
	s->metrics = calloc(1, sizeof(*s->metrics));
	if (s->metrics == NULL) {
		http_reply_error(s, 503, "out of memory");
		return;
	}
	next_metric(s->metrics, s->client.bridge);
	http_reply_start(
	    s, 200, "text/plain; version=0.0.4; charset=utf-8", "", -1);
	http_reply_produce(s, &metrics_ops);
}
