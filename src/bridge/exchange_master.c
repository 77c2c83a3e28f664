/*
 * exchange_master: the masters of an exchange, each with its queued requests.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "exchange_parts.h"

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

static bool
has_priority(const struct exchange *ex, const struct master *master)
{
	return master->port != NULL &&
	    exchange_names(exchange_conf(ex)->priority, master->port->node);
}

void
exchange_set_priorities(struct exchange *ex)
{
	struct master *master;

	TAILQ_FOREACH(master, &ex->masters, entry)
		master->priority = has_priority(ex, master);
}

/* Adds the master: its turn comes before that of the one that had the last turn. */
static void
insert_master(struct exchange *ex, struct master *master)
{
	struct master *last = TAILQ_LAST(&ex->masters, master_list);

	if (last != NULL && last->served)
		TAILQ_INSERT_BEFORE(last, master, entry);
	else
		TAILQ_INSERT_TAIL(&ex->masters, master, entry);
}

struct master *
exchange_add_master(struct exchange *ex, struct port *port, struct tap *tap)
{
	struct master *master = calloc(1, sizeof(*master));

	if (master == NULL)
		return NULL;
	master->port = port;
	master->tap = tap;
	master->priority = has_priority(ex, master);
	queue_init(&master->queue, ex->to->endpoint->conf->queue);
	queue_init(&master->refused, 0);
	insert_master(ex, master);
	return master;
}

static void
drop_all(struct exchange *ex, struct master *master, enum drop_reason reason)
{
	struct queued q;

	for (; queue_head(&master->queue, &q); queue_pop(&master->queue))
		exchange_drop_request(ex, master, &q, reason);
	queue_free(&master->queue);
	/* These are counted as rejected or dropped already. */
	queue_free(&master->refused);
}

void
exchange_free_master(
    struct exchange *ex, struct master *master, enum drop_reason reason)
{
	drop_all(ex, master, reason);
	requests_abandon(ex, master, reason);
	TAILQ_REMOVE(&ex->masters, master, entry);
	free(master);
}

/*
 * The master waits for none of its earlier answers any more: drops its requests, except
 * broadcasts, which have no answer.
 */
static void
give_up(struct exchange *ex, struct master *master)
{
	const struct framing_conf *framing =
	    exchange_master_framing(ex, master);
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
		if (!ex->protocol->read(framing, q.payload, q.len, &request) ||
		    !ex->protocol->unanswered(ex, &request, q.payload, q.len))
			exchange_drop_request(ex, master, &q, DROP_REPLACED);
		else if (queue_add(&master->queue, &q) < 0)
			exchange_drop_request(ex, master, &q, DROP_MEMORY);
	}
	requests_abandon(ex, master, DROP_REPLACED);
}

/* A request has arrived: it may show that the master has given up on earlier ones. */
static void
note_request(struct exchange *ex, struct master *master, uint64_t now)
{
	if (now - master->last_ns > RETRY_WINDOW && ex->protocol->replaces &&
	    !exchange_master_numbers(master))
		give_up(ex, master);
	master->last_ns = now;
}

/* Adds a request that is to be answered with an exception; -ENOBUFS, -ENOMEM. */
static int
add_refused(struct exchange *ex, struct master *master, const struct queued *q,
    unsigned why)
{
	struct queued refused = *q;

	refused.route = why;
	master->refused.limit = ex->to->endpoint->conf->queue;
	if (master->refused.bytes + queue_cost(q->len) > master->refused.limit)
		return -ENOBUFS;
	exchange_wake(ex);
	return queue_add(&master->refused, &refused);
}

void
exchange_drop_refused(struct exchange *ex, struct master *master,
    const struct queued *q, enum drop_reason reason, enum refusal why)
{
	exchange_drop_request(ex, master, q, reason);
	if (exchange_master_numbers(master))
		add_refused(ex, master, q, why);
}

static void
add_request(
    struct exchange *ex, struct master *master, const struct queued *item)
{
	struct modbus request;

