/*
 * server: tcp-server and unix-server, endpoints with a link for each connection.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint.h"
#include "handshake.h"
#include "idle.h"
#include "link.h"
#include "listener.h"
#include "permission.h"
#include "rfc2217_server.h"
#include "tcp_conf.h"
#include "tls_link.h"

struct server_conf {
	char *listen;
	uint64_t max_clients;
	char *greeting;
	uint64_t idle_timeout; /* ns, 0: none */
	struct permission_conf permission;
	/* tcp-server */
	char *allow;
	struct tcp_conf tcp;
	struct rfc2217_conf rfc2217;
	struct tls_conf tls;
	/* unix-server */
	uint64_t mode; /* 0: not given */
	char *group;
};

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

#define OFFSET(member) offsetof(struct server_conf, member)

#define SERVER_KEY_MAX_CLIENTS                                           \
	{                                                                \
		.name = "max_clients", .type = KEY_NUMBER,               \
		.offset = OFFSET(max_clients), .def = "16", .min = 1,    \
		.max = 100000, .in_place = true,                         \
		.help = "connections at a time; more are closed at once" \
	}

#define SERVER_KEY_GREETING                                                   \
	{                                                                     \
		.name = "greeting", .type = KEY_TEXT,                         \
		.offset = OFFSET(greeting), .names = NAMES_OPENING,           \
		.in_place = true,                                             \
		.help =                                                       \
		    "sent to each new client before all else, with C escapes" \
	}

#define SERVER_KEY_IDLE_TIMEOUT                                              \
	{                                                                    \
		.name = "idle_timeout", .type = KEY_TIME,                    \
		.offset = OFFSET(idle_timeout), .def = "none",               \
		.in_place = true,                                            \
		.help = "a client that neither sends nor receives for that " \
			"long is closed"                                     \
	}

static const struct key tcp_server_keys[] = {
	{ .name = "listen",
	    .type = KEY_STRING,
	    .offset = OFFSET(listen),
	    .names = NAMES_ADDRESS,
	    .min = 1,
	    .help = "HOST:PORT where it listens" },
	SERVER_KEY_MAX_CLIENTS,
	{ .name = "allow",
	    .type = KEY_STRING,
	    .offset = OFFSET(allow),
	    .in_place = true,
	    .help = "networks that may connect, besides this machine" },
	TCP_KEY_PROTOCOL(struct server_conf),
	{ .name = "line",
	    .type = KEY_STRING,
	    .offset = OFFSET(rfc2217.line),
	    .names = NAMES_LINE,
	    .min = 1,
	    .help = "the serial endpoint that clients control; by default the"
		    " only one that its routes lead to" },
	{ .name = "rfc2217_deny",
	    .type = KEY_CUSTOM,
	    .offset = OFFSET(rfc2217.deny),
	    .parse = rfc2217_deny_parse,
	    .print = rfc2217_deny_print,
	    .help = "what clients may not change: baud, mode, flow, dtr, rts,"
		    " break, purge" },
	{ .name = "modem_poll",
	    .type = KEY_TIME,
	    .offset = OFFSET(rfc2217.modem_poll),
	    .def = "20ms",
	    .min = NSEC_PER_MSEC,
	    .max = 10 * NSEC_PER_SEC,
	    .help = "how often modem lines are looked at, for clients that"
		    " are told of changes" },
	TCP_KEY_KEEPALIVE(struct server_conf),
	PERMISSION_KEY_ROLE(struct server_conf),
	PERMISSION_KEY_ROLES(struct server_conf),
	PERMISSION_KEY_WRITER(struct server_conf),
	PERMISSION_KEY_LEASE_TIME(struct server_conf),
	PERMISSION_KEY_TAKEOVER(struct server_conf),
	TLS_KEY_ON(struct server_conf),
	TLS_KEY_CERT(struct server_conf),
	TLS_KEY_KEY(struct server_conf),
	TLS_KEY_CA_SERVER(struct server_conf),
	TLS_KEY_TIMEOUT(struct server_conf),
	SERVER_KEY_IDLE_TIMEOUT,
	SERVER_KEY_GREETING,
	{ .name = NULL },
};

static const struct key unix_server_keys[] = {
	{ .name = "listen",
	    .type = KEY_STRING,
	    .offset = OFFSET(listen),
	    .names = NAMES_ADDRESS,
	    .min = 1,
	    .help = "path of the socket" },
	SERVER_KEY_MAX_CLIENTS,
	{ .name = "mode",
	    .type = KEY_MODE,
	    .offset = OFFSET(mode),
	    .help = "permissions of the socket" },
	{ .name = "group",
	    .type = KEY_STRING,
	    .offset = OFFSET(group),
	    .names = NAMES_GROUP,
	    .help = "group of the socket" },
	PERMISSION_KEY_ROLE(struct server_conf),
	PERMISSION_KEY_WRITER(struct server_conf),
	PERMISSION_KEY_LEASE_TIME(struct server_conf),
	PERMISSION_KEY_TAKEOVER(struct server_conf),
	SERVER_KEY_IDLE_TIMEOUT,
	SERVER_KEY_GREETING,
	{ .name = NULL },
};

