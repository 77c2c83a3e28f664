/*
 * reload: a new configuration takes the place of the one in use, while the loop runs.
 */
#ifndef RELOAD_H
#define RELOAD_H

#include "bridge.h"
#include "client.h"

/* What a reload needs of the daemon.  All members are set. */
struct reload_ops {
	/* Reads and checks the configuration, as config_read() does; in a thread. */
	int (*read)(struct config **ret, struct faults *faults);
	/* It is in use, except for its control ports; takes the daemon section. */
	void (*taken)(struct config *c);
};

void reload_init(struct bridge *b, const struct reload_ops *ops);
/*
 * Asks for one; as hooks->reload(), but w may be NULL.  One that is asked for while another
 * one is under way begins after it, and is the same for all that ask meanwhile.
 */
int reload_request(struct reload_waiter *w, char **faults);
/* The daemon stops: one that has not changed anything yet is dropped, another one is
 * completed at once, and none begins any more. */
void reload_stop(void);
/* Completes all that were asked for at once. */
void reload_complete(void);
void reload_free(void);

void log_faults(int level, const struct faults *faults);

#endif
