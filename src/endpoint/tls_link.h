/*
 * tls_link: connections with TLS: the link carries what their session encrypts.
 */
#ifndef TLS_LINK_H
#define TLS_LINK_H

#include "endpoint.h"
#include "tls.h"

/* Adds a link whose handshake is done to an endpoint with several.  It owns the session
 * and its descriptor, also on failure (NULL). */
struct link *endpoint_add_tls(
    struct endpoint *ep, struct tls_session *session, const char *address);
/* The same for the single link; -errno: call endpoint_lost(). */
int endpoint_up_tls(struct endpoint *ep, struct tls_session *session);
/* The session of a link, which the next process cannot continue; NULL: it has no TLS. */
static inline const struct tls_session *
link_tls(const struct link *link)
{
	return link->carried && link->ops->session != NULL
	    ? link->ops->session(link)
	    : NULL;
}
/* The memory that OpenSSL and what it holds use for the links of an endpoint. */
uint64_t endpoint_tls_memory(const struct endpoint *ep);

#endif
