/*
 * check: checks that involve several sections: values that must be unique, and the names
 * in routes.
 *
 * Claims are sorted, so that equal ones are adjacent, in the order of their lines.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "check_exchange.h"
#include "check_line.h"
#include "ini_reader.h"

/* The longest description of a client, which may be cut off. */
#define CLIENT_MAX 512

enum claim_kind {
	CLAIM_NAME,
	CLAIM_ROUTE,
	CLAIM_DEVICE,
	CLAIM_LINK,
	CLAIM_LISTEN,
	CLAIM_LISTEN_UDP,
	CLAIM_LOG,
	CLAIM_CLIENT
};

static const char *const claim_names[] = {
	[CLAIM_NAME] = "name",
	[CLAIM_ROUTE] = "name",
	[CLAIM_DEVICE] = "device",
	[CLAIM_LINK] = "link",
	[CLAIM_LISTEN] = "address",
	[CLAIM_LISTEN_UDP] = "address",
	[CLAIM_LOG] = "log",
	[CLAIM_CLIENT] = "client",
};

/* A value that only one section may have. */
struct claim {
	enum claim_kind kind;
	char *what;
	const char *type, *name; /* of the section */
	const char *file;
	int line;
	unsigned number; /* in the order of creation */
};

struct check {
	const struct config *c;
	struct faults *faults;
	struct claim *claim;
	unsigned nclaims, claims_size;
	struct names names;
};

/* --- claims -------------------------------------------------------------- */

/* Removes what makes no difference: "//" becomes "/", and "/./" as well, "./x" "x". */
static void
normalize_path(char *path)
{
	char *to = path;
	size_t len;

	for (const char *from = path; *from != '\0'; from += len) {
		len = strcspn(from, "/");
		if (len == 0 || (len == 1 && *from == '.')) {
			len += from[len] == '/';
			if (from == path && *from == '/')
				*to++ = '/';
			continue;
		}
		len += from[len] == '/';
		memmove(to, from, len);
		to += len;
	}
	*to = '\0';
}

/*
 * Whether it is a path, which may be spelled in several ways.  Links are not followed: they
 * may be others when the file is opened.
 */
static bool
is_path(enum claim_kind kind, const char *what)
{
	return kind == CLAIM_LOG || kind == CLAIM_LINK ||
	    (kind == CLAIM_DEVICE && *what == '/');
}

static int
reserve_claim(struct check *k)
{
	unsigned size = MAX(2 * k->claims_size, 64u);
	struct claim *claim;

	if (k->nclaims < k->claims_size)
		return 0;
	if ((claim = realloc(k->claim, size * sizeof(*claim))) == NULL)
		return -ENOMEM;
	k->claim = claim;
	k->claims_size = size;
	return 0;
}

static int
add_claim(struct check *k, enum claim_kind kind, const char *what,
    const struct claim *of)
{
	struct claim *claim;

	if (what == NULL || *what == '\0')
		return 0;
	if (reserve_claim(k) < 0)
		return -ENOMEM;
	claim = &k->claim[k->nclaims];
	*claim = *of;
	claim->kind = kind;
	claim->what = strdup(what);
	claim->number = k->nclaims;
	if (claim->what == NULL)
		return -ENOMEM;
	if (is_path(kind, what))
		normalize_path(claim->what);
	k->nclaims++;
	return 0;
}

/* Addresses are compared in a normalized form, not as written. */
static int
add_listen(
    struct check *k, const char *listen, bool udp, const struct claim *of)
{
	struct address address;
	struct error err;
	char text[ADDRESS_TEXT_MAX];
	size_t len;

	if (listen == NULL || address_parse(listen, &address, &err) != 0)
		return 0;
	address_format(
	    (struct sockaddr *)&address.ss, address.len, text, sizeof(text));
	len = strlen(text);
	if (len >= 2 && strcmp(text + len - 2, ":0") == 0)
		return 0; /* the kernel selects the port */
	return add_claim(k, udp ? CLAIM_LISTEN_UDP : CLAIM_LISTEN, text, of);
}

