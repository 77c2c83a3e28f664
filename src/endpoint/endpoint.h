/*
 * endpoint: a named source and destination of bytes, such as a serial port.  Opens it,
 * detects that it is lost, and reopens it; independent of routes and frames.
 *
 * An endpoint has links, which are open byte streams.  An endpoint with a single link
 * (a serial port) has the same link all the time, up or down; one with several (a
 * tcp-server) has a link for each connection, while it lasts.
 *
 * Reading.  The owner is notified by a read event; link_read() reads into the owner's
 * buffer.
 *
 * Writing.  link_write() writes directly while the bufferevent is empty; the part that
 * the kernel did not accept is passed to link_hand(), which leaves it to the
 * bufferevent.  So there is only one writer at a time, and the order is preserved.
 *
 * Deferred close.  A link that is lost is taken out of use at once (down, events
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
/* The bytes that a frame at least counts in a queue. */
#define QUEUE_FLOOR 16

struct bufferevent;
struct event;
struct event_base;
struct endpoint;
struct filter;
struct handshakes;
struct line_ops;
struct line_use;
struct origin;
struct origins;
struct permission;
struct tls_context;
struct tls_session;

enum overflow {
	OVERFLOW_BLOCK,
	OVERFLOW_DROP_OLDEST,
	OVERFLOW_DROP_NEWEST,
	OVERFLOW_DISCONNECT
};

/* The formats of a log. */
enum log_format { LOG_TEXT, LOG_HEX, LOG_JSON };

/* A section of the configuration that has been checked. */
struct endpoint_conf {
	_Alignas(CACHE_LINE) const struct endpoint_ops *ops;
	uint64_t queue;		/* bytes */
	uint64_t frame_timeout; /* ns, 0: none */
	int overflow;		/* enum overflow */
	uint64_t pace;		/* bytes per second, 0: no limit */
	uint64_t frame_gap;	/* ns between frames, 0: none */
	bool echo;		/* it receives what is written to it */
	bool demand;		/* it is open only while the owner needs it */
	bool shares_address;	/* others may listen on its address, too */
	struct framing_conf framing;
	char *name;
	char *text;	  /* the text of the section, for comparison */
	char *wire;	  /* the part that determines how it is opened */
	const char *file; /* where the section is, for messages */
	int line;

	char *label;
	uint64_t history; /* bytes, 0: none */
	char *log;	  /* a file; NULL: none */
	int log_format;	  /* enum log_format */
	uint64_t log_size, log_files;
	bool required;		  /* the daemon is healthy only if it is up */
	uint64_t silence_warning; /* ns, 0: none */
	uint64_t silence_timeout; /* ns, 0: none */
	uint64_t stall_timeout;	  /* ns, 0: none */
	uint64_t spool;		  /* bytes, 0: none */
	uint64_t spool_sync;	  /* ns, 0: always, SPOOL_NEVER: none */
	uint64_t spool_age;	  /* ns, 0: no limit */
	uint64_t frame_age;	  /* ns, 0: no limit */
	uint64_t reopen_min, reopen_max; /* ns */

	struct tls_context *tls; /* NULL: no TLS */

	/* That it is raw and the other side is framed, as a sentence; NULL: it is not
	 * so. */
	char *mixed_framing;

	/* The values of the keys of its type: ops->conf_size bytes, NULL if that is 0. */
	void *type_conf;
};

#define SPOOL_NEVER UINT64_MAX

enum endpoint_state {
	ENDPOINT_CLOSED,  /* not opened yet, or stopped */
	ENDPOINT_OPENING, /* a connection is being made */
	ENDPOINT_WAITING, /* a pty that no program has open */
	ENDPOINT_UP,
	ENDPOINT_LOST, /* to be reopened */
	ENDPOINT_IDLE  /* not needed now, see endpoint_conf.demand */
};

/* Identifies an open device file. */
struct device_id {
	uint64_t device, inode, number;
};

