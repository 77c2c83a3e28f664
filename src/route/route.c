/*
 * route: the table of routes.
 *
 * The table is built from pairs: each route adds one for each (from, to) that it
 * connects.  The pairs are sorted by from, to and the order of the routes in the file, so
 * that those of one source are contiguous, and within them those of one target: targets
 * and the routes that lead to them are slices of two arrays.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "route.h"

struct pair {
	unsigned from, to, route;
};

struct pairs {
	struct pair *pair;
	size_t n, size;
};

struct name {
	const char *name;
	unsigned number;
};

/* The state while a table is built. */
struct making {
	struct routes *routes;
	struct name *names; /* of endpoints, sorted */
	unsigned n;
	const enum route_end *ends; /* NULL: all END_SEVERAL */
	struct pairs pairs;
	struct error *err;
};

/* "A,B", or "*" if there is no list. */
static char *
list_in_words(const char *list)
{
	char *words = strdup(list == NULL ? "*" : list), *out = words;
	const char *word;
	size_t len;

	if (words == NULL || list == NULL)
		return words;
	while ((word = list_word(&list, &len)) != NULL) {
		if (out != words)
			*out++ = ',';
		memcpy(out, word, len);
		out += len;
	}
	*out = '\0';
	return words;
}

/* --- making a table ------------------------------------------------------ */

static int
compare_names(const void *a, const void *b)
{
	return strcmp(
	    ((const struct name *)a)->name, ((const struct name *)b)->name);
}

static int
compare_pairs(const void *x, const void *y)
{
	const struct pair *a = x, *b = y;

	if (a->from != b->from)
		return a->from < b->from ? -1 : 1;
	if (a->to != b->to)
		return a->to < b->to ? -1 : 1;
	return a->route < b->route ? -1 : a->route > b->route;
}

/* Whether frames can be forwarded from one endpoint to the other. */
static bool
may_join(const struct making *m, unsigned from, unsigned to)
{
	if (m->ends == NULL)
		return true;
	if (from == to)
		return m->ends[from] == END_SEVERAL;
	return m->ends[from] != END_ECHO || m->ends[to] != END_ECHO;
}

static int
add_pair(struct making *m, unsigned from, unsigned to, unsigned route)
{
	struct pairs *p = &m->pairs;

	if (!may_join(m, from, to))
		return 0;
	if (p->n == p->size) {
		size_t size = p->size == 0 ? 16 : p->size * 2;
		struct pair *pair = reallocarray(p->pair, size, sizeof(*pair));

		if (pair == NULL)
			return -ENOMEM;
		p->pair = pair;
		p->size = size;
	}
	p->pair[p->n++] = (struct pair){ from, to, route };
	return 0;
}

/* Converts a list to endpoint numbers, to be freed; *n is their number. */
static int
resolve(struct making *m, const char *list, unsigned **ret, unsigned *n)
{
	const char *word;
	size_t len;
	char key[64];
	unsigned *numbers = calloc(strlen(list) / 2 + 1, sizeof(*numbers));

	*n = 0;
	*ret = numbers;
	if (numbers == NULL)
		return -ENOMEM;
	while ((word = list_word(&list, &len)) != NULL) {
		struct name wanted = { .name = key }, *found = NULL;

		snprintf(key, sizeof(key), "%.*s", (int)MIN(len, 63), word);
		if (m->n > 0 && len < sizeof(key))
			found = bsearch(&wanted, m->names, m->n, sizeof(wanted),
			    compare_names);
		if (found == NULL) {
			error_set(m->err, "no endpoint is called '%s'", key);
			return -EINVAL;
		}
		numbers[(*n)++] = found->number;
	}
	return 0;
}

static int
pair_lists(struct making *m, unsigned route, const char *from, const char *to,
    bool itself)
{
	unsigned *f = NULL, *t = NULL, nf, nt = 0;
	int r = resolve(m, from, &f, &nf);

	if (r == 0)
		r = resolve(m, to, &t, &nt);
	for (unsigned i = 0; r == 0 && i < nf; i++)
		for (unsigned j = 0; r == 0 && j < nt; j++)
			if (itself || f[i] != t[j])
				r = add_pair(m, f[i], t[j], route);
	free(f);
	free(t);
	return r;
}

/*
 * Connects all endpoints if there are no routes.  Pairs are not used, because their
 * number would be the square of the number of endpoints.
 */
