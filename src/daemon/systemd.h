/*
 * systemd: what the service manager is told.  Each does nothing where there is no
 * service manager.
 */
#ifndef SYSTEMD_H
#define SYSTEMD_H

#include "util.h"

struct event_base;
struct keeper;

/* Feeds the watchdog from the loop, if one is set: a loop that does not turn does
 * not feed it.  -errno. */
int systemd_start(struct event_base *base);
void systemd_stop(void);
void systemd_ready(void);
void systemd_status(const char *fmt, ...) PRINTF(1, 2);
void systemd_reloading(void);
void systemd_stopping(uint64_t timeout_ns);

/* --- descriptors --------------------------------------------------------- */

/* Hands over each descriptor that came with the start, with its name: sockets, and
 * what is in the store. */
void systemd_listen(void (*take)(const char *name, int fd));
/* Whether there is a store: $FDSTORE says how much it holds. */
bool systemd_store_there(void);
/* Who puts there what is kept; NULL without a store. */
const struct keeper *systemd_keeper(void);
/* sure: it is there when this returns.  -errno. */
int systemd_store_add(const char *name, int fd, bool sure);
void systemd_store_remove(const char *name);
/* All that was said of the store is done when this returns. */
void systemd_store_settle(void);

#endif
