/*
 * warn_routes: warnings about the filters and the ends of routes.
 */
#ifndef WARN_ROUTES_H
#define WARN_ROUTES_H

#include "config.h"

/* Sentences that do not match any. */
void warn_nmea(const struct config *c, struct faults *faults);
/* Endpoints that cannot be a source, or a destination, of their routes.  -ENOMEM. */
int warn_directions(const struct config *c, struct faults *faults);
/* Expressions whose cost frames may exceed; routes: the table of the configuration. */
void warn_expressions(
    const struct config *c, struct routes *routes, struct faults *faults);

#endif
