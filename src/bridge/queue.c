/*
 * queue: a ring of frames, each whole after its header.
 *
 * Frames are laid down 8-byte aligned and never wrap: when a frame does not fit
 * before the end of the ring, a header that says SKIP fills it up, and the frame
 * starts at the beginning.  Positions only grow; modulo the size they are places.
 *
 * A frame that replaces another one and does not fit in its place is written at the
 * end, in an ASIDE record with room for it to grow, and the record in the old place is
 * marked MOVED: it still says when it is the frame's turn, its since_ns is the position
 * of the ASIDE record, and a walk passes over that.  The space of the frames that have
 * moved is recovered when the ring is full (grow).
 *
 * In a file the ring stands after a page that says where it begins and ends.  Each is
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

#include "fdstore.h"
#include "queue.h"

#define SKIP UINT32_MAX
#define MOVED 0x80000000u
#define ASIDE 0x40000000u
#define SPELLED 0x20000000u
#define LENGTH (SPELLED - 1)
#define RING_MIN 1024
/* An empty ring up to this size is kept. */
#define RING_KEPT (256 * 1024)

/* The last digit: the version of the format.  The first one had no MOVED records, and
 * the second one no SPELLED frames. */
#define MAGIC "ttybri03"
#define MAGIC_FIRST '1'
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
	uint32_t len;	   /* of what is after it, with flags, or SKIP */
	uint32_t route;	   /* ASIDE: how long the payload may become */
	uint64_t since_ns; /* MOVED: the position of the frame */
};

/*
 * What is after the header of a SPELLED frame, before the frame as it came.  The
 * payload lies in that, at an offset, or BEHIND it.
 */
struct spelling {
	uint32_t framing;
	uint32_t payload; /* its length, and the offset << OFFSET */
};
#define OFFSET 21
#define BEHIND (UINT32_MAX >> OFFSET)

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

/* What the record takes up in the ring; it is not a SKIP. */
static size_t
record_room(const struct header *h)
{
	return room_of(h->len & ASIDE ? h->route : h->len & LENGTH);
}

