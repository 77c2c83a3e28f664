/*
 * udp_peer: maps the datagrams of a udp endpoint to its links.
 *
 * There is a link for each partner that 'send_to' names, for each other sender from which
 * a datagram has come recently, up to PEERS_MAX, and one for all other senders.  The links
 * have no descriptor: each read and each write of a link is one datagram of a socket.
 *
 * The link for all other senders only receives.  So do the links of senders where frames
 * are sent to a group or a broadcast address: the senders receive that anyway.
 *
 * A datagram stays in the socket until the link of its peer reads it.  While that link
 * is paused, the sockets are not read either.  The tasks:
 *
 *	NAME.receive	waits for a datagram, or for the link that the first datagram
 *			is for to be read
 *	NAME#3.write	waits for the socket to accept a datagram, or for a second to
 *			pass after a failed send
 *	NAME.expiry	waits for the time to remove the peer that has been silent
 *			longest
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "udp_group.h"
#include "udp_peer.h"
#include "link.h"
#include "log.h"

/* The owner of a link reads at least this much at once; a larger datagram would be
 * truncated. */
#define RECEIVE_MAX 4096
#define PEERS_MAX 16
/* A peer that has been silent for this long is removed; or for the shorter time, if
 * there are PEERS_MAX and another one needs its place. */
#define SILENCE_NS (60 * NSEC_PER_SEC)
#define SILENCE_FULL_NS (10 * NSEC_PER_SEC)
/* The delay after a failed send, or after a link could not be created. */
#define RETRY_NS NSEC_PER_SEC
/* The maximum number of datagrams received at a time, so that the socket does not
 * block the loop. */
#define BURST 64

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
	struct event *expiry;
	struct task task, expiry_task;
	struct log_limit unwanted, unsent, no_peer;
};

/* --- waiting ------------------------------------------------------------- */

static void on_expiry(evutil_socket_t, short, void *);
static void on_peer(evutil_socket_t, short, void *);

static void
arm(struct event *event, struct event_base *base, int fd, short what,
    uint64_t ns, event_callback_fn callback, void *arg)
{
	static const struct timeval again = { .tv_usec = 100 * 1000 };
	const struct timeval tv = to_timeval(ns);

	event_del(event);
	event_assign(event, base, fd, what, callback, arg);
	if (event_add(event, ns != 0 ? &tv : NULL) == 0)
		return;
	/* If the event cannot be added, tries again after a moment. */
	event_assign(event, base, -1, 0, callback, arg);
	event_add(event, &again);
}

int
udp_socket(const struct udp *udp)
{
	const int *fds = udp->setup.fds;

	return fds[1] >= 0 ? fds[1] : fds[0];
}

/* Arms the event of the peer if it has pending output or no link. */
static void
peer_arm(struct peer *peer)
{
	struct event_base *base = peer->udp->ep->base;

	if (peer->link == NULL || peer->retry)
		arm(peer->event, base, -1, 0, RETRY_NS, on_peer, peer);
	else if (peer->link->output_pending)
		arm(peer->event, base, udp_socket(peer->udp), EV_WRITE, 0,
		    on_peer, peer);
}

/* The peer to be removed next; NULL: none. */
static struct peer *
most_silent(const struct udp *udp)
{
	struct peer *peer, *first = NULL;

	TAILQ_FOREACH(peer, &udp->peers, entry)
		if (peer->kind != PEER_PARTNER && peer->link != NULL &&
		    peer->link->up &&
		    (first == NULL || peer->heard_ns < first->heard_ns))
			first = peer;
	return first;
}

static void
expiry_label(const struct task *task, char *buf, size_t size)
{
	const struct udp *udp = task->arg;
	const struct peer *peer = most_silent(udp);
	uint64_t silent;
	char text[24];

	if (peer == NULL) {
		snprintf(buf, size, "no peer that could be forgotten");
		return;
	}
	silent = now_ns() - peer->heard_ns;
	format_time(
	    silent < SILENCE_NS ? SILENCE_NS - silent : 0, text, sizeof(text));
	snprintf(buf, size, "%s to be heard of, or to be forgotten in %s",
	    peer->name, text);
}

