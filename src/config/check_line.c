/*
 * check_line: the lines that clients of a server control: the serial endpoint named by
 * 'line', or the only one that the routes of the server lead to.
 */
#include <string.h>

#include "check_line.h"
#include "ini_reader.h"
#include "section_reader.h"

static bool
is_line(const struct endpoint_conf *e)
{
	return e->ops->control != NULL;
}

/* Whether the route leads from one endpoint to another. */
static bool
leads(const struct route_conf *route, const char *from, const char *to)
{
	size_t len = strlen(from), to_len = strlen(to);

	return (list_has(route->between, from, len) &&
		   list_has(route->between, to, to_len)) ||
	    (list_has(route->from, from, len) &&
		list_has(route->to, to, to_len));
}

static bool
reaches(const struct config *c, const struct endpoint_conf *from,
    const struct endpoint_conf *to)
{
	for (unsigned i = 0; i < c->nroutes; i++)
		if (leads(c->routes[i], from->name, to->name))
			return true;
	return c->nroutes == 0;
}

/* Checks the endpoint that 'line' names. */
static void
check_named(const struct endpoint_conf *e, const char *line,
    struct names *names, struct faults *faults)
{
	const struct endpoint_conf *named =
	    names_find(names, line, strlen(line));
	struct error meant = { "" };
	char quote[CONFIG_QUOTE_MAX];

	config_quote(line, quote, sizeof(quote));
	if (named == NULL) {
		error_append_meant(&meant, names_meant(names, line));
		fault_add(faults, e->file, e->line,
		    "'line' in [%s %s]: no endpoint is called '%s'%s",
		    e->ops->type, e->name, quote, meant.text);
	} else if (!is_line(named))
		fault_add(faults, e->file, e->line,
		    "'line' in [%s %s]: '%s' is a %s, and not a serial port",
		    e->ops->type, e->name, quote, named->ops->type);
}

/* Checks that the routes lead to exactly one line. */
static void
check_reached(const struct config *c, const struct endpoint_conf *e,
    struct faults *faults)
{
	const struct endpoint_conf *other;
	char lines[256] = "";
	unsigned n = 0;

	for (unsigned i = 0; i < c->nendpoints; i++) {
		other = c->endpoints[i];
		if (!is_line(other) || !reaches(c, e, other))
			continue;
		append(lines, sizeof(lines), "%s%s", n > 0 ? ", " : "",
		    other->name);
		n++;
	}
	if (n == 0)
		fault_add(faults, e->file, e->line,
		    "[%s %s]: its clients control a serial port, but its"
		    " routes lead to none; 'line = NAME' names one",
		    e->ops->type, e->name);
	else if (n > 1)
		fault_add(faults, e->file, e->line,
		    "[%s %s]: its clients control a serial port, and its"
		    " routes lead to %u (%s); 'line = NAME' says which",
		    e->ops->type, e->name, n, lines);
}

void
check_lines(const struct config *c, struct names *names, struct faults *faults)
{
	const char *line;

	for (unsigned i = 0; i < c->nendpoints; i++) {
		const struct endpoint_conf *e = c->endpoints[i];

		if (e->ops->needs_line == NULL)
			continue;
		line = endpoint_named(e, NAMES_LINE);
		if (line != NULL)
			check_named(e, line, names, faults);
		else if (e->ops->needs_line(e))
			check_reached(c, e, faults);
	}
}
