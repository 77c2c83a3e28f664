/*
 * members: endpoints of which each forwards to all others, as routes.
 *
 * Members without a filter are the source, and the destination, of routes that they have
 * in common; each filter is a route of its own.
 */
#include <stdlib.h>
#include <string.h>

#include "members.h"

/* The list of names in one line. */
#define LIST_MAX 170

struct list {
	char text[LIST_MAX];
	unsigned n;
	bool server; /* one of them has several peers */
};

struct member *
members_add(struct members *m)
{
	struct member *grown = reallocarray(m->at, m->n + 1, sizeof(*grown));

	if (grown == NULL)
		return NULL;
	m->at = grown;
	memset(&m->at[m->n], 0, sizeof(*grown));
	return &m->at[m->n++];
}

void
members_free(struct members *m)
{
	free(m->at);
	settings_free(&m->common);
	memset(m, 0, sizeof(*m));
}

static void
write_route(const struct members *m, struct draft *d, const struct list *from,
    const struct list *to, const char *filter)
{
	char name[DRAFT_NAME_MAX];

	/* To itself only a server forwards. */
	if (from->n == 1 && to->n == 1 && strcmp(from->text, to->text) == 0 &&
	    !from->server)
		return;
	draft_block(d, 0);
	draft_section(d, "route", draft_name(d, m->name, name));
	draft_key(d, "from", "%s", from->text);
	draft_key(d, "to", "%s", to->text);
	if (*filter != '\0')
		draft_key(d, m->key, "%s", filter);
	draft_keys(d, &m->common);
}

static void
add(struct list *list, const struct member *member)
{
	append(list->text, sizeof(list->text), "%s%s", list->n > 0 ? " " : "",
	    member->name);
	list->n++;
	list->server |= member->server;
}

/*
 * Fills a list with the members from *i on that send (or receive) without a filter, as many
 * as fit into a line; false if there are none.
 */
static bool
next_list(const struct members *m, unsigned *i, bool from, struct list *list)
{
	memset(list, 0, sizeof(*list));
	for (; *i < m->n; (*i)++) {
		const struct member *member = &m->at[*i];

		if (from ? !member->in || *member->from != '\0'
			 : !member->out || *member->to != '\0')
			continue;
		if (strlen(list->text) + DRAFT_NAME_MAX >= sizeof(list->text))
			return true;
		add(list, member);
	}
	return list->n > 0;
}

/* Routes from those without a filter to one, or to all without one. */
static void
write_to(const struct members *m, struct draft *d, const struct member *one)
{
	struct list from, to;

	for (unsigned i = 0; next_list(m, &i, true, &from);) {
		if (one == NULL)
			for (unsigned j = 0; next_list(m, &j, false, &to);)
				write_route(m, d, &from, &to, "");
		else {
			memset(&to, 0, sizeof(to));
			add(&to, one);
			write_route(m, d, &from, &to, one->to);
		}
	}
}

/* Routes from one with a filter to those without one. */
static void
write_from(const struct members *m, struct draft *d, const struct member *one)
{
	struct list from = { 0 }, to;

	add(&from, one);
	for (unsigned j = 0; next_list(m, &j, false, &to);)
		write_route(m, d, &from, &to, one->from);
}

/* A route between two that both have a filter. */
static void
write_pair(const struct members *m, struct draft *d,
    const struct member *source, const struct member *destination)
{
	struct list from = { 0 }, to = { 0 };
	char filter[FILTER_MAX];

	add(&from, source);
	add(&to, destination);
	if (!m->both(source->from, destination->to, filter)) {
		draft_block(d, 0);
		draft_warn(d, 0,
		    "the filters of %s and of %s cannot be combined: nothing"
		    " is forwarded from the one to the other",
		    source->name, destination->name);
	} else if (*filter != '\0')
		write_route(m, d, &from, &to, filter);
}

/* A route with the name of an endpoint that is left out would not be valid. */
static void
drop_left_out(struct members *m, struct draft *d)
{
	unsigned n = 0;

	draft_check(d);
	for (unsigned i = 0; i < m->n; i++)
		if (draft_has(d, m->at[i].name))
			m->at[n++] = m->at[i];
	m->n = n;
}

void
members_write(struct members *m, struct draft *d)
{
	drop_left_out(m, d);
	draft_routes(d);
	write_to(m, d, NULL);
	for (unsigned i = 0; i < m->n; i++) {
		const struct member *one = &m->at[i];

		if (one->out && *one->to != '\0')
			write_to(m, d, one);
		if (!one->in || *one->from == '\0')
			continue;
		write_from(m, d, one);
		for (unsigned j = 0; j < m->n; j++)
			if (m->at[j].out && *m->at[j].to != '\0' &&
			    (i != j || one->server))
				write_pair(m, d, one, &m->at[j]);
	}
}
