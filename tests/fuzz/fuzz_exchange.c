/*
 * fuzz_exchange: masters and units that share a bus, against a model of who has asked what.
 *
 * The first bytes of the input are the keys of the routes; the others are operations: a
 * master sends a request, a unit answers, rightly or not, time passes, the bus or a master
 * is lost, the configuration is reloaded, the process is replaced.  Each request has a
 * number, which an answer contains, so that an answer shows whose it is.  Units answer a
 * request at most once each time that they receive it, or twice at once, and not later
 * than late_guard allows.  The clock is the program's own: time passes only by operations.
 */
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>

#include "../unit/bridge_harness.h"
#include "exchange_parts.h"
#include "failover.h"
#include "pack.h"
#include "restore.h"

#define MASTERS 4
#define ROUTES 2
#define ASKS 400
#define HEARD 800
#define TEXT 16 /* bytes of the section of a route */
#define START (1000ull * 1000 * 1000 * NSEC_PER_SEC)
#define READ_REGISTER 3
#define WRITE_REGISTER 6
#define UNIT_CODE 12 /* exceptions of units have this code or a higher one */

#define MUST(true_)                                                      \
	do {                                                             \
		if (!(true_)) {                                          \
			fprintf(stderr, "%s:%d: not so: %s\n", __func__, \
			    __LINE__, #true_);                           \
			abort();                                         \
		}                                                        \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* A request of a master, or of the control port. */
static struct ask {
	const struct port *master; /* NULL: the control port */
	uint8_t unit, function;	   /* as its master addresses it */
	int offset;
	unsigned route;	      /* its number */
	bool of_session;      /* of the control port, which awaits the answer */
	bool refused;	      /* it is not to be sent */
	uint8_t code;	      /* ...and gets that exception */
	bool shown;	      /* a frame of its answer, to a session */
	bool abandoned;	      /* nobody waits for its answer */
	bool unrouted;	      /* its route was removed; it gets an exception */
	bool unanswered;      /* it is not to be answered */
	bool counted;	      /* it was sent */
	bool ended;	      /* the model awaits no answer from the bus */
	unsigned frames;      /* of the answer that arrived */
	unsigned given;	      /* what its master got */
	unsigned tries;	      /* how often it was sent */
	uint32_t transaction; /* on the bus, of the last time */
	uint64_t until_ns;    /* its answer is in time */
} ask[ASKS];
static unsigned nasks;

/* Requests as the units receive them. */
static struct {
	unsigned number; /* of the request */
	uint32_t transaction;
	unsigned frames;  /* sent of the answer */
	uint64_t last_ns; /* for the answer */
} heard[HEARD];
static unsigned nheard;

static uint64_t clock_ns;
static struct port *bus, *master[MASTERS];
static struct route_conf conf[ROUTES];
static struct route route[ROUTES];
static struct exchange_stats stats[ROUTES];
static bool present[ROUTES];
static struct batch *batch;
static struct tap tap;
static bool tap_asks, tap_told;
static unsigned route_number, nsent, nrefused, withdrawn, unsettled, given_up;
static uint64_t rest_until, idle_since;
static uint64_t last_ns[MASTERS]; /* when it last sent a request */
static enum { WRITTEN, QUEUED, IN_FLIGHT, IN_PART } bus_state;
static int stuck; /* the number of the request that is not written, or -1 */
static uint64_t stalled; /* dropped as stalled when that was last looked at */

/* --- the input ------------------------------------------------------------ */

static const uint8_t *in;
static size_t in_len;

/* There is no route with 'prefer'. */
void
failovers_hear(const struct batch *frames)
{
	(void)frames;
}

static uint8_t
byte(void)
{
	if (in_len == 0)
		return 0;
	in_len--;
	return *in++;
}

/* --- time ----------------------------------------------------------------- */

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	if (id != CLOCK_MONOTONIC && id != CLOCK_MONOTONIC_COARSE)
		return (int)syscall(SYS_clock_gettime, id, ts);
	ts->tv_sec = (time_t)(clock_ns / NSEC_PER_SEC);
	ts->tv_nsec = (long)(clock_ns % NSEC_PER_SEC);
	return 0;
}

/* --- messages ------------------------------------------------------------- */

static const struct framing_conf *
framing_of(const struct port *port)
{
	return &(port != NULL ? port : bus)->conf->framing;
}

static bool
numbers(const struct port *port)
{
	return framing_of(port)->rule->number_size > 0;
}

static bool
is_any(void)
{
	return conf[0].exchange == EXCHANGE_ANY;
}

/* A message as a payload of the port; returns its length, 0: it is not possible. */
static size_t
outer(const struct port *port, const uint8_t *inner, size_t len,
    uint32_t transaction, uint8_t *out)
{
	const struct framing_conf *framing = framing_of(port);
	long n = framing_outer(framing, inner, len, out);

	if (n <= 0)
		return 0;
	framing_set_number(framing, out, (size_t)n, transaction);
	return (size_t)n;
}

static size_t
make_request(unsigned number, uint32_t transaction, uint8_t *out)
{
	const struct ask *a = &ask[number];
	const uint8_t inner[] = { a->unit, a->function, (uint8_t)(number >> 8),
		(uint8_t)number, 0, 1 };

	if (is_any())
		return (size_t)sprintf(
		    (char *)out, "%c%u", a->unanswered ? 'N' : 'Q', number);
	return outer(a->master, inner, sizeof(inner), transaction, out);
}

static unsigned
number_in_text(const struct queued *q)
{
	char text[16] = "";

	memcpy(text, q->payload, MIN(q->len, sizeof(text) - 1));
	return (unsigned)strtoul(text + 1, NULL, 10);
}

/* The number in a request on the bus. */
static unsigned
number_of_request(const struct queued *q)
{
	uint8_t inner[CONVERT_MAX];

	if (is_any())
		return number_in_text(q);
	MUST(framing_inner(framing_of(bus), q->payload, q->len, inner) == 6);
	return (unsigned)inner[2] << 8 | inner[3];
}

/* The number in an answer that is no exception. */
static unsigned
number_of_answer(const uint8_t *inner)
{
	const uint8_t *at = inner + (inner[1] == READ_REGISTER ? 3 : 2);

	return (unsigned)at[0] << 8 | at[1];
}

/* The exception by which the unit answers the request. */
static uint8_t
code_of(unsigned number)
{
	return (uint8_t)(UNIT_CODE + number % 200);
}

/* --- what the exchange does ------------------------------------------------ */

/* The number of requests that await their answers. */
static unsigned
outstanding(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < nasks; i++)
		n += ask[i].counted && !ask[i].ended &&
		    ask[i].until_ns > clock_ns;
	return n;
}

