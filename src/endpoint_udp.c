/*
 * endpoint_udp: datagrams, each of them a frame.
 *
 * There is one socket, and a link for the partner that 'send_to' names and for each
 * other that was heard of lately.  Links are for byte streams; so that the
 * boundaries stay, each has a pair of sockets that keep messages apart
 * (SOCK_SEQPACKET).  The near end is the link's; what comes out of the far end is
 * sent as one datagram, and the other way round.
 *
 * Nothing is stored between the two.  A message is looked at, passed on, and only
 * then taken; while it cannot be passed on it stays where it is, and that end is not
 * read.  So there is one wait for the socket, and one for each far end:
 *
 *	NAME.receive	a datagram, or room in the pair of the peer it is from
 *	NAME#3.send	a frame, or the socket to take it, or the network to be
 *			there again
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/bufferevent.h>
#include <event2/event.h>

#include "address.h"
#include "endpoint.h"
#include "log.h"

/* The most that a datagram carries over IPv4... */
#define SEND_MAX 65507
/* ...and that a bufferevent reads at once, so that larger ones would be cut. */
#define RECEIVE_MAX 4096
/* Of one end of a pair; the kernel doubles it. */
#define PAIR_BUFFER (40 * 1024)
#define PEERS_MAX 16
/* One that has been silent for so long is forgotten. */
#define SILENCE_NS (60 * NSEC_PER_SEC)
#define RETRY_NS NSEC_PER_SEC
/* So that no peer holds the loop. */
#define BURST 64

#define OFFSET(member) offsetof(struct endpoint_conf, member)

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
	bool fixed;	   /* of 'send_to' */
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
	bool listens; /* others than that of 'send_to' may come */
	struct networks *allow;
	TAILQ_HEAD(, peer) peers;
	unsigned npeers;
	struct peer *blocked; /* its pair is full, and a datagram is there */
	struct event *event;
	struct task task;
	struct log_limit unwanted, unsent;
	uint8_t buf[SEND_MAX + 1];
};

static const struct key udp_keys[] = {
	{ .name = "listen",
	    .type = KEY_STRING,
	    .offset = OFFSET(listen),
	    .min = 1,
	    .help = "HOST:PORT whose datagrams are received" },
	{ .name = "send_to",
	    .type = KEY_STRING,
	    .offset = OFFSET(send_to),
	    .min = 1,
	    .help = "HOST:PORT that frames are sent to" },
	{ .name = "allow",
	    .type = KEY_STRING,
	    .offset = OFFSET(allow),
	    .help = "networks that may send, besides this machine" },
	{ .name = NULL }
};

/* --- waiting ------------------------------------------------------------- */

static void on_peer(evutil_socket_t, short, void *);
static void on_socket(evutil_socket_t, short, void *);

static void
arm(struct event *event, struct event_base *base, int fd, short what,
    uint64_t ns, event_callback_fn callback, void *arg)
{
	const struct timeval tv = { (time_t)(ns / NSEC_PER_SEC),
		(suseconds_t)(ns % NSEC_PER_SEC / NSEC_PER_USEC) };

	event_del(event);
	event_assign(event, base, fd, what, callback, arg);
	event_add(event, ns != 0 ? &tv : NULL);
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
	uint64_t silent = now_ns() - peer->heard_ns, left = 0;

	if (!peer->fixed)
		left = silent < SILENCE_NS ? SILENCE_NS - silent : 1000;
	if (peer->wait == WAIT_FRAME)
		arm(peer->event, base, peer->far, EV_READ, left, on_peer, peer);
	else if (peer->wait == WAIT_ROOM)
		arm(peer->event, base, peer->udp->fd, EV_WRITE, 0, on_peer,
		    peer);
	else
		arm(peer->event, base, -1, 0, RETRY_NS, on_peer, peer);
	TASK_WAIT(&peer->task);
}

