/*
 * queue_memory: the memory of the ring of a queue.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "queue_memory.h"

/* The maximum size of an empty ring that is kept. */
#define RING_KEPT (256 * 1024)
/* The file of a queue with a limit of up to this is created with twice the limit. */
#define WHOLE_MAX ((size_t)64 << 20)

void
ring_publish(struct queue *q)
{
	struct ends *ends;

	if (!ring_is_shared(q) || q->share->giving)
		return;
	ends = q->share->ends;
	__atomic_store_n(&ends->tail, q->tail, __ATOMIC_RELEASE);
	__atomic_store_n(
	    &ends->head, q->withheld ? q->tail : q->head, __ATOMIC_RELEASE);
}

void
queue_withhold(struct queue *q, bool withheld)
{
	q->withheld = withheld;
	ring_publish(q);
}

/* Creates a file with space for a ring, or returns NULL. */
static struct ends *
make_file(size_t size, int *ret_fd)
{
	int fd = memfd_create("ttybridge queue", MFD_CLOEXEC);
	struct ends *ends = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, (off_t)(QUEUE_PAGE + size)) == 0)
		ends = mmap(NULL, QUEUE_PAGE + size, PROT_READ | PROT_WRITE,
		    MAP_SHARED, fd, 0);
	if (ends == MAP_FAILED) {
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	memcpy(ends->magic, QUEUE_MAGIC, QUEUE_MAGIC_LEN);
	ends->size = size;
	*ret_fd = fd;
	return ends;
}

int
ring_new(const struct queue *q, size_t size, struct ring *ret)
{
	*ret = (struct ring){ .fd = -1 };
	if (q->share != NULL && size >= QUEUE_KEPT) {
		/* Unused pages need no memory. */
		while (q->limit <= WHOLE_MAX && size < 2 * q->limit)
			size *= 2;
		ret->ends = make_file(size, &ret->fd);
	}
	ret->size = size;
	ret->ring = ret->ends != NULL ? (uint8_t *)ret->ends + QUEUE_PAGE
				      : malloc(size);
	return ret->ring == NULL ? -ENOMEM : 0;
}

void
ring_free(struct queue *q)
{
	int fd;

	if (ring_is_shared(q)) {
		fd = q->share->kept.fd;
		keep_remove(&q->share->kept);
		munmap(q->share->ends, QUEUE_PAGE + q->size);
		close(fd);
		q->share->ends = NULL;
	} else
		free(q->ring);
	q->ring = NULL;
}

void
ring_change(struct queue *q, const struct ring *ring, size_t tail)
{
	int old = ring_is_shared(q) ? q->share->kept.fd : -1;

	if (old >= 0)
		munmap(q->share->ends, QUEUE_PAGE + q->size);
	else
		free(q->ring);
	q->ring = ring->ring;
	q->size = ring->size;
	q->base += q->tail;
	q->head = 0;
	q->tail = tail;
	q->rebuilt++;
	if (q->share != NULL) {
		q->share->ends = ring->ends;
		ring_publish(q);
	}
	if (ring->ends != NULL)
		keep_add(&q->share->kept, ring->fd, q->share->name);
	else if (old >= 0)
		keep_remove(&q->share->kept);
	if (old >= 0)
		close(old);
}

void
ring_reset(struct queue *q)
{
	bool large =
	    ring_is_shared(q) ? q->tail > RING_KEPT : q->size > RING_KEPT;

	q->base += q->tail;
	q->head = q->tail = 0;
	ring_publish(q);
	if (!large)
		return;
	if (ring_is_shared(q)) {
		madvise(q->ring, q->size, MADV_REMOVE);
		return;
	}
	ring_free(q);
	q->size = 0;
}

void
ring_give(struct queue *q, size_t head)
{
	__atomic_store_n(&q->share->ends->head, head, __ATOMIC_RELEASE);
	q->share->giving = true;
}

void
queue_given(struct queue *q)
{
	if (q->share != NULL)
		q->share->giving = false;
	ring_publish(q);
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
	if (ring_is_shared(q))
		keep_add(&q->share->kept, q->share->kept.fd, name);
}
