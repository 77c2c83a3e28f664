/*
 * udp_conf: the keys of a udp endpoint's section.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "udp_conf.h"
#include "udp_group.h"
#include "udp_socket.h"

#define OFFSET(member) offsetof(struct udp_conf, member)

static const char *const datagram_words[] = {
	"frame",
	"stream",
	NULL,
};

const struct key udp_keys[] = {
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

/* --- the addresses ------------------------------------------------------- */

static int
parse_address(const char *key, const char *s, size_t len, struct address *ret,
    struct error *err)
{
	char text[ADDRESS_TEXT_MAX];
	struct error why;

	snprintf(
	    text, sizeof(text), "%.*s", (int)MIN(len, sizeof(text) - 1), s);
	if (address_is_path(text))
		return error_fail(
		    err, -EINVAL, "'%s' is a path, and not HOST:PORT", key);
	if (address_parse_host_port(text, ret, &why) < 0)
		return error_fail(err, -EINVAL, "'%s': %s", key, why.text);
	return 0;
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

int
udp_addresses(
    const struct udp_conf *conf, struct addresses *ret, struct error *err)
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

int
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
		return error_fail(err, -EINVAL,
		    "needs 'listen' or 'send_to', or both, such as send_to = "
		    "192.168.1.7:5010");
	if ((r = udp_addresses(udp, &a, err)) < 0 ||
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
