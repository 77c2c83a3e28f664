/*
 * idle: closes connections that are not used.
 */
#ifndef IDLE_H
#define IDLE_H

#include "endpoint.h"

struct idle_watch {
	struct endpoint *endpoint; /* NULL: not started */
	uint64_t ns;
	struct event *timer;
	struct task task;
};

/*
 * Closes each link of the endpoint that has neither sent nor received anything for that
 * time, or up to a quarter longer.  0: no effect.  -ENOMEM.
 */
int idle_watch_start(struct idle_watch *w, struct endpoint *ep, uint64_t ns);
/* The endpoint has got a link. */
void idle_watch_link(struct idle_watch *w);
/* No effect if it was not started. */
void idle_watch_stop(struct idle_watch *w);

#endif
