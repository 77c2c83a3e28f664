/*
 * exchange: masters that share a bus on which one request is answered at
 * a time.
 *
 * For the rest of the bridge; the files of the exchange use exchange_bus.h as well.
 */
#ifndef EXCHANGE_H
#define EXCHANGE_H

#include "batch.h"

struct exchange;

/* How an exchange sends.  Both members are set. */
struct exchange_ops {
	/* A request, to every link of the bus. */
	void (*send)(struct node *bus, const struct queued *q);
	/* An answer, to the master that sent the request. */
	void (*answer)(struct port *master, const struct queued *q);
};

/*
 * Adds the route to the exchange of its bus in a list that is not in use yet; the first
 * route to a bus creates the exchange.  old: the present exchange of the bus, or NULL.
 * -ENOMEM.
 */
int exchanges_add(struct exchange_list *list, struct bridge *b,
    const struct exchange_ops *ops, struct route *route, struct node *to,
    struct exchange *old);
/*
 * The exchanges of the list replace those of the bridge.  What is known of a bus stays: the
 * requests that were sent, and answers that may still arrive.  Queued requests stay if
 * their route is unchanged; others are dropped and counted.
 */
void exchanges_use(struct bridge *b, struct exchange_list *list);
void exchanges_free(struct exchange_list *list);
/* The route m of every request becomes number[m], or none if m is not below n. */
void exchanges_renumber(struct bridge *b, const unsigned *number, unsigned n);

/* Queues the picked frames as requests of the port they came from. */
void exchange_submit(struct exchange *ex, struct batch *batch);
/*
 * Frames of a master that no exchange has got are requests that are not permitted, or, if
 * its messages have numbers, requests to a unit that is on no bus: the first exchange
 * among the targets answers them with an exception.
 */
void exchange_refuse(const struct batch *batch, const struct route_source *s);
/*
 * Finds the answers among the frames that came from the bus, and marks them as answers.
 * The names of the masters that get them are appended to names, unless that is NULL.
 */
void exchange_answer(
    struct exchange *ex, struct batch *batch, char *names, size_t size);
/* Whether an answer must not be forwarded to the node: it is a master on that bus. */
bool exchange_has_master(const struct exchange *ex, const struct node *node);
/*
 * Queues a request from the control port.  tap: awaits the answer, and recognizes it with
 * exchange_answers(); NULL: the request is only to be sent.  -EINVAL: not a request of the
 * protocol; -ENOTCONN: no peer; -ENETDOWN: the bus is not up; -ENOBUFS; -ENOMEM.
 */
int exchange_send(
    struct exchange *ex, struct tap *tap, const uint8_t *payload, size_t len);
/* Whether the frame that is being shown to the tap is the answer to its request. */
bool exchange_answers(const struct exchange *ex, const struct tap *tap);
/* Whether a payload is a request that is not answered: a broadcast, or by no_answer. */
bool exchange_is_unanswered(
    const struct exchange *ex, const uint8_t *payload, size_t len);
/* When the request was sent whose answer is being shown to the taps. */
uint64_t exchange_shown_sent_ns(const struct exchange *ex);
/* The number that its master gave it. */
uint32_t exchange_shown_number(const struct exchange *ex);
/* The keys of the bus. */
const struct route_conf *exchange_conf(const struct exchange *ex);
uint64_t exchange_answer_timeout(const struct exchange *ex);
/* The tap no longer waits for an answer; its requests that were not sent are dropped. */
void exchange_forget_tap(struct bridge *b, const struct tap *tap);
/*
 * The port is down: drops the requests it has sent, and, if it is the bus, those that are
 * awaiting their answers.
 */
void exchange_forget(struct bridge *b, const struct port *port);
/* Delivers the answers that have arrived to their masters. */
void exchanges_settle(struct bridge *b);
/* Adds the queued requests to bytes and frames. */
void exchange_queued(const struct exchange *ex, size_t *bytes, size_t *frames);

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
/* Restores exchanges with the same bus; route_now: see restore.h... */
void exchanges_restore(struct bridge *b, struct old_exchanges *old);
/*
 * ...and each master when its link is up, which must have been handed over by the
 * previous process.
 */
void exchanges_restore_master(struct port *port, struct old_exchanges *old);
/* Counts requests that were not restored as dropped.  Both arguments may be NULL. */
void old_exchanges_free(struct old_exchanges *old, struct bridge *b);

#endif
