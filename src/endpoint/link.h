/*
 * link: functions of links for the source files of endpoints only.
 */
#ifndef LINK_H
#define LINK_H

#include "endpoint.h"

/* What the deferred close does with a link. */
enum link_end {
	LINK_LOST,   /* closed, and reopened after the back-off */
	LINK_REOPEN, /* closed, and opened again at once */
	LINK_WAIT,   /* its descriptor stays open, without a user */
};

/* Creates the events and tasks of the link for a descriptor.  -ENOMEM. */
int link_start(struct link *link, int fd);
/* Frees them again; the descriptor stays open. */
void link_stop(struct link *link);
/* Takes the link out of use now; the rest is done in a deferred step, by the function
 * passed to link_machinery(). */
void link_lose(struct link *link, enum link_end end, const char *why);
/* Performs the deferred close of the link now, if there is one. */
void link_settle_now(struct link *link);
/* Copies up to size bytes of the output that link_pending() counts; returns how many. */
size_t link_unwritten(const struct link *link, uint8_t *buf, size_t size);
/*
 * Discards received data before the descriptor is closed.  Closing a socket with unread
 * data resets the connection, and the kernel then discards what it has not sent yet.
 */
void link_discard(const struct link *link);
/* Performs all deferred closes now.  Must not be called from a callback of a link. */
void link_settle_all(void);
/* Adds a link with that number to an endpoint with several.  The descriptor is closed
 * with the link, and at once on failure (NULL). */
struct link *endpoint_make_link(struct endpoint *ep, int fd,
    const char *address, unsigned number, bool adopted);
/*
 * Creates the deferred-close event and the hang-up watch that all links share; no
 * effect if they exist.  settle performs the deferred close of one link: it notifies
 * the owner and closes the link, and frees a link of an endpoint with several.  -errno.
 */
int link_machinery(struct event_base *base, void (*settle)(struct link *));

#endif
