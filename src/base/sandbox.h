/*
 * sandbox: what a service is not allowed to do, and how to allow it.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <stddef.h>

/* Enough for any network_error(). */
#define NETWORK_ERROR_MAX 384

/*
 * The reason why creating, binding, connecting or writing to a socket failed with e:
 * strerror(e), or, if this is a service whose unit forbids it, how to allow it.
 * Returns buf.
 */
const char *network_error(int e, char *buf, size_t size);

#endif
