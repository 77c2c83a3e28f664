/*
 * exchange_harness: an exchange of three masters, without the rest of the path: what it
 * sends and whom it answers are its two operations, which are functions of the test.
 * Requests are told apart by the register that they write, which the answer repeats.
 */
#ifndef EXCHANGE_HARNESS_H
#define EXCHANGE_HARNESS_H

#include <errno.h>

#include "bridge_harness.h"
#include "exchange_parts.h"
#include "failover.h"
#include "pack.h"
#include "restore.h"

#define HOUR (3600 * NSEC_PER_SEC)
#define WRITE_REGISTER 6
#define MASTERS 3

static struct route_conf route_conf;
static struct route route;
static struct exchange_stats stats;
static struct batch *batch;
static struct port *bus, *master[MASTERS];
static uint64_t asked_ns; /* when the next request comes in */

/* What becomes of a request that is sent. */
static enum { WRITTEN, QUEUED, IN_FLIGHT, IN_PART } bus_state;
static size_t pending; /* of the one in flight */
static uint8_t sent[64];
static unsigned nsent, sent_seen;     /* by expect_sent */
static uint8_t sent_unit, given_unit; /* of the last serial message */
static struct {
	const struct port *to;
	uint8_t number;		   /* of a serial message */
	uint8_t message, function; /* of one of Modbus TCP */
} given[64];
static unsigned ngiven, given_seen;

/* --- what it calls ------------------------------------------------------- */

static inline void
fake_send(struct node *to, const struct queued *q)
{
	assert_ptr_equal(to, bus->node);
	assert_true(nsent < NELEM(sent));
	sent_unit = q->payload[0];
	sent[nsent++] = q->payload[q->len > 3 ? 3 : 1];
	if (bus_state == QUEUED)
		assert_int_equal(queue_add(&bus->queue, q), 0);
	if (bus_state < IN_FLIGHT)
		return;
	in_flight_keep(&bus->in_flight, q);
	bus->in_flight.waits = true;
	bus->in_flight.partial = bus_state == IN_PART;
	bus->in_flight.wire = pending = q->len + 2;
	bus->traffic.tx_bytes += q->len + 2;
}

static inline void
fake_answer(struct port *to, const struct queued *q)
{
	assert_true(ngiven < NELEM(given));
	given_unit = q->payload[0];
	given[ngiven].to = to;
	given[ngiven].number = q->payload[MIN(q->len - 1, 3)];
	if (q->len > 7) {
		given[ngiven].message = q->payload[1];
		given[ngiven].function = q->payload[7];
	}
	ngiven++;
}

void
failovers_hear(const struct batch *frames)
{
	(void)frames;
}

static const struct exchange_ops ops = {
	.send = fake_send,
	.answer = fake_answer,
};

size_t
link_pending(const struct link *link)
{
	assert_ptr_equal(link, bus->link);
	return pending;
}

size_t
link_take_back(struct link *link)
{
	size_t n = link_pending(link);

	pending = 0;
	return n;
}

/* --- what comes in ------------------------------------------------------- */

static inline void
ask_by(
    struct port *from, const void *payload, size_t len, unsigned route_number)
{
	const struct queued q = { .payload = payload,
		.len = len,
		.since_ns = asked_ns,
		.route = route_number };

	batch_start(batch, from);
	batch_add_queued(batch, &q, bus->node);
	exchange_submit(bus->node->exchange, batch);
}

static inline void
ask(struct port *from, const void *payload, size_t len)
{
	ask_by(from, payload, len, 0);
}

/* A request to a unit, with its number. */
static inline void
request(struct port *from, uint8_t unit, uint8_t number)
{
	const uint8_t payload[] = { unit, WRITE_REGISTER, 0, number, 0, 1 };

	ask(from, payload, sizeof(payload));
}

static inline void
from_bus(const void *payload, size_t len)
{
	const struct queued q = {
		.payload = payload, .len = len, .since_ns = now_ns()
	};

	batch_start(batch, bus);
	batch_add_queued(batch, &q, bus->node);
	exchange_answer(bus->node->exchange, batch, NULL, 0);
}

static inline void
answer(uint8_t unit, uint8_t number)
{
	const uint8_t payload[] = { unit, WRITE_REGISTER, 0, number, 0, 1 };

	from_bus(payload, sizeof(payload));
}

/* --- what is expected ---------------------------------------------------- */

/* The next request that is sent is that. */
static inline void
expect_sent(uint8_t number)
{
	UNTIL(nsent > sent_seen);
	assert_int_equal(sent[sent_seen++], number);
}

/* The next answer is that, and is given to that master. */
static inline void
expect_given(const struct port *to, uint8_t number)
{
	UNTIL(ngiven > given_seen);
	assert_ptr_equal(given[given_seen].to, to);
	assert_int_equal(given[given_seen++].number, number);
}

