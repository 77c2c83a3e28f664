/*
 * check_exchange: checks of routes that are exchanges, against the endpoints that they
 * name and against each other.
 *
 * Several exchanges may have one bus.  The first of them in the file has the keys that
 * apply to the bus.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check_exchange.h"
#include "ini_reader.h"

#define MASTERS_MAX 64 /* that are compared with a name that is not one */

struct exchanges {
	const struct config *c;
	struct faults *faults;
	struct names *names;
	struct endpoint_conf **bus; /* of each route, or NULL */
};

struct endpoint_conf *
exchange_bus(const struct names *names, const struct route_conf *route)
{
	const char *list = route->to, *word;
	struct endpoint_conf *bus;
	struct error err;
	size_t len;

	if (route->exchange == EXCHANGE_NONE || route->incomplete ||
	    route_conf_check(route, &err) != 0)
		return NULL;
	word = list_word(&list, &len);
	bus = names_find(names, word, len);
	/* Without a rule its framing is unknown, which has been reported. */
	return bus == NULL || bus->framing.rule == NULL ? NULL : bus;
}

/* The first exchange with that bus. */
static const struct route_conf *
first_exchange(const struct exchanges *k, const struct endpoint_conf *bus)
{
	unsigned i = 0;

	while (k->bus[i] != bus)
		i++;
	return k->c->routes[i];
}

static bool
is_modbus(const struct endpoint_conf *e)
{
	return e->framing.rule->protocol != NULL &&
	    strcmp(e->framing.rule->protocol, "Modbus") == 0;
}

/* --- the bus -------------------------------------------------------------- */

/* Returns whether the endpoint can be a bus of this kind. */
static bool
check_framing(const struct exchanges *k, const struct route_conf *route,
    const struct endpoint_conf *bus)
{
	if (route->exchange != EXCHANGE_MODBUS || is_modbus(bus))
		return true;
	fault_add(k->faults, route->file, route_conf_line(route, "to"),
	    "key 'to' in [route %s]: the framing of '%s' is %s; the bus"
	    " of an exchange needs modbus-rtu, modbus-ascii or"
	    " modbus-tcp",
	    route->name, bus->name, bus->framing.rule->name);
	return false;
}

static void
check_window(const struct exchanges *k, const struct route_conf *route,
    const struct endpoint_conf *bus)
{
	if (route->window > 1 && bus->framing.rule->number_size == 0)
		fault_add(k->faults, route->file,
		    route_conf_line(route, "window"),
		    "key 'window' in [route %s]: messages with framing = %s, as"
		    " that of '%s', have no numbers, so only one request may be"
		    " awaiting its answer; those of modbus-tcp have",
		    route->name, bus->framing.rule->name, bus->name);
}

/* The names of the masters of the bus, NULL at the end. */
static void
list_masters(const struct exchanges *k, const struct endpoint_conf *bus,
    const char *ret[MASTERS_MAX + 1])
{
	const struct endpoint_conf *e;
	const char *list, *word;
	unsigned n = 0;
	size_t len;

	for (unsigned i = 0; i < k->c->nroutes; i++) {
		list = k->bus[i] == bus ? k->c->routes[i]->from : NULL;
		while (n < MASTERS_MAX && list != NULL &&
		    (word = list_word(&list, &len)) != NULL)
			if ((e = names_find(k->names, word, len)) != NULL)
				ret[n++] = e->name;
	}
	ret[n] = NULL;
}

static bool
is_master(const struct exchanges *k, const struct endpoint_conf *bus,
    const char *name, size_t len)
{
	for (unsigned i = 0; i < k->c->nroutes; i++)
		if (k->bus[i] == bus &&
		    list_has(k->c->routes[i]->from, name, len))
			return true;
	return false;
}

static void
check_priority(const struct exchanges *k, const struct route_conf *route,
    const struct endpoint_conf *bus)
{
	const char *list = route->priority, *word;
	const char *masters[MASTERS_MAX + 1];
	char name[256], quote[CONFIG_QUOTE_MAX];
	size_t len;

	while (list != NULL && (word = list_word(&list, &len)) != NULL) {
		struct error meant = { "" };

		if (is_master(k, bus, word, len))
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)MIN(len, 255), word);
		list_masters(k, bus, masters);
		error_append_meant(&meant, nearest(name, masters));
		fault_add(k->faults, route->file,
		    route_conf_line(route, "priority"),
		    "key 'priority' in [route %s]: '%s' is not a master of the"
		    " bus '%s'%s",
		    route->name, config_quote(name, quote, sizeof(quote)),
		    bus->name, meant.text);
	}
}

