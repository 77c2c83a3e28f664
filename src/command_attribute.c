/*
 * command_attribute: what can be asked by path: `ar1/rx_bytes`, `ar1/baud`,
 * `routes/main/p99`, `daemon/memory`, `log_level`.
 *
 * A path is an object and a name.  Each kind of object has a table of rows that
 * print a value; endpoints have, beside it, all keys of their section.  One walk
 * serves all: it visits the attributes of an object, or the one of a name.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "command_call.h"
#include "log.h"

#define VALUE_MAX 1024
#define PATH_TEXT_MAX 160

struct walk {
	const struct call *call;
	const char *name;	/* of the attribute that is wanted, NULL: all */
	char object[PATH_TEXT_MAX];	/* "ar1/", "routes/main/", "" */
	void (*visit)(struct walk *, const char *path, const char *value);
	/* For visit. */
	struct output *out;
	const char *prefix;
	const char **words;
	char *value;
	size_t room;
	size_t n;		/* visited, and of use */
};

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
	snprintf(buf, size, "%.*f", (int)digits,
	    (double)ns / (double)NSEC_PER_SEC);
}

static bool
print_counter(const void *object, size_t at, char *buf, size_t size)
{
	print_number(*(const uint64_t *)(const void *)((const char *)object +
	    at), buf, size);
	return true;
}

enum node_value { NODE_TYPE, NODE_STATE, NODE_ADDRESS, NODE_FRAMING, NODE_ERROR,
    NODE_UP, NODE_OPENS, NODE_LOSSES, NODE_PAUSED, NODE_PEERS, NODE_QUEUED,
    NODE_QUEUED_FRAMES, NODE_DROPPED, NODE_ERRORS };

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
node_number(const struct node *node, enum node_value value)
{
	size_t bytes, frames;

	node_queued(node, &bytes, &frames);
	switch (value) {
	case NODE_OPENS:
		return node->endpoint->opens;
	case NODE_LOSSES:
		return node->endpoint->losses;
	case NODE_PEERS:
		return count_ports(node);
	case NODE_QUEUED:
		return bytes;
	case NODE_QUEUED_FRAMES:
		return frames;
	case NODE_DROPPED:
		return traffic_dropped(&node->traffic);
	default:
		return traffic_errors(&node->traffic);
	}
}

static bool
print_node(const void *object, size_t at, char *buf, size_t size)
{
	const struct node *node = object;
	const struct endpoint *ep = node->endpoint;
	const char *text;

	switch (at) {
	case NODE_TYPE:
		text = ep->conf->ops->type;
		break;
	case NODE_STATE:
		text = ep->paused ? "paused" : endpoint_state_name(ep->state);
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
		print_seconds(ep->state == ENDPOINT_UP ? now_ns() -
		    ep->since_ns : 0, 3, buf, size);
		return true;
	default:
		print_number(node_number(node, (enum node_value)at), buf, size);
		return at != NODE_PEERS || ep->conf->ops->several;
	}
	snprintf(buf, size, "%s", text);
	return true;
}

#define TRAFFIC(member) print_counter, offsetof(struct node, traffic.member)

