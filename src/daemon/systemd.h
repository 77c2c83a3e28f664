/*
 * systemd: notifications to the service manager.  Without a service manager the functions
 * do nothing.
 */
#ifndef SYSTEMD_H
#define SYSTEMD_H

#include "util.h"

struct event_base;
struct keeper;

/*
 * Notifies the watchdog from the event loop, if it is enabled: if the loop hangs, it does
 * not. -errno.
 */
int systemd_start(struct event_base *base);
void systemd_stop(void);
void systemd_ready(void);
void systemd_status(const char *fmt, ...) PRINTF(1, 2);
void systemd_reloading(void);
void systemd_stopping(uint64_t timeout_ns);

/* --- descriptors ---------------------------------------------------------- */

/*
 * Calls take for each descriptor that was passed at startup, with its name: listening
 * sockets, and the contents of the fd store.
 */
void systemd_listen(void (*take)(const char *name, int fd));
/* Whether there is an fd store: $FDSTORE is its size. */
bool systemd_store_there(void);
/* Adds descriptors to the fd store and removes them; NULL without an fd store. */
const struct keeper *systemd_keeper(void);
/* sure: waits until the manager has processed it.  -errno. */
int systemd_store_add(const char *name, int fd, bool sure);
void systemd_store_remove(const char *name);
/* Waits until the manager has processed all messages about the fd store. */
void systemd_store_settle(void);

#endif
