/*
 * taken: how much of what was written to a link its receiver has taken.
 */
#ifndef TAKEN_H
#define TAKEN_H

#include "endpoint.h"

/* A receiver that reads at least this many bytes a second never seems stuck. */
#define TAKEN_SLOWEST (10 * 1000)

struct taken {
	uint64_t bytes; /* only differences mean something */
	/* How long a receiver that does take something may leave the number as
	 * it is, ns. */
	uint64_t delay_ns;
};

/* Makes system calls: for timers, not for each message. */
void link_taken(const struct link *link, struct taken *ret);

#endif
