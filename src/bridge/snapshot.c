/*
 * snapshot: reads the state that the previous process saved, and finally counts what was
 * not restored.
 *
 * The input is treated as untrusted.  A decoder examines all bytes that it had again; of
 * its state only what framings treat as a mere hint is restored.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "exchange.h"
#include "forward.h"
#include "log.h"
#include "snapshot.h"

#define PORT_SIZE_MIN (16 * sizeof(uint64_t))
#define NODE_SIZE_MIN (8 * sizeof(uint64_t))
#define LINE_SIZE (4 * sizeof(uint64_t))
#define RATE_SIZE_MIN (4 * sizeof(uint64_t))
#define ROUTE_SIZE_MIN (12 * sizeof(uint64_t))

/* --- reading -------------------------------------------------------------- */

/* Counters of a version without the last two reasons for drops. */
static bool
read_old_traffic(const struct span *span, struct traffic *t)
{
	size_t head = offsetof(struct traffic, dropped[DROP_DAMAGED]);
	size_t tail = offsetof(struct traffic, dropped_bytes);
	size_t missing = tail - head;
	bool all = span->len == sizeof(*t) - missing;

	if (all || span->len == offsetof(struct traffic, offered) - missing) {
		memcpy(t, span->at, head);
		memcpy((uint8_t *)t + tail, span->at + head, span->len - head);
	}
	if (!all)
		t->offered = t->tx_frames + traffic_dropped(t);
	return all;
}

/*
 * Counters of a version with a different set of them are ignored, except that of the version
 * that did not count the frames that were offered: then it returns false, and those that are
 * queued have to be added.
 */
static bool
read_traffic(struct unpack *u, struct traffic *t)
{
	struct span span;

	unpack_span(u, &span);
	if (u->version < PACK_ORIGINS)
		return read_old_traffic(&span, t);
	if (span.len == sizeof(*t)) {
		memcpy(t, span.at, sizeof(*t));
		return true;
	}
	t->offered = t->tx_frames + traffic_dropped(t);
	return false;
}

static void
read_histogram(struct unpack *u, struct old_histogram *h)
{
	h->total = unpack_number(u);
	h->max_ns = unpack_number(u);
	h->nbuckets = unpack_count(u, 2 * sizeof(uint64_t));
	h->buckets = *u;
	for (size_t i = 0; i < h->nbuckets; i++) {
		unpack_number_to(u, HISTOGRAM_BUCKETS - 1);
		unpack_number_to(u, UINT32_MAX);
	}
}

static void
read_route(struct unpack *u, struct old_route *route)
{
	unpack_span(u, &route->name);
	unpack_span(u, &route->text);
	for (size_t i = 0; i < NELEM(route->counter); i++)
		route->counter[i] = unpack_number(u);
	if (u->version < PACK_EXCHANGES) {
		route->counters.answers = unpack_number(u);
		route->counters.timeouts = unpack_number(u);
		route->counters.late = unpack_number(u);
		route->counters.foreign = unpack_number(u);
	}
	read_histogram(u, &route->latency);
	route->number = NONE;
}

static void
read_stats(struct unpack *u, struct old_route *route)
{
	struct span span;

	if (!unpack_bool(u))
		return;
	unpack_span(u, &span);
	if (span.len == sizeof(route->counters))
		memcpy(&route->counters, span.at, span.len);
	read_histogram(u, &route->bus_time);
}

static void
read_choice(struct unpack *u, struct old_route *route)
{
	unpack_span(u, &route->used);
	route->switches = unpack_number(u);
	route->standby = unpack_number(u);
}

/*
 * The exchanges of another version are not restored, and neither is what follows them.
 * True: there are none.
 */
static bool
skip_exchanges(struct unpack *u)
{
	bool none = unpack_number(u) == 0;

	if (!none)
		u->left = 0;
	return none;
}

/* Checks the frames, and returns their number and where they are. */
static size_t
read_frames(struct unpack *u, struct unpack *ret_frames)
{
	size_t n = unpack_count(u, FRAME_SIZE_MIN);
	struct queued q;

	*ret_frames = *u;
	for (size_t i = 0; i < n; i++)
		frame_read(u, &q);
	return n;
}