/* The time after an answer in which nothing is sent. */
static uint64_t
gap_ns(void)
{
	return MAX(framing_gap(framing_of(bus), 0), conf[0].min_gap);
}

/* The units receive a request. */
static void
hear(unsigned number, uint32_t transaction)
{
	uint64_t guard = conf[0].late_guard != 0 ? conf[0].late_guard
						 : conf[0].answer_timeout / 2;

	if (ask[number].unanswered || nheard == HEARD)
		return;
	heard[nheard].number = number;
	heard[nheard].transaction = transaction;
	heard[nheard].frames = 0;
	heard[nheard++].last_ns =
	    numbers(bus) ? UINT64_MAX : ask[number].until_ns + guard;
}

/* A request that was taken back is not sent. */
static void
notice_withdrawal(void)
{
	uint64_t now = bus->traffic.dropped[DROP_STALLED];

	if (stuck < 0 || bus->in_flight.waits || !queue_empty(&bus->queue))
		return;
	withdrawn++;
	/* A timeout is counted as well, or the answer to an earlier try is awaited. */
	if (now == stalled && !ask[stuck].unanswered && ask[stuck].tries == 1)
		unsettled++;
	stalled = now;
	if (ask[stuck].unanswered)
		rest_until = 0;
	ask[stuck].ended |= ask[stuck].tries == 1;
	stuck = -1;
}

/* The request waits in the queue of the bus, or in flight. */
static void
keep_unwritten(unsigned number, const struct queued *q)
{
	struct in_flight *h = &bus->in_flight;

	stuck = (int)number;
	stalled = bus->traffic.dropped[DROP_STALLED];
	if (bus_state == QUEUED) {
		MUST(queue_add(&bus->queue, q) == 0);
		return;
	}
	in_flight_keep(h, q);
	h->waits = true;
	h->partial = bus_state == IN_PART;
	h->wire = q->len;
}

