/*
 * exchanges: creates the exchanges of routes, and replaces them at a reload.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "exchange_parts.h"

static void
exchange_free(struct exchange *ex)
{
	struct master *master;

	while ((master = TAILQ_FIRST(&ex->masters)) != NULL) {
		exchange_tell_unanswered(master, false);
		exchange_free_master(ex, master, DROP_CLOSED);
	}
	for (unsigned i = 0; i < ex->nslots; i++)
		free(ex->request[i].payload);
	queue_free(&ex->answers);
	precise_stop(&ex->precise);
	if (ex->event != NULL)
		event_free(ex->event);
	task_remove_why(&ex->task, "the route was changed or removed");
	free(ex->route);
	free(ex);
}

void
exchanges_free(struct exchange_list *list)
{
	struct exchange *ex;

	while ((ex = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, ex, entry);
		exchange_free(ex);
	}
}

static struct exchange *
exchange_new(struct bridge *b, const struct route *route, struct node *to)
{
	struct exchange *ex = calloc(1, sizeof(*ex));

	if (ex == NULL)
		return NULL;
	TAILQ_INIT(&ex->masters);
	queue_init(&ex->answers, SIZE_MAX);
	ex->bridge = b;
	ex->protocol = route->conf->exchange == EXCHANGE_ANY ? &exchange_any
							     : &exchange_modbus;
	ex->to = to;
	ex->event = evtimer_new(b->base, exchange_on_event, ex);
	if (ex->event != NULL)
		return ex;
	free(ex);
	return NULL;
}

static int
add_route(struct exchange *ex, struct route *route)
{
	struct route **all =
	    realloc(ex->route, (ex->nroutes + 1) * sizeof(*all));

	if (all == NULL)
		return -ENOMEM;
	ex->route = all;
	ex->route[ex->nroutes++] = route;
	return 0;
}

int
exchanges_add(struct exchange_list *list, struct bridge *b,
    const struct exchange_ops *ops, struct route *route, struct node *to,
    struct exchange *old)
{
	struct exchange *ex;

	TAILQ_FOREACH(ex, list, entry)
		if (ex->to == to)
			return add_route(ex, route);
	if ((ex = exchange_new(b, route, to)) == NULL)
		return -ENOMEM;
	ex->ops = ops;
	ex->old = old;
	TAILQ_INSERT_TAIL(list, ex, entry);
	return add_route(ex, route);
}

/* Takes over the requests that were sent. */
static void
take_over_requests(struct exchange *ex, struct exchange *old)
{
	struct request *r;

	memcpy(ex->request, old->request, sizeof(ex->request));
	ex->nslots = old->nslots;
	ex->nrequests = old->nrequests;
	if (old->newest != NULL)
		ex->newest = &ex->request[old->newest - old->request];
	ex->answers = old->answers;
	queue_init(&old->answers, 0);
	memset(old->request, 0, sizeof(old->request));
	EACH_REQUEST(r, ex) {
		/* An answer that has arrived is still delivered. */
		if (r->state == REQUEST_ANSWERED ||
		    exchange_has_route(ex, r->route))
			continue;
		exchange_tell_unanswered(r->master, false);
		r->unrouted = true;
	}
}

/* Drops the queued requests whose route was removed or changed. */
static void
drop_unrouted(struct exchange *ex, struct master *master)
{
	struct queue old = master->queue;
	struct queued q;

	queue_init(&master->queue, old.limit);
	for (; queue_head(&old, &q); queue_pop(&old)) {
		enum drop_reason reason = DROP_CLOSED;

		if (exchange_has_route(ex, q.route)) {
			if (queue_add(&master->queue, &q) == 0)
				continue;
			reason = DROP_MEMORY;
		}
		exchange_tell_unanswered(master, false);
		exchange_drop_refused(ex, master, &q, reason, REFUSED_CLOSED);
	}
	queue_free(&old);
}

/* Takes over the state of the bus, and the masters with their requests. */
static void
take_over(struct exchange *ex, struct exchange *old)
{
	struct master *master;

	ex->old = NULL;
	TAILQ_CONCAT(&ex->masters, &old->masters, entry);
	TAILQ_FOREACH(master, &ex->masters, entry)
		drop_unrouted(ex, master);
	exchange_set_priorities(ex);
	take_over_requests(ex, old);
	ex->number = old->number;
	ex->rest_ns = old->rest_ns;
	ex->arriving = old->arriving;
	memcpy(ex->guard, old->guard, sizeof(ex->guard));
	ex->nguards = old->nguards;
	ex->hinted = old->hinted;
}

void
exchanges_use(struct bridge *b, struct exchange_list *list)
{
	struct exchange *ex, *old;

	/* A bus has at most one exchange. */
	TAILQ_FOREACH(ex, list, entry)
		if (ex->old != NULL)
			take_over(ex, ex->old);
	TAILQ_FOREACH(old, &b->exchanges, entry) {
		exchange_busy_end(old, now_ns());
		old->to->exchange = NULL;
	}
	exchanges_free(&b->exchanges);
	TAILQ_CONCAT(&b->exchanges, list, entry);
	TAILQ_FOREACH(ex, &b->exchanges, entry) {
		ex->to->exchange = ex;
		task_add(&ex->task, ex, exchange_label, "%s.exchange",
		    ex->route[0]->name);
		ex->task.event = ex->event;
		exchange_wake(ex);
	}
}

void
exchanges_renumber(struct bridge *b, const unsigned *number, unsigned n)
{
	struct exchange *ex;
	struct master *master;
	struct request *r;

	TAILQ_FOREACH(ex, &b->exchanges, entry) {
		TAILQ_FOREACH(master, &ex->masters, entry)
			queue_renumber(&master->queue, number, n);
		EACH_REQUEST(r, ex)
			r->route = r->route < n ? number[r->route] : NO_ROUTE;
	}
}
