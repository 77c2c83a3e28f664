/*
 * command_value: the attributes.
 *
 * Each kind of object has a table of rows that print a value; endpoints have,
 * beside it, all keys of their section.  A walk visits the attributes of an object,
 * or the one of a name.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <linux/serial.h>

#include "endpoint_serial.h"
#include "command_value.h"
#include "log.h"

struct row {
	const char *name;
	/* False: there is no such value here. */
	bool (*print)(const void *object, size_t at, char *buf, size_t size);
	size_t at;
};

/* --- values -------------------------------------------------------------- */

static void
print_number(uint64_t n, char *buf, size_t size)
{
	snprintf(buf, size, "%" PRIu64, n);
}

/* In seconds, as a plain number. */
static void
print_seconds(uint64_t ns, unsigned digits, char *buf, size_t size)
{
	snprintf(
	    buf, size, "%.*f", (int)digits, (double)ns / (double)NSEC_PER_SEC);
}

static bool
print_counter(const void *object, size_t at, char *buf, size_t size)
{
	print_number(
	    *(const uint64_t *)(const void *)((const char *)object + at), buf,
	    size);
	return true;
}

const char *
attribute_state(const struct node *node)
{
	const struct endpoint *ep = node->endpoint;

	if (ep->paused && ep->state == ENDPOINT_UP)
		return "paused";
	return endpoint_state_name(ep->state);
}

/* A node, and what is summed up over its ports, which may be many: once for all. */
struct node_sums {
	const struct node *node;
	struct traffic traffic;
	size_t bytes, frames; /* that wait */
};

enum node_value {
	NODE_TYPE,
	NODE_STATE,
	NODE_ADDRESS,
	NODE_FRAMING,
	NODE_ERROR,
	NODE_UP,
	NODE_OPENS,
	NODE_LOSSES,
	NODE_REFUSED,
	NODE_PAUSED,
	NODE_PEERS,
	NODE_QUEUED,
	NODE_QUEUED_FRAMES,
	NODE_HELD,
	NODE_DROPPED,
	NODE_ERRORS
};

/* What was read and is not a whole frame yet. */
static uint64_t
count_held(const struct node *node)
{
	const struct port *port;
	uint64_t n = 0;

	TAILQ_FOREACH(port, &node->ports, entry)
		n += port->held_len;
	return n;
}

static unsigned
count_ports(const struct node *node)
{
	const struct port *port;
	unsigned n = 0;

	TAILQ_FOREACH(port, &node->ports, entry)
		n++;
	return n;
}

static uint64_t
node_number(const struct node_sums *sums, enum node_value value)
{
	const struct node *node = sums->node;

	switch (value) {
	case NODE_OPENS:
		return node->endpoint->opens;
	case NODE_LOSSES:
		return node->endpoint->losses;
	case NODE_REFUSED:
		return node->endpoint->refused;
	case NODE_PEERS:
		return count_ports(node);
	case NODE_QUEUED:
		return sums->bytes;
	case NODE_QUEUED_FRAMES:
		return sums->frames;
	case NODE_HELD:
		return count_held(node);
	case NODE_DROPPED:
		return traffic_dropped(&sums->traffic);
	default:
		return traffic_errors(&sums->traffic);
	}
}

static bool
print_node(const void *object, size_t at, char *buf, size_t size)
{
	const struct node_sums *sums = object;
	const struct node *node = sums->node;
	const struct endpoint *ep = node->endpoint;
	const char *text;

	switch (at) {
	case NODE_TYPE:
		text = ep->conf->ops->type;
		break;
	case NODE_STATE:
		text = attribute_state(node);
		break;
	case NODE_ADDRESS:
		text = ep->address;
		break;
	case NODE_FRAMING:
		text = ep->conf->framing.rule->name;
		break;
	case NODE_ERROR:
		text = ep->error;
		break;
	case NODE_PAUSED:
		text = ep->paused ? "yes" : "no";
		break;
	case NODE_UP:
		print_seconds(
		    ep->state == ENDPOINT_UP ? now_ns() - ep->since_ns : 0, 3,
		    buf, size);
		return true;
	default:
		print_number(node_number(sums, (enum node_value)at), buf, size);
		return (at != NODE_PEERS && at != NODE_REFUSED) ||
		    ep->conf->ops->several;
	}
	snprintf(buf, size, "%s", text);
	return true;
}

static bool
print_traffic(const void *object, size_t at, char *buf, size_t size)
{
	const struct node_sums *sums = object;

	return print_counter(&sums->traffic, at, buf, size);
}

#define TRAFFIC(member) print_traffic, offsetof(struct traffic, member)

