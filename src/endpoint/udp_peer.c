/*
 * udp_peer: between datagrams and the links of a udp endpoint.
 *
 * There is one socket, and a link for the partner that 'send_to' names and for each
 * other that was heard of lately.  Links are for byte streams; so that the
 * boundaries stay, each has a pair of sockets that keep messages apart
 * (SOCK_SEQPACKET).  The near end is the link's; what comes out of the far end is
 * sent as one datagram, and the other way round.
 *
 * Nothing is stored between the two.  A message is looked at, passed on, and only
 * then taken; while it cannot be passed on it stays where it is, and that end is not
 * read.  So there is one wait for the socket, one for each far end, and one for
 * time to pass:
 *
 *	NAME.receive	a datagram, or room in the pair of the peer it is from
 *	NAME#3.send	a frame, or the socket to take it, or the network to be
 *			there again
 *	NAME.expiry	the peer that has been silent longest, to be forgotten
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/bufferevent.h>
#include <event2/event.h>

#include "udp_peer.h"
#include "log.h"

/* What the owner of a link reads at once, at least: larger ones would be cut. */
#define RECEIVE_MAX 4096
/* Of one end of a pair; the kernel doubles it. */
#define PAIR_BUFFER (40 * 1024)
#define PEERS_MAX 16
/* One that has been silent for so long is forgotten. */
#define SILENCE_NS (60 * NSEC_PER_SEC)
#define RETRY_NS NSEC_PER_SEC
/* So that no peer holds the loop. */
#define BURST 64

/* What a peer's far end waits for. */
enum peer_wait {
	WAIT_FRAME,
	WAIT_ROOM, /* in the socket */
	WAIT_RETRY /* for a second to pass */
};

struct peer {
	TAILQ_ENTRY(peer) entry;
	struct udp *udp;
	struct address address;
	bool fixed;	   /* the partner: never forgotten */
	struct link *link; /* NULL: gone */
	int far;	   /* -1: there was no memory for a pair */
	enum peer_wait wait;
	struct event *event;
	uint64_t heard_ns;
	struct task task;
	char name[ADDRESS_TEXT_MAX];
};

struct udp {
	struct endpoint *ep;
	int fd;
	bool listens; /* others than the partner may come */
	struct networks *allow;
	TAILQ_HEAD(, peer) peers;
	unsigned npeers;
	struct peer *blocked; /* its pair is full, and a datagram is there */
	struct event *event, *expiry;
	struct task task, expiry_task;
	struct log_limit unwanted, unsent;
	uint8_t buf[UDP_SEND_MAX + 1];
};

/* --- waiting ------------------------------------------------------------- */

static void on_expiry(evutil_socket_t, short, void *);
static void on_peer(evutil_socket_t, short, void *);
static void on_socket(evutil_socket_t, short, void *);

static void
arm(struct event *event, struct event_base *base, int fd, short what,
    uint64_t ns, event_callback_fn callback, void *arg)
{
	static const struct timeval again = { .tv_usec = 100 * 1000 };
	const struct timeval tv = { (time_t)(ns / NSEC_PER_SEC),
		(suseconds_t)(ns % NSEC_PER_SEC / NSEC_PER_USEC) };

	event_del(event);
	event_assign(event, base, fd, what, callback, arg);
	if (event_add(event, ns != 0 ? &tv : NULL) == 0)
		return;
	/* What cannot be waited for is looked at again. */
	event_assign(event, base, -1, 0, callback, arg);
	event_add(event, &again);
}

static void
peer_label(const struct task *task, char *buf, size_t size)
{
	const struct peer *peer = task->arg;

	if (peer->wait == WAIT_FRAME)
		snprintf(buf, size, "a frame to be sent to %s", peer->name);
	else if (peer->wait == WAIT_ROOM)
		snprintf(buf, size, "the network to take a datagram to %s",
		    peer->name);
	else
		snprintf(buf, size,
		    "a second to pass, before %s is tried again", peer->name);
}

static void
peer_arm(struct peer *peer)
{
	struct event_base *base = peer->udp->ep->base;

	if (peer->wait == WAIT_FRAME)
		arm(peer->event, base, peer->far, EV_READ, 0, on_peer, peer);
	else if (peer->wait == WAIT_ROOM)
		arm(peer->event, base, peer->udp->fd, EV_WRITE, 0, on_peer,
		    peer);
	else
		arm(peer->event, base, -1, 0, RETRY_NS, on_peer, peer);
	TASK_WAIT(&peer->task);
}

