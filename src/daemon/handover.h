/*
 * handover: hands state over to the next process, without closing what is open.
 *
 * There are two ways.  With the service manager's fd store, all open descriptors are in
 * the store at any time, and the files of long queues too, in case the process is killed;
 * the state that the bridge has in memory is added to it, as a sealed memory file, when
 * the process exits normally.  Without it the process executes the program again: exec()
 * with the same descriptors, and a file that lists them.
 */
#ifndef HANDOVER_H
#define HANDOVER_H

#include "bridge.h"
#include "config.h"

/* Whether the process has executed itself again, and there is state to take over. */
bool handover_waits(void);
/*
 * Collects the state of the previous process; returns true if there is any.  *ret: the
 * state that the previous bridge had in memory, NULL when there is none, or none that can
 * be read (which is logged).  If the process was killed, or left no state, *ret has its
 * long queues, for sections that are unchanged.  The snapshot is valid until
 * handover_end().
 */
bool handover_begin(const struct config *c, struct snapshot **ret);
/* Closes descriptors of sections that were removed or changed. */
void handover_prune(struct event_base *base, const struct config *c);
/* To be called when everything is started: closes descriptors that were not claimed. */
void handover_end(struct bridge *b);
/* The listening sockets that it has closed: "NAME (ADDRESS)", separated by ", ". */
const char *handover_unclaimed(void);

/* Whether the service manager has an fd store for this service. */
bool handover_store_there(void);
/*
 * Puts the state that the bridge has in memory in the fd store.  -errno: it was not
 * stored.
 */
int handover_store(const struct bridge *b);
/*
 * Executes the program at that path; returns only if that failed: -errno.  last is called
 * when nothing but execv() can fail.
 */
int handover_exec(const struct bridge *b, const char *path, char *const *argv,
    void (*last)(void));

#endif
