/*
 * bridge: ports, and the path that bytes take through them.
 *
 *   readable -> port_input (cut into frames)
 *            -> port_forward (routes, filters, taps)
 *            -> node_deliver (write at once, or queue: limit, policy, counters)
 *   writable -> port_flush (from the queue: encode, write, hand the rest over)
 *
 * A node is an endpoint as the bridge sees it; a port is one of its links with a
 * decoder and a queue.  A full queue pauses the ports whose frames it would
 * take, and these then take turns; port_update() alone decides from the state
 * what is read.
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

/* Why a frame that was accepted, or offered, did not go out. */
enum drop_reason {
	DROP_OVERFLOW,	  /* the queue was full, by its policy */
	DROP_REPLACED,	  /* a newer one came in its place */
	DROP_DOWN,	  /* the queue was full while the endpoint was down */
	DROP_STALLED,	  /* the peer took nothing for stall_timeout */
	DROP_UNENCODABLE, /* its framing cannot express the frame */
	DROP_CUT,	  /* the link was lost in the middle of the frame */
	DROP_CLOSED,	  /* the peer went, or the endpoint was taken away */
	DROP_NO_PEER,	  /* a server without any peer */
	DROP_MEMORY,
	DROP_REASONS
};
extern const char *const drop_reason_names[DROP_REASONS];

/* All in frames unless the name says bytes. */
struct traffic {
	uint64_t rx_bytes, rx_frames, rx_payload;
	uint64_t rx_overhead; /* of its frames, around their payload */
	uint64_t tx_bytes, tx_frames, tx_payload;
	uint64_t bad[BAD_REASONS]; /* times */
	uint64_t bad_bytes[BAD_REASONS];
	uint64_t unchecked;
	uint64_t dropped[DROP_REASONS];
	uint64_t dropped_bytes;
	uint64_t stalls;
};

struct node;
struct bridge;
struct batch;
struct restored_link;
struct snapshot;
struct latest_table;
struct losses;
struct node_losses;

/*
 * The frame of which the bufferevent holds the end, or all.  Kept until it is out:
 * if the link is lost and not a byte of it was written, it is sent again.
 */
struct in_flight {
	uint8_t *payload; /* a copy; NULL: there was no memory */
	size_t len;
	/* After the payload: the frame as it was received, see struct queued, or
	 * nothing. */
	size_t spelling_len;
	uint32_t spelled;
	size_t wire; /* bytes the bufferevent was given, 0: none
			 * yet, it is to be sent again */
	uint64_t since_ns;
	unsigned route;
	bool waits;   /* there is one */
	bool partial; /* some of it was written already */
	uint8_t
	    *rest; /* its unwritten end, while the line is closed, or NULL */
	size_t rest_len;
	struct device_id device; /* that of the line */
};

/* What the receiver had taken at the last look (stall.c). */
struct progress {
	uint64_t taken;	   /* bytes, see link_taken */
	uint64_t delay_ns; /* how long that may stay the same */
	bool looked;	   /* there was a last look */
};

TAILQ_HEAD(port_list, port);

struct port {
	/* What is asked of either side of a message... */
	_Alignas(CACHE_LINE) TAILQ_ENTRY(port) entry;
	struct node *node;
	struct link *link;
	const struct endpoint_conf *conf; /* the endpoint's */
	uint64_t gap_at; /* until then nothing may be written */
	size_t held_len; /* of held */
	bool backlog;	 /* there may be whole frames in it */
	bool full;   /* its queue is full and pauses others: it has waiters */
	bool fair;   /* several sources may send to it */
	bool shared; /* several of them waited, not long ago */
	bool stalled;
	bool closing; /* has ended, and only gets what is queued... */
	/* ...of the side it comes from... */
	_Alignas(CACHE_LINE) struct decoder decoder;
	uint8_t *held; /* bytes read and not yet decoded */
	size_t held_size;
	struct port *blocked_by; /* the port whose waiter it is, or NULL */
	bool turn;		 /* it is its turn there */
	size_t turn_left;	 /* bytes of the turn, of datagrams */
	uint64_t last_turn;	 /* a number that grows with each turn */
	TAILQ_ENTRY(port) waiting;
	/* ...counted on both (and when it last took something)... */
	_Alignas(CACHE_LINE) uint64_t progress_ns;
	struct traffic traffic;
	/* ...and asked of the side it goes to. */
	_Alignas(CACHE_LINE) struct in_flight
	    in_flight; /* before all in the queue */
	struct queue queue;
	struct latest_table
	    *latest; /* of its messages, NULL until it is needed */
	struct restored_link
	    *restored_link; /* waits for the link to be up, or NULL */
	struct progress progress;
	struct event *timer;	/* NULL until it is needed */
	struct precise precise; /* set when the timer has to be precise */
	struct task timer_task;
	uint64_t timer_at;			  /* ns, 0: not armed */
	void (*due)(struct port *, uint64_t now); /* called when it fires */
	uint64_t stall_at; /* the times that it and gap_at stand for, 0: none */
	uint64_t silence_at, age_at, linger_at;
	uint64_t close_by; /* ...until then, at most */
	uint64_t turn_at;
	struct port_list waiters; /* for room in the queue */
	uint64_t shared_ns;	  /* when there were several of them last */
	size_t window;	    /* what a source may take while nothing waits... */
	uint64_t window_tx; /* ...and tx_bytes when it was last computed */
};

