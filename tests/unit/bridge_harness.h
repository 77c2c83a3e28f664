/*
 * bridge_harness: nodes and ports of a bridge that are made by hand: without a
 * configuration, and on links that nothing opens.
 */
#ifndef BRIDGE_HARNESS_H
#define BRIDGE_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "batch.h"
#include "exchange.h"
#include "log.h"

#define PATIENCE_NS (10 * NSEC_PER_SEC)
#define NODES_MAX 8

static struct event_base *base;
static struct bridge bridge;

static const struct endpoint_ops single = { .type = "single" };

/* Turns the loop until the condition holds. */
#define UNTIL(condition)                                           \
	do {                                                       \
		uint64_t until_ = now_ns() + PATIENCE_NS;          \
		while (!(condition)) {                             \
			if (now_ns() > until_)                     \
				fail_msg("never: %s", #condition); \
			event_base_loop(base, EVLOOP_NONBLOCK);    \
		}                                                  \
	} while (0)

static struct node *
make_node(const char *name, const struct endpoint_ops *ops, const char *framing)
{
	struct node *node = zalloc_lines(sizeof(*node));
	struct endpoint *ep = zalloc_lines(sizeof(*ep));
	struct endpoint_conf *conf = zalloc_lines(sizeof(*conf));

	if (bridge.nnodes == NODES_MAX)
		abort();
	conf->ops = ops;
	conf->name = strdup(name);
	conf->queue = 64 * 1024;
	conf->overflow = OVERFLOW_BLOCK;
	framing_conf_init(&conf->framing);
	framing_use(&conf->framing, framing_find(framing));
	ep->conf = conf;
	ep->base = base;
	ep->node = node;
	node->bridge = &bridge;
	node->endpoint = ep;
	node->number = node->framing_class = bridge.nnodes;
	node->framing_id = framing_id(&conf->framing);
	TAILQ_INIT(&node->ports);
	bridge.node[bridge.nnodes++] = node;
	return node;
}

/* Another port of the node.  Its link is up. */
static struct port *
make_port(struct node *node, void (*due)(struct port *, uint64_t))
{
	struct port *port = zalloc_lines(sizeof(*port));
	struct link *link = zalloc_lines(sizeof(*link));

	link->endpoint = node->endpoint;
	link->port = port;
	link->fd = -1;
	link->up = true;
	snprintf(
	    link->name, sizeof(link->name), "%s", node->endpoint->conf->name);
	port->node = node;
	port->link = link;
	port->conf = node->endpoint->conf;
	port->due = due;
	port->queue.limit = port->conf->queue;
	port->apart = port->conf->framing.rule->gap;
	TAILQ_INIT(&port->waiters);
	framing_start(&port->decoder, &port->conf->framing);
	TAILQ_INSERT_TAIL(&node->ports, port, entry);
	return port;
}

static void
bridge_start(void)
{
	log_set_level(LOG_ERR);
	base = event_base_new();
	memset(&bridge, 0, sizeof(bridge));
	bridge.base = base;
	bridge.node = calloc(NODES_MAX, sizeof(*bridge.node));
	TAILQ_INIT(&bridge.taps);
	TAILQ_INIT(&bridge.exchanges);
}

static void
free_port(struct port *port)
{
	if (port->timer != NULL) {
		precise_stop(&port->precise);
		task_remove(&port->timer_task);
		event_free(port->timer);
	}
	free(port->in_flight.payload);
	free(port->held);
	free(port->link);
	free(port);
}

/* The queues are to be freed before, by tests in which frames are queued. */
static void
bridge_end(void)
{
	for (unsigned i = 0; i < bridge.nnodes; i++) {
		struct node *node = bridge.node[i];
		struct port *port;

		while ((port = TAILQ_FIRST(&node->ports)) != NULL) {
			TAILQ_REMOVE(&node->ports, port, entry);
			free_port(port);
		}
		free(node->endpoint->conf->name);
		free(node->endpoint->conf);
		free(node->endpoint);
		free(node);
	}
	free(bridge.node);
	precise_free();
	event_base_free(base);
}

/* Removes the exchange of the process that ends, without a trace. */
static inline void
forget_exchange(struct port *bus)
{
	struct traffic traffic = bus->traffic, retired = bus->node->retired;

	TAILQ_REMOVE(&bus->node->ports, bus, entry);
	bus->node->exchange = NULL;
	exchanges_free(&bridge.exchanges);
	TAILQ_INSERT_TAIL(&bus->node->ports, bus, entry);
	bus->traffic = traffic;
	bus->node->retired = retired;
}

static inline struct port *
first_port(const struct node *node)
{
	return TAILQ_FIRST(&node->ports);
}

#endif
