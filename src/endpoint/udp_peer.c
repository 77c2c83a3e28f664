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
#include "udp_parts.h"

/* A peer that has been silent for this long is removed, whether or not its place is
 * needed. */
#define SILENCE_NS (60 * NSEC_PER_SEC)
/* The delay after a failed send, or after a link could not be created. */
#define RETRY_NS NSEC_PER_SEC

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

void
udp_arm(struct udp *udp)
{
	if (udp->blocked != NULL && udp->blocked->link->reading)
		udp->blocked = NULL;
	for (unsigned i = 0; i < NELEM(udp->events); i++) {
		if (udp->events[i] == NULL)
			continue;
		if (udp->blocked != NULL)
			event_del(udp->events[i]);
		else if (event_add(udp->events[i], NULL) < 0) {
			/* The callers still use the endpoint. */
			udp->failed = errno;
			event_active(udp->events[i], EV_READ, 1);
		}
	}
	TASK_WAIT(&udp->task);
}

/* --- peers --------------------------------------------------------------- */

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

void
udp_partners_changed(struct udp *udp)
{
	struct peer *peer;

	udp->to_many = sends_to_many(udp);
	TAILQ_FOREACH(peer, &udp->peers, entry)
		if (peer->link != NULL && peer->kind != PEER_OTHERS)
			peer->link->receive_only = peer->link->no_peer =
			    peer->kind == PEER_SENDER && udp->to_many;
	expiry_arm(udp);
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

void
udp_peer_free(struct peer *peer)
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

struct peer *
udp_peer_new(struct udp *udp, enum peer_kind kind,
    const struct address *address, const char *name)
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
	udp_peer_free(peer);
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
		udp_peer_free(peer);
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
		peer->link->unsent = EMSGSIZE;
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
	if (peer->kind == PEER_OTHERS) {
		link->unsent = EDESTADDRREQ;
		return (ssize_t)len;
	}
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

int
udp_expiry_new(struct udp *udp)
{
	udp->expiry = evtimer_new(udp->ep->base, on_expiry, udp);
	return udp->expiry != NULL ? 0 : -ENOMEM;
}

void
udp_expiry_start(struct udp *udp)
{
	task_add(&udp->expiry_task, udp, expiry_label, "%s.expiry",
	    udp->ep->conf->name);
}

/* --- in ------------------------------------------------------------------ */

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
