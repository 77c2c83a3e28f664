/*
 * local_echo: removes from the input what a two-wire adapter receives of its own output
 * (echo = yes).
 *
 * What was written is expected in the input, in this order and before anything else,
 * because on such a line nothing is received while it is written.  Each write is either
 * received completely and removed, or it is a collision: then all of the input is passed
 * to the decoder, and nothing is expected any more.
 */
#include <stdlib.h>
#include <string.h>

#include "forward.h"
#include "log.h"

/* An adapter that has not returned so much does not return what it sends. */
#define EXPECTED_MAX (64 * 1024)

struct local_echo {
	struct queue sent; /* one frame for each write */
	size_t matched;	   /* bytes of the first one that were received */
	bool collided;	   /* since the last write */
};

void
port_echo_sent(struct port *port, const uint8_t *data, size_t len)
{
	struct local_echo *echo = port->local_echo;

	if (echo == NULL) {
		if ((echo = calloc(1, sizeof(*echo))) == NULL)
			return;
		queue_init(&echo->sent, EXPECTED_MAX);
		port->local_echo = echo;
	}
	echo->collided = false;
	if (queue_full(&echo->sent))
		port_echo_forget(port);
	if (len > 0)
		queue_push(&echo->sent, data, len, 0, 0);
}

/* Puts the matched bytes of the first write back in front of the input. */
static size_t
give_back(struct port *port, const struct queued *q, uint8_t *in, size_t n,
    size_t size)
{
	size_t matched = port->local_echo->matched;

	if (n + matched > size)
		return n;
	memmove(in + matched, in, n);
	memcpy(in, q->payload, matched);
	port->traffic.echo_bytes -= matched;
	return n + matched;
}

/* A line yields 00 or ff when its direction changes. */
static bool
is_stray(const struct local_echo *echo, const struct queued *q, uint8_t byte)
{
	return echo->matched == 0 && (byte == 0 || byte == 0xff) &&
	    byte != q->payload[0];
}

size_t
port_echo_remove(struct port *port, uint8_t *in, size_t n, size_t size)
{
	struct local_echo *echo = port->local_echo;
	static struct log_limit limit;
	struct queued q;
	size_t at = 0, len;
	bool collision = false;

	while (at < n && queue_head(&echo->sent, &q)) {
		if (is_stray(echo, &q, in[at])) {
			at++;
			continue;
		}
		len = MIN(n - at, q.len - echo->matched);
		collision =
		    memcmp(in + at, q.payload + echo->matched, len) != 0;
		if (collision)
			break;
		at += len;
		echo->matched += len;
		if (echo->matched < q.len)
			break;
		queue_pop(&echo->sent);
		echo->matched = 0;
	}
	COUNT(port, echo_bytes, at);
	n -= at;
	memmove(in, in + at, n);
	if (!collision)
		return n;
	COUNT(port, collisions, 1);
	log_limited(&limit, LOG_NOTICE, ABOUT_ENDPOINT, port->link->name,
	    "a collision: what was received is not what was sent (echo ="
	    " yes)");
	n = give_back(port, &q, in, n, size);
	port_echo_forget(port);
	echo->collided = true;
	return n;
}

bool
port_echo_collided(const struct port *port)
{
	return port->local_echo != NULL && port->local_echo->collided;
}

void
port_echo_forget(struct port *port)
{
	struct local_echo *echo = port->local_echo;

	if (echo == NULL)
		return;
	queue_free(&echo->sent);
	queue_init(&echo->sent, EXPECTED_MAX);
	echo->matched = 0;
}

void
port_echo_free(struct port *port)
{
	if (port->local_echo == NULL)
		return;
	queue_free(&port->local_echo->sent);
	free(port->local_echo);
	port->local_echo = NULL;
}

const struct queue *
port_echo_expected(const struct port *port, size_t *ret_matched)
{
	if (port->local_echo == NULL)
		return NULL;
	*ret_matched = port->local_echo->matched;
	return &port->local_echo->sent;
}

void
port_echo_matched(struct port *port, size_t matched)
{
	struct queued q;

	if (port->local_echo != NULL &&
	    queue_head(&port->local_echo->sent, &q) && matched < q.len)
		port->local_echo->matched = matched;
}
