/*
 * change: makes a bridge match a plan, in small steps, between which the event loop runs.
 *
 * A change is a transaction.  The steps before CHANGE_READY do everything that can fail
 * without affecting the running bridge, and can be undone; those after it cannot fail:
 *
 * 1. endpoints that are removed, or have to be opened differently, are closed, one each
 *    step; frames for them are queued, as for any endpoint that is not open
 * 2. in one step the new table of routes replaces the old one
 * 3. endpoints are opened, and those that stay open apply their section, one per step;
 *    one that is opened differently is a new node, which takes over counters and, if
 *    it has one link, the queue
 * 4. what is no longer used is freed
 *
 * All endpoints are closed before any is opened, because a new one may use the device or
 * the address of an old one.  The nodes of the bridge must not change otherwise while a
 * change is in progress.
 */
#ifndef CHANGE_H
#define CHANGE_H

#include "bridge.h"
#include "plan.h"

struct change;

enum {
	CHANGE_DONE,
	CHANGE_MORE,
	CHANGE_READY, /* change_commit() or change_drop() must be called */
};

/* The caller owns the plan and frees it when the change is done.  -ENOMEM. */
int change_new(struct bridge *b, struct plan *plan, struct change **ret);
/* Performs the next step.  -ENOMEM when a change that ran out of memory has been undone. */
int change_step(struct change *change);
/* After CHANGE_READY: the change cannot fail from now on. */
void change_commit(struct change *change);
/*
 * Before change_commit(): further steps undo the change; the last one returns
 * CHANGE_DONE.
 */
void change_drop(struct change *change);
/*
 * To be called when the change is done; change may be NULL.  The replaced routes are in
 * the plan.
 */
void change_free(struct change *change);

#endif
