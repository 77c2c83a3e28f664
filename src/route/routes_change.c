/*
 * routes_change: numbers, counters and rates of routes at a reload.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "routes_change.h"

/* --- before the change ---------------------------------------------------- */

/* Uses the until arrays, which are all zero at this point, as marks. */
static unsigned
mark_rated(struct routes *routes)
{
	unsigned n = 0;

	for (unsigned i = 0; i < routes->nsources; i++) {
		const struct route_source *source = &routes->source[i];

		for (unsigned j = 0; j < source->ntargets; j++) {
			const struct route_target *target = &source->targets[j];

			for (unsigned k = 0; k < target->nvia; k++)
				if (target->via[k]->until != NULL) {
					target->via[k]->until[target->to] = 1;
					n++;
				}
		}
	}
	return n;
}

static int
take_marks(struct route *route, unsigned nendpoints)
{
	unsigned n = 0;

	for (unsigned i = 0; i < nendpoints; i++)
		n += route->until[i] != 0;
	route->rated = calloc(n + 1, sizeof(*route->rated));
	for (unsigned i = 0; i < nendpoints; i++) {
		if (route->until[i] != 0 && route->rated != NULL)
			route->rated[route->nrated++] = i;
		route->until[i] = 0;
	}
	return route->rated != NULL ? 0 : -ENOMEM;
}

static bool
any_rate(const struct routes *routes)
{
	for (unsigned i = 0; i < routes->nroutes; i++)
		if (routes->route[i]->until != NULL)
			return true;
	return false;
}

int
routes_find_rated(struct routes *routes)
{
	int r = 0;

	if (!any_rate(routes) || mark_rated(routes) == 0)
		return 0;
	for (unsigned i = 0; i < routes->nroutes; i++)
		if (routes->route[i]->until != NULL &&
		    take_marks(routes->route[i], routes->nsources) < 0)
			r = -ENOMEM;
	return r;
}

static bool
same_route(const struct route_conf *a, const struct route_conf *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(a->name, b->name) == 0 && a->text != NULL &&
	    b->text != NULL && strcmp(a->text, b->text) == 0;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp((*(struct route *const *)a)->name,
	    (*(struct route *const *)b)->name);
}

/* Sets before[] and passed[] by the names of the routes. */
static int
match_names(struct routes_change *change)
{
	const struct routes *to = change->to, *from = change->from;
	struct route **sorted = calloc(to->nroutes + 1, sizeof(*sorted));
	unsigned *place = calloc(to->nslots + 1, sizeof(*place));
	struct route **found;

	if (sorted == NULL || place == NULL) {
		free(sorted);
		free(place);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < to->nroutes; i++) {
		sorted[i] = to->route[i];
		place[to->route[i]->number] = i;
	}
	qsort(sorted, to->nroutes, sizeof(*sorted), compare_names);
	for (unsigned i = 0; i < from->nroutes; i++) {
		found = bsearch(&from->route[i], sorted, to->nroutes,
		    sizeof(*sorted), compare_names);
		change->passed[i + 1] = change->passed[i];
		if (found == NULL)
			continue;
		change->passed[i + 1] = place[(*found)->number] + 1;
		change->before[place[(*found)->number]] = from->route[i];
	}
	free(sorted);
	free(place);
	return 0;
}

/*
 * Unchanged routes keep their numbers; then each other route gets its index in the file
 * as its number, or the next one that is vacant in both tables.
 */
static void
give_numbers(struct routes_change *change, struct route **slot, unsigned n)
{
	struct routes *to = change->to, *from = change->from;
	unsigned next = 0;

	for (unsigned i = 0; i < n; i++)
		change->number[i] = ROUTE_NONE;
	for (unsigned i = 0; i < to->nroutes; i++) {
		struct route *route = to->route[i], *old = change->before[i];

		route->number = ROUTE_NONE;
		if (old == NULL || !same_route(old->conf, route->conf))
			continue;
		route->number = change->number[old->number] = old->number;
		slot[route->number] = route;
	}
	for (unsigned i = 0; i < from->nslots; i++)
		change->vacated |= from->slot[i] != NULL && slot[i] == NULL;
	for (unsigned i = 0; i < to->nroutes; i++) {
		unsigned number = i;

		if (to->route[i]->number != ROUTE_NONE)
			continue;
		if (slot[i] != NULL || routes_at(from, i) != NULL) {
			while (
			    slot[next] != NULL || routes_at(from, next) != NULL)
				next++;
			number = next;
		}
		to->route[i]->number = change->number[number] = number;
		slot[number] = to->route[i];
	}
}

int
routes_change_new(
    struct routes *to, struct routes *from, struct routes_change **ret)
{
	struct routes_change *change = calloc(1, sizeof(*change));
	unsigned n = to->nroutes + from->nslots;
	struct route **slot = calloc(n + 1, sizeof(*slot));

