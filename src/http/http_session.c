/*
 * http_session: reads requests, and sends replies.
 *
 * http_update() alone decides from a session's state what it waits for:
 *
 * task      waits for
 * read      a request; of a reply without an end, the client to close
 * write     the client to take what is queued
 * deadline  the time in which a request has to arrive, its reply has to be taken, or
 *           another request may follow; of a reply without an end, the time in which the
 *           client has to take something, while anything is queued
 *
 * A reply is produced in steps within turns (control/turns.h), so that the bridge is not
 * delayed.  While more than HTTP_OUTPUT_MARK is queued for the client, the session gets no
 * turn: a client that does not read needs no more memory than that and a step.
 *
 * Input is read only up to the end of a request.  A client that the daemon closes first
 * gets what is queued; the session then lingers, because a close with unread input would
 * reset the connection.  Nothing is freed inside a callback of the bufferevent.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "call.h"
#include "command.h"
#include "http_session.h"

/* The output that the kernel holds for a client, which would otherwise be megabytes. */
#define SEND_BUFFER (128 * 1024)
#define LINGER_NS NSEC_PER_SEC
/* More input than a request can have is not read. */
#define INPUT_MAX (REQUEST_HEAD_MAX + REQUEST_BODY_MAX)

struct http_list http_sessions = TAILQ_HEAD_INITIALIZER(http_sessions);

static const char *const state_names[] = {
	[HTTP_IDLE] = "idle",
	[HTTP_READING] = "reading",
	[HTTP_REPLYING] = "replying",
	[HTTP_LINGERING] = "lingering",
	[HTTP_CLOSED] = "closed",
};

/* --- labels --------------------------------------------------------------- */

static const char *
request_name(const struct http_session *s)
{
	return s->request != NULL && s->request->path != NULL ? s->request->path
							      : "a request";
}

static void
read_label(const struct task *task, char *buf, size_t size)
{
	const struct http_session *s = task->arg;

	switch (s->state) {
	case HTTP_IDLE:
		snprintf(buf, size, "a request from %s", s->address);
		break;
	case HTTP_READING:
		snprintf(
		    buf, size, "the rest of a request from %s", s->address);
		break;
	case HTTP_REPLYING:
		if (s->client.asking)
			command_ask_label(&s->client, buf, size);
		else
			snprintf(buf, size,
			    "the end of the reply to %s (%.64s)", s->address,
			    request_name(s));
		break;
	default:
		snprintf(buf, size, "%s to close", s->address);
	}
}

static void
write_label(const struct task *task, char *buf, size_t size)
{
	const struct http_session *s = task->arg;
	size_t queued = http_session_queued(s);
	char text[24];

	if (queued > 0)
		snprintf(buf, size, "%s to read its reply (%s wait)",
		    s->address, format_size(queued, text, sizeof(text)));
	else
		snprintf(buf, size, "nothing to write to %s", s->address);
}

static void
deadline_label(const struct task *task, char *buf, size_t size)
{
	const struct http_session *s = task->arg;

	if (task->state == TASK_WAITING)
		snprintf(buf, size, "the time of %s to be over (%s)",
		    s->address, state_names[s->state]);
	else
		snprintf(
		    buf, size, "nothing: %s has no deadline now", s->address);
}

/* --- state ---------------------------------------------------------------- */

size_t
http_session_queued(const struct http_session *s)
{
	return evbuffer_get_length(bufferevent_get_output(s->bev));
}

static bool
is_full(const struct http_session *s)
{
	return http_session_queued(s) > HTTP_OUTPUT_MARK;
}

static bool
is_endless(const struct http_session *s)
{
	return s->reply != NULL && s->reply->endless;
}

static void
set_deadline(struct http_session *s, uint64_t ns)
{
	struct timeval tv = to_timeval(ns);

	event_add(s->timer, &tv);
	TASK_WAIT(&s->deadline);
}

static void
no_deadline(struct http_session *s)
{
	event_del(s->timer);
	TASK_SET(&s->deadline, TASK_IDLE);
}

