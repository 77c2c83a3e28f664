/*
 * bridge: makes a bridge, and makes it what a configuration says.
 *
 * A change is a transaction: all that can fail is done first, beside what runs; then
 * the new table of routes and nodes takes the old one's place.  A node whose section
 * is the same is kept, and one in which only keys of every endpoint have changed applies
 * them while it stays open.  One that has to be opened differently is replaced by a new
 * node, which takes over counters and, if it has one port, what is queued in it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "exchange.h"
#include "restore.h"
#include "link.h"
#include "log.h"

int
bridge_new(struct event_base *base, struct bridge **ret)
{
	struct bridge *b = calloc(1, sizeof(*b));

	if (b == NULL || (b->routes = calloc(1, sizeof(*b->routes))) == NULL) {
		free(b);
		return -ENOMEM;
	}
	b->base = base;
	TAILQ_INIT(&b->taps);
	TAILQ_INIT(&b->exchanges);
	LIST_INIT(&b->cursors);
	*ret = b;
	return 0;
}

static void
node_free(struct node *node)
{
	/* A connection's port has gone with its link. */
	endpoint_stop(node->endpoint);
	port_free(TAILQ_FIRST(&node->ports));
	endpoint_free(node->endpoint);
	free(node->losses);
	free(node);
}

/* Takes the conf over, unless it fails. */
static struct node *
node_new(struct bridge *b, struct endpoint_conf *conf)
{
	struct node *node = zalloc_lines(sizeof(*node));

	if (node == NULL)
		return NULL;
	node->bridge = b;
	TAILQ_INIT(&node->ports);
	if (endpoint_new(b->base, conf, &bridge_owner, node, &node->endpoint) <
	    0) {
		free(node);
		return NULL;
	}
	if (!conf->ops->several &&
	    port_new(node, &node->endpoint->link) == NULL) {
		node->endpoint->conf = NULL;
		endpoint_free(node->endpoint);
		free(node);
		return NULL;
	}
	return node;
}

struct node *
bridge_find(const struct bridge *b, const char *name)
{
	return node_find(b->node, b->nnodes, name);
}

/* Whether it need not be opened again. */
static bool
same_wire(const struct endpoint_conf *a, const struct endpoint_conf *b)
{
	return a->ops == b->ops && strcmp(a->name, b->name) == 0 &&
	    strcmp(a->wire, b->wire) == 0;
}

/* What waits for the old node's one port, and all that was counted. */
static void
inherit(struct node *to, struct node *from)
{
	struct port *old = TAILQ_FIRST(&from->ports);
	struct port *new = TAILQ_FIRST(&to->ports);

	to->endpoint->paused = from->endpoint->paused;
	if (old == NULL || new == NULL || from->endpoint->conf->ops->several ||
	    to->endpoint->conf->ops->several) {
		if (old != NULL)
			port_drop_waiting(old);
		node_traffic(from, &to->retired);
		return;
	}
	to->retired = from->retired;
	new->traffic = old->traffic;
	new->in_flight = old->in_flight;
	memset(&old->in_flight, 0, sizeof(old->in_flight));
	queue_free(&new->queue);
	new->queue = old->queue;
	new->queue.limit = to->endpoint->conf->queue;
	queue_init(&old->queue, 0);
	port_keep_queue(new);
}

/* --- the table ----------------------------------------------------------- */

static int
make_routes(struct config *c, struct routes **ret, struct error *err)
{
	const char **names = calloc(c->nendpoints + 1, sizeof(*names));
	enum route_end *ends = calloc(c->nendpoints + 1, sizeof(*ends));
	unsigned bad;
	int r = -ENOMEM;

	for (unsigned i = 0; names && ends && i < c->nendpoints; i++) {
		names[i] = c->endpoints[i]->name;
		ends[i] = config_route_end(c->endpoints[i]);
	}
	if (names != NULL && ends != NULL)
		r = routes_new(c->routes, c->nroutes, names, ends,
		    c->nendpoints, ret, &bad, err);
	free(names);
	free(ends);
	if (r < 0)
		return r;
	c->nroutes = 0; /* they belong to the table now */
	return 0;
}

/* Back to what was, after a failure; the confs stay with the configuration. */
static void
unmake_nodes(struct config *c, struct node **node, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (node[i]->endpoint->conf != c->endpoints[i])
			continue;
		port_free(TAILQ_FIRST(&node[i]->ports));
		node[i]->endpoint->conf = NULL;
		endpoint_free(node[i]->endpoint);
		free(node[i]);
	}
	free(node);
}

