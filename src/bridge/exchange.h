/*
 * exchange: masters that share a bus on which one request is answered at
 * a time.
 */
#ifndef EXCHANGE_H
#define EXCHANGE_H

#include <event2/util.h>

#include "batch.h"
#include "convert.h"

/*
 * The maximum number of late answers expected at a time; when it is reached, all requests
 * wait.
 */
#define GUARDS 16

enum exchange_phase { EXCHANGE_IDLE, EXCHANGE_AWAITING, EXCHANGE_RESTING };

/* A master, which is a port or the control port, with its waiting requests. */
struct master {
	TAILQ_ENTRY(master) entry;
	struct port *port;     /* NULL: the control port... */
	const struct tap *tap; /* ...for `ask`; NULL: for `send` */
	struct queue queue;
	uint64_t last_ns; /* when it last sent a request */
};
TAILQ_HEAD(master_list, master);

/* A request that was not answered in time. */
struct guard {
	struct modbus request;
	uint64_t until_ns; /* its answer may arrive until then */
};

/* How an exchange sends.  Both members are set. */
struct exchange_ops {
	/* A request, to every link of the bus. */
	void (*send)(struct node *bus, const struct queued *q);
	/* An answer, to the master that sent the request. */
	void (*answer)(struct port *master, const struct queued *q);
};

struct exchange {
	TAILQ_ENTRY(exchange) entry;
	const struct exchange_ops *ops;
	struct bridge *bridge;
	struct route *route;
	struct node *to;
	struct exchange *old;	    /* until it is used: see exchanges_add() */
	struct master_list masters; /* in the order of their turns */
	struct event *event;
	struct precise precise;
	struct task task;
	enum exchange_phase phase;
	struct master *master; /* the master that gets the answer, or NULL */
	struct modbus request;
	uint32_t master_number; /* its number from its master... */
	uint32_t number;	/* ...and its number on the bus */
	uint8_t exception;	/* to be sent to its master, 0: none */
	uint64_t sent_ns, until_ns;
	size_t arriving; /* bytes of an answer at the last check */
	bool answered;
	bool shown;	      /* the answer was shown to a control session */
	struct queued answer; /* stored in: */
	uint8_t answer_payload[CONVERT_MAX];
	uint8_t answer_wire[MODBUS_LONGEST + 2];
	struct guard guard[GUARDS];
	unsigned nguards;
};

/* Adds an exchange for the route and its bus to a list that is not in use yet; old: the
 * present exchange of the bus, or NULL.  -ENOMEM. */
int exchanges_add(struct exchange_list *list, struct bridge *b,
    const struct exchange_ops *ops, struct route *route, struct node *to,
    struct exchange *old);
/*
 * The exchanges of the list replace those of the bridge.  What is known of a bus stays: the
 * request that was sent, and answers that may still arrive.  Queued requests stay if the
 * section of the route is the same; others are dropped and counted.
 */
void exchanges_use(struct bridge *b, struct exchange_list *list);
void exchanges_free(struct exchange_list *list);

/* Queues the picked frames as requests of the port they came from. */
void exchange_submit(struct exchange *ex, struct batch *batch);
/* Frames of a master with numbers that no exchange has got are requests to a unit that is on
 * no bus: the first exchange among the targets answers them with an exception. */
void exchange_refuse(const struct batch *batch, const struct route_source *s);
/*
 * Finds the answer among the frames that came from the bus.  The name of the
 * endpoint that gets it is appended to names, unless that is NULL.
 */
void exchange_answer(
    struct exchange *ex, const struct batch *batch, char *names, size_t size);
/*
 * Queues a request from the control port.  tap: awaits the answer, and recognizes it with
 * exchange_answers(); NULL: the request is only to be sent.  -EINVAL: not a Modbus
 * message; -ENOTCONN: no peer; -ENETDOWN: the bus is not up; -ENOBUFS; -ENOMEM.
 */
int exchange_send(struct exchange *ex, const struct tap *tap,
    const uint8_t *payload, size_t len);
/* Whether the frame that is being shown to the tap is the answer to its request. */
bool exchange_answers(const struct exchange *ex, const struct tap *tap);
/* The tap no longer waits for an answer; its requests that were not sent are dropped. */
void exchange_forget_tap(struct bridge *b, const struct tap *tap);
/*
 * The port is down: drops the requests it has sent, and, if it is the bus, the request
 * that was to be written to it.
 */
