/*
 * http_stream: /api/stream, server-sent events for the page.
 *
 * Counters.  Once a second (pulse.c) the counters of all endpoints and routes are written,
 * in turns, to one buffer, to which the outputs of all pages then refer: their number
 * costs little.  A page that has not taken the previous ones is left out, so that one that
 * has stopped needs no more memory than those.
 *
 * Frames.  The tap of a page is called in the data path, so it only copies the beginning
 * of the frame to a ring of the last ones; those that are overwritten are counted.  They
 * are sent a few times a second, which is as fast as a person reads.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "call.h"
#include "http_reply.h"
#include "http_state.h"
#include "metrics.h"
#include "pulse.h"
#include "http_stream.h"
#include "value.h"

/* The frames of a page, and the part of each that it gets. */
#define RING_FRAMES 64
#define FRAME_MAX 256
/* Names of destinations, which may be many. */
#define TO_MAX 96
#define OUTCOME_MAX 128
#define WATCH_MAX 512
/* The endpoints or routes of a step of the counters. */
#define STEP_ROWS 16
static const struct timeval frames_interval = { 0, 200000 };

struct seen {
	struct timespec ts;
	size_t size;
	size_t len;
	char from[ENDPOINT_NAME_MAX + 16];
	char to[TO_MAX];
	char outcome[OUTCOME_MAX];
	uint8_t data[FRAME_MAX];
};

struct http_stream {
	LIST_ENTRY(http_stream) entry;
	struct http_session *session;
	struct tap tap;
	struct seen *ring; /* NULL: it watches nothing */
	unsigned first, n;
	uint64_t hidden;  /* frames that were overwritten */
	uint64_t skipped; /* counters that were not sent */
};

static LIST_HEAD(, http_stream) streams = LIST_HEAD_INITIALIZER(streams);
static struct event *frames_timer; /* NULL until a page watches */
static struct task frames_task;
static void stream_end(struct http_session *s);

/* --- counters ------------------------------------------------------------- */

/* The counters that are being written. */
static struct {
	struct turn turn;
	struct evbuffer *text; /* NULL: none */
	struct cursor at;
	bool routes; /* the endpoints are done */
	bool first;  /* the next row is the first of its array */
} counters;

static void
add_number(uint64_t n)
{
	evbuffer_add_printf(counters.text, ",%" PRIu64, n);
}

static void
add_string(const char *text)
{
	evbuffer_add(counters.text, ",", 1);
	http_json_string(counters.text, text);
}

static void
next_row(const char *name)
{
	evbuffer_add_printf(counters.text, "%s[", counters.first ? "" : ",");
	http_json_string(counters.text, name);
	counters.first = false;
}

static void
add_node(const struct node *node)
{
	const struct endpoint *ep = node->endpoint;
	struct traffic t;
	size_t bytes, frames;

	node_traffic(node, &t);
	node_queued(node, &bytes, &frames);
	next_row(ep->conf->name);
	add_string(ep->conf->ops->type);
	add_string(attribute_state(node));
	add_string(ep->address);
	add_string(ep->conf->framing.rule->name);
	add_string(ep->conf->label != NULL ? ep->conf->label : "");
	add_string(ep->state != ENDPOINT_UP ? ep->error.text : "");
	add_number(t.rx_bytes);
	add_number(t.tx_bytes);
	add_number(t.rx_frames);
	add_number(t.tx_frames);
	add_number(bytes);
	add_number(frames);
	add_number(traffic_dropped(&t));
	add_number(traffic_errors(&t));
	add_number(ep->conf->queue);
	evbuffer_add(counters.text, "]", 1);
}

