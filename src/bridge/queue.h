/*
 * queue: frames accepted for one destination and not yet written to it.
 *
 * A ring of bytes in which each frame lies whole after a small header.  It is made when
 * the first frame waits and grows as they do, so a queue that is never used costs
 * nothing; a large one is freed when the last frame is gone.  The limit counts payload
 * bytes, but at least QUEUE_FLOOR for each frame, so that empty frames are bounded too,
 * and the frame as it came where that is longer than its payload by more than
 * QUEUE_FLOOR.
 *
 * Where descriptors outlive the process (fdstore.h), the ring of a queue that has a name
 * lies in a file in memory once it has reached a certain size, and so outlives the
 * process even when that is killed.  What is lost then is at most what fits in a smaller
 * ring.
 */
#ifndef QUEUE_H
#define QUEUE_H

#include "util.h"

#define QUEUE_FLOOR 16
/* Rings of this size and larger are kept. */
#define QUEUE_KEPT (4 * 1024)

struct share;

struct queued {
	const uint8_t *payload; /* valid until the queue is changed */
	size_t len;
	uint64_t since_ns; /* when the frame had come in */
	unsigned route;	   /* the caller's mark */
	uint64_t place;	   /* for queue_at and queue_replace */
	/* The frame as it came, in the framing with the number spelled: the
	 * bytes to write as long as that is the framing; NULL: it is encoded. */
	const uint8_t *wire;
	size_t wire_len;
	uint32_t spelled;
};

struct queue {
	size_t frames;
	size_t bytes; /* charged against limit */
	size_t limit;
	size_t payload; /* bytes that really wait */
	uint8_t *ring;
	size_t size;	     /* of ring, a power of two */
	size_t head, tail;   /* byte positions, not wrapped */
	size_t last;	     /* the position of the newest frame */
	uint64_t base;	     /* place of position 0 */
	unsigned rebuilt;    /* how often all places have changed */
	struct share *share; /* the file that it lies in, NULL: not kept */
};

void queue_init(struct queue *q, size_t limit);
void queue_free(struct queue *q);
/* Keeps it for the next process, under that name (again, under another one).  Of no
 * effect where nothing is kept, or without memory. */
void queue_keep(struct queue *q, const char *name);
/* Puts what a process before had in such a file after what is in the queue.  -EINVAL:
 * that is no ring; -ENOMEM. */
int queue_rescue(struct queue *q, int fd);
/* Empties such a file: nobody else will take it for what waits. */
void queue_forget(int fd);
/* What one frame of len bytes is charged. */
size_t queue_cost(size_t len);
static inline bool
queue_empty(const struct queue *q)
{
	return q->frames == 0;
}
/* At or over its limit. */
static inline bool
queue_full(const struct queue *q)
{
	return q->bytes >= q->limit;
}
/* Bytes that may still come in; 0 when full. */
static inline size_t
queue_room(const struct queue *q)
{
	return q->bytes >= q->limit ? 0 : q->limit - q->bytes;
}
/*
 * Puts a copy of the frame after the others, whatever the limit says: to keep
 * to it is the caller's policy.  -ENOMEM: nothing changed.
 */
int queue_add(struct queue *q, const struct queued *frame);
/* The same for a frame without a spelling of its own. */
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
 * The frame in a place, false when it has been taken off.  A frame keeps its place, and no
 * other one ever gets it, until rebuilt changes.
 */
bool queue_at(const struct queue *q, uint64_t place, struct queued *ret);
/* The place of the frame that was pushed last. */
static inline uint64_t
queue_last(const struct queue *q)
{
	return q->base + q->last;
}
/* Takes the oldest frame off. */
void queue_pop(struct queue *q);
/*
 * Around the writing of the oldest frames, which are taken off afterwards: if the
 * process is killed meanwhile they are lost, and do not come twice.
 */
void queue_give(struct queue *q, size_t frames);
void queue_given(struct queue *q);
/* Every mark m becomes number[m], and UINT32_MAX where m is not below n. */
void queue_renumber(struct queue *q, const unsigned *number, unsigned n);
/*
 * Puts a copy of the frame in the place of the one that is there; its mark and its turn
 * stay.  -EINVAL: it has been taken off; -ENOMEM: nothing changed.
 */
int queue_put(struct queue *q, uint64_t place, const struct queued *frame);
/* The same for a frame without a spelling of its own. */
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
