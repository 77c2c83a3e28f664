/*
 * bridge: creates and stops a bridge and its nodes, and answers queries about them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "demand.h"
#include "exchange.h"
#include "failover.h"
#include "link.h"
#include "log.h"
#include "node_warnings.h"
#include "pace.h"
#include "port_spool.h"
#include "record.h"
#include "routes_change.h"
#include "silence.h"
#include "tls_link.h"
#include "ack.h"
#include "warning.h"

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
	LIST_INIT(&b->failovers);
	if (demand_new(b) < 0) {
		free(b->routes);
		free(b);
		return -ENOMEM;
	}
	warnings_source(node_warnings_check, b);
	*ret = b;
	return 0;
}

void
node_free(struct node *node)
{
	/* The port of a connection was freed with its link. */
	endpoint_stop(node->endpoint);
	node_record_end(node);
	node_silence_end(node);
	port_free(TAILQ_FIRST(&node->ports));
	endpoint_free(node->endpoint);
	warning_forget(&node->warnings, "the endpoint was removed");
	free(node->losses);
	free(node);
}

struct node *
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
	unsigned first = 0, end = b->nnodes;

	while (first < end) {
		unsigned middle = first + (end - first) / 2;
		struct node *node = b->node[b->by_name[middle]];
		int r = strcmp(name, node->endpoint->conf->name);

		if (r == 0)
			return node;
		if (r < 0)
			end = middle;
		else
			first = middle + 1;
	}
	return NULL;
}

/* --- stop ----------------------------------------------------------------- */

void
bridge_stop(struct bridge *b)
{
	struct port *port;

	b->stopping = true;
	for (unsigned i = 0; i < b->nnodes; i++) {
		TAILQ_FOREACH(port, &b->node[i]->ports, entry) {
			/* What is confirmed is received, too. */
			if (port->ack == NULL)
				link_close_read(port->link);
			port_update(port);
		}
	}
}

/* Whether something waits that this process has yet to write.  What is in a spool waits for
 * the next one. */
static bool
is_unwritten(const struct port *port)
{
	return port_open(port) &&
	    (port->backlog ||
		(port->spooling ? port->in_flight.waits : port_owes(port)));
}

static bool
is_written(const struct bridge *b, bool only_tls)
{
	const struct port *port;

	for (unsigned i = 0; i < b->nnodes; i++)
		TAILQ_FOREACH(port, &b->node[i]->ports, entry)
			if ((!only_tls || link_tls(port->link) != NULL) &&
			    is_unwritten(port))
				return false;
	return true;
}

bool
bridge_written(const struct bridge *b)
{
	return is_written(b, false);
}

bool
bridge_tls_written(const struct bridge *b)
{
	return is_written(b, true) && !acks_await(b);
}

void
bridge_end_tls(struct bridge *b)
{
	struct port *port;

	for (unsigned i = 0; i < b->nnodes; i++)
		TAILQ_FOREACH(port, &b->node[i]->ports, entry)
			if (link_tls(port->link) != NULL)
				link_close(port->link,
				    "the daemon starts again, which ends TLS");
	acks_close(b, "the daemon starts again");
}

void
bridge_resume(struct bridge *b)
{
	acks_resume(b);
}

bool
bridge_drained(struct bridge *b)
{
	const struct endpoint *ep;
	struct port *port;
	bool done = true;

	acks_stop(b, false);
	if (!bridge_written(b))
		return false;
	/* What is received from now on could not be written.  Frames of a spool that are not
	 * confirmed are left to the next process. */
	acks_stop(b, true);
	if (!bridge_written(b))
		return false;
	for (unsigned i = 0; i < b->nnodes; i++) {
		TAILQ_FOREACH(port, &b->node[i]->ports, entry) {
			port_say_last(port);
			done &= link_pending(port->link) == 0 &&
			    link_finish(port->link);
		}
		ep = b->node[i]->endpoint;
		if (ep->conf->ops->unsent != NULL)
			done &= ep->conf->ops->unsent(ep) == 0;
	}
	return done;
}

void
bridge_end_signals(struct bridge *b)
{
	for (unsigned i = 0; i < b->nnodes; i++)
		endpoint_end_signals(b->node[i]->endpoint);
}