/* The numbers of latencies below each bound; the page shows those of the last seconds. */
static void
add_route(const struct route *route)
{
	uint64_t bounds[2 * METRICS_BOUNDS], count[NELEM(bounds) + 1];

	for (unsigned i = 0; i < NELEM(bounds); i++)
		bounds[i] = METRICS_BOUND_NS(0) << i;
	next_row(route->name);
	add_string(route->from);
	add_string(route->to);
	add_number(route->frames);
	add_number(route->bytes);
	add_number(route->rejected + route->limited + route->too_long);
	add_number(route->latency.max_ns / NSEC_PER_USEC);
	histogram_below(&route->latency, bounds, NELEM(bounds), count);
	for (unsigned i = 0; i < NELEM(count); i++)
		evbuffer_add_printf(
		    counters.text, "%s%" PRIu64, i == 0 ? ",[" : ",", count[i]);
	evbuffer_add(counters.text, "]]", 2);
}

/* Adds the next row; false: there is none. */
static bool
counters_row(void)
{
	const struct route *route;
	const struct node *node;

	if (!counters.routes) {
		if ((node = cursor_node(&counters.at)) != NULL) {
			add_node(node);
			return true;
		}
		evbuffer_add_printf(counters.text, "],\"routes\":[");
		counters.routes = counters.first = true;
	}
	if ((route = cursor_route(&counters.at)) == NULL)
		return false;
	add_route(route);
	return true;
}

static void
counters_drop(void)
{
	turns_wait(&counters.turn, false);
	cursor_close(&counters.at);
	if (counters.text != NULL)
		evbuffer_free(counters.text);
	counters.text = NULL;
}

/* Every page gets what was written; it is not copied. */
static void
counters_send(void)
{
	struct evbuffer *part = evbuffer_new();
	struct http_stream *st, *next;

	for (st = LIST_FIRST(&streams); part != NULL && st != NULL; st = next) {
		next = LIST_NEXT(st, entry);
		if (http_session_queued(st->session) > 0) {
			st->skipped++;
			continue;
		}
		if (evbuffer_add_buffer_reference(part, counters.text) == 0)
			http_reply_push(st->session, part);
	}
	if (part != NULL)
		evbuffer_free(part);
	counters_drop();
}

static void
on_counters_turn(struct turn *turn)
{
	uint64_t start = turn_begin();
	bool more = true;

	while (more && now_ns() - start < TURN_NS)
		for (unsigned i = 0; more && i < STEP_ROWS; i++)
			more = counters_row();
	if (more)
		turns_wait(turn, true);
	else {
		evbuffer_add_printf(counters.text, "]}\n\n");
		counters_send();
	}
	turn_end(start);
}

/* Begins to write the counters, unless the previous ones are not complete yet. */
static void
counters_start(void)
{
	const struct http_stream *st = LIST_FIRST(&streams);
	struct timespec ts;

	if (st == NULL || counters.text != NULL ||
	    (counters.text = evbuffer_new()) == NULL)
		return;
	clock_gettime(CLOCK_REALTIME, &ts);
	counters.turn.run = on_counters_turn;
	counters.routes = false;
	counters.first = true;
	cursor_open(&counters.at, st->session->client.bridge);
	evbuffer_add_printf(counters.text,
	    "event: counters\ndata: {\"time\":%.3f,\"uptime\":%.1f,"
	    "\"lag\":%.6f,\"endpoints\":[",
	    (double)ts.tv_sec + (double)ts.tv_nsec / 1e9,
	    (double)attribute_uptime() / 1e9, (double)pulse_lag() / 1e9);
	turns_wait(&counters.turn, true);
}

/* --- frames --------------------------------------------------------------- */

static void
frames_label(const struct task *task, char *buf, size_t size)
{
	if (task->state == TASK_WAITING)
		snprintf(buf, size, "the time to send frames to pages");
	else
		snprintf(buf, size, "nothing: no page has frames to be sent");
}

static void
on_frames_time(evutil_socket_t fd, short what, void *arg)
{
	struct http_stream *st;

	(void)fd, (void)what, (void)arg;
	task_begin(&frames_task);
	TASK_SET(&frames_task, TASK_IDLE);
	LIST_FOREACH(st, &streams, entry)
	if (st->n > 0)
		http_session_wake(st->session);
	task_end(&frames_task);
}

