/*
 * record_file: writes records to a file, each whole or not at all, and begins the next file of
 * the ring when one is full.
 */
#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "record_file.h"

/* The records that are written with one call. */
#define RECORDS 256

void
record_file_close(struct record_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

/* Writes everything; -errno, and how much was written. */
static int
write_all(int fd, struct iovec *part, unsigned n, size_t *ret_len)
{
	ssize_t done;

	*ret_len = 0;
	while (n > 0) {
		if ((done = writev(fd, part, (int)n)) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		*ret_len += (size_t)done;
		while (n > 0 && (size_t)done >= part->iov_len) {
			done -= (ssize_t)part->iov_len;
			part++;
			n--;
		}
		if (n > 0) {
			part->iov_base = (uint8_t *)part->iov_base + done;
			part->iov_len -= (size_t)done;
		}
	}
	return 0;
}

/* Removes the part of a record or of the head that was written last. */
static void
cut(const struct record_file *f, size_t len)
{
	struct stat st;

	/* Unless it was truncated meanwhile. */
	if (fstat(f->fd, &st) == 0 && (uint64_t)st.st_size >= len)
		(void)!ftruncate(f->fd, st.st_size - (off_t)len);
}

/* Writes the head of a file that is empty. */
static int
begin(struct record_file *f)
{
	struct iovec head = { (void *)(uintptr_t)f->conf.head,
		f->conf.head_len };
	size_t len = 0;
	int r = 0;

	f->now.begun++;
	if (head.iov_len > 0)
		r = write_all(f->fd, &head, 1, &len);
	if (r < 0)
		cut(f, len);
	f->at = r == 0 ? f->conf.head_len : 0;
	return r;
}

/* Another program may have truncated the file, or appended to it. */
static int
measure(struct record_file *f)
{
	struct stat st;
	bool had = f->at > 0;

	if (fstat(f->fd, &st) < 0)
		return -errno;
	f->at = (uint64_t)st.st_size;
	return had && f->at == 0 ? begin(f) : 0;
}

/*
 * Excludes all others that write the file, in this process and in others.  A log is also
 * written where there are no locks.
 */
static int
lock(const struct record_file *f)
{
	if (flock(f->fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return -EBUSY;
	return f->conf.log ? 0 : -errno;
}

int
record_file_use(struct record_file *f, int fd)
{
	struct stat st;
	int r;

	f->fd = fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if ((r = lock(f)) < 0)
		return r;
	f->device = st.st_dev;
	f->inode = st.st_ino;
	f->at = (uint64_t)st.st_size;
	return f->at == 0 ? begin(f) : 0;
}

static int
open_path(struct record_file *f)
{
	int kind = f->conf.log ? 0 : O_EXCL, fd, r;

	fd = open(f->path,
	    O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC |
		kind,
	    0640);
	if (fd < 0)
		return -errno;
	if ((r = record_file_use(f, fd)) < 0)
		record_file_close(f);
	return r;
}

/* Whether the path still is that of the file. */
static bool
is_own(const struct record_file *f)
{
	struct stat st;

	return stat(f->path, &st) == 0 && st.st_dev == f->device &&
	    st.st_ino == f->inode;
}

/* PATH, or PATH.i; NULL: out of memory. */
static char *
name_of(const struct record_file *f, unsigned i)
{
	char *name;

	if (i == 0)
		return strdup(f->path);
	return asprintf(&name, "%s.%u", f->path, i) < 0 ? NULL : name;
}

bool
record_file_is_written(const char *path)
{
	struct stat st;
	bool written;
	int fd;

	/* Opening a device may have side effects. */
	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return false;
	written = flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
	close(fd);
	return written;
}

/* Checks that no file that would be renamed or replaced is being written by another. */
static int
check_names(const struct record_file *f)
{
	char *name;
	int r = 0;

	for (unsigned i = 1; i < f->max_files && r == 0; i++) {
		if ((name = name_of(f, i)) == NULL)
			return -ENOMEM;
		if (record_file_is_written(name))
			r = -EBUSY;
		free(name);
	}
	return r;
}

/* Renames PATH to PATH.1, PATH.1 to PATH.2 and so on. */
static int
rename_files(const struct record_file *f)
{
	char *from, *to;
	int r = check_names(f);

	for (unsigned i = f->max_files - 1; i > 0 && r == 0; i--) {
		from = name_of(f, i - 1);
		to = name_of(f, i);
		if (from == NULL || to == NULL)
			r = -ENOMEM;
		else if (rename(from, to) < 0 && errno != ENOENT)
			r = -errno;
		free(from);
		free(to);
	}
	return r;
}

/* Begins the next file. */
static int
rotate(struct record_file *f)
{
	int r;

	if (f->max_files <= 1)
		return ftruncate(f->fd, 0) < 0 ? -errno : begin(f);
	if (is_own(f) && (r = rename_files(f)) < 0)
		return r;
	record_file_close(f);
	return open_path(f);
}

/* Writes records; after an error, those that were written whole remain. */
static int
write_records(struct record_file *f, struct iovec *record, unsigned n)
{
	struct iovec copy[RECORDS];
	size_t len;
	int r;

	memcpy(copy, record, n * sizeof(*copy));
	r = write_all(f->fd, copy, n, &len);
	for (unsigned i = 0; i < n && record[i].iov_len <= len; i++) {
		len -= record[i].iov_len;
		f->at += record[i].iov_len;
		f->now.records++;
		f->now.bytes += record[i].iov_len;
	}
	if (len > 0)
		cut(f, len);
	return r;
}

/* The records from *at on that belong into the current file; returns their number. */
static unsigned
collect(const struct record_file *f, size_t *at, struct iovec *record)
{
	uint64_t size = f->at;
	unsigned n = 0;
	uint32_t len;

	while (*at < f->drain.len && n < RECORDS) {
		memcpy(&len, f->drain.data + *at, sizeof(len));
		if (f->max_size > 0 && size + len > f->max_size &&
		    size > f->conf.head_len)
			break;
		record[n].iov_base = f->drain.data + *at + sizeof(len);
		record[n++].iov_len = len;
		*at += sizeof(len) + len;
		size += len;
	}
	return n;
}

static int
write_drain(struct record_file *f)
{
	struct iovec record[RECORDS];
	size_t at = 0;
	unsigned n;
	int r = 0;

	if (f->fd < 0)
		r = open_path(f);
	while (r == 0 && at < f->drain.len) {
		if ((r = measure(f)) < 0)
			break;
		if ((n = collect(f, &at, record)) > 0)
			r = write_records(f, record, n);
		else
			r = rotate(f);
	}
	return r;
}

/* The number of records in a buffer, and their bytes. */
static uint64_t
count(const struct record_buffer *b, uint64_t *ret_bytes)
{
	uint64_t n = 0;
	uint32_t len;

	*ret_bytes = 0;
	for (size_t at = 0; at < b->len; at += sizeof(len) + len) {
		memcpy(&len, b->data + at, sizeof(len));
		*ret_bytes += len;
		n++;
	}
	return n;
}

void
record_file_write(struct record_file *f, bool reopen, bool last)
{
	uint64_t records = f->now.records, bytes = f->now.bytes, n, all;
	int r;

	if (reopen)
		record_file_close(f);
	if (f->conf.log || f->now.error == 0) {
		r = f->drain.len > 0 || reopen ? write_drain(f) : 0;
		if (f->drain.len > 0 || r < 0)
			f->now.error = -r;
	}
	n = count(&f->drain, &all);
	f->now.skipped += n - (f->now.records - records);
	f->now.skipped_bytes += all - (f->now.bytes - bytes);
	f->now.size = f->at;
	f->drain.len = 0;
	if (last)
		record_file_close(f);
}
