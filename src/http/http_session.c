/*
 * http_session: reads requests, and gives turns to their replies.
 *
 * A reply is produced in steps within turns (control/turns.h), so that the bridge is not
 * delayed.  While more than HTTP_OUTPUT_MARK is queued for the client, the session gets no
 * turn: a client that does not read needs no more memory than that and a step.
 *
 * Input is read only up to the end of a request.  Nothing is freed inside a callback of
 * the bufferevent.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "command.h"
#include "http_reply.h"
#include "http_session.h"
#include "http_state.h"

/* The output that the kernel holds for a client, which would otherwise be megabytes. */
#define SEND_BUFFER (128 * 1024)
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
		snprintf(buf, size, "%s to read its reply (%s bytes wait)",
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

/* --- requests ------------------------------------------------------------- */

/* Refuses what is no valid request; what follows it cannot be understood. */
static void
bad_request(struct http_session *s, int status, const char *why)
{
	s->keep_alive = false;
	http_set_state(s, HTTP_REPLYING);
	log_limited(&s->control->refused, LOG_NOTICE, ABOUT_CONTROL,
	    s->control->conf.name, "%s refused: %s", s->address, why);
	if (s->request != NULL && request_is_api(s->request))
		http_reply_error(s, status, why);
	else
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

/* There is no complete request.  After the last one the replies that are queued are sent. */
static void
no_request(struct http_session *s)
{
	/* An idle connection needs no memory for a request. */
	free(s->request);
	s->request = NULL;
	if (!s->ended)
		return;
	s->keep_alive = false;
	http_set_state(s, HTTP_REPLYING);
}

/* Begins to reply to the next request; false: there is none. */
static bool
next_request(struct http_session *s)
{
	bool input = evbuffer_get_length(bufferevent_get_input(s->bev)) > 0;
	int r;

	s->unparsed = false;
	if (s->state == HTTP_IDLE && input)
		http_set_state(s, HTTP_READING);
	r = input ? take_request(s) : 0;
	if (r == 0) {
		no_request(s);
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
	http_set_state(s, HTTP_REPLYING);
	s->respond(s);
	return true;
}

static bool
http_step(struct http_session *s)
{
	switch (s->state) {
	case HTTP_IDLE:
	case HTTP_READING:
		return next_request(s);
	case HTTP_REPLYING:
		return http_reply_step(s);
	default:
		return false;
	}
}

/* --- turns and callbacks -------------------------------------------------- */

static void
http_turn(struct http_session *s)
{
	uint64_t start = turn_begin();

	while (!http_is_full(s) && http_step(s))
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
	else
		http_update(s);
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
	if (s->state == HTTP_LINGERING || http_is_endless(s))
		evbuffer_drain(in, evbuffer_get_length(in));
	else {
		s->unparsed = true;
		http_try(s);
	}
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
		http_session_close(s, tls_event_reason(EVUTIL_SOCKET_ERROR()));
		return;
	}
	task_begin(&s->read);
	s->ended = s->unparsed = true;
	if (s->state == HTTP_LINGERING || http_is_endless(s))
		http_session_close(s, NULL);
	else {
		/* A bufferevent with TLS stops writing, too. */
		if (s->tls != NULL && http_session_queued(s) > 0)
			bufferevent_enable(s->bev, EV_WRITE);
		http_try(s);
	}
	task_end(&s->read);
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
		http_session_close(s, "the reply was not taken in time");
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
	const char *why = s->why[0] != '\0' ? s->why : NULL;

	if (s->state != HTTP_CLOSED)
		http_session_uncount(s);
	if (s->client.reply != NULL)
		http_reply_end(s);
	turns_wait(&s->turn, false);
	turns_release();
	task_remove_why(&s->read, why);
	task_remove_why(&s->write, why);
	task_remove_why(&s->deadline, why);
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

/*
 * The kernel ends the connection of a client that takes nothing of what it is sent for
 * request_timeout: one that has stopped, or whose machine has.
 */
static void
set_options(struct http_session *s, int fd)
{
	const unsigned ms =
	    (unsigned)(s->control->conf.request_timeout / NSEC_PER_MSEC);
	const int size = SEND_BUFFER, on = 1;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
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
		.remote = true,
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
	set_options(s, fd);
	add_tasks(s);
	bufferevent_setcb(s->bev, on_read, on_write, on_event, s);
	bufferevent_setwatermark(s->bev, EV_READ, 0, INPUT_MAX);
	bufferevent_setwatermark(s->bev, EV_WRITE, HTTP_OUTPUT_MARK / 2, 0);
	http_set_state(s, HTTP_IDLE);
	http_update(s);
	return 0;
}