static inline void
assert_dropped(const struct port *port, enum drop_reason reason, uint64_t n)
{
	assert_int_equal(port->traffic.dropped[reason], n);
	assert_int_equal(traffic_dropped(&port->traffic), n);
}

static inline void
assert_label(const char *want)
{
	const struct task *task = &bus->node->exchange->task;
	char label[TASK_LABEL_MAX];

	task->label(task, label, sizeof(label));
	assert_string_equal(label, want);
}

/* The same for one in which a time passes: its beginning and its end. */
static inline void
assert_label_around(const char *begin, const char *end)
{
	const struct task *task = &bus->node->exchange->task;
	char label[TASK_LABEL_MAX];
	size_t n;

	task->label(task, label, sizeof(label));
	n = strlen(label);
	assert_memory_equal(label, begin, MIN(n, strlen(begin)));
	assert_true(n > strlen(end));
	assert_string_equal(label + n - strlen(end), end);
}

static inline size_t
waiting(void)
{
	size_t bytes = 0, frames = 0;

	exchange_queued(bus->node->exchange, &bytes, &frames);
	return frames;
}

/* --- what there is ------------------------------------------------------- */

/* The exchange of the route, or none, takes the place of what there is. */
static inline void
use_route(struct route *r)
{
	struct exchange_list list = TAILQ_HEAD_INITIALIZER(list);

	if (r != NULL)
		assert_int_equal(exchanges_add(&list, &bridge, &ops, r,
				     bus->node, bus->node->exchange),
		    0);
	exchanges_use(&bridge, &list);
}

/* The next process takes over; back: whether the connection of each master is there. */
static inline void
restart(struct route *r, unsigned back)
{
	struct old_exchanges *old = NULL;
	struct pack p = { .data = NULL };
	struct unpack u;

	exchanges_settle(&bridge);
	exchanges_save(&bridge, &p);
	forget_exchange(bus);
	use_route(r);
	u = (struct unpack){
		.at = p.data, .left = p.len, .version = PACK_VERSION
	};
	assert_int_equal(exchanges_read(&u, &old), 0);
	assert_false(u.failed);
	exchanges_restore(&bridge, old);
	for (unsigned i = 0; i < MASTERS; i++)
		if (back >> i & 1)
			exchanges_restore_master(master[i], old);
	old_exchanges_free(old, &bridge);
	pack_free(&p);
}

static inline int
set_up(void **state)
{
	static const char *const names[MASTERS] = { "a", "b", "c" };
	static char name[] = "shared", text[] = "from = a b c";

	(void)state;
	bridge_start();
	batch = calloc(1, sizeof(*batch));
	bus = make_port(make_node("bus", &single, "modbus-rtu"), NULL);
	for (unsigned i = 0; i < MASTERS; i++)
		master[i] =
		    make_port(make_node(names[i], &single, "modbus-rtu"), NULL);
	for (unsigned i = 0; i < bridge.nnodes; i++)
		bridge.node[i]->endpoint->conf->framing.payload = PAYLOAD_INNER;
	route_conf = (struct route_conf){ .name = name,
		.text = text,
		.exchange = EXCHANGE_MODBUS,
		.answer_timeout = HOUR,
		.late_guard = HOUR,
		.request_timeout = UINT64_MAX / 2 };
	memset(&stats, 0, sizeof(stats));
	route = (struct route){
		.conf = &route_conf, .name = name, .stats = &stats
	};
	asked_ns = NSEC_PER_SEC;
	bus_state = WRITTEN;
	nsent = sent_seen = ngiven = given_seen = 0;
	use_route(&route);
	return 0;
}

static inline int
tear_down(void **state)
{
	(void)state;
	exchanges_free(&bridge.exchanges);
	histogram_free(&stats.bus_time);
	for (unsigned i = 0; i < bridge.nnodes; i++)
		if (first_port(bridge.node[i]) != NULL)
			queue_free(&first_port(bridge.node[i])->queue);
	bridge_end();
	free(batch);
	return 0;
}

/* --- masters whose messages have a number -------------------------------- */

static inline void
make_tcp(struct port *port)
{
	struct framing_conf *conf = &port->node->endpoint->conf->framing;

	framing_use(conf, framing_find("modbus-tcp"));
	conf->payload = PAYLOAD_WHOLE;
}

static inline void
tcp_request(struct port *from, uint8_t message, uint8_t unit, uint8_t number)
{
	const uint8_t payload[] = { 0, message, 0, 0, 0, 6, unit,
		WRITE_REGISTER, 0, number, 0, 1 };

	ask(from, payload, sizeof(payload));
}

static inline void
expect_tcp(const struct port *to, uint8_t message, uint8_t function)
{
	UNTIL(ngiven > given_seen);
	assert_ptr_equal(given[given_seen].to, to);
	assert_int_equal(given[given_seen].message, message);
	assert_int_equal(given[given_seen++].function, function);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
