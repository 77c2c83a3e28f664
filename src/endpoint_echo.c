/*
 * endpoint_echo: sends each frame back, for wiring tests.
 *
 * A pair of bufferevents: what is written to the near half comes in at the far
 * half, which writes it back.  Bounded: the far half takes no more while its own
 * output is not read.
 */
#include <errno.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "endpoint.h"

#define ECHO_MAX (64 * 1024)

/* The far half has something to send back, or has sent it. */
static void
echo_back(struct bufferevent *far, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(far);
	struct evbuffer *out = bufferevent_get_output(far);

	(void)arg;
	if (evbuffer_get_length(out) < ECHO_MAX)
		evbuffer_add_buffer(out, in);
	if (evbuffer_get_length(out) < ECHO_MAX)
		bufferevent_enable(far, EV_READ);
	else
		bufferevent_disable(far, EV_READ);
}

static int
echo_open(struct endpoint *ep)
{
	struct bufferevent *pair[2];
	int r;

	snprintf(ep->address, sizeof(ep->address), "echo");
	if (bufferevent_pair_new(ep->base, 0, pair) < 0)
		return -ENOMEM;
	ep->impl = pair[1];
	bufferevent_setcb(pair[1], echo_back, echo_back, NULL, NULL);
	bufferevent_enable(pair[1], EV_READ | EV_WRITE);
	if ((r = endpoint_up_bev(ep, pair[0])) < 0)
		bufferevent_free(pair[0]);
	return r;
}

static void
echo_close(struct endpoint *ep)
{
	if (ep->impl != NULL)
		bufferevent_free(ep->impl);
	ep->impl = NULL;
}

const struct endpoint_ops endpoint_echo = {
	.type = "echo",
	.open = echo_open,
	.close = echo_close,
};
