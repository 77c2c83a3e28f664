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

#include "exchange.h"
#include "restore.h"
#include "pack.h"

#define EXCHANGE_SIZE_MIN (12 * sizeof(uint64_t))
#define GUARD_SIZE_MIN (2 * sizeof(uint64_t))
#define MASTER_SIZE_MIN (4 * sizeof(uint64_t))
#define REQUEST_DATA sizeof(((struct modbus *)0)->data)

enum master_kind { MASTER_LINK, MASTER_SEND, MASTER_SESSION };

struct saved_master {
	enum master_kind kind;
	struct span name; /* name of its link */
	uint64_t last_ns;
	size_t nframes;
	struct unpack frames;
	bool restored;
};

struct old_exchange {
	struct span route, text, to;
	enum exchange_phase phase;
	struct modbus request;
	uint32_t master_number, number;
	uint64_t sent_ns, until_ns;
	unsigned nguards;
	struct guard guard[GUARDS];
	size_t master; /* whose request was sent; nsaved: none */
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
save_request(const struct modbus *m, struct pack *p)
{
	pack_number(p, m->unit);
	pack_number(p, m->function);
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
	struct queued q;
	size_t pos = 0;

	pack_number(p, kind_of(master));
	pack_string(p, master->port != NULL ? master->port->link->name : NULL);
	pack_number(p, master->last_ns);
	pack_number(p, master->queue.frames);
	while (queue_next(&master->queue, &pos, &q))
		frame_save(&q, p);
}

static void
save_exchange(const struct exchange *ex, struct pack *p)
{
	const struct master *master;
	uint64_t n = 0, out = UINT64_MAX;

	pack_string(p, ex->route->name);
	pack_string(p, ex->route->conf->text);
	pack_string(p, ex->to->endpoint->conf->name);
	pack_number(p, ex->phase);
	save_request(&ex->request, p);
	pack_number(p, ex->master_number);
	pack_number(p, ex->number);
	pack_number(p, ex->sent_ns);
	pack_number(p, ex->until_ns);
	pack_number(p, ex->nguards);
	for (unsigned i = 0; i < ex->nguards; i++) {
		save_request(&ex->guard[i].request, p);
		pack_number(p, ex->guard[i].until_ns);
	}
	TAILQ_FOREACH(master, &ex->masters, entry) {
		if (master == ex->master)
			out = n;
		n++;
	}
	pack_number(p, MIN(out, n));
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
read_request(struct unpack *u, struct modbus *m)
{
	struct span data;

	m->unit = (uint8_t)unpack_number_to(u, UINT8_MAX);
	m->function = (uint8_t)unpack_number_to(u, UINT8_MAX);
	unpack_span(u, &data);
	if (data.len > REQUEST_DATA)
		u->failed = true;
	else if (data.len > 0)
		memcpy(m->data, data.at, data.len);
	m->ndata = u->failed ? 0 : (unsigned)data.len;
}

static void
read_master(struct unpack *u, struct saved_master *saved)
{
	struct modbus request;
	struct queued q;

	saved->kind = (enum master_kind)unpack_number_to(u, MASTER_SESSION);
	unpack_span(u, &saved->name);
	saved->last_ns = unpack_number(u);
	saved->nframes = unpack_count(u, FRAME_SIZE_MIN);
	saved->frames = *u;
	for (size_t i = 0; i < saved->nframes; i++) {
		frame_read(u, &q);
		if (q.len > MODBUS_LONGEST ||
		    !modbus_read(q.payload, q.len, &request))
			u->failed = true;
	}
}

static int
read_exchange(struct unpack *u, struct old_exchange *old)
{
	unpack_span(u, &old->route);
	unpack_span(u, &old->text);
	unpack_span(u, &old->to);
	old->phase = (enum exchange_phase)unpack_number_to(u, EXCHANGE_RESTING);
	read_request(u, &old->request);
	old->master_number = (uint32_t)unpack_number_to(u, UINT32_MAX);
	old->number = (uint32_t)unpack_number_to(u, UINT32_MAX);
	old->sent_ns = unpack_number(u);
	old->until_ns = unpack_number(u);
	old->nguards = (unsigned)unpack_number_to(u, GUARDS);
	for (unsigned i = 0; i < old->nguards; i++) {
		read_request(u, &old->guard[i].request);
		old->guard[i].until_ns = unpack_number(u);
	}
	old->master = (size_t)unpack_number(u);
	old->nsaved = unpack_count(u, MASTER_SIZE_MIN);
	old->saved = calloc(old->nsaved + 1, sizeof(*old->saved));
	if (old->saved == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < old->nsaved; i++)
		read_master(u, &old->saved[i]);
	return 0;
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
		/* Others were to be refused. */
		if (q.route != NO_ROUTE)
			q.route = ex->route->number;
		if (master == NULL || queue_add(&master->queue, &q) < 0)
			drop(ex->to, DROP_MEMORY, q.len);
	}
	if (master == NULL)
		return;
	master->last_ns = saved->last_ns;
	take_turn(old, number, master);
	if (number == old->master && ex->phase != EXCHANGE_IDLE)
		ex->master = master;
	exchange_wake(ex);
}

static void
restore_bus(const struct old_exchange *old, struct exchange *ex)
{
	ex->phase = old->phase;
	ex->request = old->request;
	ex->master_number = old->master_number;
	ex->number = old->number;
	ex->sent_ns = old->sent_ns;
	ex->until_ns = old->until_ns;
	ex->nguards = old->nguards;
	memcpy(ex->guard, old->guard, sizeof(ex->guard));
	exchange_wake(ex);
}

/* The queued requests of masters are restored only if the section is the same. */
static void
restore_exchange(struct old_exchange *old, struct exchange *ex)
{
	restore_bus(old, ex);
	if (!span_is(&old->route, ex->route->name) ||
	    !span_is(&old->text, ex->route->conf->text))
		return;
	old->now = ex;
	for (size_t i = 0; i < old->nsaved; i++)
		if (old->saved[i].kind == MASTER_SEND)
			restore_master(old, i, NULL);
}

void
exchanges_restore(struct bridge *b, struct old_exchanges *old)
{
	struct exchange *ex;

	for (size_t i = 0; old != NULL && i < old->n; i++) {
		struct old_exchange *past = &old->exchange[i];

		TAILQ_FOREACH(ex, &b->exchanges, entry)
			if (span_is(&past->to, ex->to->endpoint->conf->name))
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

void
old_exchanges_free(struct old_exchanges *old, struct bridge *b)
{
	if (old == NULL)
		return;
	for (size_t i = 0; i < old->n; i++)
		if (b != NULL)
			drop_rest(&old->exchange[i], b);
	for (size_t i = 0; old->exchange != NULL && i < old->n; i++)
		free(old->exchange[i].saved);
	free(old->exchange);
	free(old);
}
