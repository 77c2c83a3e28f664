/*
 * queue: a ring buffer of frames.
 *
 * See queue_record.h for the format of the ring, and queue_memory.h for its memory.  The
 * space of frames that were moved aside is recovered when the ring is full and all frames
 * are copied to another one (grow).
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "queue_memory.h"

#define RING_MIN 1024

void
queue_init(struct queue *q, size_t limit)
{
	memset(q, 0, sizeof(*q));
	q->limit = limit;
}

void
queue_free(struct queue *q)
{
	ring_free(q);
	free(q->share);
	queue_init(q, q->limit);
}

/* The offset in the ring for a record of need bytes, -1 when the ring is too small. */
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

/* Advances to the record of the next frame; false when there is none. */
static bool
skip_fillers(const struct queue *q, size_t *pos)
{
	while (*pos != q->tail) {
		const struct header *h = header_at(q, *pos);

		if (h->len == SKIP)
			*pos += q->size - (*pos & (q->size - 1));
		else if (h->len & ASIDE)
			*pos += record_space(h);
		else
			return true;
	}
	return false;
}

/* The space that the queued frames need, each in one record. */
static size_t
live_size(const struct queue *q)
{
	size_t total = 0;

	for (size_t pos = q->head; skip_fillers(q, &pos);) {
		struct header *h = header_at(q, pos);

		pos += record_space(h);
		total += space_for(frame_of(q, h)->len & LENGTH);
	}
	return total;
}

/* The size of a ring with room for need bytes more. */
static size_t
ring_size(const struct queue *q, size_t need)
{
	size_t size = MAX(q->size, (size_t)RING_MIN / 2);
	size_t used = live_size(q) + need;

	/* The same size is enough once the space of moved frames is recovered. */
	if (size == q->size && used <= size / 2)
		return size;
	do
		size *= 2;
	while (size < used);
	return size;
}

/*
 * Copies all frames to another ring, and sets *mark to the new position of the frame at
 * *mark. Returns the tail of the ring.
 */
static size_t
copy_frames(const struct queue *q, uint8_t *ring, size_t *mark)
{
	size_t tail = 0, moved = *mark;

	for (size_t pos = q->head; skip_fillers(q, &pos);) {
		struct header *h = header_at(q, pos), *from = frame_of(q, h);
		struct header *to = (struct header *)(void *)(ring + tail);

		to->len = from->len & (LENGTH | SPELLED | ORIGIN);
		to->route = h->route;
		to->since_ns = from->since_ns;
		memcpy(to + 1, from + 1, to->len & LENGTH);
		if (pos == *mark)
			moved = tail;
		pos += record_space(h);
		tail += record_space(to);
	}
	*mark = moved;
	return tail;
}

/* Replaces the ring with one that has room for need bytes more. */
static int
grow(struct queue *q, size_t need, size_t *mark)
{
	struct ring ring;
	int r = ring_new(q, ring_size(q, need), &ring);

	if (r == 0)
		ring_change(q, &ring, copy_frames(q, ring.ring, mark));
	return r;
}

/*
 * Reserves a record of need bytes at the tail, which is not part of the queue yet.  If
 * the frames are copied to another ring, the position *mark is adjusted.
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
	size_t size = record_size(frame), need = space_for(size);
	size_t none = SIZE_MAX;
	struct header *h;
	int r;

	assert(size <= LENGTH);
	if ((r = new_record(q, need, &none, &h)) < 0)
		return r;
	h->len = record_store((uint8_t *)(h + 1), frame);
	h->route = frame->route;
	h->since_ns = frame->since_ns;
	q->last = q->tail;
	q->tail += need;
	ring_publish(q);
	q->bytes += record_cost(frame);
	q->payload += frame->len;
	q->frames++;
	return 0;
}

/* Reads the frame at a position; returns the position after its record. */
static size_t
read_frame(const struct queue *q, size_t at, struct queued *ret)
{
	struct header *h = header_at(q, at), *frame = frame_of(q, h);

	record_read(frame, ret);
	ret->since_ns = frame->since_ns;
	ret->route = h->route;
	ret->place = q->base + at;
	return at + record_space(h);
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
	if (place < q->base + q->head || place >= q->base + q->tail ||
	    header_at(q, (size_t)(place - q->base))->len & ASIDE)
		return false;
	read_frame(q, (size_t)(place - q->base), ret);
	return true;
}

void
queue_renumber(struct queue *q, const unsigned *number, unsigned n)
{
	struct header *h;

	for (size_t at = q->head; skip_fillers(q, &at); at += record_space(h)) {
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
	q->bytes -= record_cost(&frame);
	q->payload -= frame.len;
	q->head = next;
	ring_publish(q);
	if (--q->frames == 0)
		ring_reset(q);
}

void
queue_remove(struct queue *q, uint64_t place)
{
	size_t pos = (size_t)(place - q->base);
	struct queued frame;
	struct header *h;

	skip_fillers(q, &q->head);
	if (pos == q->head) {
		queue_pop(q);
		return;
	}
	read_frame(q, pos, &frame);
	q->bytes -= record_cost(&frame);
	q->payload -= frame.len;
	q->frames--;
	h = header_at(q, pos);
	h->route = (uint32_t)(record_space(h) - sizeof(*h));
	__atomic_store_n(&h->len, ASIDE, __ATOMIC_RELEASE);
}

void
queue_give(struct queue *q, size_t frames)
{
	struct queued frame;
	size_t pos = 0;

	if (!ring_is_shared(q))
		return;
	while (frames > 0 && queue_next(q, &pos, &frame))
		frames--;
	ring_give(q, q->head + pos);
}

/* Writes a frame at the tail that replaces the one at pos. */
static int
move_aside(struct queue *q, size_t pos, const struct queued *frame)
{
	/* Reserve space, so that a message whose length varies is not moved each time. */
	size_t size = record_size(frame);
	size_t room = (size + size / 2 + 7) & ~(size_t)7;
	struct header *h, *aside;
	int r;

	if ((r = new_record(q, space_for(room), &pos, &aside)) < 0)
		return r;
	aside->len = record_store((uint8_t *)(aside + 1), frame) | ASIDE;
	aside->route = (uint32_t)room;
	aside->since_ns = frame->since_ns;
	h = header_at(q, pos);
	__atomic_store_n(&h->since_ns, q->tail, __ATOMIC_RELEASE);
	q->tail += space_for(room);
	ring_publish(q);
	__atomic_store_n(&h->len, h->len | MOVED, __ATOMIC_RELEASE);
	return 0;
}

/* Whether a frame of that size can overwrite the existing one. */
static bool
fits(const struct header *h, size_t size)
{
	if (h->len & ASIDE)
		return size <= h->route;
	return space_for(size) == record_space(h);
}

int
queue_put(struct queue *q, uint64_t place, const struct queued *frame)
{
	struct queued old;
	struct header *h;
	size_t pos, cost;
	int r;

	assert(record_size(frame) <= LENGTH);
	if (!queue_at(q, place, &old))
		return -EINVAL;
	pos = (size_t)(place - q->base);
	h = frame_of(q, header_at(q, pos));
	cost = record_cost(&old);
	if (fits(h, record_size(frame))) {
		h->len =
		    (h->len & ASIDE) | record_store((uint8_t *)(h + 1), frame);
		h->since_ns = frame->since_ns;
	} else if ((r = move_aside(q, pos, frame)) < 0)
		return r;
	q->bytes += record_cost(frame) - cost;
	q->payload += frame->len - old.len;
	return 0;
}
