/*
 * device_watch: one inotify descriptor for all watched devices, and a udev monitor,
 * which exist only while devices are watched.
 *
 * For each device the deepest existing directory of its path is watched; for a symbolic
 * link also the directory of its target.  The contents of the events are not relied on:
 * each event only causes all watched devices to be examined again and the watches to be
 * renewed (/dev/serial/by-id is created with its first link and removed with its last).
 * changed() is called for a device that exists and whose device node, owner or
 * permissions differ from the last time (udev sets permissions a moment after it
 * creates the node), and for a device that udev reports.
 */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>

#include "device_watch.h"
#include "udev_monitor.h"
#include "log.h"
#include "stats.h"

#define EVENTS                                                              \
	(IN_CREATE | IN_ATTRIB | IN_DELETE | IN_MOVED_TO | IN_DELETE_SELF | \
	    IN_ONLYDIR)
/* A limit on renewing the watch when directories keep being created, or may not be
 * watched. */
#define TRIES 8

static TAILQ_HEAD(, device_watch) watches = TAILQ_HEAD_INITIALIZER(watches);
static struct event *event;
static int fd = -1;
static struct task task;

static void
label(const struct task *t, char *buf, size_t size)
{
	const struct device_watch *w;

	(void)t;
	snprintf(
	    buf, size, "something to change in /dev or where links are, for");
	TAILQ_FOREACH(w, &watches, entry)
		append(buf, size, " %s", w->name);
}

static struct device_look
look_at(const struct device_watch *w)
{
	struct device_look look = { 0 };
	struct stat st;

	if (w->path == NULL || stat(w->path, &st) < 0)
		return look;
	look.there = true;
	look.inode = st.st_ino;
	look.device = st.st_rdev;
	look.mode = st.st_mode;
	look.owner = st.st_uid;
	look.group = st.st_gid;
	return look;
}

static bool
same_look(const struct device_look *a, const struct device_look *b)
{
	return a->there == b->there && a->inode == b->inode &&
	    a->device == b->device && a->mode == b->mode &&
	    a->owner == b->owner && a->group == b->group;
}

/* Watches the deepest existing directory of path; returns the length of the prefix of
 * path that is expected to be created in it. */
static size_t
watch_deepest(const char *path)
{
	char way[PATH_MAX];
	size_t next;

	snprintf(way, sizeof(way), "%s", path);
	do {
		char *slash = strrchr(way, '/');

		next = strlen(way);
		if (slash == NULL)
			break;
		slash[slash == way] = '\0';
		if (inotify_add_watch(fd, way, EVENTS) >= 0)
			break;
	} while (strcmp(way, "/") != 0);
	return next;
}

/* The next component may have been created before the watch was added; if so, watches
 * again one level deeper. */
static void
watch_way(const char *path)
{
	char way[PATH_MAX];
	size_t next;

	for (unsigned tries = 0; tries < TRIES; tries++) {
		next = watch_deepest(path);
		snprintf(way, sizeof(way), "%.*s", (int)next, path);
		if (strcmp(way, path) == 0 || access(way, F_OK) < 0)
			break;
	}
}

static void
watch_device(const struct device_watch *w)
{
	char target[PATH_MAX], way[PATH_MAX], *dir;
	ssize_t n;

	if (w->path == NULL) {
		inotify_add_watch(fd, "/dev", EVENTS);
		return;
	}
	watch_way(w->path);
	n = readlink(w->path, target, sizeof(target) - 1);
	if (n <= 0)
		return;
	target[n] = '\0';
	if (*target == '/') {
		watch_way(target);
		return;
	}
	snprintf(way, sizeof(way), "%s", w->path);
	dir = dirname(way);
	if (strlen(dir) + strlen(target) + 2 > sizeof(way))
		return;
	append(way, sizeof(way), "/%s", target);
	watch_way(way);
}

/* Examines all watched devices, and calls changed() for those that have changed. */
static void
look_again(bool tty_event)
{
	struct device_watch *w, *next;
	struct device_look look;

	for (w = TAILQ_FIRST(&watches); w != NULL; w = next) {
		next = TAILQ_NEXT(w, entry);
		watch_device(w);
		look = look_at(w);
		if (w->path == NULL ? tty_event
				    : look.there && !same_look(&look, &w->look))
			w->changed(w->arg);
		else if (!look.there)
			w->look = look;
	}
}

static void
on_event(evutil_socket_t ifd, short what, void *arg)
{
	char buf[4096] __attribute__((aligned(8)));
	bool tty = false;
	ssize_t n;

	(void)what, (void)arg;
	task_begin(&task);
	while ((n = read(ifd, buf, sizeof(buf))) > 0) {
		const struct inotify_event *e;

		for (char *p = buf; p < buf + n; p += sizeof(*e) + e->len) {
			e = (const struct inotify_event *)(void *)p;
			tty |= e->len > 0 && strncmp(e->name, "tty", 3) == 0;
		}
	}
	look_again(tty);
	task_end(&task);
}

/* udev has processed the device and created its links. */
static void
on_udev(const char *path)
{
	struct device_watch *w, *next;
	char real[PATH_MAX];

	for (w = TAILQ_FIRST(&watches); w != NULL; w = next) {
		next = TAILQ_NEXT(w, entry);
		if (w->path == NULL ||
		    (realpath(w->path, real) != NULL &&
			strcmp(real, path) == 0))
			w->changed(w->arg);
	}
}

static void
stop_inotify(void)
{
	if (event != NULL)
		event_free(event);
	event = NULL;
	if (fd >= 0)
		close(fd);
	fd = -1;
	task_remove_why(&task, "no device is awaited");
}

static void
start_inotify(struct event_base *base)
{
	fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (fd >= 0)
		event =
		    event_new(base, fd, EV_READ | EV_PERSIST, on_event, NULL);
	if (event == NULL || event_add(event, NULL) < 0) {
		log_at(LOG_WARNING,
		    "devices that come back are not seen by inotify: %s",
		    strerror(errno));
		stop_inotify();
		return;
	}
	task_add(&task, NULL, label, "daemon.hotplug");
	TASK_WAIT(&task);
}

void
device_watch_note(struct device_watch *w)
{
	w->look = look_at(w);
}

void
device_watch_start(struct device_watch *w, struct event_base *base)
{
	struct device_look look;

	if (!w->active) {
		TAILQ_INSERT_TAIL(&watches, w, entry);
		w->active = true;
	}
	udev_watch(base, on_udev);
	if (event == NULL)
		start_inotify(base);
	if (event == NULL)
		return;
	watch_device(w);
	/* The device may have appeared between the attempt to open it and the start of
	 * the watch. */
	look = look_at(w);
	if (look.there && !same_look(&look, &w->look))
		event_active(event, EV_READ, 1);
}

void
device_watch_stop(struct device_watch *w)
{
	if (!w->active)
		return;
	w->active = false;
	TAILQ_REMOVE(&watches, w, entry);
	if (!TAILQ_EMPTY(&watches))
		return;
	udev_unwatch();
	stop_inotify();
}
