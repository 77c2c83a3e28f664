/*
 * queue: a ring of frames, each whole behind its header.
 *
 * Frames are laid down 8-byte aligned and never wrap: when a frame does not fit
 * before the end of the ring, a header that says SKIP fills it up, and the frame
 * starts at the beginning.  Positions only grow; modulo the size they are places.
 *
 * In a file the ring stands behind a page that says where it begins and ends.  Each is
 * changed by one store, after all that it stands for: whenever the process ends, the
 * frames between them are whole.  An end before the beginning: it was being emptied.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keep.h"
#include "queue.h"

#define SKIP UINT32_MAX
#define RING_MIN 1024
/* An empty ring up to this size is kept. */
#define RING_KEPT (256 * 1024)

/* The last two digits: the version of the format. */
#define MAGIC "ttybri01"
#define MAGIC_LEN 8
#define PAGE 4096
/* A file that is to hold a queue of up to this need not grow. */
#define WHOLE_MAX ((size_t)64 << 20)

/* The first page of a file. */
struct ends {
	char magic[MAGIC_LEN];
	uint64_t size, head, tail;
};

struct share {
	struct kept kept;
	char name[KEEP_NAME_MAX];
	struct ends *ends; /* NULL: the ring is too small for a file */
	bool giving;	   /* between queue_give and queue_given */
};

struct header {
	uint32_t len; /* of the payload, or SKIP */
	uint32_t route;
	uint64_t since_ns;
};

static size_t
room_of(size_t len)
{
	return sizeof(struct header) + ((len + 7) & ~(size_t)7);
}

static struct header *
header_at(const struct queue *q, size_t pos)
{
	return (struct header *)(void *)(q->ring + (pos & (q->size - 1)));
}

void
queue_init(struct queue *q, size_t limit)
{
	memset(q, 0, sizeof(*q));
	q->limit = limit;
}

/* --- where the ring lies ------------------------------------------------- */

static bool
is_shared(const struct queue *q)
{
	return q->share != NULL && q->share->ends != NULL;
}

static void
publish(struct queue *q)
{
	struct ends *ends;

	if (!is_shared(q) || q->share->giving)
		return;
	ends = q->share->ends;
	__atomic_store_n(&ends->tail, q->tail, __ATOMIC_RELEASE);
	__atomic_store_n(&ends->head, q->head, __ATOMIC_RELEASE);
}

/* A new file with room for a ring.  NULL: it cannot be had. */
static struct ends *
make_file(size_t size, int *ret_fd)
{
	int fd = memfd_create("ttybridge queue", MFD_CLOEXEC);
	struct ends *ends = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, (off_t)(PAGE + size)) == 0)
		ends = mmap(NULL, PAGE + size, PROT_READ | PROT_WRITE,
		    MAP_SHARED, fd, 0);
	if (ends == MAP_FAILED) {
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	memcpy(ends->magic, MAGIC, MAGIC_LEN);
	ends->size = size;
	*ret_fd = fd;
	return ends;
}

static void
ring_free(struct queue *q)
{
	int fd;

	if (is_shared(q)) {
		fd = q->share->kept.fd;
		keep_remove(&q->share->kept);
		munmap(q->share->ends, PAGE + q->size);
		close(fd);
		q->share->ends = NULL;
	} else
		free(q->ring);
	q->ring = NULL;
}

/* The ring's place is taken by another one, in which the same frames lie. */
static void
ring_change(struct queue *q, uint8_t *ring, size_t size, size_t tail,
    struct ends *ends, int fd)
{
	int old = is_shared(q) ? q->share->kept.fd : -1;

	if (old >= 0)
		munmap(q->share->ends, PAGE + q->size);
	else
		free(q->ring);
	q->ring = ring;
	q->size = size;
	q->head = 0;
	q->tail = tail;
	if (q->share != NULL) {
		q->share->ends = ends;
		publish(q);
	}
	if (ends != NULL)
		keep_add(&q->share->kept, fd, q->share->name);
	else if (old >= 0)
		keep_remove(&q->share->kept);
	if (old >= 0)
		close(old);
}

/* Empty again, and at its beginning; the memory of a large ring is given back. */
static void
ring_reset(struct queue *q)
{
	bool large = is_shared(q) ? q->tail > RING_KEPT : q->size > RING_KEPT;

	q->head = q->tail = 0;
	publish(q);
	if (!large)
		return;
	if (is_shared(q)) {
		madvise(q->ring, q->size, MADV_REMOVE);
		return;
	}
	ring_free(q);
	q->size = 0;
}

