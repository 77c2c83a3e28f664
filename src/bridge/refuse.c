/*
 * refuse: input of clients that may not write (permission.h).
 *
 * Input is decoded in any case, because otherwise it would not be known where the next
 * frame begins when the client may write again.  A frame is discarded if any of its bytes
 * came while the client had no right to write: so a client that loses the right in the
 * middle of a frame loses that frame, and one that gets the right back begins with a whole
 * one.
 */
#include "exchange.h"
#include "log.h"
#include "permission.h"

void
port_ask(struct port *port, size_t held, size_t len)
{
	struct link *link = port->link;

	port->refused_len = MIN(port->refused_len, held);
	if (len == held || link_may_write(link))
		return;
	port->refused_len = len;
	if (!port->refusing)
		log_to(LOG_INFO, ABOUT_ENDPOINT, link->name,
		    "sends, and may not write: that is discarded");
	port->refusing = true;
}

/*
 * The requests of a master get the same answer as those with a function that the route
 * does not permit.
 */
static void
refuse_requests(struct batch *batch)
{
	const struct bridge *b = batch->from->node->bridge;
	const struct route_source *s =
	    &b->routes->source[batch->from->node->number];
	unsigned route = NO_ROUTE;

	for (unsigned i = s->ntargets; i > 0; i--)
		if (b->node[s->targets[i - 1].to]->exchange != NULL)
			route = s->targets[i - 1].via[0]->number;
	if (route == NO_ROUTE)
		return;
	for (unsigned i = 0; i < batch->n; i++)
		batch->item[i].refused_by = route;
	exchange_refuse(batch, s);
}

static void
tell_refused(const struct batch *batch)
{
	for (unsigned i = 0; i < batch->n; i++) {
		const struct item *item = &batch->item[i];

		tap_begin(item->payload);
		tap_outcome(item->payload, "refused: %s may not write",
		    batch->from->link->name);
		taps_tell(batch->from, "", item->payload, item->len);
	}
}

bool
port_refuses(struct port *port, struct batch *batch, size_t used)
{
	/* If there is one frame, it is the end of what was used. */
	bool refused = used - batch->wire < port->refused_len;

	port->refused_len -= MIN(port->refused_len, used);
	if (batch->n == 0 || !refused)
		return false;
	COUNT(port, refused_frames, batch->n);
	COUNT(port, refused_bytes, batch->wire);
	if (is_watched(port))
		tell_refused(batch);
	if (port->node->messages == MESSAGES_REQUESTS)
		refuse_requests(batch);
	return true;
}
