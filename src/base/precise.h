/*
 * precise: makes libevent timers fire on time.
 *
 * libevent timers may be late by a few milliseconds, unless the event base is created
 * with precise timers, which costs a system call in each iteration and cannot be
 * changed later.  Where more precision is needed, for the silence that ends a frame, a
 * timer is set here as well: all of these share one timerfd, which exists from the
 * first use on.  Without it, for lack of a descriptor, a timer fires as late as
 * libevent makes it.
 */
#ifndef PRECISE_H
#define PRECISE_H

#include <sys/queue.h>

#include "util.h"

struct event;

/* Zeroed: not set.  The memory belongs to the caller. */
struct precise {
	TAILQ_ENTRY(precise) entry;
	struct event *timer;
	uint64_t at; /* ns, 0: not set */
};

/* Causes the timer's callback to be called at that time; replaces an earlier setting. */
void precise_set(struct precise *p, struct event *timer, uint64_t at);
/* No effect if it is not set. */
void precise_stop(struct precise *p);
/* Frees the timerfd; no timer may be set any more. */
void precise_free(void);

#endif
