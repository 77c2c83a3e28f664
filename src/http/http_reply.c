/*
 * http_reply: replies: the head, and the body in pieces.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "call.h"
#include "command.h"
#include "http_reply.h"
#include "http_state.h"

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
send_output(struct http_session *s)
{
	if (bufferevent_enable(s->bev, EV_WRITE) < 0)
		http_session_close(s, strerror(errno));
}

void
http_reply_start(struct http_session *s, int status, const char *type,
    const char *headers, ssize_t len)
{
	struct evbuffer *out = bufferevent_get_output(s->bev);
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
	send_output(s);
}

static void
push(struct http_session *s, struct evbuffer *data)
{
	struct evbuffer *out = bufferevent_get_output(s->bev);
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
	send_output(s);
}

void
http_reply_push(struct http_session *s, struct evbuffer *data)
{
	push(s, data);
	http_update(s);
}

/* The reply is complete, or has failed. */
void
http_reply_end(struct http_session *s)
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
	if (s->chunked && !s->bodyless) {
		evbuffer_add(bufferevent_get_output(s->bev), "0\r\n\r\n", 5);
		send_output(s);
	}
	http_reply_end(s);
	if (!s->keep_alive)
		return;
	http_set_state(s, HTTP_IDLE);
	s->unparsed = true;
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
	if (http_is_endless(s))
		http_no_deadline(s);
}

bool
http_reply_step(struct http_session *s)
{
	enum step r;

	if (s->reply == NULL || !s->more)
		return false;
	/* The step of an endless reply would wait for something to send. */
	r = s->reply->endless && s->bodyless ? STEP_DONE : s->reply->step(s);
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
