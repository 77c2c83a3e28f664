/*
 * endpoint: a named place where bytes come and go.  Opens it, notices that it is
 * lost, and opens it again; knows nothing of routes or frames.
 *
 * An endpoint has links: open byte streams.  Those with one
 * (a serial port) have the same link all their life, up or down; those with
 * several (a tcp-server) have one for each connection, while it lasts.
 *
 * Reading.  A read event says when; link_read() reads into the owner's own buffer.
 *
 * Writing.  link_write() writes at once while the bufferevent holds nothing; the
 * part that the kernel did not take goes to link_hand(), which leaves it to the
 * bufferevent.  So there is one writer at a time, and order holds.
 *
 * Who frees what: a link that is lost is taken out of use at once (down, events
 * disabled) and closed in a deferred step, so that nothing is freed inside its own
 * callback.
 */
#ifndef ENDPOINT_H
#define ENDPOINT_H

#include <sys/queue.h>

#include "device_watch.h"
#include "error.h"
#include "framing.h"
#include "fdstore.h"
#include "key.h"
#include "stats.h"

#define ENDPOINT_NAME_MAX 32
#define ENDPOINT_ADDRESS_MAX 160

struct bufferevent;
struct event;
struct event_base;
struct endpoint;

enum overflow {
	OVERFLOW_BLOCK,
	OVERFLOW_DROP_OLDEST,
	OVERFLOW_DROP_NEWEST,
	OVERFLOW_DISCONNECT
};

/* A checked section. */
struct endpoint_conf {
	_Alignas(CACHE_LINE) const struct endpoint_ops *ops;
	uint64_t queue;		/* bytes */
	uint64_t frame_timeout; /* ns, 0: none */
	int overflow;		/* enum overflow */
	struct framing_conf framing;
	char *name;
	char *text;	  /* the section, for comparing */
	char *wire;	  /* the part of it that says how it is opened */
	const char *file; /* where it stands, for messages */
	int line;

	char *label;
	uint64_t stall_timeout;		 /* ns, 0: none */
	uint64_t reopen_min, reopen_max; /* ns */

	/* The keys of its type: ops->conf_size bytes, NULL if that is 0. */
	void *type_conf;
};

enum endpoint_state {
	ENDPOINT_CLOSED,  /* not opened yet, or stopped */
	ENDPOINT_OPENING, /* a connection is being made */
	ENDPOINT_WAITING, /* a pty that no program has open */
	ENDPOINT_UP,
	ENDPOINT_LOST /* to be reopened */
};

/* Which device file something is open on. */
struct device_id {
	uint64_t device, inode, number;
};

struct link;

/*
 * What carries the bytes of a link that has no descriptor of its own.  A transport
 * announces with link_ready() what link_read() or link_write() can do again.  All
 * members are set, unless their comment says otherwise.
 */
struct link_ops {
	/* As read(2) and write(2) without blocking: the number of bytes, 0 at the end of
	 * what the other side sends, -errno (-EAGAIN: nothing now).  Each is called
	 * only for a link that is up.  Neither may close the link. */
	ssize_t (*read)(struct link *, void *buf, size_t size);
	ssize_t (*write)(struct link *, const void *data, size_t len);
	/* What is to be announced has changed: EV_READ while link->reading, EV_WRITE
	 * while link->output_pending. */
	void (*wait)(struct link *);
	/* What output that could not be written waits for, in words; called while
	 * link->output_pending.  NULL: as for a descriptor. */
	void (*label)(const struct link *, char *buf, size_t size);
	/* The link is closed, and about to be freed. */
	void (*closed)(struct link *);
};

