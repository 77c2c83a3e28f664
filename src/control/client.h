/*
 * client: a source of commands and receiver of replies, as seen by the commands.
 *
 * A control session embeds a client, and so can any other interface.  The owner fills in
 * the first part, calls the functions of command.h, and sends the data that these add to
 * the reply.  The processing time is shared: the owner calls turns_hold() first, and then
 * takes turns (turns.h).
 */
#ifndef CLIENT_H
#define CLIENT_H

#include "bridge.h"
#include "capture.h"
#include "log.h"

/* The maximum length of a command. */
#define CLIENT_LINE_MAX 4096
/* The same of `send -b`, for a frame of 1 MiB. */
#define CLIENT_BYTES_MAX (3 * 512 * 1024)
/* The maximum length of an error message; longer ones are truncated. */
#define CLIENT_ERROR_MAX 2048
/* The limit for frames that a watch has collected, and for its replies. */
#define CLIENT_FRAMES_MAX (256 * 1024)

struct call;
struct client;
struct daemon_conf;
struct evbuffer;

/* A caller that waits for the end of a reload. */
struct reload_waiter {
	LIST_ENTRY(reload_waiter) entry;
	/*
	 * Called at the end of the reload, after this was removed from the list: 0, or
	 * -errno with faults, one per line, or NULL.  Not called inside hooks->reload().
	 */
	void (*done)(struct reload_waiter *w, int r, const char *faults);
};

/* The interface of the commands to the daemon. */
struct daemon_hooks {
	/*
	 * Reads the configuration again.  RELOAD_BEGUN: the waiter is called at the end,
	 * unless it is removed from its list.  Otherwise the reload has ended: 0, or
	 * -errno with all faults, one per line, in a string that the caller frees, or
	 * NULL.  The member is NULL if there is nothing to reload.
	 */
	int (*reload)(struct reload_waiter *w, char **faults);
#define RELOAD_BEGUN 1
	/* The [daemon] section in use.  NULL: there is none. */
	const struct daemon_conf *(*daemon)(void);
	/* The inherited sockets that no section has claimed, as "NAME (ADDRESS)",
	 * separated by ", "; "": none.  NULL: unknown. */
	const char *(*unclaimed)(void);
};

/*
 * Called by the commands, also in the data path: the functions must not free or send
 * anything. No member is NULL, unless noted.
 */
struct client_ops {
	/* There is something to show: command_step() is to be called. */
	void (*wake)(struct client *c);
	/*
	 * The client has not read the output of its watch for too long, and is to be
	 * closed.
	 */
	void (*close)(struct client *c, const char *why);
	/*
	 * The number of bytes of its replies that the peer has received.  NULL: unknown,
	 * and the client is never closed for not reading.
	 */
	uint64_t (*taken)(const struct client *c);
};

/* What a watch shows, by its options. */
struct watch_options {
	bool hex;      /* -x */
	bool bytes;    /* -b: before framing */
	bool events;   /* it is a list of events */
	bool limited;  /* -n: ends after... */
	uint64_t left; /* ...so many more lines */
};

struct client {
	/* Filled in by its owner. */
	const struct client_ops *ops;
	struct bridge *bridge;
	const struct daemon_hooks *hooks; /* NULL: there are none */
	const char *name;		  /* in messages: "control.client#3" */
	const char *address;		  /* the same: "127.0.0.1:40312" */
	uint64_t stall_timeout;		  /* of a watch, ns, 0: none */
	bool full;    /* commands with access = full are allowed... */
	bool by_name; /* ...which a certificate decides */
	bool remote;  /* its connection is none of a Unix socket */
	bool closed;  /* about to be freed: nothing more is shown */
	struct evbuffer *reply;

	/* Set by both: no more commands, and it is closed once all is sent. */
	bool closing;

	/* Set by the commands. */
	bool busy;	   /* a function of a command is running */
	bool watching;	   /* each frame or event is shown... */
	bool listens;	   /* ...namely events */
	bool asking;	   /* answers are awaited */
	bool answered;	   /* one has arrived, or none will: it is shown */
	struct asks *asks; /* the queries of the command, or NULL */
	struct scan *scan; /* the units of a bus are asked, or NULL */
	bool reloading;	   /* the end of a reload is awaited... */
	bool stopping;	   /* ...or that of the capture */
	struct call *call; /* a command in progress, or NULL */

	/* Private to watch and scan. */
	struct tap tap;
	bool tapped;		 /* the tap is in use */
	bool json;		 /* format of the frames */
	struct evbuffer *frames; /* to be shown, NULL until one is needed */
	struct reload_waiter reload;
	struct capture_waiter capture;
	struct watch_options watch;
	struct log_listener listener; /* of events */
	uint64_t hidden;	      /* frames not shown since the last one */
	uint64_t full_ns;   /* when it became full, or last made progress... */
	uint64_t taken;	    /* ...namely to this number of bytes */
	uint64_t looked_ns; /* when that was last checked */
};

/* Whether the command in progress waits for an event. */
static inline bool
client_waits(const struct client *c)
{
	return c->asking || c->reloading || c->stopping;
}
/* Appends "ERR MESSAGE" to the reply, as one line for any message. */
void client_error(struct client *c, const char *message);
/* Allocates the buffer for the frames to be shown; -ENOMEM. */
int client_frames(struct client *c);
/*
 * Starts to call the functions for each forwarded frame, and for a request that gets no
 * answer; see struct tap.
 */
void client_tap(struct client *c,
    void (*frame)(struct tap *, const struct port *, const char *,
	const uint8_t *, size_t),
    void (*unanswered)(struct tap *, bool));
/* The same for any functions of a tap, whose names are those of the client's. */
void client_tap_all(struct client *c, const struct tap *tap);
/* Stops that, and the listener of events; has no effect when there is neither. */
void client_untap(struct client *c);
/* The client that contains a tap. */
#define CLIENT_OF(t) CONTAINER_OF(t, struct client, tap)

#endif
