/*
 * restore: what one process leaves to the next.
 *
 * Frames that wait and counters go over in any case.  What is tied to an open stream
 * goes over with its descriptor alone: bytes that were read and are not a frame yet,
 * and the end of a frame that the kernel has taken the beginning of.  The port keeps
 * those (struct restored_link) until its link comes up, and then knows which it is.
 *
 * What is read is checked as if a stranger had written it.  A decoder looks again
 * at all bytes it had; of its state only what rules of framings treat as a mere
 * hint is taken over.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "exchange.h"
#include "restore.h"
#include "forward.h"
#include "link.h"
#include "log.h"

#define PORT_SIZE_MIN (16 * sizeof(uint64_t))
#define NODE_SIZE_MIN (8 * sizeof(uint64_t))
#define LINE_SIZE (4 * sizeof(uint64_t))
#define RATE_SIZE_MIN (4 * sizeof(uint64_t))
#define ROUTE_SIZE_MIN (12 * sizeof(uint64_t))
#define NONE UINT32_MAX

/* A port as it was. */
struct old_port {
	struct span name, address;
	uint64_t since_ns, rx_bytes, tx_bytes;
	struct traffic traffic;
	bool discarding;
	uint32_t state[2];
	struct span held; /* read, and not decoded */
	struct span rest; /* handed over, and not written */
	struct in_flight in_flight;
	struct span payload, wire; /* of that frame */
	size_t nframes;
	struct unpack frames;
	bool taken;
};

struct old_node {
	struct span name, type;
	bool paused;
	uint64_t opens, losses, refused;
	unsigned next_link;
	struct traffic traffic;
	bool half;	       /* a frame is partially written... */
	struct device_id line; /* ...to this line */
	size_t nports;
	struct old_port *port;
};

struct old_route {
	struct span name, text;
	uint64_t counter[8];
	uint64_t too_long;
	uint64_t total, max_ns;
	size_t nbuckets;
	struct unpack buckets;
	unsigned number; /* now, NONE: it is no more */
};

struct snapshot {
	size_t nroutes, nnodes, nrates;
	struct old_route *route;
	struct old_node *node;
	struct unpack rates;
	struct old_exchanges *exchanges; /* NULL: there are none */
};

/* --- reading ------------------------------------------------------------- */

/* Of a daemon that counted other things: nothing. */
static void
read_traffic(struct unpack *u, struct traffic *t)
{
	struct span span;

	unpack_span(u, &span);
	if (span.len == sizeof(*t))
		memcpy(t, span.at, sizeof(*t));
}

static void
read_route(struct unpack *u, struct old_route *route)
{
	unpack_span(u, &route->name);
	unpack_span(u, &route->text);
	for (size_t i = 0; i < NELEM(route->counter); i++)
		route->counter[i] = unpack_number(u);
	route->total = unpack_number(u);
	route->max_ns = unpack_number(u);
	route->nbuckets = unpack_count(u, 2 * sizeof(uint64_t));
	route->buckets = *u;
	for (size_t i = 0; i < route->nbuckets; i++) {
		unpack_number_to(u, HISTOGRAM_BUCKETS - 1);
		unpack_number_to(u, UINT32_MAX);
	}
	route->number = NONE;
}

static void
read_frames(struct unpack *u, struct old_port *port)
{
	struct queued q;

	port->nframes = unpack_count(u, FRAME_SIZE_MIN);
	port->frames = *u;
	for (size_t i = 0; i < port->nframes; i++)
		frame_read(u, &q);
}

/* A frame that is to be sent again must be there. */
static void
read_in_flight(struct unpack *u, struct old_port *port)
{
	struct in_flight *h = &port->in_flight;
	struct queued q = { 0 };
	bool there;

	h->waits = unpack_bool(u);
	h->partial = unpack_bool(u);
	h->wire = (size_t)unpack_number(u);
	h->len = (size_t)unpack_number_to(u, FRAMING_MAX_FRAME);
	h->since_ns = unpack_number(u);
	h->route = (unsigned)unpack_number_to(u, UINT32_MAX);
	there = unpack_bool(u);
	unpack_span(u, &port->payload);
	frame_read_wire(u, &q);
	h->spelled = q.spelled;
	port->wire.at = q.wire;
	port->wire.len = h->spelling_len = q.wire_len;
	if (there ? port->payload.len != h->len
		  : port->payload.len != 0 || (h->waits && h->wire == 0))
		u->failed = true;
	if (!h->waits && (there || port->rest.len > 0))
		u->failed = true;
	if (!there) {
		port->payload.at = NULL;
		h->spelling_len = 0;
	}
}

