/*
 * udp: datagrams, exchanged with the partners and with the peers that have sent one
 * recently.  Each frame is sent as a datagram.
 *
 * An endpoint that joins groups shares the port of 'listen' with other programs, so that
 * all of them receive what is sent to the groups.  A datagram to this machine alone reaches
 * only one of the programs that share a port.  Such an endpoint therefore sends from a
 * second socket, whose port is its own: answers to it arrive.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "udp_group.h"
#include "udp_socket.h"
#include "holder.h"
#include "sandbox.h"

/* The maximum number of addresses in 'send_to', and of groups. */
#define TARGETS_MAX 16

struct udp_conf {
	char *listen;
	char *send_to;
	char *allow;
	char *multicast;
	char *interface;
	uint64_t ttl;
	bool loopback;
	bool ttl_given, loopback_given;
	int datagram; /* index into datagram_words */
	bool datagram_given;
};

/* The addresses in a section. */
struct targets {
	struct address at[TARGETS_MAX];
	unsigned n;
};

struct addresses {
	struct address listen; /* AF_UNSPEC: not given */
	struct targets to, groups;
};

#define OFFSET(member) offsetof(struct udp_conf, member)

static const char *const datagram_words[] = {
	"frame",
	"stream",
	NULL,
};

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
	    .in_place = true,
	    .min = 1,
	    .help = "HOST:PORT, or several, that frames are sent to" },
	{ .name = "allow",
	    .type = KEY_STRING,
	    .offset = OFFSET(allow),
	    .in_place = true,
	    .help = "networks that may send, besides this machine" },
	{ .name = "multicast",
	    .type = KEY_STRING,
	    .offset = OFFSET(multicast),
	    .min = 1,
	    .help = "groups whose datagrams to the port of 'listen' are"
		    " received" },
	{ .name = "interface",
	    .type = KEY_STRING,
	    .offset = OFFSET(interface),
	    .min = 1,
	    .help = "name or IPv4 address of the interface for groups" },
	{ .name = "ttl",
	    .type = KEY_NUMBER,
	    .offset = OFFSET(ttl),
	    .in_place = true,
	    .def = "1",
	    .max = 255,
	    .given = OFFSET(ttl_given),
	    .help = "routers that a datagram to a group may pass, and one" },
	{ .name = "loopback",
	    .type = KEY_BOOL,
	    .offset = OFFSET(loopback),
	    .in_place = true,
	    .def = "yes",
	    .given = OFFSET(loopback_given),
	    .help = "programs on this machine receive what is sent to a"
		    " group, too" },
	{ .name = "datagram",
	    .type = KEY_WORD,
	    .offset = OFFSET(datagram),
	    .words = datagram_words,
	    .given = OFFSET(datagram_given),
	    .help = "whether the end of a datagram ends a frame, or frames may"
		    " continue in the next one" },
	{ .name = NULL }
};

static const struct sockaddr *
sa(const struct address *address)
{
	return (const struct sockaddr *)&address->ss;
}

static int
family(const struct address *address)
{
	return address->ss.ss_family;
}

/* --- the addresses ------------------------------------------------------- */

static int
parse_address(const char *key, const char *s, size_t len, struct address *ret,
    struct error *err)
{
	char text[ADDRESS_TEXT_MAX];
	struct error why;

	snprintf(
	    text, sizeof(text), "%.*s", (int)MIN(len, sizeof(text) - 1), s);
	if (address_parse(text, ret, &why) < 0)
		return error_fail(err, -EINVAL, "'%s': %s", key, why.text);
	if (family(ret) != AF_UNIX)
		return 0;
	return error_fail(
	    err, -EINVAL, "'%s' is a path, and not HOST:PORT", key);
}

static int
parse_group(const char *key, const char *s, size_t len, struct address *ret,
    struct error *err)
{
	struct error why;

	if (group_parse(s, len, ret, &why) == 0)
		return 0;
	return error_fail(err, -EINVAL, "'%s': %s", key, why.text);
}

