/*
 * link_hangup: how links end.
 *
 * A paused link is not in libevent's epoll instance, so libevent does not report its
 * hang-up.  Paused links are therefore also in an epoll instance of our own,
 * edge-triggered and without requested events: the kernel always reports hang-ups and
 * errors.  The descriptor of that instance is a read event in the loop.
 *
 * A link that is lost is put on the list of deferred closes.  It is closed and freed
 * from an event of its own, never inside a callback of the link.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <event2/bufferevent.h>
#include <event2/event.h>

#include "link.h"
#include "link_filter.h"
#include "log.h"

static struct link_list deferred = TAILQ_HEAD_INITIALIZER(deferred);
static void (*settle)(struct link *);
static struct event *deferred_event;
static struct event *hangup_event;
static struct task hangup_task;
static int hangup_fd = -1;

void
link_settle_now(struct link *link)
{
	if (!link->deferred)
		return;
	TAILQ_REMOVE(&deferred, link, deferred_entry);
	link->deferred = false;
	settle(link);
}

void
link_settle_all(void)
{
	struct link *link;

	while ((link = TAILQ_FIRST(&deferred)) != NULL)
		link_settle_now(link);
}

static void
on_deferred(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	link_settle_all();
}

void
link_lose(struct link *link, enum link_end end, const char *why)
{
	if (link->deferred || link->bev == NULL)
		return;
	link->deferred = true;
	link->up = false;
	link->end = end;
	snprintf(link->why, sizeof(link->why), "%s", why);
	link_disarm(link);
	bufferevent_disable(link->bev, EV_WRITE);
	link_filter_stop(link);
	TASK_SET(&link->read, TASK_IDLE);
	TASK_SET(&link->write, TASK_IDLE);
	TAILQ_INSERT_TAIL(&deferred, link, deferred_entry);
	event_active(deferred_event, EV_TIMEOUT, 1);
}

void
link_close(struct link *link, const char *why)
{
	link_lose(link, LINK_LOST, why);
}

void
link_trigger(struct link *link, short what)
{
	if (link->bev == NULL || !link->up)
		return;
	if (what & EV_READ)
		event_active(link->readable, EV_READ, 1);
	if (what & EV_WRITE)
		bufferevent_trigger(link->bev, EV_WRITE,
		    BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}

void
link_set_unwritable(struct link *link)
{
	if (link->unwritable || !link->up)
		return;
	link->unwritable = true;
	bufferevent_disable(link->bev, EV_WRITE);
	link_filter_stop_writing(link);
	TASK_SET(&link->write, TASK_IDLE);
	/* Input that waits for room in the output need not wait any more. */
	link_trigger(link,
	    link->filtered && link->filter->held ? EV_READ | EV_WRITE
						 : EV_WRITE);
}

bool
link_peer_closed(const struct link *link, int e)
{
	return link->socket && !link->read_eof &&
	    (e == EPIPE || e == ECONNRESET);
}

bool
link_has_users(const struct link *link)
{
	const struct endpoint_ops *ops = link->endpoint->conf->ops;

	return ops->hangup != NULL && !ops->several;
}

short
link_poll(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) < 0 ? 0 : p.revents;
}

void
link_user_left(struct link *link)
{
	if (link->unwritable || !link->up)
		return;
	link_set_unwritable(link);
	link->endpoint->conf->ops->hangup(link->endpoint);
}

/* The errors of a connection whose peer does not answer. */
static bool
is_unanswered(const struct link *link, int e)
{
	return link->keepalive.ns != 0 &&
	    (e == ETIMEDOUT || e == EHOSTUNREACH || e == ENETUNREACH);
}