struct link;

/*
 * The transport of a link whose bytes are not simply read from and written to a
 * descriptor.  It calls link_ready() when link_read() or link_write() can make progress
 * again; if the link has a descriptor, its input is waited for as for any other.  All
 * members must be set, unless their comment says otherwise.
 */
struct link_ops {
	/*
	 * Like read(2) and write(2) on a non-blocking descriptor, but return -errno on
	 * failure (-EAGAIN: would block); 0 from read is the end of input.  They are
	 * called only for a link that is up, and must not close the link.
	 */
	ssize_t (*read)(struct link *, void *buf, size_t size);
	ssize_t (*write)(struct link *, const void *data, size_t len);
	/*
	 * A message transport, whose endpoint confirms what it delivers: takes a frame,
	 * and calls the owner's delivered() with *ret_id later; more: another one follows
	 * at once, or soon.  Returns 0; 1: it was
	 * delivered at once; -EAGAIN: it takes none now, and will call writable();
	 * -EMSGSIZE: it cannot be sent; -ENOMEM.  NULL: not such a transport.
	 */
	int (*submit)(struct link *, const uint8_t *data, size_t len,
	    const struct origin *, bool more, unsigned *ret_id);
	/* The events to announce have changed, see link_events(). */
	void (*wait)(struct link *);
	/* Describes what pending output waits for; called while link->output_pending.
	 * NULL: as for a descriptor. */
	void (*label)(const struct link *, char *buf, size_t size);
	/* The link is closed and is about to be freed; so is its descriptor, if any. */
	void (*closed)(struct link *);
	/* The number of bytes that write has accepted and that are not sent yet.  NULL:
	 * there are never any. */
	size_t (*held)(const struct link *);
	/* Sends what is held, then the end of output; -EAGAIN: not all of it could be
	 * sent.  NULL: the descriptor is shut down. */
	int (*finish)(struct link *);
	/* Describes an error that read or write has returned; false: as any errno.
	 * NULL: no such errors. */
	bool (*reason)(const struct link *, int e, char *buf, size_t size);
	/* The session of TLS.  NULL: the link has no TLS. */
	const struct tls_session *(*session)(const struct link *);
};

#define LINK_WHY_MAX 160

/* A TCP connection whose peer must acknowledge what it is sent (keepalive.c). */
struct keepalive {
	uint64_t ns;	   /* within this time; 0: not watched */
	uint64_t asked_ns; /* since when it owes one, 0: it does not */
	TAILQ_ENTRY(link) entry;
};

/* The use of a link at the last look (idle.c). */
struct idle {
	uint64_t bytes;	   /* read and written until then, and commands */
	uint64_t since_ns; /* the first look with that number; 0: none yet */
};

