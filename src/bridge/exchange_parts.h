/*
 * exchange_parts: what the files of the exchange share.  Included only by them and by
 * their tests.
 */
#ifndef EXCHANGE_PARTS_H
#define EXCHANGE_PARTS_H

#include <event2/util.h>

#include "convert.h"
#include "exchange.h"

/*
 * The maximum number of late answers expected at a time; when it is reached, all requests
 * wait.
 */
#define GUARDS 16
/* How often masters with priority are served in a row while others wait. */
#define PRIORITY_RUN 8

/* A master, which is a port or the control port, with its waiting requests. */
struct master {
	TAILQ_ENTRY(master) entry;
	struct port *port; /* NULL: the control port... */
	struct tap *tap;   /* ...for `ask`; NULL: for `send` */
	struct queue queue;
	/* To be answered with an exception; route: that does not permit the function, or
	 * one of enum refusal. */
	struct queue refused;
	uint64_t last_ns; /* when it last sent a request */
	bool priority;
	bool served; /* one of its requests was chosen before */
};
TAILQ_HEAD(master_list, master);

/* In place of the number of a route. */
enum refusal {
	REFUSED_UNIT = NO_ROUTE, /* no route accepts it */
	/* These are counted as dropped. */
	REFUSED_BUSY = NO_ROUTE - 1,   /* there was no room for it */
	REFUSED_CLOSED = NO_ROUTE - 2, /* its route was removed or changed */
};

enum request_state {
	REQUEST_NONE,
	REQUEST_AWAITING,   /* it was sent */
	REQUEST_UNANSWERED, /* it was sent, and is not answered */
	REQUEST_ANSWERED,   /* all of its answer has arrived */
	REQUEST_FAILED,	    /* its master gets the exception, if there is one */
	REQUEST_STATES
};

/* A request that was sent, until its answer is delivered. */
struct request {
	enum request_state state;
	struct master *master;	/* the master that gets the answer, or NULL */
	unsigned route;		/* its number */
	struct modbus message;	/* as sent to the bus; exchange = any: zero */
	uint8_t unit;		/* that its master addressed */
	uint32_t master_number; /* its number from its master... */
	uint32_t number;	/* ...and its number on the bus */
	uint8_t exception;	/* for its master, 0: none */
	bool unrouted;		/* its route was removed or changed */
	bool shown;		/* the answer was shown to a control session */
	unsigned frames;	/* of the answer that have arrived */
	unsigned tries;		/* how often it was sent */
	uint64_t first_ns;	/* when it was sent the first time... */
	uint64_t sent_ns;	/* ...and the last time */
	uint64_t until_ns;	/* it is answered until then */
	uint8_t *payload;	/* to be sent again; NULL: it is not */
	size_t len;
	size_t sent_len;   /* of what was sent to the bus... */
	uint32_t sent_crc; /* ...and its CRC, to recognize its echo */
};

/* A request that was not answered in time. */
struct guard {
	struct modbus request;
	uint64_t until_ns; /* its answer may arrive until then */
};

/* What differs between the kinds of exchange. */
struct exchange_protocol {
	/*
	 * Reads what answers are recognized by; framing: that of the payload.  False: it
	 * is not a request.
	 */
	bool (*read)(const struct framing_conf *framing, const uint8_t *payload,
	    size_t len, struct modbus *ret);
	/* Whether the request is not answered. */
	bool (*unanswered)(const struct exchange *ex, const struct modbus *m,
	    const uint8_t *payload, size_t len);
	/* Whether a frame from the bus is an answer to the request. */
	bool (*answers)(const struct exchange *ex, const struct modbus *request,
	    const uint8_t *payload, size_t len);
	/* Whether a late answer to one could be taken for an answer to the other. */
	bool (*alike)(const struct modbus *a, const struct modbus *b);
	/* Requests address a unit, which can answer with an exception. */
	bool units;
	/* A master that asks again gives up what it asked before. */
	bool replaces;
};
extern const struct exchange_protocol exchange_modbus, exchange_any;

