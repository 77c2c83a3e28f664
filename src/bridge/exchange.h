/*
 * exchange: masters that share a bus on which one request is answered at
 * a time.
 */
#ifndef EXCHANGE_H
#define EXCHANGE_H

#include <event2/util.h>

#include "batch.h"
#include "convert.h"

/* The most late answers expected at a time; when there are as many, all requests wait. */
#define GUARDS 16

enum exchange_phase { EXCHANGE_IDLE, EXCHANGE_AWAITING, EXCHANGE_RESTING };

/* A master, which is a port or the control port, with its waiting requests. */
struct master {
	TAILQ_ENTRY(master) entry;
	struct port *port;     /* NULL: the control port... */
	const struct tap *tap; /* ...for `ask`; NULL: for `send` */
	struct queue queue;
	uint64_t last_ns; /* when it asked last */
};
TAILQ_HEAD(master_list, master);

/* A request that was not answered in time. */
struct guard {
	struct modbus request;
	uint64_t until_ns; /* its answer may come until then */
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
	struct master_list masters; /* in the order of their turns */
	struct event *event;
	struct precise precise;
	struct task task;
	enum exchange_phase phase;
	struct master *master; /* the master that gets the answer, or NULL */
	struct modbus request;
	uint32_t master_number; /* that it has from its master... */
	uint32_t number;	/* ...and that it has on the bus */
	uint8_t exception;	/* that its master is to get, 0: none */
	uint64_t sent_ns, until_ns;
	size_t arriving; /* bytes of an answer that were there already */
	bool answered;
	bool shown;	      /* it was shown to a control session on arrival */
	struct queued answer; /* in these: */
	uint8_t answer_payload[CONVERT_MAX];
	uint8_t answer_wire[MODBUS_LONGEST + 2];
	struct guard guard[GUARDS];
	unsigned nguards;
};

/* Adds one for the route and its bus to a list that is not at work yet.  -ENOMEM. */
int exchanges_add(struct exchange_list *list, struct bridge *b,
    const struct exchange_ops *ops, struct route *route, struct node *to);
/*
 * They take the place of the bridge's.  What waits in one whose route and bus
 * stay the same goes on; what waits in others is dropped and counted.
 */
void exchanges_use(struct bridge *b, struct exchange_list *list);
void exchanges_free(struct exchange_list *list);

/* Takes the picked frames over, as requests of the port they came from. */
void exchange_submit(struct exchange *ex, const struct batch *batch);
/*
 * Finds the answer among the frames that came from the bus.  The name of the
 * endpoint that gets it is appended to names, unless that is NULL.
 */
void exchange_answer(
    struct exchange *ex, const struct batch *batch, char *names, size_t size);
/*
 * A request from the control port.  tap: that which awaits the answer, and recognizes it
 * with exchange_answers(); NULL: the request is only to be sent.  -EINVAL: not a Modbus
 * message; -ENOTCONN: no peer; -ENETDOWN: the bus is not up; -ENOBUFS; -ENOMEM.
 */
int exchange_send(struct exchange *ex, const struct tap *tap,
    const uint8_t *payload, size_t len);
/* Whether the frame that is being shown to the tap is the answer to its request. */
bool exchange_answers(const struct exchange *ex, const struct tap *tap);
/* The tap no longer waits for an answer; its requests that were not sent are dropped. */
void exchange_forget_tap(struct bridge *b, const struct tap *tap);
/* The port is down: drops what it has asked, and what was to be sent to it. */
void exchange_forget(struct bridge *b, const struct port *port);
/* Delivers the answers that have arrived to the masters that asked. */
void exchanges_settle(struct bridge *b);
/* What waits to be asked is added to bytes and frames. */
void exchange_queued(const struct exchange *ex, size_t *bytes, size_t *frames);
/* Its callback is called as soon as the current turn is over. */
void exchange_wake(struct exchange *ex);
/* NULL: out of memory. */
struct master *exchange_add_master(
    struct exchange *ex, struct port *port, const struct tap *tap);

