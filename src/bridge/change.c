/*
 * change: the steps that make a bridge match a plan.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "change.h"
#include "change_node.h"
#include "demand.h"
#include "exchange.h"
#include "failover.h"
#include "log.h"
#include "node_warnings.h"
#include "port_spool.h"
#include "record.h"
#include "restore.h"
#include "routes_change.h"
#include "silence.h"

enum phase {
	PHASE_NODES,	 /* before the commit: new nodes are created... */
	PHASE_ROUTES,	 /* ...routes get numbers... */
	PHASE_EXCHANGES, /* ...exchanges and failovers are created... */
	PHASE_BUFFERS,	 /* ...and buffers enlarged */
	PHASE_READY,
	PHASE_CLOSE, /* committed: removed and replaced endpoints are closed... */
	PHASE_SWITCH, /* ...routes change... */
	PHASE_OPEN,   /* ...endpoints open, or follow their section... */
	PHASE_PEERS,  /* ...ports of connections are updated... */
	PHASE_DEMAND, /* ...endpoints open or close on demand... */
	PHASE_FREE,   /* ...and removed nodes are freed */
	PHASE_DONE,
	PHASE_UNDO, /* not committed: new nodes are freed */
};

struct change {
	struct bridge *bridge;
	struct plan *plan;
	enum phase phase;
	unsigned at; /* index within the phase */
	int result;
	struct node *
	    *node; /* for each endpoint: the one that stays, or a new one */
	unsigned nmade;	  /* number of entries in node so far */
	unsigned *was;	  /* previous number, or ROUTE_NONE */
	unsigned *now;	  /* for each old node: its new number, or ROUTE_NONE */
	unsigned *passed; /* see cursors_change() */
	struct node **table;   /* the new node table */
	struct node **removed; /* removed nodes, to be freed */
	unsigned nremoved;
	struct routes_change *routes;
	struct exchange_list exchanges;
	struct failover_list failovers;
	struct cursor cursor;
};

/* --- before the commit ---------------------------------------------------- */

int
change_new(struct bridge *b, struct plan *plan, struct change **ret)
{
	struct change *change = calloc(1, sizeof(*change));
	size_t n = plan->n + 1, old = b->nnodes + 1;

	if (change == NULL)
		return -ENOMEM;
	change->bridge = b;
	change->plan = plan;
	TAILQ_INIT(&change->exchanges);
	LIST_INIT(&change->failovers);
	change->node = calloc(n, sizeof(*change->node));
	change->was = calloc(n, sizeof(*change->was));
	change->table = calloc(n, sizeof(*change->table));
	change->removed = calloc(old, sizeof(*change->removed));
	change->now = calloc(old, sizeof(*change->now));
	change->passed = calloc(old, sizeof(*change->passed));
	if (change->node == NULL || change->was == NULL ||
	    change->table == NULL || change->removed == NULL ||
	    change->now == NULL || change->passed == NULL) {
		change_free(change);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < b->nnodes; i++)
		change->now[i] = ROUTE_NONE;
	*ret = change;
	return 0;
}

void
change_free(struct change *change)
{
	if (change == NULL)
		return;
	free(change->node);
	free(change->was);
	free(change->now);
	free(change->passed);
	free(change->table);
	free(change->removed);
	routes_change_free(change->routes);
	free(change);
}

/* Whether the endpoint can stay open. */
static bool
same_wire(const struct endpoint_conf *a, const struct endpoint_conf *b)
{
	return a->ops == b->ops && strcmp(a->wire, b->wire) == 0;
}

/* Whether the node in the new table was created for this configuration. */
static bool
is_new(const struct change *change, unsigned i)
{
	return change->node[i]->endpoint->conf == change->plan->conf[i];
}