enum line_error { LINE_FRAME, LINE_PARITY, LINE_OVERRUN, LINE_BREAK };

/* What the driver of a serial port has counted; not there where it counts nothing. */
static bool
print_line_error(const void *object, size_t at, char *buf, size_t size)
{
	const struct node *node = ((const struct node_sums *)object)->node;
	struct serial_icounter_struct c;

	if (node->endpoint->conf->ops != &endpoint_serial ||
	    serial_line_errors(node->endpoint, &c) < 0)
		return false;
	switch (at) {
	case LINE_FRAME:
		print_number((uint64_t)c.frame, buf, size);
		return true;
	case LINE_PARITY:
		print_number((uint64_t)c.parity, buf, size);
		return true;
	case LINE_OVERRUN:
		print_number((uint64_t)(c.overrun + c.buf_overrun), buf, size);
		return true;
	default:
		print_number((uint64_t)c.brk, buf, size);
		return true;
	}
}

static const struct row node_rows[] = {
	{ "type", print_node, NODE_TYPE },
	{ "state", print_node, NODE_STATE },
	{ "address", print_node, NODE_ADDRESS },
	{ "framing", print_node, NODE_FRAMING },
	{ "error", print_node, NODE_ERROR },
	{ "up", print_node, NODE_UP },
	{ "opens", print_node, NODE_OPENS },
	{ "losses", print_node, NODE_LOSSES },
	{ "refused", print_node, NODE_REFUSED },
	{ "paused", print_node, NODE_PAUSED },
	{ "peers", print_node, NODE_PEERS },
	{ "queued", print_node, NODE_QUEUED },
	{ "queued_bytes", print_node, NODE_QUEUED },
	{ "queued_frames", print_node, NODE_QUEUED_FRAMES },
	{ "rx_bytes", TRAFFIC(rx_bytes) },
	{ "rx_frames", TRAFFIC(rx_frames) },
	{ "rx_payload", TRAFFIC(rx_payload) },
	{ "rx_overhead", TRAFFIC(rx_overhead) },
	{ "rx_held", print_node, NODE_HELD },
	{ "tx_bytes", TRAFFIC(tx_bytes) },
	{ "tx_frames", TRAFFIC(tx_frames) },
	{ "tx_payload", TRAFFIC(tx_payload) },
	{ "unchecked", TRAFFIC(unchecked) },
	{ "stalls", TRAFFIC(stalls) },
	{ "line_frame", print_line_error, LINE_FRAME },
	{ "line_parity", print_line_error, LINE_PARITY },
	{ "line_overrun", print_line_error, LINE_OVERRUN },
	{ "line_break", print_line_error, LINE_BREAK },
	{ "errors", print_node, NODE_ERRORS },
	{ "dropped", print_node, NODE_DROPPED },
	{ "dropped_bytes", TRAFFIC(dropped_bytes) },
	{ .name = NULL },
};

enum route_value { ROUTE_P50, ROUTE_P99, ROUTE_MAX };

static bool
print_latency(const void *object, size_t at, char *buf, size_t size)
{
	const struct histogram *h = &((const struct route *)object)->latency;
	uint64_t ns = h->max_ns;

	if (at != ROUTE_MAX)
		ns = histogram_percentile(h, at == ROUTE_P50 ? 50 : 99);
	print_seconds(ns, 9, buf, size);
	return true;
}

/* Counters of routes that have a rate, or an expression, or are exchanges. */
static bool
print_limited(const void *object, size_t at, char *buf, size_t size)
{
	const struct route *route = object;

	return print_counter(object, at, buf, size) && route->until != NULL;
}

static bool
print_exchanged(const void *object, size_t at, char *buf, size_t size)
{
	const struct route *route = object;

	return print_counter(object, at, buf, size) && route->conf != NULL &&
	    route->conf->exchange != EXCHANGE_NONE;
}

static bool
print_too_long(const void *object, size_t at, char *buf, size_t size)
{
	const struct route *route = object;

	return print_counter(object, at, buf, size) &&
	    (route->match != NULL || route->reject != NULL);
}

#define LIMITED(member) print_limited, offsetof(struct route, member)
#define EXCHANGED(member) print_exchanged, offsetof(struct route, member)