void
queue_keep(struct queue *q, const char *name)
{
	if (!keep_anything())
		return;
	if (q->share == NULL &&
	    (q->share = calloc(1, sizeof(*q->share))) == NULL)
		return;
	snprintf(q->share->name, sizeof(q->share->name), "%s", name);
	if (is_shared(q))
		keep_add(&q->share->kept, q->share->kept.fd, name);
}

void
queue_free(struct queue *q)
{
	ring_free(q);
	free(q->share);
	queue_init(q, q->limit);
}

/* --- what is charged ----------------------------------------------------- */

size_t
queue_cost(size_t len)
{
	return MAX(len, (size_t)QUEUE_FLOOR);
}

/* The place of the next frame of need bytes, -1 when the ring is too small. */
static long
place_of(const struct queue *q, size_t need)
{
	size_t used = q->tail - q->head, to_end, at;

	if (q->size == 0)
		return -1;
	at = q->tail & (q->size - 1);
	to_end = q->size - at;
	if (need <= to_end)
		return used + need <= q->size ? (long)at : -1;
	return used + to_end + need <= q->size ? 0 : -1;
}

static bool
skip_fillers(const struct queue *q, size_t *pos)
{
	while (*pos != q->tail) {
		if (header_at(q, *pos)->len != SKIP)
			return true;
		*pos += q->size - (*pos & (q->size - 1));
	}
	return false;
}

/* A ring of at least twice the size with room for need bytes more. */
static int
grow(struct queue *q, size_t need)
{
	size_t size = MAX(q->size, (size_t)RING_MIN / 2), tail = 0, pos;
	struct ends *ends = NULL;
	uint8_t *ring;
	int fd = -1;

	do
		size *= 2;
	while (size < (q->tail - q->head) + need);
	if (q->share != NULL && size >= QUEUE_KEPT) {
		/* Pages that are not used take no memory. */
		while (q->limit <= WHOLE_MAX && size < 2 * q->limit)
			size *= 2;
		ends = make_file(size, &fd);
	}
	ring = ends != NULL ? (uint8_t *)ends + PAGE : malloc(size);
	if (ring == NULL)
		return -ENOMEM;
	for (pos = q->head; skip_fillers(q, &pos);) {
		const struct header *h = header_at(q, pos);
		size_t n = room_of(h->len);

		memcpy(ring + tail, h, n);
		tail += n;
		pos += n;
	}
	ring_change(q, ring, size, tail, ends, fd);
	return 0;
}

int
queue_push(struct queue *q, const uint8_t *payload, size_t len,
    uint64_t since_ns, unsigned route)
{
	size_t need = room_of(len);
	struct header *h;
	long at;
	int r;

	while ((at = place_of(q, need)) < 0)
		if ((r = grow(q, need)) < 0)
			return r;
	if ((size_t)at != (q->tail & (q->size - 1))) {
		header_at(q, q->tail)->len = SKIP;
		q->tail += q->size - (q->tail & (q->size - 1));
	}
	h = header_at(q, q->tail);
	h->len = (uint32_t)len;
	h->route = route;
	h->since_ns = since_ns;
	if (len > 0)
		memcpy(h + 1, payload, len);
	q->tail += need;
	publish(q);
	q->bytes += queue_cost(len);
	q->payload += len;
	q->frames++;
	return 0;
}

bool
queue_next(const struct queue *q, size_t *pos, struct queued *ret)
{
	size_t at = q->head + *pos;
	const struct header *h;

	if (q->frames == 0 || !skip_fillers(q, &at))
		return false;
	h = header_at(q, at);
	ret->payload = (const uint8_t *)(h + 1);
	ret->len = h->len;
	ret->since_ns = h->since_ns;
	ret->route = h->route;
	*pos = at + room_of(h->len) - q->head;
	return true;
}

bool
queue_head(const struct queue *q, struct queued *ret)
{
	size_t pos = 0;

	return queue_next(q, &pos, ret);
}

void
queue_pop(struct queue *q)
{
	const struct header *h;

	assert(q->frames > 0);
	skip_fillers(q, &q->head);
	h = header_at(q, q->head);
	q->bytes -= queue_cost(h->len);
	q->payload -= h->len;
	q->head += room_of(h->len);
	publish(q);
	if (--q->frames == 0)
		ring_reset(q);
}

void
queue_give(struct queue *q, size_t frames)
{
	struct queued frame;
	size_t pos = 0;

	if (!is_shared(q))
		return;
	while (frames > 0 && queue_next(q, &pos, &frame))
		frames--;
	__atomic_store_n(
	    &q->share->ends->head, q->head + pos, __ATOMIC_RELEASE);
	q->share->giving = true;
}

void
queue_given(struct queue *q)
{
	if (q->share != NULL)
		q->share->giving = false;
	publish(q);
}

