/*
 * http_state: what a session waits for, and how it is closed.
 *
 * http_update() alone decides from a session's state what it waits for:
 *
 * task      waits for
 * read      a request; of a reply without an end, the client to close
 * write     the client to take what is queued
 * deadline  the time in which a request has to arrive, its reply has to be taken, or
 *           another request may follow; a reply without an end has none
 *
 * A client that the daemon closes first gets what is queued; the session then lingers,
 * because a close with unread input would reset the connection.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "http_state.h"

#define LINGER_NS NSEC_PER_SEC

size_t
http_session_queued(const struct http_session *s)
{
	return evbuffer_get_length(bufferevent_get_output(s->bev));
}

bool
http_is_full(const struct http_session *s)
{
	return http_session_queued(s) > HTTP_OUTPUT_MARK;
}

bool
http_is_endless(const struct http_session *s)
{
	return s->reply != NULL && s->reply->endless && !s->bodyless;
}

void
http_set_deadline(struct http_session *s, uint64_t ns)
{
	struct timeval tv = to_timeval(ns);

	event_add(s->timer, &tv);
	TASK_WAIT(&s->deadline);
}

void
http_no_deadline(struct http_session *s)
{
	event_del(s->timer);
	TASK_SET(&s->deadline, TASK_IDLE);
}

void
http_set_state(struct http_session *s, enum http_state state)
{
	s->state = state;
	s->since_ns = now_ns();
	if (state == HTTP_CLOSED)
		http_no_deadline(s);
	else
		http_set_deadline(s,
		    state == HTTP_LINGERING ? LINGER_NS
					    : s->control->conf.request_timeout);
}

void
http_session_uncount(struct http_session *s)
{
	s->control->nsessions--;
	control_count(s->control);
}

void
http_session_close(struct http_session *s, const char *why)
{
	if (s->state == HTTP_CLOSED)
		return;
	snprintf(s->why, sizeof(s->why), "%s", why != NULL ? why : "");
	log_to(LOG_DEBUG, ABOUT_CONTROL, s->name,
	    "the connection of %s ended after %llu requests (%s)", s->address,
	    (unsigned long long)s->requests, why != NULL ? why : "done");
	http_set_state(s, HTTP_CLOSED);
	http_session_uncount(s);
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
		http_session_close(s, NULL);
		return;
	}
	if (s->tls != NULL)
		tls_library->finish(s->tls);
	shutdown(bufferevent_getfd(s->bev), SHUT_WR);
	http_set_state(s, HTTP_LINGERING);
}

/* There is no deadline while an answer is awaited: a query has a timeout of its own. */
static void
update_deadline(struct http_session *s)
{
	if (s->client.asking && !s->asking)
		http_no_deadline(s);
	else if (!s->client.asking && s->asking)
		http_set_deadline(s, s->control->conf.request_timeout);
	s->asking = s->client.asking;
}

/* Whether a step can be performed, once the client has taken enough. */
static bool
has_work(const struct http_session *s)
{
	switch (s->state) {
	case HTTP_IDLE:
	case HTTP_READING:
		return s->unparsed;
	case HTTP_REPLYING:
		return s->reply != NULL && s->more;
	default:
		return false;
	}
}

void
http_update(struct http_session *s)
{
	size_t queued;
	bool reading;

	if (s->state == HTTP_CLOSED)
		return;
	queued = http_session_queued(s);
	if (s->state == HTTP_REPLYING && s->reply == NULL && queued == 0)
		linger(s);
	if (s->state == HTTP_CLOSED)
		return;
	turns_wait(&s->turn, queued <= HTTP_OUTPUT_MARK && has_work(s));
	update_deadline(s);
	TASK_SET(&s->write, queued > 0 ? TASK_WAITING : TASK_IDLE);
	reading =
	    !s->ended && (s->state != HTTP_REPLYING || http_is_endless(s));
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

void
http_session_wake(struct http_session *s)
{
	if (s->state != HTTP_REPLYING || s->reply == NULL)
		return;
	s->more = true;
	if (!http_is_full(s))
		turns_wait(&s->turn, true);
}
