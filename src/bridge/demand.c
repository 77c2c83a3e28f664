/*
 * demand: opens and closes endpoints that are open only while they are needed.
 *
 * Such an endpoint is needed while a client is connected to an endpoint that one of its
 * routes leads to or comes from: a connection of a server, a datagram peer, or a program
 * that has a pseudo-terminal open.  A change of that is noted, and looked at in a step of
 * its own, because it is reported from inside callbacks of endpoints.
 *
 * When the last client has left, the endpoint is closed as soon as what is queued for it
 * is written, or after a while.
 */
#include <errno.h>

#include <event2/event.h>

#include "demand.h"
#include "forward.h"
#include "log.h"

#define LOOK_NS (100 * NSEC_PER_MSEC)
#define LINGER_NS (10 * NSEC_PER_SEC)

/* Whether a client is connected to the endpoint, or has it open. */
static bool
has_client(const struct node *node)
{
	const struct endpoint *ep = node->endpoint;
	const struct link *link;

	if (!ep->conf->ops->several)
		return ep->conf->ops->hangup != NULL && ep->link.up;
	TAILQ_FOREACH(link, &ep->links, entry)
		if (!link->no_peer)
			return true;
	return false;
}

static bool
leads_to(const struct bridge *b, const struct node *from, const struct node *to)
{
	const struct route_source *s = &b->routes->source[from->number];

	for (unsigned i = 0; i < s->ntargets; i++)
		if (s->targets[i].to == to->number)
			return true;
	return false;
}

static bool
is_needed(const struct bridge *b, const struct node *node)
{
	const struct node *other;

	for (unsigned i = 0; i < b->nnodes; i++) {
		other = b->node[i];
		if (other != node && has_client(other) &&
		    (leads_to(b, other, node) || leads_to(b, node, other)))
			return true;
	}
	return false;
}

static bool
is_written(const struct node *node)
{
	const struct port *port = TAILQ_FIRST(&node->ports);

	return port == NULL || !port->link->up ||
	    (!port_owes(port) && link_pending(port->link) == 0);
}

bool
demand_look(struct bridge *b, struct node *node)
{
	struct endpoint *ep = node->endpoint;
	uint64_t now;

	if (!ep->conf->demand || b->stopping)
		return true;
	if (is_needed(b, node)) {
		node->unneeded_ns = 0;
		endpoint_need(ep, true);
		return true;
	}
	now = now_ns();
	if (node->unneeded_ns == 0)
		node->unneeded_ns = now;
	if (!is_written(node) && now - node->unneeded_ns < LINGER_NS)
		return false;
	endpoint_need(ep, false);
	return true;
}

static void
on_demand(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval tv = to_timeval(LOOK_NS);
	struct bridge *b = arg;
	bool done = true;

	(void)fd, (void)what;
	task_begin(&b->demand_task);
	for (unsigned i = 0; i < b->nnodes; i++)
		done &= demand_look(b, b->node[i]);
	if (done) {
		task_remove_why(&b->demand_task, "done");
		return;
	}
	event_add(b->demand, &tv);
	TASK_WAIT(&b->demand_task);
	task_end(&b->demand_task);
}

static void
demand_label(const struct task *task, char *buf, size_t size)
{
	const struct bridge *b = task->arg;
	const struct node *node = NULL;

	for (unsigned i = 0; i < b->nnodes && node == NULL; i++)
		if (b->node[i]->endpoint->conf->demand &&
		    b->node[i]->unneeded_ns != 0 && !is_written(b->node[i]))
			node = b->node[i];
	if (node == NULL)
		snprintf(buf, size, "its turn, to open or close endpoints");
	else
		snprintf(buf, size,
		    "what is queued for %s to be written, to close it",
		    node->endpoint->conf->name);
}

void
demand_note(struct bridge *b)
{
	if (b->ndemand == 0 || b->demand == NULL)
		return;
	if (b->demand_task.label == NULL)
		task_add(&b->demand_task, b, demand_label, "demand");
	TASK_WAIT(&b->demand_task);
	event_active(b->demand, EV_TIMEOUT, 0);
}

int
demand_new(struct bridge *b)
{
	b->demand = evtimer_new(b->base, on_demand, b);
	return b->demand == NULL ? -ENOMEM : 0;
}

void
demand_free(struct bridge *b)
{
	task_remove(&b->demand_task);
	if (b->demand != NULL)
		event_free(b->demand);
	b->demand = NULL;
}
