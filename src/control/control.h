/*
 * control: ports on which users and programs control the daemon, for example with netcat.
 * Sessions read lines and write replies, within limits.  The commands are implemented in
 * files of their own.
 *
 * A port accepts connections, up to its limits, and completes their TLS handshakes.  What
 * is spoken on them is in struct control_ops: lines (session.c), or HTTP (http/).
 */
#ifndef CONTROL_H
#define CONTROL_H

#include "client.h"
#include "config.h"
#include "error.h"
#include "handshake.h"
#include "listener.h"
#include "log.h"

/* While more than this is queued for a client, no further commands are executed. */
#define CONTROL_OUTPUT_MARK (64 * 1024)

struct control;
TAILQ_HEAD(session_list, session);

/* What serves the connections of a port. */
struct control_ops {
	/*
	 * Creates a session for a connected client, whose TLS handshake is done if it
	 * has TLS; takes ownership of the descriptor, and closes it on failure. -ENOMEM.
	 */
	int (*session_new)(struct control *c, int fd, struct tls_session *tls,
	    const char *peer);
	/* Ends its sessions, after sending as much as possible without blocking. */
	void (*end_all)(struct control *c);
	/* Whether a client beyond max_clients is accepted.  NULL: it is not. */
	bool (*make_room)(void *control);
	/* What it sends to such a client otherwise; " (max N)" is appended. */
	const char *full;
	/* Called when a port has been opened, and when it is closed.  May be NULL. */
	int (*opened)(struct control *c);
	void (*closed)(struct control *c);
};

/* One port. */
struct control {
	const struct control_ops *ops;
	struct bridge *bridge;
	struct control_conf conf; /* a copy */
	const struct daemon_hooks *hooks;
	struct networks *allow;
	struct listener *listener;
	struct session_list sessions;
	struct handshakes handshakes;
	unsigned nsessions;
	unsigned next; /* number of the last session */
	bool opened;
	struct log_limit refused;
	char full[160]; /* sent to a client beyond max_clients */
};

/* Opens the port; conf is copied, except for its TLS context and its token, which are
 * taken out of it.  -errno with a message in err. */
int control_new(struct bridge *b, struct control_conf *conf,
    const struct control_ops *ops, const struct daemon_hooks *hooks,
    struct control **ret, struct error *err);
/* The number of clients has changed. */
void control_count(struct control *c);
/* The copy of the configuration section. */
const struct control_conf *control_config(const struct control *c);
/* The section of the port is read again, and otherwise unchanged: its certificates and
 * its token are used from now on. */
void control_follow(struct control *c, struct control_conf *conf);
/*
 * Closes the port and its sessions, each after sending as much of its replies as possible
 * without blocking.  c may be NULL; must not be called inside a command.
 */
void control_free(struct control *c);
unsigned control_sessions(const struct control *c);

#endif
