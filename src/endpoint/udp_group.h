/*
 * udp_group: multicast groups and broadcast addresses of udp endpoints.
 */
#ifndef UDP_GROUP_H
#define UDP_GROUP_H

#include "address.h"

/* How datagrams are sent to groups, and where groups are joined. */
struct group_conf {
	const char *interface; /* a name or an IPv4 address; NULL: any */
	int ttl;
	bool loopback; /* programs on this machine receive them, too */
};

/* Parses the address of a group, without a port, in a list.  -EINVAL. */
int group_parse(
    const char *s, size_t len, struct address *ret, struct error *err);
/* Whether it is a multicast address, possibly an IPv4-mapped one. */
bool group_is(const struct address *address);
/* Whether what is sent to it is received by more than one: a group, or the broadcast
 * address of a network that this machine is connected to now. */
bool group_is_many(const struct address *address);
/* Whether it is the wildcard address. */
bool udp_is_any(const struct address *address);
/* Receive datagrams to this group, and to no group that only others have joined.  -errno
 * and sets err. */
int group_join(int fd, const struct address *group,
    const struct group_conf *conf, struct error *err);
/* Sets how the socket of that family sends to groups.  -errno and sets err. */
int group_sends(
    int fd, int family, const struct group_conf *conf, struct error *err);

#endif