/* The node for the next endpoint: an old or a new one. */
static int
make_node(struct change *change)
{
	struct bridge *b = change->bridge;
	unsigned i = change->nmade;
	struct endpoint_conf *conf = change->plan->conf[i];
	struct node *old = bridge_find(b, conf->name);

	change->was[i] = old != NULL ? old->number : ROUTE_NONE;
	if (old != NULL && same_wire(old->endpoint->conf, conf))
		change->node[i] = old;
	else if ((change->node[i] = node_new(b, conf)) == NULL)
		return -ENOMEM;
	change->nmade++;
	if (old != NULL)
		change->now[old->number] = i;
	return 0;
}

static int
match_routes(struct change *change)
{
	const unsigned *now = change->now;

	for (unsigned i = 0; i < change->bridge->nnodes; i++)
		change->passed[i + 1] =
		    now[i] != ROUTE_NONE ? now[i] + 1 : change->passed[i];
	return routes_change_new(
	    change->plan->routes, change->bridge->routes, &change->routes);
}

static const struct exchange_ops exchange_ops = {
	.send = node_send_frame,
	.answer = port_send,
};

/* Creates the exchange of a route that is configured with one. */
static int
make_exchange(struct change *change, struct route *route)
{
	struct bridge *b = change->bridge;
	unsigned bus, was;

	if (route->conf == NULL || route->conf->exchange == EXCHANGE_NONE)
		return 0;
	bus = plan_find(change->plan, route->to);
	was = change->was[bus];
	return exchanges_add(&change->exchanges, b, &exchange_ops, route,
	    change->node[bus],
	    was != ROUTE_NONE ? b->node[was]->exchange : NULL);
}

static void
unmake_node(struct change *change, unsigned i)
{
	struct node *node = change->node[i];

	if (!is_new(change, i))
		return;
	port_free(TAILQ_FIRST(&node->ports));
	node->endpoint->conf = NULL;
	endpoint_free(node->endpoint);
	free(node);
}

void
change_drop(struct change *change)
{
	exchanges_free(&change->exchanges);
	failovers_free(&change->failovers);
	change->phase = PHASE_UNDO;
	change->at = 0;
}

void
change_commit(struct change *change)
{
	change->phase = PHASE_CLOSE;
	change->at = 0;
}

/* --- the change ----------------------------------------------------------- */

/* Whether the old node is not in the new table. */
static bool
leaves(const struct change *change, const struct node *old)
{
	unsigned now = change->now[old->number];

	return now == ROUTE_NONE || change->node[now] != old;
}

static void
close_old(struct node *old)
{
	if (old->endpoint->state != ENDPOINT_CLOSED)
		endpoint_stop(old->endpoint);
}

/* Frames queued for the endpoint are dropped with it. */
static void
say_removed(const struct node *node)
{
	size_t bytes, frames;
	char lost[80] = "";

	node_queued(node, &bytes, &frames);
	if (frames > 0)
		snprintf(lost, sizeof(lost),
		    "; %zu queued frame%s (%zu bytes) dropped", frames,
		    frames == 1 ? "" : "s", bytes);
	log_to(LOG_NOTICE, ABOUT_STATE, node->endpoint->conf->name,
	    "is no longer configured: closed%s", lost);
}

/*
 * Ports of connections are freed when their endpoint is closed, the single port of other
 * endpoints in PHASE_FREE.
 */
static void
close_node(struct change *change, struct node *node)
{
	if (!leaves(change, node))
		return;
	if (change->now[node->number] == ROUTE_NONE &&
	    node->endpoint->conf->ops->several)
		say_removed(node);
	close_old(node);
}

static void
free_removed(struct node *node)
{
	if (!node->endpoint->conf->ops->several) {
		port_spool_end(TAILQ_FIRST(&node->ports));
		say_removed(node);
	}
	node_free(node);
}

