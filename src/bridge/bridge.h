/*
 * bridge: ports, and the data path through them.
 *
 *   readable -> port_input (cut into frames)
 *            -> port_forward (routes, filters, taps)
 *            -> node_deliver (write at once, or queue: limit, policy, counters)
 *   writable -> port_flush (from the queue: encode, write, hand the rest over)
 *
 * A node is the bridge's representation of an endpoint; a port is one of its links with a
 * decoder and a queue.  A full queue pauses the ports that send to it, and these then
 * take turns; port_update() alone decides from the state which ports are read.
 */
#ifndef BRIDGE_H
#define BRIDGE_H

#include <string.h>

#include "config.h"
#include "endpoint.h"
#include "error.h"
#include "framing.h"
#include "precise.h"
#include "queue.h"
#include "route.h"

/* The reasons why a frame that was accepted, or offered, was not sent. */
enum drop_reason {
	DROP_OVERFLOW,	  /* the queue was full, by its policy */
	DROP_REPLACED,	  /* replaced by a newer frame */
	DROP_DOWN,	  /* the queue was full while the endpoint was down */
	DROP_STALLED,	  /* the peer received nothing for stall_timeout */
	DROP_UNENCODABLE, /* its framing cannot express the frame */
	DROP_CUT,	  /* the link was lost in the middle of the frame */
	DROP_CLOSED,  /* the peer disconnected, or the endpoint was removed */
	DROP_NO_PEER, /* a server without any peer */
	DROP_MEMORY,
	DROP_EXPIRED,	/* it has waited too long */
	DROP_DAMAGED,	/* it could not be read from the spool */
	DROP_DISCARDED, /* by a command */
	DROP_REFUSED,	/* the other side has refused it */
	DROP_REASONS
};
extern const char *const drop_reason_names[DROP_REASONS];

/* All in frames unless the name says bytes. */
struct traffic {
	uint64_t rx_bytes, rx_frames, rx_payload;
	uint64_t rx_overhead; /* bytes of its frames other than payload */
	uint64_t tx_bytes, tx_frames, tx_payload;
	uint64_t bad[BAD_REASONS]; /* number of times */
	uint64_t bad_bytes[BAD_REASONS];
	uint64_t unchecked;
	uint64_t dropped[DROP_REASONS];
	uint64_t dropped_bytes;
	uint64_t stalls;
	uint64_t echo_bytes; /* received of its own output, and removed */
	uint64_t collisions; /* with that output */
	uint64_t refused_frames,
	    refused_bytes; /* of clients that may not write */
	/* A version before them does not save these, so they are the last. */
	uint64_t offered;  /* to be sent to the link, see node_offered() */
	uint64_t rejected; /* of those, by all routes */
};

struct ack;
struct node;
struct bridge;
struct batch;
struct restored_link;
struct snapshot;
struct latest_table;
struct local_echo;
struct losses;
struct history;
struct node_log;
struct node_losses;
struct port_lines;
struct silence_watch;
struct port_spool;
struct writer_stats;

/*
 * The frame whose end, or all of it, is in the output buffer of the bufferevent.  It is
 * kept until it is written: if the link is lost before any byte of it was written, it is
 * sent again.
 */
struct in_flight {
	uint8_t *payload; /* a copy; NULL: there was no memory */
	size_t len;
	/*
	 * After the payload: the frame as it was received, see struct queued; 0: not
	 * kept.
	 */
	size_t spelling_len;
	uint32_t spelled;
	size_t wire; /* bytes passed on; 0: to be sent again */
	uint64_t since_ns;
	unsigned route;
	bool waits;    /* there is one */
	bool partial;  /* a part of it has been written */
	uint8_t *rest; /* unwritten end while the line is closed */
	size_t rest_len;
	struct device_id device; /* that of the line */
};

/* The progress of the receiver at the last check (stall.c). */
struct progress {
	uint64_t taken;	   /* bytes, see link_taken */
	uint64_t delay_ns; /* maximum time without progress */
	bool looked;	   /* there was a check */
};

TAILQ_HEAD(port_list, port);

