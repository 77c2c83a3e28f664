/*
 * rfc2217_server: clients of a tcp-server that speak telnet and control a serial line
 * (RFC 2217).
 */
#ifndef RFC2217_SERVER_H
#define RFC2217_SERVER_H

#include "endpoint.h"

/* What clients may be denied, as bits of rfc2217_conf.deny. */
enum {
	DENY_BAUD = 1 << 0,
	DENY_MODE = 1 << 1,
	DENY_FLOW = 1 << 2,
	DENY_DTR = 1 << 3,
	DENY_RTS = 1 << 4,
	DENY_BREAK = 1 << 5,
	DENY_PURGE = 1 << 6
};

/* The keys of the section. */
struct rfc2217_conf {
	char *line;    /* name of the serial endpoint, NULL: by the routes */
	uint64_t deny; /* DENY_* */
	uint64_t modem_poll; /* ns */
};

/* The value of 'rfc2217_deny'; a uint64_t. */
int rfc2217_deny_parse(void *field, const char *value, struct error *err);
void rfc2217_deny_print(const void *field, char *buf, size_t size);

struct rfc2217;

/*
 * The clients of that endpoint control the line that its owner names.  com_port: by
 * RFC 2217; otherwise by the break of telnet only.  -ENOMEM.
 */
int rfc2217_new(struct endpoint *ep, const struct rfc2217_conf *conf,
    bool com_port, struct rfc2217 **ret);
/* All clients must have been closed; NULL is allowed. */
void rfc2217_free(struct rfc2217 *server);
/* See endpoint_ops.attach. */
int rfc2217_attach(struct rfc2217 *server, struct link *link);

#endif
