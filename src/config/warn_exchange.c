/*
 * warn_exchange: warnings about exchanges that are valid, but probably not intended.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check_exchange.h"
#include "ini_reader.h"
#include "warn_exchange.h"

/* Masters rarely wait for an answer longer than this. */
#define ANSWER_TIMEOUT_MAX (10 * NSEC_PER_SEC)

/* --- times ---------------------------------------------------------------- */

static void
warn_times(const struct route_conf *route, struct faults *faults)
{
	uint64_t all = route_answer_timeout(route) * (1 + route->retries);
	const char *key =
	    route->answer_timeout != 0 ? "answer_timeout" : "retries";
	char text[24], given[24];

	format_time(all, text, sizeof(text));
	/* What a machine does may take as long as it likes. */
	if (all > ANSWER_TIMEOUT_MAX && route->exchange == EXCHANGE_MODBUS)
		warning_add(faults, route->file, route_conf_line(route, key),
		    "key '%s' in [route %s]: a device that does not"
		    " answer stops the bus for %s each time",
		    key, route->name, text);
	if (route->request_timeout != 0 && route->request_timeout < all)
		warning_add(faults, route->file,
		    route_conf_line(route, "request_timeout"),
		    "key 'request_timeout' in [route %s]: while a device does"
		    " not answer, which takes %s, requests that wait for %s"
		    " are dropped",
		    route->name, text,
		    format_time(route->request_timeout, given, sizeof(given)));
}

/* --- 'from' and 'to' that are swapped ------------------------------------- */

/* The maximum number of clients of a server, 1 for other endpoints. */
static uint64_t
max_clients(const struct endpoint_conf *e)
{
	const struct key *key =
	    e->ops->keys == NULL ? NULL : key_find(e->ops->keys, "max_clients");

	if (key == NULL)
		return 1;
	return *(const uint64_t *)(const void *)((const char *)e->type_conf +
	    key->offset);
}

static void
warn_server(const struct route_conf *route, const struct endpoint_conf *bus,
    struct faults *faults)
{
	if (max_clients(bus) > 1)
		warning_add(faults, route->file, route_conf_line(route, "to"),
		    "key 'to' in [route %s]: '%s' is a server, and each of its"
		    " clients gets every request; if its clients are the"
		    " masters, it belongs into 'from'; if one device connects"
		    " to it, write max_clients = 1 in its section",
		    route->name, bus->name);
}

/* --- requests that go to two buses ---------------------------------------- */

/* A number that is in both lists, of which none means all numbers, or -1. */
static long
in_both(const struct ranges *a, const struct ranges *b)
{
	static const struct ranges all = { 1, { { 0, UINT32_MAX } } };

	a = a->n == 0 ? &all : a;
	b = b->n == 0 ? &all : b;
	for (unsigned i = 0; i < a->n; i++)
		for (unsigned j = 0; j < b->n; j++)
			if (a->range[i].low <= b->range[j].high &&
			    b->range[j].low <= a->range[i].high)
				return MAX(a->range[i].low, b->range[j].low);
	return -1;
}

/* Whether other filters than those of units and functions tell requests apart. */
static bool
has_other_filters(const struct route_conf *route)
{
	return route->match != NULL || route->reject != NULL ||
	    route->match_hex.len > 0;
}

/* A master of both routes, or NULL. */
static const char *
common_master(
    const struct route_conf *a, const struct route_conf *b, size_t *len)
{
	const char *list = a->from, *word;

	while ((word = list_word(&list, len)) != NULL)
		if (list_has(b->from, word, *len))
			return word;
	return NULL;
}

/* Warns if there are requests that both routes accept; returns whether it did. */
static bool
warn_both(const struct route_conf *a, const struct endpoint_conf *bus,
    const struct route_conf *b, struct faults *faults)
{
	long unit = in_both(&a->match_unit, &b->match_unit);
	const struct route_conf *all = a->match_unit.n == 0 ? a : b;
	const char *master;
	char text[80];
	size_t len;

	if (has_other_filters(a) || has_other_filters(b) || unit < 0 ||
	    in_both(&a->match_function, &b->match_function) < 0 ||
	    (master = common_master(a, b, &len)) == NULL)
		return false;
	if (all->match_unit.n == 0)
		snprintf(text, sizeof(text),
		    "[route %s] has no match_unit, so that it accepts all",
		    all->name);
	else
		snprintf(text, sizeof(text),
		    "both accept unit %ld in match_unit", unit);
	warning_add(faults, b->file, route_conf_line(b, "match_unit"),
	    "[route %s]: requests of '%.*s' also go to '%s' by [route %s]: %s",
	    b->name, (int)MIN(len, 40), master, bus->name, a->name, text);
	return true;
}

/* Gives at most one warning for each route. */
static void
warn_buses(const struct config *c, struct endpoint_conf *const *bus,
    unsigned number, struct faults *faults)
{
	const struct route_conf *route = c->routes[number], *other;

	for (unsigned i = 0; i < number; i++) {
		other = c->routes[i];
		if (bus[i] != NULL && bus[i] != bus[number] &&
		    route->exchange == EXCHANGE_MODBUS &&
		    other->exchange == EXCHANGE_MODBUS &&
		    warn_both(other, bus[i], route, faults))
			return;
	}
}

int
warn_exchanges(const struct config *c, struct faults *faults)
{
	struct endpoint_conf **bus = calloc(c->nroutes + 1UL, sizeof(*bus));
	struct names names;
	int r = names_init(&names, c);

	if (bus == NULL)
		r = -ENOMEM;
	for (unsigned i = 0; r == 0 && i < c->nroutes; i++) {
		bus[i] = exchange_bus(&names, c->routes[i]);
		if (bus[i] == NULL)
			continue;
		warn_times(c->routes[i], faults);
		warn_server(c->routes[i], bus[i], faults);
		warn_buses(c, bus, i, faults);
	}
	names_free(&names);
	free(bus);
	return r;
}
