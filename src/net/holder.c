/*
 * holder: searches /proc for the process that uses a device or port.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "holder.h"

/* Limits, so that the search does not block the event loop for long. */
#define FDS_MAX 20000
#define LINES_MAX 20000
/* UNIX98_PTY_SLAVE_MAJOR, and the number of consecutive major numbers (linux/major.h). */
#define PTS_MAJOR 136
#define PTS_MAJORS 8
/* The state of a listening TCP socket in /proc/net/tcp. */
#define TCP_LISTENS 0x0a

/* The device, or the inode number of the socket, that is searched for. */
struct wanted {
	const struct stat *device; /* NULL: a socket */
	unsigned long socket;
	int own_fd; /* is ignored */
	unsigned left;
};

const char *
holder_name(pid_t pid, char *buf, size_t size)
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
	return buf;
}

/* --- processes that have it open ----------------------------------------- */

/* The device number of a pseudo-terminal is unique only within its own devpts mount. */
static bool
same_device(const struct stat *a, const struct stat *b)
{
	unsigned number = major(a->st_rdev);

	return a->st_rdev == b->st_rdev &&
	    (a->st_dev == b->st_dev || number < PTS_MAJOR ||
		number >= PTS_MAJOR + PTS_MAJORS);
}

static bool
is_wanted(const struct wanted *w, int dir, const char *fd)
{
	char target[64], name[32];
	ssize_t n = readlinkat(dir, fd, target, sizeof(target) - 1);
	struct stat st;

	target[MAX(n, (ssize_t)0)] = '\0';
	if (w->device == NULL) {
		snprintf(name, sizeof(name), "socket:[%lu]", w->socket);
		return strcmp(target, name) == 0;
	}
	return strncmp(target, "/dev/", 5) == 0 &&
	    fstatat(dir, fd, &st, 0) == 0 && S_ISCHR(st.st_mode) &&
	    same_device(&st, w->device);
}

static bool
process_has(struct wanted *w, const char *pid, bool ourselves)
{
	char path[64];
	struct dirent *d;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	if ((dir = opendir(path)) == NULL)
		return false;
	while (!found && w->left > 0 && (d = readdir(dir)) != NULL) {
		if (!isdigit((unsigned char)d->d_name[0]) ||
		    (ourselves && atoi(d->d_name) == w->own_fd))
			continue;
		w->left--;
		found = is_wanted(w, dirfd(dir), d->d_name);
	}
	closedir(dir);
	return found;
}

/* Returns another process that has it open; failing that, this process; or 0. */
static pid_t
find_process(struct wanted *w)
{
	struct dirent *d;
	pid_t found = 0, pid;
	DIR *dir;

	if ((dir = opendir("/proc")) == NULL)
		return 0;
	while ((found == 0 || found == getpid()) && w->left > 0 &&
	    (d = readdir(dir)) != NULL) {
		pid = atoi(d->d_name);
		if (pid > 0 && process_has(w, d->d_name, pid == getpid()))
			found = pid;
	}
	closedir(dir);
	return found;
}

/* --- processes that hold a lock ------------------------------------------ */

/* Reads /proc/locks, which lists a lock even where the descriptors of its process are
 * hidden. */
static pid_t
lock_holder(const struct stat *st)
{
	unsigned dev_major, dev_minor, left = LINES_MAX;
	unsigned long inode;
	pid_t found = 0;
	char line[160];
	FILE *f;
	int pid;

	if ((f = fopen("/proc/locks", "re")) == NULL)
		return 0;
	while (found == 0 && left-- > 0 && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "%*d: %*s %*s %*s %d %x:%x:%lu", &pid,
			&dev_major, &dev_minor, &inode) == 4 &&
		    dev_major == major(st->st_dev) &&
		    dev_minor == minor(st->st_dev) && inode == st->st_ino &&
		    pid > 0 && (kill(pid, 0) == 0 || errno != ESRCH))
			found = pid;
	fclose(f);
	return found;
}

/* --- messages ------------------------------------------------------------ */

static void
say(pid_t pid, const char *command, struct error *err)
{
	char name[96];

	if (pid == getpid())
		error_append(err, "held by another endpoint of this daemon");
	else if (pid > 0)
		error_append(
		    err, "held by %s", holder_name(pid, name, sizeof(name)));
	else
		error_append(
		    err, "held by another program, which `%s` names", command);
}

void
holder_of_device(const char *path, int fd, struct error *err)
{
	struct wanted w = { .own_fd = fd, .left = FDS_MAX };
	char command[200];
	struct stat st;
	pid_t pid = 0;

	if (stat(path, &st) == 0) {
		w.device = &st;
		pid = lock_holder(&st);
		/* If this process holds the lock, it may be the lock of fd itself. */
		if (pid == 0 || pid == getpid())
			pid = find_process(&w);
	}
	snprintf(command, sizeof(command), "sudo fuser -v %s", path);
	say(pid, command, err);
}