static int
claim_endpoint(struct check *k, const struct endpoint_conf *e)
{
	static const struct {
		enum key_names what;
		enum claim_kind kind;
	} claims[] = {
		{ NAMES_DEVICE, CLAIM_DEVICE },
		{ NAMES_USB, CLAIM_DEVICE },
		{ NAMES_LINK, CLAIM_LINK },
	};
	struct claim of = { .type = e->ops->type,
		.name = e->name,
		.file = e->file,
		.line = e->line };
	char client[CLIENT_MAX];
	int r = add_claim(k, CLAIM_NAME, e->name, &of);

	for (unsigned i = 0; r == 0 && e->ops->claim != NULL &&
	     e->ops->claim(e, i, client, sizeof(client));
	     i++)
		r = add_claim(k, CLAIM_CLIENT, client, &of);
	for (size_t i = 0; r == 0 && i < NELEM(claims); i++)
		r = add_claim(
		    k, claims[i].kind, endpoint_named(e, claims[i].what), &of);
	if (r == 0)
		r = add_claim(k, CLAIM_LOG, e->log, &of);
	if (r == 0 && !e->shares_address)
		r = add_listen(k, endpoint_named(e, NAMES_ADDRESS),
		    e->ops->datagram != 0, &of);
	return r;
}

static int
claim_all(struct check *k)
{
	const struct config *c = k->c;
	int r = 0;

	for (unsigned i = 0; r == 0 && i < c->nendpoints; i++)
		r = claim_endpoint(k, c->endpoints[i]);
	for (unsigned i = 0; r == 0 && i < c->ncontrols; i++) {
		const struct control_conf *conf = c->controls[i];
		struct claim of = { .type = conf->type,
			.name = conf->name,
			.file = conf->file,
			.line = conf->line };

		r = add_claim(k, CLAIM_NAME, conf->name, &of);
		if (r == 0)
			r = add_listen(k, conf->listen, false, &of);
	}
	for (unsigned i = 0; r == 0 && i < c->nroutes; i++) {
		const struct route_conf *conf = c->routes[i];
		struct claim of = { .type = "route",
			.name = conf->name,
			.file = conf->file,
			.line = conf->line };

		r = add_claim(k, CLAIM_ROUTE, conf->name, &of);
	}
	return r;
}

/* Orders equal values by line; those of words follow those of the file. */
static int
compare_claims(const void *x, const void *y)
{
	const struct claim *a = x, *b = y;
	int r = (a->kind > b->kind) - (a->kind < b->kind);

	if (r == 0)
		r = strcmp(a->what, b->what);
	if (r == 0)
		r = (strcmp(a->file, CONFIG_WORDS) == 0) -
		    (strcmp(b->file, CONFIG_WORDS) == 0);
	if (r == 0)
		r = (a->line > b->line) - (a->line < b->line);
	if (r == 0)
		r = (a->number > b->number) - (a->number < b->number);
	return r;
}

static const char *
claim_where(const struct claim *claim, char *buf, size_t size)
{
	/* "control" is the default name of a control port, as is "http". */
	if (strcmp(claim->type, claim->name) == 0)
		snprintf(buf, size, "[%s]", claim->type);
	else
		snprintf(buf, size, "[%s %s]", claim->type, claim->name);
	return buf;
}

static void
claimed_twice(
    struct check *k, const struct claim *first, const struct claim *again)
{
	char place[300], what[CONFIG_QUOTE_MAX], where[100], other[100];
	bool same = strcmp(first->type, again->type) == 0 &&
	    strcmp(first->name, again->name) == 0;

	if (same && again->kind != CLAIM_NAME && again->kind != CLAIM_ROUTE)
		return; /* the duplicate section itself is reported */
	if (strcmp(first->file, again->file) != 0)
		snprintf(
		    place, sizeof(place), "%s:%d", first->file, first->line);
	else if (strcmp(first->file, CONFIG_WORDS) == 0)
		snprintf(place, sizeof(place), "argument %d", first->line);
	else
		snprintf(place, sizeof(place), "line %d", first->line);
	config_quote(again->what, what, sizeof(what));
	claim_where(first, other, sizeof(other));
	claim_where(again, where, sizeof(where));
	if (same)
		fault_add(k->faults, again->file, again->line,
		    "duplicate section %s, first in %s", where, place);
	else
		fault_add(k->faults, again->file, again->line,
		    "%s: the %s '%s' is that of %s in %s%s", where,
		    claim_names[again->kind], what, other, place,
		    again->kind == CLAIM_CLIENT
			? ": they would disconnect each other; write another"
			  " client_id"
			: "");
}

static int
check_claims(struct check *k)
{
	const struct claim *first;
	int r = claim_all(k);

	if (r != 0 || k->nclaims == 0)
		return r;
	qsort(k->claim, k->nclaims, sizeof(*k->claim), compare_claims);
	first = k->claim;
	for (unsigned i = 1; i < k->nclaims; i++) {
		const struct claim *claim = &k->claim[i];

		if (claim->kind == first->kind &&
		    strcmp(claim->what, first->what) == 0)
			claimed_twice(k, first, claim);
		else
			first = claim;
	}
	return 0;
}

