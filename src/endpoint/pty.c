/*
 * pty: a pseudo-terminal that the daemon creates, for programs that expect a serial
 * port.
 *
 * The daemon holds the master and keeps no descriptor of the slave open, because that
 * would hide that its user has closed it.  While no process has the slave open, poll()
 * on the master returns POLLHUP and read() fails with EIO; the endpoint is waiting
 * then.
 *
 * poll() does not report that a slave is opened, so inotify watches the slave's node
 * meanwhile.  Its events only cause a check; the state is what poll() on the master
 * returns. A program may open, write and close before that check: then poll() returns
 * POLLIN together with POLLHUP, and the master is read until EIO as if the program
 * still had the slave open.
 *
 * What the last user left unread is discarded before the next user opens the slave.
 * That needs a descriptor of the slave for a moment, whose own inotify events are
 * discarded too; poll() is called after that, so that a user who opened the slave
 * meanwhile is not missed.
 *
 * Input from the last user may be held back by a full queue of another endpoint.  The
 * link stays up then, but nothing is written to it until the next user opens the slave
 * (link_next_user).
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <event2/event.h>

#include "endpoint.h"
#include "log.h"
#include "serial_tty.h"

#define SLAVES "/dev/pts/"

/* The polling interval for a slave that cannot be watched. */
#define LOOK_MS 200

struct pty_conf {
	char *link;
	uint64_t mode; /* 0: not given */
	char *group;
};

struct pty {
	struct endpoint *ep;
	int master;
	int watch; /* the inotify descriptor, -1: a timer */
	struct event *opened;
	struct task open_task;
	char slave[32]; /* "/dev/pts/5" */
	bool linked;	/* the symbolic link was created by us */
};

/* --- keys ---------------------------------------------------------------- */

static const struct key pty_keys[] = {
	{ .name = "link",
	    .type = KEY_STRING,
	    .offset = offsetof(struct pty_conf, link),
	    .names = NAMES_LINK,
	    .help = "a symbolic link to the slave is made there, for programs"
		    " to open" },
	{ .name = "mode",
	    .type = KEY_MODE,
	    .offset = offsetof(struct pty_conf, mode),
	    .help = "permissions of the slave (default 0660 with a group, else"
		    " as the system makes it)" },
	{ .name = "group",
	    .type = KEY_STRING,
	    .offset = offsetof(struct pty_conf, group),
	    .names = NAMES_GROUP,
	    .help = "group of the slave" },
	{ .name = NULL }
};

/* The path of the symbolic link; NULL if none is configured. */
static const char *
link_of(const struct endpoint_conf *conf)
{
	return ((const struct pty_conf *)conf->type_conf)->link;
}

static int
pty_check(struct endpoint_conf *conf, struct error *err)
{
	const char *link = link_of(conf);

	if (link == NULL || link[0] == '/')
		return 0;
	return error_fail(err, -EINVAL,
	    "'link' is '%s', and not a path that starts with '/'", link);
}

/* --- the symbolic link --------------------------------------------------- */

/*
 * Checks whether the link may be created: the path does not exist, or is a link to a
 * slave or a dangling link.
 */
static int
may_link(const char *path, struct error *err)
{
	char target[128];
	struct stat st;
	ssize_t n;

	if (lstat(path, &st) < 0) {
		if (errno == ENOENT)
			return 0;
		return error_fail(err, -errno, "%s: %s", path, strerror(errno));
	}
	if (!S_ISLNK(st.st_mode))
		return error_fail(err, -EEXIST,
		    "%s is there and is no symbolic link; write another"
		    " path, or remove it",
		    path);
	n = readlink(path, target, sizeof(target) - 1);
	target[n < 0 ? 0 : n] = '\0';
	if (strncmp(target, SLAVES, strlen(SLAVES)) == 0 || stat(path, &st) < 0)
		return 0;
	return error_fail(err, -EEXIST,
	    "%s is a link to %s, which is no pseudo-terminal; write another"
	    " path, or remove it",
	    path, target);
}

