/*
 * tls_link: connections with TLS.
 *
 * Input is read when the descriptor of the link is readable, or, while the session has
 * input left that it has received already, when the link is triggered.  The writable
 * event is armed while the session holds something that the kernel has not accepted, or
 * while output is pending.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "link.h"
#include "tls_link.h"

struct tls_link {
	struct link *link; /* NULL until it is created */
	struct tls_session *session;
	struct event *writable;
};

static struct tls_link *
of(const struct link *link)
{
	return link->transport;
}

/* Without memory for its event the link cannot be written any more. */
static void
await_room(struct link *link)
{
	TASK_WAIT(&link->write);
	if (event_add(of(link)->writable, NULL) < 0)
		link_lose(link, LINK_LOST, strerror(errno));
}

static ssize_t
tls_link_read(struct link *link, void *buf, size_t size)
{
	struct tls_session *session = of(link)->session;
	ssize_t n = tls_library->read(session, buf, size);

	if (session->readable)
		link_trigger(link, EV_READ);
	/* An answer that the protocol requires. */
	if (session->held > 0)
		await_room(link);
	return n;
}

static ssize_t
tls_link_write(struct link *link, const void *data, size_t len)
{
	struct tls_session *session = of(link)->session;
	ssize_t n = tls_library->write(session, data, len);

	if (session->held > 0)
		await_room(link);
	return n;
}

static void
tls_link_wait(struct link *link)
{
	short events = link_events(link);

	if (link_arm(link, (events & EV_READ) != 0) < 0)
		link_lose(link, LINK_LOST, strerror(errno));
	else if (events & EV_READ && of(link)->session->readable)
		link_trigger(link, EV_READ);
	if (events & EV_WRITE)
		await_room(link);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct tls_link *tls = arg;
	struct link *link = tls->link;
	char why[LINK_WHY_MAX];
	int r;

	(void)fd, (void)what;
	if (link == NULL || !link->up || link->unwritable)
		return;
	task_begin(&link->write);
	TASK_SET(&link->write, TASK_IDLE);
	r = tls_library->flush(tls->session);
	if (r == -EAGAIN)
		await_room(link);
	else if (r == -EPIPE || r == -ECONNRESET)
		link_set_unwritable(link);
	else if (r < 0)
		link_lose(
		    link, LINK_LOST, link_reason(link, -r, why, sizeof(why)));
	task_end(&link->write);
	if (r == 0)
		link_ready(link, EV_WRITE);
}

static size_t
tls_link_held(const struct link *link)
{
	return of(link)->session->held;
}

static int
tls_link_finish(struct link *link)
{
	return tls_library->finish(of(link)->session);
}

static bool
tls_link_reason(const struct link *link, int e, char *buf, size_t size)
{
	if (e != EPROTO)
		return false;
	snprintf(buf, size, "%s", of(link)->session->why);
	return true;
}

static void
tls_link_free(struct tls_link *tls)
{
	if (tls->writable != NULL)
		event_free(tls->writable);
	tls_session_free(tls->session);
	free(tls);
}

static void
tls_link_closed(struct link *link)
{
	tls_library->finish(of(link)->session);
	tls_link_free(of(link));
}

static const struct tls_session *
tls_link_session(const struct link *link)
{
	return of(link)->session;
}

static const struct link_ops tls_link_ops = {
	.read = tls_link_read,
	.write = tls_link_write,
	.wait = tls_link_wait,
	.closed = tls_link_closed,
	.held = tls_link_held,
	.finish = tls_link_finish,
	.reason = tls_link_reason,
	.session = tls_link_session,
};

/* NULL: out of memory; the session is freed then. */
static struct tls_link *
tls_link_new(struct endpoint *ep, struct tls_session *session)
{
	struct tls_link *tls = calloc(1, sizeof(*tls));

	if (tls == NULL) {
		tls_session_free(session);
		return NULL;
	}
	tls->session = session;
	tls->writable =
	    event_new(ep->base, session->fd, EV_WRITE, on_writable, tls);
	if (tls->writable == NULL) {
		tls_link_free(tls);
		return NULL;
	}
	return tls;
}

struct link *
endpoint_add_tls(
    struct endpoint *ep, struct tls_session *session, const char *address)
{
	int fd = session->fd;
	struct tls_link *tls = tls_link_new(ep, session);
	struct link *link;

	if (tls == NULL) {
		close(fd);
		return NULL;
	}
	link = endpoint_add_carried(ep, fd, &tls_link_ops, tls, address);
	if (link == NULL)
		tls_link_free(tls);
	else
		tls->link = link;
	return link;
}

int
endpoint_up_tls(struct endpoint *ep, struct tls_session *session)
{
	int fd = session->fd;
	struct tls_link *tls = tls_link_new(ep, session);

	if (tls == NULL) {
		close(fd);
		return -ENOMEM;
	}
	tls->link = &ep->link;
	link_set_transport(&ep->link, &tls_link_ops, tls);
	return endpoint_up(ep, fd, true);
}

static uint64_t
memory(const struct link *link)
{
	const struct tls_session *session = link_tls(link);

	return session != NULL ? session->memory + session->held : 0;
}

uint64_t
endpoint_tls_memory(const struct endpoint *ep)
{
	const struct link *link;
	uint64_t n = memory(&ep->link);

	TAILQ_FOREACH(link, &ep->links, entry)
		n += memory(link);
	return n;
}