/* Frames of which is known whether they were bad: the bits of discards.recent. */
#define DISCARD_WINDOW 32
/* All input is discarded for so long: that is a warning. */
#define DISCARD_WARNING_NS (60 * NSEC_PER_SEC)

/* As of the last bad frame, see discard.c. */
struct discards {
	uint32_t recent;   /* the frames until then, see recent() */
	uint64_t frames;   /* good ones until then */
	uint64_t n;	   /* bad ones since the last good one... */
	uint64_t since_ns; /* ...the first of which came then */
	uint64_t last_ns;
};

struct port {
	/* Used on both sides of the data path... */
	_Alignas(CACHE_LINE) TAILQ_ENTRY(port) entry;
	struct node *node;
	struct link *link;
	const struct endpoint_conf *conf; /* the endpoint's */
	uint64_t gap_at;		  /* no write before this time */
	size_t held_len;		  /* length of held */
	bool backlog;			  /* held may contain whole frames */
	bool full;   /* its queue is full and pauses others: it has waiters */
	bool fair;   /* several sources may send to it */
	bool shared; /* several of them waited recently */
	bool stalled;
	bool closing;  /* after a half close: drains its queue... */
	bool apart;    /* frames are written one at a time */
	bool spooling; /* frames wait in its spool: later ones go there, too */
	bool refusing; /* input was refused, which was logged */
	/* ...used on the source side... */
	_Alignas(CACHE_LINE) struct decoder decoder;
	uint8_t *held; /* bytes read and not yet decoded */
	size_t held_size;
	size_t least_read; /* bytes that are read at least: a whole message */
	size_t
	    refused_len; /* how much of the input begins with bytes that came without
			     * the right to write, see refuse.c */
	struct port *blocked_by; /* the port whose waiter it is, or NULL */
	bool turn;		 /* it has its turn at that port */
	size_t turn_left;	 /* bytes of the turn, of datagrams */
	uint64_t last_turn;	 /* number of its last turn */
	TAILQ_ENTRY(port) waiting;
	/* ...updated on both sides (progress_ns: the last time it received something)... */
	_Alignas(CACHE_LINE) uint64_t progress_ns;
	struct traffic traffic;
	/* ...and used on the destination side. */
	_Alignas(CACHE_LINE) struct in_flight
	    in_flight; /* precedes all frames of the queue */
	struct queue queue;
	size_t flushed; /* bytes of the queue's last batch that were written */
	struct latest_table *latest; /* NULL until it is needed */
	struct ack
	    *ack; /* what its link has taken; NULL: it confirms nothing */
	struct local_echo *local_echo; /* NULL until something is sent */
	struct port_lines *lines; /* not logged yet; NULL: none (record.c) */
	struct restored_link *restored_link; /* until the link is up */
	struct progress progress;
	uint64_t replayed;	  /* bytes of history that were sent first */
	bool said_last;		  /* see port_say_last() */
	struct port_spool *spool; /* NULL: none (port_spool.c) */
	char *spool_error;	  /* why it could not be opened, or NULL */
	uint64_t spooled; /* frames that the process before had in its spool */
	struct event *timer;	/* NULL until it is needed */
	struct precise precise; /* set when the timer has to be precise */
	struct task timer_task;
	uint64_t timer_at;			  /* ns, 0: not armed */
	void (*due)(struct port *, uint64_t now); /* when the timer fires */
	uint64_t stall_at; /* the times for which the timer is set, 0: none */
	uint64_t silence_at, age_at, linger_at;
	uint64_t close_by; /* ...until this time at the latest */
	uint64_t turn_at;
	uint64_t pace_at;	  /* the next piece of a frame is written... */
	uint64_t paced_ns;	  /* ...and no other one before this time */
	bool pace_refused;	  /* the kernel did not accept the last piece */
	uint64_t gap_since_ns;	  /* the gap began, after a frame... */
	size_t gap_len;		  /* ...of so many bytes */
	struct port_list waiters; /* for room in the queue */
	uint64_t shared_ns;	  /* last time with several waiters */
	size_t window; /* what a source may use while nothing is queued... */
	uint64_t window_tx; /* ...and tx_bytes when it was last computed */
	struct discards discards;
};

