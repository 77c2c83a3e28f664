/*
 * queue: frames accepted for one destination and not yet written to it.
 *
 * The queue is a ring buffer in which each frame is contiguous after a small header.  The
 * ring is allocated for the first frame and grows as needed, so that a queue that is
 * never used needs no memory; a large one is freed when the last frame is removed.  The
 * limit counts payload bytes, but at least QUEUE_FLOOR for each frame, so that the number
 * of empty frames is bounded too, and the frame as received where that is longer than its
 * payload by more than QUEUE_FLOOR.
 *
 * If there is an fd store (fdstore.h), the ring of a queue that has a name is in a memory
 * file once it has reached a certain size, and so outlives the process even if that is
 * killed.  At most the contents of a smaller ring are lost then.
 */
#ifndef QUEUE_H
#define QUEUE_H

#include "origins.h"

/* Rings of at least this size are kept. */
#define QUEUE_KEPT (4 * 1024)

struct share;

struct queued {
	const uint8_t *payload; /* valid until the queue is changed */
	size_t len;
	uint64_t since_ns; /* when the frame was received */
	unsigned route;	   /* the caller's number for the route */
	uint64_t place;	   /* for queue_at and queue_replace */
	/*
	 * The frame as received, in the framing with the id spelled: it can be written
	 * unchanged as long as the framing is the same; NULL: it has to be encoded.
	 */
	const uint8_t *wire;
	size_t wire_len;
	uint32_t spelled;
	/* Its identity, with the topic: so many bytes; NULL: it has none. */
	const struct origin *origin;
	size_t origin_len;
};

struct queue {
	size_t frames;
	size_t bytes; /* charged against limit */
	size_t limit;
	size_t payload; /* payload bytes queued */
	uint8_t *ring;
	size_t size;	   /* of ring, a power of two */
	size_t head, tail; /* byte positions, not wrapped */
	size_t last;	   /* the position of the newest frame */
	uint64_t base;	   /* place that corresponds to position 0 */
	unsigned rebuilt;  /* how often all places have become invalid */
	bool withheld; /* its file is shown as empty, see queue_withhold() */
	struct share *share; /* file with the ring, NULL: not kept */
};

void queue_init(struct queue *q, size_t limit);
void queue_free(struct queue *q);
/*
 * Keeps the queue for the next process under that name; replaces an earlier name.  Has no
 * effect without an fd store, or without memory.
 */
void queue_keep(struct queue *q, const char *name);
/*
 * Whether the frames are withheld from the next process if this one is killed: they are
 * elsewhere, too, and must not be sent twice.
 */
void queue_withhold(struct queue *q, bool withheld);
/*
 * Appends the frames that a previous process left in such a file.  -EINVAL: the file is
 * not a ring; -ENOMEM.
 */
int queue_rescue(struct queue *q, int fd);
/* Empties such a file, so that its frames are not restored again. */
void queue_forget(int fd);
/* The charge for one frame of len bytes. */
size_t queue_cost(size_t len);
static inline bool
queue_empty(const struct queue *q)
{
	return q->frames == 0;
}
/* Whether it is at or over its limit. */
static inline bool
queue_full(const struct queue *q)
{
	return q->bytes >= q->limit;
}
/* Bytes that may still be added; 0 when full. */
static inline size_t
queue_room(const struct queue *q)
{
	return q->bytes >= q->limit ? 0 : q->limit - q->bytes;
}
/*
 * Appends a copy of the frame regardless of the limit, which the caller enforces.
 * -ENOMEM: nothing changed.
 */
int queue_add(struct queue *q, const struct queued *frame);
/* The same for a frame that is not kept as received. */
static inline int
queue_push(struct queue *q, const uint8_t *payload, size_t len,
    uint64_t since_ns, unsigned route)
{
	const struct queued frame = { .payload = payload,
		.len = len,
		.since_ns = since_ns,
		.route = route };

	return queue_add(q, &frame);
}
/* The oldest frame, false when there is none. */
bool queue_head(const struct queue *q, struct queued *ret);
/* The frame after a position; start with *pos = 0 for the oldest. */
bool queue_next(const struct queue *q, size_t *pos, struct queued *ret);
/*
 * The frame in a place, false when it was removed.  A frame keeps its place, and the
 * place is not used for another frame, until rebuilt changes.
 */
bool queue_at(const struct queue *q, uint64_t place, struct queued *ret);
/* The place of the frame that was added last. */
static inline uint64_t
queue_last(const struct queue *q)
{
	return q->base + q->last;
}
/* Removes the oldest frame. */
void queue_pop(struct queue *q);
/* Removes the frame in a place, which must be queued. */
void queue_remove(struct queue *q, uint64_t place);
/*
 * To be called before and after the oldest frames are written, which are removed
 * afterwards: if the process is killed in between, the frames are lost rather than sent
 * twice.
 */
void queue_give(struct queue *q, size_t frames);
void queue_given(struct queue *q);
/* Every route m becomes number[m], or UINT32_MAX if m is not below n. */
void queue_renumber(struct queue *q, const unsigned *number, unsigned n);
/*
 * Replaces the frame in a place with a copy of this one; its route and its position in
 * the queue stay the same.  -EINVAL: the frame was removed; -ENOMEM: nothing changed.
 */
int queue_put(struct queue *q, uint64_t place, const struct queued *frame);
/* The same for a frame that is not kept as received. */
static inline int
queue_replace(struct queue *q, uint64_t place, const uint8_t *payload,
    size_t len, uint64_t since_ns)
{
	const struct queued frame = {
		.payload = payload, .len = len, .since_ns = since_ns
	};

	return queue_put(q, place, &frame);
}

#endif
