/*
 * change_node: what a node keeps when its section changes.
 */
#include <string.h>

#include "change_node.h"
#include "log.h"
#include "pace.h"
#include "port_spool.h"

void
node_inherit(struct node *to, struct node *from)
{
	struct port *old = TAILQ_FIRST(&from->ports);
	struct port *new = TAILQ_FIRST(&to->ports);

	to->endpoint->paused = from->endpoint->paused;
	if (to->endpoint->conf->ops == from->endpoint->conf->ops) {
		to->history = from->history;
		from->history = NULL;
	}
	if (old == NULL || new == NULL || from->endpoint->conf->ops->several ||
	    to->endpoint->conf->ops->several) {
		if (old != NULL) {
			port_spool_end(old);
			port_drop_waiting(old);
		}
		node_traffic(from, &to->retired);
		return;
	}
	to->retired = from->retired;
	new->traffic = old->traffic;
	new->in_flight = old->in_flight;
	memset(&old->in_flight, 0, sizeof(old->in_flight));
	queue_free(&new->queue);
	new->queue = old->queue;
	new->queue.limit = to->endpoint->conf->queue;
	queue_init(&old->queue, 0);
	port_keep_queue(new);
	port_spool_move(old, new);
}

void
node_follow(struct node *node, struct endpoint_conf *conf)
{
	struct endpoint *ep = node->endpoint;
	struct error err;
	struct port *port;

	/* The files, and the routes, may have changed. */
	endpoint_follow_tls(ep, conf);
	endpoint_follow_framing(ep, conf);
	if (strcmp(ep->conf->text, conf->text) == 0)
		return;
	if (endpoint_follow(ep, conf, &err) < 0) {
		log_to(LOG_NOTICE, ABOUT_ENDPOINT, ep->conf->name,
		    "its section has changed: opened again (%s)", err.text);
		endpoint_reopen(ep, "its section has changed");
	} else
		log_to(LOG_NOTICE, ABOUT_ENDPOINT, ep->conf->name,
		    "its section has changed; it stays open");
	TAILQ_FOREACH(port, &node->ports, entry) {
		port->age_at = 0; /* frame_timeout may have changed */
		port_age(port, task_now(), true);
		port_set_pace(port);
		port_pace_begin(port);
	}
}