/* The only writer of the state. */
static void
set_state(struct http_session *s, enum http_state state)
{
	s->state = state;
	s->since_ns = now_ns();
	s->seen = s->in_flight - http_session_queued(s);
	if (state == HTTP_CLOSED)
		no_deadline(s);
	else
		set_deadline(s,
		    state == HTTP_LINGERING ? LINGER_NS
					    : s->control->conf.request_timeout);
}

void
http_session_close(struct http_session *s, const char *why)
{
	if (s->state == HTTP_CLOSED)
		return;
	log_to(LOG_DEBUG, ABOUT_CONTROL, s->name,
	    "the connection of %s ended after %llu requests (%s)", s->address,
	    (unsigned long long)s->requests, why);
	set_state(s, HTTP_CLOSED);
	s->client.closed = true;
	bufferevent_disable(s->bev, EV_READ | EV_WRITE);
	turns_wait(&s->turn, false);
	TASK_SET(&s->read, TASK_IDLE);
	TASK_SET(&s->write, TASK_IDLE);
	event_active(s->timer, EV_TIMEOUT, 1);
}

/* All is sent that will be. */
static void
linger(struct http_session *s)
{
	if (s->ended) {
		http_session_close(s, "done");
		return;
	}
	if (s->tls != NULL)
		tls_library->finish(s->tls);
	shutdown(bufferevent_getfd(s->bev), SHUT_WR);
	set_state(s, HTTP_LINGERING);
}

/* There is no deadline while an answer is awaited: a query has a timeout of its own. */
static void
update_deadline(struct http_session *s, size_t queued)
{
	if (s->client.asking && !s->asking)
		no_deadline(s);
	else if (!s->client.asking && s->asking)
		set_deadline(s, s->control->conf.request_timeout);
	s->asking = s->client.asking;
	if (!is_endless(s))
		return;
	if (queued == 0)
		no_deadline(s);
	else if (!evtimer_pending(s->timer, NULL)) {
		s->seen = s->in_flight - queued;
		set_deadline(s, s->control->conf.request_timeout);
	}
}

static void
http_update(struct http_session *s)
{
	bool reading, input;
	size_t queued;

	if (s->state == HTTP_CLOSED)
		return;
	queued = http_session_queued(s);
	if (s->state == HTTP_REPLYING && s->reply == NULL && queued == 0)
		linger(s);
	if (s->state == HTTP_CLOSED)
		return;
	input = evbuffer_get_length(bufferevent_get_input(s->bev)) > 0;
	turns_wait(&s->turn,
	    queued <= HTTP_OUTPUT_MARK &&
		(s->state == HTTP_REPLYING ? s->reply != NULL && s->more
					   : s->state == HTTP_IDLE && input));
	update_deadline(s, queued);
	TASK_SET(&s->write, queued > 0 ? TASK_WAITING : TASK_IDLE);
	reading = !s->ended && (s->state != HTTP_REPLYING || is_endless(s));
	if (!reading)
		bufferevent_disable(s->bev, EV_READ);
	else if (!(bufferevent_get_enabled(s->bev) & EV_READ) &&
	    bufferevent_enable(s->bev, EV_READ) < 0) {
		http_session_close(s, strerror(errno));
		return;
	}
	TASK_SET(&s->read,
	    reading			    ? TASK_WAITING
		: s->state == HTTP_REPLYING ? TASK_PAUSED
					    : TASK_IDLE);
}

/* --- replies -------------------------------------------------------------- */

