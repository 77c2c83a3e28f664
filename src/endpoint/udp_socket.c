/*
 * udp_socket: starts and stops a udp endpoint, takes datagrams from its sockets, and finds
 * the peer that sent each, or creates one.
 *
 * A datagram stays in the socket until the link of its peer reads it.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "udp_group.h"
#include "udp_parts.h"

/* The owner of a link reads at least this much at once; a larger datagram would be
 * truncated. */
#define RECEIVE_MAX 4096
/* How long a sender must have been silent to give its place to another one. */
#define SILENCE_FULL_NS (10 * NSEC_PER_SEC)
/* The maximum number of datagrams received at a time, so that the socket does not
 * block the loop. */
#define BURST 64

/* --- senders ------------------------------------------------------------- */

static bool
same_address(const struct address *a, const struct address *b)
{
	const struct sockaddr_in *a4 = (const struct sockaddr_in *)&a->ss,
				 *b4 = (const struct sockaddr_in *)&b->ss;
	const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)&a->ss,
				  *b6 = (const struct sockaddr_in6 *)&b->ss;

	if (a->ss.ss_family != b->ss.ss_family)
		return false;
	if (a->ss.ss_family == AF_INET)
		return a4->sin_port == b4->sin_port &&
		    a4->sin_addr.s_addr == b4->sin_addr.s_addr;
	return a6->sin6_port == b6->sin6_port &&
	    IN6_ARE_ADDR_EQUAL(&a6->sin6_addr, &b6->sin6_addr);
}

static void
unwanted(struct udp *udp, const char *name, const char *why)
{
	udp->ep->refused++;
	log_limited(&udp->unwanted, LOG_WARNING, ABOUT_ENDPOINT,
	    udp->ep->conf->name, "a datagram from %s was dropped: %s", name,
	    why);
}

