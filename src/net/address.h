/*
 * address: the addresses that sockets listen on or connect to, and lists of allowed
 * networks.
 */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <sys/socket.h>

#include "error.h"

#define ADDRESS_TEXT_MAX 128

struct address {
	struct sockaddr_storage ss;
	socklen_t len;
};

/*
 * Parses "127.0.0.1:5010", "[::1]:5010", "5010" or ":5010" (loopback), "*:5010" (any),
 * "localhost:5010", "unix:/path" or "/path".  Host names other than localhost are not
 * accepted, so no name server is queried.  Returns -EINVAL and sets err on failure.
 */
int address_parse(const char *s, struct address *ret, struct error *err);
/* The same without the last two, which the message does not offer either. */
int address_parse_host_port(
    const char *s, struct address *ret, struct error *err);
/* Whether it is the path of a Unix socket: "unix:/path" or "/path". */
bool address_is_path(const char *s);
/* "127.0.0.1:5010", "[::1]:5010", "unix:/path", "unix client". */
const char *address_format(
    const struct sockaddr *sa, socklen_t len, char *buf, size_t size);
bool address_is_loopback(const struct sockaddr *sa);
/* The address must be IPv4 or IPv6. */
unsigned address_port(const struct sockaddr *sa);
/* Whether two sockets that listen on a and b may conflict: they have the same port or
 * the same path. */
bool address_collides(const char *a, const char *b);

/* A list of networks "10.0.0.0/8 192.168.1.7 ::1/128", separated by blanks or
 * commas. */
struct networks;
int networks_parse(const char *s, struct networks **ret, struct error *err);
/* Whether one of the networks contains the address; a NULL list contains no address.
 * An IPv4-mapped IPv6 address is treated as the IPv4 address. */
bool networks_hold(const struct networks *n, const struct sockaddr *sa);
void networks_free(struct networks *n);

#endif
