/*
 * enqueue: whether a frame that cannot be written now joins the queue of the port, by the policy
 * for a full queue, and what is dropped to make room for it.
 */
#include "ack.h"
#include "batch.h"
#include "port_spool.h"

/* Drops the oldest frames until one of that cost fits. */
static bool
make_room(struct port *port, size_t cost, enum drop_reason reason)
{
	struct queued oldest;

	if (cost > port->queue.limit)
		return false;
	while (port->queue.bytes + cost > port->queue.limit &&
	    port_oldest(port, &oldest)) {
		port_drop(port, reason, oldest.payload, oldest.len);
		port_unqueue(port, &oldest);
	}
	return port->queue.bytes + cost <= port->queue.limit;
}

/* Whether the frame may join the queue, by the policy for the port's state. */
static bool
port_admits(struct port *port, size_t len, enum drop_reason *ret_reason)
{
	size_t cost = queue_cost(len);
	bool fits = port->queue.bytes + cost <= port->queue.limit;

	*ret_reason = DROP_OVERFLOW;
	if (!port_open(port)) {
		*ret_reason = DROP_DOWN;
		return make_room(port, cost, DROP_DOWN);
	}
	if (port->stalled) {
		*ret_reason = DROP_STALLED;
		return make_room(port, cost, DROP_STALLED);
	}
	switch (port->conf->overflow) {
	case OVERFLOW_DROP_OLDEST:
		return make_room(port, cost, DROP_OVERFLOW);
	case OVERFLOW_DROP_NEWEST:
		return fits;
	case OVERFLOW_DISCONNECT:
		if (!fits)
			link_close(port->link, "its queue was full");
		return fits;
	default:
		return true;
	}
}

bool
port_queue(
    struct port *port, const struct batch *batch, const struct item *item)
{
	struct queued q = item_queued(batch, item, port->node);
	_Alignas(struct origin) uint8_t origin[ORIGIN_SIZE_MAX];
	enum drop_reason reason;
	bool enter, queued;

	port->queue.limit = port->conf->queue;
	if (port->closing) {
		port_drop(port, DROP_CLOSED, item->payload, item->len);
		return false;
	}
	if (latest_replace(port, &q, false, &enter))
		return true;
	if (port->spool != NULL && port_spool_put(port, batch, &q, &queued))
		return queued;
	if (!port_admits(port, item->len, &reason)) {
		port_drop(port, reason, item->payload, item->len);
		return false;
	}
	/* The older frame is still queued if there was no room for a longer one. */
	if (enter && latest_replace(port, &q, true, &enter))
		return true;
	if (queue_empty(&port->queue) && !port->in_flight.waits)
		port->progress_ns = item->since_ns;
	port->node->bridge->queued = true;
	if (port->ack != NULL)
		ack_identify(port, batch, &q, (struct origin *)(void *)origin);
	if (queue_add(&port->queue, &q) < 0) {
		port_drop(port, DROP_MEMORY, item->payload, item->len);
		return false;
	}
	if (enter)
		latest_enter(port);
	if (port->ack != NULL)
		ack_queued(port);
	return true;
}
