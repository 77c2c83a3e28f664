/*
 * endpoint_link: open byte streams as bufferevents.
 *
 * A link that is paused is not in libevent's epoll, so nobody would see it hang
 * up.  Paused links are therefore also in an epoll of our own, edge-triggered and
 * without any event asked for: the kernel reports hang-ups and errors all the same.
 * That epoll's descriptor is one read event in the loop.
 *
 * A link that is lost is put on the list of the doomed, and what has to be closed and
 * freed is closed and freed from an event of its own, never inside a callback of
 * the link.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "endpoint_link.h"
#include "log.h"

/* A read that brought this much may have left more behind: a tty gives at most
 * 4095 bytes at a time. */
#define FULL_READ 4095

static struct link_list doomed = TAILQ_HEAD_INITIALIZER(doomed);
static struct event *doom_event;
static struct event *hangup_event;
static struct task hangup_task;
static int hangup_fd = -1;

void
link_settle_now(struct link *link)
{
	if (!link->doomed)
		return;
	TAILQ_REMOVE(&doomed, link, doom);
	link->doomed = false;
	endpoint_settle(link);
}

void
link_settle_all(void)
{
	struct link *link;

	while ((link = TAILQ_FIRST(&doomed)) != NULL)
		link_settle_now(link);
}

static void
on_doom(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	link_settle_all();
}

void
link_lose(struct link *link, enum link_end end, const char *why)
{
	if (link->doomed || link->bev == NULL)
		return;
	link->doomed = true;
	link->up = false;
	link->end = end;
	snprintf(link->why, sizeof(link->why), "%s", why);
	bufferevent_disable(link->bev, EV_READ | EV_WRITE);
	TASK_SET(&link->read, TASK_IDLE);
	TASK_SET(&link->write, TASK_IDLE);
	TAILQ_INSERT_TAIL(&doomed, link, doom);
	event_active(doom_event, EV_TIMEOUT, 1);
}

/*
 * The other side of a socket takes nothing any more.  What it had sent is still
 * read, under back-pressure as ever, until its end.
 */
static void
link_mute(struct link *link)
{
	if (link->mute || !link->up)
		return;
	link->mute = true;
	bufferevent_disable(link->bev, EV_WRITE);
	TASK_SET(&link->write, TASK_IDLE);
	link_poke(link, EV_WRITE);
}

/* Whether the other side has closed: an end of what it sends is to follow. */
static bool
is_closed(const struct link *link, int e)
{
	return link->socket && !link->ended && (e == EPIPE || e == ECONNRESET);
}

static void
watch_hangup(struct link *link)
{
	struct epoll_event e = { .events = EPOLLET, .data.ptr = link };

	if (!link->watched &&
	    epoll_ctl(hangup_fd, EPOLL_CTL_ADD, link->fd, &e) == 0)
		link->watched = true;
}

/*
 * Of a link that reads, the bufferevent hears itself.  A type that deals with
 * hang-ups has data to be read behind them.
 */
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
		const struct endpoint_ops *ops = link->endpoint->conf->ops;

		if (!(e[i].events & (EPOLLHUP | EPOLLERR)) ||
		    (ops->hangup != NULL && !ops->several))
			continue;
		if (link->socket) {
			link_mute(link);
			continue;
		}
		link->hung = true;
		if (!link->reading && link->up)
			link_lose(link, LINK_LOST, "hung up");
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
link_machinery(struct event_base *base)
{
	if (doom_event != NULL)
		return 0;
	if ((hangup_fd = epoll_create1(EPOLL_CLOEXEC)) < 0)
		return -errno;
	doom_event = event_new(base, -1, EV_PERSIST, on_doom, NULL);
	hangup_event =
	    event_new(base, hangup_fd, EV_READ | EV_PERSIST, on_hangup, NULL);
	if (doom_event == NULL || hangup_event == NULL ||
	    event_add(hangup_event, NULL) < 0)
		return -ENOMEM;
	task_add(&hangup_task, NULL, hangup_label, "daemon.hangups");
	TASK_WAIT(&hangup_task);
	return 0;
}

