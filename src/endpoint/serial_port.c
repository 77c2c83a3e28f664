/*
 * serial_port: finds, opens, locks and closes a serial device.
 *
 * A port is first opened without libserialport, to check whether it is in use:
 * sp_open() changes the settings before the caller could detect that.  Then
 * libserialport opens it; devices that it rejects (ptys, gadgets, virtual ports) stay
 * open on the first descriptor.  All settings are made by serial_tty, after sp_open().
 *
 * Closing.  close() of a tty blocks until its output has been sent, for up to 30 s.  So
 * a port with pending output stays open here and is checked by a timer until the output
 * has been sent or is stuck.  Meanwhile the port cannot be opened again.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>
#include <libserialport.h>

#include "log.h"
#include "holder.h"
#include "serial_list.h"
#include "serial_lock.h"
#include "serial_port.h"
#include "serial_tty.h"

/* The overflow GID, which the kernel shows for a group that is not mapped in the user
 * namespace. */
#define NO_GROUP 65534
#define LEAVE_LOOK_MS 20
/*
 * Output is stuck when no byte is sent for that long, plus the time to send as many
 * characters as a USB adapter buffers.
 */
#define LEAVE_STUCK_NS (500 * NSEC_PER_MSEC)
#define LEAVE_STUCK_CHARS 512
#define LEAVE_MAX_NS (10 * NSEC_PER_SEC)
#define CHARACTER_BITS 10

struct leaving {
	TAILQ_ENTRY(leaving) entry;
	struct serial_port port;
	struct event *timer;
	struct task task;
	char name[ENDPOINT_NAME_MAX];
	struct kept kept;
	unsigned unsent;
	uint64_t moved_ns, stuck_ns, end_ns;
};
static TAILQ_HEAD(, leaving) leavings = TAILQ_HEAD_INITIALIZER(leavings);

/* --- finding ------------------------------------------------------------- */

static bool
is_member(gid_t gid)
{
	gid_t groups[NGROUPS_MAX];
	int n = getgroups(NGROUPS_MAX, groups);

	for (int i = 0; i < n; i++)
		if (groups[i] == gid)
			return true;
	return getegid() == gid;
}

/*
 * Says which group may open the device.  A service in a user namespace sees foreign
 * groups as the overflow GID, so their names are visible only outside of it.
 */
static void
permission_denied(const char *path, struct error *err)
{
	struct stat st;
	struct group *gr;
	const char *name = "dialout";
	bool known;

	known = stat(path, &st) == 0 && st.st_gid != 0 &&
	    st.st_gid != NO_GROUP && (gr = getgrgid(st.st_gid)) != NULL;
	if (known)
		name = gr->gr_name;
	if (!known && (gr = getgrnam(name)) != NULL && is_member(gr->gr_gid))
		error_set(err,
		    "permission denied (`ls -l %s` shows its group, which a"
		    " service joins by SupplementaryGroups=; a udev rule may"
		    " give it to dialout)",
		    path);
	else if (known && (st.st_mode & 060) != 060)
		error_set(err,
		    "permission denied (its mode, %04o, lets no group use it;"
		    " a udev rule may set it to 0660, with group dialout)",
		    (unsigned)st.st_mode & 07777);
	else
		error_set(
		    err, "permission denied (is the user in group %s?)", name);
}

static int
no_device(int e, const char *path, struct error *err)
{

	if (e == ENOENT || e == ENXIO || e == ENODEV || e == ENOTDIR)
		error_set(err, "no such device");
	else if (e == EACCES)
		permission_denied(path, err);
	else if (e == EPERM)
		error_set(err,
		    "not permitted (does the service's"
		    " DeviceAllow= name it?)");
	else if (e == ENOTTY || e == EINVAL)
		error_set(err, "not a serial device");
	else if (e == EIO)
		error_set(err, "no hardware after this device");
	else
		error_set(err, "%s", strerror(e));
	return -e;
}

int
serial_port_find(
    const struct serial_conf *conf, char *path, size_t size, struct error *err)
{
	char real[PATH_MAX];
	struct usb_id id;

	if (conf->device == NULL) {
		if (usb_id_parse(conf->usb, &id) < 0 ||
		    serial_list_find_usb("/sys", &id, path, size) < 0)
			return error_fail(err, -ENOENT,
			    "no USB serial port %s is plugged in", conf->usb);
		return 0;
	}
	if (realpath(conf->device, real) == NULL)
		return no_device(errno, conf->device, err);
	if (strlen(real) >= size)
		return error_fail(
		    err, -ENAMETOOLONG, "the path of the device is too long");
	snprintf(path, size, "%s", real);
	return 0;
}

/* --- opening ------------------------------------------------------------- */

