/*
 * queue_record: what lies in the ring of a queue, in memory and in a file.
 *
 * Records are 8-byte aligned and never wrap: when one does not fit before the end of the
 * ring, a header that says SKIP fills it up, and the record starts at the beginning.
 * Positions only grow; modulo the size they are places.
 *
 * A record is a header and a frame.  A frame that replaces another one and does not fit
 * in its place is written at the end, in an ASIDE record with space for it to grow, and
 * the record in the old place is marked MOVED: it still says when it is the frame's turn,
 * its since_ns is the position of the ASIDE record, and a walk passes over that.
 */
#ifndef QUEUE_RECORD_H
#define QUEUE_RECORD_H

#include "queue.h"

/* The last digit: the version of the format.  The first one had no MOVED records, and
 * the second one no SPELLED frames. */
#define QUEUE_MAGIC "ttybri03"
#define QUEUE_MAGIC_FIRST '1'
#define QUEUE_MAGIC_LEN 8

#define SKIP UINT32_MAX
#define MOVED 0x80000000u
#define ASIDE 0x40000000u
#define SPELLED 0x20000000u
#define LENGTH (SPELLED - 1)

struct header {
	uint32_t len;	   /* of what is after it, with flags, or SKIP */
	uint32_t route;	   /* ASIDE: how long what is after it may become */
	uint64_t since_ns; /* MOVED: the position of the frame */
};

/* What a record takes up in the ring, with len bytes after its header. */
static inline size_t
space_for(size_t len)
{
	return sizeof(struct header) + ((len + 7) & ~(size_t)7);
}

static inline struct header *
header_at(const struct queue *q, size_t pos)
{
	return (struct header *)(void *)(q->ring + (pos & (q->size - 1)));
}

/* What this record takes up in the ring; it is not a SKIP. */
static inline size_t
record_space(const struct header *h)
{
	return space_for(h->len & ASIDE ? h->route : h->len & LENGTH);
}

/* The record in which the frame is: this one, or the one it has moved to. */
static inline struct header *
frame_of(const struct queue *q, struct header *h)
{
	return h->len & MOVED ? header_at(q, (size_t)h->since_ns) : h;
}

/* What a frame takes up after the header. */
size_t record_size(const struct queued *f);
/* What it is charged against the limit of its queue. */
size_t record_cost(const struct queued *f);
/* Writes the frame to where the header ends; returns the header's len. */
uint32_t record_store(uint8_t *to, const struct queued *f);
/* Reads payload and spelling; false when they cannot have been written so. */
bool record_read(const struct header *h, struct queued *f);

#endif