static void
check_request(const struct ask *a)
{
	MUST(port_open(bus) && queue_empty(&bus->queue) &&
	    !bus->in_flight.waits);
	MUST(!a->refused);
	MUST(!a->ended);
	MUST(clock_ns >= rest_until);
	if (!a->counted)
		MUST(outstanding() < MAX(conf[0].window, 1U));
	else
		MUST(!a->unanswered && a->tries <= conf[0].retries);
}

static void
check_unit(const struct ask *a, const struct queued *q)
{
	struct modbus m;
	bool broadcast = a->unit == 0 && !numbers(bus);

	MUST(framing_modbus(framing_of(bus), q->payload, q->len, &m));
	MUST(m.function == a->function);
	MUST(m.unit == (broadcast ? 0 : a->unit + a->offset));
}

static void
fake_send(struct node *to, const struct queued *q)
{
	unsigned number = number_of_request(q);
	struct ask *a = &ask[number];

	MUST(to == bus->node && number < nasks);
	notice_withdrawal();
	check_request(a);
	if (!is_any())
		check_unit(a, q);
	idle_since = 0;
	nsent += !a->counted;
	a->counted = true;
	a->tries++;
	a->transaction = framing_number(framing_of(bus), q->payload, q->len);
	a->until_ns = clock_ns + (a->unanswered ? 0 : conf[0].answer_timeout);
	if (a->unanswered)
		rest_until = clock_ns + gap_ns();
	if (bus_state == WRITTEN)
		hear(number, a->transaction);
	else
		keep_unwritten(number, q);
}

/* The request that a message to the master is an answer to. */
static struct ask *
answered(const struct port *to, const struct queued *q, uint8_t *ret_code)
{
	const struct framing_conf *framing = framing_of(to);
	uint8_t inner[CONVERT_MAX];
	uint32_t transaction = framing_number(framing, q->payload, q->len);
	unsigned number = 0;
	uint8_t code;

	MUST(framing_inner(framing, q->payload, q->len, inner) >= 3);
	*ret_code = code = inner[1] & MODBUS_EXCEPTION ? inner[2] : 0;
	if (numbers(to))
		number = transaction;
	else if (code == 0)
		number = number_of_answer(inner);
	else
		while (number < nasks &&
		    (ask[number].master != to || ask[number].given > 0 ||
			ask[number].abandoned ||
			(code < UNIT_CODE ? !ask[number].refused
					  : code_of(number) != code)))
			number++;
	MUST(number < nasks && ask[number].unit == inner[0]);
	MUST(ask[number].function == (inner[1] & ~MODBUS_EXCEPTION));
	MUST(code != 0 || number == number_of_answer(inner));
	MUST(code < UNIT_CODE || code == code_of(number));
	return &ask[number];
}

static void
fake_answer(struct port *to, const struct queued *q)
{
	struct ask *a;
	uint8_t code = 0;

	if (is_any())
		a = &ask[number_in_text(q)];
	else
		a = answered(to, q, &code);
	MUST(a < &ask[nasks] && a->master == to);
	MUST(!a->abandoned || (a->unrouted && code == MODBUS_NO_PATH));
	a->unrouted = false;
	MUST(++a->given <= MAX(conf[0].answer_frames, 1U));
	if (code == 0 || code >= UNIT_CODE)
		MUST(a->counted && !a->refused && a->frames >= a->given);
	else
		MUST(numbers(to) || code == MODBUS_ILLEGAL_FUNCTION);
	if (code == MODBUS_ILLEGAL_FUNCTION)
		MUST(a->refused && a->code == code);
	nrefused += a->refused && a->code == code;
	a->ended |= a->given == MAX(conf[0].answer_frames, 1U);
}

static const struct exchange_ops ops = {
	.send = fake_send,
	.answer = fake_answer,
};

size_t
link_pending(const struct link *link)
{
	MUST(link == bus->link);
	return bus->in_flight.wire;
}

size_t
link_take_back(struct link *link)
{
	return link_pending(link);
}

static void
tap_unanswered(struct tap *t, bool sent)
{
	(void)sent;
	MUST(t == &tap);
	tap_told = true;
}