static int
open_plain(const char *path, struct error *err)
{
	struct stat st;
	int fd, e;

	if (stat(path, &st) < 0)
		return no_device(errno, path, err);
	if (!S_ISCHR(st.st_mode))
		return no_device(ENOTTY, path, err);
	fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0) {
		if (isatty(fd))
			return fd;
		e = errno;
		close(fd);
		return no_device(e, path, err);
	}
	if (errno != EBUSY)
		return no_device(errno, path, err);
	error_clear(err);
	holder_of_device(path, -1, err);
	return -EBUSY;
}

/*
 * Returns whether libserialport has opened the port.  Since version 0.1.2 sp_open()
 * takes the lock and exclusive mode itself, whether they are wanted or not, and when
 * another process holds the lock it fails and leaves its descriptor open.
 */
static bool
open_libserialport(struct serial_port *port)
{
	if (sp_get_port_by_name(port->path, &port->sp) == SP_OK) {
		if (sp_open(port->sp, SP_MODE_READ_WRITE) == SP_OK &&
		    sp_get_port_handle(port->sp, &port->fd) == SP_OK) {
			fcntl(port->fd, F_SETFD, FD_CLOEXEC);
			serial_lock_release(port->fd);
			return true;
		}
		sp_close(port->sp);
	}
	sp_free_port(port->sp);
	port->sp = NULL;
	port->fd = -1;
	return false;
}

static bool
is_leaving(const char *path, struct error *err)
{
	struct leaving *l;

	TAILQ_FOREACH(l, &leavings, entry) {
		if (strcmp(l->port.path, path) == 0)
			return error_fail(
			    err, true, "its last output is still on its way");
	}
	return false;
}

int
serial_port_open(struct serial_port *port, bool exclusive, struct error *err)
{
	int r, fd;

	if (is_leaving(port->path, err))
		return -EBUSY;
	if (exclusive && (r = serial_lock_file(port->path, err)) < 0)
		return r;
	if ((fd = open_plain(port->path, err)) < 0)
		return fd;
	if (exclusive && (r = serial_lock_take(fd, port->path, err)) < 0)
		goto fail;
	if (exclusive)
		serial_lock_release(fd);
	if (open_libserialport(port)) {
		close(fd);
		fd = port->fd;
	}
	if (exclusive && (r = serial_lock_take(fd, port->path, err)) < 0)
		goto fail;
	if ((r = serial_tty_raw(fd)) < 0) {
		no_device(-r, port->path, err);
		goto fail;
	}
	port->fd = fd;
	port->exclusive = exclusive;
	if (exclusive)
		serial_lock_exclusive(fd, true);
	return 0;
fail:
	if (port->sp == NULL)
		close(fd);
	return r;
}

/* Whether the descriptor refers to that device and the device is still present. */
static bool
is_device(int fd, const char *path)
{
	struct pollfd p = { .fd = fd };
	struct stat ours, there;

	return fstat(fd, &ours) == 0 && stat(path, &there) == 0 &&
	    S_ISCHR(ours.st_mode) && S_ISCHR(there.st_mode) &&
	    ours.st_rdev == there.st_rdev && isatty(fd) &&
	    poll(&p, 1, 0) >= 0 && !(p.revents & (POLLHUP | POLLERR));
}

int
serial_port_adopt(struct serial_port *port, int fd, bool exclusive)
{
	struct error ignored;

	if (!is_device(fd, port->path) ||
	    (exclusive && serial_lock_adopt(fd, port->path, &ignored) < 0)) {
		serial_lock_exclusive(fd, false);
		serial_tty_discard(fd);
		close(fd);
		return -ENODEV;
	}
	/* A process that was killed may have been sending a break. */
	serial_tty_break(fd, false);
	port->fd = fd;
	port->exclusive = exclusive;
	return 0;
}

/* --- settings ------------------------------------------------------------ */

static void
warn(const struct serial_port *port, const char *name, int r,
    const struct error *err)
{
	if (r < 0)
		log_to(serial_tty_is_pty(port->fd) ? LOG_DEBUG : LOG_WARNING,
		    ABOUT_ENDPOINT, name, "%s", err->text);
}

int
serial_port_configure(struct serial_port *port, const char *name,
    const struct serial_conf *conf, struct error *err)
{
	bool pty = serial_tty_is_pty(port->fd);
	int r;

	if ((r = serial_tty_line(port->fd, name, &conf->now,
		 conf->hangup_on_close, false, err)) < 0)
		return r;
	port->baud = conf->now.baud;
	if (conf->rs485) {
		r = serial_tty_rs485(port->fd, name, conf, err);
		if (r < 0 && !pty)
			return r;
		port->rs485 = r == 0;
	}
	r = serial_tty_signals(port->fd, conf, err);
	warn(port, name, r, err);
	if (conf->low_latency) {
		r = serial_tty_low_latency(port->fd, true, err);
		warn(port, name, r, err);
		port->low_latency = r == 0;
	}
	return 0;
}