	if (!ex->protocol->read(exchange_master_framing(ex, master),
		item->payload, item->len, &request)) {
		exchange_drop_request(ex, master, item, DROP_UNENCODABLE);
		return;
	}
	note_request(ex, master, item->since_ns);
	master->queue.limit = ex->to->endpoint->conf->queue;
	if (master->queue.bytes + queue_cost(item->len) > master->queue.limit)
		exchange_drop_refused(
		    ex, master, item, DROP_OVERFLOW, REFUSED_BUSY);
	else if (queue_add(&master->queue, item) < 0)
		exchange_drop_request(ex, master, item, DROP_MEMORY);
	else if (is_tapped(ex->bridge, TAPPED_FRAMES))
		tap_queued(ex->to->endpoint->conf->name, item->payload);
}

/* Calls the exchange if it may send the request, or has to watch its time. */
static void
wake_for_request(struct exchange *ex, const struct master *master)
{
	/* The first one in a queue may expire before the exchange is called otherwise. */
	if (master->queue.frames == 1 || !exchange_bus_open(ex) ||
	    (ex->rest_ns == 0 &&
		ex->nrequests < MAX(exchange_conf(ex)->window, 1U)))
		exchange_wake(ex);
}

/* The master that the port is; NULL: out of memory. */
static struct master *
find_or_add(struct exchange *ex, struct port *port)
{
	struct master *master = find_master(ex, port, NULL);

	return master != NULL ? master : exchange_add_master(ex, port, NULL);
}

/* Adds a request of the port that the batch is from. */
static void
submit(struct exchange *ex, const struct batch *batch, const struct queued *q)
{
	struct master *master = find_or_add(ex, batch->from);

	if (master == NULL) {
		exchange_drop(ex, DROP_MEMORY, q->len);
		return;
	}
	add_request(ex, master, q);
	wake_for_request(ex, master);
}

/*
 * A request for one bus, or for none, shows that a master without numbers has given up on
 * those for other buses, too.
 */
static void
note_elsewhere(const struct exchange *ex, const struct batch *batch,
    const struct item *item)
{
	struct exchange *other;
	struct master *master;

	if (batch->from->conf->framing.rule->number_size > 0)
		return;
	TAILQ_FOREACH(other, &batch->from->node->bridge->exchanges, entry)
		if (other != ex &&
		    (master = find_master(other, batch->from, NULL)) != NULL)
			note_request(other, master, item->since_ns);
}

void
exchange_submit(struct exchange *ex, struct batch *batch)
{
	for (unsigned i = 0; i < batch->npick; i++) {
		struct item *item = &batch->item[batch->pick[i]];
		const struct queued q = item_queued(batch, item, ex->to);

		item->submitted = true;
		note_elsewhere(ex, batch, item);
		submit(ex, batch, &q);
	}
}

/* The exchange that has the route, or the first one among the targets, or NULL. */
static struct exchange *
refusing(
    const struct batch *batch, const struct route_source *s, unsigned route)
{
	struct node *const *node = batch->from->node->bridge->node;
	struct exchange *first = NULL;

	for (unsigned i = 0; i < s->ntargets; i++) {
		struct exchange *ex = node[s->targets[i].to]->exchange;

		if (ex != NULL && exchange_has_route(ex, route))
			return ex;
		if (first == NULL)
			first = ex;
	}
	return first;
}

/* The request is counted as rejected, even if there is no room for its exception. */
static void
refuse(struct exchange *ex, struct port *port, const struct queued *q)
{
	struct master *master = find_or_add(ex, port);
	int r;

	if (master == NULL)
		return;
	note_request(ex, master, q->since_ns);
	if ((r = add_refused(ex, master, q, q->route)) < 0)
		exchange_note_drop(
		    ex, master, q, r == -ENOMEM ? DROP_MEMORY : DROP_OVERFLOW);
}

void
exchange_refuse(const struct batch *batch, const struct route_source *s)
{
	bool numbers = batch->from->conf->framing.rule->number_size > 0;
	struct exchange *ex;

	for (unsigned i = 0; i < batch->n; i++) {
		const struct item *item = &batch->item[i];
		struct queued q;

		if (item->submitted)
			continue;
		note_elsewhere(NULL, batch, item);
		if ((!numbers && item->refused_by == NO_ROUTE) ||
		    (ex = refusing(batch, s, item->refused_by)) == NULL)
			continue;
		q = item_queued(batch, item, ex->to);
		q.route = item->refused_by;
		refuse(ex, batch->from, &q);
	}
}

