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

/* Writes everything; -errno. */
static int
write_all(int fd, struct iovec *part, unsigned n)
{
	ssize_t done;

	while (n > 0) {
		if ((done = writev(fd, part, (int)n)) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
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

static int
write_head(struct record_file *f)
{
	struct iovec head = { (void *)(uintptr_t)f->conf.head,
		f->conf.head_len };
	int r = 0;

	if (f->at == 0 && head.iov_len > 0)
		r = write_all(f->fd, &head, 1);
	if (r == 0 && f->at == 0)
		f->at = f->conf.head_len;
	return r;
}

int
record_file_use(struct record_file *f, int fd)
{
	struct stat st;

	f->fd = fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	f->device = st.st_dev;
	f->inode = st.st_ino;
	f->at = (uint64_t)st.st_size;
	f->now.begun += f->at == 0;
	/* Excludes other processes from a file that is not shared. */
	if (!f->conf.log && flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	return write_head(f);
}

static int
open_path(struct record_file *f)
{
	int kind = f->conf.log ? O_APPEND : O_EXCL, fd, r;

	fd = open(f->path,
	    O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | kind,
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

/* Renames PATH to PATH.1, PATH.1 to PATH.2 and so on. */
static int
rename_files(const struct record_file *f)
{
	char *from, *to;
	int r = 0;

	for (unsigned i = f->max_files - 1; i > 0 && r == 0; i--) {
		from = to = NULL;
		if (asprintf(&to, "%s.%u", f->path, i) < 0 ||
		    (i > 1 ? asprintf(&from, "%s.%u", f->path, i - 1)
			   : asprintf(&from, "%s", f->path)) < 0)
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

	if (f->max_files <= 1) {
		if (ftruncate(f->fd, 0) < 0 || lseek(f->fd, 0, SEEK_SET) < 0)
			return -errno;
		f->at = 0;
		f->now.begun++;
		return write_head(f);
	}
	if (is_own(f) && (r = rename_files(f)) < 0)
		return r;
	record_file_close(f);
	return open_path(f);
}

/* Removes the part of a record that was written. */
static void
cut(struct record_file *f)
{
	if (ftruncate(f->fd, (off_t)f->at) == 0)
		lseek(f->fd, (off_t)f->at, SEEK_SET);
}

/* Writes records, the ends of which are in the file after an error, too. */
static int
write_records(struct record_file *f, struct iovec *record, unsigned n)
{
	struct iovec copy[RECORDS];
	struct stat st;
	int r;

	memcpy(copy, record, n * sizeof(*copy));
	r = write_all(f->fd, copy, n);
	if (fstat(f->fd, &st) < 0)
		st.st_size = 0;
	for (unsigned i = 0; i < n; i++) {
		if (r < 0 && f->at + record[i].iov_len > (uint64_t)st.st_size)
			break;
		f->at += record[i].iov_len;
		f->now.records++;
		f->now.bytes += record[i].iov_len;
	}
	if (r < 0)
		cut(f);
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
