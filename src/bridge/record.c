/*
 * record: logs of endpoints, and histories of what was read.
 *
 * All of them have one tap, which is on the bridge while there is one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/event.h>

#include "forward.h"
#include "history.h"
#include "log.h"
#include "record.h"
#include "warning.h"
#include "writer.h"

/* A longer line is logged in pieces. */
#define LOG_LINE 1024
/* What may wait for the disk. */
#define LOG_WAITING ((size_t)4 * 1024 * 1024)
/* The interval at which the beginnings of lines are logged that are older. */
#define LOOK_NS NSEC_PER_SEC

/* The beginning of a line. */
struct piece {
	struct timespec ts; /* of its first byte */
	uint64_t since_ns;
	size_t len;
	bool after_cr; /* an LF belongs to the line before */
	uint8_t data[LOG_LINE];
};

struct port_lines {
	struct piece in, out;
};

struct node_log {
	struct writer_file *file;
	char *path;
	char name[ENDPOINT_NAME_MAX];
	int error; /* that was logged */
};

/* --- lines --------------------------------------------------------------------- */

static size_t
put_time(char *buf, size_t size, const struct timespec *ts)
{
	struct tm tm;
	size_t len;

	localtime_r(&ts->tv_sec, &tm);
	len = strftime(buf, size, "%Y-%m-%d %H:%M:%S", &tm);
	return len +
	    (size_t)snprintf(buf + len, size - len, ".%03ld",
		ts->tv_nsec / (long)NSEC_PER_MSEC);
}

/* The time, the name of a peer, and the direction. */
static size_t
put_start(char *buf, size_t size, const struct port *port, bool out,
    const struct timespec *ts)
{
	bool several = port->conf->ops->several;
	size_t len = put_time(buf, size, ts);

	return len +
	    (size_t)snprintf(buf + len, size - len, " %s%s%c ",
		several ? port->link->name : "", several ? " " : "",
		out ? '>' : '<');
}

static void
put_line(const struct port *port, const char *text, size_t len)
{
	struct iovec part[2] = { { (void *)(uintptr_t)text, len },
		{ (void *)(uintptr_t) "\n", 1 } };

	writer_put(port->node->log->file, part, 2);
}

static void
log_text(const struct port *port, bool out, const struct timespec *ts,
    const uint8_t *data, size_t len)
{
	char line[4 * LOG_LINE + 128];
	size_t at = put_start(line, sizeof(line), port, out, ts);

	at += escape(data, len, line + at, sizeof(line) - at);
	put_line(port, line, at);
}

static void
log_hex(const struct port *port, bool out, const struct timespec *ts,
    const uint8_t *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	char line[3 * LOG_LINE + 128];
	size_t at = put_start(line, sizeof(line), port, out, ts);

	for (size_t i = 0; i < len; i++) {
		line[at++] = digits[data[i] >> 4];
		line[at++] = digits[data[i] & 15];
		line[at++] = ' ';
	}
	put_line(port, line, at - (len > 0));
}

/* Escapes quotation marks and backslashes of text without control characters. */
static size_t
put_quoted(char *buf, const char *text)
{
	char *to = buf;

	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			*to++ = '\\';
		*to++ = *text;
	}
	return (size_t)(to - buf);
}

static void
log_json(const struct port *port, bool out, const struct timespec *ts,
    const uint8_t *data, size_t len)
{
	char text[4 * LOG_LINE + 8], line[2 * sizeof(text) + 192];
	int n;

	escape(data, len, text, sizeof(text));
	n = snprintf(line, 192,
	    "{\"time\":%lld.%06ld,\"endpoint\":\"%s\",\"direction\":\"%s\","
	    "\"size\":%zu,\"text\":\"",
	    (long long)ts->tv_sec, ts->tv_nsec / (long)NSEC_PER_USEC,
	    port->link->name, out ? "out" : "in", len);
	n += (int)put_quoted(line + n, text);
	line[n++] = '"';
	line[n++] = '}';
	put_line(port, line, (size_t)n);
}

static void
log_piece(const struct port *port, bool out, struct piece *p)
{
	if (port->conf->log_format == LOG_JSON)
		log_json(port, out, &p->ts, p->data, p->len);
	else
		log_text(port, out, &p->ts, p->data, p->len);
	p->len = 0;
}

/* --- the beginnings of lines ---------------------------------------------------- */

static void
flush_piece(const struct port *port, bool out, struct piece *p, uint64_t before)
{
	if (p->len > 0 && p->since_ns <= before)
		log_piece(port, out, p);
}