	if (change != NULL) {
		change->to = to;
		change->from = from;
		change->before =
		    calloc(to->nroutes + 1, sizeof(*change->before));
		change->passed =
		    calloc(from->nroutes + 1, sizeof(*change->passed));
		change->number = calloc(n + 1, sizeof(*change->number));
	}
	if (slot == NULL || change == NULL || change->before == NULL ||
	    change->passed == NULL || change->number == NULL ||
	    match_names(change) < 0) {
		free(slot);
		routes_change_free(change);
		return -ENOMEM;
	}
	give_numbers(change, slot, n);
	free(to->slot);
	to->slot = slot;
	to->nslots = n;
	while (to->nslots > 0 && slot[to->nslots - 1] == NULL)
		to->nslots--;
	*ret = change;
	return 0;
}

void
routes_change_free(struct routes_change *change)
{
	if (change == NULL)
		return;
	free(change->before);
	free(change->passed);
	free(change->number);
	free(change);
}

/* --- the change ----------------------------------------------------------- */

static void
take_stats(struct exchange_stats *to, struct exchange_stats *from)
{
	const uint64_t *add = (const uint64_t *)&from->counters;
	uint64_t *sum = (uint64_t *)&to->counters;

	for (size_t i = 0; i < sizeof(to->counters) / sizeof(*sum); i++)
		sum[i] += add[i];
	to->bus_time = from->bus_time;
	memset(&from->bus_time, 0, sizeof(from->bus_time));
	to->busy = from->busy;
}

static void
take_counters(struct route *to, struct route *from)
{
	to->frames += from->frames;
	to->bytes += from->bytes;
	to->rejected += from->rejected;
	to->limited += from->limited;
	to->too_long += from->too_long;
	to->switches += from->switches;
	to->standby += from->standby;
	to->not_heard += from->not_heard;
	to->latency = from->latency;
	memset(&from->latency, 0, sizeof(from->latency));
	if (to->stats != NULL && from->stats != NULL)
		take_stats(to->stats, from->stats);
}

/* Takes over the state of a rate for an endpoint, whose number was different. */
static void
take_rate(struct route *to, unsigned i, struct route *from, unsigned was,
    uint64_t now)
{
	const struct rate *rate = &to->conf->rate;
	struct message_rates *rates = from->messages[was];

	to->until[i] = rate_carry(rate, from->until[was], now);
	to->messages[i] = rates;
	from->messages[was] = NULL;
	for (unsigned n = 0; rates != NULL && n < RATE_MESSAGES; n++)
		rates->at[n].until = rate_carry(rate, rates->at[n].until, now);
}

/* Takes over the state of the rate for each endpoint that existed before. */
static void
take_rates(
    struct route *to, struct route *from, const unsigned *was, uint64_t now)
{
	for (unsigned i = 0; i < to->nrated; i++)
		if (was[to->rated[i]] != ROUTE_NONE)
			take_rate(
			    to, to->rated[i], from, was[to->rated[i]], now);
}

/* Takes over the frames that were seen, and their counters. */
static void
take_duplicates(struct route *to, struct route *from)
{
	struct duplicates *d = to->duplicates;

	to->duplicates = from->duplicates;
	from->duplicates = d;
}

/* Takes over the MAVLink systems that were heard from each endpoint. */
static void
take_systems(struct routes *to, struct routes *from, const unsigned *was)
{
	if (to->systems == NULL || from->systems == NULL)
		return;
	for (unsigned i = 0; i < to->nsources; i++) {
		if (was[i] == ROUTE_NONE)
			continue;
		to->systems[i] = from->systems[was[i]];
		from->systems[was[i]] = NULL;
	}
}

void
routes_change_use(
    struct routes_change *change, const unsigned *was, uint64_t now)
{
	take_systems(change->to, change->from, was);
	for (unsigned i = 0; i < change->to->nroutes; i++) {
		struct route *new = change->to->route[i];
		struct route *old = change->before[i];

		if (old == NULL)
			continue;
		if (old->until != NULL && new->until != NULL)
			take_rates(new, old, was, now);
		if (old->duplicates != NULL && new->duplicates != NULL)
			take_duplicates(new, old);
		if (old->number == new->number)
			take_counters(new, old);
	}
}

bool
routes_renumber(struct routes *routes, unsigned *number)
{
	bool changed = false;

	for (unsigned i = 0; i < routes->nslots; i++)
		number[i] = ROUTE_NONE;
	for (unsigned i = 0; i < routes->nroutes; i++) {
		changed |= routes->route[i]->number != i;
		number[routes->route[i]->number] = i;
	}
	if (!changed)
		return false;
	memset(routes->slot, 0, routes->nslots * sizeof(*routes->slot));
	for (unsigned i = 0; i < routes->nroutes; i++) {
		routes->route[i]->number = i;
		routes->slot[i] = routes->route[i];
	}
	return true;
}