/* --- what must hold ------------------------------------------------------- */

static uint64_t
dropped(void)
{
	return traffic_dropped(&bus->traffic) +
	    traffic_dropped(&bus->node->retired);
}

static uint64_t
requests(void)
{
	return stats[0].counters.requests + stats[1].counters.requests;
}

static size_t
queued(void)
{
	const struct exchange *ex = bus->node->exchange;
	const struct master *m;
	size_t bytes = 0, frames = 0, pos;
	struct queued q;

	exchange_queued(ex, &bytes, &frames);
	TAILQ_FOREACH(m, &ex->masters, entry)
		for (pos = 0; queue_next(&m->refused, &pos, &q);)
			frames += q.route != REFUSED_CLOSED &&
			    q.route != REFUSED_BUSY;
	return frames;
}

/* Whether a request waits that may be sent; none may have waited too long. */
static bool
check_queues(const struct exchange *ex)
{
	const struct master *m;
	struct queued q;
	bool ready = false;

	TAILQ_FOREACH(m, &ex->masters, entry) {
		if (!queue_head(&m->queue, &q))
			continue;
		MUST(conf[0].request_timeout == 0 ||
		    q.since_ns + conf[0].request_timeout > clock_ns);
		ready |= !exchange_is_guarded(ex, m);
	}
	return ready;
}

static void
check(void)
{
	const struct exchange *ex = bus->node->exchange;
	bool ready = check_queues(ex);

	MUST(requests() == nsent);
	MUST(nasks == nsent + nrefused + (dropped() - withdrawn) + queued());
	MUST(stuck < 0 || bus->in_flight.partial || ask[stuck].unanswered ||
	    bus->held_len > 0 ||
	    clock_ns < ask[stuck].until_ns + 10 * NSEC_PER_MSEC);
	if (!ready || ex->nrequests >= MAX(conf[0].window, 1U) ||
	    !exchange_bus_clear(ex) || clock_ns < rest_until)
		idle_since = 0;
	else if (idle_since == 0)
		idle_since = clock_ns;
	MUST(idle_since == 0 || clock_ns <= idle_since + UNWRITTEN);
}

static void
abandon(const struct port *from, bool of_session)
{
	for (unsigned i = 0; i < nasks; i++)
		if (ask[i].master == from && ask[i].of_session == of_session) {
			ask[i].abandoned = true;
			ask[i].unrouted = false;
		}
}

static void
end_session(void)
{
	exchange_forget_tap(&bridge, &tap);
	abandon(NULL, true);
	tap_asks = tap_told = false;
}

static void
turn(void)
{
	do
		event_base_loop(base, EVLOOP_NONBLOCK);
	while (event_base_get_num_events(base, EVENT_BASE_COUNT_ACTIVE) > 0);
	notice_withdrawal();
	if (tap_told)
		end_session();
	check();
}

/* --- operations: masters --------------------------------------------------- */

/* A new request in the model; how: what it asks for. */
static struct ask *
new_ask(struct port *from, uint8_t how, unsigned to)
{
	struct ask *a = &ask[nasks];

	*a = (struct ask){ .master = from,
		.unit = how % 6,
		.function = how & 0x40 ? WRITE_REGISTER : READ_REGISTER,
		.offset = from != NULL ? conf[to].unit_offset : 0 };
	a->unanswered = a->unit == 0 && (is_any() || !numbers(bus));
	return a;
}

static void
submit_batch(struct port *from, struct ask *a, unsigned to)
{
	struct route_target target = { .to = bus->node->number };
	const struct route_source source = { .ntargets = 1,
		.targets = &target };
	uint8_t payload[CONVERT_MAX];
	const struct queued q = { .payload = payload,
		.len = make_request(nasks, nasks, payload),
		.since_ns = clock_ns,
		.route = route[to].number };

	nasks++;
	batch_start(batch, from);
	batch_add_queued(batch, &q, bus->node);
	if (!a->refused) {
		exchange_submit(bus->node->exchange, batch);
		return;
	}
	if (a->code == MODBUS_ILLEGAL_FUNCTION)
		batch->item[0].refused_by = route[to].number;
	exchange_refuse(batch, &source);
}

