/*
 * describe: a checked configuration as JSON.
 *
 * jansson ignores the failure to create a value until the object is printed, because
 * each function accepts NULL in place of a value and fails.
 */
#include <errno.h>
#include <stdlib.h>

#include <jansson.h>

#include "describe.h"

/* Text of the configuration need not be UTF-8, which JSON is. */
static json_t *
text(const char *s)
{
	char shown[1024];

	if (s == NULL)
		return json_null();
	printable(s, shown, sizeof(shown));
	return json_string(shown);
}

static json_t *
text_list(const struct faults *faults)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < faults->n; i++)
		json_array_append_new(list, text(faults->text[i]));
	return list;
}

static json_t *
endpoints(const struct config *c)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < c->nendpoints; i++) {
		const struct endpoint_conf *conf = c->endpoints[i];
		const char *framing = conf->framing.rule->name;

		json_array_append_new(list,
		    json_pack("{s:s, s:s, s:s, s:o, s:i}", "name", conf->name,
			"type", conf->ops->type, "framing", framing, "label",
			text(conf->label), "line", conf->line));
	}
	return list;
}

static json_t *
routes(const struct config *c)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < c->nroutes; i++) {
		const struct route_conf *conf = c->routes[i];

		json_array_append_new(list,
		    json_pack("{s:s, s:o, s:o, s:o, s:i}", "name", conf->name,
			"between", text(conf->between), "from",
			text(conf->from), "to", text(conf->to), "line",
			conf->line));
	}
	return list;
}

static json_t *
controls(const struct config *c)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < c->ncontrols; i++) {
		const struct control_conf *conf = c->controls[i];

		if (conf->http)
			continue;
		json_array_append_new(list,
		    json_pack("{s:s, s:o, s:s, s:b, s:i}", "name", conf->name,
			"listen", text(conf->listen), "access",
			conf->access == ACCESS_FULL ? "full" : "read", "tls",
			conf->tls.on, "line", conf->line));
	}
	return list;
}

/* --- the values of keys ----------------------------------------------------- */

static void
add_value(json_t *all, const char *object, const char *key, const char *value)
{
	char path[160];

	if (*value == '\0')
		return;
	snprintf(path, sizeof(path), "%s/%s", object, key);
	json_object_set_new(all, path, text(value));
}

static void
add_keys(
    json_t *all, const char *object, const struct key *keys, const void *base)
{
	char value[1024];

	for (; keys != NULL && keys->name != NULL; keys++) {
		key_print(keys, base, value, sizeof(value));
		add_value(all, object, keys->name, value);
	}
}

static void
add_route(json_t *all, const struct route_conf *conf)
{
	const struct key *key;
	char object[96], value[1024];

	snprintf(object, sizeof(object), "routes/%s", conf->name);
	for (key = route_keys; key->name != NULL; key++) {
		route_conf_print(conf, key, value, sizeof(value));
		add_value(all, object, key->name, value);
	}
}

static json_t *
values(const struct config *c)
{
	json_t *all = json_object();

	add_keys(all, "daemon", daemon_keys, &c->daemon);
	for (unsigned i = 0; i < c->ncontrols; i++)
		add_keys(all, c->controls[i]->name,
		    control_conf_keys(c->controls[i]), c->controls[i]);
	for (unsigned i = 0; i < c->nendpoints; i++) {
		const struct endpoint_conf *conf = c->endpoints[i];

		add_value(all, conf->name, "type", conf->ops->type);
		add_value(all, conf->name, "framing", conf->framing.rule->name);
		add_keys(all, conf->name, endpoint_common_keys, conf);
		add_keys(all, conf->name, conf->ops->keys, conf->type_conf);
		add_keys(
		    all, conf->name, conf->framing.rule->keys, &conf->framing);
	}
	for (unsigned i = 0; i < c->nroutes; i++)
		add_route(all, c->routes[i]);
	return all;
}

int
describe_config(
    const struct config *c, const struct faults *faults, bool faulty, bool keys)
{
	json_t *all;
	char *line;
	int r;

	if (faulty)
		all = json_pack("{s:o, s:o}", "faults", text_list(faults),
		    "controls", c != NULL ? controls(c) : json_array());
	else
		all = json_pack("{s:o, s:o, s:o, s:o}", "controls", controls(c),
		    "endpoints", endpoints(c), "routes", routes(c), "warnings",
		    text_list(faults));
	if (!faulty && keys)
		json_object_set_new(all, "keys", values(c));
	line = all != NULL ? json_dumps(all, JSON_COMPACT) : NULL;
	json_decref(all);
	if (line == NULL)
		return -ENOMEM;
	r = puts(line) == EOF ? -errno : 0;
	free(line);
	return r;
}
