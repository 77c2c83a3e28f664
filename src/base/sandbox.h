/*
 * sandbox: what a service is not allowed to do, and how to allow it.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <stddef.h>

#include "error.h"

/* Enough for any network_error(). */
#define NETWORK_ERROR_MAX 384

/*
 * The reason why creating, binding, connecting or writing to a socket failed with e:
 * strerror(e), or, if this is a service whose unit forbids it, how to allow it.
 * Returns buf.
 */
const char *network_error(int e, char *buf, size_t size);
/* The same for a server, for which a socket unit can listen on that address. */
const char *network_listen_error(
    int e, const char *address, char *buf, size_t size);

/* Appends what to do if bind() to an IP address failed with e, where that is known. */
void sandbox_append_bind_hint(struct error *err, int e);

#endif