/* A master sends a request. */
static void
op_ask(uint8_t who, uint8_t how)
{
	unsigned number = who % MASTERS, to = who >> 2 & 1;
	struct port *from = master[number];
	struct ask *a;

	if (nasks == ASKS)
		return;
	if (!present[to])
		to = !to;
	a = new_ask(from, how, to);
	a->route = route[to].number;
	if (how & 0x80 && !is_any() && (a->unit != 0 || numbers(from))) {
		a->refused = true;
		a->code = numbers(from) && how & 0x20 ? MODBUS_NO_PATH
						      : MODBUS_ILLEGAL_FUNCTION;
	}
	if (!is_any() && !numbers(from) &&
	    clock_ns - last_ns[number] > 20 * NSEC_PER_MSEC) {
		abandon(from, false);
		a->abandoned = false;
	}
	last_ns[number] = clock_ns;
	submit_batch(from, a, to);
}

/* A session of the control port sends one. */
static void
op_control(uint8_t how)
{
	uint8_t payload[CONVERT_MAX];
	bool asks = how & 0x80;
	struct ask *a;
	size_t len;

	if (nasks == ASKS || (asks && tap_asks))
		return;
	a = new_ask(NULL, how, 0);
	a->route = bus->node->exchange->route[0]->number;
	a->of_session = asks;
	len = make_request(nasks, 0, payload);
	if (exchange_send(
		bus->node->exchange, asks ? &tap : NULL, payload, len) < 0)
		return;
	nasks++;
	tap_asks |= asks;
}

static void
op_leave(uint8_t who)
{
	struct port *from = master[who % MASTERS];

	if (who & 0x40) {
		end_session();
		return;
	}
	exchange_forget(&bridge, from);
	abandon(from, false);
}

/* --- operations: the bus --------------------------------------------------- */

enum fault { RIGHT, EXCEPTION, TWICE, UNIT, FUNCTION, LENGTH, NUMBER, FAULTS };

/* The answer to a request as a frame of the bus; returns its length. */
static size_t
make_answer(unsigned i, enum fault fault, uint8_t *out)
{
	unsigned number = heard[i].number;
	const struct ask *a = &ask[number];
	bool reads = a->function == READ_REGISTER;
	uint8_t inner[8] = { (uint8_t)(a->unit + a->offset), a->function };
	uint8_t *p = inner + 2;
	size_t len;

	if (a->unit == 0 && !numbers(bus))
		inner[0] = 0;
	if (reads)
		*p++ = 2;
	*p++ = (uint8_t)(number >> 8);
	*p++ = (uint8_t)number;
	if (!reads) {
		*p++ = 0;
		*p++ = 1;
	}
	if (fault >= UNIT)
		p[-1] = p[-2] = 0xff;
	if (fault == UNIT)
		inner[0] ^= 0x80;
	if (fault == FUNCTION)
		inner[1] ^= 0x40;
	if (fault == LENGTH)
		*p++ = 1;
	len = (size_t)(p - inner);
	if (fault == EXCEPTION) {
		inner[1] |= MODBUS_EXCEPTION;
		inner[2] = code_of(number);
		len = 3;
	}
	return outer(bus, inner, len,
	    heard[i].transaction ^ (fault == NUMBER ? 0x4000 : 0), out);
}

/* The bus receives the frame so many times at once; whether it is an answer in time. */
static bool
feed(const uint8_t *payload, size_t len, unsigned times)
{
	uint64_t late = stats[0].counters.late + stats[1].counters.late;
	const struct queued q = {
		.payload = payload, .len = len, .since_ns = clock_ns
	};

	batch_start(batch, bus);
	for (unsigned i = 0; i < times; i++)
		batch_add_queued(batch, &q, bus->node);
	exchange_answer(bus->node->exchange, batch, NULL, 0);
	late = stats[0].counters.late + stats[1].counters.late - late;
	return batch->item[0].answer && late < times;
}

/* The frame was taken as an answer. */
static void
take(struct ask *a)
{
	MUST(a->counted && !a->unanswered && !a->refused);
	if (tap_asks && exchange_answers(bus->node->exchange, &tap))
		MUST(a->master == NULL);
	a->shown |= a->master == NULL && !a->abandoned;
	if (++a->frames < MAX(conf[0].answer_frames, 1U)) {
		a->until_ns = clock_ns + conf[0].answer_timeout;
		return;
	}
	given_up += a->abandoned && !a->shown;
	a->ended = true;
	rest_until = MAX(rest_until, clock_ns + gap_ns());
}

