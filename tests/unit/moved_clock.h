/*
 * moved_clock: time passes only when the test moves it, for the project's code and for
 * the timers of libevent: both read the clock with clock_gettime(), which is replaced.
 */
#ifndef MOVED_CLOCK_H
#define MOVED_CLOCK_H

#include <time.h>

#include <event2/event.h>

#include "util.h"

static uint64_t moved_ns = 1000 * NSEC_PER_SEC;

int
clock_gettime(clockid_t clock, struct timespec *ts)
{
	(void)clock;
	ts->tv_sec = (time_t)(moved_ns / NSEC_PER_SEC);
	ts->tv_nsec = (long)(moved_ns % NSEC_PER_SEC);
	return 0;
}

/* Runs what is due now. */
static inline void
run_due(struct event_base *loop)
{
	for (int i = 0; i < 3; i++)
		event_base_loop(loop, EVLOOP_NONBLOCK);
}

/* Time passes, and what becomes due at its end runs. */
static inline void
move_clock(struct event_base *loop, uint64_t ns)
{
	moved_ns += ns;
	run_due(loop);
}

#endif
