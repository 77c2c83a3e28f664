/*
 * handover: from one process to the next, without closing what is open.
 *
 * Two ways lead there.  With the service manager's descriptor store all that is
 * open lies there at any time, and long queues too, also for the case that the
 * process is killed; what the bridge has in memory joins it, as a sealed file in
 * memory, when the process ends well.  Without it the process becomes the next one itself: exec() with the
 * same descriptors, and a file that says which is which.
 */
#ifndef HANDOVER_H
#define HANDOVER_H

#include "bridge.h"
#include "config.h"

/* Whether the process was another one before, which has left something for it. */
bool handover_waits(void);
/*
 * Collects what was left for this process: true when there is something.  *ret: what
 * the bridge before had in memory, NULL when there is none, or none that can be read
 * (which is logged).  Of
 * one that was killed, or left none: its long queues, those of sections that are
 * still the same.  It lives until handover_end().
 */
bool handover_begin(const struct config *c, struct snapshot **ret);
/* Closes what was left of sections that are no more, or not the same any more. */
void handover_prune(struct event_base *base, const struct config *c);
/* All has started: closes what nobody took. */
void handover_end(struct bridge *b);

/* Whether the service manager keeps things for the next process. */
bool handover_store_there(void);
/* Leaves what the bridge has in memory there.  -errno: nothing was left. */
int handover_store(const struct bridge *b);
/* Becomes the program at that path; returns only when that failed: -errno.  last is
 * called when nothing else can fail. */
int handover_exec(const struct bridge *b, const char *path, char *const *argv,
    void (*last)(void));

#endif
