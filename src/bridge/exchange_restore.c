/*
 * exchange_restore: hands requests over from one process to the next.
 *
 * The request that was sent and the late answers that are expected are handed over with
 * the exchange, so that only the master that sent the request gets the answer.  The
 * queued requests of a master are handed over with its connection; if that was closed,
 * they are dropped and counted.  Control sessions are closed, and their requests are
 * dropped.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "exchange_parts.h"
#include "pack.h"
#include "restore.h"

#define EXCHANGE_SIZE_MIN (6 * sizeof(uint64_t))
#define ROUTE_SIZE_MIN (3 * sizeof(uint64_t))
#define REQUEST_SIZE_MIN (15 * sizeof(uint64_t))
#define MASTER_SIZE_MIN (4 * sizeof(uint64_t))
#define MESSAGE_DATA sizeof(((struct modbus *)0)->data)
#define NO_MASTER UINT32_MAX
/* In place of the number of a route that was removed or changed. */
#define ROUTE_CHANGED NO_ROUTE

enum master_kind { MASTER_LINK, MASTER_SEND, MASTER_SESSION };

struct saved_master {
	enum master_kind kind;
	struct span name; /* name of its link */
	uint64_t last_ns;
	size_t nframes;
	struct unpack frames;
	bool restored;
};

struct saved_route {
	unsigned number;
	struct span name, text;
	unsigned now; /* its new number, or ROUTE_CHANGED */
};

struct saved_request {
	struct request request; /* without master and payload */
	uint64_t master;	/* its index, or NO_MASTER */
	struct span payload;
};

struct old_exchange {
	struct span to;
	size_t nroutes;
	struct saved_route *route;
	uint32_t number;
	uint64_t rest_ns;
	unsigned nguards;
	struct guard guard[GUARDS];
	size_t nrequests;
	struct saved_request *request;
	size_t nsaved;
	struct saved_master *saved;
	struct exchange *now; /* NULL: it no longer exists */
};

struct old_exchanges {
	size_t n;
	struct old_exchange *exchange;
};

/* --- saving --------------------------------------------------------------- */

static void
save_message(const struct modbus *m, struct pack *p)
{
	pack_number(p, m->unit);
	pack_number(p, m->function);
	pack_number(p, m->len);
	pack_bytes(p, m->data, m->ndata);
}

static enum master_kind
kind_of(const struct master *master)
{
	if (master->port != NULL)
		return MASTER_LINK;
	return master->tap == NULL ? MASTER_SEND : MASTER_SESSION;
}

static void
save_master(const struct master *master, struct pack *p)
{
	pack_number(p, kind_of(master));
	pack_string(p, master->port != NULL ? master->port->link->name : NULL);
	pack_number(p, master->last_ns);
	queue_save(&master->queue, p);
}

static uint64_t
index_of(const struct exchange *ex, const struct master *wanted)
{
	const struct master *master;
	uint64_t n = 0;

	TAILQ_FOREACH(master, &ex->masters, entry) {
		if (master == wanted)
			return n;
		n++;
	}
	return NO_MASTER;
}

static void
save_request(const struct exchange *ex, const struct request *r, struct pack *p)
{
	pack_number(p, r->state);
	pack_number(p, r->route);
	save_message(&r->message, p);
	pack_number(p, r->unit);
	pack_number(p, r->master_number);
	pack_number(p, r->number);
	pack_number(p, r->frames);
	pack_number(p, r->tries);
	pack_number(p, r->first_ns);
	pack_number(p, r->sent_ns);
	pack_number(p, r->until_ns);
	pack_number(p, index_of(ex, r->master));
	pack_bytes(p, r->payload, r->len);
}

/* The one that was sent last is saved last: their numbers do not show it, because a retry
 * keeps its number. */
static void
save_requests(const struct exchange *ex, struct pack *p)
{
	const struct request *r;

	pack_number(p, ex->nrequests);
	EACH_REQUEST(r, ex)
		if (r->state != REQUEST_NONE && r != ex->newest)
			save_request(ex, r, p);
	if (ex->newest != NULL)
		save_request(ex, ex->newest, p);
}