/* The node for each endpoint of the configuration: an old or a new one. */
static struct node **
make_nodes(struct bridge *b, struct config *c)
{
	struct node **node = calloc(c->nendpoints + 1, sizeof(*node));
	unsigned i;

	for (i = 0; node != NULL && i < c->nendpoints; i++) {
		struct node *old = bridge_find(b, c->endpoints[i]->name);

		if (old != NULL &&
		    same_wire(old->endpoint->conf, c->endpoints[i]))
			node[i] = old;
		else if ((node[i] = node_new(b, c->endpoints[i])) == NULL)
			break;
	}
	if (node == NULL || i == c->nendpoints)
		return node;
	unmake_nodes(c, node, i);
	return NULL;
}

/* The longest frame that any node may have. */
static size_t
longest_frame(const struct config *c)
{
	uint64_t longest = 0;

	for (unsigned i = 0; i < c->nendpoints; i++)
		longest = MAX(longest, c->endpoints[i]->framing.max_frame);
	return (size_t)longest;
}

/* A tty takes a few KB at a time; a socket much more, and each write costs more. */
static bool
is_tty(const struct node *node)
{
	return node->endpoint->conf->ops->terminal;
}

/* Sets what follows from all nodes together: numbers, framing classes, who reads on. */
static void
connect_nodes(struct node **node, unsigned n, const struct routes *routes)
{
	for (unsigned i = 0; i < n; i++) {
		const struct framing_conf *f =
		    &node[i]->endpoint->conf->framing;
		unsigned class = 0;

		while (class < i &&
		    !framing_same(f, &node[class]->endpoint->conf->framing))
			class ++;
		node[i]->read_until_full = false;
		node[i]->nsources = 0;
		node[i]->number = i;
		node[i]->framing_class = class;
		node[i]->framing_id = framing_id(f);
		node[i]->alike = node[i]->endpoint->conf->ops->several;
	}
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < i; k++)
			if (node[i]->framing_class == node[k]->framing_class)
				node[i]->alike = node[k]->alike = true;
	for (unsigned i = 0; i < n; i++) {
		const struct route_source *s = &routes->source[i];

		for (unsigned t = 0; t < s->ntargets; t++) {
			struct node *to = node[s->targets[t].to];

			node[i]->read_until_full |= !is_tty(to) &&
			    node[i]->endpoint->conf->ops->datagram == 0;
			to->nsources +=
			    node[i]->endpoint->conf->ops->several ? 2 : 1;
		}
	}
}

static bool
stays(const struct node *old, struct node *const *node, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (node[i] == old)
			return true;
	return false;
}

static struct node *
successor(const struct node *old, struct node *const *node, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (strcmp(node[i]->endpoint->conf->name,
			old->endpoint->conf->name) == 0)
			return node[i];
	return NULL;
}

/* No port waits for another one any more: some will be freed, or routes will change. */
static void
stop_waiting(struct bridge *b)
{
	struct port *port;

	for (unsigned i = 0; i < b->nnodes; i++)
		TAILQ_FOREACH(port, &b->node[i]->ports, entry)
			port_stop_waiting(port);
}

static void
say_change(const struct node *old, bool stays)
{
	size_t bytes, frames;
	char lost[80] = "";

	node_queued(old, &bytes, &frames);
	if (!stays && frames > 0)
		snprintf(lost, sizeof(lost),
		    "; %zu queued frame%s (%zu bytes) dropped", frames,
		    frames == 1 ? "" : "s", bytes);
	log_to(LOG_NOTICE, ABOUT_ENDPOINT, old->endpoint->conf->name, "%s%s",
	    stays ? "its section has changed: opened again"
		  : "is no longer configured: closed",
	    lost);
}

/* Closes what is not in the new table, while the old one still holds. */
static void
leave_old(struct bridge *b, struct node **node, unsigned n)
{
	struct node *old, *new;

	for (unsigned i = 0; i < b->nnodes; i++) {
		old = b->node[i];
		if (stays(old, node, n))
			continue;
		say_change(old, successor(old, node, n) != NULL);
		endpoint_stop(old->endpoint);
	}
	/* What one had read last may wait in the other now. */
	for (unsigned i = 0; i < b->nnodes; i++) {
		old = b->node[i];
		if (!stays(old, node, n) &&
		    (new = successor(old, node, n)) != NULL)
			inherit(new, old);
	}
	stop_waiting(b);
	for (unsigned i = 0; i < b->nnodes; i++)
		if (!stays(b->node[i], node, n))
			node_free(b->node[i]);
}

