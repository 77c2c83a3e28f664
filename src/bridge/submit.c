/*
 * submit: the output of a port whose link confirms what it delivers: frames that wait in its
 * queue are passed to the link, and leave the queue when they are confirmed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ack.h"
#include "batch.h"
#include "port_spool.h"

/* Frames that are submitted before others are served. */
#define TURN_FRAMES 256

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
	port_unqueue(port, frame);
}

static void
discard(struct port *port, enum drop_reason reason, const struct queued *frame)
{
	port_drop(port, reason, frame->payload, frame->len);
	port_unqueue(port, frame);
}

/* Submits the frame; returns as link_ops.submit does. */
static int
submit(
    struct port *port, const struct queued *frame, bool more, unsigned *ret_id)
{
	struct batch *batch = port->node->bridge->batch;
	long len = batch_encode_one(batch, port, frame);
	int r;

	if (len < 0)
		return -EMSGSIZE;
	r = port->link->ops->submit(
	    port->link, batch->data, (size_t)len, frame->origin, more, ret_id);
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
	size_t pos = ack_position(port);
	struct queued frame;
	unsigned id;
	int r;

	if (!queue_next(&port->queue, &pos, &frame) || reserve(ack) < 0)
		return false;
	switch (
	    r = submit(port, &frame, port->queue.frames > ack->n + 1, &id)) {
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
		discard(port, r == -ENOMEM ? DROP_MEMORY : DROP_UNENCODABLE,
		    &frame);
		return true;
	}
}

void
ack_submit(struct port *port)
{
	struct ack *ack = port->ack;
	unsigned left = TURN_FRAMES;

	ack->triggered = false;
	if (port->conf->frame_age != 0)
		port_expire(port);
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
		if (!queue_next(&port->queue, &pos, &frame))
			return;
	if (code < 128)
		account(port, &frame);
	else
		discard(port, DROP_REFUSED, &frame);
	ack->n--;
	memmove(ack->id + i, ack->id + i + 1, (ack->n - i) * sizeof(*ack->id));
}
