/*
 * warn: warnings about configurations that are valid, but probably not intended.
 *
 * The configuration has been checked.  The routes are taken from the same table that the
 * daemon uses.
 */
#include <sys/stat.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "ini_reader.h"
#include "warn_exchange.h"
#include "warn_routes.h"

struct warner {
	const struct config *c;
	struct faults *faults;
	struct routes *routes; /* NULL: all forward to all others */
	const struct endpoint_conf **framed; /* a framed peer of a raw one */
	/* An earlier endpoint with the same protocol, but different payloads. */
	const struct endpoint_conf **apart;
	/* The exchange = any of an endpoint that is raw. */
	const struct route_conf **pieces;
	/* One with the same protocol, if transaction numbers are lost in between. */
	const struct endpoint_conf **unnumbered;
	bool *joined; /* whether the endpoint is connected */
};

/* --- endpoints ----------------------------------------------------------- */

/* Whether the framing delimits messages.  Datagrams do so in any case. */
static bool
is_framed(const struct endpoint_conf *e)
{
	return !e->ops->echo && !e->framing.rule->unframed;
}

static bool
is_raw(const struct endpoint_conf *e)
{
	return !e->ops->echo && e->ops->datagram == 0 && !is_framed(e);
}

static bool
has_protocol(const struct endpoint_conf *e)
{
	return !e->ops->echo && e->framing.rule->protocol != NULL;
}

/* An inner payload has no number, so that the answers have the number 0. */
static void
note_numbers(struct warner *w, unsigned number, unsigned other)
{
	const struct framing_conf *framing = &w->c->endpoints[number]->framing;

	if (framing->rule->number_size > 0 &&
	    framing->payload == PAYLOAD_INNER && w->unnumbered[number] == NULL)
		w->unnumbered[number] = w->c->endpoints[other];
}

static void
note_protocol(struct warner *w, unsigned from, unsigned to)
{
	const struct endpoint_conf *a = w->c->endpoints[MIN(from, to)],
				   *b = w->c->endpoints[MAX(from, to)];

	if (!has_protocol(a) || !has_protocol(b) ||
	    strcmp(a->framing.rule->protocol, b->framing.rule->protocol) != 0)
		return;
	if (a->framing.payload == PAYLOAD_INNER &&
	    b->framing.payload == PAYLOAD_INNER) {
		note_numbers(w, from, to);
		note_numbers(w, to, from);
		return;
	}
	if (a->framing.payload == b->framing.payload &&
	    a->framing.rule == b->framing.rule)
		return;
	if (w->apart[MAX(from, to)] == NULL)
		w->apart[MAX(from, to)] = a;
}

static void
note_pair(struct warner *w, unsigned from, unsigned to, bool as_they_are)
{
	const struct endpoint_conf *a = w->c->endpoints[from],
				   *b = w->c->endpoints[to];

	w->joined[from] = w->joined[to] = true;
	if (as_they_are)
		note_protocol(w, from, to);
	if (is_raw(a) && is_framed(b) && w->framed[from] == NULL)
		w->framed[from] = b;
	if (is_framed(a) && is_raw(b) && w->framed[to] == NULL)
		w->framed[to] = a;
}

/*
 * All endpoints are connected: only the first framed one and the first one with a
 * protocol are compared with the others.
 */
static void
note_all(struct warner *w)
{
	unsigned n = w->c->nendpoints, framed = 0, first = 0;

	while (framed < n && !is_framed(w->c->endpoints[framed]))
		framed++;
	while (first < n && !has_protocol(w->c->endpoints[first]))
		first++;
	for (unsigned i = 0; i < n; i++) {
		w->joined[i] = n > 1;
		if (framed < n && i != framed)
			note_pair(w, i, framed, true);
		if (first < n && i != first)
			note_protocol(w, i, first);
	}
}

/* An exchange converts payloads.  All routes to its bus are exchanges of the same kind. */
static void
note_target(struct warner *w, unsigned from, const struct route_target *target)
{
	const struct route_conf *route = w->c->routes[target->via[0]->number];
	const unsigned both[] = { from, target->to };

	if (route->exchange != EXCHANGE_ANY) {
		note_pair(
		    w, from, target->to, route->exchange == EXCHANGE_NONE);
		return;
	}
	for (size_t i = 0; i < NELEM(both); i++) {
		w->joined[both[i]] = true;
		if (is_raw(w->c->endpoints[both[i]]))
			w->pieces[both[i]] = route;
	}
}