static void
read_port(struct unpack *u, struct old_port *port)
{
	unpack_span(u, &port->name);
	unpack_span(u, &port->address);
	port->since_ns = unpack_number(u);
	port->rx_bytes = unpack_number(u);
	port->tx_bytes = unpack_number(u);
	read_traffic(u, &port->traffic);
	port->discarding = unpack_bool(u);
	for (int i = 0; i < 2; i++)
		port->state[i] = (uint32_t)unpack_number_to(u, UINT32_MAX);
	unpack_span(u, &port->held);
	unpack_span(u, &port->rest);
	read_in_flight(u, port);
	read_frames(u, port);
}

static int
read_node(struct unpack *u, struct old_node *node)
{
	unpack_span(u, &node->name);
	unpack_span(u, &node->type);
	node->paused = unpack_bool(u);
	node->opens = unpack_number(u);
	node->losses = unpack_number(u);
	node->refused = unpack_number(u);
	node->next_link = (unsigned)unpack_number_to(u, UINT32_MAX);
	read_traffic(u, &node->traffic);
	node->nports = unpack_count(u, PORT_SIZE_MIN);
	node->port = calloc(node->nports + 1, sizeof(*node->port));
	if (node->port == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < node->nports; i++)
		read_port(u, &node->port[i]);
	return 0;
}

static void
read_rates(struct snapshot *h, struct unpack *u)
{
	struct span span;

	h->nrates = unpack_count(u, RATE_SIZE_MIN);
	h->rates = *u;
	for (size_t i = 0; i < h->nrates; i++) {
		unpack_span(u, &span);
		unpack_span(u, &span);
		unpack_number(u);
		unpack_number(u);
	}
}

static void
read_lines(struct snapshot *h, struct unpack *u)
{
	size_t n = unpack_count(u, LINE_SIZE);
	struct old_node *node;

	for (size_t i = 0; i < n && h->nnodes > 0; i++) {
		node = &h->node[unpack_number_to(u, h->nnodes - 1)];
		node->half = true;
		node->line.device = unpack_number(u);
		node->line.inode = unpack_number(u);
		node->line.number = unpack_number(u);
	}
}

static int
read_all(struct snapshot *h, struct unpack *u)
{
	size_t n = unpack_count(u, ROUTE_SIZE_MIN);

	if ((h->route = calloc(n + 1, sizeof(*h->route))) == NULL)
		return -ENOMEM;
	for (h->nroutes = n, n = 0; n < h->nroutes; n++)
		read_route(u, &h->route[n]);
	n = unpack_count(u, NODE_SIZE_MIN);
	if ((h->node = calloc(n + 1, sizeof(*h->node))) == NULL)
		return -ENOMEM;
	for (; h->nnodes < n; h->nnodes++)
		if (read_node(u, &h->node[h->nnodes]) < 0)
			return -ENOMEM;
	/* The first version of the format ends here. */
	if (u->left > 0) {
		read_rates(h, u);
		read_lines(h, u);
		if (exchanges_read(u, &h->exchanges) < 0)
			return -ENOMEM;
		for (n = 0; n < h->nroutes; n++)
			h->route[n].too_long = unpack_number(u);
	}
	return u->failed || u->left > 0 ? -EINVAL : 0;
}

int
snapshot_read(const uint8_t *data, size_t len, bool old, struct snapshot **ret)
{
	struct unpack u = { .at = data, .left = len, .old = old };
	struct snapshot *h = calloc(1, sizeof(*h));
	int r = h != NULL ? read_all(h, &u) : -ENOMEM;

	if (r == 0)
		*ret = h;
	else
		snapshot_free(h, NULL);
	return r;
}

/* --- taking over --------------------------------------------------------- */

static void
restore_route(const struct old_route *old, struct route *route)
{
	uint64_t *const counter[] = ROUTE_COUNTERS(route);
	struct histogram *h = &route->latency;
	struct unpack u = old->buckets;

	for (size_t i = 0; i < NELEM(counter); i++)
		*counter[i] = old->counter[i];
	route->too_long = old->too_long;
	h->total = old->total;
	h->max_ns = old->max_ns;
	if (h->count == NULL)
		h->count = calloc(HISTOGRAM_BUCKETS, sizeof(*h->count));
	for (size_t i = 0; h->count != NULL && i < old->nbuckets; i++) {
		uint64_t bucket = unpack_number(&u);

		h->count[bucket] = (uint32_t)unpack_number(&u);
	}
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
			port_drop(port, DROP_MEMORY, q.len);
	}
}

/* The frame that was on its way. */
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
		port_drop(port, DROP_MEMORY, in_flight->len);
		memset(in_flight, 0, sizeof(*in_flight));
	}
}

/* All that an old port had; what goes with its descriptor becomes the port's restored_link. */
static void
restore_port(struct port *port, const struct snapshot *h, struct old_port *old)
{
	struct restored_link *restored_link =
	    calloc(1, sizeof(*restored_link) + old->rest.len);

	old->taken = true;
	port->traffic = old->traffic;
	port->link->rx_bytes = old->rx_bytes;
	port->link->tx_bytes = old->tx_bytes;
	restore_frames(port, h, old);
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
	restored_link->discarding = old->discarding;
	memcpy(restored_link->state, old->state, sizeof(restored_link->state));
	restored_link->len = old->rest.len;
	if (restored_link->len > 0)
		memcpy(restored_link->rest, old->rest.at, restored_link->len);
	port->restored_link = restored_link;
}

