/*
 * server_conf: the keys of a tcp-server's or unix-server's section.
 */
#ifndef SERVER_CONF_H
#define SERVER_CONF_H

#include "permission.h"
#include "rfc2217_server.h"
#include "tcp_conf.h"
#include "tls_link.h"

struct server_conf {
	char *listen;
	uint64_t max_clients;
	char *greeting;
	uint64_t idle_timeout; /* ns, 0: none */
	struct permission_conf permission;
	/* tcp-server */
	char *allow;
	struct tcp_conf tcp;
	struct rfc2217_conf rfc2217;
	struct tls_conf tls;
	/* unix-server */
	uint64_t mode; /* 0: not given */
	char *group;
};

extern const struct key server_tcp_keys[], server_unix_keys[];

/* See endpoint_ops.check, load and warn. */
int server_tcp_check(struct endpoint_conf *conf, struct error *err);
int server_tcp_load(struct endpoint_conf *conf, struct error *err);
void server_tcp_warn(const struct endpoint_conf *conf, struct error *err);
int server_unix_check(struct endpoint_conf *conf, struct error *err);
void server_unix_warn(const struct endpoint_conf *conf, struct error *err);

#endif
