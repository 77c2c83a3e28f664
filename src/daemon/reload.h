/*
 * reload: replaces the configuration in use with a new one, while the event loop runs.
 */
#ifndef RELOAD_H
#define RELOAD_H

#include "bridge.h"
#include "client.h"

/* What a reload requires of the daemon.  All members are set. */
struct reload_ops {
	/* Reads and checks the configuration, like config_read(); called in a thread. */
	int (*read)(struct config **ret, struct faults *faults);
	/*
	 * The configuration is in use, except for its control ports; takes ownership of
	 * it.
	 */
	void (*taken)(struct config *c);
};

void reload_init(struct bridge *b, const struct reload_ops *ops);
/*
 * Requests a reload, like hooks->reload(), but w may be NULL.  A reload that is requested
 * while another one is in progress begins after it; all requests made meanwhile share one
 * reload.
 */
int reload_request(struct reload_waiter *w, char **faults);
/*
 * The daemon stops: a reload that has not changed anything yet is undone, one that is
 * being applied is completed immediately, and no other one is started.
 */
void reload_stop(void);
/* Completes all requested reloads immediately. */
void reload_complete(void);
void reload_free(void);

void log_faults(int level, const struct faults *faults);

#endif
