/*
 * spool: appends, reads and removes frames.
 *
 * The order of writes is what makes a loss of power harmless: the header of a segment is synced
 * before it gets its name, and the ledger before a segment is removed.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "spool_parts.h"

#define SEGMENT_MIN ((uint64_t)4 * 1024)
#define SEGMENT_MAX ((uint64_t)4 * 1024 * 1024)
#define SEGMENTS 16
#define READ_SIZE ((size_t)128 * 1024)

void
spool_get(const struct spool *s, struct spool_stats *ret)
{
	*ret = s->now;
}

void
spool_set(struct spool *s, uint64_t limit, enum spool_sync sync)
{
	s->conf.limit = limit;
	s->conf.sync = sync;
}

static uint64_t
segment_limit(const struct spool *s)
{
	return MAX(MIN(s->conf.limit / SEGMENTS, SEGMENT_MAX), SEGMENT_MIN);
}

bool
spool_fits(const struct spool *s, uint64_t len)
{
	return s->now.size + len + SPOOL_HEAD <= s->conf.limit;
}

/* --- appending ----------------------------------------------------------- */

/* Syncs all that was appended. */
static int
sync_last(struct spool *s)
{
	for (; s->nlate > 0; s->nlate--) {
		if (fdatasync(s->late[s->nlate - 1]) < 0)
			return -errno;
		close(s->late[s->nlate - 1]);
	}
	if (s->now.unsynced && s->last_fd >= 0 && fdatasync(s->last_fd) < 0)
		return -errno;
	if (s->names_late && fsync(s->directory) < 0)
		return -errno;
	s->names_late = false;
	s->now.unsynced = false;
	return 0;
}

/* The last segment is full. */
static int
finish_last(struct spool *s)
{
	int r = 0;

	if (s->last_fd >= 0 && s->conf.sync == SPOOL_SYNC_TIMED &&
	    s->nlate < SPOOL_LATE) {
		s->late[s->nlate++] = s->last_fd;
		s->last_fd = -1;
		s->last = NULL;
		return 0;
	}
	if (s->conf.sync != SPOOL_SYNC_NONE)
		r = sync_last(s);
	if (r < 0)
		return r;
	if (s->last_fd >= 0)
		close(s->last_fd);
	s->last_fd = -1;
	s->last = NULL;
	s->now.unsynced = false;
	return 0;
}

/* Begins the next segment. */
static int
roll(struct spool *s)
{
	int r = finish_last(s);

	return r < 0 ? r : segment_add(s);
}

/* Whether a record of that length goes to another segment than the last one. */
static bool
is_full(const struct spool *s, size_t len)
{
	return s->last == NULL ||
	    (s->last->size > SPOOL_HEAD &&
		s->last->size + len > segment_limit(s));
}

/* Numbers the records that go to the last segment; returns their bytes. */
static size_t
seal_run(const struct spool *s, uint8_t *data, size_t len, uint64_t *ret_n,
    uint64_t *ret_payload)
{
	uint64_t room = segment_limit(s), size = s->last->size;
	size_t at = 0, each;

	*ret_n = *ret_payload = 0;
	while (at < len) {
		each = record_length(data + at);
		if (size > SPOOL_HEAD && size + each > room)
			break;
		record_seal(data + at, s->now.next + *ret_n);
		*ret_payload += record_payload(data + at);
		++*ret_n;
		at += each;
		size += each;
	}
	return at;
}

/* Writes records to the last segment, all or none. */
static int
write_run(
    struct spool *s, uint8_t *data, size_t len, uint64_t n, uint64_t payload)
{
	int r = write_at(s->last_fd, data, len, s->last->size);

	if (r < 0) {
		(void)!ftruncate(s->last_fd, (off_t)s->last->size);
		return r;
	}
	s->last->size += len;
	s->now.size += len;
	s->now.next += n;
	s->now.next_bytes += payload;
	s->now.unsynced = true;
	return 0;
}