const char *
link_reason(const struct link *link, int e, char *buf, size_t size)
{
	char time[24];

	if (link->carried && link->ops->reason != NULL &&
	    link->ops->reason(link, e, buf, size))
		return buf;
	if (is_unanswered(link, e))
		snprintf(buf, size, "acknowledged nothing for %s",
		    format_time(link->keepalive.ns, time, sizeof(time)));
	else if ((e == END_OF_INPUT || e == 0) &&
	    (link->socket || link->endpoint->conf->ops->several))
		snprintf(buf, size, "closed by the peer");
	else if (e == END_OF_INPUT || e == 0 || e == EIO)
		snprintf(buf, size, "hung up");
	else
		snprintf(buf, size, "%s", strerror(e));
	return buf;
}

void
link_failed(struct link *link, int e)
{
	const struct endpoint_ops *ops = link->endpoint->conf->ops;
	char why[LINK_WHY_MAX];

	if (ops->several || ops->hangup == NULL || !ops->hangup(link->endpoint))
		link_lose(
		    link, LINK_LOST, link_reason(link, e, why, sizeof(why)));
}

/* Not a part of link_write(), which would need a larger stack frame. */
__attribute__((noinline)) void
link_write_failed(struct link *link, int e)
{
	char why[LINK_WHY_MAX];

	if (link_peer_closed(link, e))
		link_set_unwritable(link);
	else if (e == EIO && link_has_users(link))
		link_user_left(link);
	else
		link_lose(
		    link, LINK_LOST, link_reason(link, e, why, sizeof(why)));
}

void
link_hung_up(struct link *link)
{
	if (link->socket)
		link_set_unwritable(link);
	else if (!link_has_users(link))
		link_lose(link, LINK_LOST, "hung up");
	else if (link_poll(link->fd) & POLLHUP)
		link_user_left(link);
}

void
link_watch_hangup(struct link *link)
{
	struct epoll_event e = { .events = EPOLLET, .data.ptr = link };

	if (!link->watched &&
	    epoll_ctl(hangup_fd, EPOLL_CTL_ADD, link->fd, &e) == 0)
		link->watched = true;
}

void
link_unwatch_hangup(struct link *link)
{
	if (link->watched)
		epoll_ctl(hangup_fd, EPOLL_CTL_DEL, link->fd, NULL);
}

/* While a link is being read, read() reports the hang-up; it is handled here for a
 * socket, which becomes unwritable at once, or a paused link. */
static void
on_hangup(evutil_socket_t fd, short what, void *arg)
{
	struct epoll_event e[16];
	int n;

	(void)fd, (void)what, (void)arg;
	task_begin(&hangup_task);
	n = epoll_wait(hangup_fd, e, NELEM(e), 0);
	for (int i = 0; i < n; i++) {
		struct link *link = e[i].data.ptr;

		if (!(e[i].events & (EPOLLHUP | EPOLLERR)))
			continue;
		link->hung_up = true;
		if (link->up && (link->socket || !link->reading))
			link_hung_up(link);
	}
	task_end(&hangup_task);
}

static void
hangup_label(const struct task *task, char *buf, size_t size)
{
	(void)task;
	snprintf(buf, size, "a hang-up of something that is not read now");
}

int
link_machinery(struct event_base *base, void (*settle_link)(struct link *))
{
	if (deferred_event != NULL)
		return 0;
	settle = settle_link;
	if ((hangup_fd = epoll_create1(EPOLL_CLOEXEC)) < 0)
		return -errno;
	deferred_event = event_new(base, -1, EV_PERSIST, on_deferred, NULL);
	hangup_event =
	    event_new(base, hangup_fd, EV_READ | EV_PERSIST, on_hangup, NULL);
	if (deferred_event == NULL || hangup_event == NULL ||
	    event_add(hangup_event, NULL) < 0)
		return -ENOMEM;
	task_add(&hangup_task, NULL, hangup_label, "daemon.hangups");
	hangup_task.event = hangup_event;
	TASK_WAIT(&hangup_task);
	return 0;
}

void
link_machinery_free(void)
{
	if (deferred_event != NULL)
		event_free(deferred_event);
	if (hangup_event != NULL)
		event_free(hangup_event);
	if (hangup_fd >= 0)
		close(hangup_fd);
	task_remove(&hangup_task);
	deferred_event = hangup_event = NULL;
	hangup_fd = -1;
}