/* Whether the frame must be taken as an answer to the request. */
static bool
is_due(const struct ask *a, uint32_t transaction)
{
	return !a->ended && a->until_ns > clock_ns &&
	    a->transaction == transaction;
}

static void
answer(unsigned i, enum fault fault)
{
	struct ask *a = &ask[heard[i].number];
	uint8_t payload[CONVERT_MAX];
	bool due = is_due(a, heard[i].transaction), taken;
	size_t len;

	if (is_any())
		len = (size_t)snprintf(
		    (char *)payload, sizeof(payload), "A%u", heard[i].number);
	else
		len = make_answer(i, fault, payload);
	taken = feed(payload, len, fault == TWICE && !is_any() ? 2 : 1);
	if (taken)
		take(a);
	MUST(taken || !due);
}

/* A unit answers one of the requests that it has received. */
static void
op_answer(uint8_t which, uint8_t how)
{
	enum fault fault = how % FAULTS;
	uint8_t payload[CONVERT_MAX];
	unsigned i, open = 0;
	size_t len;

	for (i = 0; i < nheard; i++)
		if (heard[i].frames < MAX(conf[0].answer_frames, 1U) &&
		    open++ == (is_any() ? 0 : which % 8))
			break;
	if (i == nheard)
		return;
	if (heard[i].last_ns <= clock_ns || how & 0x80) {
		heard[i].frames = UINT32_MAX;
		return;
	}
	if (is_any() || fault < UNIT) {
		heard[i].frames++;
		answer(i, fault);
	} else if ((numbers(bus) || fault != NUMBER) &&
	    (len = make_answer(i, fault, payload)) > 0)
		MUST(!feed(payload, len, 1));
}

/* A frame that is an answer to none. */
static void
op_noise(uint8_t how)
{
	static const uint8_t noise[] = "\x7f\x03\x02\xff\xff";

	if (!is_any())
		MUST(!feed(noise, how % sizeof(noise), 1));
	else if (route[0].answer_match != NULL)
		MUST(!feed((const uint8_t *)"U1", 2, 1));
}

/* What waits for the bus to accept it is written. */
static void
op_drain(void)
{
	if (stuck < 0)
		return;
	if (bus->in_flight.waits)
		in_flight_clear(&bus->in_flight);
	else
		queue_pop(&bus->queue);
	hear((unsigned)stuck, ask[stuck].transaction);
	stuck = -1;
}

static void
op_bus_state(uint8_t how)
{
	bus_state = how % 4;
}

/* All requests that were sent are over. */
static void
op_bus_down(uint8_t how)
{
	if (bus->link->up == (how & 1))
		return;
	bus->link->up = how & 1;
	if (how & 1)
		return;
	exchange_forget(&bridge, bus);
	rest_until = 0;
	notice_withdrawal();
	if (stuck >= 0) {
		in_flight_clear(&bus->in_flight);
		stuck = -1;
	}
	for (unsigned i = 0; i < nasks; i++)
		ask[i].ended |= ask[i].counted;
}

static void
op_time(uint8_t how)
{
	static const uint64_t unit[] = { NSEC_PER_MSEC, 10 * NSEC_PER_MSEC,
		100 * NSEC_PER_MSEC, 100 * NSEC_PER_USEC };

	clock_ns += (how >> 2) * unit[how % 4];
}

/* More bytes of an answer have arrived, or they are none. */
static void
op_arriving(uint8_t how)
{
	if (stuck < 0)
		bus->held_len = how % 4 == 0 ? 0 : bus->held_len + 1;
}

/* --- operations: a reload, the next process --------------------------------- */

/* The exchange of the routes that are present, in this order, takes its place. */
static void
use_routes(unsigned first)
{
	struct exchange_list list = TAILQ_HEAD_INITIALIZER(list);
	struct exchange *old = bus->node->exchange;

	for (unsigned i = 0; i < ROUTES; i++) {
		unsigned n = (first + i) % ROUTES;

		if (present[n])
			MUST(exchanges_add(&list, &bridge, &ops, &route[n],
				 bus->node, old) == 0);
	}
	exchanges_use(&bridge, &list);
}

