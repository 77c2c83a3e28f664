/*
 * session: what a control port and its sessions know of each other.
 */
#ifndef SESSION_H
#define SESSION_H

#include "client.h"
#include "control.h"
#include "turns.h"
#include "listener.h"
#include "log.h"

/* One connected client. */
struct session {
	TAILQ_ENTRY(session) entry;
	struct turn turn;
	struct client client; /* what the commands know of it */
	struct control *control;
	char name[ENDPOINT_NAME_MAX + 24]; /* "control.client#3" */
	char address[ENDPOINT_ADDRESS_MAX];
	struct bufferevent *bev;
	/* The time for an answer, the end of its lingering, or the step that frees
	 * it. */
	struct event *timer;
	bool ended;	    /* the client sends no more */
	bool lingering;	    /* all is out: for the client to close */
	uint64_t in_flight; /* bytes to the bufferevent */
	struct task read, write;
	uint64_t commands;
};
TAILQ_HEAD(session_list, session);

struct control {
	struct bridge *bridge;
	struct control_conf conf; /* a copy */
	const struct daemon_hooks *hooks;
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
/* Not from inside one of its callbacks but the last. */
void session_free(struct session *s);

/* lines.c */
/* The length of the next line, -1 when it has not come whole yet. */
ssize_t line_length(const struct session *s);
/* Takes the next line and carries it out; false when there is none. */
bool line_next(struct session *s);

/* replies.c */
/* How much waits for the client to read it. */
size_t replies_length(const struct session *s);
/* Whether it is so much that the client has to read first. */
bool replies_full(const struct session *s);
/* Hands what the commands have replied to the bufferevent; -1 with errno. */
int replies_send(struct session *s);
/* Bytes that the client of a session has received, as far as the kernel tells. */
uint64_t replies_taken(const struct client *client);
/* Writes what the client is owed, as far as it goes without waiting. */
void replies_last(struct session *s);

#endif
