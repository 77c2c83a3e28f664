/*
 * power: preloaded into the daemon, ends it at one of its operations on files in a directory,
 * and leaves there what a loss of power may leave.
 *
 *	POWER_DIRECTORY=PATH	the directory
 *	POWER_AT=NUMBER		the operation before which the process ends, with exit status 99;
 *				0: none
 *	POWER_SEED=NUMBER	of the choices what is lost
 *	POWER_LOG=FILE		what happens is appended to it, a line each:
 *				  NUMBER OPERATION NAME
 *				  synced NAME SIZE	at the end: what must be there
 *
 * Operations are those that write, truncate, sync, rename and remove.  What was written to a file
 * since it was synced is kept, lost, or torn: its end is missing or zero.  Of the changes of names
 * since the directory was synced, the last ones are undone, any number of them.
 */
#include <sys/stat.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHANGES 20000

/* Something that is not on the disk yet, and how it is undone. */
enum kind { WRITE, RENAME, REMOVE, CREATE };
struct change {
	enum kind kind;
	ino_t inode; /* WRITE */
	int fd;
	uint8_t *old;
	size_t old_len, len;
	off_t at, size; /* where, and the size of the file before */
	char from[64], to[64];
	char aside[64];
};

/* The size of a file when it was synced last. */
struct synced {
	ino_t inode;
	char name[64];
	off_t size;
};

static struct {
	pthread_mutex_t mutex;
	const char *directory;
	int fd; /* of it */
	int log;
	unsigned long at, count;
	unsigned seed;
	struct change change[CHANGES];
	size_t nchanges;
	struct synced synced[CHANGES];
	size_t nsynced;
	unsigned aside;
	bool ending;
} power = { .mutex = PTHREAD_MUTEX_INITIALIZER, .fd = -1, .log = -1 };

#define REAL(name)                       \
	static __typeof__(&(name)) real; \
	if (real == NULL)                \
	real = (__typeof__(&(name)))(uintptr_t)dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void
begin(void)
{
	const char *log = getenv("POWER_LOG"), *at = getenv("POWER_AT");
	const char *seed = getenv("POWER_SEED");

	power.directory = getenv("POWER_DIRECTORY");
	power.at = at != NULL ? strtoul(at, NULL, 10) : 0;
	power.seed = seed != NULL ? (unsigned)atoi(seed) : 1;
	if (log != NULL)
		power.log =
		    open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	/* A program that the daemon starts is not meant. */
	unsetenv("LD_PRELOAD");
}

static unsigned
dice(unsigned n)
{
	power.seed = power.seed * 1103515245 + 12345;
	return power.seed / 65536 % n;
}

/* The name of an open file in the directory, "" for the directory; false: it is elsewhere. */
static bool
name_of(int fd, char *name, size_t size)
{
	char link[64], path[PATH_MAX];
	size_t len = power.directory != NULL ? strlen(power.directory) : 0;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (len == 0 || power.ending ||
	    (n = readlink(link, path, sizeof(path) - 1)) < 0)
		return false;
	path[n] = '\0';
	if (strncmp(path, power.directory, len) != 0 ||
	    (path[len] != '\0' && path[len] != '/'))
		return false;
	snprintf(name, size, "%s", path[len] == '/' ? path + len + 1 : "");
	return true;
}

static struct change *
add(enum kind kind)
{
	struct change *c = &power.change[power.nchanges++];

	if (power.nchanges == CHANGES)
		abort();
	memset(c, 0, sizeof(*c));
	c->kind = kind;
	c->fd = -1;
	return c;
}

/* --- the loss ------------------------------------------------------------ */