/* An open byte stream.  Members used for each message come first. */
struct link {
	_Alignas(CACHE_LINE) struct endpoint *endpoint;
	void *port;		 /* the owner's */
	struct bufferevent *bev; /* pending output; NULL while down */
	struct event *readable;
	int fd; /* -1: it has none, see ops */
	int16_t
	    read_result; /* result of the last read: errno, or end of input */
	bool carried;	 /* its bytes are those of ops, not of fd */
	bool up;
	bool reading;	     /* as last set by link_set_reading() */
	bool read_eof;	     /* the other side sends no more */
	bool output_pending; /* the bufferevent holds something */
	bool unwritable;     /* accepts no more output; may still be read */
	bool read_closed;    /* by us: nothing more is read from it */
	bool deferred;	     /* on the list of deferred closes */
	bool restricted;     /* whether it may write has to be asked */
	bool filtered;	     /* has a filter */
	bool armed;	     /* see link_arm() */
	bool paced;	     /* see link_set_paced() */
	uint64_t rx_bytes, tx_bytes; /* of the owner */
	uint64_t heard_ns;	     /* the last time that something was read */
	_Alignas(CACHE_LINE) struct task read;
	struct task write;
	TAILQ_ENTRY(link) entry, deferred_entry;
	char name[ENDPOINT_NAME_MAX + 12]; /* "ar1", "lan#3" */
	char address[ENDPOINT_ADDRESS_MAX];
	int end; /* enum link_end: what the deferred close does */
	char why[LINK_WHY_MAX]; /* reason for closing it */
	bool write_closed;	/* the sending side was shut down by us */
	bool close_fd;		/* close(fd) when the link is closed */
	bool adopted;		/* opened by a previous process */
	bool receive_only;	/* no frames are delivered to it... */
	bool no_peer;		/* ...and it is not shown as a peer */
	/* Why a transport has discarded the datagram that it was to send: EMSGSIZE, or
	 * EDESTADDRREQ; 0: it has not.  Reset by the owner. */
	int unsent;
	int role;	 /* enum role */
	unsigned number; /* of a connection: that in its name */
	bool
	    socket; /* a stream socket: unread data may still be left after an error or a hang-up */
	bool local;	   /* a Unix socket */
	bool hung_up;	   /* a hang-up was reported */
	bool watched;	   /* registered with the hang-up watch */
	uint64_t since_ns; /* time of the last change of up */
	struct kept kept;  /* the descriptor kept across a restart */
	struct keepalive keepalive;
	struct idle idle;
	const struct link_ops *ops; /* NULL: fd is used */
	void *transport;	    /* the private data of ops */
	struct filter *filter;	    /* see link_filter.h; NULL: none */
};
TAILQ_HEAD(link_list, link);

/* Counts of characters that a serial port received with errors or lost, and of breaks. */
struct line_errors {
	uint64_t frame, parity, overrun, breaks;
};

/* Callbacks of the owner of endpoints.  All members must be set. */
struct endpoint_owner {
	/* The link can be used.  For a new connection link->port is NULL; returning
	 * -errno rejects the connection. */
	int (*up)(struct link *);
	/* The link is closed: it must not be read or written any more.  For a
	 * connection link->port must be released now. */
	void (*down)(struct link *, const char *why);
	/* Input is available, or the other side has sent EOF (link->read_eof). */
	void (*readable)(struct link *);
	/* All bytes passed to link_hand() have been written, or the link became
	 * unwritable. */
	void (*writable)(struct link *);
	/* The frame with that id, which was submitted, was delivered; code: it was refused
	 * by the other side.  Unknown ids are ignored. */
	void (*delivered)(struct link *, unsigned id, int code);
	/* The endpoint is about to be closed on purpose.  Called before down() for a
	 * single link that is up. */
	void (*closing)(struct link *);
	/* Bytes passed to link_hand() and not yet written are discarded; the link
	 * stays open. */
	void (*cut)(struct link *);
	/* Describes what the read or write task of the link waits for. */
	void (*label)(const struct link *, bool writing, char *, size_t);
	/* The state of the endpoint, or a key of its section, has changed. */
	void (*state)(struct endpoint *);
	/* The serial line with that name; with NULL, the only one that the routes of the
	 * endpoint lead to.  NULL: there is none, or more than one. */
	struct endpoint *(*line)(struct endpoint *, const char *name);
	/* How many of the frames for an endpoint with a single link were written or
	 * dropped, and how many wait. */
	void (*progress)(
	    const struct endpoint *, uint64_t *ret_done, uint64_t *ret_waiting);
};