static const struct row node_rows[] = {
	{ "type", print_node, NODE_TYPE },
	{ "state", print_node, NODE_STATE },
	{ "address", print_node, NODE_ADDRESS },
	{ "framing", print_node, NODE_FRAMING },
	{ "error", print_node, NODE_ERROR },
	{ "up", print_node, NODE_UP },
	{ "opens", print_node, NODE_OPENS },
	{ "losses", print_node, NODE_LOSSES },
	{ "paused", print_node, NODE_PAUSED },
	{ "peers", print_node, NODE_PEERS },
	{ "queued", print_node, NODE_QUEUED },
	{ "queued_bytes", print_node, NODE_QUEUED },
	{ "queued_frames", print_node, NODE_QUEUED_FRAMES },
	{ "rx_bytes", TRAFFIC(rx_bytes) },
	{ "rx_frames", TRAFFIC(rx_frames) },
	{ "rx_payload", TRAFFIC(rx_payload) },
	{ "tx_bytes", TRAFFIC(tx_bytes) },
	{ "tx_frames", TRAFFIC(tx_frames) },
	{ "tx_payload", TRAFFIC(tx_payload) },
	{ "unchecked", TRAFFIC(unchecked) },
	{ "stalls", TRAFFIC(stalls) },
	{ "errors", print_node, NODE_ERRORS },
	{ "dropped", print_node, NODE_DROPPED },
	{ "dropped_bytes", TRAFFIC(dropped_bytes) },
	{ .name = NULL }
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

static const struct row route_rows[] = {
	{ "frames", print_counter, offsetof(struct route, frames) },
	{ "bytes", print_counter, offsetof(struct route, bytes) },
	{ "rejected", print_counter, offsetof(struct route, rejected) },
	{ "p50", print_latency, ROUTE_P50 },
	{ "p99", print_latency, ROUTE_P99 },
	{ "max", print_latency, ROUTE_MAX },
	{ .name = NULL }
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

enum daemon_value { DAEMON_NAME, DAEMON_VERSION, DAEMON_LOG_LEVEL, DAEMON_UPTIME,
    DAEMON_PID, DAEMON_WAITS, DAEMON_EVENTS, DAEMON_ENDPOINTS, DAEMON_UP,
    DAEMON_MEMORY };

/* Events that are armed; one whose callback is due is not. */
static uint64_t
count_events(const struct bridge *b)
{
	return (uint64_t)(event_base_get_num_events(b->base,
	    EVENT_BASE_COUNT_ADDED) - event_base_get_num_events(b->base,
	    EVENT_BASE_COUNT_ACTIVE));
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
	const struct control_hooks *hooks =
	    control_get_hooks(call->session->control);
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
	{ .name = NULL }
};

static const struct row top_rows[] = {
	{ "log_level", print_daemon, DAEMON_LOG_LEVEL },
	{ .name = NULL }
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
	char value[VALUE_MAX];

	for (; rows->name != NULL; rows++)
		if (wanted(w, rows->name) &&
		    rows->print(object, rows->at, value, sizeof(value)))
			visit(w, rows->name, value);
}

static void
walk_keys(struct walk *w, const struct key *keys, const void *base)
{
	char value[VALUE_MAX];

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
		snprintf(name, sizeof(name), "%s%s%s", fmt_prefix, names[i],
		    suffix);
		print_number(counts[i], value, sizeof(value));
		if (wanted(w, name))
			visit(w, name, value);
	}
}

static void
walk_node(struct walk *w, const struct node *node)
{
	const struct endpoint_conf *conf = node->endpoint->conf;
	const struct traffic *t = &node->traffic;

	snprintf(w->object, sizeof(w->object), "%s/", conf->name);
	walk_rows(w, node_rows, node);
	walk_reasons(w, "bad_", "", bad_reason_names, BAD_REASONS, t->bad);
	walk_reasons(w, "bad_", "_bytes", bad_reason_names, BAD_REASONS,
	    t->bad_bytes);
	walk_reasons(w, "dropped_", "", drop_reason_names, DROP_REASONS,
	    t->dropped);
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

static void
walk_all(struct walk *w)
{
	const struct bridge *b = w->call->bridge;

	walk_top(w);
	walk_daemon(w);
	for (unsigned i = 0; i < b->nnodes; i++)
		walk_node(w, b->node[i]);
	for (unsigned i = 0; i < b->routes->nroutes; i++)
		walk_route(w, b->routes->route[i]);
}

static const struct route *
find_route(const struct bridge *b, const char *name)
{
	for (unsigned i = 0; i < b->routes->nroutes; i++)
		if (strcmp(b->routes->route[i]->name, name) == 0)
			return b->routes->route[i];
	return NULL;
}

/* Walks one object, as it is written before the last '/' of a path; false when
 * there is none of that name. */
static bool
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

/* Cuts a path into the object, which is copied, and the name, which is returned. */
static const char *
split_path(const char *path, char *object, size_t size)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL) {
		object[0] = '\0';
		return path;
	}
	snprintf(object, size, "%.*s", (int)(slash - path), path);
	return slash + 1;
}

/* --- the nearest --------------------------------------------------------- */

static void
collect(struct walk *w, const char *path, const char *value)
{
	const char **words;

	(void)value;
	if (w->n + 1 >= w->room) {
		words = reallocarray(w->words, w->room + 128, sizeof(*words));
		if (words == NULL)
			return;
		w->words = words;
		w->room += 128;
	}
	if ((w->words[w->n] = strdup(path)) != NULL)
		w->words[++w->n] = NULL;
}

static void
add_word(struct walk *w, const char *fmt, const char *name)
{
	char path[PATH_TEXT_MAX];

	snprintf(path, sizeof(path), fmt, name);
	collect(w, path, NULL);
}

static void
free_words(struct walk *w)
{
	for (size_t i = 0; i < w->n; i++)
		free((void *)(uintptr_t)w->words[i]);
	free(w->words);
	w->words = NULL;
	w->n = w->room = 0;
}

/* The object whose name is nearest, into buf; false when none is near. */
static bool
nearest_object(struct walk *w, const char *object, char *buf, size_t size)
{
	const struct bridge *b = w->call->bridge;
	const char *near = NULL;

	collect(w, "daemon", NULL);
	for (unsigned i = 0; i < b->nnodes; i++)
		add_word(w, "%s", b->node[i]->endpoint->conf->name);
	for (unsigned i = 0; i < b->routes->nroutes; i++)
		add_word(w, "routes/%s", b->routes->route[i]->name);
	if (w->words != NULL)
		near = nearest(object, w->words);
	if (near != NULL)
		snprintf(buf, size, "%s", near);
	free_words(w);
	return near != NULL;
}