/* --- between the files of the exchange ----------------------------------- */

/* exchange_bus.c */
const struct framing_conf *exchange_framing(const struct exchange *ex);
/* The framing of a master; NULL: the control port, which writes in the framing of the bus. */
const struct framing_conf *exchange_master_framing(const struct master *master);
/* Whether it can be told that there is no answer, as its messages have numbers. */
bool exchange_master_numbers(const struct master *master);
uint64_t exchange_answer_timeout(const struct exchange *ex);
/* How long the line is busy with that many bytes, ns; 0 where its rate is not known. */
uint64_t exchange_line_time(const struct exchange *ex, size_t bytes);
/* Counts a request that does not get to the bus. */
void exchange_drop(struct exchange *ex, enum drop_reason reason, size_t len);
/* Whether nothing is queued before the next request; a bus that is down counts as clear,
 * because requests to it are dropped. */
bool exchange_bus_clear(const struct exchange *ex);
/* Reads a payload of that framing; false: it is not a Modbus message. */
bool exchange_read(const struct framing_conf *conf, const uint8_t *payload,
    size_t len, struct modbus *ret);
/* Whether a request can be sent now. */
bool exchange_bus_open(const struct exchange *ex);
/* Whether it went to the bus; counted if not.  from: the framing of the master, NULL: that
 * of the bus. */
bool exchange_put_on_bus(struct exchange *ex, const struct framing_conf *from,
    const struct queued *request);
/* A request for which no master waits any longer must not be sent when the bus accepts
 * data again. */
void exchange_withdraw(struct exchange *ex, enum drop_reason reason);
/* No master waits any longer for the answer to the request that was sent. */
void exchange_abandon(struct exchange *ex, enum drop_reason reason);

/* exchange_master.c */
/* With all its waiting requests, which are counted. */
void exchange_free_master(
    struct exchange *ex, struct master *master, enum drop_reason reason);
/* The master whose last turn was the longest time ago and that may ask now, or NULL. */
struct master *exchange_next_master(struct exchange *ex);
/* Its name for messages; none: what NULL is called. */
const char *exchange_master_name(const struct master *master, const char *none);

/* exchange_guard.c */
/* How often an answer that has begun in time is looked at again, ns. */
#define ARRIVING (50 * NSEC_PER_MSEC)
/* The request that was sent has not been answered in time. */
void exchange_guard_add(struct exchange *ex, uint64_t now);
/* Whether a late answer could be mistaken for that to the master's next request. */
bool exchange_is_guarded(
    const struct exchange *ex, const struct master *master);
/* Whether the frame is the late answer to a request. */
bool exchange_is_late(const struct exchange *ex, const struct item *item);
/* When the first guard expires, 0 if there is none. */
uint64_t exchange_first_guard(const struct exchange *ex);
/* Removes the guards that have expired; while an answer is arriving they last on. */
void exchange_guards_end(struct exchange *ex, uint64_t now, bool arriving);

/* exchange.c */
void exchange_label(const struct task *task, char *buf, size_t size);
/* Waits for what comes next. */
void exchange_arm(struct exchange *ex, uint64_t now);
/* The callback of its event. */
void exchange_on_event(evutil_socket_t fd, short what, void *arg);

/* --- from one process to the next (exchange_restore.c) --------------- */

struct old_exchanges;
struct pack;
struct unpack;

void exchanges_save(const struct bridge *b, struct pack *p);
/* The bytes must stay valid until the result is freed.  -ENOMEM; u->failed is set if they
 * are not what exchanges_save() writes. */
int exchanges_read(struct unpack *u, struct old_exchanges **ret);
/* Exchanges with the same route and bus continue where they were... */
void exchanges_restore(struct bridge *b, struct old_exchanges *old);
/* ...and each master does when its link is up, which must be that of the previous process. */
void exchanges_restore_master(struct port *port, struct old_exchanges *old);
/* What was not restored is counted as dropped.  Both may be NULL. */
void old_exchanges_free(struct old_exchanges *old, struct bridge *b);

#endif