/* An endpoint that is lost as often within a minute is flapping. */
#define FLAPPING_LOSSES 6

struct node {
	_Alignas(CACHE_LINE) struct bridge *bridge;
	struct endpoint *endpoint;
	struct port_list ports; /* one, or one per connection */
	unsigned number;	/* in the routes' table */
	unsigned framing_class; /* nodes with the same framing share it */
	uint32_t framing_id;	/* of that framing, in any process */
	bool alike;		/* its frames may be forwarded as received */
	enum framing_messages messages; /* that it sends */
	unsigned nsources;	   /* links that may send to it: 0, 1, more */
	struct exchange *exchange; /* serializes requests to it, or NULL */
	bool read_until_full;	   /* to write as much as possible at once */
	struct traffic retired;	 /* counters of closed ports, and of no port */
	struct history *history; /* NULL: none (history.c) */
	struct node_log *log;	 /* NULL: none (record.c) */
	struct node_losses *losses;    /* losses that were logged, NULL: none */
	struct silence_watch *silence; /* NULL: none (silence.c) */
	uint64_t unneeded_ns; /* since when; 0: it is needed (demand.c) */
	/* See node_warnings.c: */
	struct warning *warnings;	   /* those in force */
	uint64_t frames_before;		   /* received before it came up */
	uint64_t lost_ns[FLAPPING_LOSSES]; /* a ring of the last losses... */
	unsigned nlost;			   /* ...and their number */
	bool was_up;			   /* at the last change of its state */
	uint64_t
	    down_ns; /* when it began to wait to be opened; 0: it does not */
};

struct exchange;
TAILQ_HEAD(exchange_list, exchange);
LIST_HEAD(failover_list, failover);

/*
 * A live view of what passes.  Each function may be NULL; what no tap asks for costs
 * nothing.  They are called in the data path: they must not send anything or remove a tap,
 * and the data is valid during the call only.  from, to: names of endpoints or peers, of
 * several separated by commas, "-": none.
 */
struct tap {
	TAILQ_ENTRY(tap) entry;
	/* A frame that was received, and its destinations. */
	void (*frame)(struct tap *, const struct port *from, const char *to,
	    const uint8_t *payload, size_t len);
	/*
	 * The same, and what became of it at each destination: "sent to ar2", "queued for
	 * lan#1", "rejected by route r", "dropped for lan#2: overflow", separated by "; ".
	 */
	void (*outcome)(struct tap *, const struct port *from, const char *to,
	    const uint8_t *payload, size_t len, const char *outcome);
	/* A frame that a command sent to an endpoint, and what became of it. */
	void (*sent)(struct tap *, const struct node *to,
	    const uint8_t *payload, size_t len, const char *outcome);
	/*
	 * Its request gets no answer.  sent: it was sent, and was not answered in time;
	 * otherwise it was dropped, or the bus went down.
	 */
	void (*unanswered)(struct tap *, bool sent);
	/*
	 * What happens to a frame later: it was queued and is dropped ("dropped:
	 * overflow"), or an exchange drops a request, sends it again, or gives a master an
	 * exception.
	 */
	void (*note)(struct tap *, const char *from, const char *to,
	    const uint8_t *payload, size_t len, const char *note);
	/* Input that was discarded; again: it belongs to the piece before it. */
	void (*bad)(struct tap *, const struct port *from, enum bad_reason,
	    const uint8_t *data, size_t len, bool again);
	/* Bytes before framing, as they were read from a link, or written to it. */
	void (*bytes)(struct tap *, const struct port *port, bool out,
	    const uint8_t *data, size_t len);
	/*
	 * n frames for the node were dropped, or n pieces of its input discarded.  The
	 * first of each reason is notified immediately, others once a second.
	 */
	void (*lost)(struct tap *, const struct node *node, const char *reason,
	    uint64_t n, bool first, bool input);
	/* The state of the endpoint has changed, also because it is removed. */
	void (*state)(struct tap *, const struct endpoint *ep);
	/*
	 * The endpoints whose frames it shows, NULL-terminated, owned by the tap.  NULL:
	 * all.
	 */
	char **names;
};
TAILQ_HEAD(tap_list, tap);

