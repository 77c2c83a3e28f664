/*
 * resolve: the addresses of a host, asked for without holding the loop.
 */
#ifndef RESOLVE_H
#define RESOLVE_H

#include "util.h"

struct event_base;
struct evutil_addrinfo;
struct resolve;

/* found is the callee's, for evutil_freeaddrinfo; NULL: none, and why. */
typedef void (*resolve_done)(
    void *arg, struct evutil_addrinfo *found, const char *why);

/*
 * Asks for the addresses of a host by its name, with that port in them.  done is
 * called once, from the loop and never from inside this call, after the timeout at
 * the latest; *ret is gone then.  -ENOMEM.
 */
int resolve_start(struct event_base *base, const char *host, const char *port,
    uint64_t timeout_ns, resolve_done done, void *arg, struct resolve **ret);
/* done is not called any more. NULL is fine. */
void resolve_cancel(struct resolve *r);

#endif