static const struct row route_rows[] = {
	{ "frames", print_counter, offsetof(struct route, frames) },
	{ "bytes", print_counter, offsetof(struct route, bytes) },
	{ "rejected", print_counter, offsetof(struct route, rejected) },
	{ "limited", LIMITED(limited) },
	{ "too_long", print_too_long, offsetof(struct route, too_long) },
	{ "answers", EXCHANGED(answers) },
	{ "timeouts", EXCHANGED(timeouts) },
	{ "late", EXCHANGED(late) },
	{ "foreign", EXCHANGED(foreign) },
	{ "p50", print_latency, ROUTE_P50 },
	{ "p99", print_latency, ROUTE_P99 },
	{ "max", print_latency, ROUTE_MAX },
	{ .name = NULL },
};

/* The start of the process, in clock ticks since the machine's: field 22. */
static uint64_t
start_ticks(void)
{
	char text[1024], *p = NULL;
	unsigned long long ticks = 0;
	FILE *f = fopen("/proc/self/stat", "re");

	if (f == NULL)
		return 0;
	if (fgets(text, sizeof(text), f) != NULL)
		p = strrchr(text, ')');
	fclose(f);
	for (int i = 2; p != NULL && i < 22; i++)
		p = strchr(p + 1, ' ');
	if (p != NULL)
		ticks = strtoull(p, NULL, 10);
	return ticks;
}

uint64_t
attribute_uptime(void)
{
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK), start, now;
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	now = (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
	start = start_ticks() * (NSEC_PER_SEC / hz);
	return start != 0 && now > start ? now - start : 0;
}

