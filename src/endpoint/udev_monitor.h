/*
 * udev_monitor: hears from udev that a serial port is there, with its links and
 * permissions.
 */
#ifndef UDEV_MONITOR_H
#define UDEV_MONITOR_H

#include <stdbool.h>

struct event_base;

/*
 * seen is called with the path of each tty that udev has dealt with and that is not
 * gone; it may call udev_unwatch().  Of no effect when it is watched already, and
 * where there is no udev to be heard: inotify has to do then.
 */
void udev_watch(struct event_base *base, void (*seen)(const char *path));
void udev_unwatch(void);

#endif
