/*
 * exchange_bus: sends requests to the bus of an exchange, and withdraws those that are
 * not to be sent any more.
 */
#include <errno.h>
#include <stdlib.h>

#include <event2/event.h>

#include "exchange_parts.h"

/* Bits of a character on the line. */
#define CHARACTER 11

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

bool
exchange_unwritten(const struct exchange *ex)
{
	const struct port *port;

	TAILQ_FOREACH(port, &ex->to->ports, entry)
		if (!queue_empty(&port->queue) ||
		    (port->in_flight.waits &&
			(port->in_flight.wire == 0 ||
			    link_pending(port->link) > 0)))
			return true;
	return false;
}

/* The first link that is open, or else the first one, or NULL. */
static struct port *
bus_port(const struct exchange *ex)
{
	struct port *port;

	TAILQ_FOREACH(port, &ex->to->ports, entry)
		if (port_open(port))
			return port;
	return TAILQ_FIRST(&ex->to->ports);
}

bool
exchange_bus_open(const struct exchange *ex)
{
	const struct port *port = bus_port(ex);

	return port != NULL && port_open(port);
}

uint64_t
exchange_line_time(const struct exchange *ex, size_t bytes)
{
	const struct framing_conf *framing = exchange_framing(ex);

	if (framing->baud == 0)
		return 0;
	return bytes * CHARACTER * NSEC_PER_SEC / framing->baud;
}

void
exchange_wake(struct exchange *ex)
{
	event_del(ex->event);
	TASK_SET(&ex->task, TASK_IDLE);
	event_active(ex->event, EV_TIMEOUT, 0);
	ex->woken = true;
}

/* --- sending -------------------------------------------------------------- */

/* Adds the offset to the unit of an inner message, except that of a broadcast. */
static bool
renumber_unit(const struct exchange *ex, uint8_t *inner, int unit_offset)
{
	bool serial = exchange_framing(ex)->rule->number_size == 0;
	int unit = inner[0] + unit_offset;

	if (unit_offset == 0 || (serial && inner[0] == MODBUS_BROADCAST))
		return true;
	if (unit < (serial ? 1 : 0) ||
	    unit > (serial ? MODBUS_SERIAL_UNIT_MAX : MODBUS_UNIT_MAX))
		return false;
	inner[0] = (uint8_t)unit;
	return true;
}

bool
exchange_convert(struct exchange *ex, const struct framing_conf *from,
    struct queued *q, int unit_offset, uint8_t *out)
{
	const struct framing_conf *bus = exchange_framing(ex);
	long len;

	if (unit_offset == 0 && !framing_differs(from, bus) &&
	    bus->rule->number_size == 0)
		return true;
	if ((len = framing_inner(from, q->payload, q->len, out)) <= 0 ||
	    !renumber_unit(ex, out, unit_offset) ||
	    (len = framing_outer(bus, out, (size_t)len, out)) < 0)
		return false;
	q->payload = out;
	q->len = (size_t)len;
	q->wire = NULL;
	return true;
}

/* The length of the encoded request; -EINVAL, -ENOMEM. */
static long
encoded_length(const struct framing_conf *framing, const struct queued *q)
{
	uint8_t *wire = malloc(framing_bound(framing, q->len));
	long len = wire == NULL
	    ? -ENOMEM
	    : framing_encode(framing, q->payload, q->len, wire);

	free(wire);
	return len;
}

bool
exchange_transmit(struct exchange *ex, struct request *r, struct queued *q)
{
	struct port *port = bus_port(ex);
	enum drop_reason reason;
	long len = 0;

	if (port != NULL)
		port->queue.limit = ex->to->endpoint->conf->queue;
	if (port == NULL)
		reason = DROP_NO_PEER;
	else if (!port_open(port))
		reason = DROP_DOWN;
	else if (queue_room(&port->queue) < queue_cost(q->len))
		reason = DROP_OVERFLOW;
	else if ((len = encoded_length(exchange_framing(ex), q)) < 0)
		reason = len == -ENOMEM ? DROP_MEMORY : DROP_UNENCODABLE;
	else {
		r->tries++;
		r->sent_ns = now_ns();
		if (r->tries == 1)
			r->first_ns = r->sent_ns;
		r->until_ns = r->sent_ns + exchange_line_time(ex, (size_t)len);
		ex->newest = r;
		ex->ops->send(ex->to, q);
		return true;
	}
	exchange_drop_request(ex, r->master, q, reason);
	return false;
}

/* --- withdrawing ---------------------------------------------------------- */

/* The master of what the bus has not accepted, or NULL. */
static const struct master *
unwritten_master(const struct exchange *ex)
{
	return ex->newest != NULL ? ex->newest->master : NULL;
}

/* Drops the frame in flight, if none of it is written. */
static bool
withdraw_in_flight(
    const struct exchange *ex, struct port *port, enum drop_reason reason)
{
	const struct queued q = in_flight_queued(&port->in_flight);
	struct in_flight *h = &port->in_flight;

	if (!h->waits || h->partial ||
	    (h->wire > 0 && link_pending(port->link) < h->wire))
		return false;
	if (h->wire > 0)
		port->traffic.tx_bytes -= link_take_back(port->link);
	port_echo_forget(port);
	exchange_note_drop(ex, unwritten_master(ex), &q, reason);
	port_drop(port, reason, NULL, h->len);
	in_flight_clear(h);
	return true;
}

void
exchange_forget_echo(struct exchange *ex)
{
	struct port *port;

	TAILQ_FOREACH(port, &ex->to->ports, entry)
		port_echo_forget(port);
}

bool
exchange_withdraw(struct exchange *ex, enum drop_reason reason)
{
	struct port *port;
	struct queued q;
	bool any = false;

	TAILQ_FOREACH(port, &ex->to->ports, entry) {
		any |= withdraw_in_flight(ex, port, reason);
		for (; queue_head(&port->queue, &q); any = true) {
			exchange_note_drop(
			    ex, unwritten_master(ex), &q, reason);
			port_drop(port, reason, NULL, q.len);
			queue_pop(&port->queue);
		}
	}
	return any;
}
