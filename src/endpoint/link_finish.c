/*
 * link_finish: the last steps before a link is closed on purpose: its output is finished,
 * and its input discarded.
 */
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "link.h"
#include "link_filter.h"

/* The maximum number of reads in one call when the input of a link is discarded. */
#define DISCARD_READS 16

void
link_close_read(struct link *link)
{
	link->read_closed = true;
}

/* Returns true when the other side has closed, too. */
static bool
discard_input(int fd)
{
	uint8_t waste[4096];
	ssize_t n;

	for (unsigned i = 0; i < DISCARD_READS; i++) {
		n = read(fd, waste, sizeof(waste));
		if (n <= 0)
			return n == 0 || (errno != EAGAIN && errno != EINTR);
	}
	return false;
}

void
link_discard(const struct link *link)
{
	uint8_t waste[4096];

	if (!link->socket || link->read_eof)
		return;
	if (!link->local) {
		discard_input(link->fd);
		return;
	}
	/* After shutdown() no more input can arrive, so that the socket can be drained
	 * completely. */
	shutdown(link->fd, SHUT_RDWR);
	while (read(link->fd, waste, sizeof(waste)) > 0)
		continue;
}

/* Sends the end of output of a transport; false: it has to be called again. */
static bool
transport_finish(struct link *link)
{
	return !link->carried || link->ops->finish == NULL ||
	    link->ops->finish(link) != -EAGAIN;
}

bool
link_finish(struct link *link)
{
	int unsent;

	if (!link->up || !link->socket)
		return true;
	if (link->filtered && !link_filter_flush(link))
		return false;
	if (!transport_finish(link))
		return false;
	if (link->read_eof)
		return true;
	if (!link->write_closed)
		shutdown(link->fd, SHUT_WR);
	link->write_closed = true;
	/* A reset would discard what the kernel has not sent yet. */
	return discard_input(link->fd) || link->local ||
	    ioctl(link->fd, SIOCOUTQ, &unsent) < 0 || unsent == 0;
}
