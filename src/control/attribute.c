/*
 * attribute: lists, reads and sets attributes by path: `ar1/rx_bytes`, `ar1/baud`,
 * `routes/main/p99`, `daemon/memory`, `log_level`.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "walk.h"
#include "hint.h"
#include "log.h"

/* Splits a path into the object, which is copied, and the name, which is returned. */
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

/* --- suggestions ---------------------------------------------------------- */

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
collect_object(struct walk *w, const char *kind, const char *name)
{
	char path[PATH_TEXT_MAX];

	snprintf(path, sizeof(path), "%s%s", kind, name);
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

/* Copies the name of the most similar object to buf; false when none is similar. */
static bool
nearest_object(struct walk *w, const char *object, char *buf, size_t size)
{
	const struct bridge *b = w->call->bridge;
	const char *near = NULL;

	collect_object(w, "", "daemon");
	for (unsigned i = 0; i < b->nnodes; i++)
		collect_object(w, "", b->node[i]->endpoint->conf->name);
	for (unsigned i = 0; i < b->routes->nroutes; i++)
		collect_object(w, "routes/", b->routes->route[i]->name);
	if (w->words != NULL)
		near = nearest(object, w->words);
	if (near != NULL)
		snprintf(buf, size, "%s", near);
	free_words(w);
	return near != NULL;
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

static bool
has_key(const void *conf, const char *key)
{
	return is_key(conf, key);
}

static bool
some_type_has(const void *arg, const char *key)
{
	(void)arg;
	for (size_t i = 0; endpoint_types[i] != NULL; i++)
		if (endpoint_types[i]->keys != NULL &&
		    key_find(endpoint_types[i]->keys, key) != NULL)
			return true;
	return false;
}

/* The noun for a key in a message. */
static const char *
key_noun(const char *key, char *buf, size_t size)
{
	static const struct {
		const char *key, *noun;
	} nouns[] = {
		{ "baud", "baud rate" },
		{ "flow", "flow control" },
		{ "dtr", "DTR line" },
		{ "rts", "RTS line" },
	};

	for (size_t i = 0; i < NELEM(nouns); i++)
		if (strcmp(nouns[i].key, key) == 0)
			return nouns[i].noun;
	snprintf(buf, size, "key '%s'", key);
	return buf;
}

/* The endpoint exists, but has no such key: returns whether a specific message was set. */
static bool
fail_key(struct call *call, const struct endpoint_conf *conf, const char *path,
    const char *name)
{
	const struct hint *hint = hint_key(name, has_key, conf);
	const char *type = conf->ops->type, *key = name;
	char noun[64];

	if (hint != NULL) {
		error_append(&call->err, "; did you mean '%s/%s', such as %s?",
		    conf->name, hint->key, hint->example);
		return true;
	}
	if (!some_type_has(NULL, name)) {
		hint = hint_key(name, some_type_has, NULL);
		key = hint != NULL ? hint->key : NULL;
	}
	if (key == NULL)
		return false;
	/* "a udp", "a unix-server": their u is pronounced as a consonant. */
	call_fail(call, ENOENT, "unknown attribute '%.96s': %s %s has no %s",
	    path, strchr("aeio", *type) != NULL ? "an" : "a", type,
	    key_noun(key, noun, sizeof(noun)));
	return true;
}

static int
fail_unknown(struct call *call, const char *path)
{
	struct walk w = { .call = call, .visit = collect };
	char object[PATH_TEXT_MAX], meant[2 * PATH_TEXT_MAX];
	const char *name = split_path(path, object, sizeof(object));
	const char *near = NULL;
	const struct node *node;

	call_fail(call, ENOENT, "unknown attribute '%.96s'", path);
	if (*object == '\0' && bridge_find(call->bridge, name) != NULL)
		return call_fail(call, ENOENT,
		    "unknown attribute '%.96s'; it is an endpoint, whose"
		    " attributes 'list %s' lists",
		    path, name);
	if ((node = bridge_find(call->bridge, object)) != NULL &&
	    fail_key(call, node->endpoint->conf, path, name))
		return -ENOENT;
	if (!walk_object(&w, object)) {
		if (!nearest_object(&w, object, object, sizeof(object))) {
			error_append(&call->err, "; 'list' lists them");
			return -ENOENT;
		}
		walk_object(&w, object);
	}
	snprintf(meant, sizeof(meant), "%s%s%s", object,
	    *object != '\0' ? "/" : "", name);
	if (w.words != NULL)
		near = nearest(meant, w.words);
	for (size_t i = 0; i < w.n; i++)
		if (strcmp(w.words[i], meant) == 0)
			near = meant;
	error_append_meant(&call->err, near);
	if (near == NULL)
		error_append(&call->err, "; 'list%s%s' lists them",
		    *object != '\0' ? " " : "", object);
	free_words(&w);
	return -ENOENT;
}

/* --- the commands -------------------------------------------------------- */

static void
list_one(struct walk *w, const char *path, const char *value)
{
	if (strncmp(path, w->prefix, strlen(w->prefix)) != 0)
		return;
	w->n++;
	if (w->call->json)
		output_pair_value(w->call->out, path, value);
	else
		output_line(w->call->out, "%s = %s", path, value);
}

int
attribute_list(struct call *call)
{
	struct walk w = { .call = call, .visit = list_one };

	w.prefix = call->argc > 1 ? call->argv[1] : "";
	/* `list ar1` lists ar1, and not ar10 as well. */
	if (!call->begun && *w.prefix != '\0' && walk_object(&w, w.prefix))
		return w.n > 0 ? 0 : fail_unknown(call, w.prefix);
	if (!call->begun)
		cursor_open(&call->at, call->bridge);
	while (walk_next(&w, &call->at, &call->stage)) {
		call->shown += w.n;
		w.n = 0;
		if (call_pause(call))
			return CALL_MORE;
	}
	return call->shown > 0 ? 0 : fail_unknown(call, w.prefix);
}

static void
take_value(struct walk *w, const char *path, const char *value)
{
	(void)path;
	if (w->n++ == 0)
		w->value = strdup(value);
}

/* The value of a path, to be freed; NULL with a message. */
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

	if (level >= 0) {
		log_set_level(level);
		return 0;
	}
	call_fail(call, EINVAL,
	    "'%.64s' is not a log level; error, warning, notice, info and "
	    "debug are",
	    value);
	error_append_meant(&call->err, key_meant(value, log_level_words));
	return -EINVAL;
}

static void
append_settable(struct error *err, const struct key *keys, bool common)
{
	for (; keys != NULL && keys->name != NULL; keys++)
		if (common ? !keys->only_in_file : keys->in_place)
			error_append(err, " %s", keys->name);
}

/* The attribute exists, but is no key that could be set. */
static int
fail_set(struct call *call, const char *path, const char *object,
    const struct node *node)
{
	call_fail(call, EPERM, "'%.96s' can be read, not set", path);
	if (node != NULL) {
		error_append(&call->err, "; these can be set:");
		append_settable(&call->err, endpoint_common_keys, true);
		append_settable(
		    &call->err, node->endpoint->conf->ops->keys, false);
	} else if (strncmp(object, "routes/", 7) == 0)
		error_append(&call->err,
		    "; the keys of a route are changed in the file, with a"
		    " reload");
	else
		error_append(&call->err,
		    "; 'log_level' and keys of endpoints can be set");
	return -EPERM;
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
	if (strncmp(object, "routes/", 7) == 0 &&
	    key_find(route_keys, name) != NULL)
		return call_fail(call, EPERM,
		    "'%s' cannot be changed while the daemon runs: change it in"
		    " the file, and reload",
		    path);
	node = bridge_find(call->bridge, object);
	if (node == NULL || !is_key(node->endpoint->conf, name))
		return fail_set(call, path, object, node);
	return endpoint_set(node->endpoint, name, value, &call->err);
}
