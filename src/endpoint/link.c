/*
 * link: open byte streams.
 *
 * Input is read from the descriptor directly into the owner's buffer, in the callback
 * of a read event.  Output that cannot be written at once is left to a bufferevent.
 *
 * The bytes of a link that has no descriptor, or whose bytes are encrypted, are carried
 * by its link_ops.  Its bufferevent then only stores what could not be written.
 *
 * The transport of links is in link_transport.c; how a link ends is in link_hangup.c and
 * link_finish.c.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/sockios.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_struct.h>
#include <event2/event.h>

#include "link.h"
#include "link_filter.h"
#include "permission.h"

/* A read that returned this much may have left more: a tty returns at most 4095 bytes
 * at a time. */
#define FULL_READ 4095

/* --- in ------------------------------------------------------------------ */

/* A connection: read EOF.  The link may still be written to. */
static void
link_read_eof(struct link *link)
{
	struct endpoint *ep = link->endpoint;

	link->read_eof = true;
	link->reading = false;
	link_disarm(link);
	ep->nended++;
	permission_leave(link);
	if (ep->conf->ops->hangup != NULL)
		ep->conf->ops->hangup(ep);
	TASK_SET(&link->read, TASK_IDLE);
	ep->owner->readable(link);
}

/*
 * The owner may have processed only what it had before: input that the transport or the
 * filter has already is not reported by the descriptor.
 */
static void
read_on(struct link *link)
{
	if (!link->up || !link->reading || link->read_eof || link->fd < 0)
		return;
	if (link->carried)
		link_wait(link);
	if (link->filtered && link->filter->input_len > 0 &&
	    !link->filter->waits && !link->filter->held)
		link_trigger(link, EV_READ);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct link *link = arg;
	int met;

	(void)fd, (void)what;
	task_begin(&link->read);
	link->read_result = 0;
	if (link->up)
		link->endpoint->owner->readable(link);
	met = link->read_result;
	/* All input of the previous user has been read, and the next user has opened
	 * the pty already. */
	if (met == 0 && link->unwritable && link_has_users(link) &&
	    link_poll(link->fd) == 0)
		met = EIO;
	if (met != 0 && link->up && !link->read_eof) {
		if (met == END_OF_INPUT && link->endpoint->conf->ops->several)
			link_read_eof(link);
		else
			link_failed(link, met);
	}
	if (link->carried || link->filtered)
		read_on(link);
	task_end(&link->read);
}

size_t
link_read(struct link *link, uint8_t *buf, size_t size, bool on)
{
	size_t n = 0;
	ssize_t r;

	if (link->bev == NULL || link->read_eof || link->read_closed ||
	    link->endpoint->paused)
		return 0;
	if (link->filtered)
		return link_filter_read(link, buf, size);
	do {
		r = link_get(link, buf + n, size - n);
		if (r > 0)
			n += (size_t)r;
	} while (on && r >= FULL_READ && n < size);
	if (r == 0)
		link->read_result = END_OF_INPUT;
	else if (r < 0 && errno != EAGAIN)
		link->read_result = errno;
	if (n > 0)
		link->heard_ns = task_now();
	link->rx_bytes += n;
	return n;
}

/* --- out ----------------------------------------------------------------- */

/* Like write(2), of bytes of the owner. */
static inline ssize_t
put(struct link *link, const void *data, size_t len)
{
	return link->filtered ? link_filter_write(link, data, len)
			      : link_put(link, data, len);
}

static void
on_write(struct bufferevent *bev, void *arg)
{
	struct link *link = arg;

	task_begin(&link->write);
	link->output_pending =
	    evbuffer_get_length(bufferevent_get_output(bev)) > 0;
	TASK_SET(&link->write, TASK_IDLE);
	if (link->up)
		link->endpoint->owner->writable(link);
	task_end(&link->write);
}

