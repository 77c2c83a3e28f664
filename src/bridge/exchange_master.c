/*
 * exchange_master: the masters of an exchange, each with its queued requests.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "exchange.h"

/* Requests of one master that arrive within this time do not replace each other. */
#define RETRY_WINDOW (20 * NSEC_PER_MSEC)

static struct master *
find_master(
    const struct exchange *ex, const struct port *port, const struct tap *tap)
{
	struct master *master;

	TAILQ_FOREACH(master, &ex->masters, entry)
		if (master->port == port && master->tap == tap)
			return master;
	return NULL;
}

struct master *
exchange_add_master(
    struct exchange *ex, struct port *port, const struct tap *tap)
{
	struct master *master = calloc(1, sizeof(*master));

	if (master == NULL)
		return NULL;
	master->port = port;
	master->tap = tap;
	queue_init(&master->queue, ex->to->endpoint->conf->queue);
	TAILQ_INSERT_TAIL(&ex->masters, master, entry);
	return master;
}

void
exchange_free_master(
    struct exchange *ex, struct master *master, enum drop_reason reason)
{
	struct queued q;

	while (queue_head(&master->queue, &q)) {
		exchange_drop(ex, reason, q.len);
		queue_pop(&master->queue);
	}
	if (ex->master == master) {
		ex->exception = 0;
		exchange_abandon(ex, reason);
	}
	TAILQ_REMOVE(&ex->masters, master, entry);
	queue_free(&master->queue);
	free(master);
}

/*
 * The master waits for none of its earlier answers any more: drops its requests, except
 * broadcasts, which have no answer.
 */
static void
give_up(struct exchange *ex, struct master *master)
{
	uint8_t copy[MODBUS_LONGEST], wire[MODBUS_LONGEST + 2];
	struct modbus request;
	struct queued q;

	for (size_t n = master->queue.frames; n > 0; n--) {
		if (!queue_head(&master->queue, &q))
			break;
		q.payload = memcpy(copy, q.payload, q.len);
		if (q.wire_len > sizeof(wire))
			q.wire = NULL;
		if (q.wire != NULL)
			q.wire = memcpy(wire, q.wire, q.wire_len);
		queue_pop(&master->queue);
		if (!exchange_read_request(ex, master, &q, &request) ||
		    request.unit != MODBUS_BROADCAST)
			exchange_drop(ex, DROP_REPLACED, q.len);
		else if (queue_add(&master->queue, &q) < 0)
			exchange_drop(ex, DROP_MEMORY, q.len);
	}
	if (ex->phase == EXCHANGE_AWAITING && ex->master == master &&
	    !ex->answered)
		exchange_abandon(ex, DROP_REPLACED);
}

static void
add_request(
    struct exchange *ex, struct master *master, const struct queued *item)
{
	struct modbus request;

	if (!exchange_read_request(ex, master, item, &request)) {
		exchange_drop(ex, DROP_UNENCODABLE, item->len);
		return;
	}
	if (item->since_ns - master->last_ns > RETRY_WINDOW &&
	    !exchange_master_numbers(master))
		give_up(ex, master);
	master->last_ns = item->since_ns;
	master->queue.limit = ex->to->endpoint->conf->queue;
	if (master->queue.bytes + queue_cost(item->len) > master->queue.limit)
		exchange_drop(ex, DROP_OVERFLOW, item->len);
	else if (queue_add(&master->queue, item) < 0)
		exchange_drop(ex, DROP_MEMORY, item->len);
}

/* Adds a request of the port that the batch is from. */
static void
submit(struct exchange *ex, const struct batch *batch, const struct queued *q)
{
	struct master *master = find_master(ex, batch->from, NULL);

	if (master == NULL)
		master = exchange_add_master(ex, batch->from, NULL);
	if (master != NULL)
		add_request(ex, master, q);
	else
		exchange_drop(ex, DROP_MEMORY, q->len);
	if (ex->phase == EXCHANGE_IDLE)
		exchange_wake(ex);
}

void
exchange_submit(struct exchange *ex, struct batch *batch)
{
	for (unsigned i = 0; i < batch->npick; i++) {
		struct item *item = &batch->item[batch->pick[i]];
		const struct queued q = item_queued(batch, item, ex->to);

		item->submitted = true;
		submit(ex, batch, &q);
	}
}