/* Gives the node its number and what follows from the plan. */
static void
place_node(struct change *change, unsigned i, struct node *node)
{
	const struct plan_node *as = &change->plan->node[i];
	bool waits = node != change->node[i];
	struct port *port;

	node->number = i;
	/* The old node is closed, and its framing is a different one. */
	node->framing_class = waits ? NO_CLASS : as->framing_class;
	node->alike = !waits && as->alike;
	if (!waits)
		node->framing_id = as->framing_id;
	node->read_until_full = as->read_until_full;
	node->nsources = as->nsources;
	if (node->messages != as->messages) {
		node->messages = as->messages;
		TAILQ_FOREACH(port, &node->ports, entry)
			port->decoder.messages = as->messages;
	}
	node->exchange = change->node[i]->exchange;
}

/* The new section of an old node; NULL: there is none. */
static const struct endpoint_conf *
conf_now(const struct change *change, unsigned i)
{
	unsigned now = change->now[i];

	if (now == ROUTE_NONE)
		return NULL;
	return is_new(change, now) ? change->node[now]->endpoint->conf
				   : change->plan->conf[now];
}

static void
use_nodes(struct change *change)
{
	struct bridge *b = change->bridge;
	struct plan *plan = change->plan;
	struct node **old = b->node;
	unsigned n = b->nnodes;

	/* A control command may have opened an endpoint again since PHASE_CLOSE. */
	for (unsigned i = 0; i < n; i++) {
		if (leaves(change, old[i]))
			close_old(old[i]);
		if (change->now[i] == ROUTE_NONE)
			change->removed[change->nremoved++] = old[i];
		node_record_change(old[i], conf_now(change, i));
	}
	/* The old node stays in the table until its replacement is opened. */
	for (unsigned i = 0; i < plan->n; i++) {
		change->table[i] = change->was[i] == ROUTE_NONE
		    ? change->node[i]
		    : old[change->was[i]];
		place_node(change, i, change->table[i]);
		if (is_new(change, i))
			plan->conf[i] = NULL;
	}
	free(b->by_name);
	b->by_name = plan->by_name;
	plan->by_name = NULL;
	b->ndemand = 0;
	for (unsigned i = 0; i < plan->n; i++)
		b->ndemand += change->node[i]->endpoint->conf->demand;
	b->node = change->table;
	b->nnodes = plan->n;
	change->table = old;
}

static void
switch_over(struct change *change)
{
	struct bridge *b = change->bridge;
	struct routes *old = b->routes;

	cursors_change(b, change->passed, change->routes->passed);
	exchanges_use(b, &change->exchanges);
	routes_change_use(change->routes, change->was, now_ns());
	use_nodes(change);
	b->routes = change->plan->routes;
	change->plan->routes = old;
	failovers_use(b, &change->failovers, change->was);
	bridge_restore(b);
}

/* Replaces the node of the same name with the new one. */
static void
replace_node(struct change *change, unsigned i)
{
	struct node *old = change->bridge->node[i], *new = change->node[i];

	log_to(LOG_NOTICE, ABOUT_ENDPOINT, old->endpoint->conf->name,
	    "its section has changed: opened again");
	close_old(old);
	node_inherit(new, old);
	change->bridge->node[i] = new;
	place_node(change, i, new);
	node_free(old);
}

/* The sources that it pauses and the numbers of its routes may have changed. */
static void
update_port(struct change *change, struct port *port)
{
	if (change->routes->vacated)
		port_renumber(port, change->routes->number,
		    change->bridge->routes->nslots);
	port->fair = port->node->nsources > 1;
	port_stop_waiting(port);
	port_release(port);
	port_update(port);
}

static void
open_node(struct change *change, unsigned i)
{
	struct endpoint_conf *conf = change->plan->conf[i];
	struct node *node = change->node[i];
	struct port *port;

	if (change->bridge->node[i] != node)
		replace_node(change, i);
	if (conf != NULL)
		node_follow(node, conf);
	node_record(node);
	node_silence(node);
	if (!node->endpoint->conf->ops->several &&
	    (port = TAILQ_FIRST(&node->ports)) != NULL) {
		port_spool_follow(port);
		update_port(change, port);
	}
	if (conf == NULL)
		endpoint_start(node->endpoint);
	node_warnings_note(change->bridge->node[i]);
}