static void
undo_write(const struct change *c)
{
	static const uint8_t zeros[4096];
	size_t keep, len;
	struct stat st;

	switch (dice(4)) {
	case 0:
		return;
	case 1:
		keep = 0;
		break;
	default:
		keep = dice((unsigned)c->len + 1);
		break;
	}
	if (fstat(c->fd, &st) < 0)
		return;
	if (st.st_size > c->size) {
		/* The end is missing, or not written. */
		if (c->at + (off_t)keep >= c->size &&
		    ftruncate(c->fd, c->at + (off_t)keep) < 0)
			abort();
		if (dice(2) == 0)
			return;
		for (size_t at = keep; at < c->len; at += len) {
			len = c->len - at < sizeof(zeros) ? c->len - at
							  : sizeof(zeros);
			if (pwrite(c->fd, zeros, len, c->at + (off_t)at) < 0)
				abort();
		}
		return;
	}
	if (keep < c->old_len &&
	    pwrite(c->fd, c->old + keep, c->old_len - keep,
		c->at + (off_t)keep) < 0)
		abort();
}

static void
undo(const struct change *c)
{
	switch (c->kind) {
	case WRITE:
		undo_write(c);
		break;
	case RENAME:
		renameat(power.fd, c->to, power.fd, c->from);
		break;
	case REMOVE:
		renameat(power.fd, c->aside, power.fd, c->from);
		break;
	case CREATE:
		unlinkat(power.fd, c->from, 0);
		break;
	}
}

static void
lose_power(void)
{
	size_t names = 0, lost;
	char line[128];
	struct stat st;

	power.ending = true;
	if (power.fd < 0)
		power.fd = open(power.directory, O_RDONLY | O_DIRECTORY);
	for (size_t i = 0; i < power.nchanges; i++)
		names += power.change[i].kind != WRITE;
	lost = dice((unsigned)names + 1);
	for (size_t i = power.nchanges; i-- > 0;) {
		if (power.change[i].kind == WRITE)
			undo(&power.change[i]);
		else if (lost > 0) {
			undo(&power.change[i]);
			lost--;
		}
	}
	for (size_t i = 0; i < power.nsynced; i++) {
		if (fstatat(power.fd, power.synced[i].name, &st, 0) < 0 ||
		    st.st_ino != power.synced[i].inode)
			continue;
		snprintf(line, sizeof(line), "synced %s %lld\n",
		    power.synced[i].name, (long long)power.synced[i].size);
		(void)!write(power.log, line, strlen(line));
	}
	_exit(99);
}

/* Counts an operation on a file in the directory; with the mutex. */
static void
operation(const char *what, const char *name)
{
	char line[128];

	power.count++;
	snprintf(line, sizeof(line), "%lu %s %s\n", power.count, what,
	    *name != '\0' ? name : ".");
	if (power.log >= 0)
		(void)!write(power.log, line, strlen(line));
	if (power.count == power.at)
		lose_power();
}

/* --- the operations ------------------------------------------------------ */

ssize_t
pwrite(int fd, const void *data, size_t len, off_t at)
{
	struct change *c;
	struct stat st;
	char name[64];
	ssize_t n;
	REAL(pwrite);

	if (!name_of(fd, name, sizeof(name)))
		return real(fd, data, len, at);
	pthread_mutex_lock(&power.mutex);
	operation("pwrite", name);
	fstat(fd, &st);
	c = add(WRITE);
	c->inode = st.st_ino;
	c->size = st.st_size;
	c->at = at;
	c->fd = dup(fd);
	c->old = malloc(len);
	n = pread(fd, c->old, len, at);
	c->old_len = n > 0 ? (size_t)n : 0;
	n = real(fd, data, len, at);
	c->len = n > 0 ? (size_t)n : 0;
	pthread_mutex_unlock(&power.mutex);
	return n;
}

/* What was written to the file is on the disk; or all names. */
static void
forget(ino_t inode, bool names)
{
	size_t n = 0;

	for (size_t i = 0; i < power.nchanges; i++) {
		struct change *c = &power.change[i];

		if (names ? c->kind != WRITE
			  : c->kind == WRITE && c->inode == inode) {
			free(c->old);
			if (c->fd >= 0)
				close(c->fd);
			if (c->kind == REMOVE)
				unlinkat(power.fd, c->aside, 0);
			continue;
		}
		power.change[n++] = *c;
	}
	power.nchanges = n;
}