/* The exception for a refused request. */
static uint8_t
exception_of(const struct queued *q)
{
	switch (q->route) {
	case REFUSED_BUSY:
		return MODBUS_BUSY;
	case REFUSED_UNIT:
	case REFUSED_CLOSED:
		return MODBUS_NO_PATH;
	default:
		return MODBUS_ILLEGAL_FUNCTION;
	}
}

bool
exchange_answer_refused(struct exchange *ex)
{
	struct master *master;
	struct queued q;
	unsigned n = 0;

	TAILQ_FOREACH(master, &ex->masters, entry)
		for (; queue_head(&master->refused, &q); n++) {
			if (n == TURN_REQUESTS)
				return true;
			request_answer_exception(
			    ex, master, &q, exception_of(&q));
			queue_pop(&master->refused);
		}
	return false;
}

int
exchange_send(
    struct exchange *ex, struct tap *tap, const uint8_t *payload, size_t len)
{
	const struct port *port = TAILQ_FIRST(&ex->to->ports);
	struct master *master = find_master(ex, NULL, tap);
	struct modbus request;

	if (!ex->protocol->read(exchange_framing(ex), payload, len, &request))
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
	if (queue_push(&master->queue, payload, len, now_ns(),
		ex->route[0]->number) < 0)
		return -ENOMEM;
	if (is_tapped(ex->bridge, TAPPED_FRAMES)) {
		tap_begin(payload);
		tap_queued(ex->to->endpoint->conf->name, payload);
		taps_tell_sent(ex->to, payload, len);
	}
	wake_for_request(ex, master);
	return 0;
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

/* Whether the bus has a link besides the one that goes down. */
static bool
has_other_link(const struct exchange *ex, const struct port *port)
{
	const struct port *other;

	TAILQ_FOREACH(other, &ex->to->ports, entry)
		if (other != port && port_open(other))
			return true;
	return false;
}

void
exchange_forget(struct bridge *b, const struct port *port)
{
	struct exchange *ex;
	struct master *master;

	TAILQ_FOREACH(ex, &b->exchanges, entry) {
		if (ex->to == port->node && !has_other_link(ex, port))
			requests_bus_down(ex);
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

/* The first master that may send a request now, of those with priority or of the others. */
static struct master *
first_ready(const struct exchange *ex, bool priority)
{
	struct master *master;

	TAILQ_FOREACH(master, &ex->masters, entry)
		if (master->priority == priority &&
		    !queue_empty(&master->queue) &&
		    !exchange_is_guarded(ex, master))
			break;
	return master;
}

struct master *
exchange_next_master(struct exchange *ex)
{
	struct master *master = first_ready(ex, true);
	struct master *other = first_ready(ex, false);
	bool favours =
	    master != NULL && other != NULL && ex->favoured < PRIORITY_RUN;

	ex->favoured = favours ? ex->favoured + 1 : 0;
	if (!favours && other != NULL)
		master = other;
	if (master != NULL) {
		master->served = true;
		TAILQ_REMOVE(&ex->masters, master, entry);
		TAILQ_INSERT_TAIL(&ex->masters, master, entry);
	}
	return master;
}

/* --- requests that have waited too long ----------------------------------- */

/* By default time enough for another request to the unit that is not answered. */
static uint64_t
request_timeout(const struct exchange *ex)
{
	uint64_t given = exchange_conf(ex)->request_timeout;

	if (given != 0)
		return given;
	return MAX(REQUEST_TIMEOUT,
	    2 * (exchange_answer_timeout(ex) + exchange_guard_time(ex)));
}

uint64_t
exchange_expire(struct exchange *ex, uint64_t now)
{
	uint64_t timeout = request_timeout(ex), first = 0;
	struct master *master;
	struct queued q;

	TAILQ_FOREACH(master, &ex->masters, entry)
		while (queue_head(&master->queue, &q)) {
			if (q.since_ns + timeout > now) {
				first = first == 0
				    ? q.since_ns + timeout
				    : MIN(first, q.since_ns + timeout);
				break;
			}
			exchange_route(ex, q.route)->stats->counters.expired++;
			request_answer_exception(
			    ex, master, &q, MODBUS_NO_ANSWER);
			exchange_tell_unanswered(master, false);
			exchange_drop_request(ex, master, &q, DROP_EXPIRED);
			queue_pop(&master->queue);
		}
	return first;
}
