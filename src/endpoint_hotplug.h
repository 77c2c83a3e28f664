/*
 * endpoint_hotplug: notices by inotify, and by udev, that a lost device can be opened
 * again, before the back-off would try.
 */
#ifndef ENDPOINT_HOTPLUG_H
#define ENDPOINT_HOTPLUG_H

#include "endpoint.h"

/* The endpoint is about to be opened: remembers how its device looks now. */
void hotplug_note(struct endpoint *ep);
/*
 * It could not be: endpoint_retry() is called as soon as the device looks
 * different, or udev names it.  Of no effect for types without a device.
 */
void hotplug_watch(struct endpoint *ep);
/* It is open, or not wanted any more. */
void hotplug_unwatch(struct endpoint *ep);

#endif
