/*
 * turns: the time that all control sessions together get in one pass of the
 * event loop, and whose turn it is.
 */
#ifndef TURNS_H
#define TURNS_H

#include "stats.h"

struct event_base;

/* One that takes turns, embedded in what it stands for. */
struct turn {
	TAILQ_ENTRY(turn) entry;
	void (*run)(struct turn *); /* its turn has come */
	bool waiting;
};

/* Around the life of each that takes turns; the first one makes what is shared.
 * -ENOMEM. */
int turns_hold(struct event_base *base);
void turns_release(void);

/* Whether it may go on at once: time is left, and nothing else waits for it. */
bool turns_free(void);
/* Puts it at the end of those that wait for a turn, or takes it out. */
void turns_wait(struct turn *turn, bool on);
/* What one turn may take. */
#define TURN_NS (500 * NSEC_PER_USEC)
/* Around a turn: the time in between counts.  Returns its start. */
uint64_t turn_begin(void);
void turn_end(uint64_t start);
/* Whether a frame may still be copied for one that watches, in a turn of its own. */
bool turns_left(void);

#endif