/* One open byte stream.  What each message needs comes first. */
struct link {
	_Alignas(CACHE_LINE) struct endpoint *endpoint;
	void *port;		 /* the owner's */
	struct bufferevent *bev; /* what waits to go out; NULL while down */
	struct event *readable;
	int fd;		 /* -1: see ops */
	int read_result; /* what the last read met: an errno, or the end */
	bool up;
	bool reading;	     /* what link_set_reading was told last */
	bool read_eof;	     /* the other side sends no more */
	bool output_pending; /* the bufferevent holds something */
	bool unwritable;     /* takes nothing any more, may still be read */
	bool read_closed;    /* no more is read from it, by us */
	bool write_closed;   /* the other side was told that no more comes */
	bool deferred;	     /* waits for the deferred step */
	uint64_t rx_bytes, tx_bytes;
	_Alignas(CACHE_LINE) struct task read;
	struct task write;
	TAILQ_ENTRY(link) entry, deferred_entry;
	char name[ENDPOINT_NAME_MAX + 12]; /* "ar1", "lan#3" */
	char address[ENDPOINT_ADDRESS_MAX];
	int end;       /* what the deferred step makes of it */
	char why[160]; /* it is to be closed */
	bool close_fd; /* close(fd) when the link goes */
	bool adopted;  /* open since the process before this one */
	bool
	    socket; /* of a stream: data may be left after its end, to be read */
	bool local;		    /* a Unix socket */
	bool hung_up;		    /* seen by the hang-up watch... */
	bool watched;		    /* ...that it is in */
	uint64_t since_ns;	    /* up or down since then */
	struct kept kept;	    /* its descriptor, across a restart */
	const struct link_ops *ops; /* NULL: its descriptor carries the bytes */
	void *transport;	    /* the private data of ops */
};
TAILQ_HEAD(link_list, link);

/* Characters that a serial port received wrongly, or that were lost, and breaks. */
struct line_errors {
	uint64_t frame, parity, overrun, breaks;
};

/* What the owner of endpoints is told.  All members are set. */
struct endpoint_owner {
	/* The link can be used.  For a new connection link->port is NULL; -errno
	 * refuses it. */
	int (*up)(struct link *);
	/* The link is gone: nothing may be written or read any more.  For a
	 * connection link->port must be given up now. */
	void (*down)(struct link *, const char *why);
	/* Something can be read, or the other side has ended (link->ended). */
	void (*readable)(struct link *);
	/* All that was handed over has been written. */
	void (*writable)(struct link *);
	/* What was handed over and is not written yet never will be; the link
	 * stays. */
	void (*cut)(struct link *);
	/* What the link's read and write tasks wait for, in words. */
	void (*label)(const struct link *, bool writing, char *, size_t);
	/* The state of the endpoint, or a key of its section, has changed. */
	void (*state)(struct endpoint *);
};

struct endpoint_ops {
	const char *type;	/* as in the section's head */
	const struct key *keys; /* its own, offsets into conf->type_conf */
	size_t conf_size;	/* of the struct that these are offsets into */
	bool several;		/* has a link for each connection */
	bool terminal;		/* its links are terminals, see tty(4) */
	bool echo; /* returns what is written to it to the sender */
	/* The other side does not notice that it is closed and opened again: a
	 * frame of which half is written is ended then. */
	bool line;
	/* Each frame is a datagram, of at most that many bytes; each read and
	 * each write of a link is one.  0: byte streams. */
	size_t datagram;
	/* Checks keys against each other; -EINVAL and a sentence in err. NULL:
	 * nothing to check. */
	int (*check)(struct endpoint_conf *, struct error *err);
	/* Says in err why a section that is valid will not work; leaves err as it
	 * is when it may.  NULL: nothing to say. */
	void (*warn)(const struct endpoint_conf *, struct error *err);
	/*
	 * Opens: ends in endpoint_up() at once or later, or returns -errno with a
	 * sentence in ep->error.
	 */
	int (*open)(struct endpoint *);
	/* Gives back what open took, link's descriptor included. NULL-safe: may be called
	 * in any state. */
	void (*close)(struct endpoint *);
	/* A key of the section has changed in ep->conf: makes the open endpoint
	 * follow.  -errno with a sentence in ep->error.  NULL: no key may. */
	int (*apply)(struct endpoint *, const struct key *);
	/* Sends a break of that length; 0: ends the one in progress.  NULL: this type
	 * has none. */
	int (*send_break)(struct endpoint *, uint64_t ns);
	/* The one link has hung up: true if the type has dealt with it (a pty
	 * waits for the next one to open it). NULL: it is lost.  Of a type with
	 * several: one of its connections has ended, or gone. */
	bool (*hangup)(struct endpoint *);
	/* What the driver has counted since it was loaded.  -ENOTTY: it counts nothing;
	 * -ENOTCONN: not open.  NULL: there is no such driver. */
	int (*line_errors)(const struct endpoint *, struct line_errors *);
	/* Bytes that the kernel has accepted, and would lose if it were closed now: a
	 * clean stop waits for them. NULL: it sends them all the same. */
	unsigned (*unsent)(const struct endpoint *);
};

