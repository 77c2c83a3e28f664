/*
 * restore: restores the state that the previous process saved.
 *
 * Queued frames and counters are restored in any case.  State that belongs to an open
 * stream is restored with its descriptor only: bytes that were read and are not a frame
 * yet, and the end of a frame whose beginning was accepted by the kernel.  The port keeps
 * that state (struct restored_link) until its link is up, because only then it is known
 * whether it is the same stream.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "exchange.h"
#include "failover.h"
#include "forward.h"
#include "line_use.h"
#include "link.h"
#include "link_filter.h"
#include "log.h"
#include "permission.h"
#include "record.h"
#include "snapshot.h"

/* --- endpoints and routes, before any is open ----------------------------- */

static void
restore_histogram(const struct old_histogram *old, struct histogram *h)
{
	struct unpack u = old->buckets;

	h->total = old->total;
	h->max_ns = old->max_ns;
	if (h->count == NULL && old->nbuckets > 0)
		h->count = calloc(HISTOGRAM_BUCKETS, sizeof(*h->count));
	for (size_t i = 0; h->count != NULL && i < old->nbuckets; i++) {
		uint64_t bucket = unpack_number(&u);

		h->count[bucket] = (uint32_t)unpack_number(&u);
	}
}

static void
restore_route(const struct old_route *old, struct route *route)
{
	uint64_t *const counter[] = ROUTE_COUNTERS(route);

	for (size_t i = 0; i < NELEM(counter); i++)
		*counter[i] = old->counter[i];
	route->too_long = old->too_long;
	restore_histogram(&old->latency, &route->latency);
	if (route->stats == NULL)
		return;
	route->stats->counters = old->counters;
	restore_histogram(&old->bus_time, &route->stats->bus_time);
}

/* Restores which of its endpoints a route uses. */
static void
restore_choice(
    const struct bridge *b, const struct old_route *old, struct route *route)
{
	const struct choice *choice = route->choice;

	route->switches = old->switches;
	route->standby = old->standby;
	for (unsigned i = 0; choice != NULL && i < choice->n; i++)
		if (span_is(&old->used,
			b->node[choice->member[i]]->endpoint->conf->name))
			failover_restore(route, i);
}

static void
restore_routes(struct bridge *b)
{
	const struct snapshot *h = b->snapshot;

	for (size_t i = 0; i < h->nroutes; i++) {
		struct old_route *old = &h->route[i];

		for (unsigned j = 0; j < b->routes->nroutes; j++) {
			struct route *new = b->routes->route[j];

			if (!span_is(&old->name, new->name) ||
			    !span_is(&old->text,
				new->conf != NULL ? new->conf->text : NULL))
				continue;
			old->number = j;
			restore_route(old, new);
			restore_choice(b, old, new);
			break;
		}
	}
}

static struct route *
route_of(const struct bridge *b, const struct span *name)
{
	for (unsigned i = 0; i < b->routes->nroutes; i++)
		if (span_is(name, b->routes->route[i]->name))
			return b->routes->route[i];
	return NULL;
}

static void
restore_rates(struct bridge *b)
{
	struct unpack u = b->snapshot->rates;
	uint64_t now = now_ns();

	for (size_t i = 0; i < b->snapshot->nrates; i++) {
		struct span name, to;
		struct route *route;
		uint64_t message, until;

		unpack_span(&u, &name);
		unpack_span(&u, &to);
		message = unpack_number(&u);
		until = unpack_number(&u);
		route = route_of(b, &name);
		for (unsigned j = 0;
		     route != NULL && route->until != NULL && j < b->nnodes;
		     j++)
			if (span_is(&to, b->node[j]->endpoint->conf->name))
				route_used(route, j, message, until, now);
	}
}

static unsigned
route_now(const struct snapshot *h, uint64_t number)
{
	return number < h->nroutes ? h->route[number].number : NONE;
}

static void
restore_frames(
    struct port *port, const struct snapshot *h, const struct old_port *old)
{
	struct unpack u = old->frames;
	struct queued q;

	for (size_t i = 0; i < old->nframes; i++) {
		frame_read(&u, &q);
		q.route = route_now(h, q.route);
		if (queue_add(&port->queue, &q) < 0)
			port_drop(port, DROP_MEMORY, NULL, q.len);
	}
}

/* Restores what is expected to be received of the own output. */
static void
restore_echo(struct port *port, const struct old_port *old)
{
	struct unpack u = old->echo;
	struct queued q;

	for (size_t i = 0; i < old->necho; i++) {
		frame_read(&u, &q);
		port_echo_sent(port, q.payload, q.len);
	}
	port_echo_matched(port, old->echo_matched);
}

