/*
 * server: tcp-server and unix-server, endpoints with a link for each connection.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "endpoint.h"
#include "handshake.h"
#include "idle.h"
#include "link.h"
#include "link_filter.h"
#include "listener.h"
#include "server_conf.h"

struct server {
	struct listener *listener;
	struct networks *allow;
	struct idle_watch idle;
	struct permission permission;
	struct rfc2217 *rfc2217; /* NULL: the protocol is raw */
	struct handshakes handshakes;
	struct log_limit limit; /* of their failures */
	bool expires_soon;	/* the certificate, which was logged */
};

/*
 * The connections that count against max_clients.  Half-closed ones, which only receive
 * their queued frames, do not, unless there are more than max_clients of them; so there
 * are never more than twice max_clients connections.
 */
static unsigned
count_clients(const struct endpoint *ep)
{
	const struct server_conf *conf = ep->conf->type_conf;
	unsigned most = (unsigned)conf->max_clients;
	unsigned extra = ep->nended > most ? ep->nended - most : 0;

	return ep->nlinks - ep->nended + extra;
}

/* A connection has read EOF or was closed. */
static bool
server_hangup(struct endpoint *ep)
{
	struct server *server = ep->impl;

	if (server != NULL && server->listener != NULL)
		listener_set_clients(
		    server->listener, count_clients(ep) + server->handshakes.n);
	return true;
}

static void
client_joined(struct endpoint *ep, struct link *link)
{
	const struct server_conf *conf = ep->conf->type_conf;

	link_keepalive(link, conf->tcp.keepalive);
	server_hangup(ep);
	idle_watch_link(&((struct server *)ep->impl)->idle);
}

/* Connections that are lost already have left their places. */
static void
settle_lost(struct endpoint *ep)
{
	struct link *link, *next;

	for (link = TAILQ_FIRST(&ep->links); link != NULL; link = next) {
		next = TAILQ_NEXT(link, entry);
		link_settle_now(link);
	}
}

/* With 'takeover', closes connections until there is a place for a new one. */
static void
take_over(struct endpoint *ep)
{
	const struct server_conf *conf = ep->conf->type_conf;
	struct link *link;

	if (count_clients(ep) >= conf->max_clients)
		settle_lost(ep);
	while (conf->permission.takeover &&
	    count_clients(ep) >= conf->max_clients &&
	    (link = permission_replaced(ep)) != NULL) {
		ep->replaced++;
		link_close(link, "replaced by a new client: takeover = yes");
		link_settle_now(link);
	}
}

/* Whether the other side has closed its sending direction; EOF may still be unread. */
static bool
is_half_closed(const struct link *link)
{
	struct pollfd p = { .fd = link->fd, .events = POLLRDHUP };

	return link->read_eof || link->deferred ||
	    (poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP)));
}

/* Whether no input is waiting to be read. */
static bool
is_read(const struct link *link)
{
	int unread;

	return link->read_eof ||
	    (!link->carried &&
		!(link->filtered && link->filter->input_len > 0) &&
		ioctl(link->fd, FIONREAD, &unread) == 0 && unread == 0);
}

/* The first half-closed connection without unread input or pending output, or NULL. */
static struct link *
find_finished(const struct endpoint *ep)
{
	struct link *link;

	TAILQ_FOREACH(link, &ep->links, entry)
		if (!link->deferred && !link->output_pending &&
		    is_half_closed(link) && is_read(link))
			return link;
	return NULL;
}

/*
 * A client that connects again and again must not be refused because of its own earlier
 * connections, which are half-closed.  If there are too many of these, those that are finished
 * are closed, although frames could still be sent to them.  Returns whether one more client may
 * connect.
 */
static bool
replace_half_closed(struct endpoint *ep)
{
	const struct server_conf *conf = ep->conf->type_conf;
	unsigned n = 0;
	struct link *link;

	settle_lost(ep);
	TAILQ_FOREACH(link, &ep->links, entry)
		n += !is_half_closed(link);
	if (n >= conf->max_clients)
		return false;
	while (ep->nlinks >= 2 * conf->max_clients &&
	    (link = find_finished(ep)) != NULL) {
		link_close(link, "replaced by a new client: it sends no more");
		link_settle_now(link);
	}
	return ep->nlinks < 2 * conf->max_clients;
}

/*
 * There are max_clients: whether another one may connect nevertheless.  One with TLS takes
 * no other's place before it has shown who it is.
 */