/* Resident bytes, 0 where the system does not tell. */
static uint64_t
resident(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long long pages = 0;

	if (f == NULL)
		return 0;
	if (fscanf(f, "%*u %llu", &pages) != 1)
		pages = 0;
	fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

enum daemon_value {
	DAEMON_NAME,
	DAEMON_VERSION,
	DAEMON_LOG_LEVEL,
	DAEMON_UPTIME,
	DAEMON_PID,
	DAEMON_WAITS,
	DAEMON_EVENTS,
	DAEMON_ENDPOINTS,
	DAEMON_UP,
	DAEMON_MEMORY
};

static int
count_event(const struct event_base *base, const struct event *ev, void *arg)
{
	(void)base;
	if (event_get_fd(ev) >= 0 || event_pending(ev, EV_TIMEOUT, NULL))
		(*(uint64_t *)arg)++;
	return 0;
}

/* Events that libevent has armed; one that has a timeout too is still one. */
static uint64_t
count_events(const struct bridge *b)
{
	uint64_t n = 0;

	event_base_foreach_event(b->base, count_event, &n);
	return n;
}

static uint64_t
daemon_number(const struct call *call, enum daemon_value value)
{
	switch (value) {
	case DAEMON_PID:
		return (uint64_t)getpid();
	case DAEMON_WAITS:
		return task_waiting();
	case DAEMON_EVENTS:
		return count_events(call->bridge);
	case DAEMON_ENDPOINTS:
		return call->bridge->nnodes;
	case DAEMON_UP:
		return bridge_up(call->bridge);
	default:
		return resident();
	}
}

static const char *
daemon_name(const struct call *call)
{
	const struct daemon_hooks *hooks = call->client->hooks;
	const char *name = NULL;

	if (hooks != NULL && hooks->daemon != NULL)
		name = hooks->daemon()->name;
	return name != NULL ? name : "ttybridged";
}

static bool
print_daemon(const void *object, size_t at, char *buf, size_t size)
{
	const struct call *call = object;
	uint64_t n;

	switch (at) {
	case DAEMON_NAME:
		snprintf(buf, size, "%s", daemon_name(call));
		return true;
	case DAEMON_VERSION:
		snprintf(buf, size, "%s", VERSION);
		return true;
	case DAEMON_LOG_LEVEL:
		snprintf(buf, size, "%s", log_level_name(log_level()));
		return true;
	case DAEMON_UPTIME:
		print_seconds(attribute_uptime(), 2, buf, size);
		return true;
	default:
		n = daemon_number(call, (enum daemon_value)at);
		print_number(n, buf, size);
		return at != DAEMON_MEMORY || n != 0;
	}
}

static const struct row daemon_rows[] = {
	{ "name", print_daemon, DAEMON_NAME },
	{ "version", print_daemon, DAEMON_VERSION },
	{ "log_level", print_daemon, DAEMON_LOG_LEVEL },
	{ "pid", print_daemon, DAEMON_PID },
	{ "uptime", print_daemon, DAEMON_UPTIME },
	{ "endpoints", print_daemon, DAEMON_ENDPOINTS },
	{ "up", print_daemon, DAEMON_UP },
	{ "waits", print_daemon, DAEMON_WAITS },
	{ "events", print_daemon, DAEMON_EVENTS },
	{ "memory", print_daemon, DAEMON_MEMORY },
	{ .name = NULL },
};

static const struct row top_rows[] = {
	{ "log_level", print_daemon, DAEMON_LOG_LEVEL }, { .name = NULL }
};

/* --- the walk ------------------------------------------------------------ */

static bool
wanted(const struct walk *w, const char *name)
{
	return w->name == NULL || strcmp(w->name, name) == 0;
}

static void
visit(struct walk *w, const char *name, const char *value)
{
	char path[2 * PATH_TEXT_MAX];

	snprintf(path, sizeof(path), "%s%s", w->object, name);
	w->visit(w, path, value);
}

static void
walk_rows(struct walk *w, const struct row *rows, const void *object)
{
	char value[VALUE_TEXT_MAX];

	for (; rows->name != NULL; rows++)
		if (wanted(w, rows->name) &&
		    rows->print(object, rows->at, value, sizeof(value)))
			visit(w, rows->name, value);
}

static void
walk_keys(struct walk *w, const struct key *keys, const void *base)
{
	char value[VALUE_TEXT_MAX];

	for (; keys != NULL && keys->name != NULL; keys++)
		if (wanted(w, keys->name)) {
			key_print(keys, base, value, sizeof(value));
			visit(w, keys->name, value);
		}
}

static void
walk_reasons(struct walk *w, const char *fmt_prefix, const char *suffix,
    const char *const *names, size_t n, const uint64_t *counts)
{
	char name[64], value[32];

	for (size_t i = 0; i < n; i++) {
		snprintf(
		    name, sizeof(name), "%s%s%s", fmt_prefix, names[i], suffix);
		print_number(counts[i], value, sizeof(value));
		if (wanted(w, name))
			visit(w, name, value);
	}
}

static void
walk_node(struct walk *w, const struct node *node)
{
	const struct endpoint_conf *conf = node->endpoint->conf;
	struct node_sums sums = { .node = node };
	const struct traffic *t = &sums.traffic;

	node_traffic(node, &sums.traffic);
	node_queued(node, &sums.bytes, &sums.frames);
	snprintf(w->object, sizeof(w->object), "%s/", conf->name);
	walk_rows(w, node_rows, &sums);
	walk_reasons(w, "bad_", "", bad_reason_names, BAD_REASONS, t->bad);
	walk_reasons(
	    w, "bad_", "_bytes", bad_reason_names, BAD_REASONS, t->bad_bytes);
	walk_reasons(
	    w, "dropped_", "", drop_reason_names, DROP_REASONS, t->dropped);
	walk_keys(w, endpoint_common_keys, conf);
	walk_keys(w, conf->ops->keys, conf);
	walk_keys(w, framing_common_keys, &conf->framing);
	walk_keys(w, conf->framing.rule->keys, &conf->framing);
}

static void
walk_route(struct walk *w, const struct route *route)
{
	snprintf(w->object, sizeof(w->object), "routes/%s/", route->name);
	walk_rows(w, route_rows, route);
}

static void
walk_daemon(struct walk *w)
{
	snprintf(w->object, sizeof(w->object), "daemon/");
	walk_rows(w, daemon_rows, w->call);
}

static void
walk_top(struct walk *w)
{
	w->object[0] = '\0';
	walk_rows(w, top_rows, w->call);
}

bool
walk_next(struct walk *w, struct cursor *at, unsigned *stage)
{
	const struct route *route;
	const struct node *node;

	switch (*stage) {
	case 0:
		walk_top(w);
		++*stage;
		return true;
	case 1:
		walk_daemon(w);
		++*stage;
		return true;
	default:
		if ((node = cursor_node(at)) != NULL)
			walk_node(w, node);
		else if ((route = cursor_route(at)) != NULL)
			walk_route(w, route);
		else
			return false;
		return true;
	}
}

static const struct route *
find_route(const struct bridge *b, const char *name)
{
	for (unsigned i = 0; i < b->routes->nroutes; i++)
		if (strcmp(b->routes->route[i]->name, name) == 0)
			return b->routes->route[i];
	return NULL;
}

bool
walk_object(struct walk *w, const char *object)
{
	const struct bridge *b = w->call->bridge;
	const struct route *route;
	const struct node *node;

	if (*object == '\0') {
		walk_top(w);
	} else if (strcmp(object, "daemon") == 0) {
		walk_daemon(w);
	} else if (strncmp(object, "routes/", 7) == 0) {
		if ((route = find_route(b, object + 7)) == NULL)
			return false;
		walk_route(w, route);
	} else {
		if ((node = bridge_find(b, object)) == NULL)
			return false;
		walk_node(w, node);
	}
	return true;
}