struct endpoint {
	_Alignas(CACHE_LINE) struct endpoint_conf *conf; /* its own */
	const struct endpoint_owner *owner;
	void *node; /* the owner's */
	enum endpoint_state state;
	bool paused;	  /* by a person */
	struct link link; /* of those with one */
	TAILQ_ENTRY(endpoint) entry;
	struct event_base *base;
	uint64_t since_ns; /* in that state */
	char address[ENDPOINT_ADDRESS_MAX];
	struct error error;	/* why it is not up */
	char said[ERROR_MAX];	/* the reason that was logged last */
	struct link_list links; /* of those with several */
	unsigned next_link;
	unsigned nlinks;
	unsigned nended; /* of them: those that send no more */
	uint64_t opens, losses;
	uint64_t
	    refused; /* connections and datagrams turned away, or unsendable */
	uint64_t backoff_ns, next_try_ns;
	bool tried;  /* opened once, whatever came of it */
	bool absent; /* the device was not there at the last try */
	struct event *reopen_event;
	struct device_watch device; /* while it is lost */
	struct task reopen;
	void *impl; /* the type's own */
};

/* All types, NULL at the end, in types.c. */
extern const struct endpoint_ops *const endpoint_types[];
extern const struct endpoint_ops endpoint_serial, endpoint_pty, endpoint_echo,
    endpoint_tcp_server, endpoint_tcp_client, endpoint_unix_server,
    endpoint_udp;
const struct endpoint_ops *endpoint_type(const char *name);
const char *endpoint_state_name(enum endpoint_state state);
/* Keys of every endpoint, offsets into endpoint_conf. */
extern const struct key endpoint_common_keys[];
/* A section of that type, zeroed; NULL without memory. */
struct endpoint_conf *endpoint_conf_new(const struct endpoint_ops *ops);
/* Frees it with all it owns; NULL is fine. */
void endpoint_conf_free(struct endpoint_conf *conf);
/* The value of the key of its type that names such a thing; NULL: there is no such key, or
 * it is not given. */
const char *endpoint_named(
    const struct endpoint_conf *conf, enum key_names what);

/* --- for the owner ------------------------------------------------------- */

/* Takes conf over, unless it fails (-ENOMEM).  Opens nothing yet. */
int endpoint_new(struct event_base *base, struct endpoint_conf *conf,
    const struct endpoint_owner *owner, void *node, struct endpoint **ret);
/* The first try to open; a failure is logged and tried again. */
void endpoint_start(struct endpoint *ep);
/* Closes for good: down is told for each link that is up. Not from inside one of its
 * callbacks. */
void endpoint_stop(struct endpoint *ep);
/* The same, and frees; NULL is fine. */
void endpoint_free(struct endpoint *ep);
/* Closes and opens again at once. */
void endpoint_reopen(struct endpoint *ep);
/* Takes over what the section says now for the keys of every endpoint, which may change
 * while it is open, and leaves the old values in conf. */
void endpoint_follow(struct endpoint *ep, struct endpoint_conf *conf);
/* Changes a key of the section while it is open; -errno, sentence in err. */
int endpoint_set(
    struct endpoint *ep, const char *key, const char *value, struct error *err);
int endpoint_break(struct endpoint *ep, uint64_t ns);
/* Ends a break that is in progress, if any is. */
void endpoint_end_break(struct endpoint *ep);