/*
 * The new table takes the place of the old one.  What waits keeps its route, whatever
 * number that has now.
 */
static void
use_routes(struct bridge *b, struct routes *routes, const unsigned *was,
    unsigned *number)
{
	unsigned n = b->routes->nroutes;
	struct port *port;

	routes_take_over(routes, b->routes, was, now_ns(), number);
	for (unsigned i = 0; i < b->nnodes; i++) {
		TAILQ_FOREACH(port, &b->node[i]->ports, entry) {
			queue_renumber(&port->queue, number, n);
			port->in_flight.route = port->in_flight.route < n
			    ? number[port->in_flight.route]
			    : ROUTE_NONE;
		}
	}
	routes_free(b->routes);
	b->routes = routes;
}

/* Applies the section to a node that stays open, if it has changed. */
static void
change_node(struct node *node, struct endpoint_conf *conf)
{
	struct endpoint *ep = node->endpoint;
	struct port *port;

	if (strcmp(ep->conf->text, conf->text) == 0)
		return;
	endpoint_follow(ep, conf);
	log_to(LOG_NOTICE, ABOUT_ENDPOINT, ep->conf->name,
	    "its section has changed; it stays open");
	TAILQ_FOREACH(port, &node->ports, entry) {
		port->age_at = 0; /* of another frame_timeout */
		port_age(port, task_now(), true);
	}
}

static void
start_new(struct bridge *b, struct config *c)
{
	struct port *port;

	for (unsigned i = 0; i < b->nnodes; i++) {
		struct endpoint *ep = b->node[i]->endpoint;

		if (ep->conf == c->endpoints[i]) {
			endpoint_start(ep);
			continue;
		}
		change_node(b->node[i], c->endpoints[i]);
		endpoint_conf_free(c->endpoints[i]);
	}
	c->nendpoints = 0;
	/* Other sources may have to be paused now, and routes may be different. */
	for (unsigned i = 0; i < b->nnodes; i++) {
		TAILQ_FOREACH(port, &b->node[i]->ports, entry) {
			port->fair = b->node[i]->nsources > 1;
			latest_forget(port);
		}
	}
	for (unsigned i = 0; i < b->nnodes; i++)
		TAILQ_FOREACH(port, &b->node[i]->ports, entry)
			port_update(port);
}

/* The number that each endpoint has had, and space for the numbers of the routes. */
static unsigned *
make_numbers(const struct bridge *b, const struct config *c)
{
	size_t n = c->nendpoints + b->routes->nroutes;
	unsigned *was = calloc(n + 1, sizeof(*was));
	const struct node *old;

	for (unsigned i = 0; was != NULL && i < c->nendpoints; i++) {
		old = bridge_find(b, c->endpoints[i]->name);
		was[i] = old != NULL ? old->number : ROUTE_NONE;
	}
	return was;
}

static const struct exchange_ops exchange_ops = {
	.send = node_send_frame,
	.answer = port_send,
};

int
bridge_apply(struct bridge *b, struct config *c, struct error *err)
{
	struct routes *routes = NULL;
	struct exchange_list exchanges;
	struct node **node;
	unsigned n = c->nendpoints, *was;
	int r;

	if ((r = make_routes(c, &routes, err)) < 0)
		return r;
	r = -ENOMEM;
	was = make_numbers(b, c);
	node = was != NULL ? make_nodes(b, c) : NULL;
	if (node != NULL) {
		r = exchanges_new(
		    b, &exchange_ops, routes, node, n, &exchanges);
		if (r == 0)
			r = bridge_buffers(b, longest_frame(c), n);
		if (r < 0) {
			exchanges_free(&exchanges);
			unmake_nodes(c, node, n);
		}
	}
	if (r < 0) {
		error_set(err, "out of memory");
		routes_free(routes);
		free(was);
		return -ENOMEM;
	}
	cursors_change(b, node, n, routes);
	exchanges_use(b, &exchanges);
	leave_old(b, node, n);
	free(b->node);
	b->node = node;
	b->nnodes = n;
	use_routes(b, routes, was, was + n);
	free(was);
	connect_nodes(node, n, routes);
	bridge_restore(b);
	start_new(b, c);
	return 0;
}

/* --- stop ---------------------------------------------------------------- */