/* Logs the beginnings of lines that began before that time. */
static void
flush_port(const struct port *port, uint64_t before)
{
	struct port_lines *lines = port->lines;

	if (lines == NULL || port->node->log == NULL)
		return;
	flush_piece(port, false, &lines->in, before);
	flush_piece(port, true, &lines->out, before);
}

void
bridge_flush_logs(struct bridge *b, uint64_t before)
{
	const struct port *port;

	for (unsigned i = 0; i < b->nnodes; i++)
		if (b->node[i]->log != NULL)
			TAILQ_FOREACH(port, &b->node[i]->ports, entry)
				flush_port(port, before);
}

static bool
has_beginnings(const struct bridge *b)
{
	const struct port *port;

	for (unsigned i = 0; i < b->nnodes; i++)
		TAILQ_FOREACH(port, &b->node[i]->ports, entry)
			if (port->lines != NULL &&
			    (port->lines->in.len > 0 ||
				port->lines->out.len > 0))
				return true;
	return false;
}

static void
arm(struct bridge *b)
{
	const struct timeval tv = to_timeval(LOOK_NS);

	if (event_pending(b->log_timer, EV_TIMEOUT, NULL))
		return;
	event_add(b->log_timer, &tv);
	TASK_WAIT(&b->log_task);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct bridge *b = arg;
	uint64_t now;

	(void)fd, (void)what;
	now = task_begin(&b->log_task);
	TASK_SET(&b->log_task, TASK_IDLE);
	bridge_flush_logs(b, now - LOOK_NS);
	if (has_beginnings(b))
		arm(b);
	task_end(&b->log_task);
}

static void
label(const struct task *task, char *buf, size_t size)
{
	snprintf(buf, size, "%s",
	    task->state == TASK_IDLE
		? "nothing: all lines are logged"
		: "a second to pass, to log the beginnings of lines");
}

/* Adds bytes to a line; an LF, a CR or both end it. */
static void
log_lines(const struct port *port, bool out, struct piece *p,
    const struct timespec *ts, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		bool second = data[i] == '\n' && p->after_cr;

		p->after_cr = data[i] == '\r';
		if (second)
			continue;
		if (p->len == 0) {
			p->ts = *ts;
			p->since_ns = task_now();
		}
		if (data[i] == '\n' || data[i] == '\r') {
			log_piece(port, out, p);
			continue;
		}
		p->data[p->len++] = data[i];
		if (p->len == LOG_LINE)
			log_piece(port, out, p);
	}
	if (p->len > 0)
		arm(port->node->bridge);
}

/* --- the tap -------------------------------------------------------------------- */

static void
on_bytes(struct tap *tap, const struct port *port, bool out,
    const uint8_t *data, size_t len)
{
	/* The tap is passed const ports; this is their recorder. */
	struct port *own = (struct port *)(uintptr_t)port;
	struct history *h = port->node->history;
	struct timespec ts;
	size_t n;

	(void)tap;
	if (!out && h != NULL && history_is_input(h))
		history_add(h, data, len);
	if (port->node->log == NULL)
		return;
	clock_gettime(CLOCK_REALTIME, &ts);
	if (port->conf->log_format == LOG_HEX) {
		for (; len > 0; data += n, len -= n) {
			n = MIN(len, (size_t)LOG_LINE);
			log_hex(port, out, &ts, data, n);
		}
		return;
	}
	if (own->lines == NULL &&
	    (own->lines = calloc(1, sizeof(*own->lines))) == NULL)
		return;
	log_lines(port, out, out ? &own->lines->out : &own->lines->in, &ts,
	    data, len);
}

/* Starts what all logs of the bridge need; -ENOMEM. */
static int
recorder_start(struct bridge *b)
{
	if (b->log_timer != NULL)
		return 0;
	if ((b->log_timer = evtimer_new(b->base, on_timer, b)) == NULL)
		return -ENOMEM;
	task_add(&b->log_task, b, label, "daemon.logs");
	b->log_tap = (struct tap){ .bytes = on_bytes };
	bridge_tap(b, &b->log_tap);
	return 0;
}

static void
recorder_stop(struct bridge *b)
{
	if (b->nlogs > 0 || b->log_timer == NULL)
		return;
	bridge_untap(b, &b->log_tap);
	task_remove(&b->log_task);
	event_free(b->log_timer);
	b->log_timer = NULL;
}

/* --- opening and closing ------------------------------------------------------- */