static void
save_exchange(const struct exchange *ex, struct pack *p)
{
	const struct master *master;
	uint64_t n = 0;

	pack_string(p, ex->to->endpoint->conf->name);
	pack_number(p, ex->nroutes);
	for (unsigned i = 0; i < ex->nroutes; i++) {
		pack_number(p, ex->route[i]->number);
		pack_string(p, ex->route[i]->name);
		pack_string(p, ex->route[i]->conf->text);
	}
	pack_number(p, ex->number);
	pack_number(p, ex->rest_ns);
	pack_number(p, ex->nguards);
	for (unsigned i = 0; i < ex->nguards; i++) {
		save_message(&ex->guard[i].request, p);
		pack_number(p, ex->guard[i].until_ns);
	}
	save_requests(ex, p);
	TAILQ_FOREACH(master, &ex->masters, entry)
		n++;
	pack_number(p, n);
	TAILQ_FOREACH(master, &ex->masters, entry)
		save_master(master, p);
}

void
exchanges_save(const struct bridge *b, struct pack *p)
{
	const struct exchange *ex;
	uint64_t n = 0;

	TAILQ_FOREACH(ex, &b->exchanges, entry)
		n++;
	pack_number(p, n);
	TAILQ_FOREACH(ex, &b->exchanges, entry)
		save_exchange(ex, p);
}

/* --- reading -------------------------------------------------------------- */

static void
read_message(struct unpack *u, struct modbus *m)
{
	struct span data;

	m->unit = (uint8_t)unpack_number_to(u, UINT8_MAX);
	m->function = (uint8_t)unpack_number_to(u, UINT8_MAX);
	m->len = (size_t)unpack_number_to(u, MODBUS_LONGEST);
	unpack_span(u, &data);
	if (data.len > MESSAGE_DATA)
		u->failed = true;
	else if (data.len > 0)
		memcpy(m->data, data.at, data.len);
	m->ndata = u->failed ? 0 : (unsigned)data.len;
}

static void
read_master(struct unpack *u, struct saved_master *saved)
{
	struct queued q;

	saved->kind = (enum master_kind)unpack_number_to(u, MASTER_SESSION);
	unpack_span(u, &saved->name);
	saved->last_ns = unpack_number(u);
	saved->nframes = unpack_count(u, FRAME_SIZE_MIN);
	saved->frames = *u;
	for (size_t i = 0; i < saved->nframes; i++)
		frame_read(u, &q);
}

static void
read_request(struct unpack *u, struct saved_request *saved)
{
	struct request *r = &saved->request;

	r->state = (enum request_state)unpack_number_to(u, REQUEST_UNANSWERED);
	r->route = (unsigned)unpack_number_to(u, UINT32_MAX);
	read_message(u, &r->message);
	r->unit = (uint8_t)unpack_number_to(u, UINT8_MAX);
	r->master_number = (uint32_t)unpack_number_to(u, UINT32_MAX);
	r->number = (uint32_t)unpack_number_to(u, UINT32_MAX);
	r->frames = (unsigned)unpack_number_to(u, UINT32_MAX);
	r->tries = (unsigned)unpack_number_to(u, UINT32_MAX);
	r->first_ns = unpack_number(u);
	r->sent_ns = unpack_number(u);
	r->until_ns = unpack_number(u);
	saved->master = unpack_number(u);
	unpack_span(u, &saved->payload);
	if (r->state == REQUEST_NONE || saved->payload.len > FRAMING_MAX_FRAME)
		u->failed = true;
}

static void
read_route(struct unpack *u, struct saved_route *route)
{
	route->number = (unsigned)unpack_number_to(u, UINT32_MAX);
	unpack_span(u, &route->name);
	unpack_span(u, &route->text);
	route->now = ROUTE_CHANGED;
}

/* Allocates n elements; NULL, and *n is 0: there is no memory. */
static void *
make_array(size_t *n, size_t size)
{
	void *array = calloc(*n + 1, size);

	if (array == NULL)
		*n = 0;
	return array;
}

