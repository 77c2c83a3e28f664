/*
 * queue_rescue: restores the frames of a queue from the file of a process that was
 * killed.
 *
 * The file is treated as untrusted input: it may be damaged, or have been written by an
 * older version.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue_memory.h"

/*
 * The space of the record at a position, which is not a SKIP; 0: there is no valid
 * record.
 */
static size_t
check_record(const struct queue *old, size_t pos)
{
	size_t at = pos & (old->size - 1), room;

	if (pos % 8 != 0 || pos >= old->tail ||
	    at + sizeof(struct header) > old->size)
		return 0;
	room = record_space(header_at(old, pos));
	return at + room <= old->size && pos + room <= old->tail ? room : 0;
}

/* Whether there is a valid ASIDE record at the position. */
static bool
check_moved(const struct queue *old, size_t from, size_t pos)
{
	const struct header *h;

	if (pos <= from || check_record(old, pos) == 0)
		return false;
	h = header_at(old, pos);
	return (h->len & (MOVED | ASIDE)) == ASIDE &&
	    (h->len & LENGTH) <= h->route;
}

/*
 * Reads the frame at *pos and advances *pos; false: there is none, or the file is
 * damaged.
 */
static bool
rescue_one(const struct queue *old, size_t *pos, struct queued *ret)
{
	struct header *h, *frame;
	size_t room;

	while (*pos < old->tail && *pos % 8 == 0) {
		/* After the last frame there may be no more than the len of a header. */
		h = header_at(old, *pos);
		if (h->len == SKIP) {
			*pos += old->size - (*pos & (old->size - 1));
			continue;
		}
		if ((room = check_record(old, *pos)) == 0)
			return false;
		if (h->len & ASIDE) {
			*pos += room;
			continue;
		}
		if ((h->len & MOVED) &&
		    !check_moved(old, *pos, (size_t)h->since_ns))
			return false;
		frame = frame_of(old, h);
		if (!record_read(frame, ret))
			return false;
		ret->since_ns = frame->since_ns;
		ret->route = h->route;
		*pos += room;
		return true;
	}
	return false;
}

static int
rescue_all(struct queue *q, const struct ends *ends, size_t size)
{
	struct queue old = { .ring = (uint8_t *)(uintptr_t)ends + QUEUE_PAGE,
		.size = size,
		.head = ends->head,
		.tail = ends->tail };
	size_t pos = old.head, total = 0;
	struct queued frame;
	int r = 0;

	if (memcmp(ends->magic, QUEUE_MAGIC, QUEUE_MAGIC_LEN - 1) != 0 ||
	    ends->magic[QUEUE_MAGIC_LEN - 1] < QUEUE_MAGIC_FIRST ||
	    ends->magic[QUEUE_MAGIC_LEN - 1] >
		QUEUE_MAGIC[QUEUE_MAGIC_LEN - 1] ||
	    ends->size != size ||
	    (old.tail > old.head && old.tail - old.head > size))
		return -EINVAL;
	while (r == 0 && rescue_one(&old, &pos, &frame)) {
		/* Several records of a damaged file may refer to one frame. */
		if ((total += space_for(record_size(&frame))) > size)
			break;
		r = queue_add(q, &frame);
	}
	return r;
}

int
queue_rescue(struct queue *q, int fd)
{
	struct ends *ends;
	struct stat st;
	size_t size;
	int r;

	if (fstat(fd, &st) < 0 || st.st_size <= QUEUE_PAGE)
		return -EINVAL;
	size = (size_t)st.st_size - QUEUE_PAGE;
	if ((size & (size - 1)) != 0)
		return -EINVAL;
	ends = mmap(NULL, QUEUE_PAGE + size, PROT_READ, MAP_SHARED, fd, 0);
	if (ends == MAP_FAILED)
		return -errno;
	r = rescue_all(q, ends, size);
	munmap(ends, QUEUE_PAGE + size);
	return r;
}

void
queue_forget(int fd)
{
	static const uint64_t none = 0;

	(void)!pwrite(fd, &none, sizeof(none), offsetof(struct ends, tail));
}