/* Bytes passed to link_hand() could not be written. */
static void
output_failed(struct link *link, int e)
{
	if (link_peer_closed(link, e))
		link_set_unwritable(link);
	else if (e == EIO && link_has_users(link))
		link_user_left(link);
	else
		link_failed(link, e);
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	int e = EVUTIL_SOCKET_ERROR();
	struct link *link = arg;

	(void)bev, (void)what;
	if (!link->up)
		return;
	task_begin(&link->write);
	output_failed(link, e);
	task_end(&link->write);
}

/* Removes bytes from the front of the output buffer, which is otherwise frozen for all
 * but the bufferevent. */
static void
output_drain(struct link *link, size_t len)
{
	struct evbuffer *output = bufferevent_get_output(link->bev);

	evbuffer_unfreeze(output, 1);
	evbuffer_drain(output, len);
	evbuffer_freeze(output, 1);
}

/* Writes pending output, and notifies the owner when all of it has been written. */
static void
transport_flush(struct link *link)
{
	struct evbuffer *output = bufferevent_get_output(link->bev);
	size_t len = evbuffer_get_length(output);
	ssize_t n;

	n = put(link, evbuffer_pullup(output, -1), len);
	if (n > 0)
		output_drain(link, (size_t)n);
	if (n == (ssize_t)len)
		on_write(link->bev, link);
	else if (n < 0 && errno != EAGAIN && errno != ENOBUFS) {
		output_failed(link, errno);
		return;
	}
	link_wait(link);
}

void
link_ready(struct link *link, short what)
{
	if (what & EV_READ && link_events(link) & EV_READ)
		on_readable(-1, EV_READ, link);
	if (!(what & EV_WRITE) || !(link_events(link) & EV_WRITE))
		return;
	if (link->filtered && !link_filter_flush(link))
		return;
	if (link->up && link->output_pending && !link->paced)
		transport_flush(link);
}

/* --- start and stop ------------------------------------------------------ */

static void
read_label(const struct task *task, char *buf, size_t size)
{
	const struct link *link = task->arg;

	if (link->filtered && link->filter->held)
		link_filter_label(link->filter, buf, size);
	else
		link->endpoint->owner->label(link, false, buf, size);
}

static void
write_label(const struct task *task, char *buf, size_t size)
{
	const struct link *link = task->arg;

	if (link->output_pending && link->ops != NULL &&
	    link->ops->label != NULL)
		link->ops->label(link, buf, size);
	else
		link->endpoint->owner->label(link, true, buf, size);
}

static void
cancel_link(struct task *task)
{
	link_close(task->arg, "cancelled on the control port");
}

static bool
is_socket(int fd, int option, int value)
{
	socklen_t len = sizeof(int);
	int is;

	return getsockopt(fd, SOL_SOCKET, option, &is, &len) == 0 &&
	    is == value;
}

/* Whether the bufferevent stores pending output, and does not write it. */
static inline bool
only_stores(const struct link *link)
{
	return link->carried || link->filtered;
}

/* The bufferevent writes only while nothing else does. */
static void
enable_output(const struct link *link)
{
	if (only_stores(link) || link->paced)
		bufferevent_disable(link->bev, EV_WRITE);
	else
		bufferevent_enable(link->bev, EV_WRITE);
}

static void
free_events(struct link *link)
{
	link_filter_free(link);
	if (link->readable != NULL)
		event_free(link->readable);
	if (link->bev != NULL)
		bufferevent_free(link->bev);
	link->readable = NULL;
	link->bev = NULL;
}

static int
make_output(struct link *link, int fd)
{
	if (only_stores(link))
		fd = -1;
	link->bev = bufferevent_socket_new(link->endpoint->base, fd, 0);
	if (link->bev == NULL)
		return -ENOMEM;
	bufferevent_setcb(link->bev, NULL, on_write, on_event, link);
	enable_output(link);
	return 0;
}

static void
on_filter_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	link_ready(arg, EV_WRITE);
}