struct endpoint_ops {
	const char *type;	/* as in the header of the section */
	const struct key *keys; /* its own, offsets into conf->type_conf */
	size_t conf_size;	/* of the struct for type_conf */
	/* The key that TYPE:ADDRESS on the command line sets; NULL: none. */
	const char *main_key;
	bool several;  /* has a link for each connection */
	bool terminal; /* its links are terminals, see tty(4) */
	bool echo;     /* returns what is written to it to the sender */
	/* The other side does not notice when it is closed and reopened; a frame that
	 * was partly written is completed after that. */
	bool line;
	/* The offset of its struct permission_conf in type_conf; 0: it has none. */
	size_t permission;
	/* Each frame is a datagram of at most this many bytes, and each read or write
	 * of a link transfers one datagram.  0: byte streams. */
	size_t datagram;
	/* Frames have an origin (ep->origins), are submitted to its link, and stay queued
	 * until they are confirmed. */
	bool confirms;
	/* Checks the values of the keys against each other; returns -EINVAL and sets
	 * err on failure.  NULL: nothing to check. */
	int (*check)(struct endpoint_conf *, struct error *err);
	/* Reads the files that the section names, such as certificates, after check;
	 * may be called in a thread.  -errno and err on failure.  NULL: there are
	 * none. */
	int (*load)(struct endpoint_conf *, struct error *err);
	/* Sets err if the section is valid but will not work, and leaves it unchanged
	 * otherwise.  NULL: no such check. */
	void (*warn)(const struct endpoint_conf *, struct error *err);
	/* Writes the identity with which it connects to the i-th (from 0) of its hosts,
	 * such as "ID at HOST:PORT".  No other endpoint may have the same one.  Returns
	 * false if it has no more hosts.  NULL: it has no such identity. */
	bool (*claim)(
	    const struct endpoint_conf *, unsigned i, char *buf, size_t size);
	/* Returns the name of the key that is not set and without which the endpoint
	 * cannot be a source of routes (source) or a destination; NULL: none.  A NULL
	 * member: it can always be both. */
	const char *(*lacks)(const struct endpoint_conf *, bool source);
	/*
	 * Opens the endpoint: calls endpoint_up() or endpoint_listening(), at once or
	 * later, or returns -errno and sets ep->error.
	 */
	int (*open)(struct endpoint *);
	/* Releases everything that open acquired, including the descriptor of the link
	 * unless link->close_fd is set.  May be called in any state. */
	void (*close)(struct endpoint *);
	/* Releases what is kept while it is closed, when it is freed.  NULL: nothing is. */
	void (*free)(struct endpoint *);
	/* The topic of the frame that was read last from its link, not terminated; NULL:
	 * it has none.  NULL: there are no topics. */
	const char *(*topic)(const struct endpoint *, size_t *ret_len);
	/*
	 * A key of the type that takes effect in place has changed in ep->conf: checks it
	 * against the others, and applies it to the endpoint, which may be closed.
	 * Returns -errno and sets ep->error on failure.  NULL: the type reads such keys
	 * when it needs them.
	 */
	int (*apply)(struct endpoint *, const struct key *);
	/* The control of a serial line; NULL: it is none. */
	const struct line_ops *control;
	/* Sends a break of that length.  NULL: not supported by this type. */
	int (*send_break)(struct endpoint *, uint64_t ns);
	/* Starts to reset the device at the other end by the sequence of that name, or
	 * that of the section (NULL).  NULL: not supported by this type. */
	int (*reset)(
	    struct endpoint *, const char *sequence, struct error *err);
	/* Ends a break and a reset in progress.  NULL: the type has neither. */
	void (*end_signals)(struct endpoint *);
	/*
	 * A type with a single link: the link has hung up; returns true if the type
	 * handles that (a pty waits for the next user).  NULL: the link is lost.  A
	 * type with several links: a connection has sent EOF or was closed.
	 */
	bool (*hangup)(struct endpoint *);
	/* A link is being created, before up(): gives it a filter, if it needs one, with
	 * link_set_filter().  -errno: it cannot be used.  NULL: links have none. */
	int (*attach)(struct link *);
	/* Whether its clients control a serial line, see endpoint_owner.line.  NULL: they
	 * do not. */
	bool (*needs_line)(const struct endpoint_conf *);
	/* Gets the counts of the driver since it was loaded.  -ENOTTY: it counts
	 * nothing; -ENOTCONN: not open.  NULL: no such counts. */
	int (*line_errors)(const struct endpoint *, struct line_errors *);
	/*
	 * Number of bytes that the kernel has accepted and would discard if the
	 * descriptor were closed now; a clean stop waits for them.  NULL: close()
	 * discards nothing.
	 */
	unsigned (*unsent)(const struct endpoint *);
};

