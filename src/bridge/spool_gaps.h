/*
 * spool_gaps: numbers of finished frames among those that still wait.
 *
 * The ledger of a spool has one number, before which all frames are finished: delivered, or
 * dropped.  A frame that is finished before an earlier one must not advance it: its number is a
 * gap until the frames before it are finished, too.
 */
#ifndef SPOOL_GAPS_H
#define SPOOL_GAPS_H

#include <stdint.h>

struct spool_gap {
	uint64_t first, n;
};

struct spool_gaps {
	struct spool_gap *gap; /* in order, and not adjacent */
	unsigned n, size;
	/* The sum of all; more if there was no memory, so that the ledger is behind. */
	uint64_t total;
};

/* Adds n numbers, none of which may be in a gap already. */
void spool_gaps_add(struct spool_gaps *g, uint64_t first, uint64_t n);
/*
 * number: that of the oldest waiting frame less the sum of all gaps.  Removes the gaps that begin
 * at or before it, adding their lengths, and returns the sum: no gap before it is left.
 */
uint64_t spool_gaps_pass(struct spool_gaps *g, uint64_t number);
/* The number of the nth (from 0) frame that is in no gap, counted from that number on. */
uint64_t spool_gaps_skip(
    const struct spool_gaps *g, uint64_t number, uint64_t nth);
/* How many numbers before that one are in gaps. */
uint64_t spool_gaps_before(const struct spool_gaps *g, uint64_t number);
/* All numbers become lower by n. */
void spool_gaps_shift(struct spool_gaps *g, uint64_t n);
/* Forgets all, and frees the memory. */
void spool_gaps_clear(struct spool_gaps *g);

#endif