struct exchange {
	TAILQ_ENTRY(exchange) entry;
	const struct exchange_ops *ops;
	const struct exchange_protocol *protocol;
	struct bridge *bridge;
	struct node *to;
	/* In the order of the file; the first has the keys of the bus. */
	struct route **route;
	unsigned nroutes;
	struct exchange *old;	    /* until it is used: see exchanges_add() */
	struct master_list masters; /* in the order of their turns */
	unsigned favoured; /* turns of masters with priority in a row */
	struct event *event;
	bool woken; /* the event is active */
	struct precise precise;
	struct task task;
	struct request request[EXCHANGE_WINDOW_MAX];
	unsigned nslots;	/* the part of request[] that is used */
	unsigned nrequests;	/* that are not REQUEST_NONE */
	struct request *newest; /* that was sent last, or NULL */
	struct request *shown;	/* whose answer is shown to the taps, or NULL */
	uint32_t number;	/* of the newest request */
	struct queue answers;	/* route: the index of the request */
	uint64_t rest_ns;	/* nothing is sent before, 0: no such time */
	size_t arriving;	/* bytes of an answer at the last check */
	struct guard guard[GUARDS];
	unsigned nguards;
	bool hinted; /* that the bus returns what is sent to it */
};

#define EACH_REQUEST(r, ex) \
	for ((r) = (ex)->request; (r) < &(ex)->request[(ex)->nslots]; (r)++)

/* The interval at which a bus that has not accepted a request is checked again. */
#define UNWRITTEN (50 * NSEC_PER_MSEC)

/* The requests of masters that are taken in one callback. */
#define TURN_REQUESTS 64

/* --- exchange.c ----------------------------------------------------------- */

/* Sets the timer for the next action. */
void exchange_arm(struct exchange *ex, uint64_t now);
/* The callback of its event. */
void exchange_on_event(evutil_socket_t fd, short what, void *arg);

/* --- exchange_label.c ----------------------------------------------------- */

void exchange_label(const struct task *task, char *buf, size_t size);

/* --- exchange_request.c --------------------------------------------------- */

/* Sends the oldest request of a master, or drops it. */
void request_start(struct exchange *ex, struct master *master);
/* Sets the state.  A request that has failed or is answered is completed by
 * requests_deliver(). */
void request_set(
    struct exchange *ex, struct request *r, enum request_state state);
/* Delivers the answers that have arrived, and the exceptions. */
void requests_deliver(struct exchange *ex);
/*
 * Handles the requests whose time has passed; arriving: more bytes of an answer have
 * arrived.
 */
void requests_due(struct exchange *ex, uint64_t now, bool arriving);
/* When the first request is due, 0: there is none. */
uint64_t requests_time(const struct exchange *ex);
/* The bus is down. */
void requests_bus_down(struct exchange *ex);
/* The master no longer waits for any answer. */
void requests_abandon(
    struct exchange *ex, const struct master *master, enum drop_reason reason);
/* Answers a queued request with an exception, if its master can be given that one. */
void request_answer_exception(struct exchange *ex, struct master *master,
    const struct queued *q, uint8_t code);

/* --- exchange_parts.c ------------------------------------------------------ */

const struct framing_conf *exchange_framing(const struct exchange *ex);
/* The framing of a master; that of the bus for the control port. */
const struct framing_conf *exchange_master_framing(
    const struct exchange *ex, const struct master *master);
/* Whether the messages of the master have numbers. */
bool exchange_master_numbers(const struct master *master);
/* The name of the master for messages; none: the text for NULL. */
const char *exchange_master_name(const struct master *master, const char *none);
/*
 * What is added to the units of the master's requests by the route with that number; the
 * control port uses the units of the bus.
 */
int exchange_unit_offset(
    const struct exchange *ex, const struct master *master, unsigned route);
/* Tells the tap of a master, if it is one, that its request gets no answer; see bridge.h. */
void exchange_tell_unanswered(const struct master *master, bool sent);
/* The route with that number, or the first one if that no longer exists. */
struct route *exchange_route(const struct exchange *ex, unsigned number);
bool exchange_has_route(const struct exchange *ex, unsigned number);
/* The same, but otherwise the first one that has the master. */
struct route *exchange_route_of(
    const struct exchange *ex, const struct master *master, unsigned number);
/* Whether the list of names, which may be NULL, contains that of the node. */
bool exchange_names(const char *list, const struct node *node);
/* "unit 7", or "unit 107 (7 on bus)" if its master uses another number. */
const char *exchange_unit_text(
    const struct exchange *ex, const struct request *r, char *buf, size_t size);
