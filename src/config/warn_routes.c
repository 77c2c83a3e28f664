/*
 * warn_routes: warnings about the filters and the ends of routes.
 */
#include <string.h>

#include "ini_reader.h"
#include "names.h"
#include "warn_routes.h"

struct warner {
	const struct config *c;
	const struct routes *routes;
	struct faults *faults;
};

static void
warn_sentences(const struct route_conf *conf, struct faults *faults)
{
	const char *list = conf->match_nmea, *word;
	size_t len;

	while (list != NULL && (word = list_word(&list, &len)) != NULL) {
		bool out = *word == '!';

		word += out;
		len -= out;
		/*
		 * Names such as GPRMC have a talker of two letters and three more;
		 * proprietary ones, P and three or more.
		 */
		if (memchr(word, '*', len) != NULL || len > 4 ||
		    (len == 4 && strchr("Pp?", *word) != NULL))
			continue;
		warning_add(faults, conf->file, conf->line,
		    "key 'match_nmea' in [route %s]: '%.*s' does not match"
		    " any sentence; write *%.*s to match those of all"
		    " talkers",
		    conf->name, (int)len, word, (int)len, word);
	}
}

void
warn_nmea(const struct config *c, struct faults *faults)
{
	for (unsigned i = 0; i < c->nroutes; i++)
		warn_sentences(c->routes[i], faults);
}

static void
warn_direction(const struct names *names, const struct route_conf *route,
    const char *key, const char *list, bool source, struct faults *faults)
{
	const struct endpoint_conf *e;
	const char *word, *lacking;
	size_t len;

	while (list != NULL && (word = list_word(&list, &len)) != NULL) {
		if ((e = names_find(names, word, len)) == NULL ||
		    e->ops->lacks == NULL ||
		    (lacking = e->ops->lacks(e, source)) == NULL)
			continue;
		warning_add(faults, route->file, route_conf_line(route, key),
		    "key '%s' in [route %s]: [%s %s] has no '%s': no frame %s",
		    key, route->name, e->ops->type, e->name, lacking,
		    source ? "comes from it" : "is sent to it");
	}
}

int
warn_directions(const struct config *c, struct faults *faults)
{
	struct names names;
	int r = names_init(&names, c);

	for (unsigned i = 0; r == 0 && i < c->nroutes; i++) {
		const struct route_conf *route = c->routes[i];

		warn_direction(
		    &names, route, "from", route->from, true, faults);
		warn_direction(&names, route, "to", route->to, false, faults);
	}
	names_free(&names);
	return r;
}

/* Warns if frames of the source can be longer than the expression can search. */
static bool
warn_longest(struct warner *w, const struct route *route, const char *key,
    const struct expression *e, unsigned from, uint64_t work)
{
	const struct route_conf *conf = w->c->routes[route->number];
	const struct endpoint_conf *source = w->c->endpoints[from];
	size_t longest = e == NULL ? SIZE_MAX : expression_longest(e, work);

	if (longest >= source->framing.max_frame)
		return false;
	warning_add(w->faults, conf->file, conf->line,
	    "key '%s' in [route %s]: frames of '%s' over %zu bytes cost too"
	    " much: they do not pass, and are counted as too_long; 'max_frame'"
	    " allows %llu",
	    key, conf->name, source->name, longest,
	    (unsigned long long)source->framing.max_frame);
	return true;
}

/* Gives at most one warning for each expression. */
static void
warn_expression(struct warner *w, struct route *route, const char *key,
    const struct expression *e)
{
	for (unsigned i = 0; e != NULL && i < w->routes->nsources; i++) {
		const struct route_source *s = &w->routes->source[i];

		for (unsigned j = 0; j < s->ntargets; j++)
			for (unsigned k = 0; k < s->targets[j].nvia; k++)
				if (s->targets[j].via[k] == route &&
				    warn_longest(w, route, key, e, i,
					s->targets[j].work))
					return;
	}
}

static void
warn_tried(struct warner *w, const struct route_conf *conf, const char *key,
    const struct expression *e)
{
	if (e != NULL && expression_is_tried(e))
		warning_add(w->faults, conf->file, conf->line,
		    "key '%s' in [route %s] has a cost that is not known in"
		    " advance, because it %s: frames that take too long do not"
		    " pass, and are counted as too_long",
		    key, conf->name, expression_why_tried(e));
}

void
warn_expressions(
    const struct config *c, struct routes *routes, struct faults *faults)
{
	struct warner w = { c, routes, faults };

	for (unsigned i = 0; i < routes->nroutes; i++) {
		struct route *route = routes->route[i];
		const struct {
			const char *key;
			const struct expression *e;
		} keys[] = { { "match", route->match },
			{ "reject", route->reject },
			{ "live_match", route->live_match } };

		for (size_t j = 0; j < NELEM(keys); j++)
			warn_expression(&w, route, keys[j].key, keys[j].e);
		for (size_t j = 0; j < NELEM(keys); j++)
			warn_tried(&w, c->routes[i], keys[j].key, keys[j].e);
	}
}
