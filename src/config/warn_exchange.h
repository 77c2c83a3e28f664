/*
 * warn_exchange: warnings about exchanges that are valid, but probably not intended.
 */
#ifndef WARN_EXCHANGE_H
#define WARN_EXCHANGE_H

#include "config.h"

/* The configuration has been checked.  0 or -ENOMEM. */
int warn_exchanges(const struct config *c, struct faults *faults);

#endif
