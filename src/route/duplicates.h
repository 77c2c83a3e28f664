/*
 * duplicates: frames that were forwarded a short time ago, to recognize copies of them that
 * come from another source: the other way round a loop, or by a redundant link.
 *
 * A frame with equal content from the same source is not a copy: a device may repeat what
 * it says.  So the content belongs to the source from which it came first, until the
 * source has not sent it for the time.
 *
 * The table has a fixed number of entries, each with a keyed 64-bit hash (SipHash-2-4) of
 * the content in its place, so that a sender cannot choose frames that are taken for
 * others.  While all entries that a frame may use are needed, the oldest one is forgotten,
 * which is counted: its copies are then forwarded.
 */
#ifndef DUPLICATES_H
#define DUPLICATES_H

#include "util.h"

struct duplicates {
	uint64_t key[2];
	uint64_t found;	    /* copies */
	uint64_t forgotten; /* entries that were still needed */
	struct seen *seen;
};

/* NULL: out of memory. */
struct duplicates *duplicates_new(void);
/* d may be NULL. */
void duplicates_free(struct duplicates *d);
/*
 * Whether the frame, heard at time now, is a copy: equal content came from another source
 * within that time.  Copies are counted, other frames are entered.  source: any pointer
 * that identifies the source.
 */
bool duplicates_check(struct duplicates *d, const void *source,
    const uint8_t *payload, size_t len, uint64_t within, uint64_t now);

#endif
