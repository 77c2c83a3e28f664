/*
 * failovers: creates and replaces those of the routes, and tells them what happens.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "failover_parts.h"

/* --- what happens ---------------------------------------------------------- */

/* Whether one of the frames shows that its source is live. */
static bool
shows_life(const struct batch *batch, struct route *route,
    const struct route_source *source)
{
	const struct item *item;
	int found;

	if (route->live_match == NULL)
		return batch->n > 0;
	for (unsigned i = batch->n; i > 0; i--) {
		item = &batch->item[i - 1];
		found = expression_find(route->live_match, item->payload,
		    item->len, source->work,
		    &batch->from->node->bridge->routes->spent);
		if (found == 1)
			return true;
		route->too_long += found < 0;
	}
	return false;
}

static void
hear_source(struct failover *f, unsigned from, uint64_t now)
{
	const struct choice *choice = f->route->choice;
	struct member *m = f->member;
	bool fresh;

	for (unsigned i = 0; choice->member[i] != from; i++)
		m++;
	fresh = m->live_ns == 0 ||
	    now - m->done_ns >= route_fail_after(f->route->conf);
	m->done_ns = now;
	if (!fresh)
		return;
	m->live_ns = now;
	failover_look(f, now);
}

/* Frames are about to be written: whether they are taken is measured from now on. */
static void
hear_for_destinations(struct failover *f, uint64_t now)
{
	if (f->measure_at != 0)
		return;
	for (unsigned i = 0; i < f->route->choice->n; i++)
		f->member[i].done_ns = now;
	f->measure_at = now + route_fail_after(f->route->conf) / FAILOVER_LOOKS;
	failover_look_at(f, f->measure_at);
}

void
failovers_hear(const struct batch *batch)
{
	const struct node *from = batch->from->node;
	const struct route_source *s =
	    &from->bridge->routes->source[from->number];
	uint64_t now = task_now();
	struct route *route;

	for (unsigned i = 0; i < s->nchoosing; i++) {
		route = s->choosing[i];
		if (!route->choice->of_sources)
			hear_for_destinations(route->choice->failover, now);
		else if (shows_life(batch, route, s))
			hear_source(route->choice->failover, from->number, now);
	}
}

/* Whether it is a destination that the route may use. */
static bool
is_destination(const struct choice *choice, const struct node *node)
{
	for (unsigned i = 0; !choice->of_sources && i < choice->n; i++)
		if (choice->member[i] == node->number)
			return true;
	return false;
}

void
failovers_look(const struct node *node)
{
	struct failover *f;

	LIST_FOREACH(f, &node->bridge->failovers, entry)
	if (is_destination(f->route->choice, node))
		failover_look_at(f, now_ns());
}

/* --- creating and replacing them ------------------------------------------- */

static void
failover_free(struct failover *f)
{
	task_remove_why(&f->task, "the route was changed or removed");
	event_free(f->event);
	free(f);
}

void
failovers_free(struct failover_list *list)
{
	struct failover *f;

	while ((f = LIST_FIRST(list)) != NULL) {
		LIST_REMOVE(f, entry);
		failover_free(f);
	}
}

int
failovers_add(struct failover_list *list, struct bridge *b, struct route *route)
{
	struct failover *f;

	if (route->choice == NULL)
		return 0;
	f = calloc(1, sizeof(*f) + route->choice->n * sizeof(*f->member));
	if (f == NULL)
		return -ENOMEM;
	f->bridge = b;
	f->route = route;
	f->event = evtimer_new(b->base, failover_on_timer, f);
	if (f->event == NULL) {
		free(f);
		return -ENOMEM;
	}
	LIST_INSERT_HEAD(list, f, entry);
	return 0;
}

/* Whether both are of the same route, with the same members. */
static bool
continues(
    const struct failover *new, const struct failover *old, const unsigned *was)
{
	const struct choice *a = new->route->choice, *b = old->route->choice;

	if (strcmp(new->route->name, old->route->name) != 0 ||
	    a->of_sources != b->of_sources || a->n != b->n)
		return false;
	for (unsigned i = 0; i < a->n; i++)
		if (was[a->member[i]] != b->member[i])
			return false;
	return true;
}

/* The route uses this member from now on. */
static void
begin(struct failover *f, unsigned used, uint64_t now)
{
	f->route->choice->used = used;
	f->began_ns = now;
	f->member[0].done_ns = f->member[0].live_ns = 0;
	f->member[used].done_ns = f->member[used].live_ns = now;
}

/* The old one is used for the new route; or the new one, which begins now. */
static struct failover *
take_over(struct failover *new, struct failover_list *all, const unsigned *was)
{
	struct failover *old;

	LIST_FOREACH(old, all, entry)
	{
		if (!continues(new, old, was))
			continue;
		LIST_REMOVE(old, entry);
		new->route->choice->used = old->route->choice->used;
		old->route = new->route;
		event_free(new->event);
		free(new);
		return old;
	}
	task_add(
	    &new->task, new, failover_label, "%s.failover", new->route->name);
	new->task.event = new->event;
	TASK_SET(&new->task, TASK_IDLE);
	begin(new, 0, now_ns());
	return new;
}

void
failovers_use(struct bridge *b, struct failover_list *list, const unsigned *was)
{
	struct failover_list next = LIST_HEAD_INITIALIZER(next);
	struct failover *f;

	while ((f = LIST_FIRST(list)) != NULL) {
		LIST_REMOVE(f, entry);
		f = take_over(f, &b->failovers, was);
		f->route->choice->failover = f;
		LIST_INSERT_HEAD(&next, f, entry);
	}
	failovers_free(&b->failovers);
	while ((f = LIST_FIRST(&next)) != NULL) {
		LIST_REMOVE(f, entry);
		LIST_INSERT_HEAD(&b->failovers, f, entry);
		failover_look_at(f, now_ns());
	}
}

void
failover_restore(struct route *route, unsigned used)
{
	begin(route->choice->failover, used, now_ns());
}