static bool
is_among(const struct targets *targets, const struct address *address)
{
	for (unsigned i = 0; i < targets->n; i++)
		if (targets->at[i].len == address->len &&
		    memcmp(&targets->at[i].ss, &address->ss, address->len) == 0)
			return true;
	return false;
}

static int
parse_targets(const char *key, const char *list,
    int (*parse)(const char *key, const char *, size_t, struct address *,
	struct error *),
    struct targets *ret, struct error *err)
{
	struct address address;
	const char *word;
	size_t len;
	int r;

	while (list != NULL && (word = list_word(&list, &len)) != NULL) {
		if ((r = parse(key, word, len, &address, err)) < 0)
			return r;
		if (is_among(ret, &address))
			return error_fail(err, -EINVAL, "'%s' has %.*s twice",
			    key, (int)len, word);
		if (ret->n == TARGETS_MAX)
			return error_fail(err, -EINVAL,
			    "'%s' has more than %d addresses", key,
			    TARGETS_MAX);
		ret->at[ret->n++] = address;
	}
	return 0;
}

static int
parse(const struct udp_conf *conf, struct addresses *ret, struct error *err)
{
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	if (conf->listen != NULL)
		r = parse_address("listen", conf->listen, strlen(conf->listen),
		    &ret->listen, err);
	if (r == 0)
		r = parse_targets(
		    "send_to", conf->send_to, parse_address, &ret->to, err);
	if (r == 0)
		r = parse_targets("multicast", conf->multicast, parse_group,
		    &ret->groups, err);
	return r;
}

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
	} else
		error_append(err, "%s", network_error(e, why, sizeof(why)));
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

	if ((r = parse(conf, &a, err)) < 0)
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
	udp_start(ep->impl);
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

	if ((r = parse(conf, &a, &ep->error)) < 0)
		return r;
	if (socket_family(&a) != open_family(ep->impl))
		return error_fail(&ep->error, -EAFNOSUPPORT,
		    "'send_to' needs a socket of another kind");
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

/* --- check --------------------------------------------------------------- */

/* Whether the addresses are equal but for their ports. */
static bool
is_host(const struct address *a, const struct address *b)
{
	struct address x = *a, y = *b;

	/* sin_port and sin6_port are at the same offset. */
	((struct sockaddr_in *)&x.ss)->sin_port = 0;
	((struct sockaddr_in *)&y.ss)->sin_port = 0;
	return x.len == y.len && memcmp(&x.ss, &y.ss, x.len) == 0;
}

/* Checks whether datagrams can be sent from 'listen' to an address of 'send_to'. */
static int
check_way(const struct udp_conf *conf, const struct address *from,
    const struct address *to, struct error *err)
{
	if (family(from) == AF_INET && family(to) == AF_INET6)
		return error_fail(err, -EINVAL,
		    "'send_to' is an IPv6 address, and 'listen'"
		    " is not");
	if (conf->multicast != NULL || !address_is_loopback(sa(from)) ||
	    address_is_loopback(sa(to)) ||
	    (group_is(to) && conf->interface != NULL))
		return 0;
	return error_fail(err, -EINVAL,
	    "'send_to' is beyond this machine, and"
	    " cannot be reached from 'listen'");
}

/* Checks whether datagrams to the groups reach 'listen'. */
static int
check_groups(
    const struct udp_conf *conf, const struct addresses *a, struct error *err)
{
	const struct address *from = &a->listen;
	bool group = group_is(from), joined = false;

	for (unsigned i = 0; i < a->groups.n; i++) {
		if (family(from) == AF_INET &&
		    family(&a->groups.at[i]) == AF_INET6)
			return error_fail(err, -EINVAL,
			    "'multicast' has a group of IPv6, and 'listen' is"
			    " not an IPv6 address, such as [::]:%u",
			    address_port(sa(from)));
		joined |= is_host(from, &a->groups.at[i]);
	}
	if (group && !joined)
		return error_fail(err, -EINVAL,
		    "'listen' is the address of a group; write listen = *:%u,"
		    " and the group in 'multicast'",
		    address_port(sa(from)));
	if (a->groups.n == 0 || group || udp_is_any(from))
		return 0;
	return error_fail(err, -EINVAL,
	    "listen = %s is not reached by datagrams to a group; with"
	    " 'multicast' write listen = %s:%u",
	    conf->listen, family(from) == AF_INET ? "*" : "[::]",
	    address_port(sa(from)));
}