struct endpoint {
	_Alignas(CACHE_LINE) struct endpoint_conf *conf; /* its own */
	const struct endpoint_owner *owner;
	void *node; /* the owner's */
	enum endpoint_state state;
	bool paused;	  /* by the user */
	struct link link; /* for types with a single link */
	TAILQ_ENTRY(endpoint) entry;
	struct event_base *base;
	uint64_t since_ns; /* time of the last change of state */
	char address[ENDPOINT_ADDRESS_MAX];
	struct error error;	/* why it is not up */
	char said[ERROR_MAX];	/* the last reason logged */
	struct link_list links; /* for types with several links */
	unsigned next_link;
	unsigned nlinks;
	unsigned nended; /* number of links that have read EOF */
	uint64_t opens, losses;
	uint64_t silences; /* how often it was opened again because of one */
	uint64_t
	    refused; /* connections and datagrams rejected, or unsendable */
	uint64_t idle_closed;	       /* connections, in this process */
	uint64_t replaced;	       /* by newer ones, in this process */
	struct permission *permission; /* NULL: all may read and write */
	uint64_t bad_commands;	       /* of the protocols of closed links */
	struct line_use *line_use;     /* of a line; NULL: no client has it */
	uint64_t tls_failed;	       /* handshakes, in this process */
	struct handshakes *handshakes; /* those in progress; NULL: no TLS */
	struct origins *origins; /* identities of frames; NULL: it has none */
	uint64_t backoff_ns, next_try_ns;
	bool tried;  /* opening was tried at least once */
	bool absent; /* the device was not there at the last try */
	struct event *reopen_event;
	struct device_watch device; /* while it is lost */
	struct task reopen;
	void *impl; /* private data of the type */
};

/* All types, NULL-terminated; in types.c. */
extern const struct endpoint_ops *const endpoint_types[];
extern const struct endpoint_ops endpoint_serial, endpoint_pty, endpoint_echo,
    endpoint_tcp_server, endpoint_tcp_client, endpoint_unix_server,
    endpoint_unix_client, endpoint_udp, endpoint_mqtt;
const struct endpoint_ops *endpoint_type(const char *name);
const char *endpoint_state_name(enum endpoint_state state);
/* The time until the next attempt to open it; 0 when there will be none, or now. */
uint64_t endpoint_next_try(const struct endpoint *ep);
/* The keys common to all endpoints; their offsets are into struct endpoint_conf. */
extern const struct key endpoint_common_keys[];
/* Checks them against each other; -EINVAL and err. */
int endpoint_check_common(const struct endpoint_conf *conf, struct error *err);
/* Rows of a key table for the struct owner, whose members they name. */
#define ENDPOINT_KEY_ON_OPEN(owner)                                         \
	{                                                                   \
		.name = "on_open", .type = KEY_TEXT,                        \
		.offset = offsetof(owner, on_open), .names = NAMES_OPENING, \
		.in_place = true,                                           \
		.help = "written when it was opened, with C escapes"        \
	}
#define ENDPOINT_KEY_ON_CLOSE(owner)                                         \
	{                                                                    \
		.name = "on_close", .type = KEY_TEXT,                        \
		.offset = offsetof(owner, on_close), .names = NAMES_CLOSING, \
		.in_place = true,                                            \
		.help = "written before it is closed on purpose"             \
	}
/* Allocates a zeroed section of that type; NULL when out of memory. */
struct endpoint_conf *endpoint_conf_new(const struct endpoint_ops *ops);
/* Frees the section and all that it owns; NULL is allowed. */
void endpoint_conf_free(struct endpoint_conf *conf);
/* The value of the key of its type that names such a thing; NULL: there is no such
 * key, or it is not set. */
