/*
 * tcp_client: tcp-client, an endpoint that connects.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "connector.h"
#include "endpoint.h"
#include "tcp_conf.h"
#include "telnet_filter.h"

struct client_conf {
	char *connect;
	uint64_t connect_timeout; /* ns */
	struct tcp_conf tcp;
	char *on_open, *on_close;
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
	ENDPOINT_KEY_ON_OPEN(struct client_conf),
	ENDPOINT_KEY_ON_CLOSE(struct client_conf),
	{ .name = NULL },
};

static void
on_connected(void *arg, int fd, const char *why)
{
	struct endpoint *ep = arg;
	const struct client_conf *conf = ep->conf->type_conf;

	if (fd < 0) {
		endpoint_lost(ep, why);
		return;
	}
	link_keep(&ep->link, fd);
	if (endpoint_up(ep, fd, true) < 0) {
		close(fd);
		endpoint_lost(ep, "out of memory");
	} else
		link_keepalive(&ep->link, conf->tcp.keepalive);
}

static void
client_close(struct endpoint *ep)
{
	struct connector *c = ep->impl;

	if (c == NULL)
		return;
	ep->impl = NULL;
	connector_cancel(c);
	free(c);
}

static int
client_open(struct endpoint *ep)
{
	const struct client_conf *conf = ep->conf->type_conf;
	struct connector *c = ep->impl;
	int fd, r;

	snprintf(ep->address, sizeof(ep->address), "%s", conf->connect);
	if ((fd = endpoint_take(ep)) >= 0) {
		on_connected(ep, fd, NULL);
		return 0;
	}
	if (c == NULL && (c = calloc(1, sizeof(*c))) == NULL)
		return -ENOMEM;
	ep->impl = c;
	c->base = ep->base;
	c->name = ep->conf->name;
	c->address = conf->connect;
	c->timeout_ns = conf->connect_timeout;
	c->done = on_connected;
	c->arg = ep;
	if ((r = connector_start(c)) == -EAGAIN)
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
client_check(struct endpoint_conf *conf, struct error *err)
{
	const struct client_conf *client = conf->type_conf;

	if (client->connect == NULL)
		return error_fail(
		    err, -EINVAL, "'connect = HOST:PORT' is missing");
	if (client->tcp.protocol == PROTOCOL_RFC2217)
		return error_fail(err, -EINVAL,
		    "protocol = rfc2217 is that of a server; a port of another"
		    " machine is a [serial] with device = rfc2217://%s",
		    client->connect);
	if (connector_is_address(client->connect))
		return 0;
	return error_fail(err, -EINVAL,
	    "'connect' is '%s', and not HOST:PORT, such as"
	    " 192.168.1.7:5011",
	    client->connect);
}

const struct endpoint_ops endpoint_tcp_client = {
	.type = "tcp-client",
	.keys = tcp_client_keys,
	.conf_size = sizeof(struct client_conf),
	.main_key = "connect",
	.check = client_check,
	.open = client_open,
	.close = client_close,
	.attach = client_attach,
};