/* Its requests that are queued are dropped, and their answers are for nobody. */
static void
change_route(unsigned n)
{
	for (unsigned i = 0; i < nasks; i++) {
		struct ask *a = &ask[i];

		if (a->route != route[n].number || a->refused || a->abandoned)
			continue;
		a->abandoned = true;
		a->unrouted = a->master != NULL && numbers(a->master) &&
		    !is_any() && a->given == 0 && !a->ended &&
		    !(a->counted && a->unanswered);
	}
	route[n].number = route_number++;
	snprintf(conf[n].text, TEXT, "v%u", route[n].number);
}

static void
op_reload(uint8_t how)
{
	for (unsigned n = 0; n < ROUTES; n++) {
		bool stays = how >> n & 1;

		if (present[n] && (how >> (2 + n) & 1 || !stays))
			change_route(n);
		present[n] = stays;
	}
	if (!present[0] && !present[1])
		present[0] = true;
	use_routes(how >> 4 & 1);
}

/* Some masters may be lost, and routes may have changed. */
static void
op_restart(uint8_t how, uint8_t lost)
{
	struct pack p = { .data = NULL };
	struct old_exchanges *old = NULL;
	struct unpack u;

	exchanges_settle(&bridge);
	notice_withdrawal();
	exchanges_save(&bridge, &p);
	MUST(!p.failed);
	forget_exchange(bus);
	u = (struct unpack){
		.at = p.data, .left = p.len, .version = PACK_VERSION
	};
	MUST(exchanges_read(&u, &old) == 0 && !u.failed && u.left == 0);
	for (unsigned n = 0; n < ROUTES; n++)
		if (present[n] && how >> n & 1)
			change_route(n);
	use_routes(how >> 4 & 1);
	exchanges_restore(&bridge, old);
	abandon(NULL, true);
	tap_asks = tap_told = false;
	/* The next process does not know what was shown. */
	for (unsigned i = 0; i < nasks; i++)
		ask[i].shown &= ask[i].ended;
	for (unsigned i = 0; i < MASTERS; i++)
		if (lost >> i & 1)
			abandon(master[i], false);
		else
			exchanges_restore_master(master[i], old);
	old_exchanges_free(old, &bridge);
	pack_free(&p);
}

/* --- a run ------------------------------------------------------------------ */

static void
operate(uint8_t what)
{
	switch (what % 16) {
	case 0:
	case 1:
	case 2:
	case 3:
		op_ask(byte(), byte());
		break;
	case 4:
	case 5:
	case 6:
		op_answer(byte(), byte());
		break;
	case 7:
	case 8:
		op_time(byte());
		break;
	case 9:
		op_noise(byte());
		break;
	case 10:
		op_bus_state(byte());
		break;
	case 11:
		op_drain();
		break;
	case 12:
		op_leave(byte());
		break;
	case 13:
		op_control(byte());
		break;
	case 14:
		if (what & 0x10)
			op_reload(byte());
		else
			op_restart(byte(), byte());
		break;
	default:
		if (what & 0x10)
			op_bus_down(byte());
		else
			op_arriving(byte());
	}
	turn();
}

static void
set_keys(void)
{
	static const uint64_t ms[] = { 20, 50, 200, 1000 };
	uint8_t a = byte(), b = byte(), c = byte();

	for (unsigned n = 0; n < ROUTES; n++) {
		struct route_conf *r = &conf[n];

		r->answer_timeout = ms[a % 4] * NSEC_PER_MSEC;
		r->late_guard = (a >> 2 & 3) * 10 * NSEC_PER_MSEC;
		r->min_gap = (a >> 4 & 3) * NSEC_PER_MSEC;
		r->request_timeout = (a >> 6) * 250 * NSEC_PER_MSEC;
		r->retries = b & 3;
		if (numbers(bus))
			r->window = 1 + (b >> 2 & 7);
		if (b & 0x20)
			r->priority = c & 1 ? "m0" : "m1 m3";
		if (!is_any())
			r->unit_offset = n == 0 ? (int)(c >> 1 & 3) * 5 : -2;
		else
			r->answer_frames = c >> 1 & 3;
	}
}