const char *endpoint_named(
    const struct endpoint_conf *conf, enum key_names what);

/* --- for the owner ------------------------------------------------------- */

/* Takes ownership of conf unless it fails (-ENOMEM).  Does not open the endpoint. */
int endpoint_new(struct event_base *base, struct endpoint_conf *conf,
    const struct endpoint_owner *owner, void *node, struct endpoint **ret);
/* Tries to open the endpoint; a failure is logged and retried. */
void endpoint_start(struct endpoint *ep);
/* The owner needs an endpoint that is open on demand, or does not need it any more: it is
 * opened or closed.  Must not be called from a callback of the endpoint. */
void endpoint_need(struct endpoint *ep, bool needed);
/* Closes the endpoint for good; down() is called for each link that is up.  Must not
 * be called from a callback of the endpoint. */
void endpoint_stop(struct endpoint *ep);
/* The same, and frees the endpoint; NULL is allowed. */
void endpoint_free(struct endpoint *ep);
/* Closes the endpoint and opens it again without a back-off. */
void endpoint_reopen(struct endpoint *ep, const char *why);
/* Applies the new values of the keys that take effect while the endpoint is open; the
 * old values are left in conf.  All other keys must be the same.  -errno and err if a
 * value cannot be applied: then the endpoint has to be reopened. */
int endpoint_follow(
    struct endpoint *ep, struct endpoint_conf *conf, struct error *err);
/* Uses the TLS context of a section that is read again for new connections. */
void endpoint_follow_tls(struct endpoint *ep, struct endpoint_conf *conf);
/* Takes what follows from the framing of others from a section that is read again. */
void endpoint_follow_framing(struct endpoint *ep, struct endpoint_conf *conf);
/* Changes a key of the section while the endpoint is open; returns -errno and sets err
 * on failure. */
int endpoint_set(
    struct endpoint *ep, const char *key, const char *value, struct error *err);
int endpoint_break(struct endpoint *ep, uint64_t ns);
int endpoint_reset(
    struct endpoint *ep, const char *sequence, struct error *err);
/* Ends what the signals of the line are doing: a break, a reset. */
void endpoint_end_signals(struct endpoint *ep);

/*
 * Reads up to size bytes (size > 0): once, or repeatedly if on is set and reads return
 * full.  Returns 0 if nothing is available or the input has ended; the end is handled
 * after the owner's readable() returns.  Nothing is read while the endpoint is paused,
 * even when it is closed.
 */
size_t link_read(struct link *link, uint8_t *buf, size_t size, bool on);
/*
 * Writes as much as the kernel accepts and returns the number of bytes: 0 when it
 * accepts none, or while output is pending.  Returns -errno when the link is lost or
 * unwritable; down() is called in a deferred step, not from inside this function.
 */
ssize_t link_write(struct link *link, const void *data, size_t len);
/* Passes bytes to the bufferevent, which writes them when the link is writable;
 * writable() is called after that.  -ENOMEM. */
int link_hand(struct link *link, const uint8_t *data, size_t len);
/* From now on what is passed to link_hand() is written by link_write_pending() only, or,
 * as usual, when the link is writable. */
void link_set_paced(struct link *link, bool on);
/* Writes up to max bytes of what is pending on a link that is paced; returns like
 * link_write().  writable() is not called. */
ssize_t link_write_pending(struct link *link, size_t max);
/* Gets the device that the link is open on, if it is still present.  False where a
 * reopened endpoint would not be the same device. */
bool link_device(const struct link *link, struct device_id *ret);
/* Removes all pending bytes that were passed to link_hand(); returns their number. */
size_t link_take_back(struct link *link);
/* Number of bytes passed to link_hand() and not yet written. */
size_t link_pending(const struct link *link);
/* Number of bytes that this process has yet to send after link_write() has accepted
 * those of the owner: encrypted ones, the rest of an encoded byte, commands of a filter. */
