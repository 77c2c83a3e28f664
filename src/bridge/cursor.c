/*
 * cursor: positions in the list of endpoints, peers and routes.
 *
 * A reply that is produced in pieces keeps such a position while the event loop runs in
 * between, so the bridge keeps a list of them and adjusts them when something that they
 * refer to is removed.
 */
#include <string.h>

#include "forward.h"

void
cursor_open(struct cursor *cursor, struct bridge *b)
{
	cursor->node = cursor->route = 0;
	cursor->port = NULL;
	if (cursor->bridge == NULL)
		LIST_INSERT_HEAD(&b->cursors, cursor, entry);
	cursor->bridge = b;
}

void
cursor_close(struct cursor *cursor)
{
	if (cursor->bridge != NULL)
		LIST_REMOVE(cursor, entry);
	cursor->bridge = NULL;
}

const struct node *
cursor_node(struct cursor *cursor)
{
	const struct bridge *b = cursor->bridge;

	return cursor->node < b->nnodes ? b->node[cursor->node++] : NULL;
}

const struct route *
cursor_route(struct cursor *cursor)
{
	const struct routes *routes = cursor->bridge->routes;

	return cursor->route < routes->nroutes ? routes->route[cursor->route++]
					       : NULL;
}

/* The port of the next link, whether or not it is a peer. */
static const struct port *
next_link(struct cursor *cursor)
{
	const struct port *port = cursor->port;
	const struct node *node;

	while (port == NULL && (node = cursor_node(cursor)) != NULL)
		if (node->endpoint->conf->ops->several)
			port = TAILQ_FIRST(&node->ports);
	cursor->port = port != NULL ? TAILQ_NEXT(port, entry) : NULL;
	return port;
}

const struct port *
cursor_peer(struct cursor *cursor)
{
	const struct port *port;

	do
		port = next_link(cursor);
	while (port != NULL && port->link->no_peer);
	return port;
}

void
cursors_leave_port(const struct bridge *b, const struct port *port)
{
	struct cursor *cursor;

	LIST_FOREACH(cursor, &b->cursors, entry)
	if (cursor->port == port)
		cursor->port = TAILQ_NEXT(port, entry);
}

/* Each cursor continues after the last returned object that still exists. */
void
cursors_change(const struct bridge *b, const unsigned *node_passed,
    const unsigned *route_passed)
{
	struct cursor *cursor;

	LIST_FOREACH(cursor, &b->cursors, entry)
	{
		cursor->node = node_passed[cursor->node];
		cursor->route = route_passed[cursor->route];
	}
}