static void
note_routes(struct warner *w)
{
	for (unsigned i = 0; i < w->routes->nsources; i++) {
		const struct route_source *s = &w->routes->source[i];

		for (unsigned j = 0; j < s->ntargets; j++)
			note_target(w, i, &s->targets[j]);
	}
}

static void
warn_apart(struct warner *w, const struct endpoint_conf *e,
    const struct endpoint_conf *other)
{
	const struct framing *a = e->framing.rule, *b = other->framing.rule;
	const char *remedy = "write payload = inner in both sections";

	if (a == b)
		remedy = "write the same payload in both sections";
	else if (a->number_size != b->number_size)
		remedy = "write exchange = modbus in a [route] from the masters"
			 " to the bus, which converts them";
	warning_add(w->faults, e->file, e->line,
	    "[%s %s] has framing = %s, and '%s' has framing = %s: their"
	    " payloads of %s messages differ; %s",
	    e->ops->type, e->name, a->name, other->name, b->name, a->protocol,
	    remedy);
}

static void
warn_keys(struct warner *w, const struct endpoint_conf *e)
{
	struct error why = { "" };

	if (is_raw(e) && e->framing.checksum != CHECKSUM_NONE)
		warning_add(w->faults, e->file, e->line,
		    "[%s %s] has a checksum and is raw: without the boundaries"
		    " of messages, data is dropped as having a wrong checksum;"
		    " set framing",
		    e->ops->type, e->name);
	if (e->ops->warn != NULL)
		e->ops->warn(e, &why);
	if (error_is_set(&why))
		warning_add(w->faults, e->file, e->line, "[%s %s]: %s",
		    e->ops->type, e->name, why.text);
}

static bool
leads_to(const struct warner *w, unsigned from, unsigned to)
{
	const struct route_source *s;

	if (w->routes == NULL)
		return true;
	s = &w->routes->source[from];
	for (unsigned i = 0; i < s->ntargets; i++)
		if (s->targets[i].to == to)
			return true;
	return false;
}

/* Whether an endpoint on demand has a route to or from one that may have clients. */
static bool
may_be_needed(const struct warner *w, unsigned number)
{
	for (unsigned i = 0; i < w->c->nendpoints; i++) {
		const struct endpoint_ops *ops = w->c->endpoints[i]->ops;

		if (i != number && (ops->several || ops->hangup != NULL) &&
		    (leads_to(w, i, number) || leads_to(w, number, i)))
			return true;
	}
	return false;
}

/* A source of this endpoint whose frames may be larger than the whole queue, or NULL. */
static const struct endpoint_conf *
larger_source(const struct warner *w, unsigned number)
{
	uint64_t queue = w->c->endpoints[number]->queue;

	for (unsigned i = 0; i < w->c->nendpoints; i++) {
		const struct endpoint_conf *e = w->c->endpoints[i];

		/* The default is hardly ever reached. */
		if (i != number && e->framing.max_frame_given &&
		    e->framing.max_frame > queue && leads_to(w, i, number))
			return e;
	}
	return NULL;
}

static void
warn_queue(struct warner *w, unsigned number)
{
	static const char *const fate[] = {
		[OVERFLOW_BLOCK] = "is dropped while the endpoint is down or"
				   " stalled",
		[OVERFLOW_DROP_OLDEST] = "is dropped unless it can be written"
					 " at once",
		[OVERFLOW_DROP_NEWEST] = "is dropped unless it can be written"
					 " at once",
		[OVERFLOW_DISCONNECT] = "ends the connection unless it can be"
					" written at once",
	};
	const struct endpoint_conf *e = w->c->endpoints[number], *source;
	unsigned long long queue = e->queue;

	if (e->ops->echo)
		return;
	if (queue < QUEUE_FLOOR)
		warning_add(w->faults, e->file, e->line,
		    "[%s %s]: queue = %llu has no room for any frame, because"
		    " each counts as at least %d bytes: a frame %s",
		    e->ops->type, e->name, queue, QUEUE_FLOOR,
		    fate[e->overflow]);
	else if ((source = larger_source(w, number)) != NULL)
		warning_add(w->faults, e->file, e->line,
		    "[%s %s]: queue = %llu has no room for the longest frames"
		    " of '%s', which has max_frame = %llu: such a frame %s",
		    e->ops->type, e->name, queue, source->name,
		    (unsigned long long)source->framing.max_frame,
		    fate[e->overflow]);
}

/* For the warnings of the daemon while it runs. */
static void
note_mixed(struct warner *w, unsigned number)
{
	struct endpoint_conf *e = w->c->endpoints[number];
	const struct endpoint_conf *framed = w->framed[number];
	char *text;

	if (e->mixed_framing == NULL &&
	    asprintf(&text,
		"%s is raw, and %s has framing = %s: between them the "
		"boundaries"
		" of messages are lost",
		e->name, framed->name, framed->framing.rule->name) >= 0)
		e->mixed_framing = text;
}