/* The state file refers to a route by its index. */
static void
renumber_routes(struct bridge *b)
{
	unsigned n = b->routes->nslots;
	unsigned *number = calloc(n + 1, sizeof(*number));
	struct port *port;

	/* Without memory the saved frames refer to no route. */
	if (number == NULL)
		n = 0;
	if (number == NULL || routes_renumber(b->routes, number))
		for (unsigned i = 0; i < b->nnodes; i++)
			TAILQ_FOREACH(port, &b->node[i]->ports, entry)
				port_renumber(port, number, n);
	exchanges_renumber(b, number, n);
	free(number);
}

static void
settle_spools(struct bridge *b)
{
	struct port *port;

	for (unsigned i = 0; i < b->nnodes; i++)
		TAILQ_FOREACH(port, &b->node[i]->ports, entry)
			port_spool_settle(port, true);
}

void
bridge_settle(struct bridge *b)
{
	settle_spools(b);
	link_settle_all();
	exchanges_settle(b);
	renumber_routes(b);
}

void
bridge_free(struct bridge *b)
{
	struct port *port;

	if (b == NULL)
		return;
	warnings_source(NULL, NULL);
	demand_free(b);
	failovers_free(&b->failovers);
	/* Input that has arrived is forwarded directly, without the exchanges. */
	for (unsigned i = 0; i < b->nnodes; i++)
		b->node[i]->exchange = NULL;
	for (unsigned i = 0; i < b->nnodes; i++)
		endpoint_stop(b->node[i]->endpoint);
	for (unsigned i = 0; i < b->nnodes; i++)
		TAILQ_FOREACH(port, &b->node[i]->ports, entry)
			port_stop_waiting(port);
	exchanges_free(&b->exchanges);
	for (unsigned i = 0; i < b->nnodes; i++)
		node_free(b->node[i]);
	losses_free(b);
	routes_free(b->routes);
	free(b->node);
	free(b->by_name);
	free(b->read_buffer);
	free(b->names);
	free(b->out);
	free(b->plain);
	free(b->batch);
	free(b);
	precise_free();
}

/* --- interface for the control port and the service manager --------------- */

static unsigned
count_state(const struct bridge *b, enum endpoint_state state)
{
	unsigned n = 0;

	for (unsigned i = 0; i < b->nnodes; i++)
		n += b->node[i]->endpoint->state == state;
	return n;
}

unsigned
bridge_up(const struct bridge *b)
{
	return count_state(b, ENDPOINT_UP);
}

const char *
bridge_summary(const struct bridge *b, char *buf, size_t size)
{
	unsigned idle = count_state(b, ENDPOINT_IDLE);

	snprintf(buf, size, "%u of %u endpoints up", bridge_up(b), b->nnodes);
	if (idle > 0)
		append(buf, size, ", %u idle", idle);
	return buf;
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

uint64_t
node_offered(const struct node *n, const struct traffic *t)
{
	size_t bytes = 0, frames = 0;

	/* A request that is queued is counted when it is sent or dropped. */
	if (n->exchange != NULL)
		exchange_queued(n->exchange, &bytes, &frames);
	return t->offered + frames;
}

bool
node_answers(const struct node *n, const struct tap *tap)
{
	return n->exchange == NULL || exchange_answers(n->exchange, tap);
}

int
node_send(struct node *n, struct tap *tap, const uint8_t *payload, size_t len)
{
	const struct framing_conf *conf = &n->endpoint->conf->framing;
	const struct queued q = { .payload = payload,
		.len = len,
		.since_ns = now_ns(),
		.route = NO_ROUTE };
	bool watched = is_tapped(n->bridge, TAPPED_FRAMES);
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
		if (port->spool != NULL	  ? port_spool_room(port) == 0
			: port_open(port) ? queue_full(&port->queue)
					  : queue_cost(len) > port->queue.limit)
			return -ENOBUFS;
	if (watched)
		tap_begin(payload);
	node_send_frame(n, &q);
	if (watched)
		taps_tell_sent(n, payload, len);
	return 0;
}

void
node_pause(struct node *n, bool paused)
{
	struct port *port;

	if (n->endpoint->paused == paused)
		return;
	n->endpoint->paused = paused;
	log_to(LOG_NOTICE, ABOUT_STATE, n->endpoint->conf->name, "%s by hand",
	    paused ? "paused" : "resumed");
	TAILQ_FOREACH(port, &n->ports, entry) {
		if (!paused) {
			port_flush(port);
			port_pace_begin(port);
		}
		port_release(port);
		port_update(port);
	}
}