/* A frame that is to be sent again must be included. */
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
	bool counted;

	unpack_span(u, &port->name);
	unpack_span(u, &port->address);
	port->since_ns = unpack_number(u);
	port->rx_bytes = unpack_number(u);
	port->tx_bytes = unpack_number(u);
	counted = read_traffic(u, &port->traffic);
	port->discarding = unpack_bool(u);
	for (int i = 0; i < 2; i++)
		port->state[i] = (uint32_t)unpack_number_to(u, UINT32_MAX);
	unpack_span(u, &port->held);
	unpack_span(u, &port->rest);
	read_in_flight(u, port);
	port->nframes = read_frames(u, &port->frames);
	if (!counted)
		port->traffic.offered += port->nframes + port->in_flight.waits;
	if (u->version < PACK_EXCHANGES)
		return;
	port->echo_matched = (size_t)unpack_number(u);
	port->necho = read_frames(u, &port->echo);
	if (u->version >= PACK_FILTERS)
		unpack_span(u, &port->filter);
	if (u->version < PACK_PERMISSIONS)
		return;
	port->heard_ns = unpack_number(u);
	port->refused_len = (size_t)unpack_number(u);
	port->writer = unpack_bool(u);
	port->used_ns = unpack_number(u);
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
	if (u->version >= PACK_FILTERS)
		unpack_span(u, &node->line_use);
	if (u->version < PACK_HISTORY)
		return 0;
	unpack_span(u, &node->history);
	node->nhistory = read_frames(u, &node->history_frames);
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
		if (u->version < PACK_EXCHANGES) {
			if (!skip_exchanges(u))
				return 0;
		} else if (exchanges_read(u, &h->exchanges) < 0)
			return -ENOMEM;
		for (n = 0; n < h->nroutes; n++)
			h->route[n].too_long = unpack_number(u);
		for (n = 0; u->version >= PACK_EXCHANGES && n < h->nroutes; n++)
			read_stats(u, &h->route[n]);
		for (n = 0; u->version >= PACK_ORIGINS && n < h->nroutes; n++)
			read_choice(u, &h->route[n]);
		for (n = 0; u->version >= PACK_ORIGINS && n < h->nnodes; n++)
			h->node[n].spooled = unpack_number(u);
	}
	return u->failed || u->left > 0 ? -EINVAL : 0;
}

int
snapshot_read(
    const uint8_t *data, size_t len, int version, struct snapshot **ret)
{
	struct unpack u = { .at = data, .left = len, .version = version };
	struct snapshot *h = calloc(1, sizeof(*h));
	int r = h != NULL ? read_all(h, &u) : -ENOMEM;

	if (r == 0)
		*ret = h;
	else
		snapshot_free(h, NULL);
	return r;
}

/* --- without a file ------------------------------------------------------- */

struct snapshot *
snapshot_new(void)
{
	return calloc(1, sizeof(struct snapshot));
}

/* The node with that name, created if there is none; NULL: out of memory. */
static struct old_node *
make_node(struct snapshot *h, const char *name)
{
	struct old_node *node = snapshot_node(h, name);

	if (node != NULL)
		return node;
	node = reallocarray(h->node, h->nnodes + 1, sizeof(*node));
	if (node == NULL)
		return NULL;
	h->node = node;
	node = &h->node[h->nnodes++];
	memset(node, 0, sizeof(*node));
	return node;
}

/* Reads what snapshot_add_queue() has packed, and gives it to the new port. */
static int
add_port(struct snapshot *h, const char *name, const struct pack *p)
{
	struct unpack u = {
		.at = p->data, .left = p->len, .version = PACK_VERSION
	};
	struct old_port port = { .data = p->data }, *more;
	struct span node_name, type;
	struct old_node *node;

	unpack_span(&u, &node_name);
	unpack_span(&u, &type);
	unpack_span(&u, &port.name);
	port.nframes = read_frames(&u, &port.frames);
	if (u.failed)
		return -EINVAL;
	port.traffic.offered = port.nframes;
	if ((node = make_node(h, name)) == NULL)
		return -ENOMEM;
	more = reallocarray(node->port, node->nports + 1, sizeof(*more));
	if (more == NULL)
		return -ENOMEM;
	node->name = node_name;
	node->type = type;
	node->port = more;
	node->port[node->nports++] = port;
	return 0;
}

int
snapshot_add_queue(struct snapshot *h, const struct endpoint_conf *conf,
    const char *port_name, const struct queue *queue)
{
	struct pack p = { .data = NULL };
	int r;

	pack_string(&p, conf->name);
	pack_string(&p, conf->ops->type);
	pack_string(&p, port_name);
	queue_save(queue, &p);
	r = p.failed ? -ENOMEM : add_port(h, conf->name, &p);
	if (r < 0)
		pack_free(&p);
	return r;
}

/* --- restored, or dropped ------------------------------------------------- */

struct old_node *
snapshot_node(const struct snapshot *h, const char *name)
{
	for (size_t i = 0; i < h->nnodes; i++)
		if (span_is(&h->node[i].name, name))
			return &h->node[i];
	return NULL;
}

/*
 * Counts as dropped the frames that were queued for a connection that no longer exists or
 * an endpoint of another type, and the partial frame that was received from it.
 */
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

/*
 * Logs the frames of an endpoint that no longer exists, because no counter can include
 * them.
 */
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
	for (size_t i = 0; i < h->nnodes; i++) {
		for (size_t j = 0; j < h->node[i].nports; j++)
			free(h->node[i].port[j].data);
		free(h->node[i].port);
	}
	free(h->node);
	free(h->route);
	free(h);
}