static bool
make_room(void *arg)
{
	struct endpoint *ep = arg;
	const struct server_conf *conf = ep->conf->type_conf;
	const struct server *server = ep->impl;

	if (ep->conf->tls == NULL && replace_half_closed(ep))
		return true;
	if (ep->conf->tls == NULL)
		take_over(ep);
	return conf->permission.takeover &&
	    server->handshakes.n < conf->max_clients;
}

/* Warns once when the certificate is about to expire, at the next client. */
static void
look_at_expiry(struct endpoint *ep)
{
	struct server *server = ep->impl;
	char text[96];

	if (!server->expires_soon && tls_expires_soon(ep->conf->tls))
		log_to(LOG_WARNING, ABOUT_ENDPOINT, ep->conf->name, "%s",
		    tls_expiry(ep->conf->tls, text, sizeof(text)));
	server->expires_soon = tls_expires_soon(ep->conf->tls);
}

static void
on_handshake(
    void *arg, struct tls_session *session, const char *peer, const char *why)
{
	struct endpoint *ep = arg;
	struct server *server = ep->impl;
	struct link *link;

	look_at_expiry(ep);
	if (session == NULL) {
		ep->tls_failed++;
		log_limited(&server->limit, LOG_WARNING, ABOUT_ENDPOINT,
		    ep->conf->name, "TLS handshake of %s failed: %s", peer,
		    why);
		server_hangup(ep);
		return;
	}
	take_over(ep);
	if ((link = endpoint_add_tls(ep, session, peer)) != NULL)
		client_joined(ep, link);
	else
		server_hangup(ep);
}

static bool
start_handshake(struct endpoint *ep, int fd, const char *peer)
{
	const struct server_conf *conf = ep->conf->type_conf;
	struct server *server = ep->impl;

	if (handshake_start(&server->handshakes, ep->conf->tls, fd, NULL, peer,
		conf->tls.handshake_timeout) < 0)
		return false;
	server_hangup(ep);
	return true;
}

static bool
on_client(void *arg, int fd, const char *peer)
{
	struct endpoint *ep = arg;
	struct link *link;

	if (ep->conf->tls != NULL)
		return start_handshake(ep, fd, peer);
	if ((link = endpoint_add_link(ep, fd, peer)) == NULL)
		return false;
	link_keep(link, fd);
	client_joined(ep, link);
	return true;
}

static void
set_keepalive(struct endpoint *ep)
{
	const struct server_conf *conf = ep->conf->type_conf;
	struct link *link;

	TAILQ_FOREACH(link, &ep->links, entry)
		link_keepalive(link, conf->tcp.keepalive);
}

static void
server_close(struct endpoint *ep)
{
	struct server *server = ep->impl;

	if (server == NULL)
		return;
	ep->impl = NULL;
	ep->permission = NULL;
	ep->handshakes = NULL;
	handshakes_cancel(&server->handshakes);
	idle_watch_stop(&server->idle);
	listener_free(server->listener);
	networks_free(server->allow);
	rfc2217_free(server->rfc2217);
	free(server);
}

static void
init_handshakes(struct endpoint *ep)
{
	struct server *server = ep->impl;

	handshakes_init(&server->handshakes);
	server->handshakes.base = ep->base;
	server->handshakes.name = ep->conf->name;
	server->handshakes.done = on_handshake;
	server->handshakes.arg = ep;
	server->expires_soon = tls_expires_soon(ep->conf->tls);
	if (ep->conf->tls != NULL)
		ep->handshakes = &server->handshakes;
}

static int
server_open(struct endpoint *ep)
{
	const struct server_conf *conf = ep->conf->type_conf;
	struct server *server = calloc(1, sizeof(*server));
	char keep[KEEP_NAME_MAX];
	struct listener_conf lc = {
		.name = ep->conf->name,
		.keep = keep,
		.about = ABOUT_ENDPOINT,
		.max_clients = (unsigned)conf->max_clients,
		.mode = conf->mode != 0 ? (int)conf->mode : -1,
		.group = conf->group,
		.make_room = make_room,
	};
	int r;

	if (server == NULL)
		return -ENOMEM;
	ep->impl = server;
	ep->permission = &server->permission;
	init_handshakes(ep);
	snprintf(ep->address, sizeof(ep->address), "%s", conf->listen);
	r = address_parse(conf->listen, &lc.address, &ep->error);
	if (r == 0 && conf->allow != NULL)
		r = networks_parse(conf->allow, &server->allow, &ep->error);
	if (r == 0 && conf->tcp.protocol != PROTOCOL_RAW)
		r = rfc2217_new(ep, &conf->rfc2217,
		    conf->tcp.protocol == PROTOCOL_RFC2217, &server->rfc2217);
	lc.allow = server->allow;
	lc.refused = &ep->refused;
	endpoint_keep_name(ep, " listener", keep, sizeof(keep));
	if (r == 0)
		r = listener_new(ep->base, &lc, on_client, ep,
		    &server->listener, &ep->error);
	if (r == 0)
		r = idle_watch_start(&server->idle, ep, conf->idle_timeout);
	if (r < 0)
		return r;
	snprintf(ep->address, sizeof(ep->address), "%s",
	    listener_address(server->listener));
	ep->link.adopted = listener_adopted(server->listener);
	endpoint_listening(ep);
	endpoint_take_links(ep);
	set_keepalive(ep);
	if (ep->nlinks > 0)
		idle_watch_link(&server->idle);
	server_hangup(ep);
	return 0;
}