static int
join_all(struct making *m)
{
	struct routes *routes = m->routes;
	struct route_target *target;

	routes->nsources = m->n;
	routes->source = calloc(m->n + 1UL, sizeof(*routes->source));
	routes->targets = calloc((size_t)m->n * m->n + 1, sizeof(*target));
	routes->via = calloc(1, sizeof(*routes->via));
	if (routes->source == NULL || routes->targets == NULL ||
	    routes->via == NULL)
		return -ENOMEM;
	routes->via[0] = routes->route[0];
	target = routes->targets;
	for (unsigned i = 0; i < m->n; i++) {
		routes->source[i].targets = target;
		routes->source[i].batch = SIZE_MAX;
		for (unsigned j = 0; j < m->n; j++)
			if (i != j && may_join(m, i, j))
				*target++ = (struct route_target){ .from = i,
					.to = j,
					.plain = true,
					.nvia = 1,
					.via = routes->via };
		routes->source[i].ntargets =
		    (unsigned)(target - routes->source[i].targets);
	}
	return 0;
}

/* Compiles the expressions of the section.  -EINVAL with a message in err; -ENOMEM. */
static int
compile(struct route *route, const struct route_conf *conf, struct error *err)
{
	const struct {
		const char *text;
		struct expression **ret;
	} all[] = {
		{ conf->match, &route->match },
		{ conf->reject, &route->reject },
		{ conf->answer_match, &route->answer_match },
		{ conf->no_answer, &route->no_answer },
		{ conf->live_match, &route->live_match },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < NELEM(all); i++)
		if (all[i].text != NULL)
			r = expression_new(all[i].text, all[i].ret, err);
	return r;
}

/* Initializes the names and filters of a route. */
static int
route_start(
    struct route *route, const struct route_conf *conf, struct error *err)
{
	const char *from = NULL, *to = NULL;
	int r;

	if (conf != NULL) {
		from = conf->between != NULL ? conf->between : conf->from;
		to = conf->between != NULL ? conf->between : conf->to;
	}
	route->name = conf == NULL ? "all" : conf->name;
	route->from = list_in_words(from);
	route->to = list_in_words(to);
	if (route->from == NULL || route->to == NULL)
		return -ENOMEM;
	if (conf != NULL && (r = compile(route, conf, err)) != 0)
		return r;
	if (conf != NULL && conf->exchange != EXCHANGE_NONE) {
		route->stats = calloc(1, sizeof(*route->stats));
		if (route->stats == NULL)
			return -ENOMEM;
	}
	route->filtered = route->match != NULL || route->reject != NULL ||
	    (conf != NULL &&
		(conf->match_hex.len > 0 || conf->match_nmea != NULL ||
		    conf->match_mavlink.n > 0 || conf->match_unit.n > 0 ||
		    conf->match_function.n > 0 ||
		    conf->functions != FUNCTIONS_ALL || conf->rate.n > 0 ||
		    conf->prefer != PREFER_NONE || conf->duplicates != 0 ||
		    conf->routing != ROUTING_ALL));
	return 0;
}

/* Allocates the tables of copies, and of MAVLink systems, that the route needs. */
static int
add_tables(struct making *m, struct route *route, const struct route_conf *conf)
{
	struct routes *routes = m->routes;

	if (conf->duplicates != 0 &&
	    (route->duplicates = duplicates_new()) == NULL)
		return -ENOMEM;
	if (conf->routing == ROUTING_ALL)
		return 0;
	if (routes->systems == NULL)
		routes->systems = calloc(m->n + 1UL, sizeof(*routes->systems));
	route->systems = routes->systems;
	return route->systems != NULL ? 0 : -ENOMEM;
}

/* Prepares the choice of a route that uses one of its sources, or destinations. */
static int
add_choice(struct making *m, struct route *route, const struct route_conf *conf)
{
	bool from = conf->prefer == PREFER_FROM;
	unsigned *member, n;
	int r;

	if (conf->prefer == PREFER_NONE)
		return 0;
	r = resolve(m, from ? conf->from : conf->to, &member, &n);
	if (r == 0) {
		route->choice =
		    calloc(1, sizeof(*route->choice) + n * sizeof(*member));
		r = route->choice == NULL ? -ENOMEM : 0;
	}
	if (r == 0) {
		route->choice->of_sources = from;
		route->choice->n = n;
		memcpy(route->choice->member, member, n * sizeof(*member));
	}
	free(member);
	return r;
}

