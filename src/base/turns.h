/*
 * turns: the time that all control sessions and TLS handshakes together get in one pass
 * of the event loop, and its distribution.
 */
#ifndef TURNS_H
#define TURNS_H

#include "stats.h"

struct event_base;

/* A user of turns, embedded in its owner. */
struct turn {
	TAILQ_ENTRY(turn) entry;
	void (*run)(struct turn *); /* performs its turn */
	bool waiting;
};

/*
 * To be called before the first and after the last turn of each user; the first call
 * creates the shared state.  -ENOMEM.
 */
int turns_hold(struct event_base *base);
void turns_release(void);

/* Whether a turn may start immediately: there is time left, and no other user waits. */
bool turns_free(void);
/* Adds the user to the end of the queue for a turn, or removes it. */
void turns_wait(struct turn *turn, bool on);
/* The maximum duration of a turn. */
#define TURN_NS (500 * NSEC_PER_USEC)
/*
 * To be called before and after a turn: the time in between is counted.  turn_begin()
 * returns the start.
 */
uint64_t turn_begin(void);
void turn_end(uint64_t start);
/* No other turn starts in this pass; the next one does in the next pass. */
void turns_exhaust(void);
/* Whether there is time left to copy a frame for a watch, which counts as a turn. */
bool turns_left(void);

#endif
