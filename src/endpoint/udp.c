/*
 * udp: datagrams, each of them a frame, exchanged with the partner or with the peers
 * that have sent one recently.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "udp_peer.h"
#include "holder.h"
#include "sandbox.h"

struct udp_conf {
	char *listen;
	char *send_to;
	char *allow;
};

#define OFFSET(member) offsetof(struct udp_conf, member)

static const struct key udp_keys[] = {
	{ .name = "listen",
	    .type = KEY_STRING,
	    .offset = OFFSET(listen),
	    .names = NAMES_ADDRESS,
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

static void
udp_close(struct endpoint *ep)
{
	udp_stop(ep->impl);
	ep->impl = NULL;
}

/* Maps an IPv4 address for an IPv6 socket. */
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

static const struct sockaddr *
sa(const struct address *address)
{
	return (const struct sockaddr *)&address->ss;
}

/* "127.0.0.1:5010 -> 127.0.0.1:5011", or the one address that is given. */
static void
set_address(
    struct endpoint *ep, const struct address *from, const struct address *to)
{
	char here[ADDRESS_TEXT_MAX] = "", there[ADDRESS_TEXT_MAX] = "";

	if (from != NULL)
		address_format(sa(from), from->len, here, sizeof(here));
	if (to != NULL)
		address_format(sa(to), to->len, there, sizeof(there));
	snprintf(ep->address, sizeof(ep->address), "%.75s%s%.75s", here,
	    from != NULL && to != NULL ? " -> " : "", there);
}

/* Creates a socket.  If from is not NULL, binds it to *from and stores the resulting
 * address there. */
static int
make_socket(struct address *from, int family, struct error *err)
{
	char text[ADDRESS_TEXT_MAX] = "datagrams", why[NETWORK_ERROR_MAX];
	const int on = 1;
	int fd, r;

	fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && (from == NULL || bind(fd, sa(from), from->len) == 0)) {
		setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
		if (from != NULL)
			getsockname(
			    fd, (struct sockaddr *)&from->ss, &from->len);
		return fd;
	}
	r = -errno;
	if (fd >= 0)
		close(fd);
	if (from != NULL)
		address_format(sa(from), from->len, text, sizeof(text));
	error_set(
	    err, "cannot receive %s%s: ", from != NULL ? "on " : "", text);
	if (r == -EADDRINUSE && from != NULL) {
		error_append(err, "in use, ");
		holder_of_port(true, address_port(sa(from)), err);
	} else
		error_append(err, "%s", network_error(-r, why, sizeof(why)));
	return r;
}

static int
udp_open(struct endpoint *ep)
{
	const struct udp_conf *conf = ep->conf->type_conf;
	struct address from_, to_, *from = NULL, *to = NULL;
	struct networks *allow = NULL;
	struct error *err = &ep->error;
	int fd, r = 0;

	if (conf->listen != NULL &&
	    (r = address_parse(conf->listen, from = &from_, err)) < 0)
		return r;
	if (conf->send_to != NULL &&
	    (r = address_parse(conf->send_to, to = &to_, err)) < 0)
		return r;
	set_address(ep, from, to);
	if (from != NULL && to != NULL && from->ss.ss_family == AF_INET6 &&
	    to->ss.ss_family == AF_INET)
		map_address(to);
	if (conf->allow != NULL &&
	    (r = networks_parse(conf->allow, &allow, err)) < 0)
		return r;
	fd = make_socket(from, (from != NULL ? from : to)->ss.ss_family, err);
	if (fd < 0) {
		networks_free(allow);
		return fd;
	}
	set_address(ep, from, to);
	ep->impl = udp_new(ep, fd, from != NULL, allow);
	return ep->impl == NULL ? -ENOMEM : udp_start(ep->impl, to);
}

/* --- check --------------------------------------------------------------- */

static int
check_address(
    const char *key, const char *value, struct address *ret, struct error *err)
{
	struct error why;

	memset(ret, 0, sizeof(*ret));
	if (value == NULL)
		return 0;
	if (address_parse(value, ret, &why) < 0)
		return error_fail(err, -EINVAL, "'%s': %s", key, why.text);
	if (ret->ss.ss_family != AF_UNIX)
		return 0;
	return error_fail(
	    err, -EINVAL, "'%s' is a path, and not HOST:PORT", key);
}

/* Checks whether datagrams can be sent from the one address to the other. */
static int
check_way(
    const struct address *from, const struct address *to, struct error *err)
{
	if (from->ss.ss_family == AF_INET && to->ss.ss_family == AF_INET6)
		return error_fail(err, -EINVAL,
		    "'send_to' is an IPv6 address, and 'listen'"
		    " is not");
	if (address_is_loopback((const struct sockaddr *)&from->ss) &&
	    !address_is_loopback((const struct sockaddr *)&to->ss))
		return error_fail(err, -EINVAL,
		    "'send_to' is beyond this machine, and"
		    " cannot be reached from 'listen'");
	return 0;
}

static int
udp_check(struct endpoint_conf *conf, struct error *err)
{
	const struct udp_conf *udp = conf->type_conf;
	struct networks *allow = NULL;
	struct address from, to;
	struct error why;
	int r;

	if (udp->listen == NULL && udp->send_to == NULL)
		return error_fail(
		    err, -EINVAL, "needs 'listen' or 'send_to', or both");
	if ((r = check_address("listen", udp->listen, &from, err)) < 0 ||
	    (r = check_address("send_to", udp->send_to, &to, err)) < 0)
		return r;
	if (udp->listen != NULL && udp->send_to != NULL &&
	    (r = check_way(&from, &to, err)) < 0)
		return r;
	if (udp->allow != NULL && networks_parse(udp->allow, &allow, &why) < 0)
		return error_fail(err, -EINVAL, "'allow': %s", why.text);
	networks_free(allow);
	if (udp->listen == NULL || udp->send_to != NULL || udp->allow != NULL ||
	    address_is_loopback((struct sockaddr *)&from.ss))
		return 0;
	return error_fail(err, -EINVAL,
	    "listen = %s is open to the network: 'allow' must say to whom"
	    " (allow = 192.168.1.0/24)",
	    udp->listen);
}

const struct endpoint_ops endpoint_udp = {
	.type = "udp",
	.keys = udp_keys,
	.conf_size = sizeof(struct udp_conf),
	.main_key = "listen",
	.several = true,
	.datagram = UDP_SEND_MAX,
	.check = udp_check,
	.open = udp_open,
	.close = udp_close,
};