void
bridge_stop(struct bridge *b)
{
	struct port *port;

	b->stopping = true;
	for (unsigned i = 0; i < b->nnodes; i++) {
		TAILQ_FOREACH(port, &b->node[i]->ports, entry) {
			link_close_read(port->link);
			port_update(port);
		}
	}
}

bool
bridge_written(const struct bridge *b)
{
	const struct port *port;

	for (unsigned i = 0; i < b->nnodes; i++)
		TAILQ_FOREACH(port, &b->node[i]->ports, entry)
			if (port_open(port) &&
			    (port->backlog || port->in_flight.waits ||
				!queue_empty(&port->queue)))
				return false;
	return true;
}

bool
bridge_drained(struct bridge *b)
{
	const struct endpoint *ep;
	const struct port *port;
	bool done = true;

	if (!bridge_written(b))
		return false;
	for (unsigned i = 0; i < b->nnodes; i++) {
		ep = b->node[i]->endpoint;
		if (ep->conf->ops->unsent != NULL)
			done &= ep->conf->ops->unsent(ep) == 0;
		TAILQ_FOREACH(port, &b->node[i]->ports, entry)
			done &= link_finish(port->link);
	}
	return done;
}

void
bridge_end_breaks(struct bridge *b)
{
	for (unsigned i = 0; i < b->nnodes; i++)
		endpoint_end_break(b->node[i]->endpoint);
}

void
bridge_settle(struct bridge *b)
{
	link_settle_all();
	exchanges_settle(b);
}

void
bridge_free(struct bridge *b)
{
	if (b == NULL)
		return;
	/* What has come in is forwarded, through exchanges too. */
	for (unsigned i = 0; i < b->nnodes; i++)
		endpoint_stop(b->node[i]->endpoint);
	exchanges_free(&b->exchanges);
	stop_waiting(b);
	for (unsigned i = 0; i < b->nnodes; i++)
		node_free(b->node[i]);
	losses_free(b);
	routes_free(b->routes);
	free(b->node);
	free(b->read_buffer);
	free(b->names);
	free(b->out);
	free(b->plain);
	free(b->batch);
	free(b);
	precise_free();
}

/* --- for the faces to the outside ---------------------------------------- */

unsigned
bridge_up(const struct bridge *b)
{
	unsigned up = 0;

	for (unsigned i = 0; i < b->nnodes; i++)
		up += b->node[i]->endpoint->state == ENDPOINT_UP;
	return up;
}

void
node_queued(const struct node *n, size_t *bytes, size_t *frames)
{
	const struct port *port;
	size_t b, f;

	*bytes = *frames = 0;
	if (n->exchange != NULL)
		exchange_queued(n->exchange, bytes, frames);
	TAILQ_FOREACH(port, &n->ports, entry) {
		port_queued(port, &b, &f);
		*bytes += b;
		*frames += f;
	}
}

bool
node_answers(const struct node *n, const struct tap *tap)
{
	return n->exchange == NULL || exchange_answers(n->exchange, tap);
}

int
node_send(
    struct node *n, const struct tap *tap, const uint8_t *payload, size_t len)
{
	const struct framing_conf *conf = &n->endpoint->conf->framing;
	const struct queued q = { .payload = payload,
		.len = len,
		.since_ns = now_ns(),
		.route = NO_ROUTE };
	struct port *port;
	uint8_t *wire;
	long r;

	if (TAILQ_EMPTY(&n->ports))
		return -ENOTCONN;
	if ((wire = malloc(framing_bound(conf, len) + 1)) == NULL)
		return -ENOMEM;
	r = framing_encode(conf, payload, len, wire);
	free(wire);
	if (r < 0)
		return (int)r;
	if (n->exchange != NULL)
		return exchange_send(n->exchange, tap, payload, len);
	TAILQ_FOREACH(port, &n->ports, entry)
		if (port_open(port) ? queue_full(&port->queue)
				    : queue_cost(len) > port->queue.limit)
			return -ENOBUFS;
	node_send_frame(n, &q);
	return 0;
}

void
node_pause(struct node *n, bool paused)
{
	struct port *port;

	if (n->endpoint->paused == paused)
		return;
	n->endpoint->paused = paused;
	log_to(LOG_NOTICE, ABOUT_ENDPOINT, n->endpoint->conf->name,
	    "%s by hand", paused ? "paused" : "resumed");
	TAILQ_FOREACH(port, &n->ports, entry) {
		if (!paused)
			port_flush(port);
		port_release(port);
		port_update(port);
	}
}
