/*
 * address: parses and prints socket addresses and networks; all numeric.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "address.h"

struct network {
	int family;
	uint8_t addr[16];
	unsigned bits;
};

struct networks {
	size_t n;
	struct network net[];
};

static int
parse_unix(const char *path, struct address *ret, struct error *err)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&ret->ss;

	if (*path != '/' || strlen(path) >= sizeof(un->sun_path))
		return error_fail(err, -EINVAL,
		    "'%s' is not the path of a socket: it starts"
		    " with '/' and has at most %zu characters",
		    path, sizeof(un->sun_path) - 1);
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, strlen(path) + 1);
	ret->len = sizeof(*un);
	return 0;
}

/* Parses the part of an IPv6 address between the brackets. */
static int
parse_host6(const char *host, uint16_t port, struct address *ret)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ret->ss;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	ret->len = sizeof(*in6);
	return inet_pton(AF_INET6, host, &in6->sin6_addr) == 1 ? 0 : -EINVAL;
}

/* Parses the host part: "" is the loopback address, "*" the wildcard address. */
static int
parse_host4(const char *host, uint16_t port, struct address *ret)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&ret->ss;

	in->sin_family = AF_INET;
	in->sin_port = htons(port);
	ret->len = sizeof(*in);
	if (*host == '\0' || strcmp(host, "localhost") == 0)
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else if (strcmp(host, "*") == 0)
		in->sin_addr.s_addr = htonl(INADDR_ANY);
	else if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
		return -EINVAL;
	return 0;
}

bool
address_is_path(const char *s)
{
	return *s == '/' || strncmp(s, "unix:", 5) == 0;
}

/* Whether these characters may be the name of a host: no address has letters. */
static bool
is_name(const char *s, size_t len)
{
	bool letter = false;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (!isalnum(c) && strchr(".-_", c) == NULL)
			return false;
		letter |= isalpha(c) != 0;
	}
	return letter;
}

/* Says what is wrong with HOST:PORT.  forms: what may be written instead. */
static int
fail_host_port(const char *s, const char *forms, struct error *err)
{
	const char *colon = strrchr(s, ':');
	const char *port = colon != NULL ? colon + 1 : s;
	uint64_t n;

	if (*port != '\0' && port[strspn(port, "0123456789")] == '\0' &&
	    parse_number(port, 0, 65535, &n) < 0)
		return error_fail(
		    err, -EINVAL, "'%s': the port is above 65535", s);
	if (inet_pton(AF_INET, s, &(struct in_addr){ 0 }) == 1)
		return error_fail(err, -EINVAL,
		    "'%s' has no port; write %s:PORT, such as %s:5010", s, s,
		    s);
	if (inet_pton(AF_INET6, s, &(struct in6_addr){ 0 }) == 1)
		return error_fail(err, -EINVAL,
		    "'%s' has no port; write [%s]:PORT, such as [%s]:5010", s,
		    s, s);
	if (colon != NULL && is_name(s, (size_t)(colon - s)) &&
	    parse_number(port, 0, 65535, &n) == 0)
		return error_fail(err, -EINVAL,
		    "'%s' has the name of a host, which is possible in"
		    " 'connect' only; write an address: %s",
		    s, forms);
	return error_fail(
	    err, -EINVAL, "'%s' is not an address; write %s", s, forms);
}

static int
parse_host_port(
    const char *s, const char *forms, struct address *ret, struct error *err)
{
	const char *colon = strrchr(s, ':'), *host = s;
	size_t len = colon != NULL ? (size_t)(colon - s) : 0;
	bool v6 = false;
	char buf[64];
	uint64_t port;

	memset(ret, 0, sizeof(*ret));
	if (len >= 2 && s[0] == '[' && s[len - 1] == ']') {
		v6 = true;
		host++;
		len -= 2;
	}
	if (len < sizeof(buf) &&
	    parse_number(colon != NULL ? colon + 1 : s, 0, 65535, &port) == 0) {
		memcpy(buf, host, len);
		buf[len] = '\0';
		if ((v6 ? parse_host6 : parse_host4)(
			buf, (uint16_t)port, ret) == 0)
			return 0;
	}
	return fail_host_port(s, forms, err);
}

int
address_parse_host_port(const char *s, struct address *ret, struct error *err)
{
	return parse_host_port(
	    s, "127.0.0.1:5010, [::1]:5010 or *:5010", ret, err);
}

int
address_parse(const char *s, struct address *ret, struct error *err)
{
	if (!address_is_path(s))
		return parse_host_port(s,
		    "127.0.0.1:5010, [::1]:5010, *:5010 or unix:/path", ret,
		    err);
	memset(ret, 0, sizeof(*ret));
	return parse_unix(*s == '/' ? s : s + 5, ret, err);
}

bool
address_collides(const char *a, const char *b)
{
	struct address x, y;
	struct error err;

	if (address_parse(a, &x, &err) < 0 || address_parse(b, &y, &err) < 0)
		return false;
	if (x.ss.ss_family == AF_UNIX || y.ss.ss_family == AF_UNIX)
		return x.len == y.len && memcmp(&x.ss, &y.ss, x.len) == 0;
	/* sin_port and sin6_port are at the same offset. */
	return ((const struct sockaddr_in *)&x.ss)->sin_port ==
	    ((const struct sockaddr_in *)&y.ss)->sin_port;
}

/* The bytes of the address.  An IPv4-mapped IPv6 address is returned as the IPv4
 * address.  NULL for other families. */