/* A filter or a transport may wait for something else. */
static bool
read_armed(const struct task *task)
{
	const struct link *link = task->arg;

	return (link->filtered && link->filter->held) ||
	    event_pending(link->readable, EV_READ, NULL);
}

static bool
write_armed(const struct task *task)
{
	const struct link *link = task->arg;

	return only_stores(link) || link->paced ||
	    event_pending(&link->bev->ev_write, EV_WRITE, NULL);
}

int
link_start(struct link *link, int fd)
{
	struct endpoint *ep = link->endpoint;
	int old = link->fd;

	link->fd = fd;
	link->readable =
	    event_new(ep->base, fd, EV_READ | EV_PERSIST, on_readable, link);
	if (link->readable == NULL ||
	    (ep->conf->ops->attach != NULL &&
		ep->conf->ops->attach(link) < 0) ||
	    link_filter_start(link, on_filter_writable) < 0 ||
	    make_output(link, fd) < 0) {
		free_events(link);
		link->fd = old;
		return -ENOMEM;
	}
	link->read_eof = link->hung_up = link->watched = link->reading = false;
	link->unwritable = link->output_pending = link->read_closed = false;
	link->armed = false;
	link->write_closed = false;
	link->socket = is_socket(fd, SO_TYPE, SOCK_STREAM);
	link->local = link->socket && is_socket(fd, SO_DOMAIN, AF_UNIX);
	link->since_ns = link->heard_ns = now_ns();
	task_add(&link->read, link, read_label, "%s.read", link->name);
	task_add(&link->write, link, write_label, "%s.write", link->name);
	if (ep->conf->ops->several)
		link->read.cancel = link->write.cancel = cancel_link;
	link->read.armed = read_armed;
	link->write.armed = write_armed;
	link->why[0] = '\0';
	TASK_SET(&link->read, TASK_PAUSED);
	TASK_SET(&link->write, TASK_IDLE);
	return 0;
}

void
link_stop(struct link *link)
{
	const char *why;

	if (link->bev == NULL)
		return;
	link_unwatch_hangup(link);
	link_keepalive_stop(link);
	free_events(link);
	link->up = link->adopted = link->output_pending = false;
	link->since_ns = now_ns();
	why = link->why[0] != '\0' ? link->why : "closed";
	task_remove_why(&link->read, why);
	task_remove_why(&link->write, why);
}

void
link_next_user(struct link *link)
{
	struct bufferevent *old = link->bev;

	if (!link->up || !link->unwritable)
		return;
	/* The bufferevent may hold the rest of a frame whose start went to the
	 * previous user. */
	link->endpoint->owner->cut(link);
	if (make_output(link, link->fd) < 0) {
		link->bev = old;
		link_lose(link, LINK_LOST, "out of memory");
		return;
	}
	bufferevent_free(old);
	link->output_pending = link->unwritable = link->hung_up = false;
	link_trigger(link, EV_WRITE);
}

/* --- for the owner ------------------------------------------------------- */

ssize_t
link_write(struct link *link, const void *data, size_t len)
{
	ssize_t r;

	if (!link->up || link->unwritable || link->output_pending)
		return 0;
	r = put(link, data, len);
	if (r >= 0) {
		link->tx_bytes += (size_t)r;
		return r;
	}
	if (errno == EAGAIN || errno == ENOBUFS)
		return 0;
	r = -errno;
	link_write_failed(link, (int)-r);
	return r;
}

int
link_hand(struct link *link, const uint8_t *data, size_t len)
{
	if (bufferevent_write(link->bev, data, len) < 0)
		return -ENOMEM;
	link->tx_bytes += len;
	link->output_pending = true;
	TASK_WAIT(&link->write);
	if (only_stores(link))
		link_wait(link);
	/* The bufferevent does not report it to a callback if its event cannot be
	 * added. */
	else if (!link->paced && bufferevent_enable(link->bev, EV_WRITE) < 0)
		link_lose(link, LINK_LOST, strerror(errno));
	return 0;
}

