/*
 * spool_open: opens a spool, and repairs what a loss of power or a full disk has left.
 *
 * Only two segments are read: the last one, whose end may be missing or garbage, to find its
 * last valid record, and the first one, to find the oldest frame that is not delivered.
 */
#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "spool_parts.h"

static int
fail(const struct spool *s, struct error *err, int r, const char *what)
{
	error_set(
	    err, "cannot %s '%s': %s", what, s->conf.directory, strerror(-r));
	error_append_directory_hint(err, s->conf.directory, r);
	return r;
}

/* --- the directory ------------------------------------------------------- */

static int
take_lock(struct spool *s, struct error *err)
{
	s->lock = openat(s->directory, "lock",
	    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (s->lock < 0)
		return fail(s, err, -errno, "write to the directory");
	if (flock(s->lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK)
		return fail(s, err, -errno, "lock the directory");
	return error_fail(err, -EBUSY, "'%s' is in use by another process",
	    s->conf.directory);
}

/* The name of a new directory is on the disk afterwards. */
static void
sync_parent(const struct spool *s)
{
	int fd = openat(s->directory, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!fsync(fd);
	close(fd);
}

static int
open_directory(struct spool *s, struct error *err)
{
	bool made = false;

	if (!s->conf.read_only)
		made = mkdir(s->conf.directory, 0700) == 0;
	if (!s->conf.read_only && !made && errno != EEXIST)
		return fail(s, err, -errno, "create the directory");
	s->directory =
	    open(s->conf.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->directory < 0)
		return fail(s, err, -errno, "open the directory");
	if (made)
		sync_parent(s);
	return s->conf.read_only ? 0 : take_lock(s, err);
}

/* --- the last segment ---------------------------------------------------- */

/* Cuts the file after the last valid record. */
static int
cut(struct spool *s, struct segment *segment, const struct scan *scan)
{
	if (segment->size <= scan->at)
		return 0;
	if (s->conf.read_only)
		return 0;
	if (ftruncate(scan->fd, (off_t)scan->at) < 0)
		return -errno;
	s->now.cut += segment->size - scan->at;
	s->now.size -= segment->size - scan->at;
	segment->size = scan->at;
	return 0;
}

/* Finds the end of the spool; removes segments at the end that are none. */
static int
find_end(struct spool *s)
{
	struct segment *last;
	struct scan scan;
	int fd, r;

	s->now.next = MAX(s->ledger.number, 1u);
	while ((last = TAILQ_LAST(&s->segments, segments)) != NULL) {
		fd = segment_open(
		    s, last, s->conf.read_only ? O_RDONLY : O_RDWR);
		if (fd < 0)
			return fd;
		r = segment_scan(&scan, fd, last->first, UINT64_MAX);
		if (r == 0 && (r = cut(s, last, &scan)) == 0) {
			s->last = last;
			s->last_fd = fd;
			s->now.next = scan.number;
			s->now.next_bytes = scan.bytes;
			return 0;
		}
		close(fd);
		if (r != -EINVAL || (r = segment_set_aside(s, last)) < 0)
			return r;
	}
	return 0;
}

/* --- the first frame ----------------------------------------------------- */

/* Opens the segment at its beginning for reading. */
static int
start_reading(struct spool *s, struct segment *segment, uint64_t number)
{
	struct scan scan;
	int fd = segment_open(s, segment, O_RDONLY), r;

	if (fd < 0)
		return fd;
	if ((r = segment_scan(&scan, fd, segment->first, number)) < 0) {
		close(fd);
		return r;
	}
	s->reading = segment;
	s->read_fd = fd;
	s->read_at = scan.at;
	s->now.read_bytes = scan.bytes;
	return 0;
}

/* Sets the position of reading to the oldest frame that is not delivered. */
static int
find_first(struct spool *s)
{
	struct segment *first;
	int r;

	s->now.first = MAX(s->ledger.number, 1u);
	while ((first = TAILQ_FIRST(&s->segments)) != NULL) {
		if (segment_end(s, first) <= s->now.first) {
			if (s->conf.read_only)
				TAILQ_REMOVE(&s->segments, first, entry);
			else if ((r = segment_remove(s, first)) < 0)
				return r;
			continue;
		}
		s->now.first = MAX(s->now.first, first->first);
		r = start_reading(s, first, s->now.first);
		if (r == 0)
			break;
		if (r != -EINVAL)
			return r;
		s->now.damaged += segment_end(s, first) - s->now.first;
		s->now.first = segment_end(s, first);
		if ((r = segment_set_aside(s, first)) < 0)
			return r;
	}
	/* What was delivered was not on the disk yet. */
	if (s->now.next < s->now.first)
		s->now.next = s->now.first;
	s->now.read = s->now.first;
	if (s->reading == NULL)
		s->now.read_bytes = s->now.next_bytes;
	return 0;
}

/* --- opening and closing ------------------------------------------------- */

static int
open_all(struct spool *s, struct error *err)
{
	bool lost = false;
	int r;

	if ((r = open_directory(s, err)) < 0)
		return r;
	r = ledger_open(&s->ledger, s->directory, s->conf.read_only, &lost);
	if (r < 0 && !(r == -ENOENT && s->conf.read_only))
		return fail(s, err, r, "use the ledger in");
	if ((r = segments_list(s, err)) < 0)
		return r;
	s->now.ledger_lost = lost && s->now.segments > 0;
	if ((r = find_end(s)) < 0 || (r = find_first(s)) < 0)
		return fail(s, err, r, "use the segments in");
	return 0;
}

int
spool_open(const struct spool_conf *conf, struct spool **ret, struct error *err)
{
	struct spool *s = calloc(1, sizeof(*s));
	char *directory = strdup(conf->directory);
	int r;

	if (s == NULL || directory == NULL) {
		free(s);
		free(directory);
		return error_fail(err, -ENOMEM, "out of memory");
	}
	s->conf = *conf;
	s->conf.directory = directory;
	s->directory = s->lock = s->last_fd = s->read_fd = s->ledger.fd = -1;
	TAILQ_INIT(&s->segments);
	if ((r = open_all(s, err)) < 0) {
		spool_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

static void
close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void
spool_free(struct spool *s)
{
	struct segment *segment;

	if (s == NULL)
		return;
	while ((segment = TAILQ_FIRST(&s->segments)) != NULL) {
		TAILQ_REMOVE(&s->segments, segment, entry);
		free(segment);
	}
	ledger_close(&s->ledger);
	for (unsigned i = 0; i < s->nlate; i++)
		close_fd(s->late[i]);
	close_fd(s->last_fd);
	close_fd(s->read_fd);
	close_fd(s->lock);
	close_fd(s->directory);
	free((char *)(uintptr_t)s->conf.directory);
	free(s);
}
