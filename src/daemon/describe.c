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

int
describe_config(const struct config *c, const struct faults *faults)
{
	json_t *all;
	char *line;
	int r;

	if (c == NULL)
		all = json_pack("{s:o}", "faults", text_list(faults));
	else
		all = json_pack("{s:o, s:o, s:o, s:o}", "controls", controls(c),
		    "endpoints", endpoints(c), "routes", routes(c), "warnings",
		    text_list(faults));
	line = all != NULL ? json_dumps(all, JSON_COMPACT) : NULL;
	json_decref(all);
	if (line == NULL)
		return -ENOMEM;
	r = puts(line) == EOF ? -errno : 0;
	free(line);
	return r;
}
