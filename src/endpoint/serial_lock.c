/*
 * serial_lock: exclusive use of a serial port, and the process that has it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "holder.h"
#include "serial_lock.h"
#include "serial_tty.h"

static const char *const lock_dirs[] = { "/run/lock", "/var/lock" };

/*
 * The process that a lock file names, in decimal or as a binary int; 0 if it names no
 * other live process.
 */
static pid_t
lock_owner(const char *file)
{
	char buf[32] = "";
	int fd, bin;
	ssize_t n;
	pid_t pid;

	if ((fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0)
		return 0;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	pid = n > 0 ? atoi(buf) : 0;
	if (pid <= 0 && n == (ssize_t)sizeof(bin)) {
		memcpy(&bin, buf, sizeof(bin));
		pid = bin;
	}
	if (pid <= 0 || pid == getpid() || (kill(pid, 0) < 0 && errno == ESRCH))
		return 0;
	return pid;
}

int
serial_lock_file(const char *path, struct error *err)
{
	const char *base = path;
	char file[256], name[96];
	pid_t pid;

	if (strncmp(path, "/dev/", 5) == 0)
		base += 5;
	for (size_t i = 0; i < NELEM(lock_dirs); i++) {
		int n = snprintf(file, sizeof(file), "%s/LCK..", lock_dirs[i]);

		snprintf(file + n, sizeof(file) - (size_t)n, "%s", base);
		for (char *p = file + n; *p != '\0'; p++)
			if (*p == '/')
				*p = '_';
		if ((pid = lock_owner(file)) == 0)
			continue;
		holder_name(pid, name, sizeof(name));
		return error_fail(
		    err, -EBUSY, "held by %s, says %s", name, file);
	}
	return 0;
}

int
serial_lock_adopt(int fd, const char *path, struct error *err)
{
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
		error_clear(err);
		holder_of_device(path, fd, err);
		return -EBUSY;
	}
	serial_lock_exclusive(fd, true);
	return 0;
}

void
serial_lock_release(int fd)
{
	serial_lock_exclusive(fd, false);
	flock(fd, LOCK_UN);
}

int
serial_lock_take(int fd, const char *path, struct error *err)
{
	int exclusive = 0;

	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return 0; /* a device that cannot be locked */
		error_clear(err);
		holder_of_device(path, fd, err);
		return -EBUSY;
	}
	if (!serial_tty_is_pty(fd) && ioctl(fd, TIOCGEXCL, &exclusive) == 0 &&
	    exclusive) {
		error_clear(err);
		holder_of_device(path, fd, err);
		return -EBUSY;
	}
	return 0;
}

void
serial_lock_exclusive(int fd, bool on)
{
	if (!serial_tty_is_pty(fd))
		ioctl(fd, on ? TIOCEXCL : TIOCNXCL);
}