static const uint8_t *
raw_address(const struct sockaddr *sa, int *family)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;

	*family = sa->sa_family;
	if (sa->sa_family == AF_INET)
		return (const uint8_t *)&in->sin_addr;
	if (sa->sa_family != AF_INET6)
		return NULL;
	if (!IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
		return in6->sin6_addr.s6_addr;
	*family = AF_INET;
	return in6->sin6_addr.s6_addr + 12;
}

unsigned
address_port(const struct sockaddr *sa)
{
	return ntohs(sa->sa_family == AF_INET
		? ((const struct sockaddr_in *)sa)->sin_port
		: ((const struct sockaddr_in6 *)sa)->sin6_port);
}

const char *
address_format(const struct sockaddr *sa, socklen_t len, char *buf, size_t size)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)sa;
	char host[INET6_ADDRSTRLEN] = "?";
	const uint8_t *a;
	int family;

	if ((a = raw_address(sa, &family)) != NULL) {
		inet_ntop(family, a, host, sizeof(host));
		snprintf(buf, size, family == AF_INET ? "%s:%u" : "[%s]:%u",
		    host, address_port(sa));
	} else if (sa->sa_family == AF_UNIX &&
	    len > offsetof(struct sockaddr_un, sun_path) &&
	    un->sun_path[0] != '\0') {
		snprintf(buf, size, "unix:%s", un->sun_path);
	} else
		snprintf(buf, size, "unix client");
	return buf;
}

bool
address_is_loopback(const struct sockaddr *sa)
{
	int family;
	const uint8_t *a = raw_address(sa, &family);

	if (sa->sa_family == AF_UNIX)
		return true;
	if (a == NULL)
		return false;
	if (family == AF_INET)
		return a[0] == 127;
	return memcmp(a, &in6addr_loopback, 16) == 0;
}

/* "10.0.0.0/8", or an address without a prefix length. */
static int
parse_network(const char *s, size_t len, struct network *ret)
{
	char buf[INET6_ADDRSTRLEN + 8], *slash;
	uint64_t bits, most;

	if (len >= sizeof(buf))
		return -EINVAL;
	memcpy(buf, s, len);
	buf[len] = '\0';
	if ((slash = strchr(buf, '/')) != NULL)
		*slash++ = '\0';
	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, buf, ret->addr) == 1)
		ret->family = AF_INET;
	else if (inet_pton(AF_INET6, buf, ret->addr) == 1)
		ret->family = AF_INET6;
	else
		return -EINVAL;
	bits = most = ret->family == AF_INET ? 32 : 128;
	if (slash != NULL && parse_number(slash, 0, most, &bits) < 0)
		return -EINVAL;
	ret->bits = (unsigned)bits;
	return 0;
}

/* Sets err to say that the word is not a network, and what to write instead. */
static void
say_network(const char *s, size_t len, struct error *err)
{
	static const char *const all[] = { "any", "all", "*", "everyone",
		"everybody", "everywhere", "anywhere", "anyone", "world",
		"public", "yes" };
	static const char *const own[] = { "localhost", "local", "loopback",
		"none", "no" };

	error_set(
	    err, "'%.*s' is not a network; ", (int)MIN(len, (size_t)64), s);
	for (size_t i = 0; i < NELEM(all); i++)
		if (strlen(all[i]) == len && strncasecmp(all[i], s, len) == 0) {
			error_append(
			    err, "for every network write 0.0.0.0/0 ::/0");
			return;
		}
	for (size_t i = 0; i < NELEM(own); i++)
		if (strlen(own[i]) == len && strncasecmp(own[i], s, len) == 0) {
			error_append(err,
			    "without 'allow' only this machine may connect");
			return;
		}
	error_append(err, "write 192.168.1.0/24 or fd00::/8");
}

int
networks_parse(const char *s, struct networks **ret, struct error *err)
{
	static const char blanks[] = " \t,";
	struct networks *list, *grown;
	size_t len;

	if ((list = calloc(1, sizeof(*list))) == NULL)
		goto nomem;
	for (s += strspn(s, blanks); *s != '\0';
	     s += len + strspn(s + len, blanks)) {
		len = strcspn(s, blanks);
		grown = realloc(
		    list, sizeof(*list) + (list->n + 1) * sizeof(list->net[0]));
		if (grown == NULL)
			goto nomem;
		list = grown;
		if (parse_network(s, len, &list->net[list->n]) < 0) {
			say_network(s, len, err);
			free(list);
			return -EINVAL;
		}
		list->n++;
	}
	*ret = list;
	return 0;
nomem:
	free(list);
	return error_fail(err, -ENOMEM, "out of memory");
}

static bool
network_holds(const struct network *net, int family, const uint8_t *a)
{
	unsigned whole = net->bits / 8, rest = net->bits % 8;
	uint8_t mask = (uint8_t)(0xff00 >> rest);

	return net->family == family && memcmp(net->addr, a, whole) == 0 &&
	    (rest == 0 || ((net->addr[whole] ^ a[whole]) & mask) == 0);
}

bool
networks_hold(const struct networks *list, const struct sockaddr *sa)
{
	int family;
	const uint8_t *a = raw_address(sa, &family);

	for (size_t i = 0; list != NULL && a != NULL && i < list->n; i++)
		if (network_holds(&list->net[i], family, a))
			return true;
	return false;
}

void
networks_free(struct networks *list)
{
	free(list);
}