/* What the taps of a bridge ask for. */
enum tapped {
	TAPPED_FRAMES = 1 << 0, /* frame, outcome, sent, note */
	TAPPED_BAD = 1 << 1,
	TAPPED_BYTES = 1 << 2,
	TAPPED_LOST = 1 << 3
};

/*
 * A position in the list of endpoints, their peers and routes, for a reply that is
 * produced in pieces.  It is adjusted at a reload and when a peer disconnects: an object
 * that exists throughout is returned exactly once, as long as the order does not change.
 */
struct cursor {
	struct bridge *bridge;	 /* NULL: not open */
	unsigned node, route;	 /* the next ones */
	const struct port *port; /* the next peer, or NULL */
	LIST_ENTRY(cursor) entry;
};
LIST_HEAD(cursor_list, cursor);

struct bridge {
	struct event_base *base;
	struct routes *routes;
	struct node **node; /* by number */
	unsigned nnodes;
	unsigned *by_name; /* node numbers, sorted by name */
	struct tap_list taps;
	unsigned tapped; /* enum tapped of all taps */
	struct cursor_list cursors;
	struct exchange_list exchanges;
	struct failover_list failovers;
	uint8_t *read_buffer; /* where bytes are cut into frames */
	uint8_t *plain;	      /* where they are unstuffed */
	uint8_t *out;	      /* where frames are encoded... */
	size_t out_size;      /* ...at least the largest one */
	char *names;	      /* names of the destinations, for the taps */
	size_t names_size;
	struct batch *batch;
	struct losses *losses;	   /* NULL until some are logged */
	struct snapshot *snapshot; /* while it is being restored, or NULL */
	unsigned ndemand; /* endpoints that are open on demand (demand.c) */
	struct event *demand;
	struct task demand_task;
	unsigned nlogs; /* nodes with a log or a history of input (record.c) */
	struct tap log_tap;
	struct event *log_timer;
	struct task log_task;
	bool queued; /* a frame was queued in this turn */
	bool stopping;
	/* Called when the state of an endpoint changes; may be NULL. */
	void (*changed)(struct bridge *);
};

int bridge_new(struct event_base *base, struct bridge **ret);
/*
 * Changes the bridge to match the configuration, and takes over its endpoint and route
 * confs: new endpoints are opened, those that have to be opened differently are closed
 * and opened again, those that were removed are closed, the others stay open.  On -errno,
 * with a message in err, nothing was changed.  Does all steps in one call; see change.h
 * for a change in steps.
 */
int bridge_apply(struct bridge *b, struct config *c, struct error *err);
/* Stops all input; frames that were read already are still written. */
void bridge_stop(struct bridge *b);
/*
 * To be called repeatedly after bridge_stop(): returns whether everything is written and,
 * as far as the kernel knows, has reached the peers.  Shuts down the sending direction of
 * connections.
 */
bool bridge_drained(struct bridge *b);
/* The same for the data in this process: the kernel may still hold some of it. */
bool bridge_written(const struct bridge *b);
/* The same for links with TLS and those that confirm frames, which the next process cannot
 * continue; these take no more frames. */
bool bridge_tls_written(const struct bridge *b);
/* Closes these links in a deferred step; what is queued for peers is dropped. */
void bridge_end_tls(struct bridge *b);
/* The process continues after bridge_tls_written(). */
void bridge_resume(struct bridge *b);
void bridge_free(struct bridge *b);

/* The state of the previous process was restored, and what it had open taken over. */
void bridge_restored(struct bridge *b);
/* Ends breaks and resets that are in progress. */
void bridge_end_signals(struct bridge *b);
/* Opens all logs again: they may have been renamed. */
void bridge_reopen_logs(struct bridge *b);
/* Logs the beginnings of lines that began before that time. */
void bridge_flush_logs(struct bridge *b, uint64_t before);
/*
 * A copy of the most recent bytes of the node, to be freed.  -ENOENT: it keeps none.
 */
