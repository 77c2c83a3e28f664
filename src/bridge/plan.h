/*
 * plan: what a bridge is to become, worked out from a configuration alone.
 *
 * That takes a while where there are thousands of endpoints.  It uses nothing of a
 * bridge, so that it can be done in a thread.
 */
#ifndef PLAN_H
#define PLAN_H

#include "config.h"

/* What follows for an endpoint from all sections together. */
struct plan_node {
	unsigned framing_class; /* the first endpoint with the same framing */
	uint32_t framing_id;
	bool alike, read_until_full;
	unsigned nsources;
};

struct plan {
	struct endpoint_conf **conf; /* NULL: taken over by an endpoint */
	unsigned n;
	struct plan_node *node;
	unsigned *by_name; /* their numbers, sorted by name */
	struct routes *routes;
	size_t longest; /* the longest frame that any of them may have */
};

/* Takes the endpoint and route confs over, unless it fails: -errno with a sentence. */
int plan_new(struct config *c, struct plan **ret, struct error *err);
/* The number of an endpoint, as long as no conf is taken over; ROUTE_NONE. */
unsigned plan_find(const struct plan *plan, const char *name);
/* With what has not been taken over (set to NULL).  NULL is fine. */
void plan_free(struct plan *plan);

#endif
