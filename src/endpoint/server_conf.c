/*
 * server_conf: the keys of a tcp-server's or unix-server's section.
 */
#include <errno.h>
#include <string.h>

#include "address.h"
#include "server_conf.h"

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

const struct key server_tcp_keys[] = {
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

const struct key server_unix_keys[] = {
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
	if (local && !address_is_path(conf->listen))
		return error_fail(err, -EINVAL,
		    "'listen' is '%s', and not the path of a"
		    " socket, which starts with '/'",
		    conf->listen);
	if (!local && address_is_path(conf->listen))
		return error_fail(err, -EINVAL,
		    "'listen' is the path of a Unix socket: that is a"
		    " [unix-server]");
	if ((local ? address_parse : address_parse_host_port)(
		conf->listen, ret, &why) < 0)
		return error_fail(err, -EINVAL, "'listen': %s", why.text);
	return 0;
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

int
server_tcp_check(struct endpoint_conf *conf, struct error *err)
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

int
server_tcp_load(struct endpoint_conf *conf, struct error *err)
{
	const struct server_conf *server = conf->type_conf;

	return tls_load(&server->tls, true, &conf->tls, err);
}

void
server_unix_warn(const struct endpoint_conf *conf, struct error *err)
{
	const struct server_conf *server = conf->type_conf;

	permission_warn(&server->permission, err);
}

void
server_tcp_warn(const struct endpoint_conf *conf, struct error *err)
{
	const struct server_conf *server = conf->type_conf;

	permission_warn(&server->permission, err);
	tls_warn(&server->tls, conf->tls, err);
}

int
server_unix_check(struct endpoint_conf *conf, struct error *err)
{
	struct server_conf *server = conf->type_conf;
	struct address address;
	int r = permission_check(&server->permission, err);

	return r < 0 ? r : check_listen(server, true, &address, err);
}
