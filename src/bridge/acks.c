/*
 * acks: the ports of a bridge whose links confirm what they deliver, when the process ends or
 * starts again.
 */
#include "ack.h"

#define ACKS_FOREACH(b, port)                                     \
	for (unsigned i_ = 0; i_ < (b)->nnodes; i_++)             \
		TAILQ_FOREACH(port, &(b)->node[i_]->ports, entry) \
			if (port->ack != NULL)

bool
acks_await(const struct bridge *b)
{
	struct port *port;
	bool any = false;

	ACKS_FOREACH(b, port)
	{
		port->ack->held = true;
		any |= port_open(port) && port->ack->n > 0;
	}
	return any;
}

void
acks_resume(const struct bridge *b)
{
	struct port *port;

	ACKS_FOREACH(b, port)
	{
		port->ack->held = false;
		ack_queued(port);
	}
}

void
acks_stop(const struct bridge *b, bool all)
{
	struct endpoint *ep;
	struct port *port;

	ACKS_FOREACH(b, port)
	{
		ep = port->node->endpoint;
		if (ep->state != ENDPOINT_CLOSED &&
		    (all || !port->link->up || queue_empty(&port->queue)))
			endpoint_stop(ep);
	}
}

void
acks_close(const struct bridge *b, const char *why)
{
	struct port *port;

	ACKS_FOREACH(b, port)
	link_close(port->link, why);
}
