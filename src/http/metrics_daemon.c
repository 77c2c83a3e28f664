/*
 * metrics_daemon: the metrics of the daemon, its ports, tasks and warnings.
 */
#include <sys/resource.h>

#include <string.h>

#include <event2/buffer.h>

#include "call.h"
#include "metric.h"
#include "ports.h"
#include "pulse.h"
#include "warning.h"

static void
print_build(struct http_session *s, const void *object)
{
	(void)object;
	metric_sample(s, "");
	metric_label(s, "{", "version", VERSION);
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
			metric_sample(s, "");
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
	metric_sample(s, "");
	evbuffer_add_printf(s->out, " %lld.%06lld\n",
	    (long long)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
		(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1000000,
	    (long long)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) % 1000000);
}

static void
print_lag(struct http_session *s, const void *object)
{
	(void)object;
	metric_sample(s, "");
	metric_seconds(s, pulse_lag());
}

static void
print_lag_max(struct http_session *s, const void *object)
{
	(void)object;
	metric_sample(s, "");
	metric_seconds(s, pulse_lag_max());
}

static void
print_port_clients(const struct control *c, void *arg)
{
	struct http_session *s = arg;

	metric_named(s, "", "port", c->conf.name);
	evbuffer_add_printf(s->out, ",type=\"%s\"}", c->conf.type);
	metric_number(s, control_sessions(c));
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
	metric_named(s, "", "port", c->conf.name);
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
		metric_named(s, "", "state", task_state_name(i));
		evbuffer_add_printf(s->out, "}");
		metric_number(s, m->tasks[i]);
	}
}

static void
print_hold_max(struct http_session *s, const void *object)
{
	(void)object;
	metric_sample(s, "");
	metric_seconds(s, s->metrics->max_ns);
}

static void
print_slow(struct http_session *s, const void *object)
{
	(void)object;
	metric_sample(s, "");
	metric_number(s, s->metrics->slow);
}

/* Those that were found by now: looking for more could take long. */
static void
print_warnings(struct http_session *s, const void *object)
{
	(void)object;
	for (int i = 0; i < WARNINGS; i++) {
		metric_named(s, "", "warning", warning_names[i]);
		evbuffer_add_printf(s->out, "}");
		metric_number(s, warning_count((enum warning_kind)i));
	}
}

/* --- the table ------------------------------------------------------------ */

const struct metric daemon_metrics[] = {
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
	{ .name = NULL },
};
