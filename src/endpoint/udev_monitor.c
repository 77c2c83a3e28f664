/*
 * udev_monitor: systemd's device monitor, in an sd-event loop of its own, whose
 * descriptor is an event in our loop.
 *
 * Its messages arrive over netlink, and only in the network namespace of udev: a
 * service with its own network namespace receives none, and a service that may not use
 * netlink cannot open the socket.  So nothing may depend on it.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <systemd/sd-device.h>
#include <systemd/sd-event.h>

#include "udev_monitor.h"
#include "log.h"
#include "stats.h"

/* Exists while udevd is running. */
#define UDEV_CONTROL "/run/udev/control"

static sd_device_monitor *monitor;
static sd_event *loop;
static struct event *event;
static struct task task;
static void (*tell)(const char *path);
static char path[64]; /* the device of the last message */

static void
label(const struct task *t, char *buf, size_t size)
{
	(void)t;
	snprintf(buf, size, "udev to tell of a serial port");
}

/* The callback only records the device, because tell() may free the event loop that
 * calls it. */
static int
on_device(sd_device_monitor *m, sd_device *device, void *arg)
{
	const char *name;
	sd_device_action_t action;

	(void)m, (void)arg;
	if (sd_device_get_action(device, &action) >= 0 &&
	    action != SD_DEVICE_REMOVE &&
	    sd_device_get_devname(device, &name) >= 0)
		snprintf(path, sizeof(path), "%s", name);
	return 0;
}

static void
on_message(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	task_begin(&task);
	while (loop != NULL) {
		path[0] = '\0';
		if (sd_event_run(loop, 0) <= 0)
			break;
		if (path[0] != '\0')
			tell(path);
	}
	if (loop != NULL)
		task_end(&task);
}

static int
listen_to_udev(void)
{
	int r;

	if (access(UDEV_CONTROL, F_OK) < 0)
		return -errno;
	if ((r = sd_event_new(&loop)) < 0 ||
	    (r = sd_device_monitor_new(&monitor)) < 0 ||
	    (r = sd_device_monitor_filter_add_match_subsystem_devtype(
		 monitor, "tty", NULL)) < 0 ||
	    (r = sd_device_monitor_attach_event(monitor, loop)) < 0)
		return r;
	return sd_device_monitor_start(monitor, on_device, NULL);
}

void
udev_watch(struct event_base *base, void (*seen)(const char *path))
{
	static int said;
	int r;

	if (loop != NULL)
		return;
	tell = seen;
	r = listen_to_udev();
	if (r >= 0) {
		event = event_new(base, sd_event_get_fd(loop),
		    EV_READ | EV_PERSIST, on_message, NULL);
		r = event != NULL && event_add(event, NULL) == 0 ? 0 : -ENOMEM;
	}
	if (r < 0) {
		udev_unwatch();
		if (r != said)
			log_at(LOG_DEBUG, "udev cannot be heard: %s",
			    strerror(-r));
		said = r;
		return;
	}
	task_add(&task, NULL, label, "daemon.udev");
	TASK_WAIT(&task);
}

void
udev_unwatch(void)
{
	task_remove_why(&task, "no device is awaited");
	if (event != NULL)
		event_free(event);
	event = NULL;
	monitor = sd_device_monitor_unref(monitor);
	loop = sd_event_unref(loop);
}
