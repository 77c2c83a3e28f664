/*
 * ack: frames of a port whose link confirms what it delivers.
 *
 * The frames that the link has taken are the first ones of the queue, in the order in which
 * they were submitted, since a frame that is delivered is removed from wherever it is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "ack.h"
#include "batch.h"

int
ack_new(struct port *port)
{
	if ((port->ack = calloc(1, sizeof(*port->ack))) == NULL)
		return -ENOMEM;
	port->gap_at = GAP_NEVER;
	return 0;
}

void
ack_free(struct port *port)
{
	if (port->ack != NULL)
		free(port->ack->id);
	free(port->ack);
	port->ack = NULL;
}

void
ack_forget(struct port *port)
{
	if (port->ack != NULL)
		port->ack->n = 0;
}

void
ack_lost(struct port *port)
{
	struct ack *ack = port->ack;

	ack_forget(port);
	ack->triggered = ack->held = false;
	port->gap_at = GAP_NEVER;
}

/* --- frames that are queued --------------------------------------------------- */

void
ack_identify(const struct port *port, const struct batch *batch,
    struct queued *q, struct origin *origin)
{
	struct endpoint *ep = port->node->endpoint;
	const struct endpoint *from =
	    batch->from != NULL ? batch->from->node->endpoint : ep;
	const char *topic = NULL;
	size_t len = 0;

	if (ep->origins == NULL)
		return;
	origins_next(ep->origins, from->conf->name, origin);
	if (from->conf->ops->topic != NULL && from->impl != NULL)
		topic = from->conf->ops->topic(from, &len);
	if (topic != NULL && len <= ORIGIN_TOPIC_MAX) {
		memcpy(origin->topic, topic, len);
		origin->topic_len = (uint32_t)len;
	}
	q->origin = origin;
	q->origin_len = sizeof(*origin) + origin->topic_len;
}

void
ack_queued(struct port *port)
{
	struct ack *ack = port->ack;

	if (ack->triggered || !port_open(port))
		return;
	ack->triggered = true;
	link_trigger(port->link, EV_WRITE);
}

size_t
ack_position(const struct port *port)
{
	const struct ack *ack = port->ack;
	const struct queue *q = &port->queue;
	struct queued frame;
	size_t pos = 0;

	if (ack->n == 0)
		return 0;
	if (ack->rebuilt == q->rebuilt)
		return (size_t)(ack->next - q->base) - q->head;
	for (unsigned i = 0; i < ack->n; i++)
		queue_next(q, &pos, &frame);
	return pos;
}

/* The oldest frame that the link has not taken. */
static bool
ack_oldest(const struct port *port, struct queued *ret)
{
	size_t pos = ack_position(port);

	return queue_next(&port->queue, &pos, ret);
}

bool
port_oldest(const struct port *port, struct queued *ret)
{
	return port->ack != NULL ? ack_oldest(port, ret)
				 : queue_head(&port->queue, ret);
}

bool
ack_has(const struct port *port, uint64_t place)
{
	const struct queue *q = &port->queue;

	return port->ack->n > 0 &&
	    place < q->base + q->head + ack_position(port);
}

void
ack_label(const struct port *port, char *buf, size_t size)
{
	const struct link *link = port->link;
	size_t frames, queued;
	char bytes[24];

	port_queued(port, &queued, &frames);
	if (frames == 0) {
		snprintf(buf, size, "nothing: all is delivered to %s (%s)",
		    link->name, link->address);
		return;
	}
	format_size(queued, bytes, sizeof(bytes));
	snprintf(buf, size, "%s to confirm %u of %zu frame%s (%s queued%s)",
	    link->address, port->ack->n, frames, frames == 1 ? "" : "s", bytes,
	    port->stalled ? ", stalled" : "");
}
