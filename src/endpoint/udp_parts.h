/*
 * udp_parts: what the files of a udp endpoint share.  Included only by them.
 */
#ifndef UDP_PARTS_H
#define UDP_PARTS_H

#include "link.h"
#include "log.h"
#include "udp_socket.h"

/* The maximum number of senders with a link of their own. */
#define PEERS_MAX 16

enum peer_kind {
	PEER_PARTNER, /* named by 'send_to': stays */
	PEER_REMOVED, /* no longer named by it: its link is being closed */
	PEER_SENDER,
	PEER_OTHERS, /* all senders without a link of their own */
};

struct peer {
	TAILQ_ENTRY(peer) entry;
	struct udp *udp;
	enum peer_kind kind;
	struct address address; /* not of PEER_OTHERS */
	struct link *link;	/* NULL: it could not be created */
	bool retry;		/* its output is retried after RETRY_NS */
	struct event *event;	/* for output; without a link, to create it */
	uint64_t heard_ns;
	char name[ADDRESS_TEXT_MAX];
};

struct udp {
	struct endpoint *ep;
	struct udp_setup setup;
	struct address own;	 /* that of the socket that sends */
	struct address own_seen; /* the source of a datagram of our own */
	TAILQ_HEAD(, peer) peers;
	unsigned nsenders;	 /* of kind PEER_SENDER */
	bool to_many;		 /* the links of new senders only receive */
	struct peer *others;	 /* of kind PEER_OTHERS, or NULL */
	struct peer *first;	 /* its link is about to read a datagram... */
	int first_fd;		 /* ...from this socket */
	struct peer *blocked;	 /* the first datagram is for its paused link */
	struct event *events[2]; /* of the sockets */
	int failed;		 /* errno: a socket cannot be waited for */
	struct event *expiry;
	struct task task, expiry_task;
	struct log_limit unwanted, unsent, no_peer;
};

/* --- udp_peer.c ----------------------------------------------------------- */

/* Creates a peer and its link, except that the link of a partner may be created later.
 * NULL: out of memory. */
struct peer *udp_peer_new(struct udp *udp, enum peer_kind kind,
    const struct address *address, const char *name);
void udp_peer_free(struct peer *peer);
/* Waits for datagrams, unless the first one is for a link that is paused.  On failure the
 * endpoint is lost, from the loop. */
void udp_arm(struct udp *udp);
/* The timer that removes peers that are silent: creates its event (-ENOMEM), adds its task. */
int udp_expiry_new(struct udp *udp);
void udp_expiry_start(struct udp *udp);
/* What is sent to the partners has changed, or which peers are removed. */
void udp_partners_changed(struct udp *udp);

#endif