static void
note_synced(int fd, const char *name)
{
	struct synced *s = NULL;
	struct stat st;

	fstat(fd, &st);
	for (size_t i = 0; i < power.nsynced; i++)
		if (power.synced[i].inode == st.st_ino)
			s = &power.synced[i];
	if (s == NULL)
		s = &power.synced[power.nsynced++];
	s->inode = st.st_ino;
	s->size = st.st_size;
	snprintf(s->name, sizeof(s->name), "%s", name);
}

static int
sync_it(int fd, const char *what, int (*real)(int))
{
	struct stat st;
	char name[64];
	int r;

	if (!name_of(fd, name, sizeof(name)))
		return real(fd);
	pthread_mutex_lock(&power.mutex);
	operation(what, name);
	r = real(fd);
	fstat(fd, &st);
	forget(st.st_ino, *name == '\0');
	if (*name != '\0')
		note_synced(fd, name);
	pthread_mutex_unlock(&power.mutex);
	return r;
}

int
fdatasync(int fd)
{
	REAL(fdatasync);

	return sync_it(fd, "fdatasync", real);
}

int
fsync(int fd)
{
	REAL(fsync);

	return sync_it(fd, "fsync", real);
}

int
ftruncate(int fd, off_t size)
{
	char name[64];
	int r;
	REAL(ftruncate);

	if (!name_of(fd, name, sizeof(name)))
		return real(fd, size);
	pthread_mutex_lock(&power.mutex);
	operation("ftruncate", name);
	r = real(fd, size);
	pthread_mutex_unlock(&power.mutex);
	return r;
}

int
renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	struct change *c;
	struct stat st;
	char name[64];
	int r;
	REAL(renameat);

	if (!name_of(from_dir, name, sizeof(name)))
		return real(from_dir, from, to_dir, to);
	pthread_mutex_lock(&power.mutex);
	operation("rename", from);
	c = add(RENAME);
	snprintf(c->from, sizeof(c->from), "%s", from);
	snprintf(c->to, sizeof(c->to), "%s", to);
	r = real(from_dir, from, to_dir, to);
	if (r == 0 && fstatat(to_dir, to, &st, 0) == 0)
		for (size_t i = 0; i < power.nsynced; i++)
			if (power.synced[i].inode == st.st_ino)
				snprintf(power.synced[i].name,
				    sizeof(power.synced[i].name), "%s", to);
	pthread_mutex_unlock(&power.mutex);
	return r;
}

int
unlinkat(int dir, const char *path, int flags)
{
	struct change *c;
	char name[64];
	int r;
	REAL(unlinkat);

	if (!name_of(dir, name, sizeof(name)) || strncmp(path, "../", 3) == 0)
		return real(dir, path, flags);
	pthread_mutex_lock(&power.mutex);
	operation("unlink", path);
	if (power.fd < 0)
		power.fd = dup(dir);
	c = add(REMOVE);
	snprintf(c->from, sizeof(c->from), "%s", path);
	snprintf(c->aside, sizeof(c->aside), "../power.%u", ++power.aside);
	linkat(dir, path, power.fd, c->aside, 0);
	r = real(dir, path, flags);
	pthread_mutex_unlock(&power.mutex);
	return r;
}

int
openat(int dir, const char *path, int flags, ...)
{
	struct change *c;
	char name[64];
	mode_t mode = 0;
	bool made;
	va_list ap;
	int fd;
	REAL(openat);

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	if (!(flags & O_CREAT) || !name_of(dir, name, sizeof(name)))
		return real(dir, path, flags, mode);
	pthread_mutex_lock(&power.mutex);
	made = faccessat(dir, path, F_OK, 0) < 0;
	operation("create", path);
	fd = real(dir, path, flags, mode);
	if (fd >= 0 && made) {
		c = add(CREATE);
		snprintf(c->from, sizeof(c->from), "%s", path);
	}
	pthread_mutex_unlock(&power.mutex);
	return fd;
}