/* The timer is not rearmed for each datagram, so it may fire without a peer to remove. */
static void
expiry_arm(struct udp *udp)
{
	const struct peer *peer = most_silent(udp);
	uint64_t silent;

	if (peer == NULL) {
		event_del(udp->expiry);
		TASK_SET(&udp->expiry_task, TASK_IDLE);
		return;
	}
	silent = now_ns() - peer->heard_ns;
	arm(udp->expiry, udp->ep->base, -1, 0,
	    silent < SILENCE_NS ? SILENCE_NS - silent : 1000, on_expiry, udp);
	TASK_WAIT(&udp->expiry_task);
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

static void
udp_arm(struct udp *udp)
{
	if (udp->blocked != NULL && udp->blocked->link->reading)
		udp->blocked = NULL;
	for (unsigned i = 0; i < NELEM(udp->events); i++) {
		if (udp->events[i] == NULL)
			continue;
		if (udp->blocked != NULL)
			event_del(udp->events[i]);
		else if (event_add(udp->events[i], NULL) < 0)
			endpoint_lost(udp->ep, strerror(errno));
	}
	TASK_WAIT(&udp->task);
}

/* --- peers --------------------------------------------------------------- */

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

static const struct link_ops peer_ops;

/* Whether what is sent to a partner reaches the senders, too. */
static bool
sends_to_many(const struct udp *udp)
{
	const struct peer *peer;

	TAILQ_FOREACH(peer, &udp->peers, entry)
		if (peer->kind == PEER_PARTNER && group_is_many(&peer->address))
			return true;
	return false;
}

/* Creates the link of the peer; on failure arms the timer to try again. */
static int
peer_join(struct peer *peer)
{
	struct udp *udp = peer->udp;
	bool receive_only = peer->kind == PEER_OTHERS;

	if (peer->kind == PEER_SENDER)
		receive_only = udp->to_many = sends_to_many(udp);
	peer->retry = false;
	peer->link = endpoint_add_transport(
	    udp->ep, &peer_ops, peer, peer->name, receive_only);
	peer_arm(peer);
	if (!event_pending(udp->expiry, EV_TIMEOUT, NULL))
		expiry_arm(udp);
	return peer->link != NULL ? 0 : -ENOMEM;
}

static void
peer_free(struct peer *peer)
{
	struct udp *udp = peer->udp;

	if (udp->blocked == peer)
		udp->blocked = NULL;
	if (udp->first == peer)
		udp->first = NULL;
	if (udp->others == peer)
		udp->others = NULL;
	TAILQ_REMOVE(&udp->peers, peer, entry);
	udp->nsenders -= peer->kind == PEER_SENDER;
	event_free(peer->event);
	free(peer);
}

static struct peer *
peer_new(struct udp *udp, enum peer_kind kind, const struct address *address,
    const char *name)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	if (peer == NULL)
		return NULL;
	peer->event = evtimer_new(udp->ep->base, on_peer, peer);
	if (peer->event == NULL) {
		free(peer);
		return NULL;
	}
	peer->udp = udp;
	peer->kind = kind;
	if (address != NULL)
		peer->address = *address;
	peer->heard_ns = now_ns();
	snprintf(peer->name, sizeof(peer->name), "%s", name);
	TAILQ_INSERT_TAIL(&udp->peers, peer, entry);
	udp->nsenders += kind == PEER_SENDER;
	if (peer_join(peer) == 0 || kind == PEER_PARTNER)
		return peer;
	peer_free(peer);
	return NULL;
}

/* The link of the peer is closed; a partner gets a new one, from the loop. */
static void
peer_closed(struct link *link)
{
	struct peer *peer = link->transport;
	struct udp *udp = peer->udp;

	if (udp->blocked == peer)
		udp->blocked = NULL;
	if (peer->kind != PEER_PARTNER)
		peer_free(peer);
	else {
		peer->link = NULL;
		event_del(peer->event);
		event_active(peer->event, EV_TIMEOUT, 1);
	}
	udp_arm(udp);
	expiry_arm(udp);
}

/* --- out ----------------------------------------------------------------- */

/* A datagram could not be sent: returns its length if it is dropped, -EAGAIN if it is
 * to be sent again. */
static ssize_t
send_failed(struct peer *peer, int e, size_t len)
{
	struct udp *udp = peer->udp;

	if (e == EAGAIN || e == EINTR)
		return -EAGAIN;
	if (e == EMSGSIZE) {
		udp->ep->refused++;
		log_limited(&udp->unsent, LOG_WARNING, ABOUT_ENDPOINT,
		    udp->ep->conf->name,
		    "%zu bytes are too many for a datagram to %s: dropped", len,
		    peer->name);
		return (ssize_t)len;
	}
	peer->retry = true;
	log_limited(&udp->unsent, LOG_WARNING, ABOUT_ENDPOINT,
	    udp->ep->conf->name, "cannot send to %s: %s", peer->name,
	    strerror(e));
	return -EAGAIN;
}

