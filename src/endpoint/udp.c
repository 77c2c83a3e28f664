/*
 * udp: datagrams, exchanged with the partners and with the peers that have sent one
 * recently.  Each frame is sent as a datagram.
 *
 * An endpoint that joins groups shares the port of 'listen' with other programs, so that
 * all of them receive what is sent to the groups.  A datagram to this machine alone reaches
 * only one of the programs that share a port.  Such an endpoint therefore sends from a
 * second socket, whose port is its own: answers to it arrive.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "holder.h"
#include "sandbox.h"
#include "udp_conf.h"
#include "udp_group.h"
#include "udp_socket.h"

/* --- opening ------------------------------------------------------------- */

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

/* "127.0.0.1:5010 -> 127.0.0.1:5011", or one side of that. */
static void
set_address(struct endpoint *ep, const struct addresses *a)
{
	char here[ADDRESS_TEXT_MAX] = "", there[ADDRESS_TEXT_MAX] = "";
	char more[24] = "";

	if (family(&a->listen) != AF_UNSPEC)
		address_format(
		    sa(&a->listen), a->listen.len, here, sizeof(here));
	if (a->to.n > 0)
		address_format(
		    sa(&a->to.at[0]), a->to.at[0].len, there, sizeof(there));
	if (a->to.n > 1)
		snprintf(more, sizeof(more), " and %u more", a->to.n - 1);
	snprintf(ep->address, sizeof(ep->address), "%.60s%s%.60s%s", here,
	    *here != '\0' && *there != '\0' ? " -> " : "", there, more);
}

/* The family of the sockets: one of IPv6 exchanges datagrams of IPv4, too. */
static int
socket_family(const struct addresses *a)
{
	if (family(&a->listen) != AF_UNSPEC)
		return family(&a->listen);
	for (unsigned i = 0; i < a->to.n; i++)
		if (family(&a->to.at[i]) == AF_INET6)
			return AF_INET6;
	return AF_INET;
}

static void
cannot_receive(const struct address *from, int e, struct error *err)
{
	char text[ADDRESS_TEXT_MAX] = "datagrams", why[NETWORK_ERROR_MAX];

	if (from != NULL)
		address_format(sa(from), from->len, text, sizeof(text));
	error_set(
	    err, "cannot receive %s%s: ", from != NULL ? "on " : "", text);
	if (e == EADDRINUSE && from != NULL) {
		error_append(err, "in use, ");
		holder_of_port(true, address_port(sa(from)), err);
	} else {
		error_append(err, "%s", network_error(e, why, sizeof(why)));
		if (from != NULL)
			sandbox_append_bind_hint(err, e);
	}
}

/* Creates a socket.  If from is not NULL, binds it to *from and stores the resulting
 * address there.  shared: others may be bound to the same port. */
static int
make_socket(struct address *from, int domain, bool shared, struct error *err)
{
	const int on = 1;
	int fd, r;

	fd = socket(domain, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && shared)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
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
	cannot_receive(from, -r, err);
	return r;
}

/* Creates the socket that is sent from, where the port of 'listen' is shared. */
static int
make_sender(int domain, struct error *err)
{
	struct address any = { .ss.ss_family = (sa_family_t)domain,
		.len = domain == AF_INET ? sizeof(struct sockaddr_in)
					 : sizeof(struct sockaddr_in6) };

	return make_socket(&any, domain, false, err);
}

static struct group_conf
group_conf(const struct udp_conf *conf)
{
	return (struct group_conf){ .interface = conf->interface,
		.ttl = (int)conf->ttl,
		.loopback = conf->loopback };
}

/* Opens the sockets into fds, which the caller closes also on failure. */
static int
make_sockets(const struct udp_conf *conf, struct addresses *a, int fds[2],
    struct error *err)
{
	const struct group_conf gc = group_conf(conf);
	bool listens = family(&a->listen) != AF_UNSPEC;
	int domain = socket_family(a), r = 0;

