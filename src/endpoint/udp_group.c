/*
 * udp_group: multicast groups and broadcast addresses of udp endpoints.
 *
 * The options of IPv4 also apply to an IPv6 socket, which may send and receive IPv4
 * datagrams.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "udp_group.h"

#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29
#endif

static const struct sockaddr_in *
in4(const struct address *address)
{
	return (const struct sockaddr_in *)&address->ss;
}

static const struct sockaddr_in6 *
in6(const struct address *address)
{
	return (const struct sockaddr_in6 *)&address->ss;
}

bool
group_is(const struct address *address)
{
	const struct in6_addr *v6 = &in6(address)->sin6_addr;

	if (address->ss.ss_family == AF_INET)
		return IN_MULTICAST(ntohl(in4(address)->sin_addr.s_addr));
	if (IN6_IS_ADDR_V4MAPPED(v6))
		return (v6->s6_addr[12] & 0xf0) == 0xe0;
	return IN6_IS_ADDR_MULTICAST(v6);
}

/* The kernel refuses to connect a socket to a broadcast address, unless it has the option
 * for that. */
static bool
is_broadcast(const struct address *address)
{
	int fd = socket(address->ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool refused;

	if (fd < 0)
		return false;
	refused = connect(fd, (const struct sockaddr *)&address->ss,
		      address->len) < 0 &&
	    errno == EACCES;
	close(fd);
	return refused;
}

bool
group_is_many(const struct address *address)
{
	return group_is(address) || is_broadcast(address);
}

bool
udp_is_any(const struct address *address)
{
	if (address->ss.ss_family == AF_INET)
		return in4(address)->sin_addr.s_addr == htonl(INADDR_ANY);
	return IN6_IS_ADDR_UNSPECIFIED(&in6(address)->sin6_addr);
}

int
group_parse(const char *s, size_t len, struct address *ret, struct error *err)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&ret->ss;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&ret->ss;
	char text[INET6_ADDRSTRLEN];
	bool known = false;

	memset(ret, 0, sizeof(*ret));
	snprintf(
	    text, sizeof(text), "%.*s", (int)MIN(len, sizeof(text) - 1), s);
	if (len < sizeof(text) &&
	    inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		ret->ss.ss_family = AF_INET;
		ret->len = sizeof(*v4);
		known = true;
	} else if (len < sizeof(text) &&
	    inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		ret->ss.ss_family = AF_INET6;
		ret->len = sizeof(*v6);
		known = true;
	}
	if (known && group_is(ret))
		return 0;
	return error_fail(err, -EINVAL,
	    known ? "'%s' is not the address of a group; those are 224.0.0.0 to"
		    " 239.255.255.255, and ff00::/8"
		  : "'%s' is not the address of a group; write it without a"
		    " port, such as 239.192.0.1 or ff05::1234",
	    text);
}

/* Finds the interface: by its index, or by its IPv4 address. */
static int
find_interface(
    const struct group_conf *conf, struct ip_mreqn *ret, struct error *err)
{
	memset(ret, 0, sizeof(*ret));
	if (conf->interface == NULL ||
	    inet_pton(AF_INET, conf->interface, &ret->imr_address) == 1)
		return 0;
	ret->imr_ifindex = (int)if_nametoindex(conf->interface);
	if (ret->imr_ifindex != 0)
		return 0;
	return error_fail(
	    err, -ENODEV, "there is no interface '%s'", conf->interface);
}

static int
join_failed(int e, const struct address *group, const struct group_conf *conf,
    struct error *err)
{
	char text[INET6_ADDRSTRLEN] = "?";

	inet_ntop(group->ss.ss_family,
	    group->ss.ss_family == AF_INET
		? (const void *)&in4(group)->sin_addr
		: (const void *)&in6(group)->sin6_addr,
	    text, sizeof(text));
	error_set(err, "cannot join %s: ", text);
	if (e == ENODEV && conf->interface != NULL)
		error_append(
		    err, "there is no interface '%s'", conf->interface);
	else if (e == ENODEV)
		error_append(err,
		    "no interface has a route to it; 'interface' selects one");
	else if (e == ENOBUFS)
		error_append(err,
		    "too many groups for one socket; the limit is"
		    " net.ipv4.igmp_max_memberships");
	else
		error_append(err, "%s", strerror(e));
	return -e;
}

int
group_join(int fd, const struct address *group, const struct group_conf *conf,
    struct error *err)
{
	struct ip_mreqn mreq;
	struct ipv6_mreq mreq6;
	const int off = 0;
	int r;

	if ((r = find_interface(conf, &mreq, err)) < 0)
		return r;
	if (group->ss.ss_family == AF_INET) {
		mreq.imr_multiaddr = in4(group)->sin_addr;
		setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof(off));
		r = setsockopt(
		    fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &mreq, sizeof(mreq));
	} else {
		mreq6.ipv6mr_multiaddr = in6(group)->sin6_addr;
		mreq6.ipv6mr_interface = (unsigned)mreq.imr_ifindex;
		setsockopt(
		    fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, &off, sizeof(off));
		r = setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &mreq6,
		    sizeof(mreq6));
	}
	return r == 0 ? 0 : join_failed(errno, group, conf, err);
}

int
group_sends(
    int fd, int family, const struct group_conf *conf, struct error *err)
{
	const int ttl = conf->ttl, loopback = conf->loopback;
	struct ip_mreqn mreq;
	int r;

	if ((r = find_interface(conf, &mreq, err)) < 0)
		return r;
	setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &ttl, sizeof(ttl));
	setsockopt(
	    fd, IPPROTO_IP, IP_MULTICAST_LOOP, &loopback, sizeof(loopback));
	if (family == AF_INET6) {
		setsockopt(
		    fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &ttl, sizeof(ttl));
		setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &loopback,
		    sizeof(loopback));
		setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF,
		    &mreq.imr_ifindex, sizeof(mreq.imr_ifindex));
	}
	if (conf->interface == NULL ||
	    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &mreq, sizeof(mreq)) ==
		0)
		return 0;
	r = -errno;
	return error_fail(err, r, "cannot send by '%s': %s", conf->interface,
	    r == -EADDRNOTAVAIL ? "there is no such interface" : strerror(-r));
}