static void
warn_endpoint(struct warner *w, unsigned number)
{
	const struct endpoint_conf *e = w->c->endpoints[number],
				   *framed = w->framed[number];

	if (!w->joined[number])
		warning_add(w->faults, e->file, e->line,
		    "[%s %s] is not connected to any other: %s", e->ops->type,
		    e->name,
		    w->routes != NULL ? "no route forwards to it or from it"
				      : "there is no other endpoint");
	if (framed != NULL)
		note_mixed(w, number);
	if (framed != NULL)
		warning_add(w->faults, e->file, e->line,
		    "[%s %s] is raw, and '%s' has framing = %s: between them"
		    " the boundaries of messages are lost; set framing on %s",
		    e->ops->type, e->name, framed->name,
		    framed->framing.rule->name, e->name);
	if (w->pieces[number] != NULL)
		warning_add(w->faults, e->file, e->line,
		    "[%s %s] is raw: the exchange of [route %s] takes each"
		    " piece of data that is read for a message; set framing",
		    e->ops->type, e->name, w->pieces[number]->name);
	if (w->apart[number] != NULL)
		warn_apart(w, e, w->apart[number]);
	if (w->unnumbered[number] != NULL)
		warning_add(w->faults, e->file, e->line,
		    "[%s %s] has framing = %s with payload = inner: without an"
		    " exchange, what comes from '%s' has the transaction number"
		    " 0, and masters do not accept it; write exchange = modbus"
		    " in a [route] from the masters to the bus, without"
		    " 'payload'",
		    e->ops->type, e->name, e->framing.rule->name,
		    w->unnumbered[number]->name);
	if (e->demand && e->required)
		warning_add(w->faults, e->file, e->line,
		    "[%s %s] has open = demand and required = yes: /healthz"
		    " fails while it is idle",
		    e->ops->type, e->name);
	if (e->demand && !may_be_needed(w, number))
		warning_add(w->faults, e->file, e->line,
		    "[%s %s] has open = demand, and no route to or from a"
		    " server, a udp or a pty, whose clients would open it",
		    e->ops->type, e->name);
	warn_queue(w, number);
	warn_keys(w, e);
}

static void
warn_control(struct warner *w, const struct control_conf *c)
{
	struct error why = { "" };
	char where[2 * ENDPOINT_NAME_MAX];

	control_conf_where(c, where, sizeof(where));
	tls_warn(&c->tls, c->context, &why);
	if (error_is_set(&why))
		warning_add(
		    w->faults, c->file, c->line, "%s: %s", where, why.text);
	if (c->token_is_public)
		warning_add(w->faults, c->file, c->line,
		    "%s: other users may read '%s', which is secret;"
		    " chmod 600 it",
		    where, c->token_file);
	if (c->token != NULL && c->context == NULL && c->allow != NULL)
		warning_add(w->faults, c->file, c->line,
		    "%s: without 'tls' the token can be read on the network",
		    where);
}

/* --- paths --------------------------------------------------------------- */

static bool
in_private_tmp(const char *path)
{
	if (path == NULL)
		return false;
	if (strncmp(path, "unix:", 5) == 0)
		path += 5;
	return strncmp(path, "/tmp/", 5) == 0 ||
	    strncmp(path, "/var/tmp/", 9) == 0;
}

static void
warn_path(struct warner *w, const char *file, int line, const char *where,
    const char *name, const char *key, const char *path)
{
	if (in_private_tmp(path))
		warning_add(w->faults, file, line,
		    "%s: '%s' is in /tmp, of which the service has a"
		    " private instance that other programs do not see; write"
		    " /run/ttybridge/%s",
		    where, key, name);
}

/* What can be seen of a log before the daemon opens it, perhaps as another user. */
static void
warn_log(struct warner *w, const struct endpoint_conf *e)
{
	static const char ours[] = "/var/log/ttybridge/";
	char directory[PATH_MAX];
	const char *end;
	struct stat st;

	/* That one is created by the service; others are relative to the daemon's. */
	if (e->log == NULL || *e->log != '/' ||
	    strncmp(e->log, ours, strlen(ours)) == 0)
		return;
	end = strrchr(e->log, '/');
	snprintf(directory, sizeof(directory), "%.*s",
	    (int)MAX(end - e->log, 1), e->log);
	if (stat(directory, &st) < 0 && (errno == ENOENT || errno == ENOTDIR))
		warning_add(w->faults, e->file, e->line,
		    "[%s %s]: its log '%s' cannot be written: there is no"
		    " directory %s; create it first",
		    e->ops->type, e->name, e->log, directory);
	else if (stat(e->log, &st) == 0 && !S_ISREG(st.st_mode))
		warning_add(w->faults, e->file, e->line,
		    "[%s %s]: its log '%s' cannot be written: it is not a"
		    " file",
		    e->ops->type, e->name, e->log);
}

