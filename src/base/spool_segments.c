/*
 * spool_segments: the segments of a spool as files in its directory.
 *
 * A new segment is written under another name, and is renamed when its header is on the disk;
 * so every file with the name of a segment begins with a valid header.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "spool_parts.h"

#define NEW_NAME "new"

/* Names that belong to a spool beside those of segments. */
static bool
is_own(const char *name)
{
	static const char *const names[] = { ".", "..", "ledger", "lock" };
	size_t len = strlen(name);

	for (size_t i = 0; i < NELEM(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return len > 8 && strcmp(name + len - 8, ".damaged") == 0;
}

/* Inserts a segment in the order of numbers. */
static int
insert(struct spool *s, uint64_t first, uint64_t size)
{
	struct segment *new = calloc(1, sizeof(*new)), *at;

	if (new == NULL)
		return -ENOMEM;
	new->first = first;
	new->size = size;
	at = TAILQ_LAST(&s->segments, segments);
	while (at != NULL && at->first > first)
		at = TAILQ_PREV(at, segments, entry);
	if (at != NULL)
		TAILQ_INSERT_AFTER(&s->segments, at, new, entry);
	else
		TAILQ_INSERT_HEAD(&s->segments, new, entry);
	s->now.size += size;
	s->now.segments++;
	return 0;
}

static int
list_entry(struct spool *s, const char *name)
{
	struct stat st;
	uint64_t first;

	if (is_own(name))
		return 0;
	if (strcmp(name, NEW_NAME) == 0) {
		if (!s->conf.read_only)
			unlinkat(s->directory, name, 0);
		return 0;
	}
	if (!segment_number(name, &first) ||
	    fstatat(s->directory, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISREG(st.st_mode)) {
		s->now.foreign++;
		return 0;
	}
	return insert(s, first, (uint64_t)st.st_size);
}

int
segments_list(struct spool *s, struct error *err)
{
	int fd = openat(s->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	int r = 0;

	if (dir == NULL) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		return error_fail(err, r, "cannot read the directory '%s': %s",
		    s->conf.directory, strerror(-r));
	}
	while (r == 0) {
		errno = 0;
		if ((entry = readdir(dir)) == NULL) {
			r = -errno;
			break;
		}
		r = list_entry(s, entry->d_name);
	}
	closedir(dir);
	return r == 0 ? 0
		      : error_fail(err, r, "cannot read the directory '%s': %s",
			    s->conf.directory, strerror(-r));
}

int
segment_open(const struct spool *s, const struct segment *segment, int flags)
{
	char name[SEGMENT_NAME];
	int fd;

	segment_name(segment->first, name, sizeof(name));
	fd = openat(
	    s->directory, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/* Writes the header of a new segment, and gives it its name. */
static int
create(struct spool *s, int fd, const char *name)
{
	const struct segment_head head = { s->now.next, s->now.next_bytes };
	uint8_t buf[SPOOL_HEAD];
	int r;

	segment_head_encode(&head, buf);
	if ((r = write_at(fd, buf, sizeof(buf), 0)) < 0)
		return r;
	if (fdatasync(fd) < 0 ||
	    renameat(s->directory, NEW_NAME, s->directory, name) < 0)
		return -errno;
	if (s->conf.sync == SPOOL_SYNC_ALWAYS && fsync(s->directory) < 0)
		return -errno;
	s->names_late = s->conf.sync == SPOOL_SYNC_TIMED;
	return 0;
}

int
segment_add(struct spool *s)
{
	char name[SEGMENT_NAME];
	int fd, r;

	segment_name(s->now.next, name, sizeof(name));
	fd = openat(s->directory, NEW_NAME,
	    O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if ((r = create(s, fd, name)) == 0)
		r = insert(s, s->now.next, SPOOL_HEAD);
	if (r < 0) {
		close(fd);
		unlinkat(s->directory, NEW_NAME, 0);
		unlinkat(s->directory, name, 0);
		return r;
	}
	s->last = TAILQ_LAST(&s->segments, segments);
	s->last_fd = fd;
	return 0;
}

/* The segment is no longer a part of the spool. */
static void
forget(struct spool *s, struct segment *segment)
{
	if (segment == s->last) {
		if (s->last_fd >= 0)
			close(s->last_fd);
		s->last_fd = -1;
		s->last = NULL;
	}
	if (segment == s->reading) {
		close(s->read_fd);
		s->read_fd = -1;
		s->reading = NULL;
	}
	TAILQ_REMOVE(&s->segments, segment, entry);
	s->now.size -= segment->size;
	s->now.segments--;
	free(segment);
}

int
segment_remove(struct spool *s, struct segment *segment)
{
	char name[SEGMENT_NAME];

	segment_name(segment->first, name, sizeof(name));
	if (unlinkat(s->directory, name, 0) < 0 && errno != ENOENT)
		return -errno;
	forget(s, segment);
	return 0;
}

int
segment_set_aside(struct spool *s, struct segment *segment)
{
	char name[SEGMENT_NAME], aside[SEGMENT_NAME + 8];

	segment_name(segment->first, name, sizeof(name));
	snprintf(aside, sizeof(aside), "%s.damaged", name);
	if (!s->conf.read_only &&
	    renameat(s->directory, name, s->directory, aside) < 0)
		return -errno;
	s->now.set_aside++;
	forget(s, segment);
	return 0;
}

uint64_t
segment_end(const struct spool *s, const struct segment *segment)
{
	const struct segment *next = TAILQ_NEXT(segment, entry);

	return next != NULL ? next->first : s->now.next;
}