	fds[0] = make_socket(
	    listens ? &a->listen : NULL, domain, a->groups.n > 0, err);
	if (fds[0] < 0)
		return fds[0];
	for (unsigned i = 0; r == 0 && i < a->groups.n; i++)
		r = group_join(fds[0], &a->groups.at[i], &gc, err);
	if (r == 0 && a->groups.n > 0 &&
	    (fds[1] = make_sender(domain, err)) < 0)
		return fds[1];
	return r < 0
	    ? r
	    : group_sends(fds[1] >= 0 ? fds[1] : fds[0], domain, &gc, err);
}

static int
set_partners(struct endpoint *ep, struct addresses *a)
{
	for (unsigned i = 0; i < a->to.n; i++)
		if (family(&a->to.at[i]) != socket_family(a))
			map_address(&a->to.at[i]);
	return udp_set_partners(ep->impl, a->to.at, a->to.n);
}

static int
udp_open(struct endpoint *ep)
{
	const struct udp_conf *conf = ep->conf->type_conf;
	struct udp_setup setup = { .fds = { -1, -1 } };
	struct addresses a;
	struct error *err = &ep->error;
	int r;

	if ((r = udp_addresses(conf, &a, err)) < 0)
		return r;
	set_address(ep, &a);
	if ((conf->allow != NULL &&
		(r = networks_parse(conf->allow, &setup.allow, err)) < 0) ||
	    (r = make_sockets(conf, &a, setup.fds, err)) < 0) {
		udp_setup_free(&setup);
		return r;
	}
	set_address(ep, &a);
	setup.listens = conf->listen != NULL;
	ep->impl = udp_new(ep, &setup);
	if (ep->impl == NULL)
		return -ENOMEM;
	if ((r = udp_start(ep->impl)) < 0)
		return r;
	return set_partners(ep, &a);
}

/* --- changes while it is open -------------------------------------------- */

/* The family of the sockets that are open. */
static int
open_family(const struct udp *udp)
{
	struct address own = { .len = sizeof(own.ss) };

	getsockname(udp_socket(udp), (struct sockaddr *)&own.ss, &own.len);
	return family(&own);
}

static int
apply_send_to(struct endpoint *ep, const struct udp_conf *conf)
{
	struct addresses a;
	int r;

	if ((r = udp_addresses(conf, &a, &ep->error)) < 0)
		return r;
	if (socket_family(&a) != open_family(ep->impl))
		return error_fail(&ep->error, -EAFNOSUPPORT,
		    "'send_to' cannot change between IPv4 and IPv6 while it"
		    " runs; change the file and reload");
	set_address(ep, &a);
	return set_partners(ep, &a);
}

static int
apply_allow(struct endpoint *ep, const struct udp_conf *conf)
{
	struct networks *allow = NULL;
	int r = 0;

	if (conf->allow != NULL)
		r = networks_parse(conf->allow, &allow, &ep->error);
	if (r == 0)
		udp_set_allow(ep->impl, allow);
	return r;
}

static int
apply_group(struct endpoint *ep, const struct udp_conf *conf)
{
	const struct group_conf gc = group_conf(conf);

	return group_sends(
	    udp_socket(ep->impl), open_family(ep->impl), &gc, &ep->error);
}

static const struct {
	const char *key;
	int (*apply)(struct endpoint *, const struct udp_conf *);
} changes[] = {
	{ "send_to", apply_send_to },
	{ "allow", apply_allow },
	{ "ttl", apply_group },
	{ "loopback", apply_group },
};

static int
udp_apply(struct endpoint *ep, const struct key *key)
{
	int r = udp_check(ep->conf, &ep->error);

	if (r < 0 || ep->impl == NULL)
		return r;
	for (size_t i = 0; i < NELEM(changes); i++)
		if (strcmp(key->name, changes[i].key) == 0)
			return changes[i].apply(ep, ep->conf->type_conf);
	return 0;
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
	.apply = udp_apply,
};