/* The one to be forgotten next; NULL: nobody is. */
static struct peer *
most_silent(const struct udp *udp)
{
	struct peer *peer, *first = NULL;

	TAILQ_FOREACH(peer, &udp->peers, entry)
		if (!peer->fixed && peer->link != NULL && peer->link->up &&
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

/* It may find nothing to do: it is not set again whenever a peer is heard. */
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
		snprintf(buf, size, "room for a datagram that came from %s",
		    udp->blocked->name);
	else if (!udp->listens)
		snprintf(buf, size, "a datagram from %s", udp->ep->address);
	else
		snprintf(buf, size, "a datagram on %s (%u of %u peers)",
		    udp->ep->address, udp->npeers, PEERS_MAX);
}

static void
udp_arm(struct udp *udp)
{
	if (udp->blocked != NULL)
		arm(udp->event, udp->ep->base, udp->blocked->far, EV_WRITE, 0,
		    on_socket, udp);
	else
		arm(udp->event, udp->ep->base, udp->fd, EV_READ, 0, on_socket,
		    udp);
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

/* Its pair and its link are made. */
static int
peer_join(struct peer *peer)
{
	struct endpoint *ep = peer->udp->ep;
	const int size = PAIR_BUFFER;
	int fd[2];

	peer->far = -1;
	peer->link = NULL;
	peer->wait = WAIT_RETRY;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC,
		0, fd) < 0)
		return -errno;
	setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if ((peer->link = endpoint_add_link(ep, fd[0], peer->name)) == NULL) {
		close(fd[1]);
		return -ENOMEM;
	}
	bufferevent_set_max_single_write(peer->link->bev, UDP_SEND_MAX);
	peer->far = fd[1];
	peer->wait = WAIT_FRAME;
	return 0;
}

static void
peer_free(struct peer *peer)
{
	struct udp *udp = peer->udp;

	if (udp->blocked == peer)
		udp->blocked = NULL;
	TAILQ_REMOVE(&udp->peers, peer, entry);
	udp->npeers--;
	task_remove(&peer->task);
	event_free(peer->event);
	if (peer->far >= 0)
		close(peer->far);
	free(peer);
}

/* Makes its link and waits, from now on, for frames; -errno: it is freed. */
static int
peer_start(struct peer *peer)
{
	struct udp *udp = peer->udp;
	const char *link;
	int r = peer_join(peer);

	if (r < 0 && !peer->fixed) {
		peer_free(peer);
		return r;
	}
	link = peer->link != NULL ? peer->link->name : udp->ep->conf->name;
	task_add(&peer->task, peer, peer_label, "%s.send", link);
	peer_arm(peer);
	if (!event_pending(udp->expiry, EV_TIMEOUT, NULL))
		expiry_arm(udp);
	return 0;
}

static struct peer *
peer_new(struct udp *udp, const struct address *address, bool fixed)
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
	peer->address = *address;
	peer->fixed = fixed;
	peer->heard_ns = now_ns();
	address_format((const struct sockaddr *)&address->ss, address->len,
	    peer->name, sizeof(peer->name));
	TAILQ_INSERT_TAIL(&udp->peers, peer, entry);
	udp->npeers++;
	return peer_start(peer) == 0 ? peer : NULL;
}

/* Its link has gone: that of 'send_to' gets another one. */
static void
peer_gone(struct peer *peer)
{
	struct udp *udp = peer->udp;

	if (udp->blocked == peer) {
		udp->blocked = NULL;
		udp_arm(udp);
	}
	if (!peer->fixed) {
		peer_free(peer);
		return;
	}
	event_del(peer->event);
	close(peer->far);
	task_remove(&peer->task);
	peer_start(peer);
}

/* --- out ----------------------------------------------------------------- */

/* What becomes of the message after sendto() has failed; true: it is dropped. */
static bool
send_failed(struct peer *peer, int e, size_t len)
{
	struct udp *udp = peer->udp;

	if (e == EAGAIN || e == EINTR) {
		peer->wait = WAIT_ROOM;
		return false;
	}
	if (e == EMSGSIZE) {
		udp->ep->refused++;
		log_limited(&udp->unsent, LOG_WARNING, ABOUT_ENDPOINT,
		    udp->ep->conf->name,
		    "%zu bytes are too many for a datagram to %s: dropped", len,
		    peer->name);
		return true;
	}
	peer->wait = WAIT_RETRY;
	log_limited(&udp->unsent, LOG_WARNING, ABOUT_ENDPOINT,
	    udp->ep->conf->name, "cannot send to %s: %s", peer->name,
	    strerror(e));
	return false;
}