/* --- routes -------------------------------------------------------------- */

static void
unknown_endpoint(struct check *k, const struct route_conf *route,
    const char *key, const char *name)
{
	struct error meant = { "" };
	char quote[CONFIG_QUOTE_MAX];

	/* It may be a section whose type is unknown, which has been reported. */
	if (list_has(k->c->lost_names, name, strlen(name)))
		return;
	error_append_meant(&meant, names_meant(&k->names, name));
	fault_add(k->faults, route->file, route_conf_line(route, key),
	    "key '%s' in [route %s]: no endpoint is called '%s'%s", key,
	    route->name, config_quote(name, quote, sizeof(quote)), meant.text);
}

/* Reports a route whose only source and only target is the same endpoint with one link. */
static void
check_itself(struct check *k, const struct route_conf *route)
{
	const char *from = route->from, *to = route->to, *word;
	const struct endpoint_conf *endpoint;
	size_t len, n;

	if (from == NULL || to == NULL ||
	    (word = list_word(&from, &len)) == NULL ||
	    list_word(&from, &n) != NULL || !list_has(to, word, len) ||
	    list_word(&to, &n) == NULL || list_word(&to, &n) != NULL)
		return;
	endpoint = names_find(&k->names, word, len);
	if (endpoint == NULL || endpoint->ops->several || endpoint->ops->echo)
		return;
	fault_add(k->faults, route->file, route_conf_line(route, "to"),
	    "[route %s] leads from '%s' to itself, but a frame never goes back"
	    " to where it came from; name another endpoint in 'to'",
	    route->name, endpoint->name);
}

/*
 * Reports unknown names; returns whether the list has an endpoint that is not an echo, or
 * is unknown.
 */
static bool
check_list(struct check *k, const struct route_conf *route, const char *key,
    const char *list)
{
	bool other = false;
	const char *word;
	size_t len;

	while (list != NULL && (word = list_word(&list, &len)) != NULL) {
		const struct endpoint_conf *found =
		    names_find(&k->names, word, len);
		char name[256];

		other |= found == NULL || !found->ops->echo;
		snprintf(name, sizeof(name), "%.*s", (int)MIN(len, 255), word);
		if (found == NULL)
			unknown_endpoint(k, route, key, name);
	}
	return other;
}

static void
check_route(struct check *k, const struct route_conf *route)
{
	bool other = false;

	other |= check_list(k, route, "between", route->between);
	other |= check_list(k, route, "from", route->from);
	other |= check_list(k, route, "to", route->to);
	if (!other &&
	    (route->between != NULL ||
		(route->from != NULL && route->to != NULL)))
		fault_add(k->faults, route->file, route->line,
		    "[route %s] joins none but echo endpoints: frames would"
		    " circle for ever",
		    route->name);
	check_itself(k, route);
}

static int
check_routes(struct check *k)
{
	int r = names_init(&k->names, k->c);

	if (r != 0)
		return r;
	for (unsigned i = 0; i < k->c->nroutes; i++)
		check_route(k, k->c->routes[i]);
	check_lines(k->c, &k->names, k->faults);
	return check_exchanges(k->c, &k->names, k->faults);
}

int
config_check(struct config *c, const char *file, struct faults *faults)
{
	struct check k = { .c = c, .faults = faults };
	unsigned found = faults->found;
	int r;

	if (file == NULL)
		file = CONFIG_WORDS;
	if (c->nendpoints == 0 && c->lost == 0)
		fault_add(faults, file, 1,
		    "there is no endpoint: add a section such as [serial ar1],"
		    " or an argument such as serial:/dev/ttyACM0");
	r = check_claims(&k);
	if (r == 0)
		r = check_routes(&k);
	if (r != 0)
		fault_add(faults, file, 0, "%s", strerror(-r));
	for (unsigned i = 0; i < k.nclaims; i++)
		free(k.claim[i].what);
	free(k.claim);
	names_free(&k.names);
	if (r == 0 && faults->found > found)
		r = -EINVAL;
	return r;
}

enum route_end
config_route_end(const struct endpoint_conf *conf)
{
	if (conf->ops->echo)
		return END_ECHO;
	return conf->ops->several ? END_SEVERAL : END_SINGLE;
}
