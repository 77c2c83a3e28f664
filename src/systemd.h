/*
 * systemd: what the service manager is told.  Each does nothing where there is no
 * service manager.
 */
#ifndef SYSTEMD_H
#define SYSTEMD_H

#include "util.h"

struct event_base;

/* Feeds the watchdog from the loop, if one is set: a loop that does not turn does
 * not feed it.  -errno. */
int systemd_start(struct event_base *base);
void systemd_stop(void);
void systemd_ready(void);
void systemd_status(const char *fmt, ...) PRINTF(1, 2);
void systemd_reloading(void);
void systemd_stopping(uint64_t timeout_ns);

#endif