static int
read_exchange(struct unpack *u, struct old_exchange *old)
{
	unpack_span(u, &old->to);
	old->nroutes = unpack_count(u, ROUTE_SIZE_MIN);
	old->route = make_array(&old->nroutes, sizeof(*old->route));
	for (size_t i = 0; i < old->nroutes; i++)
		read_route(u, &old->route[i]);
	old->number = (uint32_t)unpack_number_to(u, UINT32_MAX);
	old->rest_ns = unpack_number(u);
	old->nguards = (unsigned)unpack_number_to(u, GUARDS);
	for (unsigned i = 0; i < old->nguards; i++) {
		read_message(u, &old->guard[i].request);
		old->guard[i].until_ns = unpack_number(u);
	}
	old->nrequests = unpack_count(u, REQUEST_SIZE_MIN);
	if (old->nrequests > EXCHANGE_WINDOW_MAX)
		u->failed = true;
	old->request = make_array(&old->nrequests, sizeof(*old->request));
	for (size_t i = 0; i < old->nrequests; i++)
		read_request(u, &old->request[i]);
	old->nsaved = unpack_count(u, MASTER_SIZE_MIN);
	old->saved = make_array(&old->nsaved, sizeof(*old->saved));
	for (size_t i = 0; i < old->nsaved; i++)
		read_master(u, &old->saved[i]);
	return old->route == NULL || old->request == NULL || old->saved == NULL
	    ? -ENOMEM
	    : 0;
}

int
exchanges_read(struct unpack *u, struct old_exchanges **ret)
{
	struct old_exchanges *old = calloc(1, sizeof(*old));
	size_t n = unpack_count(u, EXCHANGE_SIZE_MIN);
	int r = -ENOMEM;

	if (old != NULL)
		old->exchange = calloc(n + 1, sizeof(*old->exchange));
	if (old != NULL && old->exchange != NULL)
		for (r = 0; r == 0 && old->n < n; old->n++)
			r = read_exchange(u, &old->exchange[old->n]);
	if (r < 0) {
		old_exchanges_free(old, NULL);
		return r;
	}
	*ret = old;
	return 0;
}

/* --- restoring ------------------------------------------------------------ */

static void
drop(struct node *node, enum drop_reason reason, size_t len)
{
	node->retired.offered++;
	node->retired.dropped[reason]++;
	node->retired.dropped_bytes += len;
	loss_dropped(node, reason, 1, len);
}

static bool
is_master(const struct master *master, const struct saved_master *saved)
{
	if (master->port == NULL)
		return saved->kind == MASTER_SEND;
	return saved->kind == MASTER_LINK &&
	    span_is(&saved->name, master->port->link->name);
}

/* Masters keep their order, regardless of the order in which their links come up. */
static void
take_turn(const struct old_exchange *old, size_t number, struct master *master)
{
	struct master_list *masters = &old->now->masters;
	struct master *other;

	for (size_t i = number + 1; i < old->nsaved; i++) {
		TAILQ_FOREACH(other, masters, entry) {
			if (other == master ||
			    !is_master(other, &old->saved[i]))
				continue;
			TAILQ_REMOVE(masters, master, entry);
			TAILQ_INSERT_BEFORE(other, master, entry);
			return;
		}
	}
}

/* The present number of a route, for queue_reroute(). */
static unsigned
route_now(const void *arg, unsigned number)
{
	const struct old_exchange *old = arg;

	for (size_t i = 0; i < old->nroutes; i++)
		if (old->route[i].number == number)
			return old->route[i].now;
	return ROUTE_CHANGED;
}

/* The requests that were sent for the master await their answers again. */
static void
restore_waits(
    const struct old_exchange *old, size_t number, struct master *master)
{
	struct exchange *ex = old->now;

	for (size_t i = 0; i < old->nrequests; i++)
		if (old->request[i].master == number &&
		    ex->request[i].state != REQUEST_NONE &&
		    ex->request[i].sent_ns == old->request[i].request.sent_ns)
			ex->request[i].master = master;
}

/* The framing of the master may have changed. */
static bool
is_request(const struct exchange *ex, const struct master *master,
    const struct queued *q)
{
	struct modbus m;

	return ex->protocol->read(
	    exchange_master_framing(ex, master), q->payload, q->len, &m);
}

/* Restores the queued requests of a master; port: NULL for the control port. */
static void
restore_master(struct old_exchange *old, size_t number, struct port *port)
{
	struct saved_master *saved = &old->saved[number];
	struct exchange *ex = old->now;
	struct master *master = exchange_add_master(ex, port, NULL);
	struct unpack u = saved->frames;
	struct queued q;

	saved->restored = true;
	for (size_t i = 0; i < saved->nframes; i++) {
		frame_read(&u, &q);
		q.route = route_now(old, q.route);
		if (q.route == ROUTE_CHANGED && master != NULL)
			exchange_drop_refused(
			    ex, master, &q, DROP_CLOSED, REFUSED_CLOSED);
		else if (q.route == ROUTE_CHANGED)
			drop(ex->to, DROP_CLOSED, q.len);
		else if (master != NULL && !is_request(ex, master, &q))
			drop(ex->to, DROP_UNENCODABLE, q.len);
		else if (master == NULL || queue_add(&master->queue, &q) < 0)
			drop(ex->to, DROP_MEMORY, q.len);
	}
	if (master == NULL)
		return;
	master->last_ns = saved->last_ns;
	take_turn(old, number, master);
	restore_waits(old, number, master);
	exchange_wake(ex);
}

