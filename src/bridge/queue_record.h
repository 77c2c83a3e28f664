/*
 * queue_record: the format of the ring of a queue, in memory and in a file.
 *
 * Records are 8-byte aligned and never wrap: when one does not fit before the end of the
 * ring, the space up to the end is marked with a SKIP header, and the record starts at
 * the beginning. Positions only grow; the offset in the ring is the position modulo the
 * size.
 *
 * A record is a header and a frame.  A frame that replaces another one and does not fit
 * in its record is written at the tail, in an ASIDE record with space for it to grow, and
 * the old record is marked MOVED: it still determines the position in the queue, its
 * since_ns is the position of the ASIDE record, and ASIDE records are skipped when the
 * queue is traversed.  A frame that is removed from the middle becomes an ASIDE record.
 */
#ifndef QUEUE_RECORD_H
#define QUEUE_RECORD_H

#include "queue.h"

/*
 * The last digit is the version of the format.  Version 1 had no MOVED records, version 2
 * no SPELLED frames, and version 3 no ORIGINS.
 */
#define QUEUE_MAGIC "ttybri04"
#define QUEUE_MAGIC_FIRST '1'
#define QUEUE_MAGIC_LEN 8

#define SKIP UINT32_MAX
#define MOVED 0x80000000u
#define ASIDE 0x40000000u
#define SPELLED 0x20000000u
#define ORIGIN 0x10000000u
#define LENGTH (ORIGIN - 1)

struct header {
	uint32_t len;	   /* length of what follows, with flags, or SKIP */
	uint32_t route;	   /* ASIDE: the space that follows */
	uint64_t since_ns; /* MOVED: the position of the frame */
};

/* The space of a record in the ring with len bytes after its header. */
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

/* The space of this record in the ring; it must not be a SKIP. */
static inline size_t
record_space(const struct header *h)
{
	return space_for(h->len & ASIDE ? h->route : h->len & LENGTH);
}

/* The record that contains the frame: this one, or the one it was moved to. */
static inline struct header *
frame_of(const struct queue *q, struct header *h)
{
	return h->len & MOVED ? header_at(q, (size_t)h->since_ns) : h;
}

/* The size of a frame after the header. */
size_t record_size(const struct queued *f);
/* The charge for a frame against the limit of its queue. */
size_t record_cost(const struct queued *f);
/* Writes the frame to the bytes after the header; returns the len of the header. */
uint32_t record_store(uint8_t *to, const struct queued *f);
/* Reads payload and spelling; false if they are invalid. */
bool record_read(const struct header *h, struct queued *f);

#endif
