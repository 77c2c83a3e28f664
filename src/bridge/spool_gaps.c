/*
 * spool_gaps: numbers of finished frames among those that still wait.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "spool_gaps.h"
#include "util.h"

static int
reserve(struct spool_gaps *g)
{
	unsigned size = MAX(2 * g->size, 8u);
	struct spool_gap *gap;

	if (g->n < g->size)
		return 0;
	if ((gap = realloc(g->gap, size * sizeof(*gap))) == NULL)
		return -ENOMEM;
	g->gap = gap;
	g->size = size;
	return 0;
}

/* Removes the gap at that index. */
static void
close_up(struct spool_gaps *g, unsigned i)
{
	g->n--;
	memmove(g->gap + i, g->gap + i + 1, (g->n - i) * sizeof(*g->gap));
}

/* Joins the gap at that index with the next one if they are adjacent. */
static void
join(struct spool_gaps *g, unsigned i)
{
	struct spool_gap *gap = &g->gap[i];

	if (i + 1 >= g->n || gap->first + gap->n != gap[1].first)
		return;
	gap->n += gap[1].n;
	close_up(g, i + 1);
}

void
spool_gaps_add(struct spool_gaps *g, uint64_t first, uint64_t n)
{
	unsigned i = g->n;

	if (n == 0)
		return;
	g->total += n;
	while (i > 0 && g->gap[i - 1].first > first)
		i--;
	if (i > 0 && g->gap[i - 1].first + g->gap[i - 1].n == first) {
		g->gap[i - 1].n += n;
		join(g, i - 1);
		return;
	}
	if (reserve(g) < 0)
		return;
	memmove(g->gap + i + 1, g->gap + i, (g->n - i) * sizeof(*g->gap));
	g->gap[i] = (struct spool_gap){ first, n };
	g->n++;
	join(g, i);
}

uint64_t
spool_gaps_pass(struct spool_gaps *g, uint64_t number)
{
	while (g->n > 0 && g->gap[0].first <= number) {
		number += g->gap[0].n;
		g->total -= g->gap[0].n;
		close_up(g, 0);
	}
	return number;
}

uint64_t
spool_gaps_skip(const struct spool_gaps *g, uint64_t number, uint64_t nth)
{
	number += nth;
	for (unsigned i = 0; i < g->n && g->gap[i].first <= number; i++)
		number += g->gap[i].n;
	return number;
}

uint64_t
spool_gaps_before(const struct spool_gaps *g, uint64_t number)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < g->n && g->gap[i].first < number; i++)
		sum += MIN(g->gap[i].n, number - g->gap[i].first);
	return sum;
}

void
spool_gaps_shift(struct spool_gaps *g, uint64_t n)
{
	for (unsigned i = 0; i < g->n; i++)
		g->gap[i].first -= n;
}

void
spool_gaps_clear(struct spool_gaps *g)
{
	free(g->gap);
	*g = (struct spool_gaps){ .gap = NULL };
}