size_t link_held(const struct link *link);
/* Enables or disables reading; may be called from callbacks.  A hang-up is detected in
 * either case. */
void link_set_reading(struct link *link, bool on);
/* Closes one link in a deferred step; down() is called.  A single link is reopened
 * after the back-off. */
void link_close(struct link *link, const char *why);
/* Stops reading from the link: link_read() returns 0 from now on. */
void link_close_read(struct link *link);
/*
 * Called when all output has been written and the link is about to be closed: shuts
 * down the sending side of a connection and discards further input.  Returns true when
 * the other side has acknowledged everything or closed; otherwise it must be called
 * again.
 */
bool link_finish(struct link *link);
/* Frees what all links share, after the last endpoint was freed. */
void link_machinery_free(void);
/* Causes readable() (EV_READ) or writable() (EV_WRITE) to be called from the event
 * loop. */
void link_trigger(struct link *link, short what);

/* --- for the types ------------------------------------------------------- */

/*
 * The single link is open on that descriptor (non-blocking, close-on-exec).  close_fd:
 * the descriptor is closed with the link, also on failure; otherwise by the type's
 * close().  -errno; the caller then calls endpoint_lost(), or returns it from open().
 */
int endpoint_up(struct endpoint *ep, int fd, bool close_fd);
/* The endpoint is ready: an endpoint with several links is up even without any link. */
void endpoint_listening(struct endpoint *ep);
/* Adds a link to an endpoint with several.  The descriptor is closed with the link,
 * and at once on failure.  NULL: rejected. */
struct link *endpoint_add_link(
    struct endpoint *ep, int fd, const char *address);
/* The same for a connection whose bytes are carried by ops; transport is not freed on
 * failure. */
struct link *endpoint_add_carried(struct endpoint *ep, int fd,
    const struct link_ops *ops, void *transport, const char *address);
/* The same for a link without a descriptor; nothing is closed on failure. */
struct link *endpoint_add_transport(struct endpoint *ep,
    const struct link_ops *ops, void *transport, const char *address,
    bool receive_only);
/*
 * Gives the single link a transport, before endpoint_up(); it is taken away when the
 * link is closed.
 */
void link_set_transport(
    struct link *link, const struct link_ops *ops, void *transport);
/* Called by transports when the link can be read (EV_READ) or written (EV_WRITE)
 * again.  Calls the owner, and must not be called from the callbacks of link_ops. */
void link_ready(struct link *link, short what);
/* Keeps the descriptor for the next process, until the link is closed. */
void link_keep(struct link *link, int fd);
/* The name under which the queued frames of the link are kept. */
void link_queue_name(const struct link *link, char *buf, size_t size);
/*
 * Takes the descriptor of the single link that the previous process kept for the same
 * section, non-blocking; -ENOENT if there is none.
 */
int endpoint_take(struct endpoint *ep);
/* The same for connections; each becomes a link under its previous name. */
void endpoint_take_links(struct endpoint *ep);
/* The name under which a part of the endpoint, such as its listener, is kept. */
void endpoint_keep_name(
    const struct endpoint *ep, const char *part, char *buf, size_t size);
/*
 * The endpoint was lost or could not be opened: closes it in a deferred step and
 * reopens it after the back-off.  May be called from any callback; a second call is
 * ignored.
 */
void endpoint_lost(struct endpoint *ep, const char *why);
/*
 * endpoint_wait(): the single link cannot be used for now although it is open (a pty
 * that no program has open).  endpoint_resume(): it can be used again.  The descriptor
 * stays open.
 */
void endpoint_wait(struct endpoint *ep, const char *why);
void endpoint_resume(struct endpoint *ep);
/* The link has a new user, before all that the previous user had sent is read. */
void link_next_user(struct link *link);

#endif