void
exchange_refuse(const struct batch *batch, const struct route_source *s)
{
	struct node *const *node = batch->from->node->bridge->node;
	struct exchange *ex = NULL;

	for (unsigned i = 0; ex == NULL && i < s->ntargets; i++)
		ex = node[s->targets[i].to]->exchange;
	for (unsigned i = 0; ex != NULL && i < batch->n; i++) {
		struct queued q = item_queued(batch, &batch->item[i], ex->to);

		q.route = NO_ROUTE;
		if (!batch->item[i].submitted)
			submit(ex, batch, &q);
	}
}

int
exchange_send(struct exchange *ex, const struct tap *tap,
    const uint8_t *payload, size_t len)
{
	const struct port *port = TAILQ_FIRST(&ex->to->ports);
	struct master *master = find_master(ex, NULL, tap);
	struct modbus request;

	if (!framing_modbus(exchange_framing(ex), payload, len, &request))
		return -EINVAL;
	if (port == NULL)
		return -ENOTCONN;
	if (!port_open(port))
		return -ENETDOWN;
	if (master == NULL &&
	    (master = exchange_add_master(ex, NULL, tap)) == NULL)
		return -ENOMEM;
	master->queue.limit = ex->to->endpoint->conf->queue;
	if (master->queue.bytes + queue_cost(len) > master->queue.limit)
		return -ENOBUFS;
	if (queue_push(
		&master->queue, payload, len, now_ns(), ex->route->number) < 0)
		return -ENOMEM;
	if (ex->phase == EXCHANGE_IDLE)
		exchange_wake(ex);
	return 0;
}

bool
exchange_answers(const struct exchange *ex, const struct tap *tap)
{
	return ex->answered && ex->master != NULL && ex->master->tap == tap;
}

void
exchange_forget_tap(struct bridge *b, const struct tap *tap)
{
	struct exchange *ex;
	struct master *master;

	TAILQ_FOREACH(ex, &b->exchanges, entry) {
		master = find_master(ex, NULL, tap);
		if (master != NULL)
			exchange_free_master(ex, master, DROP_CLOSED);
	}
}

/* Ends the wait of the current master, with an exception if its messages have numbers. */
static void
bus_down(struct exchange *ex)
{
	struct master *master = ex->master;
	bool awaited = ex->phase == EXCHANGE_AWAITING && !ex->answered;

	exchange_withdraw(ex, DROP_DOWN);
	if (!awaited || master == NULL || !exchange_master_numbers(master))
		return;
	/* The answer to a request that was sent may still arrive if the bus is back soon. */
	if (ex->phase == EXCHANGE_AWAITING)
		exchange_guard_add(ex, MAX(now_ns(), ex->until_ns));
	ex->master = master;
	ex->exception = MODBUS_NO_PATH;
	ex->phase = EXCHANGE_IDLE;
	exchange_wake(ex);
}

void
exchange_forget(struct bridge *b, const struct port *port)
{
	struct exchange *ex;
	struct master *master;

	TAILQ_FOREACH(ex, &b->exchanges, entry) {
		if (ex->to == port->node && ex->phase != EXCHANGE_IDLE)
			bus_down(ex);
		master = find_master(ex, port, NULL);
		if (master != NULL)
			exchange_free_master(ex, master, DROP_CLOSED);
	}
}

void
exchange_queued(const struct exchange *ex, size_t *bytes, size_t *frames)
{
	const struct master *master;

	TAILQ_FOREACH(master, &ex->masters, entry) {
		*bytes += master->queue.payload;
		*frames += master->queue.frames;
	}
}

struct master *
exchange_next_master(struct exchange *ex)
{
	struct master *master;

	TAILQ_FOREACH(master, &ex->masters, entry)
		if (!queue_empty(&master->queue) &&
		    !exchange_is_guarded(ex, master))
			break;
	if (master != NULL) {
		TAILQ_REMOVE(&ex->masters, master, entry);
		TAILQ_INSERT_TAIL(&ex->masters, master, entry);
	}
	return master;
}

const char *
exchange_master_name(const struct master *master, const char *none)
{
	if (master == NULL)
		return none;
	return master->port != NULL ? master->port->link->name
				    : "the control port";
}
