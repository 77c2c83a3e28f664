/*
 * client: who gives commands and gets the replies, as the commands see it.
 *
 * A control session embeds one, and so can anything else that speaks for a person or a
 * program.  It fills in the first part, calls the functions of command.h, and sends what
 * these add to the reply.  The time that this takes is shared: it calls turns_hold()
 * first, and then takes turns (turns.h).
 */
#ifndef CLIENT_H
#define CLIENT_H

#include "bridge.h"

/* The longest command. */
#define CLIENT_LINE_MAX 4096
/* The longest error that is sent; what is longer is cut. */
#define CLIENT_ERROR_MAX 2048
/* What may wait to be shown by a watch, and as much again once it is shown. */
#define CLIENT_FRAMES_MAX (256 * 1024)

struct call;
struct client;
struct daemon_conf;
struct evbuffer;

/* Waits for the end of a reload. */
struct reload_waiter {
	LIST_ENTRY(reload_waiter) entry;
	/* It is over, and this is no longer in the list: 0, or -errno with faults, as lines,
	 * or NULL.  Not from inside hooks->reload(). */
	void (*done)(struct reload_waiter *w, int r, const char *faults);
};

/* What the commands may reach beyond the bridge. */
struct daemon_hooks {
	/*
	 * Reads the configuration again.  RELOAD_BEGUN: the waiter is told of the end, unless
	 * it is removed from the list it is in.  Else that is the end: 0, or -errno with all
	 * faults, as lines, in a string that the caller frees, or NULL.  NULL: there is
	 * nothing to reload.
	 */
	int (*reload)(struct reload_waiter *w, char **faults);
#define RELOAD_BEGUN 1
	/* The [daemon] section in use.  NULL: there is none. */
	const struct daemon_conf *(*daemon)(void);
};

/*
 * Called by the commands, also in the middle of the data path: nothing may be freed or
 * sent in there.  No member is NULL, except where it says so.
 */
struct client_ops {
	/* There is something new to show: command_step() is due. */
	void (*wake)(struct client *c);
	/* It has not read what it watches for too long, and is to end. */
	void (*close)(struct client *c, const char *why);
	/* How many bytes of its replies the other end has received.  NULL: that
	 * is unknown, and the client is never closed for not reading. */
	uint64_t (*taken)(const struct client *c);
};

struct client {
	/* Filled in by its owner. */
	const struct client_ops *ops;
	struct bridge *bridge;
	const struct daemon_hooks *hooks; /* NULL: it has none */
	const char *name;		  /* in messages: "control.client#3" */
	const char *address;		  /* the same: "127.0.0.1:40312" */
	uint64_t stall_timeout; /* ns without reading what it watches; 0: any */
	bool full;		/* it may use what needs access = full */
	bool closed; /* it is about to be freed: nothing more is shown */
	struct evbuffer *reply;

	/* Set by both: it has given its last command, and ends once all is sent. */
	bool closing;

	/* Set by the commands. */
	bool busy;	   /* a command of it is being carried out */
	bool watching;	   /* each frame is shown... */
	bool asking;	   /* ...or the next one of an endpoint is awaited */
	bool answered;	   /* the answer has come, and is being shown */
	bool reloading;	   /* the end of a reload is awaited */
	struct call *call; /* a command whose reply comes in pieces, or NULL */

	/* Private to watch and ask. */
	struct tap tap;
	bool tapped;		 /* it is in use */
	bool json;		 /* how frames are shown */
	struct evbuffer *frames; /* to be shown, NULL until there is one */
	struct reload_waiter reload;
	char asked[ENDPOINT_NAME_MAX];
	uint64_t ask_timeout, ask_until; /* ns */
	uint64_t hidden;    /* frames not shown since the last one */
	uint64_t full_ns;   /* since then, and since it took something... */
	uint64_t taken;	    /* ...namely so much */
	uint64_t looked_ns; /* when that was looked at */
};

/* Appends "ERR MESSAGE" to the reply: one line, whatever the message is. */
void client_error(struct client *c, const char *message);
/* Makes room for the frames to be shown; -ENOMEM. */
int client_frames(struct client *c);
/* Frames that pass are told to that function from now on. */
void client_tap(struct client *c,
    void (*frame)(struct tap *, const struct port *, const char *,
	const uint8_t *, size_t));
/* No more of them; fine when there is no tap. */
void client_untap(struct client *c);
/* The client that a tap is of. */
#define CLIENT_OF(t) CONTAINER_OF(t, struct client, tap)

#endif