/* Where the frame of a record is: there, or where it has moved to. */
static struct header *
frame_of(const struct queue *q, struct header *h)
{
	return h->len & MOVED ? header_at(q, (size_t)h->since_ns) : h;
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
	q->base += q->tail;
	q->head = 0;
	q->tail = tail;
	q->rebuilt++;
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

	q->base += q->tail;
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

/* Whether the payload is a part of the frame as it came, near its beginning. */
static bool
lies_inside(const struct queued *f)
{
	return f->payload >= f->wire && f->payload < f->wire + BEHIND &&
	    f->payload + f->len <= f->wire + f->wire_len;
}

/* What a frame takes up after its header. */
static size_t
stored_size(const struct queued *f)
{
	if (f->wire == NULL)
		return f->len;
	return sizeof(struct spelling) + f->wire_len +
	    (lies_inside(f) ? 0 : f->len);
}

static size_t
cost_of(const struct queued *f)
{
	size_t more = stored_size(f) - f->len;

	return queue_cost(f->len) +
	    (more > sizeof(struct spelling) + QUEUE_FLOOR ? more : 0);
}

/* Writes it there. */
static uint32_t
store(uint8_t *to, const struct queued *f)
{
	struct spelling s = { f->spelled, (uint32_t)f->len };
	bool inside;

	if (f->wire == NULL) {
		if (f->len > 0)
			memcpy(to, f->payload, f->len);
		return (uint32_t)f->len;
	}
	inside = lies_inside(f);
	s.payload |= (inside ? (uint32_t)(f->payload - f->wire) : BEHIND)
	    << OFFSET;
	memcpy(to, &s, sizeof(s));
	memcpy(to + sizeof(s), f->wire, f->wire_len);
	if (!inside && f->len > 0)
		memcpy(to + sizeof(s) + f->wire_len, f->payload, f->len);
	return (uint32_t)stored_size(f) | SPELLED;
}

/* Reads it back; false when it cannot have been written so. */
static bool
recall(const struct header *h, struct queued *f)
{
	const uint8_t *at = (const uint8_t *)(h + 1);
	size_t len = h->len & LENGTH, offset;
	struct spelling s;

	f->payload = at;
	f->len = len;
	f->wire = NULL;
	f->wire_len = 0;
	f->spelled = 0;
	if (!(h->len & SPELLED))
		return true;
	if (len < sizeof(s))
		return false;
	memcpy(&s, at, sizeof(s));
	len -= sizeof(s);
	f->len = s.payload & ((1u << OFFSET) - 1);
	offset = s.payload >> OFFSET;
	if (f->len > len || (offset != BEHIND && offset > len - f->len))
		return false;
	f->spelled = s.framing;
	f->wire = at + sizeof(s);
	f->wire_len = offset == BEHIND ? len - f->len : len;
	f->payload = f->wire + (offset == BEHIND ? f->wire_len : offset);
	return true;
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

/* Moves to the record of the next frame; false when there is none. */
static bool
skip_fillers(const struct queue *q, size_t *pos)
{
	while (*pos != q->tail) {
		const struct header *h = header_at(q, *pos);

		if (h->len == SKIP)
			*pos += q->size - (*pos & (q->size - 1));
		else if (h->len & ASIDE)
			*pos += record_room(h);
		else
			return true;
	}
	return false;
}

/* What the frames that wait take up, each in one record. */
static size_t
live_size(const struct queue *q)
{
	size_t total = 0;

	for (size_t pos = q->head; skip_fillers(q, &pos);) {
		struct header *h = header_at(q, pos);

		pos += record_room(h);
		total += room_of(frame_of(q, h)->len & LENGTH);
	}
	return total;
}

/* How large a ring is to be that has room for need bytes more. */
static size_t
ring_size(const struct queue *q, size_t need)
{
	size_t size = MAX(q->size, (size_t)RING_MIN / 2);
	size_t used = live_size(q) + need;

	/* Large enough once the space of frames that have moved is recovered. */
	if (size == q->size && used <= size / 2)
		return size;
	do
		size *= 2;
	while (size < used);
	return size;
}

/* Writes all frames to another ring, and where the one at *mark is then.  Returns its
 * tail. */
static size_t
copy_frames(const struct queue *q, uint8_t *ring, size_t *mark)
{
	size_t tail = 0, moved = *mark;

	for (size_t pos = q->head; skip_fillers(q, &pos);) {
		struct header *h = header_at(q, pos), *from = frame_of(q, h);
		struct header *to = (struct header *)(void *)(ring + tail);

		to->len = from->len & (LENGTH | SPELLED);
		to->route = h->route;
		to->since_ns = from->since_ns;
		memcpy(to + 1, from + 1, to->len & LENGTH);
		if (pos == *mark)
			moved = tail;
		pos += record_room(h);
		tail += record_room(to);
	}
	*mark = moved;
	return tail;
}

/* Another ring with room for need bytes more. */
static int
grow(struct queue *q, size_t need, size_t *mark)
{
	size_t size = ring_size(q, need), tail;
	struct ends *ends = NULL;
	uint8_t *ring;
	int fd = -1;

	if (q->share != NULL && size >= QUEUE_KEPT) {
		/* Pages that are not used take no memory. */
		while (q->limit <= WHOLE_MAX && size < 2 * q->limit)
			size *= 2;
		ends = make_file(size, &fd);
	}
	ring = ends != NULL ? (uint8_t *)ends + PAGE : malloc(size);
	if (ring == NULL)
		return -ENOMEM;
	tail = copy_frames(q, ring, mark);
	ring_change(q, ring, size, tail, ends, fd);
	return 0;
}

/*
 * The place at the tail for a record of need bytes, not part of the queue yet.  When the
 * frames have to be moved for it, *mark follows the one that it is the position of.
 */
static int
new_record(struct queue *q, size_t need, size_t *mark, struct header **ret)
{
	long at;
	int r;

	while ((at = place_of(q, need)) < 0)
		if ((r = grow(q, need, mark)) < 0)
			return r;
	if ((size_t)at != (q->tail & (q->size - 1))) {
		header_at(q, q->tail)->len = SKIP;
		q->tail += q->size - (q->tail & (q->size - 1));
	}
	*ret = header_at(q, q->tail);
	return 0;
}

int
queue_add(struct queue *q, const struct queued *frame)
{
	size_t size = stored_size(frame), need = room_of(size);
	size_t none = SIZE_MAX;
	struct header *h;
	int r;

	assert(size <= LENGTH);
	if ((r = new_record(q, need, &none, &h)) < 0)
		return r;
	h->len = store((uint8_t *)(h + 1), frame);
	h->route = frame->route;
	h->since_ns = frame->since_ns;
	q->last = q->tail;
	q->tail += need;
	publish(q);
	q->bytes += cost_of(frame);
	q->payload += frame->len;
	q->frames++;
	return 0;
}

/* The frame at a position, and the position after its record. */
static size_t
read_frame(const struct queue *q, size_t at, struct queued *ret)
{
	struct header *h = header_at(q, at), *frame = frame_of(q, h);

	recall(frame, ret);
	ret->since_ns = frame->since_ns;
	ret->route = h->route;
	ret->place = q->base + at;
	return at + record_room(h);
}

bool
queue_next(const struct queue *q, size_t *pos, struct queued *ret)
{
	size_t at = q->head + *pos;

	if (q->frames == 0 || !skip_fillers(q, &at))
		return false;
	*pos = read_frame(q, at, ret) - q->head;
	return true;
}

bool
queue_at(const struct queue *q, uint64_t place, struct queued *ret)
{
	if (place < q->base + q->head || place >= q->base + q->tail)
		return false;
	read_frame(q, (size_t)(place - q->base), ret);
	return true;
}

void
queue_renumber(struct queue *q, const unsigned *number, unsigned n)
{
	struct header *h;

	for (size_t at = q->head; skip_fillers(q, &at); at += record_room(h)) {
		h = header_at(q, at);
		h->route = h->route < n ? number[h->route] : UINT32_MAX;
	}
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
	struct queued frame;
	size_t next;

	assert(q->frames > 0);
	skip_fillers(q, &q->head);
	next = read_frame(q, q->head, &frame);
	q->bytes -= cost_of(&frame);
	q->payload -= frame.len;
	q->head = next;
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

/* Writes a frame at the tail that takes the place of the one at pos. */
static int
move_aside(struct queue *q, size_t pos, const struct queued *frame)
{
	/* So that a message whose length varies does not move each time. */
	size_t size = stored_size(frame);
	size_t room = (size + size / 2 + 7) & ~(size_t)7;
	struct header *h, *aside;
	int r;

	if ((r = new_record(q, room_of(room), &pos, &aside)) < 0)
		return r;
	aside->len = store((uint8_t *)(aside + 1), frame) | ASIDE;
	aside->route = (uint32_t)room;
	aside->since_ns = frame->since_ns;
	h = header_at(q, pos);
	__atomic_store_n(&h->since_ns, q->tail, __ATOMIC_RELEASE);
	q->tail += room_of(room);
	publish(q);
	__atomic_store_n(&h->len, h->len | MOVED, __ATOMIC_RELEASE);
	return 0;
}

/* A frame of that size can be written over the one that is there. */
static bool
fits(const struct header *h, size_t size)
{
	if (h->len & ASIDE)
		return size <= h->route;
	return room_of(size) == record_room(h);
}

int
queue_put(struct queue *q, uint64_t place, const struct queued *frame)
{
	struct queued old;
	struct header *h;
	size_t pos, cost;
	int r;

	assert(stored_size(frame) <= LENGTH);
	if (!queue_at(q, place, &old))
		return -EINVAL;
	pos = (size_t)(place - q->base);
	h = frame_of(q, header_at(q, pos));
	cost = cost_of(&old);
	if (fits(h, stored_size(frame))) {
		h->len = (h->len & ASIDE) | store((uint8_t *)(h + 1), frame);
		h->since_ns = frame->since_ns;
	} else if ((r = move_aside(q, pos, frame)) < 0)
		return r;
	q->bytes += cost_of(frame) - cost;
	q->payload += frame->len - old.len;
	return 0;
}

/* --- what a process before has left -------------------------------------- */

/* What the record at a position takes up; 0: it is none.  SKIP is not asked for. */
static size_t
check_record(const struct queue *old, size_t pos)
{
	size_t at = pos & (old->size - 1), room;

	if (pos % 8 != 0 || pos >= old->tail ||
	    at + sizeof(struct header) > old->size)
		return 0;
	room = record_room(header_at(old, pos));
	return at + room <= old->size && pos + room <= old->tail ? room : 0;
}

/* The same for the frame that has moved there. */
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

/* The frame at *pos, which moves after it; false: there is none, or no ring. */
static bool
rescue_one(const struct queue *old, size_t *pos, struct queued *ret)
{
	struct header *h;
	size_t room;

	while (*pos < old->tail && *pos % 8 == 0) {
		/* After the last frame there may be no more than its len. */
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
		if (!recall(frame_of(old, h), ret))
			return false;
		*pos = read_frame(old, *pos, ret);
		return true;
	}
	return false;
}

static int
rescue_all(struct queue *q, const struct ends *ends, size_t size)
{
	struct queue old = { .ring = (uint8_t *)(uintptr_t)ends + PAGE,
		.size = size,
		.head = ends->head,
		.tail = ends->tail };
	size_t pos = old.head, total = 0;
	struct queued frame;
	int r = 0;

	if (memcmp(ends->magic, MAGIC, MAGIC_LEN - 1) != 0 ||
	    ends->magic[MAGIC_LEN - 1] < MAGIC_FIRST ||
	    ends->magic[MAGIC_LEN - 1] > MAGIC[MAGIC_LEN - 1] ||
	    ends->size != size ||
	    (old.tail > old.head && old.tail - old.head > size))
		return -EINVAL;
	while (r == 0 && rescue_one(&old, &pos, &frame)) {
		/* Several records of a damaged file may lead to one frame. */
		if ((total += room_of(stored_size(&frame))) > size)
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