/* Creates the link atomically, so that the path never disappears while a link is
 * replaced. */
static int
make_link(struct pty *pty, const char *path, struct error *err)
{
	char temporary[PATH_MAX];
	int r;

	if ((r = may_link(path, err)) < 0)
		return r;
	snprintf(
	    temporary, sizeof(temporary), "%.4000s.%d", path, (int)getpid());
	unlink(temporary);
	if (symlink(pty->slave, temporary) == 0) {
		if (rename(temporary, path) == 0) {
			pty->linked = true;
			return 0;
		}
		r = -errno;
		unlink(temporary);
	} else
		r = -errno;
	error_set(err, "cannot make the link %s: %s", path, strerror(-r));
	error_append_directory_hint(err, path, r);
	return r;
}

static void
remove_link(struct pty *pty, const char *path)
{
	char target[sizeof(pty->slave) + 1];
	ssize_t n;

	if (!pty->linked)
		return;
	n = readlink(path, target, sizeof(target) - 1);
	target[n < 0 ? 0 : n] = '\0';
	if (strcmp(target, pty->slave) == 0)
		unlink(path);
	pty->linked = false;
}

/* --- users --------------------------------------------------------------- */

static short
master_poll(const struct pty *pty)
{
	struct pollfd p = { .fd = pty->master, .events = POLLIN };

	if (poll(&p, 1, 0) < 0)
		return 0;
	return p.revents;
}

static void
drain_watch(const struct pty *pty)
{
	char buf[4096]
	    __attribute__((aligned(__alignof__(struct inotify_event))));

	while (read(pty->watch, buf, sizeof(buf)) > 0)
		;
}

static void
close_watch(struct pty *pty)
{
	if (pty->watch >= 0)
		close(pty->watch);
	pty->watch = -1;
}

