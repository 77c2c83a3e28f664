/*
 * control_session: what a control port and its sessions know of each other.
 */
#ifndef CONTROL_SESSION_H
#define CONTROL_SESSION_H

#include "control.h"
#include "listener.h"
#include "log.h"

struct control {
	struct bridge *bridge;
	struct control_conf conf; /* a copy */
	const struct control_hooks *hooks;
	struct networks *allow;
	struct listener *listener;
	struct session_list sessions;
	unsigned nsessions;
	unsigned next; /* number of a session */
	struct log_limit refused;
	char full[64]; /* what one client too many is told */
};

/* A client is connected; takes the descriptor over, and closes it on failure. -ENOMEM. */
int session_new(struct control *c, int fd, const char *peer);
/* Writes what the client is owed, as far as it goes without waiting. */
void session_last_words(struct session *s);
/* Not from inside one of its callbacks but the last. */
void session_free(struct session *s);

#endif
