/*
 * spool_status: what is in the spool of a node, and dropping it, for the control port.
 */
#include <string.h>

#include "ack.h"
#include "port_spool.h"

/* Drops the frames of a queue but the first ones. */
static uint64_t
drop_queue(struct port *port, struct queue *queue, uint64_t but)
{
	struct queued q;
	uint64_t n = 0;

	for (; queue_head(queue, &q); queue_pop(queue)) {
		if (but > 0) {
			but--;
			continue;
		}
		port_drop(port, DROP_DISCARDED, q.payload, q.len);
		n++;
	}
	return n;
}

static uint64_t
discard(struct port *port)
{
	struct port_spool *ps = port->spool;
	uint64_t n, unread;

	if (!port->spooling)
		return 0;
	if (ps->busy) {
		writer_job_wait(&ps->job);
		port_spool_apply(ps);
	}
	ack_forget(port);
	n = drop_queue(port, &port->queue, 0);
	n += drop_queue(
	    port, &ps->pending, ps->fed - MIN(ps->fed, ps->now.next));
	ps->copied = 0;
	ps->fed = MIN(ps->fed, ps->now.next);
	/* What was read ahead, and is not in the queue. */
	unread = ps->now.read - MIN(ps->fed + ps->lost_ahead, ps->now.read);
	COUNT(port, dropped[DROP_DISCARDED], unread);
	port_spool_forget_read(ps);
	ps->fed = MAX(ps->fed, ps->now.read);
	ps->lost_ahead = 0;
	n += unread + ps->now.next - ps->fed;
	ps->clear = true;
	port_spool_start(ps);
	return n;
}

/* --- for the control port ------------------------------------------------ */

bool
node_spool(const struct node *node, struct spool_status *ret)
{
	const struct port *port = TAILQ_FIRST(&node->ports);
	struct port_spool *ps = port != NULL ? port->spool : NULL;
	size_t bytes, frames;

	if (ps == NULL && (port == NULL || port->spool_error == NULL))
		return false;
	if (ps == NULL) {
		*ret = (struct spool_status){ .state = "failing",
			.errors = 1,
			.error = port->spool_error };
		return true;
	}
	*ret = (struct spool_status){ .state = ps->error != 0 ? "failing"
		    : port->spooling			      ? "active"
							      : "empty",
		.size = ps->now.size,
		.segments = ps->now.segments,
		.first = port_spool_ack(ps),
		.next = port_spool_end_number(ps),
		.errors = ps->errors,
		.error = ps->error != 0 ? strerror(ps->error) : NULL,
		.directory = ps->directory };
	if (port->spooling) {
		port_spool_count(port, &bytes, &frames);
		ret->frames = frames + ps->copies;
		ret->bytes = bytes + port->queue.payload;
	}
	return true;
}

uint64_t
node_spool_drop(struct node *node)
{
	struct port *port = TAILQ_FIRST(&node->ports);

	return port != NULL && port->spool != NULL ? discard(port) : 0;
}