static void
restore_request(const struct old_exchange *old, size_t i, struct exchange *ex)
{
	const struct span *payload = &old->request[i].payload;
	struct request *r = &ex->request[i];

	*r = old->request[i].request;
	r->route = route_now(old, r->route);
	r->unrouted = r->route == ROUTE_CHANGED;
	if (ex->newest == NULL || r->sent_ns >= ex->newest->sent_ns)
		ex->newest = r;
	if (payload->len == 0 || (r->payload = malloc(payload->len)) == NULL)
		return;
	memcpy(r->payload, payload->at, payload->len);
	r->len = payload->len;
}

static void
restore_exchange(struct old_exchange *old, struct exchange *ex)
{
	old->now = ex;
	for (size_t i = 0; i < old->nroutes; i++)
		for (unsigned j = 0; j < ex->nroutes; j++)
			if (span_is(&old->route[i].name, ex->route[j]->name) &&
			    span_is(
				&old->route[i].text, ex->route[j]->conf->text))
				old->route[i].now = ex->route[j]->number;
	ex->number = old->number;
	ex->rest_ns = old->rest_ns;
	ex->nguards = old->nguards;
	memcpy(ex->guard, old->guard, sizeof(ex->guard));
	for (size_t i = 0; i < old->nrequests; i++)
		restore_request(old, i, ex);
	ex->nrequests = ex->nslots = (unsigned)old->nrequests;
	for (size_t i = 0; i < old->nsaved; i++)
		if (old->saved[i].kind == MASTER_SEND)
			restore_master(old, i, NULL);
	exchange_wake(ex);
}

void
exchanges_restore(struct bridge *b, struct old_exchanges *old)
{
	struct exchange *ex;

	for (size_t i = 0; old != NULL && i < old->n; i++) {
		struct old_exchange *past = &old->exchange[i];

		TAILQ_FOREACH(ex, &b->exchanges, entry)
			if (past->now == NULL && ex->nrequests == 0 &&
			    span_is(&past->to, ex->to->endpoint->conf->name))
				restore_exchange(past, ex);
	}
}

void
exchanges_restore_master(struct port *port, struct old_exchanges *old)
{
	for (size_t i = 0; old != NULL && i < old->n; i++) {
		struct old_exchange *past = &old->exchange[i];

		for (size_t j = 0; past->now != NULL && j < past->nsaved; j++)
			if (past->saved[j].kind == MASTER_LINK &&
			    !past->saved[j].restored &&
			    span_is(&past->saved[j].name, port->link->name))
				restore_master(past, j, port);
	}
}

/* --- requests that were not restored -------------------------------------- */

static void
drop_rest(const struct old_exchange *old, struct bridge *b)
{
	struct queued q;

	for (unsigned i = 0; i < b->nnodes; i++) {
		struct node *node = b->node[i];

		if (!span_is(&old->to, node->endpoint->conf->name))
			continue;
		for (size_t j = 0; j < old->nsaved; j++) {
			const struct saved_master *saved = &old->saved[j];
			struct unpack u = saved->frames;

			if (saved->restored)
				continue;
			for (size_t k = 0; k < saved->nframes; k++) {
				frame_read(&u, &q);
				drop(node, DROP_CLOSED, q.len);
			}
		}
	}
}

static void
free_arrays(struct old_exchange *old)
{
	free(old->route);
	free(old->request);
	free(old->saved);
}

void
old_exchanges_free(struct old_exchanges *old, struct bridge *b)
{
	if (old == NULL)
		return;
	for (size_t i = 0; i < old->n; i++)
		if (b != NULL)
			drop_rest(&old->exchange[i], b);
	for (size_t i = 0; old->exchange != NULL && i < old->n; i++)
		free_arrays(&old->exchange[i]);
	free(old->exchange);
	free(old);
}
