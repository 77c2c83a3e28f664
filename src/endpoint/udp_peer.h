/*
 * udp_peer: maps the datagrams of a udp endpoint to its links.
 */
#ifndef UDP_PEER_H
#define UDP_PEER_H

#include "address.h"
#include "endpoint.h"

/* The maximum payload of a datagram over IPv4. */
#define UDP_SEND_MAX 65507

struct udp;

/*
 * Takes ownership of the socket and the networks, also on failure (NULL: out of
 * memory).  listens: a peer that sends a datagram gets a link, if it is on this machine
 * or allowed.
 */
struct udp *udp_new(
    struct endpoint *ep, int fd, bool listens, struct networks *allow);
/* Starts the endpoint, with a link for the partner unless that is NULL.  -ENOMEM. */
int udp_start(struct udp *udp, const struct address *partner);
/* Closes the socket; all links must be closed already.  NULL is allowed. */
void udp_stop(struct udp *udp);

#endif