void exchange_forget(struct bridge *b, const struct port *port);
/* Delivers the answers that have arrived to their masters. */
void exchanges_settle(struct bridge *b);
/* Adds the queued requests to bytes and frames. */
void exchange_queued(const struct exchange *ex, size_t *bytes, size_t *frames);
/* Makes the callback run as soon as the current turn is over. */
void exchange_wake(struct exchange *ex);
/* NULL: out of memory. */
struct master *exchange_add_master(
    struct exchange *ex, struct port *port, const struct tap *tap);

/* --- between the files of the exchange ------------------------------------ */

/* exchange_bus.c */
const struct framing_conf *exchange_framing(const struct exchange *ex);
/* The framing of a master; NULL for the control port, which uses the framing of the bus. */
const struct framing_conf *exchange_master_framing(const struct master *master);
/*
 * Whether the messages of the master have numbers, so that it can be informed that there
 * is no answer.
 */
bool exchange_master_numbers(const struct master *master);
uint64_t exchange_answer_timeout(const struct exchange *ex);
/*
 * The time for which the line is busy with this number of bytes, in ns; 0 if its rate is
 * not known.
 */
uint64_t exchange_line_time(const struct exchange *ex, size_t bytes);
/* Counts a request that is not sent to the bus. */
void exchange_drop(struct exchange *ex, enum drop_reason reason, size_t len);
/*
 * Whether nothing is queued for the bus; a bus that is down counts as clear, because
 * requests to it are dropped.
 */
bool exchange_bus_clear(const struct exchange *ex);
/* Reads a request of the master; one from the control port is in the framing of the bus. */
bool exchange_read_request(const struct exchange *ex,
    const struct master *master, const struct queued *q, struct modbus *ret);
/* Whether a request can be sent now. */
bool exchange_bus_open(const struct exchange *ex);
/*
 * Sends a request to the bus; returns false, and counts it, if that is not possible.
 * from: the framing of the master, NULL: that of the bus.
 */
bool exchange_put_on_bus(struct exchange *ex, const struct framing_conf *from,
    const struct queued *request);
/*
 * Withdraws a request for which no master waits, so that it is not sent when the bus
 * accepts data again.
 */
void exchange_withdraw(struct exchange *ex, enum drop_reason reason);
/* No master waits for the answer to the current request any longer. */
void exchange_abandon(struct exchange *ex, enum drop_reason reason);

/* exchange_master.c */
/* Frees the master and drops its queued requests, which are counted. */
void exchange_free_master(
    struct exchange *ex, struct master *master, enum drop_reason reason);
/* The master with the least recent turn that may send a request now, or NULL. */
struct master *exchange_next_master(struct exchange *ex);
/* The name of the master for messages; none: the text for NULL. */
const char *exchange_master_name(const struct master *master, const char *none);

/* exchange_guard.c */
/* The interval at which an answer that has begun in time is checked again, in ns. */
#define ARRIVING (50 * NSEC_PER_MSEC)
/* Adds a guard for the request that was not answered in time. */
void exchange_guard_add(struct exchange *ex, uint64_t now);
/* Whether a late answer could be mistaken for the answer to the master's next request. */
bool exchange_is_guarded(
    const struct exchange *ex, const struct master *master);
/* Whether the frame is the late answer to a request. */
bool exchange_is_late(const struct exchange *ex, const struct item *item);
/* When the first guard expires, 0 if there is none. */
uint64_t exchange_first_guard(const struct exchange *ex);
/* Removes the guards that have expired; they are extended while an answer is arriving. */
void exchange_guards_end(struct exchange *ex, uint64_t now, bool arriving);

/* exchange.c */
void exchange_label(const struct task *task, char *buf, size_t size);
/* Sets the timer for the next action. */
void exchange_arm(struct exchange *ex, uint64_t now);
/* The callback of its event. */
void exchange_on_event(evutil_socket_t fd, short what, void *arg);

/* --- handover to the next process (exchange_restore.c) -------------------- */

struct old_exchanges;
struct pack;
struct unpack;

void exchanges_save(const struct bridge *b, struct pack *p);
/*
 * The bytes must stay valid until the result is freed.  -ENOMEM; u->failed is set if they
 * were not written by exchanges_save().
 */
int exchanges_read(struct unpack *u, struct old_exchanges **ret);
/* Restores exchanges with the same route and bus... */
void exchanges_restore(struct bridge *b, struct old_exchanges *old);
/*
 * ...and each master when its link is up, which must have been handed over by the
 * previous process.
 */
void exchanges_restore_master(struct port *port, struct old_exchanges *old);
/* Counts requests that were not restored as dropped.  Both arguments may be NULL. */
void old_exchanges_free(struct old_exchanges *old, struct bridge *b);

#endif