void
link_machinery_free(void)
{
	if (doom_event != NULL)
		event_free(doom_event);
	if (hangup_event != NULL)
		event_free(hangup_event);
	if (hangup_fd >= 0)
		close(hangup_fd);
	task_remove(&hangup_task);
	doom_event = hangup_event = NULL;
	hangup_fd = -1;
}

/* --- callbacks of the bufferevent ---------------------------------------- */

static void
on_read(struct bufferevent *bev, void *arg)
{
	struct link *link = arg;

	(void)bev;
	task_begin(&link->read);
	if (link->up)
		link->endpoint->owner->readable(link);
	task_end(&link->read);
}

static void
on_write(struct bufferevent *bev, void *arg)
{
	struct link *link = arg;

	(void)bev;
	task_begin(&link->write);
	TASK_SET(&link->write, TASK_IDLE);
	if (link->up)
		link->endpoint->owner->writable(link);
	task_end(&link->write);
}

static const char *
reason_of(const struct link *link, short what)
{
	int e = EVUTIL_SOCKET_ERROR();

	if (what & BEV_EVENT_EOF || e == 0)
		return link->endpoint->conf->ops->several ? "closed by the peer"
							  : "hung up";
	return e == EIO ? "hung up" : strerror(e);
}

/* End of input, or an error, on reading or on writing. */
static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct link *link = arg;
	struct endpoint *ep = link->endpoint;
	const struct endpoint_ops *ops = ep->conf->ops;
	const char *why = reason_of(link, what);

	(void)bev;
	if (!link->up)
		return;
	task_begin(&link->read);
	if (what & BEV_EVENT_ERROR && what & BEV_EVENT_WRITING &&
	    is_closed(link, EVUTIL_SOCKET_ERROR())) {
		link_mute(link);
	} else if (what & BEV_EVENT_EOF && ops->several) {
		link->ended = true;
		link->reading = false;
		ep->nended++;
		if (ops->hangup != NULL)
			ops->hangup(ep);
		TASK_SET(&link->read, TASK_IDLE);
		ep->owner->readable(link);
	} else if (ops->several || ops->hangup == NULL || !ops->hangup(ep))
		link_lose(link, LINK_LOST, why);
	task_end(&link->read);
}

/* --- start and stop ------------------------------------------------------ */

static void
read_label(const struct task *task, char *buf, size_t size)
{
	const struct link *link = task->arg;

	link->endpoint->owner->label(link, false, buf, size);
}

static void
write_label(const struct task *task, char *buf, size_t size)
{
	const struct link *link = task->arg;

	link->endpoint->owner->label(link, true, buf, size);
}

static void
cancel_link(struct task *task)
{
	link_close(task->arg, "cancelled on the control port");
}

static bool
is_stream_socket(int fd)
{
	socklen_t len = sizeof(int);
	int type;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	    type == SOCK_STREAM;
}

int
link_start(struct link *link, int fd)
{
	struct endpoint *ep = link->endpoint;
	struct bufferevent *bev = bufferevent_socket_new(ep->base, fd, 0);

	if (bev == NULL)
		return -ENOMEM;
	link->fd = fd;
	link->bev = bev;
	link->ended = link->hung = link->watched = link->reading = false;
	link->mute = false;
	link->socket = is_stream_socket(fd);
	link->since_ns = now_ns();
	bufferevent_setcb(bev, on_read, on_write, on_event, link);
	bufferevent_disable(bev, EV_READ);
	task_add(&link->read, link, read_label, "%s.read", link->name);
	task_add(&link->write, link, write_label, "%s.write", link->name);
	if (ep->conf->ops->several)
		link->read.cancel = link->write.cancel = cancel_link;
	TASK_SET(&link->read, TASK_PAUSED);
	TASK_SET(&link->write, TASK_IDLE);
	return 0;
}