static void
restore_node(struct node *node, const struct snapshot *h, struct old_node *old)
{
	struct endpoint *ep = node->endpoint;
	struct port *port = TAILQ_FIRST(&node->ports);

	node->retired = old->traffic;
	ep->paused = old->paused;
	ep->opens = old->opens;
	ep->losses = old->losses;
	ep->refused = old->refused;
	ep->next_link = old->next_link;
	if (ep->conf->ops->several || port == NULL || old->nports != 1)
		return;
	restore_port(port, h, &old->port[0]);
	if (port->restored_link != NULL) {
		port->restored_link->half = old->half;
		port->restored_link->line = old->line;
	}
}

static struct old_node *
old_node(const struct snapshot *h, const struct endpoint *ep)
{
	for (size_t i = 0; i < h->nnodes; i++)
		if (span_is(&h->node[i].name, ep->conf->name))
			return &h->node[i];
	return NULL;
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
		if ((old = old_node(b->snapshot, b->node[i]->endpoint)) != NULL)
			restore_node(b->node[i], b->snapshot, old);
}

/* A connection finds what it had by its name, a new one by its address. */
static void
restore_connection(struct port *port)
{
	const struct snapshot *h = port->node->bridge->snapshot;
	const struct link *link = port->link;
	struct old_node *node;

	if (h == NULL || !link->endpoint->conf->ops->several ||
	    (node = old_node(h, link->endpoint)) == NULL ||
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
		return;
	}
}

/* Keeps the rest if it was for a line: that may be the one that is open now, which the
 * caller checks. */
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

/* The stream it belongs to is gone. */
static void
restored_link_lost(struct port *port, const struct restored_link *restored_link)
{
	struct in_flight *h = &port->in_flight;

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
	port_drop(port, DROP_CUT, h->len);
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
	port->decoder.discarding = restored_link->discarding;
	memcpy(port->decoder.state, restored_link->state,
	    sizeof(restored_link->state));
	port->backlog = port->held_len > 0;
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

	framing_start(&port->decoder, &port->conf->framing);
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

/* --- the end ------------------------------------------------------------- */

/* Drops what was queued for a connection that does not exist any more or an endpoint of
 * another type, and the part of a frame that had come from it. */
static void
drop_untaken(struct node *node, const struct old_port *old)
{
	struct unpack u = old->frames;
	struct queued q;

	if (old->taken)
		return;
	traffic_add(&node->retired, &old->traffic);
	node->retired.tx_bytes -= old->rest.len;
	node->retired.bad[BAD_MALFORMED] += old->held.len > 0;
	node->retired.bad_bytes[BAD_MALFORMED] += old->held.len;
	for (size_t i = 0; i < old->nframes; i++) {
		frame_read(&u, &q);
		node->retired.dropped[DROP_CLOSED]++;
		node->retired.dropped_bytes += q.len;
	}
	if (!old->in_flight.waits)
		return;
	if (old->in_flight.wire > 0 && old->rest.len == 0) {
		node->retired.tx_frames++;
		node->retired.tx_payload += old->in_flight.len;
		return;
	}
	node->retired.dropped[DROP_CLOSED]++;
	node->retired.dropped_bytes += old->in_flight.len;
}

/* The endpoint does not exist any more, so that no counter can show its frames. */
static void
say_dropped(const struct old_node *old)
{
	size_t frames = 0;

	for (size_t i = 0; i < old->nports; i++)
		frames += old->port[i].nframes + old->port[i].in_flight.waits;
	if (frames > 0)
		log_at(LOG_NOTICE,
		    "%.*s is no longer configured; %zu frame%s that waited for"
		    " it are dropped",
		    (int)old->name.len, (const char *)old->name.at, frames,
		    frames == 1 ? "" : "s");
}

static struct node *
node_now(const struct bridge *b, const struct old_node *old)
{
	for (unsigned i = 0; i < b->nnodes; i++)
		if (span_is(&old->name, b->node[i]->endpoint->conf->name))
			return b->node[i];
	return NULL;
}

void
snapshot_free(struct snapshot *h, struct bridge *b)
{
	struct node *node;

	if (h == NULL)
		return;
	for (size_t i = 0; b != NULL && i < h->nnodes; i++) {
		struct old_node *old = &h->node[i];

		if ((node = node_now(b, old)) == NULL)
			say_dropped(old);
		for (size_t j = 0; node != NULL && j < old->nports; j++)
			drop_untaken(node, &old->port[j]);
	}
	old_exchanges_free(h->exchanges, b);
	for (size_t i = 0; i < h->nnodes; i++)
		free(h->node[i].port);
	free(h->node);
	free(h->route);
	free(h);
}
