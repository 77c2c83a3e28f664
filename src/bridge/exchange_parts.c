/*
 * exchange_parts: the routes and masters of an exchange, and what it reports: requests that
 * get no answer of the bus, or are sent again, are shown to the taps, and are logged at log
 * level debug.
 */
#include <string.h>

#include "exchange_parts.h"
#include "log.h"

const struct framing_conf *
exchange_framing(const struct exchange *ex)
{
	return &ex->to->endpoint->conf->framing;
}

const struct framing_conf *
exchange_master_framing(const struct exchange *ex, const struct master *master)
{
	return master->port != NULL ? &master->port->conf->framing
				    : exchange_framing(ex);
}

bool
exchange_master_numbers(const struct master *master)
{
	return master->port != NULL &&
	    master->port->conf->framing.rule->number_size > 0;
}

bool
exchange_names(const char *list, const struct node *node)
{
	const char *name = node->endpoint->conf->name, *word;
	size_t len;

	while (list != NULL && (word = list_word(&list, &len)) != NULL)
		if (strlen(name) == len && memcmp(name, word, len) == 0)
			return true;
	return false;
}

const char *
exchange_master_name(const struct master *master, const char *none)
{
	if (master == NULL)
		return none;
	return master->port != NULL ? master->port->link->name
				    : "the control port";
}

const struct route_conf *
exchange_conf(const struct exchange *ex)
{
	return ex->route[0]->conf;
}

uint64_t
exchange_answer_timeout(const struct exchange *ex)
{
	return route_answer_timeout(exchange_conf(ex));
}

static struct route *
find_route(const struct exchange *ex, unsigned number)
{
	for (unsigned i = 0; i < ex->nroutes; i++)
		if (ex->route[i]->number == number)
			return ex->route[i];
	return NULL;
}

struct route *
exchange_route(const struct exchange *ex, unsigned number)
{
	struct route *route = find_route(ex, number);

	return route != NULL ? route : ex->route[0];
}

bool
exchange_has_route(const struct exchange *ex, unsigned number)
{
	return find_route(ex, number) != NULL;
}

struct route *
exchange_route_of(
    const struct exchange *ex, const struct master *master, unsigned number)
{
	struct route *route = find_route(ex, number);

	for (unsigned i = 0; route == NULL && i < ex->nroutes; i++)
		if (master != NULL && master->port != NULL &&
		    exchange_names(
			ex->route[i]->conf->from, master->port->node))
			route = ex->route[i];
	return route != NULL ? route : ex->route[0];
}

int
exchange_unit_offset(
    const struct exchange *ex, const struct master *master, unsigned route)
{
	return master->port != NULL
	    ? exchange_route(ex, route)->conf->unit_offset
	    : 0;
}

void
exchange_tell_unanswered(const struct master *master, bool sent)
{
	struct tap *tap = master != NULL ? master->tap : NULL;

	if (tap != NULL && tap->unanswered != NULL)
		tap->unanswered(tap, sent);
}

void
exchange_drop(struct exchange *ex, enum drop_reason reason, size_t len)
{
	struct port *port = TAILQ_FIRST(&ex->to->ports);

	ex->to->retired.offered++;
	if (port != NULL) {
		port_drop(port, reason, NULL, len);
		return;
	}
	ex->to->retired.dropped[reason]++;
	ex->to->retired.dropped_bytes += len;
	loss_dropped(ex->to, reason, 1, len);
}

const char *
exchange_unit_text(
    const struct exchange *ex, const struct request *r, char *buf, size_t size)
{
	snprintf(buf, size, "unit %u", r->unit);
	if (r->unit != r->message.unit)
		append(buf, size, " (%u on %s)", r->message.unit,
		    ex->to->endpoint->conf->name);
	return buf;
}

/* --- reports --------------------------------------------------------------- */

/* The name of the master as it is shown in a watch. */
static const char *
watched_name(const struct master *master)
{
	return master != NULL && master->port != NULL ? master->port->link->name
						      : "-";
}

void
exchange_note_drop(const struct exchange *ex, const struct master *master,
    const struct queued *q, enum drop_reason reason)
{
	char note[48];

	if (log_level() >= LOG_DEBUG)
		log_to(LOG_DEBUG, ABOUT_ROUTE,
		    exchange_route_of(ex, master, q->route)->name,
		    "a request of %s is dropped: %s",
		    exchange_master_name(master, "a disconnected master"),
		    drop_reason_names[reason]);
	if (TAILQ_EMPTY(&ex->bridge->taps))
		return;
	if (tap_is_collecting(q->payload)) {
		tap_outcome(q->payload, "dropped for %s: %s",
		    ex->to->endpoint->conf->name, drop_reason_names[reason]);
		return;
	}
	snprintf(note, sizeof(note), "request dropped: %s",
	    drop_reason_names[reason]);
	taps_note(ex->bridge, watched_name(master),
	    ex->to->endpoint->conf->name, q, note);
}

void
exchange_drop_request(struct exchange *ex, const struct master *master,
    const struct queued *q, enum drop_reason reason)
{
	exchange_note_drop(ex, master, q, reason);
	exchange_drop(ex, reason, q->len);
}

void
exchange_note_exception(
    const struct exchange *ex, const struct request *r, const struct queued *q)
{
	char note[48];

	if (log_level() >= LOG_DEBUG)
		log_to(LOG_DEBUG, ABOUT_ROUTE,
		    exchange_route(ex, r->route)->name,
		    "exception %02x is given to %s (unit %u, function %u)",
		    r->exception, exchange_master_name(r->master, ""), r->unit,
		    r->message.function);
	if (TAILQ_EMPTY(&ex->bridge->taps))
		return;
	snprintf(
	    note, sizeof(note), "exception %02x by the daemon", r->exception);
	taps_note(ex->bridge, ex->to->endpoint->conf->name,
	    watched_name(r->master), q, note);
}

void
exchange_note_again(
    const struct exchange *ex, const struct request *r, const struct queued *q)
{
	if (!TAILQ_EMPTY(&ex->bridge->taps))
		taps_note(ex->bridge, watched_name(r->master),
		    ex->to->endpoint->conf->name, q, "request sent again");
}