static int
add_route(struct making *m, const struct route_conf *conf)
{
	struct routes *routes = m->routes;
	unsigned number = routes->nroutes;
	struct route *route = zalloc_lines(sizeof(*route));
	int r;

	if (route == NULL)
		return -ENOMEM;
	route->number = number;
	routes->route[number] = routes->slot[number] = route;
	routes->nslots = ++routes->nroutes;
	if (conf != NULL && conf->rate.n > 0) {
		route->until = calloc(m->n + 1UL, sizeof(*route->until));
		route->messages = calloc(m->n + 1UL, sizeof(*route->messages));
		route->nmessages = m->n;
		if (route->until == NULL || route->messages == NULL)
			return -ENOMEM;
	}
	r = route_start(route, conf, m->err);
	if (r != 0)
		return r;
	if (conf == NULL)
		return join_all(m);
	r = route_conf_check(conf, m->err);
	if (r == 0)
		r = add_tables(m, route, conf);
	if (r != 0)
		return r;
	if (conf->between != NULL)
		return pair_lists(
		    m, number, conf->between, conf->between, false);
	if ((r = add_choice(m, route, conf)) != 0)
		return r;
	return pair_lists(m, number, conf->from, conf->to, true);
}

/* The bytes of frames on which each expression of the route makes so many steps. */
static size_t
route_batch(const struct route *route, uint64_t work)
{
	size_t batch = expression_batch(route->match, work);

	batch = MIN(batch, expression_batch(route->reject, work));
	return MIN(batch, expression_batch(route->live_match, work));
}

/*
 * Each target of a source evaluates the expressions of its routes on a frame.  All
 * expressions of the source share the work allowed for a frame, and a batch may cost as
 * much as one frame.
 */
static void
share_work(struct routes *routes, struct route_source *source)
{
	unsigned n = 0;

	source->batch = SIZE_MAX;
	for (unsigned i = 0; i < source->ntargets; i++)
		for (unsigned j = 0; j < source->targets[i].nvia; j++) {
			const struct route *route = source->targets[i].via[j];

			n += (route->match != NULL) + (route->reject != NULL) +
			    (route->live_match != NULL);
		}
	source->work = EXPRESSION_WORK / MAX(n, 1);
	for (unsigned i = 0; i < source->ntargets; i++) {
		struct route_target *target = &source->targets[i];

		target->work = source->work;
		target->spent = &routes->spent;
		for (unsigned j = 0; j < target->nvia; j++)
			source->batch = MIN(source->batch,
			    route_batch(target->via[j], target->work));
	}
}

/* Adds a route with a choice to those of the source. */
static void
add_choosing(struct route_source *source, struct route *route)
{
	for (unsigned i = 0; i < source->nchoosing; i++)
		if (source->choosing[i] == route)
			return;
	source->choosing[source->nchoosing++] = route;
}

/*
 * A target that needs nothing to be done for each frame is plain.  Returns how many of the
 * routes->choosing, from the first on, are of this source.
 */
static unsigned
mark_source(
    struct routes *routes, struct route_source *source, struct route **choosing)
{
	source->choosing = choosing;
	for (unsigned i = 0; i < source->ntargets; i++) {
		struct route_target *target = &source->targets[i];

		target->plain = target->nvia == 1 && !target->via[0]->filtered;
		for (unsigned j = 0; j < target->nvia; j++)
			if (target->via[j]->choice != NULL)
				add_choosing(source, target->via[j]);
	}
	source->hears = source->nchoosing > 0 || routes->systems != NULL;
	return source->nchoosing;
}

/* Finds out for each source what has to be done for its frames.  -ENOMEM. */
static int
mark_sources(struct routes *routes, size_t npairs)
{
	struct route **choosing = NULL;
	bool any = false;

	for (unsigned i = 0; i < routes->nroutes; i++)
		any |= routes->route[i]->choice != NULL;
	if (any) {
		choosing = calloc(npairs + 1, sizeof(*choosing));
		if (choosing == NULL)
			return -ENOMEM;
	}
	routes->choosing = choosing;
	for (unsigned i = 0; i < routes->nsources; i++) {
		struct route_source *source = &routes->source[i];

		share_work(routes, source);
		choosing += mark_source(routes, source, choosing);
	}
	return 0;
}

