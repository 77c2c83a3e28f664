/*
 * queue: a ring of frames, each whole behind its header.
 *
 * Frames are laid down 8-byte aligned and never wrap: when a frame does not fit
 * before the end of the ring, a header that says SKIP fills it up, and the frame
 * starts at the beginning.  Positions only grow; modulo the size they are places.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "queue.h"

#define SKIP UINT32_MAX
#define RING_MIN 1024
/* An empty ring up to this size is kept. */
#define RING_KEPT (256 * 1024)

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

void
queue_free(struct queue *q)
{
	free(q->ring);
	queue_init(q, q->limit);
}

size_t
queue_cost(size_t len)
{
	return MAX(len, (size_t)QUEUE_FLOOR);
}

bool
queue_empty(const struct queue *q)
{
	return q->frames == 0;
}

bool
queue_full(const struct queue *q)
{
	return q->bytes >= q->limit;
}

size_t
queue_room(const struct queue *q)
{
	return q->bytes >= q->limit ? 0 : q->limit - q->bytes;
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
	uint8_t *ring;

	do
		size *= 2;
	while (size < (q->tail - q->head) + need);
	if ((ring = malloc(size)) == NULL)
		return -ENOMEM;
	for (pos = q->head; skip_fillers(q, &pos);) {
		const struct header *h = header_at(q, pos);
		size_t n = room_of(h->len);

		memcpy(ring + tail, h, n);
		tail += n;
		pos += n;
	}
	free(q->ring);
	q->ring = ring;
	q->size = size;
	q->head = 0;
	q->tail = tail;
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
	if (--q->frames > 0)
		return;
	q->head = q->tail = 0;
	if (q->size > RING_KEPT)
		queue_free(q);
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
	free(q->ring);
	*q = copy;
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