int
spool_append(struct spool *s, uint8_t *data, size_t len, size_t *ret_len)
{
	uint64_t n, payload;
	size_t run;
	int r = 0;

	*ret_len = 0;
	while (*ret_len < len) {
		if (is_full(s, record_length(data + *ret_len)) &&
		    (r = roll(s)) < 0)
			break;
		run =
		    seal_run(s, data + *ret_len, len - *ret_len, &n, &payload);
		if ((r = write_run(s, data + *ret_len, run, n, payload)) < 0)
			break;
		*ret_len += run;
	}
	if (r == 0 && s->conf.sync == SPOOL_SYNC_ALWAYS)
		r = sync_last(s);
	return r;
}

int
spool_sync(struct spool *s)
{
	int r = sync_last(s), result = spool_commit(s);

	return r < 0 ? r : result;
}

/* --- reading ------------------------------------------------------------- */

static void
stop_reading(struct spool *s)
{
	if (s->read_fd >= 0)
		close(s->read_fd);
	s->read_fd = -1;
	s->reading = NULL;
}

/* The segment with the next frame to be read; NULL: there is none. */
static struct segment *
find_segment(const struct spool *s)
{
	struct segment *segment;

	TAILQ_FOREACH(segment, &s->segments, entry)
		if (segment_end(s, segment) > s->now.read)
			return segment;
	return NULL;
}

/* Opens the segment with the next frame.  -ENOENT: there is none; -EINVAL: it is not valid. */
static int
next_segment(struct spool *s)
{
	struct segment *segment;
	struct scan scan;
	int fd, r;

	stop_reading(s);
	if ((segment = find_segment(s)) == NULL)
		return -ENOENT;
	if ((fd = segment_open(s, segment, O_RDONLY)) < 0)
		return fd;
	r = segment_scan(&scan, fd, segment->first, s->now.read);
	s->reading = segment;
	s->read_fd = fd;
	if (r < 0)
		return r;
	s->read_at = scan.at;
	s->now.read_bytes = scan.bytes;
	return 0;
}

/* The frames from the next one to the end of its segment cannot be read. */
static void
skip_damaged(struct spool *s)
{
	uint64_t end = segment_end(s, s->reading);
	bool last = s->reading == s->last;

	s->now.damaged += end - s->now.read;
	s->now.read = end;
	stop_reading(s);
	if (!last)
		return;
	/* Nothing may be appended after the damage. */
	s->now.read_bytes = s->now.next_bytes;
	close(s->last_fd);
	s->last_fd = -1;
	s->last = NULL;
}

/* Checks the records in the buffer; returns the bytes of those that are valid. */
static size_t
take_records(struct spool *s, const uint8_t *buf, size_t len)
{
	uint64_t end = segment_end(s, s->reading);
	size_t at = 0;

	while (s->now.read < end &&
	    record_valid(buf + at, len - at, s->now.read)) {
		s->now.read++;
		s->now.read_bytes += record_payload(buf + at);
		at += record_length(buf + at);
	}
	s->read_at += at;
	s->read_since += at;
	return at;
}

/* Skips one damaged record if the next one is valid. */
static bool
skip_record(struct spool *s, const uint8_t *buf, size_t len)
{
	size_t size = len >= SPOOL_HEAD ? record_length(buf) : 0;

	if (size == 0 || size >= len ||
	    !record_valid(buf + size, len - size, s->now.read + 1))
		return false;
	s->now.damaged++;
	s->now.read++;
	s->now.read_bytes += record_payload(buf);
	s->read_at += size;
	return true;
}

/* Reads records of one segment; *ret_len may be 0 although there are more. */
static int
read_some(struct spool *s, uint8_t **buf, size_t *size, size_t *ret_len)
{
	ssize_t n;
	int r = 0;

	if (s->reading == NULL || s->now.read >= segment_end(s, s->reading))
		r = next_segment(s);
	if (r == 0) {
		n = read_at(s->read_fd, *buf, *size, s->read_at);
		if (n < 0)
			return (int)n;
		*ret_len = take_records(s, *buf, (size_t)n);
		if (*ret_len == 0 && !skip_record(s, *buf, (size_t)n))
			r = n < SPOOL_HEAD ? -EINVAL
					   : record_enlarge(buf, size);
	}
	return r;
}