static void
on_changed(void *arg)
{
	struct node_log *log = arg;
	struct writer_stats stats;

	writer_get(log->file, &stats);
	if (stats.error == log->error)
		return;
	log->error = stats.error;
	warnings_due(now_ns());
	if (stats.error != 0)
		log_to(LOG_WARNING, ABOUT_ENDPOINT, log->name,
		    "its log '%s' cannot be written: %s", log->path,
		    writer_error(stats.error));
	else
		log_to(LOG_NOTICE, ABOUT_ENDPOINT, log->name,
		    "its log '%s' is written again; %llu line%s missing",
		    log->path, (unsigned long long)stats.missing,
		    stats.missing == 1 ? " is" : "s are");
}

static void
on_closed(void *arg)
{
	struct node_log *log = arg;

	free(log->path);
	free(log);
}

static void
log_close(struct node *node)
{
	struct port *port;

	if (node->log == NULL)
		return;
	TAILQ_FOREACH(port, &node->ports, entry)
		port_record_end(port);
	writer_close(node->log->file);
	node->log = NULL;
	node->bridge->nlogs--;
	recorder_stop(node->bridge);
}

static int
node_log_open(struct node *node)
{
	const struct endpoint_conf *c = node->endpoint->conf;
	struct node_log *log = calloc(1, sizeof(*log));
	struct writer_conf conf = { .path = c->log,
		.size = c->log_size,
		.files = (unsigned)c->log_files,
		.limit = LOG_WAITING,
		.log = true,
		.changed = on_changed,
		.closed = on_closed,
		.arg = log };
	int r = -ENOMEM;

	if (log != NULL && (log->path = strdup(c->log)) != NULL &&
	    (r = recorder_start(node->bridge)) == 0 &&
	    (r = writer_open(node->bridge->base, &conf, -1, &log->file)) == 0) {
		snprintf(log->name, sizeof(log->name), "%s", c->name);
		node->log = log;
		node->bridge->nlogs++;
		return 0;
	}
	recorder_stop(node->bridge);
	if (log != NULL)
		free(log->path);
	free(log);
	return r;
}

/* Uses the key history, and counts a history of input as one that needs the tap. */
static void
follow_history(struct node *node)
{
	struct bridge *b = node->bridge;
	bool had = node->history != NULL && history_is_input(node->history);
	bool has;

	node_history(node);
	has = node->history != NULL && history_is_input(node->history);
	if (has && !had) {
		if (recorder_start(b) < 0)
			log_to(LOG_WARNING, ABOUT_ENDPOINT,
			    node->endpoint->conf->name,
			    "no memory for its history");
		b->nlogs++;
	} else if (had && !has) {
		b->nlogs--;
		recorder_stop(b);
	}
}

static void
follow_log(struct node *node)
{
	const struct endpoint_conf *c = node->endpoint->conf;
	int r;

	node_record_change(node, c);
	if (c->log == NULL)
		return;
	if (node->log != NULL)
		writer_resize(
		    node->log->file, c->log_size, (unsigned)c->log_files);
	else if ((r = node_log_open(node)) < 0)
		log_to(LOG_WARNING, ABOUT_ENDPOINT, c->name,
		    "its log '%s' cannot be written: %s", c->log, strerror(-r));
}

void
node_record(struct node *node)
{
	follow_history(node);
	follow_log(node);
}

void
node_record_change(struct node *node, const struct endpoint_conf *conf)
{
	if (node->log != NULL &&
	    (conf == NULL || conf->log == NULL ||
		strcmp(conf->log, node->log->path) != 0))
		log_close(node);
}

void
node_record_restore(struct node *node, const struct span *input,
    const struct unpack *frames, size_t nframes)
{
	follow_history(node);
	if (node->history != NULL)
		history_restore(node->history, input, frames, nframes);
}

void
node_record_end(struct node *node)
{
	log_close(node);
	if (node->history != NULL && history_is_input(node->history)) {
		node->bridge->nlogs--;
		recorder_stop(node->bridge);
	}
	history_free(node->history);
	node->history = NULL;
}

void
port_record_end(struct port *port)
{
	flush_port(port, UINT64_MAX);
	free(port->lines);
	port->lines = NULL;
}

void
bridge_reopen_logs(struct bridge *b)
{
	for (unsigned i = 0; i < b->nnodes; i++)
		if (b->node[i]->log != NULL)
			writer_reopen(b->node[i]->log->file);
}

bool
node_log_stats(const struct node *node, struct writer_stats *ret)
{
	if (node->log == NULL)
		return false;
	writer_get(node->log->file, ret);
	return true;
}
