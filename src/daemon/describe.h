/*
 * describe: a checked configuration as JSON, for programs that have to find the daemon.
 */
#ifndef DESCRIBE_H
#define DESCRIBE_H

#include "config.h"

/*
 * Prints one line: an object with the endpoints, routes and control ports of the
 * configuration, and the warnings.  c is NULL if it has faults; the object then has only
 * these.  -errno.
 */
int describe_config(const struct config *c, const struct faults *faults);

#endif
