/*
 * serial_lock: one program at a time on a serial port, and who that is.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "serial_lock.h"
#include "serial_tty.h"

/* The search for the holder must not hold the loop for long. */
#define FDS_MAX 20000
/* UNIX98_PTY_SLAVE_MAJOR and how many majors follow it (linux/major.h). */
#define PTS_MAJOR 136
#define PTS_MAJORS 8

static const char *const lock_dirs[] = { "/run/lock", "/var/lock" };

static void
process_name(pid_t pid, char *buf, size_t size)
{
	char path[64], comm[64];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) >= 0) {
		n = read(fd, comm, sizeof(comm));
		close(fd);
	}
	while (n > 0 && comm[n - 1] == '\n')
		n--;
	if (n <= 0)
		snprintf(buf, size, "process %d", (int)pid);
	else {
		escape((const uint8_t *)comm, (size_t)n, buf, size);
		append(buf, size, " (pid %d)", (int)pid);
	}
}

/* --- who has it open ----------------------------------------------------- */

/* The number of a pseudo-terminal counts in its own file system alone. */
static bool
same_device(const struct stat *a, const struct stat *b)
{
	unsigned number = major(a->st_rdev);

	return a->st_rdev == b->st_rdev &&
	    (a->st_dev == b->st_dev || number < PTS_MAJOR ||
		number >= PTS_MAJOR + PTS_MAJORS);
}

/* Whether a process has the device open, own_fd aside. */
static bool
process_has(
    const char *pid, const struct stat *device, int own_fd, unsigned *left)
{
	char path[64], target[64];
	struct dirent *d;
	struct stat st;
	bool found = false;
	DIR *dir;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	if ((dir = opendir(path)) == NULL)
		return false;
	while (!found && *left > 0 && (d = readdir(dir)) != NULL) {
		if (!isdigit((unsigned char)d->d_name[0]) ||
		    atoi(d->d_name) == own_fd)
			continue;
		(*left)--;
		n = readlinkat(dirfd(dir), d->d_name, target, sizeof(target));
		found = n > 5 && memcmp(target, "/dev/", 5) == 0 &&
		    fstatat(dirfd(dir), d->d_name, &st, 0) == 0 &&
		    S_ISCHR(st.st_mode) && same_device(&st, device);
	}
	closedir(dir);
	return found;
}

void
serial_lock_holder(const char *path, int fd, char *buf, size_t size)
{
	unsigned left = FDS_MAX;
	bool ours = false;
	struct dirent *d;
	struct stat st;
	char name[96];
	DIR *dir;
	pid_t pid = 0;

	if (stat(path, &st) == 0 && (dir = opendir("/proc")) != NULL) {
		while (pid == 0 && left > 0 && (d = readdir(dir)) != NULL) {
			pid_t p = atoi(d->d_name);
			bool self = p == getpid();

			if (p <= 0 ||
			    !process_has(d->d_name, &st, self ? fd : -1, &left))
				continue;
			ours = ours || self;
			pid = self ? 0 : p;
		}
		closedir(dir);
	}
	if (pid > 0) {
		process_name(pid, name, sizeof(name));
		snprintf(buf, size, "held by %s", name);
	} else
		snprintf(buf, size, "held by %s",
		    ours ? "another endpoint of this daemon"
			 : "another program");
}

/* --- locks --------------------------------------------------------------- */

/*
 * The process a lock file names, in decimal or as an int; 0: none that lives.
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
serial_lock_file(const char *path, char *err, size_t size)
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
		process_name(pid, name, sizeof(name));
		snprintf(err, size, "held by %s, says %s", name, file);
		return -EBUSY;
	}
	return 0;
}

int
serial_lock_adopt(int fd, const char *path, char *err, size_t size)
{
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
		serial_lock_holder(path, fd, err, size);
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
serial_lock_take(int fd, const char *path, char *err, size_t size)
{
	int exclusive = 0;

	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return 0; /* a device that cannot be locked */
		serial_lock_holder(path, fd, err, size);
		return -EBUSY;
	}
	if (!serial_tty_is_pty(fd) && ioctl(fd, TIOCGEXCL, &exclusive) == 0 &&
	    exclusive) {
		serial_lock_holder(path, fd, err, size);
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
