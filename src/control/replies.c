/*
 * replies: the replies that are queued for a client.
 */
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "command.h"
#include "session.h"

size_t
replies_length(const struct session *s)
{
	return evbuffer_get_length(bufferevent_get_output(s->bev));
}

bool
replies_full(const struct session *s)
{
	size_t mark =
	    s->client.watching ? CLIENT_FRAMES_MAX : CONTROL_OUTPUT_MARK;

	return replies_length(s) + evbuffer_get_length(s->client.reply) > mark;
}

int
replies_send(struct session *s)
{
	size_t len = evbuffer_get_length(s->client.reply);

	if (len > 0 &&
	    (bufferevent_write_buffer(s->bev, s->client.reply) < 0 ||
		bufferevent_enable(s->bev, EV_WRITE) < 0))
		return -1;
	s->in_flight += len;
	return 0;
}

uint64_t
replies_taken(const struct client *client)
{
	const struct session *s =
	    CONTAINER_OF(client, const struct session, client);
	uint64_t written = s->in_flight - replies_length(s);
	int unread = 0;

	ioctl(bufferevent_getfd(s->bev), SIOCOUTQ, &unread);
	/* With TLS there may be more unread bytes than were written. */
	return written - MIN((uint64_t)unread, written);
}

/* Sends without blocking; false if it was not all sent. */
static bool
send_now(struct session *s, const void *data, size_t len)
{
	ssize_t n;

	if (s->tls != NULL)
		n = tls_library->write(s->tls, data, len);
	else
		n = send(bufferevent_getfd(s->bev), data, len,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
	return n == (ssize_t)len;
}

void
replies_last(struct session *s)
{
	struct evbuffer_iovec iov[16];
	int n;

	if (s->client.closed)
		return;
	command_last(&s->client);
	replies_send(s);
	n = evbuffer_peek(
	    bufferevent_get_output(s->bev), -1, NULL, iov, NELEM(iov));
	for (int i = 0; i < MIN(n, (int)NELEM(iov)); i++)
		if (!send_now(s, iov[i].iov_base, iov[i].iov_len))
			break;
}
