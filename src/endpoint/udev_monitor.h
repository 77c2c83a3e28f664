/*
 * udev_monitor: receives a notification from udev when a serial port exists with its
 * links and permissions.
 */
#ifndef UDEV_MONITOR_H
#define UDEV_MONITOR_H

#include <stdbool.h>

struct event_base;

/*
 * seen is called with the path of each tty that udev has processed and that was not
 * removed; it may call udev_unwatch().  No effect if it is active already, or if udev
 * is not available: the caller relies on inotify then.
 */
void udev_watch(struct event_base *base, void (*seen)(const char *path));
void udev_unwatch(void);

#endif
