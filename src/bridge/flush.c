/*
 * flush: deferred output, the last part of the data path: frames that wait in the queue of a port
 * are written; and frames of the daemon itself.
 */
#include <stdlib.h>

#include "ack.h"
#include "batch.h"
#include "port_spool.h"

void
port_in_flight_done(struct port *port)
{
	struct in_flight *h = &port->in_flight;
	struct batch *batch = port->node->bridge->batch;
	const struct queued q = {
		.len = h->len, .since_ns = h->since_ns, .route = h->route
	};

	batch_start(batch, NULL);
	batch_add_queued(batch, &q, port->node);
	port_account(port, batch, 1);
	h->waits = false;
	h->wire = 0;
	free(h->payload);
	h->payload = NULL;
}

/* Writes one batch of queued frames; returns false if not all of it was written. */
static bool
port_flush_some(struct port *port)
{
	struct batch *batch = port->node->bridge->batch;
	uint8_t *again = port->in_flight.payload;
	bool resend = port->in_flight.waits;
	unsigned sent;

	if (port->conf->frame_age != 0)
		port_expire(port);
	batch_fill(batch, port);
	if (batch->n == 0)
		return false;
	resend = resend && port->in_flight.waits;
	if (resend) {
		port->in_flight.waits = false;
		port->in_flight.payload = NULL;
	}
	queue_give(&port->queue, batch->n - resend);
	sent = port_write(port, batch);
	port->flushed = sent > 0 ? batch->end[sent - 1] : 0;
	if (resend && sent > 0) {
		free(again);
	} else if (resend) {
		port->in_flight.waits = true;
		port->in_flight.payload = again;
	}
	for (unsigned i = resend; i < sent; i++)
		queue_pop(&port->queue);
	queue_given(&port->queue);
	return sent == batch->n && !port->in_flight.waits;
}

void
port_flush(struct port *port)
{
	bool under_way = port->in_flight.waits && port->in_flight.wire > 0;

	if (under_way && port->link->up && link_pending(port->link) == 0) {
		port_in_flight_done(port);
		under_way = false;
	}
	do
		while (!under_way && port_open(port) && port->gap_at == 0 &&
		    (port->in_flight.waits || !queue_empty(&port->queue)))
			if (!port_flush_some(port))
				break;
	while (port->spooling && port_spool_refill(port) && !under_way &&
	    port->gap_at == 0);
	if (port->ack != NULL)
		ack_submit(port);
	if (port->full &&
	    (!port_open(port) || port->queue.bytes <= port->queue.limit / 2))
		port_release(port);
	port_closing_done(port);
}

void
node_send_frame(struct node *node, const struct queued *q)
{
	struct batch *batch = node->bridge->batch;

	batch_start(batch, NULL);
	batch_add_queued(batch, q, node);
	node_deliver(node, batch);
}

void
port_send(struct port *port, const struct queued *q)
{
	struct batch *batch = port->node->bridge->batch;

	batch_start(batch, NULL);
	batch_add_queued(batch, q, port->node);
	COUNT(port, offered, 1);
	port_queue(port, batch, batch->item);
	port_flush(port);
}
