/*
 * exchanges: creates the exchanges of routes, and replaces them at a reload.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "exchange.h"

static void
exchange_free(struct exchange *ex)
{
	struct master *master;

	while ((master = TAILQ_FIRST(&ex->masters)) != NULL)
		exchange_free_master(ex, master, DROP_CLOSED);
	precise_stop(&ex->precise);
	if (ex->event != NULL)
		event_free(ex->event);
	task_remove(&ex->task);
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
exchange_new(struct bridge *b, struct route *route, struct node *to)
{
	struct exchange *ex = calloc(1, sizeof(*ex));

	if (ex == NULL)
		return NULL;
	TAILQ_INIT(&ex->masters);
	ex->bridge = b;
	ex->route = route;
	ex->to = to;
	ex->event = evtimer_new(b->base, exchange_on_event, ex);
	if (ex->event != NULL)
		return ex;
	free(ex);
	return NULL;
}

int
exchanges_add(struct exchange_list *list, struct bridge *b,
    const struct exchange_ops *ops, struct route *route, struct node *to,
    struct exchange *old)
{
	struct exchange *ex = exchange_new(b, route, to);

	if (ex == NULL)
		return -ENOMEM;
	ex->ops = ops;
	ex->old = old;
	TAILQ_INSERT_TAIL(list, ex, entry);
	return 0;
}

/*
 * Takes over the state of the bus.  The masters are taken over only if the section of the
 * route is the same: then the request on the bus has none any more.
 */
static void
take_over(struct exchange *ex, struct exchange *old)
{
	ex->old = NULL;
	if (strcmp(ex->route->conf->text, old->route->conf->text) == 0) {
		TAILQ_CONCAT(&ex->masters, &old->masters, entry);
		ex->master = old->master;
		ex->exception = old->exception;
	}
	ex->phase = old->phase;
	ex->request = old->request;
	ex->master_number = old->master_number;
	ex->number = old->number;
	ex->sent_ns = old->sent_ns;
	ex->until_ns = old->until_ns;
	ex->arriving = old->arriving;
	ex->answered = old->answered;
	ex->shown = old->shown;
	memcpy(ex->guard, old->guard, sizeof(ex->guard));
	ex->nguards = old->nguards;
	if (!old->answered)
		return;
	ex->answer = old->answer;
	ex->answer.payload =
	    memcpy(ex->answer_payload, old->answer.payload, old->answer.len);
	if (old->answer.wire != NULL)
		ex->answer.wire = memcpy(
		    ex->answer_wire, old->answer.wire, old->answer.wire_len);
}

void
exchanges_use(struct bridge *b, struct exchange_list *list)
{
	struct exchange *ex, *old;

	/* A bus has at most one exchange. */
	TAILQ_FOREACH(ex, list, entry)
		if (ex->old != NULL)
			take_over(ex, ex->old);
	TAILQ_FOREACH(old, &b->exchanges, entry)
		old->to->exchange = NULL;
	exchanges_free(&b->exchanges);
	TAILQ_CONCAT(&b->exchanges, list, entry);
	TAILQ_FOREACH(ex, &b->exchanges, entry) {
		ex->to->exchange = ex;
		task_add(&ex->task, ex, exchange_label, "%s.exchange",
		    ex->route->name);
		if (ex->phase == EXCHANGE_IDLE || ex->answered)
			exchange_wake(ex);
		else
			exchange_arm(ex, now_ns());
	}
}
