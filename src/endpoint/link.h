/*
 * link: what endpoint.c needs of its links beyond what everybody does.
 */
#ifndef LINK_H
#define LINK_H

#include "endpoint.h"

/* What becomes of a link in the deferred step. */
enum link_end {
	LINK_LOST,   /* closed, and reopened by the back-off */
	LINK_REOPEN, /* closed, and opened again at once */
	LINK_WAIT,   /* its descriptor stays, without users */
};

/* Puts the link's events and tasks to work on a descriptor. -ENOMEM. */
int link_start(struct link *link, int fd);
/* Takes them away again; the descriptor stays open. */
void link_stop(struct link *link);
/* Out of use now; what is to become of it is done in a deferred step, by the function
 * that link_machinery() was given. */
void link_lose(struct link *link, enum link_end end, const char *why);
/* If its close was deferred, does it now. */
void link_settle_now(struct link *link);
/* Copies up to size bytes of what link_pending() counts; returns how many. */
size_t link_unwritten(const struct link *link, uint8_t *buf, size_t size);
/*
 * Before its descriptor is closed: takes what has come in.  A socket that is closed over
 * unread data resets the connection, and what the kernel still had to send is lost.
 */
void link_discard(const struct link *link);
/* Does all deferred closes at once: not inside one of their callbacks. */
void link_settle_all(void);
/* Another link of an endpoint with several, of that number.  The descriptor is closed
 * with it, and at once on failure (NULL). */
struct link *endpoint_make_link(struct endpoint *ep, int fd,
    const char *address, unsigned number, bool adopted);
/*
 * Makes the shared machinery (the deferred step, the hang-up watch); once.  settle is the
 * deferred step for one link: it tells the owner and closes; a link of an endpoint with
 * several is freed.  -errno.
 */
int link_machinery(struct event_base *base, void (*settle)(struct link *));

#endif
