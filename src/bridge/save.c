/*
 * save: saves the state of a bridge, for the next process.
 */
#include <string.h>

#include "exchange.h"
#include "restore.h"
#include "forward.h"
#include "history.h"
#include "line_use.h"
#include "link.h"
#include "link_filter.h"
#include "permission.h"
#include "port_spool.h"

static void
save_histogram(const struct histogram *h, struct pack *p)
{
	uint64_t n = 0;

	pack_number(p, h->total);
	pack_number(p, h->max_ns);
	for (unsigned i = 0; h->count != NULL && i < HISTOGRAM_BUCKETS; i++)
		n += h->count[i] != 0;
	pack_number(p, n);
	for (unsigned i = 0; n > 0 && i < HISTOGRAM_BUCKETS; i++) {
		if (h->count[i] == 0)
			continue;
		pack_number(p, i);
		pack_number(p, h->count[i]);
	}
}

static void
save_route(const struct route *route, struct pack *p)
{
	const uint64_t *const counter[] = ROUTE_COUNTERS(route);

	pack_string(p, route->name);
	pack_string(p, route->conf != NULL ? route->conf->text : NULL);
	for (size_t i = 0; i < NELEM(counter); i++)
		pack_number(p, *counter[i]);
	save_histogram(&route->latency, p);
}

static void
save_rest(const struct port *port, struct pack *p)
{
	size_t len = link_pending(port->link);
	uint8_t *at;

	if (port->restored_link != NULL) {
		pack_bytes(
		    p, port->restored_link->rest, port->restored_link->len);
		return;
	}
	if (port->in_flight.rest != NULL) {
		pack_bytes(p, port->in_flight.rest, port->in_flight.rest_len);
		return;
	}
	pack_number(p, len);
	if ((at = pack_room(p, len)) != NULL)
		link_unwritten(port->link, at, len);
}

static void
save_in_flight(const struct in_flight *h, struct pack *p)
{
	const struct queued q = in_flight_queued(h);

	pack_number(p, h->waits);
	pack_number(p, h->partial);
	pack_number(p, h->wire);
	pack_number(p, h->len);
	pack_number(p, h->since_ns);
	pack_number(p, h->route);
	pack_number(p, h->waits && h->payload != NULL);
	pack_bytes(p, q.payload, h->waits && h->payload != NULL ? h->len : 0);
	pack_number(p, q.spelled);
	pack_bytes(p, q.wire, h->waits ? q.wire_len : 0);
}

static void
save_echo(const struct port *port, struct pack *p)
{
	size_t matched = 0;
	const struct queue *sent = port_echo_expected(port, &matched);

	pack_number(p, matched);
	if (sent != NULL)
		queue_save(sent, p);
	else
		pack_number(p, 0);
}

/* Whether the port's client has the right to write, and since when it is silent. */
static void
save_permission(const struct port *port, struct pack *p)
{
	const struct link *link = port->link;
	const struct permission *permission = link->endpoint->permission;
	bool has = permission != NULL && permission->writer == link;

	pack_number(p, link->heard_ns);
	pack_number(p, port->refused_len);
	pack_number(p, has);
	pack_number(p, has ? permission->used_ns : 0);
}

/* The state of the filter, in one piece, which only the filter can read. */
static void
save_filter(const struct port *port, struct pack *p)
{
	const struct restored_link *restored_link = port->restored_link;
	struct pack filter = { .data = NULL };

	if (restored_link == NULL)
		link_filter_save(port->link, &filter);
	p->failed |= filter.failed;
	if (restored_link != NULL)
		pack_bytes(p, restored_link->rest + restored_link->len,
		    restored_link->filter_len);
	else
		pack_bytes(p, filter.data, filter.len);
	pack_free(&filter);
}

static void
save_line_use(const struct endpoint *ep, struct pack *p)
{
	struct pack use = { .data = NULL };

	line_use_save(ep, &use);
	p->failed |= use.failed;
	pack_bytes(p, use.data, use.len);
	pack_free(&use);
}

static void
save_port(const struct port *port, struct pack *p)
{
	const struct link *link = port->link;
	const struct restored_link *restored_link = port->restored_link;

	pack_string(p, link->name);
	pack_string(p, link->address);
	/* 0: it is not up, although its descriptor may be handed over. */
	pack_number(p, link->up ? link->since_ns : 0);
	pack_number(p, link->rx_bytes);
	pack_number(p, link->tx_bytes);
	pack_bytes(p, &port->traffic, sizeof(port->traffic));
	pack_number(p,
	    restored_link ? restored_link->discarding
			  : port->decoder.discarding);
	for (int i = 0; i < 2; i++)
		pack_number(p,
		    restored_link ? restored_link->state[i]
				  : port->decoder.state[i]);
	pack_bytes(p, port->held, port->held_len);
	save_rest(port, p);
	save_in_flight(&port->in_flight, p);
	queue_save(&port->queue, p);
	save_echo(port, p);
	save_filter(port, p);
	save_permission(port, p);
}