/* Sends what is in the pair; false when the link has gone. */
static bool
peer_send(struct peer *peer)
{
	struct udp *udp = peer->udp;
	ssize_t n;

	peer->wait = WAIT_FRAME;
	for (int i = 0; i < BURST; i++) {
		n = recv(peer->far, udp->buf, sizeof(udp->buf),
		    MSG_PEEK | MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (n <= 0)
			return false;
		if (sendto(udp->fd, udp->buf, (size_t)n,
			MSG_DONTWAIT | MSG_NOSIGNAL,
			(const struct sockaddr *)&peer->address.ss,
			peer->address.len) < 0 &&
		    !send_failed(peer, errno, (size_t)n))
			return true;
		recv(peer->far, udp->buf, 0, MSG_DONTWAIT);
	}
	return true;
}

static void
on_peer(evutil_socket_t fd, short what, void *arg)
{
	struct peer *peer = arg;

	(void)fd, (void)what;
	task_begin(&peer->task);
	if (peer->far < 0) {
		task_remove(&peer->task);
		peer_start(peer);
		return;
	}
	if (!peer_send(peer)) {
		peer_gone(peer);
		return;
	}
	peer_arm(peer);
	task_end(&peer->task);
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

/* Whose datagram it is; NULL: nobody's that may send one. */
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
	if (!udp->listens)
		unwanted(udp, name, "it is not 'send_to'");
	else if (!address_is_loopback(sa) && !networks_hold(udp->allow, sa))
		unwanted(udp, name, "it is not among those of 'allow'");
	else if (udp->npeers >= PEERS_MAX)
		unwanted(udp, name, "there are too many peers");
	else if ((peer = peer_new(udp, from, false)) != NULL)
		return peer;
	else
		unwanted(udp, name, "out of memory");
	return NULL;
}

/* Passes on a datagram that is there; false: it has to stay. */
static bool
pass_on(struct udp *udp, const struct address *from, size_t len)
{
	struct peer *peer = peer_of(udp, from);

	if (peer == NULL || peer->far < 0)
		return true;
	peer->heard_ns = task_now();
	if (len == 0)
		return true;
	if (len > RECEIVE_MAX) {
		unwanted(udp, peer->name, "it has more than 4096 bytes");
		return true;
	}
	if (send(peer->far, udp->buf, len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return true;
	if (errno == EAGAIN) {
		udp->blocked = peer;
		return false;
	}
	/* Its link is closed; this datagram brings it back. */
	peer_gone(peer);
	return false;
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct udp *udp = arg;
	struct address from;
	ssize_t n;

	(void)fd, (void)what;
	task_begin(&udp->task);
	udp->blocked = NULL;
	for (int i = 0; i < BURST; i++) {
		from.len = sizeof(from.ss);
		n = recvfrom(udp->fd, udp->buf, sizeof(udp->buf),
		    MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT,
		    (struct sockaddr *)&from.ss, &from.len);
		if (n < 0 || !pass_on(udp, &from, (size_t)n))
			break;
		recv(udp->fd, udp->buf, 0, MSG_DONTWAIT);
	}
	udp_arm(udp);
	task_end(&udp->task);
}

/* --- start and stop ------------------------------------------------------- */

void
udp_links_changed(struct udp *udp)
{
	struct link_list *links = &udp->ep->links;
	struct peer *peer;
	struct link *link;

	TAILQ_FOREACH(peer, &udp->peers, entry) {
		TAILQ_FOREACH(link, links, entry)
			if (link == peer->link)
				break;
		peer->link = link;
	}
	expiry_arm(udp);
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
	if (udp->event != NULL)
		event_free(udp->event);
	if (udp->expiry != NULL)
		event_free(udp->expiry);
	close(udp->fd);
	networks_free(udp->allow);
	free(udp);
}

struct udp *
udp_new(struct endpoint *ep, int fd, bool listens, struct networks *allow)
{
	struct udp *udp = calloc(1, sizeof(*udp));

	if (udp == NULL) {
		close(fd);
		networks_free(allow);
		return NULL;
	}
	udp->ep = ep;
	udp->fd = fd;
	udp->listens = listens;
	udp->allow = allow;
	TAILQ_INIT(&udp->peers);
	udp->event = evtimer_new(ep->base, on_socket, udp);
	udp->expiry = evtimer_new(ep->base, on_expiry, udp);
	if (udp->event == NULL || udp->expiry == NULL) {
		udp_stop(udp);
		return NULL;
	}
	return udp;
}

int
udp_start(struct udp *udp, const struct address *partner)
{
	const char *name = udp->ep->conf->name;

	task_add(&udp->task, udp, receive_label, "%s.receive", name);
	task_add(&udp->expiry_task, udp, expiry_label, "%s.expiry", name);
	udp_arm(udp);
	endpoint_listening(udp->ep);
	if (partner != NULL && peer_new(udp, partner, true) == NULL)
		return -ENOMEM;
	return 0;
}