static void
make_routes(bool any)
{
	static char name[ROUTES][4], text[ROUTES][TEXT];
	struct error err;

	memset(stats, 0, sizeof(stats));
	route_number = ROUTES;
	for (unsigned n = 0; n < ROUTES; n++) {
		snprintf(name[n], sizeof(name[n]), "r%u", n);
		snprintf(text[n], TEXT, "v%u", n);
		conf[n] = (struct route_conf){ .name = name[n],
			.text = text[n],
			.exchange = any ? EXCHANGE_ANY : EXCHANGE_MODBUS };
		route[n] = (struct route){ .number = n,
			.conf = &conf[n],
			.name = name[n],
			.stats = &stats[n] };
		present[n] = true;
		if (!any)
			continue;
		MUST(expression_new("^N", &route[n].no_answer, &err) == 0);
		MUST(expression_new("^A", &route[n].answer_match, &err) == 0);
	}
}

static void
make_ports(uint8_t kind)
{
	static const char *const of_bus[] = { "modbus-rtu", "modbus-ascii",
		"modbus-tcp", "line" };
	static const char *const of_masters[MASTERS] = { "modbus-rtu",
		"modbus-ascii", "modbus-tcp", "modbus-tcp" };
	const char *framing = of_bus[kind % 4];
	char name[8];

	bus = make_port(make_node("bus", &single, framing), NULL);
	if (kind & 4)
		bus->node->endpoint->conf->framing.baud = 115200;
	for (unsigned i = 0; i < MASTERS; i++) {
		snprintf(name, sizeof(name), "m%u", i);
		master[i] =
		    make_port(make_node(name, &single,
				  kind % 4 == 3 ? "line" : of_masters[i]),
			NULL);
		if (kind & 8 && !numbers(master[i]))
			master[i]->node->endpoint->conf->framing.payload =
			    PAYLOAD_INNER;
	}
}

static void
begin(void)
{
	uint8_t kind = byte();

	clock_ns = START;
	bridge_start();
	if (batch == NULL)
		batch = calloc(1, sizeof(*batch));
	make_ports(kind);
	make_routes(kind % 4 == 3);
	set_keys();
	nasks = nheard = nsent = nrefused = withdrawn = unsettled = given_up =
	    0;
	memset(last_ns, 0, sizeof(last_ns));
	tap = (struct tap){ .unanswered = tap_unanswered };
	tap_asks = tap_told = false;
	rest_until = idle_since = 0;
	bus_state = WRITTEN;
	stuck = -1;
	use_routes(0);
}

/* Each request that was sent was answered, or is counted for another reason. */
static void
check_sum(void)
{
	unsigned unanswered = 0;
	uint64_t sum = 0;

	for (unsigned i = 0; i < nasks; i++)
		unanswered += ask[i].counted && ask[i].unanswered;
	for (unsigned n = 0; n < ROUTES; n++)
		sum += stats[n].counters.answers + stats[n].counters.timeouts;
	MUST(requests() == sum + unanswered + unsettled + given_up);
}

/* In the end nothing waits, whatever has happened. */
static void
finish(void)
{
	op_bus_state(WRITTEN);
	op_drain();
	bus->held_len = 0;
	for (int i = 0; i < 2000 &&
	     (queued() > 0 || bus->node->exchange->nrequests > 0 || i < 3);
	     i++) {
		clock_ns += 100 * NSEC_PER_MSEC;
		turn();
	}
	MUST(queued() == 0 && bus->node->exchange->nrequests == 0);
	check_sum();
	exchanges_free(&bridge.exchanges);
	for (unsigned n = 0; n < ROUTES; n++) {
		histogram_free(&stats[n].bus_time);
		expression_free(route[n].no_answer);
		expression_free(route[n].answer_match);
	}
	for (unsigned i = 0; i < bridge.nnodes; i++)
		queue_free(&first_port(bridge.node[i])->queue);
	bridge_end();
	for (unsigned i = 0; i < nasks; i++)
		MUST(!ask[i].unrouted || !ask[i].counted);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	in = data;
	in_len = len;
	begin();
	while (in_len > 0)
		operate(byte());
	finish();
	return 0;
}
