/*
 * show: the commands that show endpoints, peers, routes and the version.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <libserialport.h>

#include "call.h"
#include "permission.h"
#include "tls_link.h"

/* --- endpoints, peers and routes ----------------------------------------- */

/*
 * Why the endpoint is not up, and when it is tried again: one cell, in JSON two.  Of one
 * that is up, that its certificate is about to expire.
 */
static void
show_reason(struct call *call, const struct endpoint *ep)
{
	uint64_t next = endpoint_next_try(ep);
	const char *why = ep->state == ENDPOINT_UP ? "" : ep->error.text;
	char in[24], expiry[96];

	if (*why == '\0' && tls_expires_soon(ep->conf->tls))
		why = tls_expiry(ep->conf->tls, expiry, sizeof(expiry));
	if (call->json) {
		output_cell(call->out, "%s", why);
		output_cell_time(call->out, next, next == 0);
	} else if (next == 0)
		output_cell(call->out, "%s", why);
	else
		output_cell(call->out, "%s; next try in %s", why,
		    format_time(next, in, sizeof(in)));
}

static bool
show_endpoint(struct call *call)
{
	const struct node *node = cursor_node(&call->at);
	struct output *o = call->out;
	const struct endpoint *ep;
	struct traffic t;
	size_t bytes, frames;

	if (node == NULL)
		return false;
	ep = node->endpoint;
	node_traffic(node, &t);
	node_queued(node, &bytes, &frames);
	output_cell(o, "%s", ep->conf->name);
	output_cell(o, "%s", ep->conf->ops->type);
	output_cell(o, "%s", attribute_state(node));
	output_cell(o, "%s", ep->address);
	output_cell(o, "%s", ep->conf->framing.rule->name);
	output_cell_size(o, t.rx_bytes);
	output_cell_size(o, t.tx_bytes);
	output_cell_number(o, t.rx_frames);
	output_cell_number(o, t.tx_frames);
	output_cell_size(o, bytes);
	output_cell_number(o, traffic_dropped(&t));
	output_cell_number(o, traffic_errors(&t));
	output_cell_time(o, now_ns() - ep->since_ns, ep->state != ENDPOINT_UP);
	show_reason(call, ep);
	return true;
}

int
show_endpoints(struct call *call)
{
	const char *const headings[] = {
		"NAME",
		"TYPE",
		"STATE",
		"ADDRESS",
		"FRAMING",
		"RX_BYTES",
		"TX_BYTES",
		"RX_FRAMES",
		"TX_FRAMES",
		"QUEUED",
		"DROPPED",
		"ERRORS",
		"UP",
		"REASON",
		call->json ? "NEXT_TRY" : NULL,
		NULL,
	};

	return call_table(call, headings, show_endpoint);
}

/* Whether a route leads from the endpoint: what it receives is discarded otherwise. */
static bool
has_route(const struct node *node)
{
	const struct routes *routes = node->bridge->routes;

	return node->number < routes->nsources &&
	    routes->source[node->number].ntargets > 0;
}

/* What a peer may do, and who it is. */
static void
show_permission(struct output *o, const struct port *port)
{
	const struct link *link = port->link;
	uint64_t now = now_ns(), lease = link_lease(link, now);
	const char *right;

	output_cell(o, "%s", role_words[link->role]);
	right = right_words[link_right(link, now)];
	output_cell(o, "%s",
	    strcmp(right, "no") != 0 && !has_route(port->node) ? "no-route"
							       : right);
	output_cell_time(o, lease, lease == 0);
	output_cell_size(o, port->traffic.refused_bytes);
	output_cell_time(o, now - link->heard_ns, !link->up);
	output_cell(o, "%s", link_certificate(link));
	output_cell(o, "%s", link_tls_version(link));
}

static bool
show_peer(struct call *call)
{
	const struct port *port = cursor_peer(&call->at);
	struct output *o = call->out;
	const struct link *link;
	size_t bytes, frames;

	if (port == NULL)
		return false;
	link = port->link;
	port_queued(port, &bytes, &frames);
	output_cell(o, "%s", link->name);
	output_cell(o, "%s", link->endpoint->conf->name);
	output_cell(o, "%s", link->address);
	output_cell_size(o, link->rx_bytes);
	output_cell_size(o, link->tx_bytes);
	output_cell_size(o, bytes);
	output_cell_number(o, traffic_dropped(&port->traffic));
	output_cell(o, "%s", port->stalled ? "yes" : "no");
	output_cell_time(o, now_ns() - link->since_ns, !link->up);
	show_permission(o, port);
	output_cell_size(o, port->replayed);
	return true;
}

int
show_peers(struct call *call)
{
	static const char *const headings[] = {
		"NAME",
		"ENDPOINT",
		"ADDRESS",
		"RX_BYTES",
		"TX_BYTES",
		"QUEUED",
		"DROPPED",
		"STALLED",
		"UP",
		"ROLE",
		"WRITES",
		"LEASE",
		"REFUSED",
		"IDLE",
		"CERTIFICATE",
		"TLS",
		"HISTORY",
		NULL,
	};

	return call_table(call, headings, show_peer);
}

static bool
show_route(struct call *call)
{
	const struct route *r = cursor_route(&call->at);
	struct output *o = call->out;
	const struct histogram *h;
	bool none;

	if (r == NULL)
		return false;
	h = &r->latency;
	none = h->total == 0;
	output_cell(o, "%s", r->name);
	output_cell(o, "%s", r->from);
	output_cell(o, "%s", r->to);
	output_cell_number(o, r->frames);
	output_cell_size(o, r->bytes);
	output_cell_number(o, r->rejected);
	output_cell_number(o, r->limited);
	output_cell_time(o, histogram_percentile(h, 50), none);
	output_cell_time(o, histogram_percentile(h, 99), none);
	output_cell_time(o, h->max_ns, none);
	return true;
}

int
show_routes(struct call *call)
{
	static const char *const headings[] = {
		"NAME",
		"FROM",
		"TO",
		"FRAMES",
		"BYTES",
		"REJECTED",
		"LIMITED",
		"P50",
		"P99",
		"MAX",
		NULL,
	};

	return call_table(call, headings, show_route);
}

/* --- version ------------------------------------------------------------- */

int
show_version(struct call *call)
{
	struct output *o = call->out;

	if (call->json) {
		output_pair(o, "name", "ttybridged");
		output_pair(o, "version", "%s", VERSION);
	} else
		output_line(o, "ttybridged %s", VERSION);
	output_pair(o, "libevent", "%s", event_get_version());
	output_pair(o, "libserialport", "%s", sp_get_package_version_string());
#ifdef SYSTEMD_VERSION
	output_pair(o, "systemd", "%s", SYSTEMD_VERSION);
#endif
	output_pair_number(o, "pid", (uint64_t)getpid());
	output_pair_time(o, "uptime", attribute_uptime());
	return 0;
}