/* Adds a frame to the ring, in the data path. */
static void
see(struct tap *tap, const char *from, const char *to, const uint8_t *data,
    size_t len, const char *outcome)
{
	struct http_stream *st = CONTAINER_OF(tap, struct http_stream, tap);
	uint64_t start;
	struct seen *f;

	if (!turns_left()) {
		st->hidden++;
		return;
	}
	start = turn_begin();
	if (st->n == RING_FRAMES) {
		st->first = (st->first + 1) % RING_FRAMES;
		st->n--;
		st->hidden++;
	}
	f = &st->ring[(st->first + st->n++) % RING_FRAMES];
	clock_gettime(CLOCK_REALTIME, &f->ts);
	f->size = len;
	f->len = MIN(len, (size_t)FRAME_MAX);
	snprintf(f->from, sizeof(f->from), "%s", from);
	snprintf(f->to, sizeof(f->to), "%s", to);
	snprintf(f->outcome, sizeof(f->outcome), "%s", outcome);
	memcpy(f->data, data, f->len);
	if (!evtimer_pending(frames_timer, NULL)) {
		evtimer_add(frames_timer, &frames_interval);
		TASK_WAIT(&frames_task);
	}
	turn_end(start);
}

static void
on_outcome(struct tap *tap, const struct port *from, const char *to,
    const uint8_t *payload, size_t len, const char *outcome)
{
	see(tap, from->link->name, to, payload, len, outcome);
}

static void
on_sent(struct tap *tap, const struct node *to, const uint8_t *payload,
    size_t len, const char *outcome)
{
	see(tap, "control", to->endpoint->conf->name, payload, len, outcome);
}

static void
on_bad(struct tap *tap, const struct port *from, enum bad_reason reason,
    const uint8_t *data, size_t len, bool again)
{
	char text[64];

	(void)again;
	snprintf(text, sizeof(text), "discarded: %s", bad_reason_names[reason]);
	see(tap, from->link->name, "-", data, len, text);
}

static void
add_frame(struct evbuffer *out, const struct seen *f)
{
	evbuffer_add_printf(out,
	    "event: frame\ndata: {\"time\":%lld.%06ld,\"from\":",
	    (long long)f->ts.tv_sec, f->ts.tv_nsec / (long)NSEC_PER_USEC);
	http_json_string(out, f->from);
	evbuffer_add_printf(out, ",\"to\":");
	http_json_string(out, f->to);
	evbuffer_add_printf(out, ",\"outcome\":");
	http_json_string(out, f->outcome);
	evbuffer_add_printf(out, ",\"size\":%zu,\"hex\":\"", f->size);
	for (size_t i = 0; i < f->len; i++)
		evbuffer_add_printf(out, "%02x", f->data[i]);
	evbuffer_add_printf(out, "\"}\n\n");
}

/* Sends some of the frames, if the page has taken what it was sent. */
static enum step
stream_step(struct http_session *s)
{
	struct http_stream *st = s->stream;

	if (st->hidden > 0)
		evbuffer_add_printf(s->out,
		    "event: hidden\ndata: {\"frames\":%" PRIu64 "}\n\n",
		    st->hidden);
	st->hidden = 0;
	for (unsigned i = 0; i < STEP_ROWS && st->n > 0; i++) {
		add_frame(s->out, &st->ring[st->first]);
		st->first = (st->first + 1) % RING_FRAMES;
		st->n--;
	}
	return st->n > 0 ? STEP_MORE : STEP_WAIT;
}