/* --- several exchanges with a bus ----------------------------------------- */

/* Checks that this exchange, which is not the first one, fits the first one. */
static void
check_further(const struct exchanges *k, const struct route_conf *route,
    const struct endpoint_conf *bus, const struct route_conf *first)
{
	const char *key = route_conf_bus_key(route);

	if (route->exchange != first->exchange)
		fault_add(k->faults, route->file,
		    route_conf_line(route, "exchange"),
		    "[route %s]: the exchange of [route %s] with the bus '%s'"
		    " is of another protocol; write the same 'exchange' in"
		    " both",
		    route->name, first->name, bus->name);
	else if (key != NULL)
		fault_add(k->faults, route->file, route_conf_line(route, key),
		    "[route %s]: '%s' is a key of the bus '%s' and belongs into"
		    " [route %s], the first exchange with it",
		    route->name, key, bus->name, first->name);
}

/*
 * Reports a route without an exchange that interferes with the one of a bus: it leads to
 * the bus or, with Modbus, from the bus to one of its masters.
 */
static void
check_disturbing(const struct exchanges *k, const struct route_conf *exchange,
    const struct route_conf *route, const struct endpoint_conf *bus)
{
	size_t size = strlen(bus->name), len;
	const char *list = route->to, *word;

	if (list_has(route->between, bus->name, size) ||
	    list_has(route->to, bus->name, size)) {
		fault_add(k->faults, route->file,
		    route_conf_line(
			route, route->between != NULL ? "between" : "to"),
		    "[route %s] leads to '%s', which the exchange of [route"
		    " %s] has to itself",
		    route->name, bus->name, exchange->name);
		return;
	}
	if (exchange->exchange != EXCHANGE_MODBUS ||
	    !list_has(route->from, bus->name, size))
		return;
	while (list != NULL && (word = list_word(&list, &len)) != NULL)
		if (is_master(k, bus, word, len))
			fault_add(k->faults, route->file,
			    route_conf_line(route, "to"),
			    "[route %s]: '%.*s' gets its answers by the"
			    " exchange of [route %s] already",
			    route->name, (int)MIN(len, 40), word,
			    exchange->name);
}

static void
check_others(const struct exchanges *k, const struct route_conf *exchange,
    const struct endpoint_conf *bus)
{
	for (unsigned i = 0; i < k->c->nroutes; i++) {
		const struct route_conf *route = k->c->routes[i];

		if (route->exchange == EXCHANGE_NONE && !route->incomplete)
			check_disturbing(k, exchange, route, bus);
	}
}

/* --- the masters ---------------------------------------------------------- */

/* The exchange of which the endpoint is the bus, or NULL. */
static const struct route_conf *
exchange_of(const struct exchanges *k, const struct endpoint_conf *e)
{
	for (unsigned i = 0; i < k->c->nroutes; i++)
		if (k->bus[i] == e)
			return k->c->routes[i];
	return NULL;
}

/* Answers must have the numbers of their requests, which inner payloads do not contain. */
static void
check_numbers(const struct exchanges *k, const struct route_conf *route,
    const char *key, const struct endpoint_conf *e)
{
	if (e->framing.rule->number_size > 0 &&
	    e->framing.payload == PAYLOAD_INNER)
		fault_add(k->faults, route->file, route_conf_line(route, key),
		    "key '%s' in [route %s]: '%s' has framing = %s with"
		    " payload = inner, which has no transaction number"
		    " for an exchange; write payload = whole",
		    key, route->name, e->name, e->framing.rule->name);
}

/* Requests and answers are of no use after an outage. */
static void
check_spool(const struct exchanges *k, const struct route_conf *route,
    const struct endpoint_conf *e)
{
	if (e->spool != 0)
		fault_add(k->faults, e->file, e->line,
		    "[%s %s] has a spool, and [route %s] is an exchange, whose"
		    " requests and answers are of no use later",
		    e->ops->type, e->name, route->name);
}