/* Divides the sorted pairs into sources and targets. */
static int
make_targets(struct making *m)
{
	struct routes *routes = m->routes;
	struct pairs *p = &m->pairs;
	struct route_target *target = NULL;

	routes->nsources = m->n;
	routes->source = calloc(m->n + 1, sizeof(*routes->source));
	routes->targets = calloc(p->n + 1, sizeof(*routes->targets));
	routes->via = calloc(p->n + 1, sizeof(*routes->via));
	if (routes->source == NULL || routes->targets == NULL ||
	    routes->via == NULL)
		return -ENOMEM;
	if (p->n > 0)
		qsort(p->pair, p->n, sizeof(*p->pair), compare_pairs);
	for (size_t i = 0; i < p->n; i++) {
		const struct pair *pair = &p->pair[i];
		struct route_source *source = &routes->source[pair->from];

		if (i == 0 || pair[-1].from != pair->from ||
		    pair[-1].to != pair->to) {
			target = target == NULL ? routes->targets : target + 1;
			target->from = pair->from;
			target->to = pair->to;
			target->via = &routes->via[i];
			if (source->ntargets++ == 0)
				source->targets = target;
		}
		routes->via[i] = routes->route[pair->route];
		target->nvia++;
	}
	return mark_sources(routes, p->n);
}

struct route *
routes_find(const struct routes *r, const char *name)
{
	for (unsigned i = 0; i < r->nroutes; i++)
		if (strcmp(r->route[i]->name, name) == 0)
			return r->route[i];
	return NULL;
}

void
route_used(struct route *route, unsigned to, uint64_t message, uint64_t until,
    uint64_t now)
{
	const struct rate *rate = &route->conf->rate;

	if (message == 0) {
		route->until[to] = rate_carry(rate, until, now);
		return;
	}
	if (route->messages[to] == NULL)
		route->messages[to] = calloc(1, sizeof(**route->messages));
	if (route->messages[to] != NULL)
		message_rate_used(
		    rate, route->messages[to], message, until, now);
}

static int
make(struct making *m, struct route_conf **confs, unsigned nconfs,
    const char *const *endpoints, unsigned *bad)
{
	int r;

	m->names = calloc(m->n + 1, sizeof(*m->names));
	m->routes->route = calloc(nconfs + 1, sizeof(*m->routes->route));
	m->routes->slot = calloc(nconfs + 1, sizeof(*m->routes->slot));
	if (m->names == NULL || m->routes->route == NULL ||
	    m->routes->slot == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < m->n; i++)
		m->names[i] = (struct name){ endpoints[i], i };
	qsort(m->names, m->n, sizeof(*m->names), compare_names);
	if (nconfs == 0)
		return add_route(m, NULL);
	for (unsigned i = 0; i < nconfs; i++) {
		r = add_route(m, confs[i]);
		*bad = i;
		if (r != 0)
			return r;
	}
	return make_targets(m);
}

int
routes_new(struct route_conf **confs, unsigned nconfs,
    const char *const *endpoints, const enum route_end *ends,
    unsigned nendpoints, struct routes **ret, unsigned *bad, struct error *err)
{
	struct making m = { .n = nendpoints,
		.ends = ends,
		.err = err,
		.routes = calloc(1, sizeof(struct routes)) };
	int r;

	error_set(err, "out of memory");
	*bad = 0;
	if (m.routes == NULL)
		return -ENOMEM;
	r = make(&m, confs, nconfs, endpoints, bad);
	free(m.names);
	free(m.pairs.pair);
	if (r != 0) {
		routes_free(m.routes);
		return r;
	}
	for (unsigned i = 0; i < nconfs; i++)
		m.routes->route[i]->conf = confs[i];
	*ret = m.routes;
	return 0;
}

static void
route_free(struct route *route)
{
	expression_free(route->match);
	expression_free(route->reject);
	expression_free(route->answer_match);
	expression_free(route->no_answer);
	expression_free(route->live_match);
	free(route->choice);
	duplicates_free(route->duplicates);
	histogram_free(&route->latency);
	if (route->stats != NULL)
		histogram_free(&route->stats->bus_time);
	free(route->stats);
	route_conf_free(route->conf);
	for (unsigned i = 0; route->messages != NULL && i < route->nmessages;
	     i++)
		free(route->messages[i]);
	free(route->messages);
	free(route->until);
	free(route->rated);
	free(route->from);
	free(route->to);
	free(route);
}

void
routes_free(struct routes *r)
{
	if (r == NULL)
		return;
	for (unsigned i = 0; i < r->nroutes; i++)
		route_free(r->route[i]);
	for (unsigned i = 0; r->systems != NULL && i < r->nsources; i++)
		free(r->systems[i]);
	free(r->systems);
	free(r->route);
	free(r->slot);
	free(r->source);
	free(r->targets);
	free(r->via);
	free(r->choosing);
	free(r);
}