static int
fail_unknown(struct call *call, const char *path)
{
	struct walk w = { .call = call, .visit = collect };
	char object[PATH_TEXT_MAX], meant[2 * PATH_TEXT_MAX];
	const char *name = split_path(path, object, sizeof(object));
	const char *near = NULL;

	call_fail(call, ENOENT, "unknown attribute '%.96s'", path);
	if (*object == '\0' && bridge_find(call->bridge, name) != NULL)
		return call_fail(call, ENOENT, "unknown attribute '%.96s', but"
		    " an endpoint: list %s", path, name);
	if (!walk_object(&w, object)) {
		if (!nearest_object(&w, object, object, sizeof(object)))
			return -ENOENT;
		walk_object(&w, object);
	}
	snprintf(meant, sizeof(meant), "%s%s%s", object,
	    *object != '\0' ? "/" : "", name);
	if (w.words != NULL)
		near = nearest(meant, w.words);
	for (size_t i = 0; i < w.n; i++)
		if (strcmp(w.words[i], meant) == 0)
			near = meant;
	if (near != NULL)
		append(call->err, sizeof(call->err), "; did you mean '%s'?",
		    near);
	free_words(&w);
	return -ENOENT;
}

/* --- the commands -------------------------------------------------------- */

static void
list_one(struct walk *w, const char *path, const char *value)
{
	uint64_t n;

	if (strncmp(path, w->prefix, strlen(w->prefix)) != 0)
		return;
	w->n++;
	if (!w->call->json)
		output_line(w->out, "%s = %s", path, value);
	else if (parse_number(value, 0, INT64_MAX, &n) == 0)
		output_pair_number(w->out, path, n);
	else
		output_pair(w->out, path, "%s", value);
}

int
attribute_list(struct call *call)
{
	struct walk w = { .call = call, .visit = list_one, .out = call->out };

	w.prefix = call->argc > 1 ? call->argv[1] : "";
	/* `list ar1` is about ar1, not about ar10 too. */
	if (bridge_find(call->bridge, w.prefix) != NULL) {
		walk_node(&w, bridge_find(call->bridge, w.prefix));
		return 0;
	}
	walk_all(&w);
	return w.n > 0 ? 0 : fail_unknown(call, w.prefix);
}

static void
take_value(struct walk *w, const char *path, const char *value)
{
	(void)path;
	if (w->n++ == 0)
		w->value = strdup(value);
}

/* The value of a path, to be freed; NULL with a sentence. */
static char *
value_of(struct call *call, const char *path)
{
	struct walk w = { .call = call, .visit = take_value };
	char object[PATH_TEXT_MAX];

	w.name = split_path(path, object, sizeof(object));
	if (strlen(path) >= sizeof(object) || !walk_object(&w, object) ||
	    w.n == 0)
		fail_unknown(call, path);
	else if (w.value == NULL)
		call_fail(call, ENOMEM, "out of memory");
	return w.value;
}

int
attribute_get(struct call *call)
{
	char *value = value_of(call, call->argv[1]);

	if (value == NULL)
		return -ENOENT;
	output_value(call->out, value);
	free(value);
	return 0;
}

static int
set_log_level(struct call *call, const char *value)
{
	int level = log_level_parse(value);
	const char *near = nearest(value, log_level_words);

	if (level >= 0) {
		log_set_level(level);
		return 0;
	}
	call_fail(call, EINVAL, "'%.64s' is not a log level; error, warning,"
	    " notice, info and debug are", value);
	if (near != NULL)
		append(call->err, sizeof(call->err), "; did you mean '%s'?",
		    near);
	return -EINVAL;
}

static bool
is_key(const struct endpoint_conf *conf, const char *name)
{
	const struct key *tables[] = { endpoint_common_keys, conf->ops->keys,
		framing_common_keys, conf->framing.rule->keys };

	for (size_t i = 0; i < NELEM(tables); i++)
		if (tables[i] != NULL && key_find(tables[i], name) != NULL)
			return true;
	return strcmp(name, "framing") == 0;
}

int
attribute_set(struct call *call)
{
	char *path = call->argv[1], *value = call->argv[2], *old;
	char object[PATH_TEXT_MAX];
	const char *name = split_path(path, object, sizeof(object));
	struct node *node;

	for (size_t n = strlen(value); n > 0 && value[n - 1] == ' '; n--)
		value[n - 1] = '\0';
	if ((old = value_of(call, path)) == NULL)
		return -ENOENT;
	free(old);
	if (strcmp(name, "log_level") == 0)
		return set_log_level(call, value);
	node = bridge_find(call->bridge, object);
	if (node == NULL || !is_key(node->endpoint->conf, name))
		return call_fail(call, EPERM, "'%s' can be read, not set", path);
	return endpoint_set(node->endpoint, name, value, call->err,
	    sizeof(call->err));
}