static void
save_node(const struct node *node, struct pack *p)
{
	const struct endpoint *ep = node->endpoint;
	const struct port *port;
	uint64_t n = 0;

	TAILQ_FOREACH(port, &node->ports, entry)
		n++;
	pack_string(p, ep->conf->name);
	pack_string(p, ep->conf->ops->type);
	pack_number(p, ep->paused);
	pack_number(p, ep->opens);
	pack_number(p, ep->losses);
	pack_number(p, ep->refused);
	pack_number(p, ep->next_link);
	pack_bytes(p, &node->retired, sizeof(node->retired));
	pack_number(p, n);
	TAILQ_FOREACH(port, &node->ports, entry)
		save_port(port, p);
	save_line_use(ep, p);
	history_save(node->history, p);
}

/* Saves a rate that is still in use at that time; without p only counts it. */
static uint64_t
save_rate(const struct route *route, const struct node *to, uint64_t message,
    uint64_t until, uint64_t now, struct pack *p)
{
	if (until <= now)
		return 0;
	if (p != NULL) {
		pack_string(p, route->name);
		pack_string(p, to->endpoint->conf->name);
		pack_number(p, message);
		pack_number(p, until);
	}
	return 1;
}

/* Saves the rates of a route, for each endpoint and message; returns their number. */
static uint64_t
save_route_rates(const struct bridge *b, const struct route *route,
    uint64_t now, struct pack *p)
{
	const struct message_rates *rates;
	uint64_t n = 0;

	for (unsigned i = 0; route->until != NULL && i < b->nnodes; i++) {
		n += save_rate(route, b->node[i], 0, route->until[i], now, p);
		rates = route->messages[i];
		for (size_t j = 0; rates != NULL && j < RATE_MESSAGES; j++)
			n += save_rate(route, b->node[i], rates->at[j].message,
			    rates->at[j].until, now, p);
	}
	return n;
}

static void
save_rates(const struct bridge *b, struct pack *p)
{
	uint64_t n = 0, now = now_ns();

	for (unsigned i = 0; i < b->routes->nroutes; i++)
		n += save_route_rates(b, b->routes->route[i], now, NULL);
	pack_number(p, n);
	for (unsigned i = 0; i < b->routes->nroutes; i++)
		save_route_rates(b, b->routes->route[i], now, p);
}

/* The line to which a frame is partially written; false: there is none. */
static bool
half_on_line(const struct node *node, struct device_id *ret)
{
	const struct port *port = TAILQ_FIRST(&node->ports);

	if (port == NULL || !port->in_flight.partial)
		return false;
	if (port->restored_link == NULL && port->in_flight.rest == NULL)
		return link_device(port->link, ret);
	*ret = port->restored_link != NULL ? port->restored_link->line
					   : port->in_flight.device;
	return port->restored_link == NULL || port->restored_link->half;
}

/* Saves the lines with the numbers of their nodes. */
static void
save_lines(const struct bridge *b, struct pack *p)
{
	struct device_id line;
	uint64_t n = 0;

	for (unsigned i = 0; i < b->nnodes; i++)
		n += half_on_line(b->node[i], &line);
	pack_number(p, n);
	for (unsigned i = 0; i < b->nnodes; i++) {
		if (!half_on_line(b->node[i], &line))
			continue;
		pack_number(p, i);
		pack_number(p, line.device);
		pack_number(p, line.inode);
		pack_number(p, line.number);
	}
}

/* Saves which of its endpoints a route uses, by name; "" if it uses all. */
static void
save_choice(const struct bridge *b, const struct route *route, struct pack *p)
{
	const struct choice *choice = route->choice;

	pack_string(p,
	    choice == NULL
		? NULL
		: b->node[choice->member[choice->used]]->endpoint->conf->name);
	pack_number(p, route->switches);
	pack_number(p, route->standby);
}

/* How many frames the next process finds in the spool of each node. */
static void
save_spools(const struct bridge *b, struct pack *p)
{
	const struct port *port;

	for (unsigned i = 0; i < b->nnodes; i++) {
		port = TAILQ_FIRST(&b->node[i]->ports);
		pack_number(p,
		    port != NULL && port->spooling
			? port_spool_unfed(port->spool)
			: 0);
	}
}

void
bridge_save(const struct bridge *b, struct pack *p)
{
	pack_number(p, b->routes->nroutes);
	for (unsigned i = 0; i < b->routes->nroutes; i++)
		save_route(b->routes->route[i], p);
	pack_number(p, b->nnodes);
	for (unsigned i = 0; i < b->nnodes; i++)
		save_node(b->node[i], p);
	save_rates(b, p);
	save_lines(b, p);
	exchanges_save(b, p);
	for (unsigned i = 0; i < b->routes->nroutes; i++)
		pack_number(p, b->routes->route[i]->too_long);
	for (unsigned i = 0; i < b->routes->nroutes; i++) {
		const struct exchange_stats *stats = b->routes->route[i]->stats;

		pack_number(p, stats != NULL);
		if (stats == NULL)
			continue;
		pack_bytes(p, &stats->counters, sizeof(stats->counters));
		save_histogram(&stats->bus_time, p);
	}
	for (unsigned i = 0; i < b->routes->nroutes; i++)
		save_choice(b, b->routes->route[i], p);
	save_spools(b, p);
}
