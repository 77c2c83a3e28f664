/*
 * change: makes a bridge what a plan says, in small steps, between which the event loop
 * runs.
 *
 * It is a transaction.  The steps before CHANGE_READY do all that can fail, beside what
 * runs, and can be dropped; those after it cannot fail:
 *
 *	1. endpoints that go, or have to be opened differently, are closed, one a step;
 *	   what is sent to them waits, as for any endpoint that is not open
 *	2. in one step the new table of routes takes the place of the old one
 *	3. one a step, endpoints are opened, and those that stay open follow their section;
 *	   one that is opened differently is a new node, which takes over counters and, if
 *	   it has one link, what is queued
 *	4. what is left over is freed
 *
 * All are closed before any is opened, because one may have the device or the address
 * that another one had.  The nodes of the bridge must not change otherwise while a change
 * is under way.
 */
#ifndef CHANGE_H
#define CHANGE_H

#include "bridge.h"
#include "plan.h"

struct change;

enum {
	CHANGE_DONE,
	CHANGE_MORE,
	CHANGE_READY, /* change_commit() or change_drop() is due */
};

/* The plan is the caller's, to be freed when the change is done.  -ENOMEM. */
int change_new(struct bridge *b, struct plan *plan, struct change **ret);
/* The next step.  -ENOMEM, at the end of a change that was dropped for want of it. */
int change_step(struct change *change);
/* From now on it cannot fail. */
void change_commit(struct change *change);
/* Before that: further steps undo it, and the end is CHANGE_DONE. */
void change_drop(struct change *change);
/* After its end; NULL is fine.  The routes that were replaced are in the plan now. */
void change_free(struct change *change);

#endif