/* Whether it is an address of this machine: a socket can be bound to it. */
static bool
is_local(const struct address *address)
{
	struct address local = *address;
	bool bound;
	int fd;

	/* sin_port and sin6_port are at the same offset. */
	((struct sockaddr_in *)&local.ss)->sin_port = 0;
	fd = socket(local.ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	bound = bind(fd, (const struct sockaddr *)&local.ss, local.len) == 0;
	close(fd);
	return bound;
}

/*
 * Whether the sender is the socket that sends: what it sends to a group or a broadcast
 * address may be received by the endpoint itself.  No other socket has its port, unless
 * it is bound to another address.
 */
static bool
is_own(struct udp *udp, const struct address *from)
{
	if (address_port((const struct sockaddr *)&from->ss) !=
	    address_port((const struct sockaddr *)&udp->own.ss))
		return false;
	if (!udp_is_any(&udp->own))
		return same_address(&udp->own, from);
	if (same_address(&udp->own_seen, from))
		return true;
	if (!is_local(from))
		return false;
	udp->own_seen = *from;
	return true;
}

/* All places are taken: removes the sender that has been silent longest, if it has been
 * silent for long enough. */
static void
make_place(struct udp *udp)
{
	struct peer *peer, *silent = NULL;

	TAILQ_FOREACH(peer, &udp->peers, entry)
		if (peer->kind == PEER_SENDER && peer->link->up &&
		    (silent == NULL || peer->heard_ns < silent->heard_ns))
			silent = peer;
	if (silent == NULL || now_ns() - silent->heard_ns < SILENCE_FULL_NS)
		return;
	link_close(silent->link, "another sender takes its place");
	link_settle_now(silent->link);
}

/* The peer for datagrams of a new sender; NULL: out of memory. */
static struct peer *
new_sender(struct udp *udp, const struct address *from, const char *name)
{
	if (udp->nsenders >= PEERS_MAX)
		make_place(udp);
	if (udp->nsenders < PEERS_MAX)
		return udp_peer_new(udp, PEER_SENDER, from, name);
	if (udp->others == NULL)
		udp->others = udp_peer_new(
		    udp, PEER_OTHERS, NULL, "senders that are no peers");
	if (!udp->to_many)
		log_limited(&udp->no_peer, LOG_WARNING, ABOUT_ENDPOINT,
		    udp->ep->conf->name,
		    "%s sends, but nothing is sent to it: there are %u other"
		    " senders already",
		    name, PEERS_MAX);
	return udp->others;
}

/* Finds or creates the peer that sent a datagram; NULL: the datagram is rejected. */
static struct peer *
peer_of(struct udp *udp, const struct address *from)
{
	const struct sockaddr *sa = (const struct sockaddr *)&from->ss;
	char name[ADDRESS_TEXT_MAX];
	struct peer *peer;

	TAILQ_FOREACH(peer, &udp->peers, entry)
		if (same_address(&peer->address, from))
			return peer;
	address_format(sa, from->len, name, sizeof(name));
	if (!udp->setup.listens)
		unwanted(udp, name, "it is not 'send_to'");
	else if (is_own(udp, from))
		return NULL;
	else if (!address_is_loopback(sa) &&
	    !networks_hold(udp->setup.allow, sa))
		unwanted(udp, name, "it is not among those of 'allow'");
	else if ((peer = new_sender(udp, from, name)) != NULL)
		return peer;
	else
		unwanted(udp, name, "out of memory");
	return NULL;
}

/* --- datagrams ----------------------------------------------------------- */

/* Whether the datagram can be read through a link. */
static bool
is_wanted(struct udp *udp, struct peer *peer, size_t len)
{
	if (peer == NULL || peer->link == NULL)
		return false;
	peer->heard_ns = task_now();
	if (len > RECEIVE_MAX)
		unwanted(udp, peer->name, "it has more than 4096 bytes");
	return len > 0 && len <= RECEIVE_MAX;
}

/* Handles the first datagram in the socket, received from that address; returns false
 * if it stays in the socket. */
static bool
receive(struct udp *udp, int fd, const struct address *from, size_t len)
{
	struct peer *peer = peer_of(udp, from);

	if (!is_wanted(udp, peer, len)) {
		recv(fd, NULL, 0, MSG_DONTWAIT);
		return true;
	}
	udp->first = peer;
	udp->first_fd = fd;
	/* The time that the link needs is accounted to the task of the link. */
	task_end(&udp->task);
	link_ready(peer->link, EV_READ);
	task_begin(&udp->task);
	if (udp->first == NULL)
		return true;
	udp->first = NULL;
	udp->blocked = peer;
	return false;
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct udp *udp = arg;
	struct address from;
	ssize_t n;

	(void)what;
	if (udp->failed != 0) {
		endpoint_lost(udp->ep, strerror(udp->failed));
		return;
	}
	task_begin(&udp->task);
	for (int i = 0; i < BURST && udp->blocked == NULL; i++) {
		from.len = sizeof(from.ss);
		n = recvfrom(fd, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT,
		    (struct sockaddr *)&from.ss, &from.len);
		if (n < 0 || !receive(udp, fd, &from, (size_t)n))
			break;
	}
	udp_arm(udp);
	task_end(&udp->task);
}

/* --- start and stop ------------------------------------------------------- */

void
udp_setup_free(struct udp_setup *setup)
{
	for (unsigned i = 0; i < NELEM(setup->fds); i++)
		if (setup->fds[i] >= 0)
			close(setup->fds[i]);
	networks_free(setup->allow);
}

void
udp_stop(struct udp *udp)
{
	if (udp == NULL)
		return;
	while (!TAILQ_EMPTY(&udp->peers))
		udp_peer_free(TAILQ_FIRST(&udp->peers));
	task_remove_why(&udp->task, "closed");
	task_remove_why(&udp->expiry_task, "closed");
	for (unsigned i = 0; i < NELEM(udp->events); i++)
		if (udp->events[i] != NULL)
			event_free(udp->events[i]);
	if (udp->expiry != NULL)
		event_free(udp->expiry);
	udp_setup_free(&udp->setup);
	free(udp);
}

static void
receive_label(const struct task *task, char *buf, size_t size)
{
	const struct udp *udp = task->arg;

	if (udp->blocked != NULL)
		snprintf(buf, size, "room for a datagram from %s",
		    udp->blocked->name);
	else if (!udp->setup.listens)
		snprintf(buf, size, "a datagram from %s", udp->ep->address);
	else
		snprintf(buf, size, "a datagram on %s (%u of %u senders)",
		    udp->ep->address, udp->nsenders, PEERS_MAX);
}

static int
make_events(struct udp *udp)
{
	const int *fds = udp->setup.fds;

	for (unsigned i = 0; i < NELEM(udp->events); i++) {
		if (fds[i] < 0)
			continue;
		udp->events[i] = event_new(udp->ep->base, fds[i],
		    EV_READ | EV_PERSIST, on_socket, udp);
		if (udp->events[i] == NULL)
			return -ENOMEM;
	}
	return udp_expiry_new(udp);
}

struct udp *
udp_new(struct endpoint *ep, const struct udp_setup *setup)
{
	struct udp *udp = calloc(1, sizeof(*udp));
	struct udp_setup unused = *setup;

	if (udp == NULL) {
		udp_setup_free(&unused);
		return NULL;
	}
	udp->ep = ep;
	udp->setup = *setup;
	udp->own.len = sizeof(udp->own.ss);
	getsockname(
	    udp_socket(udp), (struct sockaddr *)&udp->own.ss, &udp->own.len);
	TAILQ_INIT(&udp->peers);
	if (make_events(udp) < 0) {
		udp_stop(udp);
		return NULL;
	}
	return udp;
}

int
udp_start(struct udp *udp)
{
	task_add(
	    &udp->task, udp, receive_label, "%s.receive", udp->ep->conf->name);
	udp_expiry_start(udp);
	udp_arm(udp);
	if (udp->failed != 0)
		return -udp->failed;
	endpoint_listening(udp->ep);
	return 0;
}

void
udp_set_allow(struct udp *udp, struct networks *allow)
{
	networks_free(udp->setup.allow);
	udp->setup.allow = allow;
}

/* --- partners ------------------------------------------------------------- */

static int
add_partner(struct udp *udp, const struct address *partner)
{
	char name[ADDRESS_TEXT_MAX];
	struct peer *peer;

	TAILQ_FOREACH(peer, &udp->peers, entry) {
		if (!same_address(&peer->address, partner))
			continue;
		udp->nsenders -= peer->kind == PEER_SENDER;
		peer->kind = PEER_PARTNER;
		return 0;
	}
	address_format((const struct sockaddr *)&partner->ss, partner->len,
	    name, sizeof(name));
	return udp_peer_new(udp, PEER_PARTNER, partner, name) != NULL ? 0
								      : -ENOMEM;
}

static void
remove_partner(struct peer *peer)
{
	peer->kind = PEER_REMOVED;
	if (peer->link == NULL) {
		udp_peer_free(peer);
		return;
	}
	link_close(peer->link, "'send_to' has changed");
	link_settle_now(peer->link);
}

static bool
is_named(const struct peer *peer, const struct address *partner, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (same_address(&peer->address, &partner[i]))
			return true;
	return false;
}

int
udp_set_partners(struct udp *udp, const struct address *partner, unsigned n)
{
	struct peer *peer, *next;
	int r = 0;

	for (peer = TAILQ_FIRST(&udp->peers); peer != NULL; peer = next) {
		next = TAILQ_NEXT(peer, entry);
		if (peer->kind == PEER_PARTNER && !is_named(peer, partner, n))
			remove_partner(peer);
	}
	for (unsigned i = 0; r == 0 && i < n; i++)
		r = add_partner(udp, &partner[i]);
	udp_partners_changed(udp);
	return r;
}