/*
 * The frames of a copy take the place of all that there are, in the same file: laid
 * down behind them, and then put on and the others taken off.  False: no room.
 */
static bool
lay_behind(struct queue *q, const struct queue *copy)
{
	size_t to_end = q->size - (q->tail & (q->size - 1));
	long at = place_of(q, copy->tail);

	if (!is_shared(q) || at < 0)
		return false;
	memcpy(q->ring + at, copy->ring, copy->tail);
	if (copy->tail > to_end) {
		header_at(q, q->tail)->len = SKIP;
		q->tail += to_end;
	}
	/* Killed between the two, it has none of them, and not all of them twice. */
	q->head = q->tail;
	publish(q);
	q->tail += copy->tail;
	publish(q);
	return true;
}

/* All anew, with that frame in the place of the one at position at. */
static int
rebuild(struct queue *q, size_t at, const struct queued *frame)
{
	struct queue copy = { .limit = q->limit };
	struct queued old;
	size_t pos = 0;
	int r;

	for (;;) {
		bool there = pos == at;

		if (!queue_next(q, &pos, &old))
			break;
		if (there)
			old = *frame;
		r = queue_push(
		    &copy, old.payload, old.len, old.since_ns, old.route);
		if (r < 0) {
			queue_free(&copy);
			return r;
		}
	}
	q->bytes = copy.bytes;
	q->payload = copy.payload;
	if (lay_behind(q, &copy)) {
		queue_free(&copy);
		return 0;
	}
	ring_change(q, copy.ring, copy.size, copy.tail, NULL, -1);
	if (q->share != NULL && q->size >= QUEUE_KEPT)
		grow(q, 2 * q->tail);
	return 0;
}

int
queue_replace(struct queue *q, size_t pos, const uint8_t *payload, size_t len,
    uint64_t since_ns)
{
	size_t at = q->head + pos;
	struct queued frame = { payload, len, since_ns, 0 };
	struct header *h;

	if (q->frames == 0 || !skip_fillers(q, &at))
		return -EINVAL;
	h = header_at(q, at);
	frame.route = h->route;
	if (room_of(len) != room_of(h->len))
		return rebuild(q, pos, &frame);
	q->bytes += queue_cost(len) - queue_cost(h->len);
	q->payload += len - h->len;
	h->len = (uint32_t)len;
	h->since_ns = since_ns;
	if (len > 0)
		memcpy(h + 1, payload, len);
	return 0;
}

/* --- what a process before has left -------------------------------------- */

/* The frame at *pos, and the position behind it; false: there is none, or no ring. */
static bool
rescue_one(const struct queue *old, size_t *pos, const struct header **ret)
{
	const struct header *h;
	size_t at, room;

	for (;;) {
		at = *pos & (old->size - 1);
		if (*pos >= old->tail || at % 8 != 0)
			return false;
		/* Behind the last frame there may be no more than its len. */
		h = header_at(old, *pos);
		if (h->len != SKIP)
			break;
		*pos += old->size - at;
	}
	if (at + sizeof(*h) > old->size)
		return false;
	room = room_of(h->len);
	if (at + room > old->size || *pos + room > old->tail)
		return false;
	*pos += room;
	*ret = h;
	return true;
}

static int
rescue_all(struct queue *q, const struct ends *ends, size_t size)
{
	struct queue old = { .ring = (uint8_t *)(uintptr_t)ends + PAGE,
		.size = size,
		.head = ends->head,
		.tail = ends->tail };
	const struct header *h;
	size_t pos = old.head;
	int r = 0;

	if (memcmp(ends->magic, MAGIC, MAGIC_LEN) != 0 || ends->size != size ||
	    (old.tail > old.head && old.tail - old.head > size))
		return -EINVAL;
	while (r == 0 && rescue_one(&old, &pos, &h))
		r = queue_push(
		    q, (const uint8_t *)(h + 1), h->len, h->since_ns, h->route);
	return r;
}

int
queue_rescue(struct queue *q, int fd)
{
	struct ends *ends;
	struct stat st;
	size_t size;
	int r;

	if (fstat(fd, &st) < 0 || st.st_size <= PAGE)
		return -EINVAL;
	size = (size_t)st.st_size - PAGE;
	if ((size & (size - 1)) != 0)
		return -EINVAL;
	ends = mmap(NULL, PAGE + size, PROT_READ, MAP_SHARED, fd, 0);
	if (ends == MAP_FAILED)
		return -errno;
	r = rescue_all(q, ends, size);
	munmap(ends, PAGE + size);
	return r;
}

void
queue_forget(int fd)
{
	static const uint64_t none = 0;

	(void)!pwrite(fd, &none, sizeof(none), offsetof(struct ends, tail));
}
