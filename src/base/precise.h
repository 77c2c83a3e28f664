/*
 * precise: makes timers of libevent fire in time.
 *
 * libevent's timers are due to a few milliseconds, unless the whole loop is made
 * otherwise, which then costs a system call in each turn and cannot be changed
 * later.  Where that is too coarse, the silence that ends a frame, a timer is set
 * here as well: all of them share one timerfd, which exists from the first use on.
 * Without it, or without a descriptor for it, a timer fires as late as ever.
 */
#ifndef PRECISE_H
#define PRECISE_H

#include <sys/queue.h>

#include "util.h"

struct event;

/* Zeroed: not set.  Its memory is the caller's. */
struct precise {
	TAILQ_ENTRY(precise) entry;
	struct event *timer;
	uint64_t at; /* ns, 0: not set */
};

/* The timer's callback is called at that time (again, at another one). */
void precise_set(struct precise *p, struct event *timer, uint64_t at);
/* Harmless when it is not set. */
void precise_stop(struct precise *p);
/* Frees what all share, when none is set any more. */
void precise_free(void);

#endif