/* Only a configuration in the service's directory is used by the service. */
static void
warn_paths(struct warner *w, const char *file)
{
	static const char directory[] = SYSCONFDIR "/ttybridge/";
	char path[PATH_MAX], where[2 * ENDPOINT_NAME_MAX];

	if (realpath(file, path) == NULL)
		snprintf(path, sizeof(path), "%s", file);
	if (strncmp(path, directory, strlen(directory)) != 0)
		return;
	for (unsigned i = 0; i < w->c->nendpoints; i++) {
		const struct endpoint_conf *e = w->c->endpoints[i];

		snprintf(
		    where, sizeof(where), "[%s %s]", e->ops->type, e->name);
		warn_path(w, e->file, e->line, where, e->name, "link",
		    endpoint_named(e, NAMES_LINK));
		warn_path(w, e->file, e->line, where, e->name, "listen",
		    endpoint_named(e, NAMES_ADDRESS));
	}
	for (unsigned i = 0; i < w->c->ncontrols; i++) {
		const struct control_conf *c = w->c->controls[i];

		warn_path(w, c->file, c->line,
		    control_conf_where(c, where, sizeof(where)), c->name,
		    "listen", c->listen);
	}
}

/* --- all of them ---------------------------------------------------------- */

/* Builds the table, which does not own the sections. */
static int
make_routes(struct warner *w)
{
	const struct config *c = w->c;
	const char **names = calloc(c->nendpoints + 1UL, sizeof(*names));
	enum route_end *ends = calloc(c->nendpoints + 1UL, sizeof(*ends));
	int r = names == NULL || ends == NULL ? -ENOMEM : 0;
	struct error err;
	unsigned bad;

	for (unsigned i = 0; r == 0 && i < c->nendpoints; i++) {
		names[i] = c->endpoints[i]->name;
		ends[i] = config_route_end(c->endpoints[i]);
	}
	if (r == 0)
		r = routes_new(c->routes, c->nroutes, names, ends,
		    c->nendpoints, &w->routes, &bad, &err);
	for (unsigned i = 0; r == 0 && i < c->nroutes; i++)
		w->routes->route[i]->conf = NULL;
	free(names);
	free(ends);
	return r;
}

int
config_warn(const struct config *c, const char *file, struct faults *faults)
{
	struct warner w = { .c = c, .faults = faults };
	int r = c->nroutes > 0 ? make_routes(&w) : 0;

	w.framed = calloc(c->nendpoints + 1UL, sizeof(struct endpoint_conf *));
	w.apart = calloc(c->nendpoints + 1UL, sizeof(struct endpoint_conf *));
	w.pieces = calloc(c->nendpoints + 1UL, sizeof(struct route_conf *));
	w.unnumbered =
	    calloc(c->nendpoints + 1UL, sizeof(struct endpoint_conf *));
	w.joined = calloc(c->nendpoints + 1UL, sizeof(*w.joined));
	if (w.framed == NULL || w.apart == NULL || w.pieces == NULL ||
	    w.unnumbered == NULL || w.joined == NULL)
		r = -ENOMEM;
	if (r == 0) {
		if (w.routes != NULL) {
			note_routes(&w);
			warn_expressions(c, w.routes, faults);
		} else
			note_all(&w);
		for (unsigned i = 0; i < c->nendpoints; i++)
			warn_endpoint(&w, i);
		for (unsigned i = 0; i < c->nendpoints; i++)
			warn_log(&w, c->endpoints[i]);
		for (unsigned i = 0; i < c->ncontrols; i++)
			warn_control(&w, c->controls[i]);
		warn_nmea(c, faults);
		r = warn_directions(c, faults);
		if (file != NULL)
			warn_paths(&w, file);
		if (r == 0)
			r = warn_exchanges(c, faults);
	}
	if (r != 0)
		fault_add(faults, file != NULL ? file : CONFIG_WORDS, 0, "%s",
		    strerror(-r));
	routes_free(w.routes);
	free(w.framed);
	free(w.apart);
	free(w.pieces);
	free(w.unnumbered);
	free(w.joined);
	return r;
}
