/*
 * plan: the table of routes, and the properties of endpoints that follow from it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"
#include "routes_change.h"

static int
make_routes(struct config *c, struct routes **ret, struct error *err)
{
	const char **names = calloc(c->nendpoints + 1, sizeof(*names));
	enum route_end *ends = calloc(c->nendpoints + 1, sizeof(*ends));
	unsigned bad;
	int r = -ENOMEM;

	for (unsigned i = 0; names && ends && i < c->nendpoints; i++) {
		names[i] = c->endpoints[i]->name;
		ends[i] = config_route_end(c->endpoints[i]);
	}
	if (names != NULL && ends != NULL)
		r = routes_new(c->routes, c->nroutes, names, ends,
		    c->nendpoints, ret, &bad, err);
	free(names);
	free(ends);
	if (r < 0)
		return r;
	c->nroutes = 0; /* the table owns them now */
	return 0;
}

/*
 * Groups endpoints with the same framing: a frame of one can be forwarded to another as
 * received.
 */
static int
find_classes(struct plan *plan)
{
	unsigned *members = calloc(plan->n + 1, sizeof(*members));

	if (members == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < plan->n; i++) {
		const struct framing_conf *f = &plan->conf[i]->framing;
		uint32_t id = framing_id(f);
		unsigned class = 0;

		while (class < i &&
		    (plan->node[class].framing_id != id ||
			!framing_same(f, &plan->conf[class]->framing)))
			class ++;
		plan->node[i].framing_class = class;
		plan->node[i].framing_id = id;
		members[class]++;
	}
	for (unsigned i = 0; i < plan->n; i++)
		plan->node[i].alike = plan->conf[i]->ops->several ||
		    members[plan->node[i].framing_class] > 1;
	free(members);
	return 0;
}

/*
 * A tty accepts a few KB at a time; a socket accepts much more, and each write costs
 * more.
 */
static void
find_sources(struct plan *plan)
{
	for (unsigned i = 0; i < plan->n; i++) {
		const struct route_source *s = &plan->routes->source[i];
		const struct endpoint_ops *from = plan->conf[i]->ops;

		for (unsigned t = 0; t < s->ntargets; t++) {
			unsigned to = s->targets[t].to;

			plan->node[i].read_until_full |=
			    !plan->conf[to]->ops->terminal &&
			    from->datagram == 0;
			plan->node[to].nsources += from->several ? 2 : 1;
		}
	}
}

/* Masters of an exchange send requests, and its bus sends answers. */
static void
find_messages(struct plan *plan)
{
	for (unsigned i = 0; i < plan->n; i++) {
		const struct route_source *s = &plan->routes->source[i];

		for (unsigned t = 0; t < s->ntargets; t++) {
			const struct route_conf *conf =
			    s->targets[t].via[0]->conf;

			if (conf == NULL || conf->exchange != EXCHANGE_MODBUS)
				continue;
			plan->node[i].messages = MESSAGES_REQUESTS;
			plan->node[s->targets[t].to].messages =
			    MESSAGES_ANSWERS;
		}
	}
}

static int
compare_numbers(const void *a, const void *b, void *arg)
{
	struct endpoint_conf *const *conf = arg;

	return strcmp(
	    conf[*(const unsigned *)a]->name, conf[*(const unsigned *)b]->name);
}

static int
work_out(struct plan *plan)
{
	plan->node = calloc(plan->n + 1, sizeof(*plan->node));
	plan->by_name = calloc(plan->n + 1, sizeof(*plan->by_name));
	if (plan->node == NULL || plan->by_name == NULL ||
	    find_classes(plan) < 0)
		return -ENOMEM;
	find_sources(plan);
	find_messages(plan);
	for (unsigned i = 0; i < plan->n; i++) {
		plan->by_name[i] = i;
		plan->longest = MAX(
		    plan->longest, (size_t)plan->conf[i]->framing.max_frame);
	}
	qsort_r(plan->by_name, plan->n, sizeof(*plan->by_name), compare_numbers,
	    plan->conf);
	return routes_find_rated(plan->routes);
}

int
plan_new(struct config *c, struct plan **ret, struct error *err)
{
	struct plan *plan = calloc(1, sizeof(*plan));
	int r;

	if (plan == NULL)
		return error_fail(err, -ENOMEM, "out of memory");
	if ((r = make_routes(c, &plan->routes, err)) < 0) {
		free(plan);
		return r;
	}
	plan->conf = c->endpoints;
	plan->n = c->nendpoints;
	c->endpoints = NULL;
	c->nendpoints = 0;
	if (work_out(plan) < 0) {
		plan_free(plan);
		return error_fail(err, -ENOMEM, "out of memory");
	}
	*ret = plan;
	return 0;
}

unsigned
plan_find(const struct plan *plan, const char *name)
{
	unsigned first = 0, end = plan->n;

	while (first < end) {
		unsigned middle = first + (end - first) / 2;
		unsigned number = plan->by_name[middle];
		int r = strcmp(name, plan->conf[number]->name);

		if (r == 0)
			return number;
		if (r < 0)
			end = middle;
		else
			first = middle + 1;
	}
	return ROUTE_NONE;
}

void
plan_free(struct plan *plan)
{
	if (plan == NULL)
		return;
	for (unsigned i = 0; i < plan->n; i++)
		endpoint_conf_free(plan->conf[i]);
	free(plan->conf);
	free(plan->node);
	free(plan->by_name);
	routes_free(plan->routes);
	free(plan);
}
