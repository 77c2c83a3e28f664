/*
 * unix_client: unix-client, an endpoint that connects to a Unix socket.
 *
 * Connecting succeeds or fails at once: with EAGAIN if the server is too busy to accept
 * more connections, which is retried like any other failure.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "address.h"
#include "endpoint.h"

struct client_conf {
	char *connect;
};

static const struct key unix_client_keys[] = {
	{ .name = "connect",
	    .type = KEY_STRING,
	    .offset = offsetof(struct client_conf, connect),
	    .min = 1,
	    .help = "path of the socket to connect to" },
	{ .name = NULL },
};

/* Why connecting to the socket failed with e. */
static const char *
reason(const struct address *address, int e)
{
	const char *path = ((const struct sockaddr_un *)&address->ss)->sun_path;
	struct stat st;

	switch (e) {
	case EAGAIN:
		return "its server is too busy to accept connections";
	case ECONNREFUSED:
		return stat(path, &st) == 0 && !S_ISSOCK(st.st_mode)
		    ? "it is not a socket"
		    : "no program listens on it";
	case ENOENT:
		return "there is no such socket";
	case EPROTOTYPE:
		return "it is not a stream socket";
	default:
		return strerror(e);
	}
}

static int
connect_to(const struct address *address, struct error *err)
{
	int fd, e;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_fail(err, -errno, "%s", strerror(errno));
	if (connect(fd, (const struct sockaddr *)&address->ss, address->len) ==
	    0)
		return fd;
	e = errno;
	close(fd);
	return error_fail(err, -e, "%s", reason(address, e));
}

static int
client_open(struct endpoint *ep)
{
	const struct client_conf *conf = ep->conf->type_conf;
	struct address address;
	int fd, r;

	snprintf(ep->address, sizeof(ep->address), "%s", conf->connect);
	if ((r = address_parse(conf->connect, &address, &ep->error)) < 0)
		return r;
	fd = endpoint_take(ep);
	if (fd < 0) {
		if ((fd = connect_to(&address, &ep->error)) < 0)
			return fd;
		link_keep(&ep->link, fd);
	}
	return endpoint_up(ep, fd, true);
}

static void
client_close(struct endpoint *ep)
{
	(void)ep;
}

static int
client_check(struct endpoint_conf *conf, struct error *err)
{
	const struct client_conf *client = conf->type_conf;
	const char *path = client->connect;
	struct address address;
	struct error why;

	if (path == NULL)
		return error_fail(err, -EINVAL,
		    "needs 'connect', such as connect ="
		    " /run/ttybridge/bus.sock");
	if (!address_is_path(path))
		return error_fail(err, -EINVAL,
		    "'connect' is '%s', and not the path of a socket, which"
		    " starts with '/'",
		    path);
	if (address_parse(path, &address, &why) < 0)
		return error_fail(err, -EINVAL, "'connect': %s", why.text);
	return 0;
}

const struct endpoint_ops endpoint_unix_client = {
	.type = "unix-client",
	.keys = unix_client_keys,
	.conf_size = sizeof(struct client_conf),
	.main_key = "connect",
	.check = client_check,
	.open = client_open,
	.close = client_close,
};
