/*
 * udp_peer: between datagrams and the links of a udp endpoint.
 */
#ifndef UDP_PEER_H
#define UDP_PEER_H

#include "address.h"
#include "endpoint.h"

/* The most that a datagram carries over IPv4. */
#define UDP_SEND_MAX 65507

struct udp;

/*
 * Takes the socket and the networks over, also when it fails: NULL, out of memory.
 * listens: a peer that is heard of gets a link, if it is on this machine or allowed.
 */
struct udp *udp_new(
    struct endpoint *ep, int fd, bool listens, struct networks *allow);
/* The endpoint is up, with a link for the partner, unless that is NULL.  -ENOMEM. */
int udp_start(struct udp *udp, const struct address *partner);
/* Closes the socket.  The links are closed already.  NULL is fine. */
void udp_stop(struct udp *udp);

#endif