static ssize_t
peer_write(struct link *link, const void *data, size_t len)
{
	struct peer *peer = link->transport;
	ssize_t n;

	peer->retry = false;
	/* The answer to a request of one of them: it is not known of which. */
	if (peer->kind == PEER_OTHERS)
		return (ssize_t)len;
	n = sendto(udp_socket(peer->udp), data, len,
	    MSG_DONTWAIT | MSG_NOSIGNAL,
	    (const struct sockaddr *)&peer->address.ss, peer->address.len);
	return n >= 0 ? n : send_failed(peer, errno, len);
}

static void
peer_label(const struct link *link, char *buf, size_t size)
{
	const struct peer *peer = link->transport;

	snprintf(buf, size,
	    peer->retry ? "a second to pass, before %s is tried again"
			: "the network to take a datagram to %s",
	    peer->name);
}

static void
on_peer(evutil_socket_t fd, short what, void *arg)
{
	struct peer *peer = arg;

	(void)fd, (void)what;
	if (peer->link == NULL)
		peer_join(peer);
	else {
		task_begin(&peer->link->write);
		link_ready(peer->link, EV_WRITE);
		task_end(&peer->link->write);
	}
}

static void
on_expiry(evutil_socket_t fd, short what, void *arg)
{
	struct udp *udp = arg;
	struct peer *peer;

	(void)fd, (void)what;
	task_begin(&udp->expiry_task);
	while ((peer = most_silent(udp)) != NULL &&
	    now_ns() - peer->heard_ns >= SILENCE_NS)
		link_close(peer->link, "not heard of for a minute");
	expiry_arm(udp);
	task_end(&udp->expiry_task);
}

/* --- in ------------------------------------------------------------------ */

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
		return peer_new(udp, PEER_SENDER, from, name);
	if (udp->others == NULL)
		udp->others = peer_new(
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

static ssize_t
peer_read(struct link *link, void *buf, size_t size)
{
	struct peer *peer = link->transport;
	struct udp *udp = peer->udp;
	ssize_t n;

	if (udp->first != peer)
		return -EAGAIN;
	udp->first = NULL;
	n = recv(udp->first_fd, buf, size, MSG_DONTWAIT);
	/* Returning 0 would mean the end of input; an error concerns the socket, not
	 * this link. */
	return n > 0 ? n : -EAGAIN;
}

/* The events to announce have changed. */
static void
peer_wait(struct link *link)
{
	struct peer *peer = link->transport;

	if (link->output_pending)
		peer_arm(peer);
	if (peer->udp->blocked == peer)
		udp_arm(peer->udp);
}

static const struct link_ops peer_ops = {
	.read = peer_read,
	.write = peer_write,
	.wait = peer_wait,
	.label = peer_label,
	.closed = peer_closed,
};

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
		peer_free(TAILQ_FIRST(&udp->peers));
	task_remove(&udp->task);
	task_remove(&udp->expiry_task);
	for (unsigned i = 0; i < NELEM(udp->events); i++)
		if (udp->events[i] != NULL)
			event_free(udp->events[i]);
	if (udp->expiry != NULL)
		event_free(udp->expiry);
	udp_setup_free(&udp->setup);
	free(udp);
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
	udp->expiry = evtimer_new(udp->ep->base, on_expiry, udp);
	return udp->expiry != NULL ? 0 : -ENOMEM;
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

void
udp_start(struct udp *udp)
{
	const char *name = udp->ep->conf->name;

	task_add(&udp->task, udp, receive_label, "%s.receive", name);
	task_add(&udp->expiry_task, udp, expiry_label, "%s.expiry", name);
	udp_arm(udp);
	endpoint_listening(udp->ep);
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
	return peer_new(udp, PEER_PARTNER, partner, name) != NULL ? 0 : -ENOMEM;
}

static void
remove_partner(struct peer *peer)
{
	peer->kind = PEER_REMOVED;
	if (peer->link == NULL) {
		peer_free(peer);
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
	udp->to_many = sends_to_many(udp);
	TAILQ_FOREACH(peer, &udp->peers, entry)
		if (peer->link != NULL && peer->kind != PEER_OTHERS)
			peer->link->receive_only = peer->link->no_peer =
			    peer->kind == PEER_SENDER && udp->to_many;
	expiry_arm(udp);
	return r;
}
