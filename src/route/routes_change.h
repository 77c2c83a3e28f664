/*
 * routes_change: replaces a table of routes with another one.
 *
 * All steps that can fail, or depend on the size of the tables, are done in advance; the
 * change itself is short.  An unchanged route keeps its number, so that queued frames
 * need not be changed.  The number of a removed route is vacant from then on, and must
 * not be used by any frame when the next change is made.
 */
#ifndef ROUTES_CHANGE_H
#define ROUTES_CHANGE_H

#include "route.h"

struct routes_change {
	struct routes *to, *from;
	/* For each route of the new table: the old one of the same name, or NULL. */
	struct route **before;
	/*
	 * For a reader that has passed a number of routes of the old table: the
	 * corresponding number in the new table.
	 */
	unsigned *passed;
	/*
	 * For each number that a frame may carry: its new number; ROUTE_NONE if the route
	 * was removed.
	 */
	unsigned *number;
	bool vacated; /* some were removed */
};

/*
 * Records for each route with a rate the endpoints it applies to, so that a change need
 * not examine all of them.  -ENOMEM.
 */
int routes_find_rated(struct routes *routes);
/* Assigns numbers to the routes of the new table.  -ENOMEM: nothing was changed. */
int routes_change_new(
    struct routes *to, struct routes *from, struct routes_change **ret);
/*
 * Transfers counters to the route with the same name and text, and the state of rates to
 * the one with the same name.  was[]: the number that each endpoint of the new table had
 * in the old one, or ROUTE_NONE.
 */
void routes_change_use(
    struct routes_change *change, const unsigned *was, uint64_t now);
/*
 * Numbers the routes by their order in the file; number[] receives the new number for
 * each old one.  False: nothing had to be changed.
 */
bool routes_renumber(struct routes *routes, unsigned *number);
/* change may be NULL. */
void routes_change_free(struct routes_change *change);

#endif