/* Counts a frame that is dropped and was not offered to a link... */
void exchange_drop(struct exchange *ex, enum drop_reason reason, size_t len);
/* ...and the same for a request of the master, or NULL, which is also reported. */
void exchange_drop_request(struct exchange *ex, const struct master *master,
    const struct queued *q, enum drop_reason reason);
/* Reports that a request was dropped, that its master gets the exception q, and that a
 * request was sent again, to log and taps. */
void exchange_note_drop(const struct exchange *ex, const struct master *master,
    const struct queued *q, enum drop_reason reason);
void exchange_note_exception(
    const struct exchange *ex, const struct request *r, const struct queued *q);
void exchange_note_again(
    const struct exchange *ex, const struct request *r, const struct queued *q);

/* --- exchange_bus.c -------------------------------------------------------- */

/* Makes the callback run as soon as the current turn is over. */
void exchange_wake(struct exchange *ex);
/*
 * The time for which the line is busy with this number of bytes, in ns; 0 if its rate is
 * not known.
 */
uint64_t exchange_line_time(const struct exchange *ex, size_t bytes);
/*
 * Whether nothing is queued for the bus; a bus that is down counts as clear, because
 * requests to it are dropped.
 */
bool exchange_bus_clear(const struct exchange *ex);
/* Whether a part of a request is not written to the bus yet. */
bool exchange_unwritten(const struct exchange *ex);
/* Whether a request can be sent now. */
bool exchange_bus_open(const struct exchange *ex);
/*
 * Converts the request to the framing of the bus; out has space for CONVERT_MAX bytes and
 * is used if it is converted at all.  False: it cannot be expressed there.
 */
bool exchange_convert(struct exchange *ex, const struct framing_conf *from,
    struct queued *q, int unit_offset, uint8_t *out);
/* Sends the request and sets its times; false, and it is counted: that is not possible. */
bool exchange_transmit(
    struct exchange *ex, struct request *r, struct queued *q);
/* An echo of what was sent is not expected any more. */
void exchange_forget_echo(struct exchange *ex);
/* Withdraws what the bus has not accepted yet; returns whether it is not sent. */
bool exchange_withdraw(struct exchange *ex, enum drop_reason reason);

/* --- exchange_master.c ---------------------------------------------------- */

/* NULL: out of memory. */
struct master *exchange_add_master(
    struct exchange *ex, struct port *port, struct tap *tap);
/* Frees the master and drops its queued requests, which are counted. */
void exchange_free_master(
    struct exchange *ex, struct master *master, enum drop_reason reason);
/* The master whose turn it is among those that may send a request now, or NULL. */
struct master *exchange_next_master(struct exchange *ex);
/* Drops a request, and answers it with an exception if it has a number. */
void exchange_drop_refused(struct exchange *ex, struct master *master,
    const struct queued *q, enum drop_reason reason, enum refusal why);
/* Answers requests that were refused; returns whether there are more. */
bool exchange_answer_refused(struct exchange *ex);
/* Drops requests that have waited too long; returns when the next one will have, or 0. */
uint64_t exchange_expire(struct exchange *ex, uint64_t now);
/* Sets which masters have priority. */
void exchange_set_priorities(struct exchange *ex);

/* --- exchange_guard.c ----------------------------------------------------- */

/* The interval at which an answer that has begun in time is checked again, in ns. */
#define ARRIVING (50 * NSEC_PER_MSEC)
/* The time after the timeout during which the answer to a request may still arrive. */
uint64_t exchange_guard_time(const struct exchange *ex);
/* Adds a guard for a request whose answer may still arrive after that time. */
void exchange_guard_add(
    struct exchange *ex, const struct modbus *request, uint64_t after);
/* Whether a late answer could be mistaken for the answer to the master's next request. */
bool exchange_is_guarded(
    const struct exchange *ex, const struct master *master);
/* Whether the frame is the late answer to a request. */
bool exchange_is_late(const struct exchange *ex, const struct item *item);
/* When the first guard expires, 0 if there is none. */
uint64_t exchange_first_guard(const struct exchange *ex);
/* Removes the guards that have expired; they are extended while an answer is arriving. */
void exchange_guards_end(struct exchange *ex, uint64_t now, bool arriving);

/* --- exchange_busy.c ------------------------------------------------------ */

/* Records whether the bus is busy from now on. */
void exchange_busy(struct exchange *ex, uint64_t now);
/* Records that it is not: another route may be the first one from now on. */
void exchange_busy_end(struct exchange *ex, uint64_t now);

#endif