struct node {
	_Alignas(CACHE_LINE) struct bridge *bridge;
	struct endpoint *endpoint;
	struct port_list ports;	   /* one, or one a connection */
	unsigned number;	   /* in the routes' table */
	unsigned framing_class;	   /* nodes with the same framing share it */
	uint32_t framing_id;	   /* of that framing, in any process */
	bool alike;		   /* its frames may be forwarded as received */
	unsigned nsources;	   /* links that may send to it: 0, 1, more */
	struct exchange *exchange; /* asks it one thing at a time, or NULL */
	bool read_until_full;	   /* reads on: one large write is worth it */
	struct traffic retired;	   /* of ports that are no more, or of none */
	struct node_losses *losses; /* those logged, NULL: none */
};

struct exchange;
TAILQ_HEAD(exchange_list, exchange);

/* A live view: told of each frame and of whom it goes to ("-": nobody). */
struct tap {
	TAILQ_ENTRY(tap) entry;
	void (*frame)(struct tap *, const struct port *from, const char *to,
	    const uint8_t *payload, size_t len);
	/* Of endpoints that it is about, NULL at the end; its own.  NULL: all */
	char **names;
};
TAILQ_HEAD(tap_list, tap);

/*
 * A position in the list of endpoints, their peers and routes, for a reply that is
 * produced in pieces.  A reload or a peer that leaves adjusts it: what exists all the
 * time, in the same order, is returned exactly once.
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
	unsigned *by_name; /* their numbers, sorted by name */
	struct tap_list taps;
	struct cursor_list cursors;
	struct exchange_list exchanges;
	uint8_t *read_buffer; /* where bytes are cut into frames */
	uint8_t *plain;	      /* where they are unstuffed */
	uint8_t *out;	      /* where frames are encoded... */
	size_t out_size;      /* ...at least the largest one */
	char *names; /* where it goes, for the taps: at most everywhere */
	size_t names_size;
	struct batch *batch;
	struct losses *losses;	   /* NULL until some are logged */
	struct snapshot *snapshot; /* while it starts, or NULL */
	bool queued; /* something has joined a queue in this turn */
	bool stopping;
	/* Told when an endpoint comes or goes; NULL: nobody is. */
	void (*changed)(struct bridge *);
};

int bridge_new(struct event_base *base, struct bridge **ret);
/*
 * Makes the bridge what the configuration says, taking its endpoint and route confs
 * over: new endpoints are opened, those that now have to be opened differently are
 * closed and opened again, those that were removed are closed, the others stay open.
 * -errno with a sentence in err: nothing was changed.  All at once; change.h does it in
 * steps.
 */
int bridge_apply(struct bridge *b, struct config *c, struct error *err);
/* From now on nothing more is read; what was read already is written out. */
void bridge_stop(struct bridge *b);
/* To be called repeatedly after bridge_stop(): whether everything is written and, as far
 * as the kernel knows, has reached the other sides.  Shuts down the sending direction of
 * connections. */
bool bridge_drained(struct bridge *b);
/* The same of what we hold ourselves: the kernel may still have some of it. */
bool bridge_written(const struct bridge *b);
void bridge_free(struct bridge *b);

/* Ends breaks that are in progress. */
void bridge_end_breaks(struct bridge *b);
/* Before it is saved: completes what need not be handed over. */
void bridge_settle(struct bridge *b);

struct node *bridge_find(const struct bridge *b, const char *name);
/* The same among n nodes; NULL: none has that name. */
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
/* Bytes and frames that wait for a port, or for all ports of a node. */
void port_queued(const struct port *p, size_t *bytes, size_t *frames);
void node_queued(const struct node *n, size_t *bytes, size_t *frames);
/* Of all of its ports, and those that are no more. */
void node_traffic(const struct node *n, struct traffic *ret);
void traffic_add(struct traffic *to, const struct traffic *t);
uint64_t traffic_dropped(const struct traffic *t);
uint64_t traffic_errors(const struct traffic *t);
/*
 * Sends one frame to every link of a node.  -EINVAL: not expressible; -ENOBUFS: full;
 * -ENOTCONN: no peer.  To the bus of an exchange it is sent as a request when its turn
 * comes, for that tap, which must be on the bridge, or NULL; see exchange_send() for
 * errors.
 */
int node_send(
    struct node *n, const struct tap *tap, const uint8_t *payload, size_t len);
/* Whether the frame of the node that is being shown to the tap answers its request. */
bool node_answers(const struct node *n, const struct tap *tap);
/* Stops reading from and writing to it; frames for it are held as while down. */
void node_pause(struct node *n, bool paused);
/* Moves it to the first of each; it must be zeroed or have been opened before. */
void cursor_open(struct cursor *cursor, struct bridge *b);
/* Harmless when it is not open. */
void cursor_close(struct cursor *cursor);
/* The next endpoint, the next peer of endpoints that have several, or the next route; NULL
 * at the end. */
const struct node *cursor_node(struct cursor *cursor);
const struct port *cursor_peer(struct cursor *cursor);
const struct route *cursor_route(struct cursor *cursor);
void bridge_tap(struct bridge *b, struct tap *tap);
/* Frees its names, too. */
void bridge_untap(struct bridge *b, struct tap *tap);
/* Of one that was not put on a bridge; NULL is fine. */
void tap_free_names(char **names);

#endif
