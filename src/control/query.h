/*
 * query: a frame that is sent to an endpoint, and the answer that is awaited.
 *
 * The frames of an endpoint do not tell which query they answer.  So the queries of an
 * endpoint are sent one after the other, in the order in which they were started; the bus
 * of an exchange, which knows whose answer a frame is, takes all of them at once.  Each
 * query is a task, and its time runs from its start.
 */
#ifndef QUERY_H
#define QUERY_H

#include "client.h"
#include "error.h"
#include "expression.h"

/* The maximum number of queries of an endpoint; more are refused. */
#define QUERIES_MAX 256

enum query_state {
	QUERY_NEW,
	QUERY_QUEUED,	/* its turn is awaited */
	QUERY_ASKED,	/* its answer is awaited */
	QUERY_ANSWERED, /* the last states: it has ended */
	QUERY_TIMED_OUT,
	QUERY_LOST, /* it could not be sent, or gets no answer */
	QUERY_CANCELLED,
};

struct query {
	/* Filled in by its owner. */
	struct bridge *bridge;
	char name[ENDPOINT_NAME_MAX];	/* of the endpoint */
	char who[ENDPOINT_ADDRESS_MAX]; /* asks */
	uint64_t timeout;		/* ns */
	struct expression *match;	/* of the answer, or NULL: any; owned */
	/* Called when it has ended, also in the data path: must not free it. */
	void (*done)(struct query *q);
	void *arg;

	/* The result. */
	enum query_state state;
	struct evbuffer *answer;
	char from[ENDPOINT_NAME_MAX + 24]; /* the link that answered */
	uint64_t took;			   /* ns, from sending to the answer */
	struct error err;		   /* see query_error() */

	/* Private. */
	TAILQ_ENTRY(query) entry;
	struct tap tap;
	struct task task;
	struct event *timer; /* its timeout, or the end of something */
	bool listed, tapped;
	bool turn;	  /* it is to be sent */
	bool lost_sent;	  /* it was sent, and is not answered */
	uint64_t until;	  /* ns */
	uint64_t sent_ns; /* when it was sent */
	uint64_t up_ns;	  /* since when the endpoint is up */
	int unit;	  /* of a Modbus bus, or -1 */
	size_t len;
	uint8_t frame[];
};

/* A query with a copy of the frame; NULL: out of memory. */
struct query *query_new(struct bridge *b, const uint8_t *frame, size_t len);
/* Ends it without calling done(); not to be called in the data path. */
void query_free(struct query *q);
/* Sends it, or queues it; -errno with a message in q->err. */
int query_start(struct query *q);
/* Why a query that has ended has no answer. */
const char *query_error(struct query *q);
/* Describes what it awaits. */
void query_label(const struct query *q, char *buf, size_t size);
static inline bool
query_has_ended(const struct query *q)
{
	return q->state >= QUERY_ANSWERED;
}
/*
 * What has happened to an endpoint that was asked and is the bus of an exchange, or has
 * changed its state, such as "went down"; NULL: nothing, it can still answer.  up_ns:
 * since when it was up.
 */
const char *ask_lost(const struct bridge *b, const char *name, uint64_t up_ns);

#endif