/* Reads up to size bytes, not 0, once, or, with on, on while reads are full.  0: nothing
 * now, or nothing more; the owner is told of an end after its readable.  Of an endpoint
 * that is paused nothing is read, even when it is closed. */
size_t link_read(struct link *link, uint8_t *buf, size_t size, bool on);
/*
 * Writes at once what the kernel takes: the number of bytes, 0 when it takes none
 * or while something handed over is on its way; -errno: the link is lost (and the
 * owner's down comes in a deferred step, not from inside this call).
 */
ssize_t link_write(struct link *link, const void *data, size_t len);
/* Leaves bytes to the bufferevent, which writes them as soon as it can; writable
 * follows.  -ENOMEM. */
int link_hand(struct link *link, const uint8_t *data, size_t len);
/* The device that the link is open on, and that is still there; false where none would
 * be the same after it was opened again. */
bool link_device(const struct link *link, struct device_id *ret);
/* Takes all bytes back that are handed over and not yet written; returns how many. */
size_t link_take_back(struct link *link);
/* Bytes handed over and not yet written. */
size_t link_pending(const struct link *link);
/* Whether more is to be read; may be called from inside callbacks. A hang-up is noticed all
 * the same. */
void link_set_reading(struct link *link, bool on);
/* Closes one link, in a deferred step; down is told.  A single link is reopened by
 * the back-off. */
void link_close(struct link *link, const char *why);
/* No more is read from it, whatever comes. */
void link_close_read(struct link *link);
/*
 * All is written to it, and it is about to be closed: tells a connection so, and throws
 * away what still comes in.  True when the other side has acknowledged all, or closed;
 * else it is to be called again.
 */
bool link_finish(struct link *link);
/* Frees what all links share, when the last endpoint is gone. */
void link_machinery_free(void);
/* Calls readable (EV_READ) or writable (EV_WRITE) once more, from the loop. */
void link_trigger(struct link *link, short what);

/* --- for the types ------------------------------------------------------- */

/*
 * The one link is open on that descriptor (non-blocking, close-on-exec); it becomes a
 * bufferevent.  close_fd: closed with the link; else the type's close does it.  -errno.
 */
int endpoint_up(struct endpoint *ep, int fd, bool close_fd);
/* A listener is open: an endpoint with several is up without any link. */
void endpoint_listening(struct endpoint *ep);
/* An endpoint with several gets another link. The descriptor is closed with it, and
 * at once on failure.  NULL: refused. */
struct link *endpoint_add_link(
    struct endpoint *ep, int fd, const char *address);
/* The same for a link whose bytes are carried by ops; nothing is closed on failure. */
struct link *endpoint_add_transport(struct endpoint *ep,
    const struct link_ops *ops, void *transport, const char *address);
/* For transports: the link can be read (EV_READ) or written (EV_WRITE) again.  Calls the
 * owner, and is not to be called from inside the callbacks of link_ops. */
void link_ready(struct link *link, short what);
/* The descriptor outlives the process, from now on until the link is closed. */
void link_keep(struct link *link, int fd);
/* The name for what waits to be written to it, to be kept under. */
void link_queue_name(const struct link *link, char *buf, size_t size);
/*
 * What the process before has left open under the same section: the descriptor of the
 * one link, non-blocking; -ENOENT.
 */
int endpoint_take(struct endpoint *ep);
/* The same for connections; each becomes a link under its old name. */
void endpoint_take_links(struct endpoint *ep);
/* The name for a listener of a section of that type, to be kept under. */
void endpoint_keep_name(
    const struct endpoint *ep, const char *part, char *buf, size_t size);
/* Lost, or could not be opened: closed in a deferred step, then reopened by the
 * back-off.  Safe from any callback; a second call is ignored. */
void endpoint_lost(struct endpoint *ep, const char *why);
/* The one link is not usable for now though open (a pty that no program has open), and
 * usable again.  The descriptor stays. */
void endpoint_wait(struct endpoint *ep, const char *why);
void endpoint_resume(struct endpoint *ep);
/* A link whose user has gone has another one, before all that the first had sent
 * is read. */
void link_next_user(struct link *link);

#endif
