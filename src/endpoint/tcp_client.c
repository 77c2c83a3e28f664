/*
 * tcp_client: tcp-client, an endpoint that connects.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "connector.h"
#include "endpoint.h"
#include "handshake.h"
#include "tcp_conf.h"
#include "telnet_filter.h"
#include "tls_link.h"

struct client_conf {
	char *connect;
	uint64_t connect_timeout; /* ns */
	struct tcp_conf tcp;
	struct tls_conf tls;
	char *on_open, *on_close;
};

struct client {
	struct connector connector;
	struct handshakes handshakes; /* at most one */
};

#define OFFSET(member) offsetof(struct client_conf, member)

static const struct key tcp_client_keys[] = {
	{ .name = "connect",
	    .type = KEY_STRING,
	    .offset = OFFSET(connect),
	    .min = 1,
	    .help = "HOST:PORT to connect to" },
	TCP_KEY_PROTOCOL(struct client_conf),
	TCP_KEY_KEEPALIVE(struct client_conf),
	TCP_KEY_CONNECT_TIMEOUT(struct client_conf),
	TLS_KEY_ON(struct client_conf),
	TLS_KEY_CA_CLIENT(struct client_conf),
	TLS_KEY_NAME(struct client_conf),
	TLS_KEY_VERIFY(struct client_conf),
	TLS_KEY_CERT(struct client_conf),
	TLS_KEY_KEY(struct client_conf),
	TLS_KEY_TIMEOUT(struct client_conf),
	ENDPOINT_KEY_ON_OPEN(struct client_conf),
	ENDPOINT_KEY_ON_CLOSE(struct client_conf),
	{ .name = NULL },
};

/* The connection is ready for use; session: it has TLS. */
static void
opened(struct endpoint *ep, int fd, struct tls_session *session)
{
	const struct client_conf *conf = ep->conf->type_conf;
	int r;

	if (session != NULL)
		r = endpoint_up_tls(ep, session);
	else {
		link_keep(&ep->link, fd);
		r = endpoint_up(ep, fd, true);
	}
	if (r < 0)
		endpoint_lost(ep, "out of memory");
	else
		link_keepalive(&ep->link, conf->tcp.keepalive);
}

static void
on_handshake(
    void *arg, struct tls_session *session, const char *peer, const char *why)
{
	struct endpoint *ep = arg;
	struct error err;

	(void)peer;
	if (session != NULL) {
		opened(ep, session->fd, session);
		return;
	}
	ep->tls_failed++;
	error_set(&err, "TLS handshake failed: %s", why);
	endpoint_lost(ep, err.text);
}

static void
start_handshake(struct endpoint *ep, int fd)
{
	const struct client_conf *conf = ep->conf->type_conf;
	struct client *client = ep->impl;
	char host[CONNECTOR_HOST_MAX];
	const char *name = conf->tls.name, *port;

	if (name == NULL &&
	    connector_split(conf->connect, host, sizeof(host), &port) == 0)
		name = host;
	if (handshake_start(&client->handshakes, ep->conf->tls, fd, name,
		ep->address, conf->tls.handshake_timeout) < 0)
		endpoint_lost(ep, "out of memory");
}

static void
on_connected(void *arg, int fd, const char *why)
{
	struct endpoint *ep = arg;

	if (fd < 0)
		endpoint_lost(ep, why);
	else if (ep->conf->tls != NULL)
		start_handshake(ep, fd);
	else
		opened(ep, fd, NULL);
}

static void
client_close(struct endpoint *ep)
{
	struct client *client = ep->impl;

	if (client == NULL)
		return;
	ep->impl = NULL;
	ep->handshakes = NULL;
	connector_cancel(&client->connector);
	handshakes_cancel(&client->handshakes);
	free(client);
}

static struct client *
client_new(struct endpoint *ep)
{
	const struct client_conf *conf = ep->conf->type_conf;
	struct client *client = calloc(1, sizeof(*client));

	if (client == NULL)
		return NULL;
	client->connector.base = ep->base;
	client->connector.name = ep->conf->name;
	client->connector.address = conf->connect;
	client->connector.timeout_ns = conf->connect_timeout;
	client->connector.done = on_connected;
	client->connector.arg = ep;
	handshakes_init(&client->handshakes);
	client->handshakes.base = ep->base;
	client->handshakes.name = ep->conf->name;
	client->handshakes.done = on_handshake;
	client->handshakes.arg = ep;
	return client;
}

static int
client_open(struct endpoint *ep)
{
	const struct client_conf *conf = ep->conf->type_conf;
	struct client *client = ep->impl;
	int fd, r;

	snprintf(ep->address, sizeof(ep->address), "%s", conf->connect);
	if ((fd = endpoint_take(ep)) >= 0) {
		opened(ep, fd, NULL);
		return 0;
	}
	if (client == NULL && (client = client_new(ep)) == NULL)
		return -ENOMEM;
	ep->impl = client;
	if (ep->conf->tls != NULL)
		ep->handshakes = &client->handshakes;
	if ((r = connector_start(&client->connector)) == -EAGAIN)
		error_set(&ep->error, "too many names are being looked up");
	return r;
}

static int
client_attach(struct link *link)
{
	const struct client_conf *conf = link->endpoint->conf->type_conf;
	struct telnet_filter *filter;

	if (conf->tcp.protocol != PROTOCOL_TELNET)
		return 0;
	if ((filter = calloc(1, sizeof(*filter))) == NULL)
		return -ENOMEM;
	telnet_attach(link, filter, &telnet_client);
	return 0;
}

static int
client_apply(struct endpoint *ep, const struct key *key)
{
	const struct client_conf *conf = ep->conf->type_conf;

	if (strcmp(key->name, "keepalive") == 0)
		link_keepalive(&ep->link, conf->tcp.keepalive);
	return 0;
}

static int
client_check(struct endpoint_conf *conf, struct error *err)
{
	const struct client_conf *client = conf->type_conf;

	if (client->connect == NULL)
		return error_fail(err, -EINVAL,
		    "needs 'connect', such as connect = 192.168.1.7:5011");
	if (client->tcp.protocol == PROTOCOL_RFC2217)
		return error_fail(err, -EINVAL,
		    "protocol = rfc2217 is that of a server; a port of another"
		    " machine is a [serial] with device = rfc2217://%s",
		    client->connect);
	if (connector_is_address(client->connect))
		return tls_check(&client->tls, false, err);
	return error_fail(err, -EINVAL,
	    "'connect' is '%s', and not HOST:PORT, such as"
	    " 192.168.1.7:5011",
	    client->connect);
}

static int
client_load(struct endpoint_conf *conf, struct error *err)
{
	const struct client_conf *client = conf->type_conf;

	return tls_load(&client->tls, false, &conf->tls, err);
}

static void
client_warn(const struct endpoint_conf *conf, struct error *err)
{
	const struct client_conf *client = conf->type_conf;

	tls_warn(&client->tls, conf->tls, err);
}

const struct endpoint_ops endpoint_tcp_client = {
	.type = "tcp-client",
	.keys = tcp_client_keys,
	.conf_size = sizeof(struct client_conf),
	.main_key = "connect",
	.check = client_check,
	.load = client_load,
	.warn = client_warn,
	.open = client_open,
	.close = client_close,
	.apply = client_apply,
	.attach = client_attach,
};
