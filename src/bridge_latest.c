/*
 * bridge_latest: routes that keep only the newest of each message for a port that
 * cannot take it now.
 *
 * The newer frame takes the older one's place in the queue, not the last one: so
 * a message that comes often is not put off for ever, nor does it put off the
 * others.
 */
#include <string.h>

#include "bridge_batch.h"

static enum latest
latest_of(const struct routes *routes, unsigned number)
{
	const struct route_conf *conf =
	    number < routes->nroutes ? routes->route[number]->conf : NULL;

	return conf == NULL ? LATEST_NONE : (enum latest)conf->latest;
}

bool
port_replace(struct port *port, const struct item *item)
{
	const struct routes *routes = port->node->bridge->routes;
	enum latest kind = latest_of(routes, item->route);
	struct bytes key, other;
	struct queued old;
	size_t pos = 0, at;

	if (kind == LATEST_NONE ||
	    !latest_key(kind, item->payload, item->len, &key))
		return false;
	for (at = 0; queue_next(&port->queue, &pos, &old); at = pos) {
		if (old.route != item->route ||
		    !latest_key(kind, old.payload, old.len, &other) ||
		    other.len != key.len ||
		    memcmp(other.b, key.b, key.len) != 0)
			continue;
		if (port->queue.bytes - queue_cost(old.len) +
			queue_cost(item->len) >
		    port->queue.limit)
			return false;
		if (queue_replace(&port->queue, at, item->payload, item->len,
			item->since_ns) < 0)
			return false;
		port_drop(port, DROP_REPLACED, old.len);
		return true;
	}
	return false;
}