/* The names of ?watch=A,B; NULL with a message in err. */
static char **
watched_names(const struct http_session *s, char *list, struct error *err)
{
	const char *p = list, *word;
	size_t len, n = 0;
	char **names = calloc(strlen(list) + 2, sizeof(*names));

	error_set(err, "out of memory");
	while (names != NULL && (word = list_word(&p, &len)) != NULL) {
		names[n] = strndup(word, len);
		if (names[n] != NULL &&
		    bridge_find(s->client.bridge, names[n]) != NULL) {
			n++;
			continue;
		}
		if (names[n] != NULL)
			error_set(err,
			    "unknown endpoint '%.64s'; /api/endpoints lists"
			    " them",
			    names[n]);
		tap_free_names(names);
		return NULL;
	}
	return names;
}

static int
frames_start(struct http_stream *st, struct error *err)
{
	struct event_base *base = st->session->client.bridge->base;
	char list[WATCH_MAX];
	const struct request *r = st->session->request;
	int given = request_query_only(r, "stream", "watch", err);

	if (given == 0)
		given = request_query(r, "watch", list, sizeof(list), err);
	if (given <= 0)
		return given;
	if ((st->tap.names = watched_names(st->session, list, err)) == NULL)
		return -ENOENT;
	if (frames_timer == NULL)
		frames_timer = evtimer_new(base, on_frames_time, NULL);
	st->ring = calloc(RING_FRAMES, sizeof(*st->ring));
	if (frames_timer == NULL || st->ring == NULL) {
		tap_free_names(st->tap.names);
		return error_fail(err, -ENOMEM, "out of memory");
	}
	if (frames_task.label == NULL)
		task_add(&frames_task, NULL, frames_label, "http.frames");
	st->tap.outcome = on_outcome;
	st->tap.sent = on_sent;
	st->tap.note = see;
	st->tap.bad = on_bad;
	bridge_tap(st->session->client.bridge, &st->tap);
	return 0;
}

/* --- the reply ------------------------------------------------------------ */

/* Frees what is shared by all pages. */
static void
last_end(void)
{
	counters_drop();
	pulse_call(NULL);
	if (frames_timer != NULL)
		event_free(frames_timer);
	frames_timer = NULL;
	task_remove(&frames_task);
	frames_task.label = NULL;
}

static void
stream_end(struct http_session *s)
{
	struct http_stream *st = s->stream;

	if (st->ring != NULL)
		bridge_untap(s->client.bridge, &st->tap);
	free(st->ring);
	LIST_REMOVE(st, entry);
	free(st);
	s->stream = NULL;
	if (LIST_EMPTY(&streams))
		last_end();
}

static const struct reply_ops stream_ops = {
	.step = stream_step,
	.end = stream_end,
	.endless = true,
};

static void
hello(struct http_session *s)
{
	const struct daemon_hooks *hooks = s->client.hooks;
	const char *name = hooks != NULL && hooks->daemon != NULL
	    ? hooks->daemon()->name
	    : NULL;

	evbuffer_add_printf(s->out,
	    "retry: 1000\n\nevent: hello\ndata: {\"version\":\"" VERSION
	    "\",\"access\":\"%s\",\"name\":",
	    s->control->conf.access == ACCESS_FULL ? "full" : "read");
	http_json_string(s->out, name != NULL ? name : "ttybridge");
	evbuffer_add_printf(s->out, "}\n\n");
}

void
stream_reply(struct http_session *s)
{
	struct http_stream *st = calloc(1, sizeof(*st));
	struct error err;
	int r;

	error_set(&err, "out of memory");
	if (st != NULL)
		st->session = s;
	r = st != NULL ? frames_start(st, &err) : -ENOMEM;
	if (r < 0) {
		free(st);
		http_reply_error(s,
		    r == -EINVAL       ? 400
			: r == -ENOENT ? 404
				       : 503,
		    err.text);
		return;
	}
	LIST_INSERT_HEAD(&streams, st, entry);
	s->stream = st;
	s->keep_alive = false;
	http_reply_start(s, 200, "text/event-stream", "", -1);
	http_reply_produce(s, &stream_ops);
	hello(s);
	pulse_call(counters_start);
	counters_start();
}
