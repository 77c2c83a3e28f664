/*
 * check_exchange: checks of routes that are exchanges, against the endpoints that they
 * name and against each other.
 */
#ifndef CHECK_EXCHANGE_H
#define CHECK_EXCHANGE_H

#include "names.h"

/* Adds faults.  Routes with faults of their own are left out.  0 or -ENOMEM. */
int check_exchanges(
    const struct config *c, struct names *names, struct faults *faults);
/* The bus of a route, or NULL if it is not an exchange, or has a fault. */
struct endpoint_conf *exchange_bus(
    const struct names *names, const struct route_conf *route);

#endif
