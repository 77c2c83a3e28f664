/*
 * device_watch: notices by inotify, and by udev, that a device which could not be opened
 * is worth another try.  Knows nothing of endpoints.
 */
#ifndef DEVICE_WATCH_H
#define DEVICE_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct event_base;

/* How a device file looked. */
struct device_look {
	bool there;
	uint64_t inode, device;
	unsigned mode, owner, group;
};

/* Embedded in what opens the device.  The first four members are the caller's. */
struct device_watch {
	const char *name; /* for the label of the task */
	const char
	    *path; /* of the device; NULL: any tty that comes may be it */
	/* The device looks different, or udev has named it.  It may start or stop any
	 * watch. */
	void (*changed)(void *arg);
	void *arg;
	bool active;
	struct device_look look;
	TAILQ_ENTRY(device_watch) entry;
};

/* The device is about to be opened: remembers how it looks now. */
void device_watch_note(struct device_watch *w);
/* It could not be opened: changed() is called when it looks different from the time of
 * device_watch_note().  Of no effect on an active watch. */
void device_watch_start(struct device_watch *w, struct event_base *base);
/* Of no effect unless it is active. */
void device_watch_stop(struct device_watch *w);

#endif