/* Restores the frame in flight. */
static void
restore_in_flight(
    struct port *port, const struct snapshot *h, const struct old_port *old)
{
	struct in_flight *in_flight = &port->in_flight;
	struct queued q = { 0 };

	*in_flight = old->in_flight;
	in_flight->payload = NULL;
	in_flight->route = route_now(h, old->in_flight.route);
	if (!in_flight->waits || old->payload.at == NULL)
		return;
	q.payload = old->payload.at;
	q.len = in_flight->len;
	q.since_ns = in_flight->since_ns;
	q.route = in_flight->route;
	q.wire = old->wire.at;
	q.wire_len = in_flight->spelling_len;
	q.spelled = in_flight->spelled;
	in_flight_keep(in_flight, &q);
	if (in_flight->payload == NULL && in_flight->wire == 0) {
		port_drop(port, DROP_MEMORY, NULL, in_flight->len);
		memset(in_flight, 0, sizeof(*in_flight));
	}
}

/*
 * Restores the state of an old port; what belongs to its descriptor is kept as the port's
 * restored_link.
 */
static void
restore_port(struct port *port, const struct snapshot *h, struct old_port *old)
{
	struct restored_link *restored_link =
	    calloc(1, sizeof(*restored_link) + old->rest.len + old->filter.len);

	old->taken = true;
	port->traffic = old->traffic;
	port->link->rx_bytes = old->rx_bytes;
	port->link->tx_bytes = old->tx_bytes;
	restore_frames(port, h, old);
	restore_echo(port, old);
	restore_in_flight(port, h, old);
	free(port->held);
	port->held_size = MAX(old->held.len, (size_t)1);
	port->held = malloc(port->held_size);
	if (restored_link == NULL || port->held == NULL) {
		free(restored_link);
		free(port->held);
		port->held = NULL;
		port->held_size = 0;
		return;
	}
	port->held_len = old->held.len;
	if (old->held.len > 0)
		memcpy(port->held, old->held.at, old->held.len);
	restored_link->since_ns = old->since_ns;
	restored_link->heard_ns = old->heard_ns;
	restored_link->discarding = old->discarding;
	memcpy(restored_link->state, old->state, sizeof(restored_link->state));
	restored_link->len = old->rest.len;
	if (restored_link->len > 0)
		memcpy(restored_link->rest, old->rest.at, restored_link->len);
	restored_link->filter_len = old->filter.len;
	if (old->filter.len > 0)
		memcpy(restored_link->rest + restored_link->len, old->filter.at,
		    old->filter.len);
	port->restored_link = restored_link;
}

static void
restore_node(struct node *node, const struct snapshot *h, struct old_node *old)
{
	struct endpoint *ep = node->endpoint;
	struct port *port = TAILQ_FIRST(&node->ports);

	struct unpack u = { .at = old->line_use.at, .left = old->line_use.len };

	node->retired = old->traffic;
	line_use_restore(ep, &u);
	ep->paused = old->paused;
	ep->opens = old->opens;
	ep->losses = old->losses;
	ep->refused = old->refused;
	ep->next_link = old->next_link;
	if (span_is(&old->type, ep->conf->ops->type))
		node_record_restore(
		    node, &old->history, &old->history_frames, old->nhistory);
	if (ep->conf->ops->several || port == NULL || old->nports != 1)
		return;
	restore_port(port, h, &old->port[0]);
	port->spooled = old->spooled;
	if (port->restored_link != NULL) {
		port->restored_link->half = old->half;
		port->restored_link->line = old->line;
	}
}

void
bridge_restore(struct bridge *b)
{
	struct old_node *old;

	if (b->snapshot == NULL)
		return;
	restore_routes(b);
	restore_rates(b);
	exchanges_restore(b, b->snapshot->exchanges);
	for (unsigned i = 0; i < b->nnodes; i++)
		if ((old = snapshot_node(b->snapshot,
			 b->node[i]->endpoint->conf->name)) != NULL)
			restore_node(b->node[i], b->snapshot, old);
}

/* --- a link that has come up ---------------------------------------------- */

static void
restore_permission(struct port *port, const struct old_port *old)
{
	port->refused_len = MIN(old->refused_len, port->held_len);
	if (old->heard_ns != 0)
		port->link->heard_ns = MIN(old->heard_ns, now_ns());
	if (old->writer && port->link->adopted)
		permission_restore(port->link, MIN(old->used_ns, now_ns()));
}

