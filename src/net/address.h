/*
 * address: where a socket listens or connects, and who may come.
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
 * "127.0.0.1:5010", "[::1]:5010", "5010" or ":5010" (loopback), "*:5010" (any), "localhost:5010",
 * "unix:/path" or "/path".  Numeric (localhost aside): never asks a name server.
 * -EINVAL with a sentence in err.
 */
int address_parse(const char *s, struct address *ret, struct error *err);
/* "127.0.0.1:5010", "[::1]:5010", "unix:/path", "unix client". */
const char *address_format(
    const struct sockaddr *sa, socklen_t len, char *buf, size_t size);
bool address_is_loopback(const struct sockaddr *sa);
/* Of an IPv4 or IPv6 address. */
unsigned address_port(const struct sockaddr *sa);
/* Whether two that listen there may be in each other's way: the same port or path. */
bool address_collides(const char *a, const char *b);

/* A list of networks "10.0.0.0/8 192.168.1.7 ::1/128", separated by blanks or
 * commas. */
struct networks;
int networks_parse(const char *s, struct networks **ret, struct error *err);
/* Whether one of them holds the address; a NULL list holds nothing.  An IPv4 address
 * mapped into IPv6 counts as the IPv4 one. */
bool networks_hold(const struct networks *n, const struct sockaddr *sa);
void networks_free(struct networks *n);

#endif
