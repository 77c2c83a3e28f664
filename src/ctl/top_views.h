/*
 * top_views: the tables that top shows, and where they come from.
 */
#ifndef TOP_VIEWS_H
#define TOP_VIEWS_H

#include "daemon_connection.h"
#include "samples.h"

struct view {
	const char *name;
	const char *command; /* of the daemon */
	bool optional;	     /* older daemons do not have it... */
	bool missing;	     /* ...as this one */
	struct samples samples;
	size_t top; /* the first row that is shown */
};

enum { VIEW_ENDPOINTS, VIEW_ROUTES, VIEW_TASKS, VIEW_WARNINGS, NVIEWS };
extern struct view views[NVIEWS];

/* What is true of the whole daemon. */
struct summary {
	char daemon[64]; /* "ttybridged 0.1.0" */
	char uptime[24];
	size_t up, endpoints, warnings;
	double rx, tx, dropping; /* per second */
	double dropped;
};
extern struct summary summary;

/* Takes a sample of each view.  -errno as for connection_query(). */
int views_take(struct connection *c, struct error *err);
void views_free(void);

#endif
