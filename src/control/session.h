/*
 * session: the interface between a control port and its sessions.
 */
#ifndef SESSION_H
#define SESSION_H

#include "client.h"
#include "control.h"
#include "handshake.h"
#include "turns.h"
#include "listener.h"
#include "log.h"

/* One connected client. */
struct session {
	TAILQ_ENTRY(session) entry;
	struct turn turn;
	struct client client; /* its interface for the commands */
	struct control *control;
	char name[ENDPOINT_NAME_MAX + 24]; /* "control.client#3" */
	char address[ENDPOINT_ADDRESS_MAX];
	char why[LINK_WHY_MAX]; /* it was closed; empty: all is done */
	struct bufferevent *bev;
	struct tls_session *tls; /* of bev; NULL: no TLS */
	/*
	 * The end of lingering, or the deferred step that frees the
	 * session.
	 */
	struct event *timer;
	bool ended;	    /* the client sends no more */
	bool lingering;	    /* all is sent: waits for the client to close */
	size_t searched;    /* bytes of the input without the end of a line */
	uint64_t in_flight; /* bytes passed to the bufferevent */
	struct task read, write;
	uint64_t commands;
};

/* See struct control_ops. */
int session_new(
    struct control *c, int fd, struct tls_session *tls, const char *peer);
/* Must not be called inside a callback of the session, except the last. */
void session_free(struct session *s);
/* Sessions that read lines, and write replies. */
extern const struct control_ops session_ops;

/* lines.c */
/* The length of the next line, -1 when it is incomplete. */
ssize_t line_length(struct session *s);
/* Executes the next line; false when there is none. */
bool line_next(struct session *s);

/* replies.c */
/* The number of bytes queued for the client. */
size_t replies_length(const struct session *s);
/* Whether so much is queued that the client has to read first. */
bool replies_full(const struct session *s);
/* Passes the replies of the commands to the bufferevent; -1 with errno. */
int replies_send(struct session *s);
/* Bytes that the client of a session has received, as far as the kernel reports. */
uint64_t replies_taken(const struct client *client);
/* Writes the queued replies, as far as possible without blocking. */
void replies_last(struct session *s);

#endif