/*
 * The connections that count against max_clients.  Half-closed ones, which only receive
 * their queued frames, do not, unless there are more than max_clients of them; so there are never more than twice max_clients connections.
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

/* Its role follows from its certificate. */
static int
identify(struct link *link)
{
	const struct tls_session *session = link_tls(link);
	struct certificate c = { .cn = NULL };

	if (session == NULL)
		return 0;
	c.cn = session->common_name;
	c.dns = (const char *const *)session->dns_names;
	c.ndns = session->ndns;
	c.version = session->version;
	return link_set_certificate(link, &c);
}

static int
server_attach(struct link *link)
{
	struct server *server = link->endpoint->impl;
	int r;

	if ((r = identify(link)) < 0)
		return r;
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

/* --- check --------------------------------------------------------------- */

/* Parses 'listen': a path when the server is local, otherwise HOST:PORT. */
static int
check_listen(const struct server_conf *conf, bool local, struct address *ret,
    struct error *err)
{
	struct error why;

	if (conf->listen == NULL)
		return error_fail(err, -EINVAL,
		    "needs 'listen', such as listen = %s",
		    local ? "/run/ttybridge/bus.sock" : "127.0.0.1:5011");
	if (local && *conf->listen != '/' &&
	    strncmp(conf->listen, "unix:", 5) != 0)
		return error_fail(err, -EINVAL,
		    "'listen' is '%s', and not the path of a"
		    " socket, which starts with '/'",
		    conf->listen);
	if (address_parse(conf->listen, ret, &why) < 0)
		return error_fail(err, -EINVAL, "'listen': %s", why.text);
	if (local || ret->ss.ss_family != AF_UNIX)
		return 0;
	return error_fail(err, -EINVAL,
	    "'listen' is the path of a Unix socket: that is a"
	    " [unix-server]");
}

/* Keys that have no effect with the protocol. */
static int
check_protocol(const struct server_conf *server, struct error *err)
{
	if (server->tcp.protocol == PROTOCOL_RAW &&
	    server->rfc2217.line != NULL)
		return error_fail(err, -EINVAL,
		    "'line' has no effect with protocol = raw; protocol ="
		    " rfc2217 lets clients control it");
	if (server->tcp.protocol != PROTOCOL_RFC2217 &&
	    server->rfc2217.deny != 0)
		return error_fail(err, -EINVAL,
		    "'rfc2217_deny' has no effect without protocol = rfc2217");
	return 0;
}

static int
tcp_check(struct endpoint_conf *conf, struct error *err)
{
	struct server_conf *server = conf->type_conf;
	struct address address;
	struct networks *allow = NULL;
	struct error why;
	int r;

	if ((r = permission_check(&server->permission, err)) < 0 ||
	    (r = check_listen(server, false, &address, err)) < 0)
		return r;
	if (server->allow != NULL &&
	    (r = networks_parse(server->allow, &allow, &why)) < 0)
		return error_fail(err, r, "'allow': %s", why.text);
	networks_free(allow);
	if ((r = check_protocol(server, err)) < 0 ||
	    (r = tls_check(&server->tls, true, err)) < 0)
		return r;
	if (server->permission.roles != NULL && server->tls.ca == NULL)
		return error_fail(err, -EINVAL,
		    "'roles' needs 'tls_ca', because it names certificates of"
		    " clients");
	if (address_is_loopback((struct sockaddr *)&address.ss) ||
	    server->allow != NULL)
		return 0;
	return error_fail(err, -EINVAL,
	    "listen = %s is open to the network: 'allow' must"
	    " say to whom (allow = 192.168.1.0/24)",
	    server->listen);
}

static int
tcp_load(struct endpoint_conf *conf, struct error *err)
{
	const struct server_conf *server = conf->type_conf;

	return tls_load(&server->tls, true, &conf->tls, err);
}

static void
unix_warn(const struct endpoint_conf *conf, struct error *err)
{
	const struct server_conf *server = conf->type_conf;

	permission_warn(&server->permission, err);
}

static void
tcp_warn(const struct endpoint_conf *conf, struct error *err)
{
	const struct server_conf *server = conf->type_conf;

	permission_warn(&server->permission, err);
	tls_warn(&server->tls, conf->tls, err);
}

static int
unix_check(struct endpoint_conf *conf, struct error *err)
{
	struct server_conf *server = conf->type_conf;
	struct address address;
	int r = permission_check(&server->permission, err);

	return r < 0 ? r : check_listen(server, true, &address, err);
}

const struct endpoint_ops endpoint_tcp_server = {
	.type = "tcp-server",
	.keys = tcp_server_keys,
	.conf_size = sizeof(struct server_conf),
	.main_key = "listen",
	.several = true,
	.permission = OFFSET(permission),
	.check = tcp_check,
	.load = tcp_load,
	.warn = tcp_warn,
	.open = server_open,
	.close = server_close,
	.apply = server_apply,
	.hangup = server_hangup,
	.attach = server_attach,
	.needs_line = server_needs_line,
};

const struct endpoint_ops endpoint_unix_server = {
	.type = "unix-server",
	.keys = unix_server_keys,
	.conf_size = sizeof(struct server_conf),
	.main_key = "listen",
	.several = true,
	.permission = OFFSET(permission),
	.check = unix_check,
	.warn = unix_warn,
	.open = server_open,
	.close = server_close,
	.apply = server_apply,
	.hangup = server_hangup,
};
