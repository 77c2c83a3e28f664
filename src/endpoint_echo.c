/*
 * endpoint_echo: sends each frame back, for wiring tests.
 *
 * A socket pair: the near end is the link, what is written to it comes in at the
 * far end and is written back there.  It takes no more while what it has is not
 * read, so the sockets' buffers bound it.
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
	size_t start, end;		   /* of what is to be sent back */
	struct task task;
	uint8_t buf[16 * 1024];
};

static void
echo_label(const struct task *task, char *buf, size_t size)
{
	const struct echo *echo = task->arg;

	snprintf(buf, size, "%s",
	    echo->start < echo->end ? "what was sent back to be read"
				    : "something to send back");
}

static void
on_far(evutil_socket_t fd, short what, void *arg)
{
	struct echo *echo = arg;
	ssize_t n;

	(void)what;
	task_begin(&echo->task);
	if (echo->start == echo->end) {
		n = read(fd, echo->buf, sizeof(echo->buf));
		echo->start = 0;
		echo->end = n > 0 ? (size_t)n : 0;
	}
	n = write(fd, echo->buf + echo->start, echo->end - echo->start);
	if (n > 0)
		echo->start += (size_t)n;
	TASK_WAIT(&echo->task);
	if (event_add(echo->start < echo->end ? echo->writable : echo->readable,
		NULL) < 0)
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
	close(echo->fd);
	free(echo);
}

static int
echo_open(struct endpoint *ep)
{
	struct echo *echo = calloc(1, sizeof(*echo));
	int fd[2], r;

	snprintf(ep->address, sizeof(ep->address), "echo");
	if (echo == NULL)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
		fd) < 0) {
		free(echo);
		return -errno;
	}
	ep->impl = echo;
	echo->ep = ep;
	echo->fd = fd[1];
	echo->readable = event_new(ep->base, fd[1], EV_READ, on_far, echo);
	echo->writable = event_new(ep->base, fd[1], EV_WRITE, on_far, echo);
	if (echo->readable == NULL || echo->writable == NULL ||
	    event_add(echo->readable, NULL) < 0 ||
	    (r = endpoint_up(ep, fd[0], true)) < 0) {
		close(fd[0]);
		return -ENOMEM;
	}
	task_add(&echo->task, echo, echo_label, "%s.echo", ep->conf->name);
	TASK_WAIT(&echo->task);
	return r;
}

const struct endpoint_ops endpoint_echo = {
	.type = "echo",
	.open = echo_open,
	.close = echo_close,
};
