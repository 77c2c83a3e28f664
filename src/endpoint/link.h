/*
 * link: functions of links for the source files of endpoints only.
 */
#ifndef LINK_H
#define LINK_H

#include <errno.h>
#include <unistd.h>

#include <event2/event.h>

#include "endpoint.h"

/* What the deferred close does with a link. */
enum link_end {
	LINK_LOST,   /* closed, and reopened after the back-off */
	LINK_REOPEN, /* closed, and opened again at once */
	LINK_WAIT,   /* its descriptor stays open, without a user */
};

/* A value of read_result besides an errno. */
#define END_OF_INPUT (-1)

/* Creates the events and tasks of the link for a descriptor.  -ENOMEM. */
int link_start(struct link *link, int fd);
/* Frees them again; the descriptor stays open. */
void link_stop(struct link *link);
/* Takes the link out of use now; the rest is done in a deferred step, by the function
 * passed to link_machinery(). */
void link_lose(struct link *link, enum link_end end, const char *why);
/* The link is closed: frees its transport, and closes the descriptor of a connection. */
void link_close_transport(struct link *link);
/* Performs the deferred close of the link now, if there is one. */
void link_settle_now(struct link *link);
/* Copies up to size bytes of the output that link_pending() counts; returns how many. */
size_t link_unwritten(const struct link *link, uint8_t *buf, size_t size);
/*
 * Discards received data before the descriptor is closed.  Closing a socket with unread
 * data resets the connection, and the kernel then discards what it has not sent yet.
 */
void link_discard(const struct link *link);
/* The link is about to be closed for good.  If the keeper has a copy of the descriptor,
 * close() does not end the connection, so it is shut down. */
void link_release(struct link *link);
/* Performs all deferred closes now.  Must not be called from a callback of a link. */
void link_settle_all(void);
/* Ends what link_keepalive() started. */
void link_keepalive_stop(struct link *link);
/* Adds a link with that number to an endpoint with several.  The descriptor is closed
 * with the link, and at once on failure (NULL). */
struct link *endpoint_make_link(struct endpoint *ep, int fd,
    const char *address, unsigned number, bool adopted);
/* Performs the deferred close of such a link: notifies the owner, closes and frees it. */
void connection_settle(struct link *link);
/*
 * Creates the deferred-close event and the hang-up watch that all links share; no
 * effect if they exist.  settle performs the deferred close of one link: it notifies
 * the owner and closes the link, and frees a link of an endpoint with several.  -errno.
 */
int link_machinery(struct event_base *base, void (*settle)(struct link *));

/* --- the transport (link_transport.c) ------------------------------------- */

/* The bytes of the transport: like read(2) and write(2), but restarted when
 * interrupted. */
static inline ssize_t
link_get(struct link *link, void *buf, size_t size)
{
	ssize_t r;

	if (link->carried) {
		r = link->ops->read(link, buf, size);
		errno = r < 0 ? (int)-r : 0;
		return MAX(r, (ssize_t)-1);
	}
	do
		r = read(link->fd, buf, size);
	while (r < 0 && errno == EINTR);
	return r;
}

static inline ssize_t
link_put(struct link *link, const void *data, size_t len)
{
	ssize_t r;

	if (link->carried) {
		r = link->ops->write(link, data, len);
		errno = r < 0 ? (int)-r : 0;
		return MAX(r, (ssize_t)-1);
	}
	do
		r = write(link->fd, data, len);
	while (r < 0 && errno == EINTR);
	return r;
}

/* The descriptor is not waited for any more, and a trigger for reading is taken back. */
static inline void
link_disarm(struct link *link)
{
	event_del(link->readable);
	link->armed = false;
}
/*
 * Waits for input of the descriptor, or no longer.  Has no effect if that is so already:
 * a link that is not read is triggered when it has a turn, and event_del() would take
 * that back.  -1: see errno.
 */
int link_arm(struct link *link, bool on);
/* The events that the link waits for: EV_READ, EV_WRITE. */
short link_events(const struct link *link);
/* Those may have changed, for a link whose bufferevent only stores. */
void link_wait(struct link *link);

/* --- between those and link_hangup.c ------------------------------------- */

/*
 * The other side of a socket, or the user of a pty, accepts no more output.  What it
 * has sent is still read, subject to back-pressure, until the end of input.
 */
void link_set_unwritable(struct link *link);
/* Whether the error means that the other side has closed the connection, and the end
 * of its input is still to be read. */
bool link_peer_closed(const struct link *link, int e);
/* Whether the link may have another user after a hang-up: its type handles hang-ups
 * itself (a pty). */
bool link_has_users(const struct link *link);
/*
 * The user of a pty has closed it.  Its unread input may have to wait for space in a
 * queue; meanwhile the next user is served (link_next_user).
 */
void link_user_left(struct link *link);
/* The reason for the loss of the link, from an errno or END_OF_INPUT; returns buf. */
const char *link_reason(const struct link *link, int e, char *buf, size_t size);
/* Writing has failed. */
void link_write_failed(struct link *link, int e);
/* The link is lost, unless its type handles hang-ups and keeps it. */
void link_failed(struct link *link, int e);
/* The link has hung up while it is paused; unread input may remain. */
void link_hung_up(struct link *link);
/* Reports a hang-up from now on, also while the link is paused. */
void link_watch_hangup(struct link *link);
void link_unwatch_hangup(struct link *link);
/* The events of poll(2) that are pending on a descriptor, POLLIN included. */
short link_poll(int fd);

#endif
