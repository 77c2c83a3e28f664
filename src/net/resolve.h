/*
 * resolve: looks up the addresses of a host without blocking the event loop.
 */
#ifndef RESOLVE_H
#define RESOLVE_H

#include "util.h"

struct event_base;
struct evutil_addrinfo;
struct resolve;

/* The callee must free found with evutil_freeaddrinfo().  If found is NULL, why says
 * why the lookup failed. */
typedef void (*resolve_done)(
    void *arg, struct evutil_addrinfo *found, const char *why);

/*
 * Starts looking up the addresses of a host name; the port is stored in the results.
 * done is called exactly once unless resolve_cancel() is called, from the event loop
 * and never from inside this function, at the latest when the timeout expires; *ret is
 * invalid from then on.  -EAGAIN: too many lookups are running; -ENOMEM.
 */
int resolve_start(struct event_base *base, const char *host, const char *port,
    uint64_t timeout_ns, resolve_done done, void *arg, struct resolve **ret);
/* Cancels the lookup: done is not called.  NULL is allowed. */
void resolve_cancel(struct resolve *r);

#endif
