/*
 * plan: the future state of a bridge, derived from a configuration alone.
 *
 * Creating a plan takes a while with thousands of endpoints.  It does not access a
 * bridge, so that it can be done in a thread.
 */
#ifndef PLAN_H
#define PLAN_H

#include "config.h"

/* The properties of an endpoint that depend on all sections together. */
struct plan_node {
	unsigned framing_class; /* the first endpoint with the same framing */
	uint32_t framing_id;
	bool alike, read_until_full;
	enum framing_messages messages;
	unsigned nsources;
};

struct plan {
	struct endpoint_conf **conf; /* NULL: taken over by an endpoint */
	unsigned n;
	struct plan_node *node;
	unsigned *by_name; /* endpoint numbers, sorted by name */
	struct routes *routes;
	size_t longest; /* the maximum length of a frame of any endpoint */
};

/*
 * Takes ownership of the endpoint and route confs, unless it fails: -errno with a
 * message.
 */
int plan_new(struct config *c, struct plan **ret, struct error *err);
/* The number of an endpoint, or ROUTE_NONE; valid as long as no conf is taken over. */
unsigned plan_find(const struct plan *plan, const char *name);
/* Also frees the members that were not taken over (set to NULL).  plan may be NULL. */
void plan_free(struct plan *plan);

#endif
