/*
 * spool_gaps: numbers of frames that are done with, among those that still wait.
 *
 * The ledger of a spool has one number, before which everything is delivered.  A frame that is
 * done with before an earlier one must not advance it: its number is a gap, until the frames
 * before it are done with, too.
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

/* No number of the new gap is in another one. */
void spool_gaps_add(struct spool_gaps *g, uint64_t first, uint64_t n);
/*
 * Forgets the gaps that begin at or before a number from which they are subtracted, and returns
 * the number with them added.
 */
uint64_t spool_gaps_pass(struct spool_gaps *g, uint64_t number);
/* The number of the nth frame from that number on, which is in no gap; 0 is the first. */
uint64_t spool_gaps_skip(
    const struct spool_gaps *g, uint64_t number, uint64_t nth);
/* How many numbers before that one are in gaps. */
uint64_t spool_gaps_before(const struct spool_gaps *g, uint64_t number);
/* All numbers become lower by n. */
void spool_gaps_shift(struct spool_gaps *g, uint64_t n);
/* Forgets all, and frees the memory. */
void spool_gaps_clear(struct spool_gaps *g);

#endif