static int
open_slave(const struct pty *pty)
{
	int fd = ioctl(pty->master, TIOCGPTPEER,
	    O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static void
open_label(const struct task *task, char *buf, size_t size)
{
	const struct pty *pty = task->arg;
	const char *link = link_of(pty->ep->conf);

	snprintf(
	    buf, size, "somebody to open %s", link != NULL ? link : pty->slave);
}

/* The last user has closed the slave, and its input is still to be read. */
static bool
has_leftover(const struct pty *pty)
{
	return pty->ep->link.up && pty->ep->link.unwritable;
}

/*
 * Whether a user has opened the slave.  Unread input of a user that has closed it again
 * counts as well, unless that is already known.
 */
static bool
is_opened(const struct pty *pty)
{
	short now = master_poll(pty);

	return !(now & POLLHUP) || (now & POLLIN && !has_leftover(pty));
}

static void on_opened(evutil_socket_t, short, void *);

/*
 * Starts waiting for the slave to be opened.  A user that has it open already, or has
 * left unread input, is handled in the next iteration of the loop.
 */
static void
await_opening(struct pty *pty)
{
	struct timeval look = { 0, LOOK_MS * 1000 };

	drain_watch(pty);
	if (event_add(pty->opened, pty->watch < 0 ? &look : NULL) < 0) {
		close_watch(pty);
		event_assign(
		    pty->opened, pty->ep->base, -1, EV_PERSIST, on_opened, pty);
		event_add(pty->opened, &look);
	}
	TASK_WAIT(&pty->open_task);
	if (is_opened(pty))
		event_active(pty->opened, EV_READ, 1);
}

static void
on_opened(evutil_socket_t fd, short what, void *arg)
{
	struct pty *pty = arg;

	(void)fd, (void)what;
	task_begin(&pty->open_task);
	drain_watch(pty);
	if (!is_opened(pty)) {
		TASK_WAIT(&pty->open_task);
		task_end(&pty->open_task);
		return;
	}
	event_del(pty->opened);
	TASK_SET(&pty->open_task, TASK_IDLE);
	task_end(&pty->open_task);
	if (has_leftover(pty))
		link_next_user(&pty->ep->link);
	else
		endpoint_resume(pty->ep);
}

static void
say_waiting(struct pty *pty)
{
	char why[128];

	open_label(&pty->open_task, why, sizeof(why));
	endpoint_wait(pty->ep, why);
}

/* Discards output that the last user did not read, so that the next user does not get
 * it. */
static void
flush_slave(const struct pty *pty)
{
	int slave = open_slave(pty);

	if (slave < 0)
		return;
	serial_tty_raw(slave);
	tcflush(slave, TCIFLUSH);
	close(slave);
}

/*
 * The user has closed the slave.  The link stays up while unread input is held back by
 * a full queue of another endpoint.
 */
static bool
pty_hangup(struct endpoint *ep)
{
	struct pty *pty = ep->impl;
	short now;

	if (pty == NULL)
		return false;
	now = master_poll(pty);
	if (!(has_leftover(pty) && now & POLLIN))
		say_waiting(pty);
	if (now & POLLHUP && (has_leftover(pty) || !(now & POLLIN)))
		flush_slave(pty);
	await_opening(pty);
	return true;
}

/* --- open and close ------------------------------------------------------ */

static int
set_owner(int slave, const struct pty_conf *conf, struct error *err)
{
	uint64_t mode = conf->mode;
	struct group *gr;
	int r;

	if (conf->group != NULL) {
		if ((gr = getgrnam(conf->group)) == NULL)
			return error_fail(err, -ENOENT,
			    "there is no group '%s'", conf->group);
		if (fchown(slave, (uid_t)-1, gr->gr_gid) < 0) {
			r = -errno;
			return error_fail(err, r,
			    "cannot give it to group '%s': %s%s", conf->group,
			    strerror(-r),
			    r == -EPERM ? " (is the user in that group?)" : "");
		}
		mode = mode != 0 ? mode : 0660;
	}
	if (mode != 0 && fchmod(slave, (mode_t)mode) < 0) {
		r = -errno;
		return error_fail(err, r, "cannot set mode %04o: %s",
		    (unsigned)mode, strerror(-r));
	}
	return 0;
}

/*
 * Checks that the node belongs to our master, because another devpts file system may be
 * mounted there, and watches it.
 */
static int
watch_slave(struct pty *pty, int slave, struct error *err)
{
	struct stat ours, there;

	if (fstat(slave, &ours) < 0 || stat(pty->slave, &there) < 0 ||
	    ours.st_dev != there.st_dev || ours.st_ino != there.st_ino)
		return error_fail(err, -ENOENT,
		    "%s is not the pseudo-terminal that was"
		    " made; is another " SLAVES " mounted?",
		    pty->slave);
	pty->watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (pty->watch >= 0 &&
	    inotify_add_watch(pty->watch, pty->slave, IN_OPEN) >= 0)
		return 0;
	log_to(LOG_WARNING, ABOUT_ENDPOINT, pty->ep->conf->name,
	    "cannot watch %s: %s (see sysctl fs.inotify); looks every %d ms"
	    " instead",
	    pty->slave, strerror(errno), LOOK_MS);
	close_watch(pty);
	return 0;
}

static int
make_master(struct pty *pty, struct error *err)
{
	int r;

	pty->master = endpoint_take(pty->ep);
	if (pty->master >= 0 &&
	    ptsname_r(pty->master, pty->slave, sizeof(pty->slave)) == 0)
		return 0;
	pty->ep->link.adopted = false;
	keep_remove(&pty->ep->link.kept);
	if (pty->master >= 0)
		close(pty->master);
	pty->master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (pty->master >= 0 && grantpt(pty->master) == 0 &&
	    unlockpt(pty->master) == 0 &&
	    ptsname_r(pty->master, pty->slave, sizeof(pty->slave)) == 0)
		return 0;
	r = -errno;
	return error_fail(
	    err, r, "cannot make a pseudo-terminal: %s", strerror(-r));
}

/*
 * Creates the master, makes its slave raw and watches it.  As the slave is opened and
 * closed here, poll() on the master returns POLLHUP from now on.
 */
static int
make_pty(struct pty *pty, const struct pty_conf *conf, struct error *err)
{
	int r, slave;

	if ((r = make_master(pty, err)) < 0)
		return r;
	if ((slave = open_slave(pty)) < 0 ||
	    (!pty->ep->link.adopted && (r = serial_tty_raw(slave)) < 0)) {
		r = slave < 0 ? slave : r;
		error_set(
		    err, "cannot set up %s: %s", pty->slave, strerror(-r));
	} else if ((r = set_owner(slave, conf, err)) == 0)
		r = watch_slave(pty, slave, err);
	if (slave >= 0)
		close(slave);
	return r;
}

static void
pty_close(struct endpoint *ep)
{
	struct pty *pty = ep->impl;

	if (pty == NULL)
		return;
	remove_link(pty, link_of(ep->conf));
	task_remove_why(&pty->open_task, "closed");
	if (pty->opened != NULL)
		event_free(pty->opened);
	close_watch(pty);
	if (pty->master >= 0)
		close(pty->master);
	free(pty);
	ep->impl = NULL;
	ep->link.fd = -1;
}

static void
set_address(struct endpoint *ep, const char *slave)
{
	const char *link = link_of(ep->conf);

	snprintf(ep->address, sizeof(ep->address), "%s%s%s",
	    link != NULL ? link : "",
	    link != NULL && *slave != '\0' ? " -> " : "", slave);
}

/*
 * The symbolic link is created after the watch, so that the first user is not missed.
 */
static int
pty_open(struct endpoint *ep)
{
	struct error *err = &ep->error;
	const struct pty_conf *conf = ep->conf->type_conf;
	struct pty *pty = calloc(1, sizeof(*pty));
	int r;

	set_address(ep, "");
	if (pty == NULL)
		return -ENOMEM;
	pty->ep = ep;
	pty->master = pty->watch = -1;
	ep->impl = pty;
	if ((r = make_pty(pty, conf, err)) < 0)
		goto fail;
	pty->opened = event_new(
	    ep->base, pty->watch, EV_READ | EV_PERSIST, on_opened, pty);
	if (pty->opened == NULL) {
		r = -ENOMEM;
		goto fail;
	}
	if (conf->link != NULL && (r = make_link(pty, conf->link, err)) < 0)
		goto fail;
	set_address(ep, pty->slave);
	if ((master_poll(pty) & (POLLIN | POLLHUP)) == POLLHUP)
		ep->link.adopted = false; /* its user closed it meanwhile */
	ep->link.fd = pty->master;
	ep->link.close_fd = false;
	link_keep(&ep->link, pty->master);
	task_add(&pty->open_task, pty, open_label, "%s.open", ep->conf->name);
	say_waiting(pty);
	/* The link is up before input that is routed to it is read. */
	if (ep->link.adopted)
		endpoint_resume(ep);
	else
		await_opening(pty);
	return 0;
fail:
	pty_close(ep);
	return r;
}

/* When the master is closed, the kernel discards what the user has not read. */
static unsigned
pty_unsent(const struct endpoint *ep)
{
	const struct pty *pty = ep->impl;
	struct pollfd p = { .events = POLLIN };
	int unread = 0;

	if (pty == NULL || master_poll(pty) & POLLHUP ||
	    (p.fd = open_slave(pty)) < 0)
		return 0;
	/* poll() makes the kernel move pending data to the slave, where FIONREAD
	 * counts it. */
	poll(&p, 1, 0);
	ioctl(p.fd, FIONREAD, &unread);
	close(p.fd);
	return (unsigned)MAX(unread, 0);
}

const struct endpoint_ops endpoint_pty = {
	.type = "pty",
	.keys = pty_keys,
	.conf_size = sizeof(struct pty_conf),
	.main_key = "link",
	.terminal = true,
	.check = pty_check,
	.open = pty_open,
	.close = pty_close,
	.hangup = pty_hangup,
	.unsent = pty_unsent,
};