void
link_set_paced(struct link *link, bool on)
{
	if (link->paced == on)
		return;
	link->paced = on;
	if (link->bev == NULL)
		return;
	enable_output(link);
	if (only_stores(link) && link->up)
		link_wait(link);
}

ssize_t
link_write_pending(struct link *link, size_t max)
{
	struct evbuffer *output;
	size_t len;
	ssize_t n;

	if (!link->up || link->unwritable || !link->output_pending)
		return 0;
	output = bufferevent_get_output(link->bev);
	len = MIN(evbuffer_get_length(output), max);
	n = put(link, evbuffer_pullup(output, (ev_ssize_t)len), len);
	if (n < 0 && (errno == EAGAIN || errno == ENOBUFS))
		return 0;
	if (n < 0) {
		n = -errno;
		output_failed(link, (int)-n);
		return n;
	}
	output_drain(link, (size_t)n);
	if (evbuffer_get_length(output) == 0) {
		link->output_pending = false;
		TASK_SET(&link->write, TASK_IDLE);
	}
	return n;
}

bool
link_device(const struct link *link, struct device_id *ret)
{
	struct stat st;

	if (!link->endpoint->conf->ops->line ||
	    link_poll(link->fd) & (POLLHUP | POLLERR | POLLNVAL) ||
	    fstat(link->fd, &st) < 0)
		return false;
	ret->device = st.st_dev;
	ret->inode = st.st_ino;
	ret->number = st.st_rdev;
	return true;
}

size_t
link_pending(const struct link *link)
{
	return link->output_pending
	    ? evbuffer_get_length(bufferevent_get_output(link->bev))
	    : 0;
}

size_t
link_take_back(struct link *link)
{
	size_t len = link_pending(link);

	if (len == 0)
		return 0;
	output_drain(link, len);
	link->tx_bytes -= len;
	return len;
}

/* evbuffer_copyout() fails on the output buffer of a bufferevent, because its front is
 * frozen. */
size_t
link_unwritten(const struct link *link, uint8_t *buf, size_t size)
{
	struct evbuffer_iovec piece;
	struct evbuffer *output;
	struct evbuffer_ptr at;
	size_t done, part;

	if (!link->output_pending)
		return 0;
	output = bufferevent_get_output(link->bev);
	evbuffer_ptr_set(output, &at, 0, EVBUFFER_PTR_SET);
	for (done = 0; done < size; done += part) {
		if (evbuffer_peek(output, -1, &at, &piece, 1) < 1)
			break;
		part = MIN(piece.iov_len, size - done);
		memcpy(buf + done, piece.iov_base, part);
		if (evbuffer_ptr_set(output, &at, part, EVBUFFER_PTR_ADD) < 0)
			break;
	}
	return done;
}

void
link_set_reading(struct link *link, bool on)
{
	if (link->bev == NULL || !link->up || link->read_eof ||
	    link->reading == on)
		return;
	link->reading = on;
	if (on) {
		TASK_WAIT(&link->read);
		if (only_stores(link)) {
			/* Never active by itself; it is the wait of the task. */
			if (link->fd < 0)
				event_add(link->readable, NULL);
			link_wait(link);
			if (link->filtered && link_filter_awaits(link))
				link_trigger(link, EV_READ);
		} else if (event_add(link->readable, NULL) < 0)
			link_lose(link, LINK_LOST, strerror(errno));
		else if (link->unwritable && link_has_users(link))
			link_trigger(link, EV_READ);
		return;
	}
	link_disarm(link);
	TASK_SET(&link->read, TASK_PAUSED);
	if (only_stores(link))
		link_wait(link);
	if (link->fd >= 0)
		link_watch_hangup(link);
	if (link->hung_up)
		link_hung_up(link);
}
