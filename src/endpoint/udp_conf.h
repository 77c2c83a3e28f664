/*
 * udp_conf: the keys of a udp endpoint's section.
 */
#ifndef UDP_CONF_H
#define UDP_CONF_H

#include "address.h"
#include "endpoint.h"

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

extern const struct key udp_keys[];

static inline const struct sockaddr *
sa(const struct address *address)
{
	return (const struct sockaddr *)&address->ss;
}

static inline int
family(const struct address *address)
{
	return address->ss.ss_family;
}

/* The addresses in the section; -EINVAL. */
int udp_addresses(
    const struct udp_conf *conf, struct addresses *ret, struct error *err);
/* See endpoint_ops.check. */
int udp_check(struct endpoint_conf *conf, struct error *err);

#endif