/* The inode number of the socket that is bound to the port, or 0. */
static unsigned long
bound_socket(const char *file, bool udp, unsigned port)
{
	unsigned number, state, left = LINES_MAX;
	unsigned long inode, found = 0;
	char line[256];
	FILE *f;

	if ((f = fopen(file, "re")) == NULL)
		return 0;
	while (found == 0 && left-- > 0 && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line,
			"%*d: %*[0-9A-F]:%x %*s %x %*s %*s %*s %*d %*d %lu",
			&number, &state, &inode) == 3 &&
		    number == port && (udp || state == TCP_LISTENS))
			found = inode;
	fclose(f);
	return found;
}

void
holder_of_port(bool udp, unsigned port, struct error *err)
{
	struct wanted w = { .own_fd = -1, .left = FDS_MAX };
	char command[64];
	pid_t pid = 0;

	w.socket =
	    bound_socket(udp ? "/proc/net/udp" : "/proc/net/tcp", udp, port);
	if (w.socket == 0)
		w.socket = bound_socket(
		    udp ? "/proc/net/udp6" : "/proc/net/tcp6", udp, port);
	if (w.socket != 0)
		pid = find_process(&w);
	snprintf(command, sizeof(command), "sudo ss -l%cnp sport = :%u",
	    udp ? 'u' : 't', port);
	say(pid, command, err);
}

/* --- all processes that have one of several devices open ----------------- */

/* Whether the process has the master side of the pseudo-terminal with that number open. */
static bool
has_master(pid_t pid, unsigned number)
{
	char path[PATH_MAX], line[128];
	unsigned index;
	bool found = false;
	struct dirent *d;
	DIR *dir;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo", (int)pid);
	if ((dir = opendir(path)) == NULL)
		return false;
	while (!found && (d = readdir(dir)) != NULL) {
		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", (int)pid,
		    d->d_name);
		if ((f = fopen(path, "re")) == NULL)
			continue;
		while (!found && fgets(line, sizeof(line), f) != NULL)
			found = sscanf(line, "tty-index: %u", &index) == 1 &&
			    index == number;
		fclose(f);
	}
	closedir(dir);
	return found;
}

/* Whether it is a pseudo-terminal whose master side the process has open. */
static bool
is_master_of(pid_t pid, const struct stat *st)
{
	unsigned number = major(st->st_rdev);

	return number >= PTS_MAJOR && number < PTS_MAJOR + PTS_MAJORS &&
	    has_master(pid, minor(st->st_rdev));
}

struct survey {
	struct stat *devices; /* st_rdev 0: there is none */
	size_t n;
	void (*found)(size_t index, pid_t pid, void *arg);
	void *arg;
	bool hidden;
};

static void
survey_descriptor(const struct survey *s, pid_t pid, int dir, const char *fd)
{
	char target[64];
	ssize_t len = readlinkat(dir, fd, target, sizeof(target));
	struct stat st;

	if (len < 5 || strncmp(target, "/dev/", 5) != 0 ||
	    fstatat(dir, fd, &st, 0) < 0 || !S_ISCHR(st.st_mode))
		return;
	for (size_t i = 0; i < s->n; i++)
		if (s->devices[i].st_rdev != 0 &&
		    same_device(&st, &s->devices[i]) && !is_master_of(pid, &st))
			s->found(i, pid, s->arg);
}

static void
survey_process(struct survey *s, pid_t pid)
{
	unsigned left = FDS_MAX;
	struct dirent *d;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	if ((dir = opendir(path)) == NULL) {
		s->hidden |= errno == EACCES || errno == EPERM;
		return;
	}
	while (left-- > 0 && (d = readdir(dir)) != NULL)
		survey_descriptor(s, pid, dirfd(dir), d->d_name);
	closedir(dir);
}

bool
holders_of_devices(const char *const *paths, size_t n, pid_t except,
    void (*found)(size_t index, pid_t pid, void *arg), void *arg)
{
	struct survey s = { .n = n, .found = found, .arg = arg };
	struct dirent *d;
	pid_t pid;
	DIR *dir;

	s.devices = calloc(n + 1, sizeof(*s.devices));
	if (s.devices == NULL || (dir = opendir("/proc")) == NULL) {
		free(s.devices);
		return false;
	}
	for (size_t i = 0; i < n; i++)
		if (stat(paths[i], &s.devices[i]) < 0)
			s.devices[i].st_rdev = 0;
	while ((d = readdir(dir)) != NULL) {
		pid = atoi(d->d_name);
		if (pid > 0 && pid != except && pid != getpid())
			survey_process(&s, pid);
	}
	closedir(dir);
	free(s.devices);
	return !s.hidden;
}
