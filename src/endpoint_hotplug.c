/*
 * endpoint_hotplug: one inotify descriptor for all lost devices, and an ear for udev,
 * which exist only while there are any.
 *
 * What is watched for a device is the deepest directory on its way that exists; of
 * a link also the directory that it points into.  No event is trusted to mean
 * anything: each only makes us look again, at all lost devices, and arm the
 * watches anew (/dev/serial/by-id comes with its first link, and goes with the
 * last).  A device is tried when it looks different from the last time: it is
 * there, is another one, or may be opened now (udev grants that a moment later); and
 * when udev names it.
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

#include "endpoint_hotplug.h"
#include "endpoint_udev.h"
#include "log.h"

#define EVENTS                                                              \
	(IN_CREATE | IN_ATTRIB | IN_DELETE | IN_MOVED_TO | IN_DELETE_SELF | \
	    IN_ONLYDIR)
/* More than there are directories that come one after the other, or are not for us. */
#define TRIES 8

static TAILQ_HEAD(, endpoint) lost = TAILQ_HEAD_INITIALIZER(lost);
static struct event *event;
static int fd = -1;
static struct task task;

static void
label(const struct task *t, char *buf, size_t size)
{
	const struct endpoint *ep;

	(void)t;
	snprintf(
	    buf, size, "something to change in /dev or where links are, for");
	TAILQ_FOREACH(ep, &lost, lost)
		append(buf, size, " %s", ep->conf->name);
}

static struct device_look
look_at(const struct endpoint *ep)
{
	struct device_look look = { 0 };
	struct stat st;

	if (ep->conf->device == NULL || stat(ep->conf->device, &st) < 0)
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

/* Watches the deepest directory on the way to path that exists; returns how much of
 * path is what is to come in it. */
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

/* That may have come before the watch did: then the next one is to be watched. */
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
watch_device(const struct endpoint *ep)
{
	char target[PATH_MAX], way[PATH_MAX], *dir;
	ssize_t n;

	if (ep->conf->device == NULL) {
		inotify_add_watch(fd, "/dev", EVENTS);
		return;
	}
	watch_way(ep->conf->device);
	n = readlink(ep->conf->device, target, sizeof(target) - 1);
	if (n <= 0)
		return;
	target[n] = '\0';
	if (*target == '/') {
		watch_way(target);
		return;
	}
	snprintf(way, sizeof(way), "%s", ep->conf->device);
	dir = dirname(way);
	if (strlen(dir) + strlen(target) + 2 > sizeof(way))
		return;
	append(way, sizeof(way), "/%s", target);
	watch_way(way);
}

/* Looks at all of them; those that have changed are tried. */
static void
look_again(bool tty_event)
{
	struct endpoint *ep, *next;
	struct device_look look;

	for (ep = TAILQ_FIRST(&lost); ep != NULL; ep = next) {
		next = TAILQ_NEXT(ep, lost);
		watch_device(ep);
		look = look_at(ep);
		if (ep->conf->device == NULL
			? tty_event
			: look.there && !same_look(&look, &ep->look))
			endpoint_retry(ep);
		else if (!look.there)
			ep->look = look;
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

/* Udev has dealt with that device, and made its links. */
static void
on_udev(const char *path)
{
	struct endpoint *ep, *next;
	char real[PATH_MAX];

	for (ep = TAILQ_FIRST(&lost); ep != NULL; ep = next) {
		next = TAILQ_NEXT(ep, lost);
		if (ep->conf->device == NULL ||
		    (realpath(ep->conf->device, real) != NULL &&
			strcmp(real, path) == 0))
			endpoint_retry(ep);
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
	task_remove(&task);
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
hotplug_note(struct endpoint *ep)
{
	ep->look = look_at(ep);
}

void
hotplug_watch(struct endpoint *ep)
{
	struct device_look look;

	if (ep->conf->device == NULL && ep->conf->usb == NULL)
		return;
	if (!ep->watched) {
		TAILQ_INSERT_TAIL(&lost, ep, lost);
		ep->watched = true;
	}
	udev_watch(ep->base, on_udev);
	if (event == NULL)
		start_inotify(ep->base);
	if (event == NULL)
		return;
	watch_device(ep);
	/* It may have come between the try and the watch. */
	look = look_at(ep);
	if (look.there && !same_look(&look, &ep->look))
		event_active(event, EV_READ, 1);
}

void
hotplug_unwatch(struct endpoint *ep)
{
	if (!ep->watched)
		return;
	ep->watched = false;
	TAILQ_REMOVE(&lost, ep, lost);
	if (!TAILQ_EMPTY(&lost))
		return;
	udev_unwatch();
	stop_inotify();
}
