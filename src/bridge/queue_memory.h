/*
 * queue_memory: where the ring of a queue lies: in memory of the process, or in a file
 * that outlives it (fdstore.h).
 *
 * In a file the ring stands after a page that says where it begins and ends.  Each is
 * changed by one store, after all that it stands for: whenever the process ends, the
 * frames between them are whole.  An end before the beginning: it was being emptied.
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
	struct ends *ends; /* NULL: the ring is too small for a file */
	bool giving;	   /* between ring_give() and queue_given() */
};

/* Memory for a ring. */
struct ring {
	uint8_t *ring;
	size_t size;
	struct ends *ends; /* of its file, NULL: it is in none */
	int fd;
};

static inline bool
ring_is_shared(const struct queue *q)
{
	return q->share != NULL && q->share->ends != NULL;
}

/* Memory for another ring of the queue, of at least that size.  -ENOMEM. */
int ring_new(const struct queue *q, size_t size, struct ring *ret);
/* Takes the place of the queue's ring, of which the same frames lie there up to tail. */
void ring_change(struct queue *q, const struct ring *ring, size_t tail);
/* Empty again, and at its beginning; the memory of a large ring is given back. */
void ring_reset(struct queue *q);
void ring_free(struct queue *q);
/* Writes to the file where the ring begins and ends. */
void ring_publish(struct queue *q);
/* The frames before that position belong to the file no more, see queue_give(); nothing
 * else is published until queue_given(). */
void ring_give(struct queue *q, size_t head);

#endif
