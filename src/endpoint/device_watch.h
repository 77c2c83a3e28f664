/*
 * device_watch: detects through inotify and udev that opening a device that could not
 * be opened should be tried again.  Independent of endpoints.
 */
#ifndef DEVICE_WATCH_H
#define DEVICE_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct event_base;

/* The properties of a device file that are compared. */
struct device_look {
	bool there;
	uint64_t inode, device;
	unsigned mode, owner, group;
};

/* Embedded in the struct of the opener.  The first four members are set by the caller. */
struct device_watch {
	const char *name; /* for the label of the task */
	const char
	    *path; /* of the device; NULL: any tty that appears may be it */
	/* The device has changed, or udev has reported it.  The callback may start or
	 * stop any watch. */
	void (*changed)(void *arg);
	void *arg;
	bool active;
	struct device_look look;
	TAILQ_ENTRY(device_watch) entry;
};

/* Records the properties of the device; called before it is opened. */
void device_watch_note(struct device_watch *w);
/* Called when the device could not be opened: changed() is called when the properties
 * differ from those recorded by device_watch_note().  No effect on an active watch. */
void device_watch_start(struct device_watch *w, struct event_base *base);
/* No effect unless the watch is active. */
void device_watch_stop(struct device_watch *w);

#endif