static int
server_attach(struct link *link)
{
	struct server *server = link->endpoint->impl;

	return server->rfc2217 != NULL ? rfc2217_attach(server->rfc2217, link)
				       : 0;
}

static bool
server_needs_line(const struct endpoint_conf *conf)
{
	const struct server_conf *server = conf->type_conf;

	return server->tcp.protocol == PROTOCOL_RFC2217;
}

/* --- changes while it is open -------------------------------------------- */

static int
apply_keepalive(struct endpoint *ep, struct server *server)
{
	(void)server;
	set_keepalive(ep);
	return 0;
}

static int
apply_idle_timeout(struct endpoint *ep, struct server *server)
{
	const struct server_conf *conf = ep->conf->type_conf;
	int r;

	idle_watch_stop(&server->idle);
	r = idle_watch_start(&server->idle, ep, conf->idle_timeout);
	if (r == 0 && ep->nlinks > 0)
		idle_watch_link(&server->idle);
	return r;
}

static int
apply_permission(struct endpoint *ep, struct server *server)
{
	(void)server;
	permission_change(ep);
	return 0;
}

/* Clients that are connected already stay. */
static int
apply_limits(struct endpoint *ep, struct server *server)
{
	const struct server_conf *conf = ep->conf->type_conf;
	struct networks *allow = NULL;
	int r = 0;

	if (conf->allow != NULL &&
	    (r = networks_parse(conf->allow, &allow, &ep->error)) < 0)
		return r;
	listener_set_limits(
	    server->listener, (unsigned)conf->max_clients, allow);
	networks_free(server->allow);
	server->allow = allow;
	server_hangup(ep);
	return 0;
}

static const struct {
	const char *key;
	int (*apply)(struct endpoint *, struct server *);
} changes[] = {
	{ "max_clients", apply_limits },
	{ "allow", apply_limits },
	{ "keepalive", apply_keepalive },
	{ "idle_timeout", apply_idle_timeout },
	{ "role", apply_permission },
	{ "roles", apply_permission },
	{ "writer", apply_permission },
};

static int
server_apply(struct endpoint *ep, const struct key *key)
{
	struct server *server = ep->impl;
	int r = ep->conf->ops->check(ep->conf, &ep->error);

	if (r < 0 || server == NULL || server->listener == NULL)
		return r;
	for (size_t i = 0; i < NELEM(changes); i++)
		if (strcmp(key->name, changes[i].key) == 0)
			return changes[i].apply(ep, server);
	return 0;
}

const struct endpoint_ops endpoint_tcp_server = {
	.type = "tcp-server",
	.keys = server_tcp_keys,
	.conf_size = sizeof(struct server_conf),
	.main_key = "listen",
	.several = true,
	.permission = offsetof(struct server_conf, permission),
	.check = server_tcp_check,
	.load = server_tcp_load,
	.warn = server_tcp_warn,
	.open = server_open,
	.close = server_close,
	.apply = server_apply,
	.hangup = server_hangup,
	.attach = server_attach,
	.needs_line = server_needs_line,
};

const struct endpoint_ops endpoint_unix_server = {
	.type = "unix-server",
	.keys = server_unix_keys,
	.conf_size = sizeof(struct server_conf),
	.main_key = "listen",
	.several = true,
	.permission = offsetof(struct server_conf, permission),
	.check = server_unix_check,
	.warn = server_unix_warn,
	.open = server_open,
	.close = server_close,
	.apply = server_apply,
	.hangup = server_hangup,
};
