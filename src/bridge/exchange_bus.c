/*
 * exchange_bus: sends requests to the bus of an exchange, and withdraws those that are
 * not to be sent any more.
 */
#include <errno.h>
#include <stdlib.h>

#include <event2/event.h>

#include "exchange.h"

/* Bits of a character on the line. */
#define CHARACTER 11

const struct framing_conf *
exchange_framing(const struct exchange *ex)
{
	return &ex->to->endpoint->conf->framing;
}

const struct framing_conf *
exchange_master_framing(const struct master *master)
{
	return master->port != NULL ? &master->port->conf->framing : NULL;
}

bool
exchange_master_numbers(const struct master *master)
{
	const struct framing_conf *conf = exchange_master_framing(master);

	return conf != NULL && conf->rule->number_size > 0;
}

uint64_t
exchange_answer_timeout(const struct exchange *ex)
{
	uint64_t given = ex->route->conf->answer_timeout;

	return given != 0 ? given : ANSWER_TIMEOUT;
}

void
exchange_drop(struct exchange *ex, enum drop_reason reason, size_t len)
{
	struct port *port = TAILQ_FIRST(&ex->to->ports);

	if (port != NULL) {
		port_drop(port, reason, len);
		return;
	}
	ex->to->retired.dropped[reason]++;
	ex->to->retired.dropped_bytes += len;
	loss_dropped(ex->to, reason, 1, len);
}

bool
exchange_bus_clear(const struct exchange *ex)
{
	const struct port *port;

	TAILQ_FOREACH(port, &ex->to->ports, entry)
		if (port_open(port) &&
		    (port->in_flight.waits || !queue_empty(&port->queue)))
			return false;
	return true;
}

/* Drops the frame in flight, if none of it is written. */
static bool
withdraw_in_flight(struct port *port, enum drop_reason reason)
{
	struct in_flight *h = &port->in_flight;

	if (!h->waits || h->partial ||
	    (h->wire > 0 && link_pending(port->link) < h->wire))
		return false;
	if (h->wire > 0)
		port->traffic.tx_bytes -= link_take_back(port->link);
	port_drop_in_flight(port, reason);
	return true;
}

void
exchange_wake(struct exchange *ex)
{
	event_del(ex->event);
	TASK_SET(&ex->task, TASK_IDLE);
	event_active(ex->event, EV_TIMEOUT, 0);
}

void
exchange_withdraw(struct exchange *ex, enum drop_reason reason)
{
	struct port *port;
	struct queued q;
	bool any = false;

	TAILQ_FOREACH(port, &ex->to->ports, entry) {
		any |= withdraw_in_flight(port, reason);
		for (; queue_head(&port->queue, &q); any = true) {
			port_drop(port, reason, q.len);
			queue_pop(&port->queue);
		}
	}
	if (!any || ex->phase != EXCHANGE_AWAITING)
		return;
	ex->phase = EXCHANGE_IDLE;
	ex->master = NULL;
	exchange_wake(ex);
}

void
exchange_abandon(struct exchange *ex, enum drop_reason reason)
{
	ex->master = NULL;
	if (ex->phase == EXCHANGE_AWAITING)
		exchange_withdraw(ex, reason);
}

uint64_t
exchange_line_time(const struct exchange *ex, size_t bytes)
{
	const struct framing_conf *framing = exchange_framing(ex);

	if (framing->baud == 0)
		return 0;
	return bytes * CHARACTER * NSEC_PER_SEC / framing->baud;
}

bool
exchange_read_request(const struct exchange *ex, const struct master *master,
    const struct queued *q, struct modbus *ret)
{
	const struct framing_conf *conf = exchange_master_framing(master);

	return framing_modbus(conf != NULL ? conf : exchange_framing(ex),
	    q->payload, q->len, ret);
}

bool
exchange_bus_open(const struct exchange *ex)
{
	const struct port *port = TAILQ_FIRST(&ex->to->ports);

	return port != NULL && port_open(port);
}

/*
 * Converts the request to the framing of the bus and sets its number there; out has room
 * for CONVERT_MAX bytes.
 */
static bool
convert_request(struct exchange *ex, const struct framing_conf *from,
    struct queued *q, uint8_t *out)
{
	const struct framing_conf *bus = exchange_framing(ex);
	long len;

	/* The control port writes in the framing of the bus. */
	if (from == NULL)
		from = bus;
	if (!framing_differs(from, bus) && bus->rule->number_size == 0)
		return true;
	if ((len = framing_convert(from, q->payload, q->len, bus, out)) < 0)
		return false;
	if (bus->rule->number_size > 0)
		ex->number = (ex->number + 1) & UINT16_MAX;
	framing_set_number(bus, out, (size_t)len, ex->number);
	q->payload = out;
	q->len = (size_t)len;
	q->wire = NULL;
	return true;
}

bool
exchange_put_on_bus(struct exchange *ex, const struct framing_conf *from,
    const struct queued *request)
{
	const struct framing_conf *framing = exchange_framing(ex);
	struct port *port = TAILQ_FIRST(&ex->to->ports);
	struct queued converted = *request, *q = &converted;
	uint8_t payload[CONVERT_MAX], *wire;
	long len;

	if (!convert_request(ex, from, q, payload)) {
		exchange_drop(ex, DROP_UNENCODABLE, request->len);
		return false;
	}
	if (port == NULL) {
		exchange_drop(ex, DROP_NO_PEER, q->len);
		return false;
	}
	if (!port_open(port)) {
		exchange_drop(ex, DROP_DOWN, q->len);
		return false;
	}
	port->queue.limit = ex->to->endpoint->conf->queue;
	if (queue_room(&port->queue) < queue_cost(q->len)) {
		exchange_drop(ex, DROP_OVERFLOW, q->len);
		return false;
	}
	wire = malloc(framing_bound(framing, q->len));
	len = wire == NULL ? -ENOMEM
			   : framing_encode(framing, q->payload, q->len, wire);
	free(wire);
	if (len < 0) {
		exchange_drop(ex,
		    len == -ENOMEM ? DROP_MEMORY : DROP_UNENCODABLE, q->len);
		return false;
	}
	ex->sent_ns = now_ns();
	ex->until_ns = ex->sent_ns + exchange_line_time(ex, (size_t)len);
	ex->ops->send(ex->to, q);
	return true;
}