/* Checks the keys that only concern groups. */
static int
check_options(
    const struct udp_conf *conf, const struct addresses *a, struct error *err)
{
	const char *stray = conf->interface != NULL ? "interface"
	    : conf->ttl_given			    ? "ttl"
	    : conf->loopback_given		    ? "loopback"
						    : NULL;
	bool any = a->groups.n > 0, v6 = false;
	const struct address *to;
	struct in_addr in;

	for (unsigned i = 0; i < a->to.n + a->groups.n; i++) {
		to = i < a->to.n ? &a->to.at[i] : &a->groups.at[i - a->to.n];
		any |= group_is(to);
		v6 |= group_is(to) && family(to) == AF_INET6;
	}
	if (stray != NULL && !any)
		return error_fail(err, -EINVAL,
		    "'%s' is for multicast, and neither 'multicast' nor"
		    " 'send_to' has a group",
		    stray);
	if (conf->interface == NULL || !v6 ||
	    (inet_pton(AF_INET, conf->interface, &in) != 1 &&
		strchr(conf->interface, ':') == NULL))
		return 0;
	return error_fail(err, -EINVAL,
	    "'interface' is an address; for groups of IPv6 write the name of"
	    " the interface, such as eth0");
}

static int
check_addresses(
    const struct udp_conf *conf, const struct addresses *a, struct error *err)
{
	int r = 0;

	if (conf->listen != NULL)
		r = check_groups(conf, a, err);
	for (unsigned i = 0; r == 0 && i < a->to.n; i++)
		if (conf->listen != NULL)
			r = check_way(conf, &a->listen, &a->to.at[i], err);
	return r < 0 ? r : check_options(conf, a, err);
}

/* Determines what the end of a datagram is, and makes that the value of the key. */
static void
set_datagram(struct endpoint_conf *conf)
{
	struct udp_conf *udp = conf->type_conf;
	bool stream;

	if (udp->datagram_given)
		stream = udp->datagram == 1;
	else
		stream =
		    framing_datagram_default(&conf->framing) == DATAGRAM_STREAM;
	udp->datagram = stream;
	conf->framing.datagram = stream ? DATAGRAM_STREAM : DATAGRAM_FRAME;
}

static int
udp_check(struct endpoint_conf *conf, struct error *err)
{
	const struct udp_conf *udp = conf->type_conf;
	struct networks *allow = NULL;
	struct addresses a;
	struct error why;
	int r;

	set_datagram(conf);
	if (udp->listen == NULL && udp->multicast != NULL)
		return error_fail(err, -EINVAL,
		    "'multicast' needs 'listen', such as listen = *:5010");
	if (udp->listen == NULL && udp->send_to == NULL)
		return error_fail(
		    err, -EINVAL, "needs 'listen' or 'send_to', or both");
	if ((r = parse(udp, &a, err)) < 0 ||
	    (r = check_addresses(udp, &a, err)) < 0)
		return r;
	conf->shares_address = a.groups.n > 0;
	if (udp->allow != NULL && networks_parse(udp->allow, &allow, &why) < 0)
		return error_fail(err, -EINVAL, "'allow': %s", why.text);
	networks_free(allow);
	if (udp->listen == NULL || udp->allow != NULL ||
	    (udp->send_to != NULL && udp->multicast == NULL) ||
	    address_is_loopback(sa(&a.listen)))
		return 0;
	return error_fail(err, -EINVAL,
	    "listen = %s is open to the network: 'allow' must say to whom"
	    " (allow = 192.168.1.0/24)",
	    udp->listen);
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