/* --- closing ------------------------------------------------------------- */

static void
undo(const struct serial_port *port)
{
	static const struct serial_conf none = {
		.rs485 = false,
	};
	struct error ignored;

	if (port->low_latency)
		serial_tty_low_latency(port->fd, false, &ignored);
	if (port->rs485)
		serial_tty_rs485(port->fd, NULL, &none, &ignored);
}

static void
close_now(struct serial_port *port, const char *name)
{
	if (port->fd >= 0) {
		if (serial_tty_unsent(port->fd) > 0)
			serial_tty_discard(port->fd);
		undo(port);
		if (port->exclusive)
			serial_lock_release(port->fd);
	}
	if (port->sp == NULL) {
		if (port->fd >= 0)
			close(port->fd);
	} else {
		if (sp_close(port->sp) != SP_OK)
			log_to(LOG_DEBUG, ABOUT_ENDPOINT, name,
			    "%s was removed before it was closed", port->path);
		sp_free_port(port->sp);
	}
	port->sp = NULL;
	port->fd = -1;
}

static void
leave_end(struct leaving *l)
{
	unsigned left = serial_tty_unsent(l->port.fd);

	if (left > 0)
		log_to(LOG_WARNING, ABOUT_ENDPOINT, l->name,
		    "%u bytes did not leave %s and were thrown away", left,
		    l->port.path);
	TAILQ_REMOVE(&leavings, l, entry);
	keep_remove(&l->kept);
	close_now(&l->port, l->name);
	event_free(l->timer);
	task_remove_why(&l->task, "closed");
	free(l);
}

static void
leave_look(evutil_socket_t fd, short what, void *arg)
{
	struct leaving *l = arg;
	uint64_t now = task_begin(&l->task);
	unsigned unsent = serial_tty_unsent(l->port.fd);

	(void)fd, (void)what;
	if (unsent < l->unsent)
		l->moved_ns = now;
	l->unsent = unsent;
	if (unsent > 0 && now < l->end_ns && now - l->moved_ns < l->stuck_ns) {
		TASK_WAIT(&l->task);
		task_end(&l->task);
		return;
	}
	leave_end(l);
}

static void
leave_label(const struct task *task, char *buf, size_t size)
{
	const struct leaving *l = task->arg;

	snprintf(buf, size, "the last %u bytes to leave %s, to close it",
	    serial_tty_unsent(l->port.fd), l->port.path);
}

static void
leave_cancel(struct task *task)
{
	leave_end(task->arg);
}

static bool
leave_start(struct serial_port *port, struct event_base *base, const char *name)
{
	struct timeval tv = { 0, LEAVE_LOOK_MS * 1000 };
	char keep[KEEP_NAME_MAX];
	struct leaving *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return false;
	l->timer = event_new(base, -1, EV_PERSIST, leave_look, l);
	if (l->timer == NULL || event_add(l->timer, &tv) < 0) {
		if (l->timer != NULL)
			event_free(l->timer);
		free(l);
		return false;
	}
	l->port = *port;
	snprintf(l->name, sizeof(l->name), "%s", name);
	l->unsent = serial_tty_unsent(port->fd);
	l->moved_ns = now_ns();
	l->stuck_ns = LEAVE_STUCK_NS +
	    LEAVE_STUCK_CHARS * CHARACTER_BITS * NSEC_PER_SEC /
		MAX(port->baud, 1);
	l->end_ns = l->moved_ns + LEAVE_MAX_NS;
	TAILQ_INSERT_TAIL(&leavings, l, entry);
	snprintf(keep, sizeof(keep), "%s drain@", name);
	keep_add(&l->kept, port->fd, keep);
	task_add(&l->task, l, leave_label, "%s.drain", name);
	l->task.cancel = leave_cancel;
	TASK_WAIT(&l->task);
	port->sp = NULL;
	port->fd = -1;
	return true;
}

void
serial_port_close(
    struct serial_port *port, struct event_base *base, const char *name)
{
	if (port->fd >= 0 && serial_tty_unsent(port->fd) > 0 &&
	    leave_start(port, base, name))
		return;
	close_now(port, name);
}

void
serial_port_let_go(int fd, struct event_base *base, const char *name)
{
	struct serial_port port = { .fd = fd, .baud = 9600, .exclusive = true };

	if (ttyname_r(fd, port.path, sizeof(port.path)) != 0)
		port.path[0] = '\0';
	serial_tty_break(fd, false);
	serial_port_close(&port, base, name);
}

void
serial_port_finish(void)
{
	struct leaving *l;

	while ((l = TAILQ_FIRST(&leavings)) != NULL)
		leave_end(l);
}
