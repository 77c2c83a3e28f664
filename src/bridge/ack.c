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

/* Frames that are submitted before others are served. */
#define TURN_FRAMES 256

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
ack_lost(struct port *port)
{
	struct ack *ack = port->ack;

	ack->n = 0;
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

/* The position for queue_next() behind the frames that the link has taken. */
static size_t
position(const struct port *port)
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

bool
ack_oldest(const struct port *port, struct queued *ret)
{
	size_t pos = position(port);

	return queue_next(&port->queue, &pos, ret);
}

bool
ack_has(const struct port *port, uint64_t place)
{
	const struct queue *q = &port->queue;

	return port->ack->n > 0 && place < q->base + q->head + position(port);
}

/* --- submitting ---------------------------------------------------------------- */

static int
reserve(struct ack *ack)
{
	unsigned size = MAX(2 * ack->size, 16u), *id;

	if (ack->n < ack->size)
		return 0;
	if ((id = realloc(ack->id, size * sizeof(*id))) == NULL)
		return -ENOMEM;
	ack->id = id;
	ack->size = size;
	return 0;
}

/* The frame was delivered, and is still in the queue. */
static void
account(struct port *port, const struct queued *frame)
{
	struct batch *batch = port->node->bridge->batch;

	batch_start(batch, NULL);
	batch_add_queued(batch, frame, port->node);
	port_account(port, batch, 1);
	queue_remove(&port->queue, frame->place);
}

static void
discard(struct port *port, enum drop_reason reason, const struct queued *frame)
{
	port_drop(port, reason, frame->payload, frame->len);
	queue_remove(&port->queue, frame->place);
}

/* Submits the frame; returns as link_ops.submit does. */
static int
submit(struct port *port, const struct queued *frame, bool more,
    unsigned *ret_id)
{
	struct batch *batch = port->node->bridge->batch;
	long len = batch_encode_one(batch, port, frame);
	int r;

	if (len < 0)
		return -EMSGSIZE;
	r = port->link->ops->submit(port->link, batch->data, (size_t)len,
	    frame->origin, more, ret_id);
	if (r < 0)
		return r;
	COUNT(port, tx_bytes, (size_t)len);
	port->link->tx_bytes += (size_t)len;
	if (is_tapped(port->node->bridge, TAPPED_BYTES))
		taps_bytes(port, true, batch->data, (size_t)len);
	return r;
}

/* Submits the next frame; false: there is none, or the link does not take it now. */
static bool
submit_next(struct port *port)
{
	struct ack *ack = port->ack;
	size_t pos = position(port);
	struct queued frame;
	unsigned id;
	int r;

	if (!queue_next(&port->queue, &pos, &frame) || reserve(ack) < 0)
		return false;
	switch (r = submit(
		    port, &frame, port->queue.frames > ack->n + 1, &id)) {
	case 0:
		ack->id[ack->n++] = id;
		ack->next = port->queue.base + port->queue.head + pos;
		ack->rebuilt = port->queue.rebuilt;
		return true;
	case 1:
		account(port, &frame);
		return true;
	case -EAGAIN:
		return false;
	default:
		discard(port,
		    r == -ENOMEM ? DROP_MEMORY : DROP_UNENCODABLE, &frame);
		return true;
	}
}

void
ack_submit(struct port *port)
{
	struct ack *ack = port->ack;
	unsigned left = TURN_FRAMES;

	ack->triggered = false;
	while (!ack->held && port_open(port) && left > 0 && submit_next(port))
		left--;
	if (left == 0)
		ack_queued(port);
	if (!port->link->up)
		return;
	if (queue_empty(&port->queue))
		TASK_SET(&port->link->write, TASK_IDLE);
	else
		TASK_WAIT(&port->link->write);
}

void
ack_delivered(struct port *port, unsigned id, int code)
{
	struct ack *ack = port->ack;
	struct queued frame;
	size_t pos = 0;
	unsigned i;

	for (i = 0; i < ack->n && ack->id[i] != id; i++)
		continue;
	if (i == ack->n)
		return;
	for (unsigned skip = 0; skip <= i; skip++)
		queue_next(&port->queue, &pos, &frame);
	if (code < 128)
		account(port, &frame);
	else
		discard(port, DROP_REFUSED, &frame);
	ack->n--;
	memmove(ack->id + i, ack->id + i + 1, (ack->n - i) * sizeof(*ack->id));
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
	snprintf(buf, size,
	    "%s to confirm %u of %zu frame%s (%s queued%s)", link->address,
	    port->ack->n, frames, frames == 1 ? "" : "s", bytes,
	    port->stalled ? ", stalled" : "");
}
