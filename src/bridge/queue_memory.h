/*
 * queue_memory: the memory of the ring of a queue: private to the process, or in a file
 * that outlives it (fdstore.h).
 *
 * In a file the ring follows a page with the positions of its head and tail.  Each of
 * them is updated with one store, after the data that it refers to: whenever the process
 * is killed, the frames between them are complete.  A tail before the head means an empty
 * queue.
 */
#ifndef QUEUE_MEMORY_H
#define QUEUE_MEMORY_H

#include "fdstore.h"
#include "queue_record.h"

#define QUEUE_PAGE 4096

/* The first page of a file. */
struct ends {
	char magic[QUEUE_MAGIC_LEN];
	uint64_t size, head, tail;
};

struct share {
	struct kept kept;
	char name[KEEP_NAME_MAX];
	struct ends *ends; /* NULL: the ring is not in a file */
	bool giving;	   /* between ring_give() and queue_given() */
};

/* Memory for a ring. */
struct ring {
	uint8_t *ring;
	size_t size;
	struct ends *ends; /* the first page of its file, NULL: not in a file */
	int fd;
};

static inline bool
ring_is_shared(const struct queue *q)
{
	return q->share != NULL && q->share->ends != NULL;
}

/* Allocates another ring of the queue, of at least that size.  -ENOMEM. */
int ring_new(const struct queue *q, size_t size, struct ring *ret);
/* Replaces the ring of the queue with one that contains the same frames up to tail. */
void ring_change(struct queue *q, const struct ring *ring, size_t tail);
/* Resets an empty ring to its beginning; the memory of a large ring is freed. */
void ring_reset(struct queue *q);
void ring_free(struct queue *q);
/* Updates the positions of head and tail in the file. */
void ring_publish(struct queue *q);
/*
 * Removes the frames before that position from the file, see queue_give(); nothing else
 * is published until queue_given().
 */
void ring_give(struct queue *q, size_t head);

#endif