int node_history_get(const struct node *node, uint8_t **ret, size_t *ret_len);
/* The log of the node; false: it has none. */
bool node_log_stats(const struct node *node, struct writer_stats *ret);
/* What waits in the spool of a node. */
struct spool_status {
	const char *state;	 /* "empty", "active" or "failing" */
	uint64_t frames, bytes;	 /* including copies in the queue; about */
	uint64_t size, segments; /* of the files */
	uint64_t first, next;	 /* numbers */
	uint64_t errors;
	const char *error;     /* why it is failing, or NULL */
	const char *directory; /* NULL: none */
};
/* False: it has none. */
bool node_spool(const struct node *node, struct spool_status *ret);
/* Drops all its frames; returns their number. */
uint64_t node_spool_drop(struct node *node);
/* Called before the state is saved: completes what need not be handed over. */
void bridge_settle(struct bridge *b);

struct node *bridge_find(const struct bridge *b, const char *name);
/* Finds a node by name among n nodes; NULL: none has that name. */
static inline struct node *
node_find(struct node *const *node, unsigned n, const char *name)
{
	for (unsigned i = 0; i < n; i++)
		if (strcmp(node[i]->endpoint->conf->name, name) == 0)
			return node[i];
	return NULL;
}
/* How many endpoints are up. */
unsigned bridge_up(const struct bridge *b);
/* "2 of 3 endpoints up, 1 idle"; returns buf. */
const char *bridge_summary(const struct bridge *b, char *buf, size_t size);
/* Bytes and frames queued for a port, or for all ports of a node. */
void port_queued(const struct port *p, size_t *bytes, size_t *frames);
void node_queued(const struct node *n, size_t *bytes, size_t *frames);
/* The sum for all of its ports, including closed ones. */
void node_traffic(const struct node *n, struct traffic *ret);
/* The frames that were received from it. */
uint64_t node_received(const struct node *n);
/*
 * The frames that were to be sent to the endpoint, once for each peer; the traffic is that
 * of the node.  It is the sum of those that were sent (tx_frames), are queued, were rejected
 * by routes, and were dropped.
 */
uint64_t node_offered(const struct node *n, const struct traffic *t);
void traffic_add(struct traffic *to, const struct traffic *t);
uint64_t traffic_dropped(const struct traffic *t);
uint64_t traffic_errors(const struct traffic *t);
/*
 * Sends one frame to every link of a node.  -EINVAL: not expressible; -ENOBUFS: full;
 * -ENOTCONN: no peer.  If the node is the bus of an exchange, the frame is queued as a
 * request for that tap, which must be on the bridge, or NULL; see exchange_send() for
 * errors.
 */
int node_send(
    struct node *n, struct tap *tap, const uint8_t *payload, size_t len);
/*
 * Whether the frame of the node that is being shown to the tap is the answer to its
 * request.
 */
bool node_answers(const struct node *n, const struct tap *tap);
/* The share of the last 10 s in which the bus of an exchange was not idle, in percent. */
double exchange_utilisation(const struct exchange_stats *stats);
/*
 * Stops reading from and writing to the node; frames for it are queued as while it is
 * down.
 */
void node_pause(struct node *n, bool paused);
/*
 * Moves the cursor to the first object of each kind; it must be zeroed or have been
 * opened before.
 */
void cursor_open(struct cursor *cursor, struct bridge *b);
/* Has no effect on a cursor that is not open. */
void cursor_close(struct cursor *cursor);
/*
 * The next endpoint, the next peer of endpoints that have several, or the next route;
 * NULL at the end.
 */
const struct node *cursor_node(struct cursor *cursor);
const struct port *cursor_peer(struct cursor *cursor);
const struct route *cursor_route(struct cursor *cursor);
void bridge_tap(struct bridge *b, struct tap *tap);
/* Also frees the names of the tap. */
void bridge_untap(struct bridge *b, struct tap *tap);
/* Frees the names of a tap that is not on a bridge; names may be NULL. */
void tap_free_names(char **names);

#endif
