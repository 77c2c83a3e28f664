/*
 * walk: enumerates all attributes.
 *
 * Each kind of object has a table of rows that print a value; endpoints also have all
 * keys of their section.  A walk visits all attributes of an object, or the one with a
 * given name.
 */
#include <string.h>

#include "value.h"
#include "walk.h"

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

/* The MAVLink systems that were heard from the endpoint, and messages that were lost. */
static void
walk_systems(struct walk *w, const struct node *node)
{
	const struct systems *systems =
	    routes_systems(node->bridge->routes, node->number);
	char name[64], value[32];

	if (systems == NULL)
		return;
	for (unsigned i = 0; i < SYSTEMS_MAX; i++) {
		if (systems->heard_ns[i] == 0)
			continue;
		snprintf(name, sizeof(name), "system_%u_heard", i);
		print_seconds(
		    now_ns() - systems->heard_ns[i], 3, value, sizeof(value));
		if (wanted(w, name))
			visit(w, name, value);
		snprintf(name, sizeof(name), "system_%u_lost", i);
		print_number(systems->lost[i], value, sizeof(value));
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
	walk_systems(w, node);
	walk_keys(w, endpoint_common_keys, conf);
	walk_keys(w, conf->ops->keys, conf->type_conf);
	walk_keys(w, framing_common_keys, &conf->framing);
	walk_keys(w, conf->framing.rule->keys, &conf->framing);
}

static void
walk_route(struct walk *w, const struct route *route)
{
	const struct key *key;
	char value[VALUE_TEXT_MAX];

	snprintf(w->object, sizeof(w->object), "routes/%s/", route->name);
	walk_rows(w, route_rows, route);
	for (key = route_keys; route->conf != NULL && key->name != NULL; key++)
		if (wanted(w, key->name)) {
			route_conf_print(
			    route->conf, key, value, sizeof(value));
			visit(w, key->name, value);
		}
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
		if ((route = routes_find(b->routes, object + 7)) == NULL)
			return false;
		walk_route(w, route);
	} else {
		if ((node = bridge_find(b, object)) == NULL)
			return false;
		walk_node(w, node);
	}
	return true;
}
