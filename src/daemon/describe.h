/*
 * describe: a checked configuration as JSON, for programs that have to find the daemon.
 */
#ifndef DESCRIBE_H
#define DESCRIBE_H

#include "config.h"

/*
 * Prints one line: an object with the endpoints, routes and control ports of the
 * configuration, and the warnings.  faulty: the object has only the control ports and the
 * faults; c is what could be read, or NULL.  keys: with the values of all keys that are not empty, by the paths that they
 * have as attributes ("ar1/baud").  -errno.
 */
int describe_config(const struct config *c, const struct faults *faults,
    bool faulty, bool keys);

#endif