int
spool_read(struct spool *s, uint8_t **buf, size_t *size, size_t *ret_len)
{
	int r = 0;

	*ret_len = 0;
	if (*size == 0 && (*buf = malloc(READ_SIZE)) == NULL)
		return -ENOMEM;
	if (*size == 0)
		*size = READ_SIZE;
	if (s->read_since + *size > SPOOL_AHEAD && !s->conf.read_only &&
	    (r = spool_commit(s)) < 0)
		return r;
	while (r == 0 && *ret_len == 0 && s->now.read < s->now.next) {
		r = read_some(s, buf, size, ret_len);
		if (r == -EINVAL || (r == -EIO && s->reading != NULL)) {
			skip_damaged(s);
			r = 0;
		}
	}
	return r;
}

/* Continues to read at that number. */
static void
move_to(struct spool *s, uint64_t number)
{
	s->now.read = number;
	if (next_segment(s) == -ENOENT)
		s->now.read_bytes = s->now.next_bytes;
}

void
spool_skip(struct spool *s, uint64_t number)
{
	if (number > s->now.read && number <= s->now.next)
		move_to(s, number);
}

void
spool_rewind(struct spool *s)
{
	move_to(s, s->now.first);
}

/* --- removing ------------------------------------------------------------ */

void
spool_ack(struct spool *s, uint64_t number)
{
	if (number > s->now.first && number <= s->now.read)
		s->now.first = number;
}

/* Removes the segments before the first frame, except the one that is written. */
static int
remove_delivered(struct spool *s)
{
	struct segment *segment;
	int r;

	while ((segment = TAILQ_FIRST(&s->segments)) != NULL &&
	    segment_end(s, segment) <= s->now.first)
		if ((r = segment_remove(s, segment)) < 0)
			return r;
	return 0;
}

/* Whether all frames of the first segment are delivered. */
static bool
may_remove(const struct spool *s)
{
	const struct segment *segment = TAILQ_FIRST(&s->segments);

	return segment != NULL && segment_end(s, segment) <= s->now.first;
}

int
spool_commit(struct spool *s)
{
	bool sync = s->conf.sync != SPOOL_SYNC_NONE || may_remove(s);
	int r;

	s->read_since = 0;
	if (s->now.first == s->ledger.number && !may_remove(s))
		return 0;
	/* The name of a new ledger, too. */
	if (s->ledger.generation == 0 && sync && fsync(s->directory) < 0)
		return -errno;
	if ((r = ledger_write(&s->ledger, s->now.first, sync)) < 0)
		return r;
	return remove_delivered(s);
}

/* All frames before that number count as delivered; adds to the number of those lost. */
static int
give_up_before(struct spool *s, uint64_t number, uint64_t *lost)
{
	if (number > s->now.read) {
		*lost += number - s->now.read;
		move_to(s, number);
	}
	s->now.first = MAX(s->now.first, number);
	return spool_commit(s);
}

int
spool_give_up(struct spool *s, uint64_t *ret_lost)
{
	struct segment *first = TAILQ_FIRST(&s->segments);

	*ret_lost = 0;
	if (first == NULL || TAILQ_NEXT(first, entry) == NULL)
		return -ENOSPC;
	return give_up_before(s, segment_end(s, first), ret_lost);
}

int
spool_expire(struct spool *s, uint64_t before_ns, uint64_t *ret_lost)
{
	const struct segment *first;
	char name[SEGMENT_NAME];
	struct stat st;
	int r;

	*ret_lost = 0;
	while ((first = TAILQ_FIRST(&s->segments)) != NULL) {
		segment_name(first->first, name, sizeof(name));
		if (fstatat(s->directory, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		if ((uint64_t)st.st_mtim.tv_sec * NSEC_PER_SEC +
			(uint64_t)st.st_mtim.tv_nsec >=
		    before_ns)
			break;
		if ((r = give_up_before(s, segment_end(s, first), ret_lost)) <
		    0)
			return r;
	}
	return 0;
}

int
spool_clear(struct spool *s, uint64_t *ret_lost)
{
	*ret_lost = 0;
	return give_up_before(s, s->now.next, ret_lost);
}