static const char *
status_text(int status)
{
	static const struct {
		int status;
		const char *text;
	} texts[] = {
		{ 200, "OK" },
		{ 400, "Bad Request" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 411, "Length Required" },
		{ 413, "Content Too Large" },
		{ 417, "Expectation Failed" },
		{ 431, "Request Header Fields Too Large" },
		{ 501, "Not Implemented" },
		{ 503, "Service Unavailable" },
		{ 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < NELEM(texts); i++)
		if (texts[i].status == status)
			return texts[i].text;
	return "Error";
}

/* What was added to the output is sent. */
static void
sent(struct http_session *s, size_t before)
{
	s->in_flight += http_session_queued(s) - before;
	if (bufferevent_enable(s->bev, EV_WRITE) < 0)
		http_session_close(s, strerror(errno));
}

void
http_reply_start(struct http_session *s, int status, const char *type,
    const char *headers, ssize_t len)
{
	struct evbuffer *out = bufferevent_get_output(s->bev);
	size_t before = evbuffer_get_length(out);
	const struct request *r = s->request;
	bool http10 = r != NULL && r->http10;

	s->bodyless = r != NULL && r->method == METHOD_HEAD;
	s->chunked = len < 0 && !http10;
	s->started = true;
	if (len < 0 && http10)
		s->keep_alive = false;
	evbuffer_add_printf(out,
	    "HTTP/1.1 %d %s\r\n"
	    "Content-Type: %s\r\n"
	    "Cache-Control: no-store\r\n"
	    "X-Content-Type-Options: nosniff\r\n"
	    "Referrer-Policy: no-referrer\r\n"
	    "Cross-Origin-Resource-Policy: same-origin\r\n"
	    "%s",
	    status, status_text(status), type, headers);
	if (strstr(headers, "Content-Security-Policy") == NULL)
		evbuffer_add_printf(out,
		    "Content-Security-Policy: default-src 'none';"
		    " frame-ancestors 'none'\r\n");
	if (len >= 0)
		evbuffer_add_printf(out, "Content-Length: %zd\r\n", len);
	else if (s->chunked)
		evbuffer_add_printf(out, "Transfer-Encoding: chunked\r\n");
	evbuffer_add_printf(out, "Connection: %s\r\n\r\n",
	    s->keep_alive ? "keep-alive" : "close");
	sent(s, before);
}

static void
push(struct http_session *s, struct evbuffer *data)
{
	struct evbuffer *out = bufferevent_get_output(s->bev);
	size_t before = evbuffer_get_length(out);
	size_t len = evbuffer_get_length(data);

	if (len == 0 || s->state == HTTP_CLOSED)
		return;
	if (s->bodyless) {
		evbuffer_drain(data, len);
		return;
	}
	if (s->chunked)
		evbuffer_add_printf(out, "%zx\r\n", len);
	evbuffer_add_buffer(out, data);
	if (s->chunked)
		evbuffer_add(out, "\r\n", 2);
	sent(s, before);
}

void
http_session_push(struct http_session *s, struct evbuffer *data)
{
	push(s, data);
	http_update(s);
}

/* The reply is complete, or has failed. */
static void
reply_end(struct http_session *s)
{
	if (s->reply != NULL && s->reply->end != NULL)
		s->reply->end(s);
	command_forget(&s->client);
	evbuffer_drain(s->client.reply, evbuffer_get_length(s->client.reply));
	s->reply = NULL;
	s->more = false;
	free(s->request);
	free(s->body);
	s->request = NULL;
	s->body = NULL;
}

/* The next request may follow, or the connection is closed once all is sent. */
static void
reply_done(struct http_session *s)
{
	struct evbuffer *out = bufferevent_get_output(s->bev);
	size_t before = evbuffer_get_length(out);

	if (s->chunked && !s->bodyless) {
		evbuffer_add(out, "0\r\n\r\n", 5);
		sent(s, before);
	}
	reply_end(s);
	if (s->keep_alive && !s->ended)
		set_state(s, HTTP_IDLE);
}

static enum step
whole_step(struct http_session *s)
{
	(void)s;
	return STEP_DONE;
}

static const struct reply_ops whole_reply = { .step = whole_step };

void
http_reply_whole(
    struct http_session *s, int status, const char *type, const char *headers)
{
	http_reply_start(
	    s, status, type, headers, (ssize_t)evbuffer_get_length(s->out));
	http_reply_produce(s, &whole_reply);
}

void
http_reply_text(struct http_session *s, int status, const char *text)
{
	evbuffer_add_printf(s->out, "%s\n", text);
	http_reply_whole(s, status, "text/plain; charset=utf-8", "");
}

void
http_json_string(struct evbuffer *out, const char *text)
{
	char safe[CLIENT_ERROR_MAX];

	printable(text, safe, sizeof(safe));
	evbuffer_add(out, "\"", 1);
	call_json_text(out, safe);
	evbuffer_add(out, "\"", 1);
}

void
http_reply_error(struct http_session *s, int status, const char *text)
{
	evbuffer_add_printf(s->out, "{\"error\":");
	http_json_string(s->out, text);
	evbuffer_add_printf(s->out, "}\n");
	http_reply_whole(s, status, "application/json", "");
}

void
http_reply_produce(struct http_session *s, const struct reply_ops *ops)
{
	s->reply = ops;
	s->more = true;
	if (ops->endless)
		no_deadline(s);
}

void
http_session_wake(struct http_session *s)
{
	if (s->state != HTTP_REPLYING || s->reply == NULL)
		return;
	s->more = true;
	if (!is_full(s))
		turns_wait(&s->turn, true);
}

/* --- requests ------------------------------------------------------------- */

/* Refuses what is no valid request; what follows it cannot be understood. */
static void
bad_request(struct http_session *s, int status, const char *why)
{
	s->keep_alive = false;
	set_state(s, HTTP_REPLYING);
	log_limited(&s->control->refused, LOG_NOTICE, ABOUT_CONTROL,
	    s->control->conf.name, "%s refused: %s", s->address, why);
	http_reply_text(s, status, why);
}

/*
 * Takes a request out of the input; 0: it is not complete, or -STATUS with the reason in
 * why.
 */
static int
take_request(struct http_session *s)
{
	struct evbuffer *in = bufferevent_get_input(s->bev);
	size_t len = MIN(evbuffer_get_length(in), (size_t)REQUEST_HEAD_MAX);
	const char *data = (const char *)evbuffer_pullup(in, (ssize_t)len);
	int head;

	if (s->request == NULL &&
	    (s->request = malloc(sizeof(*s->request))) == NULL)
		return -503;
	head = request_parse(s->request, data, data != NULL ? len : 0);
	if (head <= 0 ||
	    evbuffer_get_length(in) < (size_t)head + s->request->body)
		return MIN(head, 0);
	s->body = malloc(s->request->body + 1);
	if (s->body == NULL)
		return -503;
	evbuffer_drain(in, (size_t)head);
	evbuffer_remove(in, s->body, s->request->body);
	s->body[s->request->body] = '\0';
	return 1;
}

/* Begins to reply to the next request; false: there is none. */
static bool
next_request(struct http_session *s)
{
	int r;

	if (evbuffer_get_length(bufferevent_get_input(s->bev)) == 0) {
		if (s->ended)
			http_session_close(s, "done");
		return false;
	}
	if (s->state == HTTP_IDLE)
		set_state(s, HTTP_READING);
	r = take_request(s);
	if (r == 0) {
		/* An idle connection needs no memory for a request. */
		free(s->request);
		s->request = NULL;
		if (s->ended)
			http_session_close(s, "ended in a request");
		return false;
	}
	if (r < 0) {
		bad_request(s, -r,
		    s->request != NULL && s->request->why != NULL
			? s->request->why
			: "out of memory");
		return true;
	}
	s->requests++;
	s->keep_alive = s->request->keep_alive;
	set_state(s, HTTP_REPLYING);
	s->respond(s);
	return true;
}

/* Performs a step of the reply; false: there is none. */
static bool
reply_step(struct http_session *s)
{
	enum step r;

	if (s->reply == NULL || !s->more)
		return false;
	r = s->reply->step(s);
	if (r == STEP_FAILED)
		http_session_close(s, "the reply failed");
	if (s->state == HTTP_CLOSED)
		return false;
	push(s, s->out);
	s->more = r == STEP_MORE;
	if (r == STEP_DONE)
		reply_done(s);
	return r == STEP_MORE || r == STEP_DONE;
}

static bool
http_step(struct http_session *s)
{
	switch (s->state) {
	case HTTP_IDLE:
	case HTTP_READING:
		return next_request(s);
	case HTTP_REPLYING:
		return reply_step(s);
	default:
		return false;
	}
}

/* --- turns and callbacks -------------------------------------------------- */

static void
http_turn(struct http_session *s)
{
	uint64_t start = turn_begin();

	while (!is_full(s) && http_step(s))
		if (now_ns() - start >= TURN_NS)
			break;
	http_update(s);
	turn_end(start);
}

static void
http_try(struct http_session *s)
{
	if (turns_free())
		http_turn(s);
	else {
		http_update(s);
		if (s->state != HTTP_CLOSED && s->state != HTTP_LINGERING)
			turns_wait(&s->turn, true);
	}
}

static void
on_turn(struct turn *turn)
{
	struct http_session *s = CONTAINER_OF(turn, struct http_session, turn);

	task_begin(&s->read);
	http_turn(s);
	task_end(&s->read);
}

static void
on_read(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	struct http_session *s = arg;

	task_begin(&s->read);
	if (s->state == HTTP_LINGERING || is_endless(s))
		evbuffer_drain(in, evbuffer_get_length(in));
	else
		http_try(s);
	task_end(&s->read);
}

static void
on_write(struct bufferevent *bev, void *arg)
{
	struct http_session *s = arg;

	(void)bev;
	task_begin(&s->write);
	http_update(s);
	task_end(&s->write);
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct http_session *s = arg;

	(void)bev;
	if (!(what & BEV_EVENT_EOF)) {
		http_session_close(s,
		    EVUTIL_SOCKET_ERROR() == 0
			? "closed without close_notify, or an error of TLS"
			: strerror(EVUTIL_SOCKET_ERROR()));
		return;
	}
	task_begin(&s->read);
	s->ended = true;
	if (s->state == HTTP_LINGERING || is_endless(s))
		http_session_close(s, "done");
	else {
		/* A bufferevent with TLS stops writing, too. */
		if (s->tls != NULL && http_session_queued(s) > 0)
			bufferevent_enable(s->bev, EV_WRITE);
		http_try(s);
	}
	task_end(&s->read);
}

/* Whether the client has taken some of what was queued since the last check. */
static bool
has_progress(struct http_session *s)
{
	uint64_t written = s->in_flight - http_session_queued(s);
	bool progress = written != s->seen;

	s->seen = written;
	return progress;
}

static void
time_over(struct http_session *s)
{
	switch (s->state) {
	case HTTP_READING:
		bad_request(s, 408, "the request did not arrive in time");
		http_try(s);
		break;
	case HTTP_REPLYING:
		if (is_endless(s) && has_progress(s))
			set_deadline(s, s->control->conf.request_timeout);
		else
			http_session_close(
			    s, "the reply was not taken in time");
		break;
	default:
		http_session_close(s, "idle");
	}
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct http_session *s = arg;

	(void)fd, (void)what;
	if (s->state == HTTP_CLOSED) {
		http_session_free(s);
		return;
	}
	task_begin(&s->deadline);
	TASK_SET(&s->deadline, TASK_IDLE);
	time_over(s);
	task_end(&s->deadline);
}

static void
http_cancel(struct task *task)
{
	struct http_session *s = task->arg;

	if (s->client.busy)
		s->keep_alive = false; /* it gets its reply first */
	else
		http_session_close(s, "cancelled on a control port");
}

/* --- commands ------------------------------------------------------------- */

static void
client_wake(struct client *client)
{
	http_session_wake(CONTAINER_OF(client, struct http_session, client));
}

static void
client_close(struct client *client, const char *why)
{
	http_session_close(
	    CONTAINER_OF(client, struct http_session, client), why);
}

static const struct client_ops client_ops = {
	.wake = client_wake,
	.close = client_close,
};

/* --- creating and freeing ------------------------------------------------- */

void
http_session_free(struct http_session *s)
{
	struct control *c = s->control;

	if (s->client.reply != NULL)
		reply_end(s);
	turns_wait(&s->turn, false);
	turns_release();
	task_remove(&s->read);
	task_remove(&s->write);
	task_remove(&s->deadline);
	if (s->bev != NULL && s->tls != NULL)
		tls_library->finish(s->tls);
	if (s->bev != NULL)
		bufferevent_free(s->bev);
	if (s->timer != NULL)
		event_free(s->timer);
	if (s->client.reply != NULL)
		evbuffer_free(s->client.reply);
	if (s->out != NULL)
		evbuffer_free(s->out);
	TAILQ_REMOVE(&http_sessions, s, entry);
	tls_session_free(s->tls);
	c->nsessions--;
	control_count(c);
	free(s);
}

void
http_session_last(struct http_session *s)
{
	struct evbuffer_iovec iov[16];
	int n;

	if (s->state == HTTP_CLOSED || s->tls != NULL)
		return;
	n = evbuffer_peek(
	    bufferevent_get_output(s->bev), -1, NULL, iov, NELEM(iov));
	for (int i = 0; i < MIN(n, (int)NELEM(iov)); i++)
		if (send(bufferevent_getfd(s->bev), iov[i].iov_base,
			iov[i].iov_len,
			MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)iov[i].iov_len)
			break;
}

static void
make_bufferevent(struct http_session *s, int fd)
{
	struct event_base *base = s->control->bridge->base;

	s->bev = s->tls != NULL
	    ? tls_library->bufferevent(s->tls, base)
	    : bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (s->bev == NULL)
		close(fd);
}

static void
add_tasks(struct http_session *s)
{
	task_add(&s->read, s, read_label, "%s.read", s->name);
	task_add(&s->write, s, write_label, "%s.write", s->name);
	task_add(&s->deadline, s, deadline_label, "%s.deadline", s->name);
	s->read.cancel = s->write.cancel = s->deadline.cancel = http_cancel;
}

int
http_session_new(struct control *c, int fd, struct tls_session *tls,
    const char *peer, void (*respond)(struct http_session *))
{
	struct http_session *s = calloc(1, sizeof(*s));
	int size = SEND_BUFFER;

	if (s == NULL || turns_hold(c->bridge->base) < 0) {
		free(s);
		tls_session_free(tls);
		close(fd);
		return -ENOMEM;
	}
	s->control = c;
	s->tls = tls;
	s->respond = respond;
	s->turn.run = on_turn;
	s->client = (struct client){
		.ops = &client_ops,
		.bridge = c->bridge,
		.hooks = c->hooks,
		.name = s->name,
		.address = s->address,
	};
	snprintf(
	    s->name, sizeof(s->name), "%s.client#%u", c->conf.name, ++c->next);
	snprintf(s->address, sizeof(s->address), "%s", peer);
	TAILQ_INSERT_TAIL(&http_sessions, s, entry);
	c->nsessions++;
	control_count(c);
	s->client.reply = evbuffer_new();
	s->out = evbuffer_new();
	s->timer = evtimer_new(c->bridge->base, on_timer, s);
	make_bufferevent(s, fd);
	if (s->bev == NULL || s->client.reply == NULL || s->out == NULL ||
	    s->timer == NULL) {
		http_session_free(s);
		return -ENOMEM;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	add_tasks(s);
	bufferevent_setcb(s->bev, on_read, on_write, on_event, s);
	bufferevent_setwatermark(s->bev, EV_READ, 0, INPUT_MAX);
	bufferevent_setwatermark(s->bev, EV_WRITE, HTTP_OUTPUT_MARK / 2, 0);
	set_state(s, HTTP_IDLE);
	http_update(s);
	return 0;
}
