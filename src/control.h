/*
 * control: ports where a person or a program asks the daemon, with netcat.  Sessions:
 * lines in, replies out, limits.  What the commands do is in command.c.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include "bridge.h"
#include "config.h"
#include "control_turns.h"

#define CONTROL_LINE_MAX 4096
/* While this much waits for a client, its next commands have to wait too. */
#define CONTROL_OUTPUT_MARK (64 * 1024)
/* What may wait to be shown by a watch, and as much again once it is shown. */
#define CONTROL_FRAMES_MAX (256 * 1024)

struct control; /* one port */
struct call;
struct evbuffer;

/* What the commands may reach beyond the bridge. */
struct control_hooks {
	/* Reads the configuration again; -EINVAL with all faults, as lines, in
	 * a string that the caller frees. */
	int (*reload)(char **faults);
	const struct daemon_conf *(*daemon)(void);
};

/* One connected client. */
struct session {
	TAILQ_ENTRY(session) entry;
	struct turn turn;
	struct control *control;
	char name[ENDPOINT_NAME_MAX + 24]; /* "control.client#3" */
	char address[ENDPOINT_ADDRESS_MAX];
	struct bufferevent *bev;
	struct evbuffer *reply; /* not handed to the bufferevent yet */
	/* The time for an answer, the end of its lingering, or the step that frees
	 * it. */
	struct event *timer;
	struct call *call; /* a command whose reply comes in pieces, or NULL */
	bool full;	   /* access */
	bool ended;	   /* the client sends no more */
	bool closing;	   /* no more commands: closed once all is out */
	bool lingering;	   /* all is out: for the client to close */
	bool busy;	   /* a command of it is being carried out */
	bool doomed;	   /* waits for the step that frees it */
	bool watching;	   /* each frame is shown... */
	bool asking;	   /* ...or the next one of an endpoint is awaited */
	bool tapped;	   /* the tap is in use, for either */
	bool answered;	   /* the answer has come, and is being shown */
	bool json;	   /* how they are shown */
	struct tap tap;
	struct evbuffer *frames; /* to be shown, NULL until there is one */
	char asked[ENDPOINT_NAME_MAX];
	uint64_t ask_timeout, ask_until; /* ns */
	uint64_t hidden;    /* frames not shown since the last one */
	uint64_t full_ns;   /* since then, and since it took something... */
	uint64_t taken;	    /* ...namely so much */
	uint64_t looked_ns; /* when that was looked at */
	uint64_t handed;    /* bytes to the bufferevent */
	struct task read, write;
	uint64_t commands;
};
TAILQ_HEAD(session_list, session);

/* Listens; conf is copied.  -errno with a sentence in err. */
int control_new(struct bridge *b, const struct control_conf *conf,
    const struct control_hooks *hooks, struct control **ret, char *err,
    size_t size);
/* The address that it is bound to. */
const char *control_address(const struct control *c);
/* The copy of its section. */
const struct control_conf *control_config(const struct control *c);
/* Closes the port and its sessions, each with as much of what it is owed as it takes
 * at once.  NULL is fine; not from inside a command. */
void control_free(struct control *c);
struct bridge *control_bridge(const struct control *c);
const struct control_hooks *control_get_hooks(const struct control *c);
unsigned control_sessions(const struct control *c);

/* A session that may end now, in a deferred step. */
void session_close(struct session *s, const char *why);
/* There is something new to show: the session goes on when its turn comes. */
void session_wake(struct session *s);
/* Bytes that the client has taken, as far as the kernel tells. */
uint64_t session_taken(const struct session *s);

#endif
