/*
 * udp_socket: a udp endpoint, as seen by its type.
 */
#ifndef UDP_SOCKET_H
#define UDP_SOCKET_H

#include "address.h"
#include "endpoint.h"

/* The maximum payload of a datagram over IPv4. */
#define UDP_SEND_MAX 65507

struct udp;

struct udp_setup {
	/* The socket that receives, and the one that sends and receives; -1: there is
	 * only the first one, which sends as well. */
	int fds[2];
	bool
	    listens; /* a peer that sends a datagram gets a link, if it is on this
		       * machine or allowed */
	struct networks *allow;
};

/* Closes and frees what the setup contains. */
void udp_setup_free(struct udp_setup *setup);
/* Takes over what the setup contains, also on failure (NULL: out of memory). */
struct udp *udp_new(struct endpoint *ep, const struct udp_setup *setup);
/* Starts the endpoint.  -errno: call udp_stop(). */
int udp_start(struct udp *udp);
/* Changes the partners, to which frames are always sent, to these.  -ENOMEM. */
int udp_set_partners(
    struct udp *udp, const struct address *partner, unsigned n);
/* Takes ownership of the networks whose datagrams are accepted from now on. */
void udp_set_allow(struct udp *udp, struct networks *allow);
/* The socket that sends. */
int udp_socket(const struct udp *udp);
/* Closes the socket; all links must be closed already.  NULL is allowed. */
void udp_stop(struct udp *udp);

#endif
