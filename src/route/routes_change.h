/*
 * routes_change: one table of routes takes the place of another one.
 *
 * All that can fail, and what depends on the size of the tables, is done before; the
 * change itself is short.  A route that stays the same keeps its number, so that frames
 * that wait need not be told.  The number of one that goes is vacant from then on, and
 * must not be carried by any frame when the next change is made.
 */
#ifndef ROUTES_CHANGE_H
#define ROUTES_CHANGE_H

#include "route.h"

struct routes_change {
	struct routes *to, *from;
	/* For each route of the new table: that of the same name, or NULL. */
	struct route **before;
	/* For a reader that has passed so many routes of the old table: how many of the
	 * new one that are. */
	unsigned *passed;
	/* By number: the number that a frame carries afterwards; ROUTE_NONE where the
	 * route has gone. */
	unsigned *number;
	bool vacated; /* some have */
};

/*
 * Notes for each route with a rate which endpoints it may count for, so that a change
 * need not look at all of them.  -ENOMEM.
 */
int routes_find_rated(struct routes *routes);
/* Gives the routes of the new table their numbers.  -ENOMEM: nothing was changed. */
int routes_change_new(
    struct routes *to, struct routes *from, struct routes_change **ret);
/*
 * Counters go to the route with the same name and text, and what `rate` has let pass so
 * far to the one with the same name.  was[]: the number that each endpoint of the new
 * table had in the old one, or ROUTE_NONE.
 */
void routes_change_use(
    struct routes_change *change, const unsigned *was, uint64_t now);
/* Gives each route its place in the file as its number, which number[] says for each
 * old one.  False: nothing had to be changed. */
bool routes_renumber(struct routes *routes, unsigned *number);
/* NULL is fine. */
void routes_change_free(struct routes_change *change);

#endif
