/*
 * locate: finds the control port of the daemon, and connects to it.
 */
#ifndef LOCATE_H
#define LOCATE_H

#include "daemon_connection.h"

#define LOCATE_DEFAULT "unix:/run/ttybridge/control.sock"

/* The variable with the path of a socket. */
#define LOCATE_ENVIRONMENT "TTYBRIDGE_SOCKET"

#define LOCATE_TIMEOUT_MS 10000

/* The options that say where the daemon is, and how long it is waited for. */
struct where {
	const char *config; /* a file; NULL: the daemon's default */
	json_t *parsed;	    /* what locate_config() says of it; NULL: unknown */
	const char *socket, *host;
	struct tls_conf tls;
	int timeout_ms; /* of connecting and of replies, -1: none */
};

/*
 * Connects to the port that the options name, or else the environment, or else to the first
 * one that answers of those in the configuration, and the default.  *ret is where it is, for
 * further connections, to be freed with target_free().  -errno and err.
 */
int locate(const struct where *where, struct target *ret,
    struct connection **connection, struct error *err);
void target_free(struct target *target);
/*
 * The configuration as --check --json prints it, see ttybridged(8); NULL: the program
 * cannot be run.  config: a file, NULL: the default; keys: with the values of all keys.
 */
json_t *locate_config(const char *config, bool keys);

#endif