void
link_stop(struct link *link)
{
	if (link->bev == NULL)
		return;
	if (link->watched)
		epoll_ctl(hangup_fd, EPOLL_CTL_DEL, link->fd, NULL);
	bufferevent_free(link->bev);
	link->bev = NULL;
	link->up = link->adopted = false;
	link->since_ns = now_ns();
	task_remove(&link->read);
	task_remove(&link->write);
}

/* --- for the owner ------------------------------------------------------- */

size_t
link_read(struct link *link, uint8_t *buf, size_t size, bool on)
{
	size_t n, got;
	ssize_t r;

	if (link->bev == NULL)
		return 0;
	n = got = bufferevent_read(link->bev, buf, size);
	while (on && got >= FULL_READ && n < size && link->up) {
		r = read(link->fd, buf + n, size - n);
		if (r <= 0)
			break;
		n += (size_t)r;
		got = (size_t)r;
	}
	link->rx_bytes += n;
	return n;
}

ssize_t
link_write(struct link *link, const struct iovec *iov, int n)
{
	ssize_t r;

	if (!link->up || link->mute || link_handed(link) > 0)
		return 0;
	do
		r = n == 1 ? write(link->fd, iov->iov_base, iov->iov_len)
			   : writev(link->fd, iov, n);
	while (r < 0 && errno == EINTR);
	if (r >= 0) {
		link->tx_bytes += (size_t)r;
		return r;
	}
	if (errno == EAGAIN || errno == ENOBUFS)
		return 0;
	r = -errno;
	if (is_closed(link, errno))
		link_mute(link);
	else
		link_lose(
		    link, LINK_LOST, r == -EIO ? "hung up" : strerror(-(int)r));
	return r;
}

int
link_hand(struct link *link, const uint8_t *data, size_t len)
{
	if (bufferevent_write(link->bev, data, len) < 0)
		return -ENOMEM;
	link->tx_bytes += len;
	TASK_WAIT(&link->write);
	/* It does not say itself when it cannot wait for the descriptor. */
	if (bufferevent_enable(link->bev, EV_WRITE) < 0)
		link_lose(link, LINK_LOST, strerror(errno));
	return 0;
}

size_t
link_handed(const struct link *link)
{
	return link->bev == NULL
	    ? 0
	    : evbuffer_get_length(bufferevent_get_output(link->bev));
}

size_t
link_copy(const struct link *link, bool output, uint8_t *buf, size_t size)
{
	struct evbuffer_iovec *iov;
	struct evbuffer *from;
	size_t done = 0, part;
	int n;

	if (link->bev == NULL)
		return 0;
	from = output ? bufferevent_get_output(link->bev)
		      : bufferevent_get_input(link->bev);
	n = evbuffer_peek(from, -1, NULL, NULL, 0);
	if (size == 0 || n <= 0 ||
	    (iov = calloc((size_t)n, sizeof(*iov))) == NULL)
		return evbuffer_get_length(from);
	n = evbuffer_peek(from, -1, NULL, iov, n);
	for (int i = 0; i < n && done < size; i++, done += part) {
		part = MIN(iov[i].iov_len, size - done);
		memcpy(buf + done, iov[i].iov_base, part);
	}
	free(iov);
	return evbuffer_get_length(from);
}

void
link_set_reading(struct link *link, bool on)
{
	if (link->bev == NULL || !link->up || link->ended ||
	    link->reading == on)
		return;
	link->reading = on;
	if (on) {
		TASK_WAIT(&link->read);
		if (bufferevent_enable(link->bev, EV_READ) < 0)
			link_lose(link, LINK_LOST, strerror(errno));
		return;
	}
	bufferevent_disable(link->bev, EV_READ);
	TASK_SET(&link->read, TASK_PAUSED);
	watch_hangup(link);
	if (link->hung)
		link_lose(link, LINK_LOST, "hung up");
}

void
link_close(struct link *link, const char *why)
{
	link_lose(link, LINK_LOST, why);
}

void
link_poke(struct link *link, short what)
{
	if (link->bev != NULL && link->up)
		bufferevent_trigger(link->bev, what,
		    BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}
