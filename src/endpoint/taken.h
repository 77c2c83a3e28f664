/*
 * taken: how much of what was written to a link the receiver has read.
 */
#ifndef TAKEN_H
#define TAKEN_H

#include "endpoint.h"

/* A receiver that reads at least this many bytes per second is never considered
 * stalled. */
#define TAKEN_SLOWEST (10 * 1000)

struct taken {
	uint64_t bytes; /* only differences are meaningful */
	/* How long the number may stay unchanged although the receiver is reading, ns. */
	uint64_t delay_ns;
};

/* Makes several system calls; intended for timers, not for each message. */
void link_taken(const struct link *link, struct taken *ret);

#endif