static void
check_master(const struct exchanges *k, const struct route_conf *route,
    const struct endpoint_conf *e)
{
	const struct route_conf *other = exchange_of(k, e);

	check_numbers(k, route, "from", e);
	check_spool(k, route, e);
	if (other != NULL)
		fault_add(k->faults, route->file,
		    route_conf_line(route, "from"),
		    "key 'from' in [route %s]: '%s' is the bus of [route %s],"
		    " and a bus is not a master",
		    route->name, e->name, other->name);
	else if (route->exchange == EXCHANGE_MODBUS &&
	    e->framing.rule->unframed && e->ops->datagram == 0 && !e->ops->echo)
		fault_add(k->faults, route->file,
		    route_conf_line(route, "from"),
		    "key 'from' in [route %s]: '%s' is raw, so that its"
		    " requests have no boundaries; set its framing to"
		    " modbus-rtu, modbus-ascii or modbus-tcp",
		    route->name, e->name);
}

static void
check_masters(const struct exchanges *k, const struct route_conf *route)
{
	const char *list = route->from, *word;
	const struct endpoint_conf *e;
	size_t len;

	while ((word = list_word(&list, &len)) != NULL)
		if ((e = names_find(k->names, word, len)) != NULL &&
		    e->framing.rule != NULL)
			check_master(k, route, e);
}

/* --- units ---------------------------------------------------------------- */

/*
 * The first unit of the range that does not exist with the offset, or -1.  Serial buses:
 * unit 0 is the broadcast address, to which no offset is added.
 */
static int
unit_outside(const struct range *range, int offset, bool serial)
{
	int lowest = serial ? 1 : 0;
	int highest = serial ? MODBUS_SERIAL_UNIT_MAX : MODBUS_UNIT_MAX;
	int low = MAX((int)range->low, lowest), high = (int)range->high;

	if (low > high)
		return -1;
	if (low + offset < lowest)
		return low;
	return high + offset > highest ? high : -1;
}

static void
check_units(const struct exchanges *k, const struct route_conf *route,
    const struct endpoint_conf *bus)
{
	const struct ranges *units = &route->match_unit;
	bool serial = bus->framing.rule->number_size == 0;
	int unit = -1;

	for (unsigned i = 0; i < units->n && unit < 0; i++)
		unit =
		    unit_outside(&units->range[i], route->unit_offset, serial);
	if (unit < 0 || route->unit_offset == 0)
		return;
	fault_add(k->faults, route->file, route_conf_line(route, "unit_offset"),
	    "[route %s]: unit %d of 'match_unit' with unit_offset = %d is unit"
	    " %d on '%s', where units are %d to %d",
	    route->name, unit, route->unit_offset, unit + route->unit_offset,
	    bus->name, serial ? 1 : 0,
	    serial ? MODBUS_SERIAL_UNIT_MAX : MODBUS_UNIT_MAX);
}

/* --- all of them ---------------------------------------------------------- */

static void
check_exchange(const struct exchanges *k, const struct route_conf *route,
    const struct endpoint_conf *bus)
{
	const struct route_conf *first = first_exchange(k, bus);

	if (!check_framing(k, route, bus))
		return;
	if (first == route) {
		check_window(k, route, bus);
		check_priority(k, route, bus);
		check_others(k, route, bus);
	} else
		check_further(k, route, bus, first);
	check_numbers(k, route, "to", bus);
	check_spool(k, route, bus);
	check_masters(k, route);
	check_units(k, route, bus);
}

int
check_exchanges(
    const struct config *c, struct names *names, struct faults *faults)
{
	struct exchanges k = { .c = c, .faults = faults, .names = names };

	k.bus = calloc(c->nroutes + 1UL, sizeof(struct endpoint_conf *));
	if (k.bus == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < c->nroutes; i++)
		k.bus[i] = exchange_bus(names, c->routes[i]);
	for (unsigned i = 0; i < c->nroutes; i++)
		if (k.bus[i] != NULL)
			check_exchange(&k, c->routes[i], k.bus[i]);
	free(k.bus);
	return 0;
}