/*
 * Finds the saved state of a connection: by its name, or, for a new datagram peer, by its
 * address.
 */
static void
restore_connection(struct port *port)
{
	const struct snapshot *h = port->node->bridge->snapshot;
	const struct link *link = port->link;
	struct old_node *node;

	if (h == NULL || !link->endpoint->conf->ops->several ||
	    (node = snapshot_node(h, link->endpoint->conf->name)) == NULL ||
	    !span_is(&node->type, link->endpoint->conf->ops->type))
		return;
	for (size_t i = 0; i < node->nports; i++) {
		struct old_port *old = &node->port[i];

		if (old->taken ||
		    (link->adopted ? !span_is(&old->name, link->name)
				   : !link->endpoint->conf->ops->datagram ||
				!span_is(&old->address, link->address)))
			continue;
		restore_port(port, h, old);
		restore_permission(port, old);
		return;
	}
}

/*
 * Keeps the rest of the frame if it was written to a device, which may be the one that is
 * open now; the caller checks that.
 */
static bool
restored_link_keeps_rest(
    struct port *port, const struct restored_link *restored_link)
{
	struct in_flight *h = &port->in_flight;

	if (!restored_link->half ||
	    (h->rest = malloc(MAX(restored_link->len, 1u))) == NULL)
		return false;
	memcpy(h->rest, restored_link->rest, restored_link->len);
	h->rest_len = restored_link->len;
	h->device = restored_link->line;
	return true;
}

/* The stream that the state belongs to is closed. */
static void
restored_link_lost(struct port *port, const struct restored_link *restored_link)
{
	struct in_flight *h = &port->in_flight;

	port_echo_forget(port);
	if (port->held_len > 0) {
		COUNT(port, bad[BAD_MALFORMED], 1);
		COUNT(port, bad_bytes[BAD_MALFORMED], port->held_len);
		port->held_len = 0;
	}
	if (!h->waits || h->wire == 0)
		return;
	if (restored_link->len == 0) {
		port_in_flight_done(port);
		return;
	}
	if (h->partial && restored_link_keeps_rest(port, restored_link))
		return;
	port->traffic.tx_bytes -= restored_link->len;
	if (!h->partial && restored_link->len == h->wire &&
	    h->payload != NULL) {
		h->wire = 0;
		return;
	}
	port_drop(port, DROP_CUT, NULL, h->len);
	free(h->payload);
	memset(h, 0, sizeof(*h));
}

static void
restored_link_continues(
    struct port *port, const struct restored_link *restored_link)
{
	struct link *link = port->link;

	if (restored_link->since_ns != 0) {
		link->since_ns = restored_link->since_ns;
		if (!link->endpoint->conf->ops->several)
			link->endpoint->since_ns = restored_link->since_ns;
	}
	if (restored_link->heard_ns != 0)
		link->heard_ns = MIN(restored_link->heard_ns, now_ns());
	/* It came up in a previous process, and has received something there. */
	if (link->heard_ns > link->since_ns)
		port->node->frames_before = 0;
	port->decoder.discarding = restored_link->discarding;
	memcpy(port->decoder.state, restored_link->state,
	    sizeof(restored_link->state));
	port->backlog = port->held_len > 0;
	link_filter_restore(link, restored_link->rest + restored_link->len,
	    restored_link->filter_len);
	if (restored_link->len == 0)
		return;
	if (link_hand(link, restored_link->rest, restored_link->len) < 0) {
		restored_link_lost(port, restored_link);
		link_close(link, "out of memory");
		return;
	}
	link->tx_bytes -= restored_link->len;
}

void
port_restore(struct port *port)
{
	const struct snapshot *h = port->node->bridge->snapshot;
	struct restored_link *restored_link;

	port_start_decoder(port);
	if (port->restored_link == NULL)
		restore_connection(port);
	if (port->link->adopted && h != NULL)
		exchanges_restore_master(port, h->exchanges);
	if ((restored_link = port->restored_link) == NULL)
		return;
	port->restored_link = NULL;
	if (port->link->adopted)
		restored_link_continues(port, restored_link);
	else
		restored_link_lost(port, restored_link);
	free(restored_link);
}

void
bridge_restored(struct bridge *b)
{
	b->snapshot = NULL;
	for (unsigned i = 0; i < b->nnodes; i++)
		line_use_settle(b->node[i]->endpoint);
}