/* --- the steps ----------------------------------------------------------- */

static void
next_phase(struct change *change)
{
	change->phase++;
	change->at = 0;
}

/* Counts one of n steps of this phase. */
static void
step_done(struct change *change, unsigned n)
{
	if (++change->at >= n)
		next_phase(change);
}

/* Performs a step before the commit; -ENOMEM. */
static int
prepare_step(struct change *change)
{
	struct bridge *b = change->bridge;
	struct plan *plan = change->plan;
	int r = 0;

	switch (change->phase) {
	case PHASE_NODES:
		if (change->at < plan->n)
			r = make_node(change);
		step_done(change, plan->n);
		break;
	case PHASE_ROUTES:
		r = match_routes(change);
		next_phase(change);
		break;
	case PHASE_EXCHANGES:
		r = make_exchange(change, plan->routes->route[change->at]);
		if (r == 0)
			r = failovers_add(&change->failovers, b,
			    plan->routes->route[change->at]);
		step_done(change, plan->routes->nroutes);
		break;
	case PHASE_BUFFERS:
		r = bridge_buffers(b, plan->longest, plan->n);
		next_phase(change);
		break;
	default:
		break;
	}
	return r;
}

static void
peers_step(struct change *change)
{
	struct port *port;

	if (change->cursor.bridge == NULL)
		cursor_open(&change->cursor, change->bridge);
	/* cursor_peer() returns a const pointer; the bridge may modify the port. */
	port = (struct port *)(uintptr_t)cursor_peer(&change->cursor);
	if (port != NULL) {
		update_port(change, port);
		return;
	}
	cursor_close(&change->cursor);
	next_phase(change);
}

static void
commit_step(struct change *change)
{
	struct bridge *b = change->bridge;

	switch (change->phase) {
	case PHASE_CLOSE:
		if (change->at < b->nnodes)
			close_node(change, b->node[change->at]);
		step_done(change, b->nnodes);
		break;
	case PHASE_SWITCH:
		switch_over(change);
		next_phase(change);
		break;
	case PHASE_OPEN:
		if (change->at < b->nnodes)
			open_node(change, change->at);
		step_done(change, b->nnodes);
		break;
	case PHASE_PEERS:
		peers_step(change);
		break;
	case PHASE_DEMAND:
		if (change->at < b->nnodes &&
		    !demand_look(b, b->node[change->at]))
			demand_note(b);
		step_done(change, b->nnodes);
		break;
	case PHASE_FREE:
		if (change->at < change->nremoved)
			free_removed(change->removed[change->at]);
		step_done(change, change->nremoved);
		break;
	default:
		break;
	}
}

int
change_step(struct change *change)
{
	int r;

	if (change->phase < PHASE_READY) {
		if ((r = prepare_step(change)) < 0) {
			change_drop(change);
			change->result = r;
		}
	} else if (change->phase == PHASE_UNDO) {
		if (change->at < change->nmade)
			unmake_node(change, change->at);
		if (++change->at >= change->nmade)
			change->phase = PHASE_DONE;
	} else
		commit_step(change);
	if (change->phase == PHASE_READY)
		return CHANGE_READY;
	return change->phase == PHASE_DONE ? change->result : CHANGE_MORE;
}

int
bridge_apply(struct bridge *b, struct config *c, struct error *err)
{
	struct change *change = NULL;
	struct plan *plan;
	int r;

	if ((r = plan_new(c, &plan, err)) < 0)
		return r;
	r = change_new(b, plan, &change);
	if (r == 0)
		r = CHANGE_MORE;
	while (r > 0) {
		r = change_step(change);
		if (r == CHANGE_READY)
			change_commit(change);
	}
	change_free(change);
	plan_free(plan);
	return r < 0 ? error_fail(err, r, "out of memory") : 0;
}
