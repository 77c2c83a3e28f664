/*
 * bridge_exchange: masters that share a bus on which one request is answered at
 * a time.
 */
#ifndef BRIDGE_EXCHANGE_H
#define BRIDGE_EXCHANGE_H

#include "bridge_batch.h"

/* Late answers that are waited for at a time; with more, all requests wait. */
#define GUARDS 16

enum exchange_phase { EXCHANGE_IDLE, EXCHANGE_AWAITING, EXCHANGE_RESTING };

/* A master, with what it is still to ask: a port, or the control port. */
struct asker {
	TAILQ_ENTRY(asker) entry;
	struct port *port;     /* NULL: the control port... */
	const struct tap *tap; /* ...for `ask`; NULL: for `send` */
	struct queue queue;
	uint64_t last_ns; /* when it asked last */
};
TAILQ_HEAD(asker_list, asker);

/* A request that was not answered in time. */
struct guard {
	struct modbus request;
	uint64_t until_ns; /* its answer may come until then */
};

struct exchange {
	TAILQ_ENTRY(exchange) entry;
	struct bridge *bridge;
	struct route *route;
	struct node *to;
	struct asker_list askers; /* in the order of their turns */
	struct event *event;
	struct precise precise;
	struct task task;
	enum exchange_phase phase;
	struct asker *asker; /* who gets the answer; NULL: nobody any more */
	struct modbus request;
	uint64_t sent_ns, until_ns;
	size_t arriving; /* bytes of an answer that were there already */
	bool answered;
	bool shown;	      /* to a session of the control port, as it came */
	struct queued answer; /* in these: */
	uint8_t answer_payload[MODBUS_LONGEST];
	uint8_t answer_wire[MODBUS_LONGEST + 2];
	struct guard guard[GUARDS];
	unsigned nguards;
};

/*
 * Makes the exchanges that routes ask for among the nodes, which are not at work
 * yet.  -ENOMEM: none is made.
 */
int exchanges_new(struct bridge *b, const struct routes *routes,
    struct node *const *node, unsigned n, struct exchange_list *ret);
/*
 * They take the place of the bridge's.  What waits in one whose route and bus
 * stay the same goes on; what waits in others is dropped and counted.
 */
void exchanges_use(struct bridge *b, struct exchange_list *list);
void exchanges_free(struct exchange_list *list);

/* Takes the picked frames over, as requests of the port they came from. */
void exchange_ask(struct exchange *ex, const struct batch *batch);
/*
 * Finds the answer among the frames that came from the bus.  The name of the
 * endpoint that gets it is appended to names, unless that is NULL.
 */
void exchange_answer(
    struct exchange *ex, const struct batch *batch, char *names, size_t size);
/*
 * A request of the control port.  tap: who awaits its answer, with exchange_answers; NULL:
 * it is to be sent, no more.  -EINVAL: no Modbus message; -ENOTCONN: no peer; -ENETDOWN:
 * the bus is not up; -ENOBUFS; -ENOMEM.
 */
int exchange_send(struct exchange *ex, const struct tap *tap,
    const uint8_t *payload, size_t len);
/* Whether the frame that a tap is being told of is the answer to its request. */
bool exchange_answers(const struct exchange *ex, const struct tap *tap);
/* It waits for no answer any more; what has not been sent is dropped. */
void exchange_forget_tap(struct bridge *b, const struct tap *tap);
/* The port is down, and with it what it had asked, or what was to be sent to it. */
void exchange_forget(struct bridge *b, const struct port *port);
/* Gives the answers that are there to those who asked. */
void exchanges_settle(struct bridge *b);
/* What waits to be asked is added to bytes and frames. */
void exchange_queued(const struct exchange *ex, size_t *bytes, size_t *frames);
/* Its callback comes as soon as the turn at hand is over. */
void exchange_wake(struct exchange *ex);
/* NULL: out of memory. */
struct asker *exchange_add_asker(
    struct exchange *ex, struct port *port, const struct tap *tap);

/* --- from one process to the next (bridge_exchange_past.c) --------------- */

struct old_exchanges;
struct pack;
struct unpack;

void exchanges_save(const struct bridge *b, struct pack *p);
/* The bytes must stay until they are freed.  -ENOMEM; what is wrong with them, u says. */
int exchanges_read(struct unpack *u, struct old_exchanges **ret);
/* Exchanges of the same route and bus go on where they were... */
void exchanges_restore(struct bridge *b, struct old_exchanges *old);
/* ...each master when its link is up, which must be that of the process before. */
void exchanges_restore_master(struct port *port, struct old_exchanges *old);
/* What was not restored is counted as dropped.  Both may be NULL. */
void old_exchanges_free(struct old_exchanges *old, struct bridge *b);

#endif
