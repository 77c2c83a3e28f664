/*
 * echo: sends each frame back, for wiring tests.
 *
 * The link is a pipe that is open for reading and writing, so what is written to it is
 * read back from it.  The buffer of the pipe limits the amount of data; its contents
 * are passed to the next process together with the descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "endpoint.h"

/* Opens both ends of a pipe as one descriptor; pipe(2) only returns one for each end. */
static int
open_pipe(struct error *err)
{
	char path[32];
	int end[2], fd, r;

	if (pipe2(end, O_CLOEXEC) < 0)
		return error_fail(
		    err, -errno, "cannot create a pipe: %s", strerror(errno));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", end[0]);
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	r = fd >= 0 ? fd : -errno;
	close(end[0]);
	close(end[1]);
	if (r < 0)
		error_set(err, "cannot open %s: %s", path, strerror(-r));
	return r;
}

static void
echo_close(struct endpoint *ep)
{
	(void)ep;
}

static int
echo_open(struct endpoint *ep)
{
	int fd;

	snprintf(ep->address, sizeof(ep->address), "echo");
	if ((fd = endpoint_take(ep)) < 0) {
		if ((fd = open_pipe(&ep->error)) < 0)
			return fd;
		link_keep(&ep->link, fd);
	}
	return endpoint_up(ep, fd, true);
}

const struct endpoint_ops endpoint_echo = {
	.type = "echo",
	.echo = true,
	.open = echo_open,
	.close = echo_close,
};
