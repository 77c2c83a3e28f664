/*
 * block: a part of a draft, which can be left out as a whole.
 */
#ifndef BLOCK_H
#define BLOCK_H

#include <stdio.h>

#include "util.h"

struct block {
	int line; /* of the source */
	FILE *f;  /* writes to text */
	char *text;
	size_t len;
	bool off;
	char *why;     /* it was just turned off */
	bool sections; /* it has one */
	/* A section in common with others: the first one that is not off has it. */
	struct block *shared;
	bool owns; /* it has been the first */
	bool written;
	int end; /* its last line in the result */
};

/* NULL when out of memory. */
struct block *block_new(int line);
void block_free(struct block *b);
/* Writes its text, which has been flushed; returns the number of lines. */
int block_write(struct block *b, FILE *f);

#endif
