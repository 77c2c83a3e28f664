/*
 * echo: sends each frame back, for wiring tests.
 *
 * A socket pair: the near end is the link, what is written to it comes in at the
 * far end and is written back there.  It takes no more while what it has is not
 * read, so the sockets' buffers bound it.  A byte leaves the far end's input when it
 * is written, and not before: so all that is on its way is in the two sockets, which
 * the next process gets.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "endpoint.h"

struct echo {
	struct endpoint *ep;
	int fd;				   /* the far end */
	struct event *readable, *writable; /* one of them is armed */
	bool full;			   /* what is sent back is not read */
	struct kept kept;		   /* the far end, across a restart */
	struct task task;
};

static void
echo_label(const struct task *task, char *buf, size_t size)
{
	const struct echo *echo = task->arg;

	snprintf(buf, size, "%s",
	    echo->full ? "what was sent back to be read"
		       : "something to send back");
}

static void
on_far(evutil_socket_t fd, short what, void *arg)
{
	struct echo *echo = arg;
	static uint8_t buf[16 * 1024];
	ssize_t n, written = 0;

	(void)what;
	task_begin(&echo->task);
	n = recv(fd, buf, sizeof(buf), MSG_PEEK);
	if (n > 0)
		written = write(fd, buf, (size_t)n);
	if (written > 0)
		(void)!read(fd, buf, (size_t)written);
	echo->full = n > 0 && written < n;
	TASK_WAIT(&echo->task);
	if (event_add(echo->full ? echo->writable : echo->readable, NULL) < 0)
		endpoint_lost(echo->ep, strerror(errno));
	task_end(&echo->task);
}

static void
echo_close(struct endpoint *ep)
{
	struct echo *echo = ep->impl;

	if (echo == NULL)
		return;
	ep->impl = NULL;
	if (echo->readable != NULL)
		event_free(echo->readable);
	if (echo->writable != NULL)
		event_free(echo->writable);
	task_remove(&echo->task);
	keep_remove(&echo->kept);
	close(echo->fd);
	free(echo);
}

/* The two ends: those of the process before, if both are there, or new ones. */
static int
get_ends(struct endpoint *ep, struct echo *echo, int *ret_near)
{
	char name[KEEP_NAME_MAX];
	int fd[2];

	endpoint_keep_name(ep, " far", name, sizeof(name));
	fd[0] = endpoint_take(ep);
	fd[1] = left_take(name);
	if (fd[0] < 0 || fd[1] < 0) {
		if (fd[0] >= 0) {
			keep_remove(&ep->link.kept);
			close(fd[0]);
		}
		if (fd[1] >= 0) {
			keep_forget(name);
			close(fd[1]);
		}
		ep->link.adopted = false;
		if (socketpair(AF_UNIX,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) < 0)
			return -errno;
	}
	keep_add(&echo->kept, fd[1], name);
	link_keep(&ep->link, fd[0]);
	echo->fd = fd[1];
	*ret_near = fd[0];
	return 0;
}

static int
echo_open(struct endpoint *ep)
{
	struct echo *echo = calloc(1, sizeof(*echo));
	int near = -1, r;

	snprintf(ep->address, sizeof(ep->address), "echo");
	if (echo == NULL)
		return -ENOMEM;
	if ((r = get_ends(ep, echo, &near)) < 0) {
		free(echo);
		return r;
	}
	ep->impl = echo;
	echo->ep = ep;
	echo->readable = event_new(ep->base, echo->fd, EV_READ, on_far, echo);
	echo->writable = event_new(ep->base, echo->fd, EV_WRITE, on_far, echo);
	if (echo->readable == NULL || echo->writable == NULL ||
	    event_add(echo->readable, NULL) < 0 ||
	    (r = endpoint_up(ep, near, true)) < 0) {
		keep_remove(&ep->link.kept);
		close(near);
		return -ENOMEM;
	}
	task_add(&echo->task, echo, echo_label, "%s.echo", ep->conf->name);
	TASK_WAIT(&echo->task);
	return r;
}

const struct endpoint_ops endpoint_echo = {
	.type = "echo",
	.echo = true,
	.open = echo_open,
	.close = echo_close,
};