static void
receive_label(const struct task *task, char *buf, size_t size)
{
	const struct udp *udp = task->arg;

	if (udp->blocked != NULL)
		snprintf(buf, size, "room for a datagram that came from %s",
		    udp->blocked->name);
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
	bufferevent_set_max_single_write(peer->link->bev, SEND_MAX);
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
	const char *link;
	int r = peer_join(peer);

	if (r < 0 && !peer->fixed) {
		peer_free(peer);
		return r;
	}
	link =
	    peer->link != NULL ? peer->link->name : peer->udp->ep->conf->name;
	task_add(&peer->task, peer, peer_label, "%s.send", link);
	peer_arm(peer);
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
		udp->ep->errors++;
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

	(void)fd;
	task_begin(&peer->task);
	if (peer->far < 0) {
		task_remove(&peer->task);
		peer_start(peer);
		return;
	}
	if (what & EV_TIMEOUT && !peer->fixed && peer->link != NULL &&
	    now_ns() - peer->heard_ns >= SILENCE_NS)
		link_close(peer->link, "not heard of for a minute");
	if (!peer_send(peer)) {
		peer_gone(peer);
		return;
	}
	peer_arm(peer);
	task_end(&peer->task);
}

/* --- in ------------------------------------------------------------------ */

static void
unwanted(struct udp *udp, const char *name, const char *why)
{
	udp->ep->errors++;
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
	/* Its link is closed; it comes anew with this datagram. */
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

/* --- open and close ------------------------------------------------------ */

/* One of its links has gone, or is about to. */
static bool
udp_hangup(struct endpoint *ep)
{
	struct udp *udp = ep->impl;
	struct peer *peer;
	struct link *link;

	if (udp == NULL)
		return true;
	TAILQ_FOREACH(peer, &udp->peers, entry) {
		TAILQ_FOREACH(link, &ep->links, entry)
			if (link == peer->link)
				break;
		peer->link = link;
	}
	return true;
}

static void
udp_close(struct endpoint *ep)
{
	struct udp *udp = ep->impl;

	if (udp == NULL)
		return;
	ep->impl = NULL;
	while (!TAILQ_EMPTY(&udp->peers))
		peer_free(TAILQ_FIRST(&udp->peers));
	task_remove(&udp->task);
	if (udp->event != NULL)
		event_free(udp->event);
	if (udp->fd >= 0)
		close(udp->fd);
	networks_free(udp->allow);
	free(udp);
}

/* An IPv4 address for an IPv6 socket. */
static void
map_address(struct address *address)
{
	const struct sockaddr_in in = *(const struct sockaddr_in *)&address->ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address->ss;

	memset(&address->ss, 0, sizeof(address->ss));
	in6->sin6_family = AF_INET6;
	in6->sin6_port = in.sin_port;
	in6->sin6_addr.s6_addr[10] = in6->sin6_addr.s6_addr[11] = 0xff;
	memcpy(in6->sin6_addr.s6_addr + 12, &in.sin_addr, 4);
	address->len = sizeof(*in6);
}

static int
make_socket(struct udp *udp, const struct address *from,
    const struct address *to, char *err, size_t size)
{
	const struct address *own = from != NULL ? from : to;
	struct address bound = { .len = sizeof(bound.ss) };
	char text[ADDRESS_TEXT_MAX] = "", there[ADDRESS_TEXT_MAX] = "";
	const int on = 1;
	int r;

	udp->fd = socket(
	    own->ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (udp->fd < 0 ||
	    (from != NULL &&
		bind(udp->fd, (const struct sockaddr *)&from->ss, from->len) <
		    0)) {
		r = -errno;
		address_format((const struct sockaddr *)&own->ss, own->len,
		    text, sizeof(text));
		snprintf(
		    err, size, "cannot receive on %s: %s", text, strerror(-r));
		return r;
	}
	setsockopt(udp->fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
	if (from != NULL &&
	    getsockname(udp->fd, (struct sockaddr *)&bound.ss, &bound.len) == 0)
		address_format((struct sockaddr *)&bound.ss, bound.len, text,
		    sizeof(text));
	if (to != NULL)
		address_format((const struct sockaddr *)&to->ss, to->len, there,
		    sizeof(there));
	snprintf(udp->ep->address, sizeof(udp->ep->address), "%.*s%s%.*s", 75,
	    text, from != NULL && to != NULL ? " -> " : "", 75, there);
	return 0;
}

static int
udp_begin(struct udp *udp, const struct address *to)
{
	udp->event = evtimer_new(udp->ep->base, on_socket, udp);
	if (udp->event == NULL)
		return -ENOMEM;
	task_add(
	    &udp->task, udp, receive_label, "%s.receive", udp->ep->conf->name);
	udp_arm(udp);
	endpoint_listening(udp->ep);
	return to == NULL || peer_new(udp, to, true) != NULL ? 0 : -ENOMEM;
}

static int
udp_open(struct endpoint *ep)
{
	const struct endpoint_conf *conf = ep->conf;
	struct udp *udp = calloc(1, sizeof(*udp));
	struct address to = { 0 }, from = { 0 };
	char *err = ep->error;
	size_t size = sizeof(ep->error);
	int r = 0;

	if (udp == NULL)
		return -ENOMEM;
	ep->impl = udp;
	udp->ep = ep;
	udp->fd = -1;
	udp->listens = conf->listen != NULL;
	TAILQ_INIT(&udp->peers);
	snprintf(ep->address, sizeof(ep->address), "%s",
	    conf->listen != NULL ? conf->listen : conf->send_to);
	if (conf->listen != NULL)
		r = address_parse(conf->listen, &from, err, size);
	if (r == 0 && conf->send_to != NULL)
		r = address_parse(conf->send_to, &to, err, size);
	if (r == 0 && conf->allow != NULL)
		r = networks_parse(conf->allow, &udp->allow, err, size);
	if (r < 0)
		return r;
	if (from.ss.ss_family == AF_INET6 && to.ss.ss_family == AF_INET)
		map_address(&to);
	r = make_socket(udp, conf->listen != NULL ? &from : NULL,
	    conf->send_to != NULL ? &to : NULL, err, size);
	return r < 0 ? r : udp_begin(udp, conf->send_to != NULL ? &to : NULL);
}

/* --- check --------------------------------------------------------------- */

static int
check_address(const char *key, const char *value, struct address *ret,
    char *err, size_t size)
{
	char why[200];

	memset(ret, 0, sizeof(*ret));
	if (value == NULL)
		return 0;
	if (address_parse(value, ret, why, sizeof(why)) < 0) {
		snprintf(err, size, "'%s': %s", key, why);
		return -EINVAL;
	}
	if (ret->ss.ss_family != AF_UNIX)
		return 0;
	snprintf(err, size, "'%s' is a path, and not HOST:PORT", key);
	return -EINVAL;
}

/* Whether datagrams can go from the one address to the other. */
static int
check_way(const struct address *from, const struct address *to, char *err,
    size_t size)
{
	if (from->ss.ss_family == AF_INET && to->ss.ss_family == AF_INET6) {
		snprintf(err, size,
		    "'send_to' is an IPv6 address, and 'listen'"
		    " is not");
		return -EINVAL;
	}
	if (address_is_loopback((const struct sockaddr *)&from->ss) &&
	    !address_is_loopback((const struct sockaddr *)&to->ss)) {
		snprintf(err, size,
		    "'send_to' is beyond this machine, and"
		    " cannot be reached from 'listen'");
		return -EINVAL;
	}
	return 0;
}

static int
udp_check(struct endpoint_conf *conf, char *err, size_t size)
{
	struct networks *allow = NULL;
	struct address from, to;
	char why[200];
	int r;

	if (conf->listen == NULL && conf->send_to == NULL) {
		snprintf(err, size, "needs 'listen' or 'send_to', or both");
		return -EINVAL;
	}
	if ((r = check_address("listen", conf->listen, &from, err, size)) < 0 ||
	    (r = check_address("send_to", conf->send_to, &to, err, size)) < 0)
		return r;
	if (conf->listen != NULL && conf->send_to != NULL &&
	    (r = check_way(&from, &to, err, size)) < 0)
		return r;
	if (conf->allow != NULL &&
	    networks_parse(conf->allow, &allow, why, sizeof(why)) < 0) {
		snprintf(err, size, "'allow': %s", why);
		return -EINVAL;
	}
	networks_free(allow);
	if (conf->listen == NULL || conf->send_to != NULL ||
	    conf->allow != NULL ||
	    address_is_loopback((struct sockaddr *)&from.ss))
		return 0;
	snprintf(err, size,
	    "listen = %s is open to the network: 'allow' must say to whom"
	    " (allow = 192.168.1.0/24)",
	    conf->listen);
	return -EINVAL;
}

const struct endpoint_ops endpoint_udp = {
	.type = "udp",
	.keys = udp_keys,
	.several = true,
	.datagram = SEND_MAX,
	.check = udp_check,
	.open = udp_open,
	.close = udp_close,
	.hangup = udp_hangup,
};
