/*
 * exchange: masters that share a bus.
 */
#include "exchange_harness.h"

/* --- turns and answers --------------------------------------------------- */

/* However many the others have sent before, each waits for one request of each. */
static void
masters_take_turns(void **state)
{
	enum { ROUNDS = 8 };

	(void)state;
	for (uint8_t i = 0; i < MASTERS; i++)
		for (uint8_t k = 0; k < ROUNDS; k++)
			request(master[i], 1, (uint8_t)(i * ROUNDS + k));
	for (uint8_t k = 0; k < ROUNDS; k++)
		for (uint8_t i = 0; i < MASTERS; i++) {
			uint8_t number = (uint8_t)(i * ROUNDS + k);

			expect_sent(number);
			answer(1, number);
			expect_given(master[i], number);
		}
	assert_int_equal(waiting(), 0);
	assert_int_equal(stats.counters.answers, MASTERS * ROUNDS);
	assert_dropped(bus, 0, 0);
}

static void
one_that_asks_seldom_is_not_kept_waiting(void **state)
{
	(void)state;
	request(master[1], 1, 99);
	for (uint8_t k = 0; k < 10; k++)
		request(master[0], 1, k);
	expect_sent(99);
	answer(1, 99);
	expect_given(master[1], 99);
	for (uint8_t k = 0; k < 3; k++) {
		expect_sent(k);
		answer(1, k);
		expect_given(master[0], k);
	}
	expect_sent(3);
	request(master[1], 1, 100);
	answer(1, 3);
	expect_given(master[0], 3);
	expect_sent(100);
	answer(1, 100);
	expect_given(master[1], 100);
}

/* One that asks for the first time is not served after the one that was served just now. */
static void
a_new_master_does_not_wait_for_another_round(void **state)
{
	static const uint8_t others[] = { 3, 4, 2 };

	(void)state;
	request(master[0], 1, 1);
	request(master[0], 1, 2);
	expect_sent(1);
	request(master[1], 1, 3);
	request(master[2], 1, 4);
	answer(1, 1);
	for (size_t i = 0; i < NELEM(others); i++) {
		expect_sent(others[i]);
		answer(1, others[i]);
	}
}

/* Nothing is sent before the answer is there. */
static void
one_request_is_out_at_a_time(void **state)
{
	(void)state;
	request(master[0], 1, 1);
	request(master[1], 2, 2);
	expect_sent(1);
	for (int i = 0; i < 20; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(nsent, 1);
	answer(1, 1);
	expect_sent(2);
}

static void
what_does_not_answer_the_request_is_not_given(void **state)
{
	static const struct {
		const char *what, *bytes;
	} others[] = {
		{ "another unit", "\x02\x03\x04\1\1\1\1" },
		{ "another function", "\x01\x04\x04\1\1\1\1" },
		{ "another length", "\x01\x03\x06\1\1\1\1\1\1" },
		{ "less than it says", "\x01\x03\x04\1\1\1" },
		{ "an exception of another function", "\x01\x84\x02" },
		{ "too little for Modbus", "\x01" },
	};
	static const uint8_t read_two[] = { 1, 3, 0, 9, 0, 2 },
			     values[] = { 1, 3, 4, 77, 0, 0, 0 };

	(void)state;
	ask(master[1], read_two, sizeof(read_two));
	expect_sent(9);
	for (size_t i = 0; i < NELEM(others); i++) {
		from_bus(others[i].bytes, strlen(others[i].bytes));
		if (stats.counters.foreign != i + 1)
			fail_msg("%s", others[i].what);
	}
	from_bus(values, sizeof(values));
	/* It has come a second time before the first was given. */
	from_bus(values, sizeof(values));
	expect_given(master[1], 77);
	assert_int_equal(stats.counters.foreign, NELEM(others));
	assert_int_equal(stats.counters.late, 1);
	assert_int_equal(stats.counters.answers, 1);
	/* And once more, when none is awaited. */
	from_bus(values, sizeof(values));
	assert_int_equal(stats.counters.late, 2);
	assert_int_equal(ngiven, 1);
}

static void
an_exception_is_an_answer(void **state)
{
	static const uint8_t exception[] = { 1, 0x80 | WRITE_REGISTER, 2 };

	(void)state;
	request(master[2], 1, 5);
	expect_sent(5);
	from_bus(exception, sizeof(exception));
	expect_given(master[2], 2);
}

static void
an_answer_for_which_the_master_has_no_room_is_dropped(void **state)
{
	(void)state;
	request(master[0], 1, 1);
	expect_sent(1);
	master[0]->queue.limit = 5;
	answer(1, 1);
	UNTIL(stats.counters.answers == 1);
	assert_int_equal(ngiven, 0);
	assert_dropped(master[0], DROP_OVERFLOW, 1);
}

/* The name of the master, for those who watch. */
static void
the_master_of_an_answer_is_named(void **state)
{
	static const uint8_t payload[] = { 1, WRITE_REGISTER, 0, 1, 0, 1 };
	const struct queued q = { .payload = payload, .len = sizeof(payload) };
	char names[32] = "x";

	(void)state;
	request(master[2], 1, 1);
	expect_sent(1);
	batch_start(batch, bus);
	batch_add_queued(batch, &q, bus->node);
	exchange_answer(bus->node->exchange, batch, names, sizeof(names));
	assert_string_equal(names, "x,c");
	expect_given(master[2], 1);
}

static void
a_broadcast_is_answered_by_none(void **state)
{
	(void)state;
	request(master[0], MODBUS_BROADCAST, 1);
	request(master[1], 1, 2);
	expect_sent(1);
	expect_sent(2);
	answer(1, 2);
	expect_given(master[1], 2);
	assert_int_equal(stats.counters.answers, 1);
	assert_int_equal(stats.counters.timeouts, 0);
	/* On a line on which a request takes minutes, none is awaited meanwhile. */
	bus->node->endpoint->conf->framing.baud = 1;
	request(master[0], MODBUS_BROADCAST, 3);
	expect_sent(3);
	request(master[1], 1, 4);
	assert_label("every unit to deal with a's broadcast (1 request more)");
	answer(MODBUS_BROADCAST, 3);
	assert_int_equal(stats.counters.late, 1);
	assert_int_equal(ngiven, 1);
}

/* --- answers that do not come in time ------------------------------------ */

static void
after_a_timeout_the_next_request_is_sent(void **state)
{
	(void)state;
	route_conf.answer_timeout = 5 * NSEC_PER_MSEC;
	request(master[0], 1, 1);
	expect_sent(1);
	route_conf.answer_timeout = HOUR;
	request(master[1], 2, 2);
	expect_sent(2);
	assert_int_equal(stats.counters.timeouts, 1);
	answer(1, 1);
	assert_int_equal(stats.counters.late, 1);
	assert_int_equal(stats.counters.foreign, 0);
	answer(2, 2);
	expect_given(master[1], 2);
	assert_int_equal(ngiven, 1);
}

/* Nothing in an answer tells whether it is the late one. */
static void
only_the_same_unit_and_function_wait_for_a_late_answer(void **state)
{
	static const uint8_t same_unit[] = { 1, 3, 0, 33, 0, 1 },
			     values[] = { 1, 3, 2, 44, 0 };

	(void)state;
	route_conf.answer_timeout = 5 * NSEC_PER_MSEC;
	request(master[0], 1, 1);
	expect_sent(1);
	route_conf.answer_timeout = HOUR;
	request(master[0], 1, 2);
	request(master[1], 2, 3);
	ask(master[2], same_unit, sizeof(same_unit));
	/* Its turn would come later. */
	expect_sent(3);
	assert_int_equal(stats.counters.timeouts, 1);
	answer(2, 3);
	expect_given(master[1], 3);
	expect_sent(33);
	from_bus(values, sizeof(values));
	expect_given(master[2], 44);
	UNTIL(bus->node->exchange->nrequests == 0 &&
	    bus->node->exchange->rest_ns == 0);
	assert_label(
	    "a late answer, before the unit is asked again (1 request more)");
	assert_int_equal(nsent, 3);
}

static void
the_same_request_goes_out_when_no_late_answer_can_come(void **state)
{
	(void)state;
	route_conf.answer_timeout = route_conf.late_guard = 5 * NSEC_PER_MSEC;
	request(master[0], 1, 1);
	request(master[1], 1, 2);
	expect_sent(1);
	expect_sent(2);
	assert_true(stats.counters.timeouts >= 1);
	assert_true(bus->node->exchange->nguards <= 1);
}

/* Late answers are remembered in a table of fixed size. */
static void
all_requests_wait_when_too_many_late_answers_are_expected(void **state)
{
	(void)state;
	route_conf.answer_timeout = NSEC_PER_MSEC;
	for (uint8_t i = 1; i <= GUARDS + 2; i++)
		request(master[0], i, i);
	UNTIL(stats.counters.timeouts == GUARDS);
	assert_int_equal(nsent, GUARDS);
	assert_int_equal(waiting(), 2);
	assert_label("a late answer, before the unit is asked again"
		     " (2 requests more)");
	/* One of them can come no more. */
	sent_seen = nsent;
	bus->node->exchange->guard[3].until_ns = 1;
	exchange_wake(bus->node->exchange);
	expect_sent(GUARDS + 1);
}

/* --- masters that ask again, and that leave ------------------------------ */

/* After a while without an answer: it would take the first answer for the second. */
static void
a_retry_takes_the_place_of_what_waits(void **state)
{
	(void)state;
	request(master[1], 1, 1);
	expect_sent(1);
	request(master[0], 1, 2);
	request(master[0], MODBUS_BROADCAST, 3);
	asked_ns += NSEC_PER_SEC;
	request(master[0], 1, 4);
	assert_dropped(bus, DROP_REPLACED, 1);
	/* The other's still waits for its answer. */
	answer(1, 1);
	expect_given(master[1], 1);
	route_conf.answer_timeout = NSEC_PER_MSEC;
	expect_sent(3);
	route_conf.answer_timeout = HOUR;
	expect_sent(4);
	answer(1, 4);
	expect_given(master[0], 4);
}

static void
requests_that_come_together_are_all_sent(void **state)
{
	(void)state;
	request(master[0], 1, 1);
	asked_ns += 20 * NSEC_PER_MSEC;
	request(master[0], 1, 2);
	for (uint8_t i = 1; i <= 2; i++) {
		expect_sent(i);
		answer(1, i);
		expect_given(master[0], i);
	}
	assert_dropped(bus, 0, 0);
}

/* The request was sent, so its answer will come; its master awaits another one. */
static void
the_answer_to_a_request_that_was_given_up_is_not_given(void **state)
{
	(void)state;
	request(master[0], 1, 1);
	expect_sent(1);
	asked_ns += NSEC_PER_SEC;
	request(master[0], 1, 2);
	answer(1, 1);
	expect_sent(2);
	assert_int_equal(ngiven, 0);
	assert_int_equal(stats.counters.late, 1);
	answer(1, 2);
	expect_given(master[0], 2);
}

static void
requests_of_a_master_that_is_closed_are_dropped(void **state)
{
	(void)state;
	request(master[0], 1, 1);
	request(master[0], 1, 2);
	request(master[0], 1, 3);
	request(master[1], 1, 4);
	expect_sent(1);
	exchange_forget(&bridge, master[0]);
	assert_dropped(bus, DROP_CLOSED, 2);
	assert_int_equal(bus->traffic.dropped_bytes, 12);
	assert_int_equal(waiting(), 1);
	assert_label_around("unit 1's answer to a disconnected master, ",
	    " of 1h00m (1 request more)");
	answer(1, 1);
	expect_sent(4);
	assert_int_equal(stats.counters.late, 1);
	answer(1, 4);
	expect_given(master[1], 4);
	assert_int_equal(ngiven, 1);
}

static void
what_the_bus_has_not_accepted_is_taken_back_with_its_master(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		uint8_t number = (uint8_t)(10 * i);

		bus_state = i == 0 ? QUEUED : IN_FLIGHT;
		request(master[0], 1, number);
		expect_sent(number);
		request(master[1], 1, (uint8_t)(number + 1));
		exchange_forget(&bridge, master[0]);
		assert_dropped(bus, DROP_CLOSED, i + 1);
		assert_true(queue_empty(&bus->queue));
		assert_false(bus->in_flight.waits);
		assert_int_equal(bus->traffic.tx_bytes, 0);
		/* Nobody waits for it to be answered. */
		bus_state = WRITTEN;
		expect_sent((uint8_t)(number + 1));
		answer(1, (uint8_t)(number + 1));
		expect_given(master[1], (uint8_t)(number + 1));
	}
}

/* Taking back its other half would leave a broken frame on the line. */
static void
what_was_written_in_part_is_not_taken_back(void **state)
{
	(void)state;
	bus_state = IN_FLIGHT;
	request(master[0], 1, 1);
	request(master[1], 2, 2);
	expect_sent(1);
	pending -= 3;
	exchange_forget(&bridge, master[0]);
	assert_dropped(bus, 0, 0);
	assert_true(bus->in_flight.waits);
	assert_int_equal(bus->node->exchange->nrequests, 1);
}

static void
a_bus_that_accepts_nothing_is_not_asked_on(void **state)
{
	(void)state;
	route_conf.answer_timeout = 5 * NSEC_PER_MSEC;
	bus_state = IN_PART;
	request(master[0], 1, 1);
	request(master[1], 2, 2);
	expect_sent(1);
	UNTIL(stats.counters.timeouts == 1);
	assert_label("bus to accept the previous request (1 request more)");
	assert_int_equal(nsent, 1);
	bus_state = IN_FLIGHT;
	free(bus->in_flight.payload);
	memset(&bus->in_flight, 0, sizeof(bus->in_flight));
	expect_sent(2);
	/* It is not sent after its time. */
	UNTIL(stats.counters.timeouts == 2);
	assert_dropped(bus, DROP_STALLED, 1);
}

/* --- requests that do not get to the bus --------------------------------- */

static void
requests_to_a_bus_that_is_down_are_dropped(void **state)
{
	(void)state;
	request(master[0], 1, 1);
	bus->link->up = false;
	UNTIL(waiting() == 0);
	assert_dropped(bus, DROP_DOWN, 1);
	bus->link->up = true;
	bus->node->endpoint->paused = true;
	request(master[0], 1, 2);
	UNTIL(waiting() == 0);
	assert_dropped(bus, DROP_DOWN, 2);
	bus->node->endpoint->paused = false;
	request(master[0], 1, 3);
	expect_sent(3);
	assert_int_equal(nsent, 1);
}

static void
a_request_that_waits_on_a_bus_that_goes_down_is_dropped(void **state)
{
	(void)state;
	bus_state = QUEUED;
	request(master[0], 1, 1);
	request(master[1], 1, 2);
	expect_sent(1);
	bus_state = WRITTEN;
	exchange_forget(&bridge, bus);
	assert_dropped(bus, DROP_DOWN, 1);
	assert_true(queue_empty(&bus->queue));
	expect_sent(2);
}

static void
a_bus_without_a_peer_is_no_bus(void **state)
{
	struct port *port = bus;

	(void)state;
	TAILQ_REMOVE(&bus->node->ports, port, entry);
	request(master[0], 1, 1);
	UNTIL(waiting() == 0);
	assert_int_equal(bus->node->retired.dropped[DROP_NO_PEER], 1);
	assert_int_equal(bus->node->retired.dropped_bytes, 6);
	assert_int_equal(exchange_send(bus->node->exchange, NULL,
			     (const uint8_t *)"\1\3\0\0\0\1", 6),
	    -ENOTCONN);
	TAILQ_INSERT_TAIL(&bus->node->ports, port, entry);
	assert_int_equal(nsent, 0);
}

static void
a_master_may_queue_as_much_as_the_bus(void **state)
{
	(void)state;
	bus->node->endpoint->conf->queue = 2 * QUEUE_FLOOR;
	for (uint8_t i = 1; i <= 3; i++)
		request(master[0], 1, i);
	assert_dropped(bus, DROP_OVERFLOW, 1);
	/* Each has its own queue. */
	request(master[1], 1, 4);
	assert_int_equal(waiting(), 3);
	expect_sent(1);
	answer(1, 1);
	expect_sent(4);
	answer(1, 4);
	expect_sent(2);
	/* A reload may have changed the limit. */
	request(master[0], 1, 5);
	bus->node->endpoint->conf->queue = QUEUE_FLOOR - 1;
	answer(1, 2);
	UNTIL(waiting() == 0);
	assert_dropped(bus, DROP_OVERFLOW, 2);
}

static void
what_is_no_request_is_not_sent(void **state)
{
	(void)state;
	ask(master[0], "\1", 1);
	assert_dropped(bus, DROP_UNENCODABLE, 1);
	bus->node->endpoint->conf->framing.max_frame = 5;
	request(master[0], 1, 1);
	UNTIL(waiting() == 0);
	assert_dropped(bus, DROP_UNENCODABLE, 2);
	assert_int_equal(nsent, 0);
}

static void
nothing_is_sent_while_the_bridge_stops(void **state)
{
	(void)state;
	request(master[0], 1, 1);
	bridge.stopping = true;
	for (int i = 0; i < 20; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(nsent, 0);
	bridge.stopping = false;
	exchange_wake(bus->node->exchange);
	expect_sent(1);
}

/* --- the control port ---------------------------------------------------- */

static void
a_tap_gets_the_answer_to_its_request(void **state)
{
	static const uint8_t payload[] = { 1, WRITE_REGISTER, 0, 1, 0, 1 };
	struct exchange *ex = bus->node->exchange;
	struct tap tap = { .names = NULL }, other = tap;

	(void)state;
	request(master[0], 1, 9);
	assert_int_equal(exchange_send(ex, &tap, payload, sizeof(payload)), 0);
	expect_sent(9);
	answer(1, 9);
	assert_false(exchange_answers(ex, &tap));
	expect_given(master[0], 9);
	expect_sent(1);
	assert_label_around(
	    "unit 1's answer to the control port, ", " of 1h00m");
	answer(1, 1);
	assert_true(exchange_answers(ex, &tap));
	assert_false(exchange_answers(ex, &other));
	UNTIL(stats.counters.answers == 2);
	assert_int_equal(ngiven, 1);
	exchange_forget_tap(&bridge, &tap);
}

static void
a_tap_that_leaves_takes_its_requests_along(void **state)
{
	static const uint8_t payload[] = { 1, WRITE_REGISTER, 0, 1, 0, 1 };
	struct exchange *ex = bus->node->exchange;
	struct tap tap = { .names = NULL };

	(void)state;
	assert_int_equal(exchange_send(ex, &tap, payload, sizeof(payload)), 0);
	exchange_forget_tap(&bridge, &tap);
	assert_dropped(bus, DROP_CLOSED, 1);
	assert_int_equal(waiting(), 0);
	assert_int_equal(exchange_send(ex, &tap, payload, 1), -EINVAL);
	bus->node->endpoint->conf->queue = QUEUE_FLOOR;
	assert_int_equal(exchange_send(ex, NULL, payload, sizeof(payload)), 0);
	assert_int_equal(
	    exchange_send(ex, NULL, payload, sizeof(payload)), -ENOBUFS);
	bus->link->up = false;
	assert_int_equal(
	    exchange_send(ex, &tap, payload, sizeof(payload)), -ENETDOWN);
}

/* A tap that counts what it is told. */
struct asking {
	struct tap tap;
	unsigned silent, dropped;
};

static void
count_unanswered(struct tap *tap, bool was_sent)
{
	struct asking *a = CONTAINER_OF(tap, struct asking, tap);

	a->silent += was_sent;
	a->dropped += !was_sent;
}

static void
tap_asks(struct asking *a, uint8_t unit)
{
	const uint8_t payload[] = { unit, WRITE_REGISTER, 0, 1, 0, 1 };

	memset(a, 0, sizeof(*a));
	a->tap.unanswered = count_unanswered;
	assert_int_equal(exchange_send(bus->node->exchange, &a->tap, payload,
			     sizeof(payload)),
	    0);
}

static void
a_tap_is_told_that_no_answer_has_come(void **state)
{
	static struct asking a;

	(void)state;
	route_conf.answer_timeout = NSEC_PER_MSEC;
	tap_asks(&a, 1);
	expect_sent(1);
	UNTIL(a.silent == 1);
	assert_int_equal(a.dropped, 0);
}

static void
a_tap_is_told_that_its_request_has_expired(void **state)
{
	static struct asking a;

	(void)state;
	route_conf.answer_timeout = 20 * NSEC_PER_MSEC;
	request(master[0], 2, 9);
	expect_sent(9);
	route_conf.request_timeout = NSEC_PER_MSEC;
	tap_asks(&a, 1);
	UNTIL(a.dropped == 1);
	assert_int_equal(a.silent, 0);
	assert_dropped(bus, DROP_EXPIRED, 1);
}

static void
a_tap_is_told_that_the_bus_is_down(void **state)
{
	static struct asking a, b;

	(void)state;
	tap_asks(&a, 1);
	expect_sent(1);
	tap_asks(&b, 2);
	bus->link->up = false;
	exchange_forget(&bridge, bus);
	UNTIL(a.dropped == 1 && b.dropped == 1);
	assert_int_equal(a.silent + b.silent, 0);
}

static void
a_tap_is_told_that_the_exchange_has_ended(void **state)
{
	struct exchange_list none = TAILQ_HEAD_INITIALIZER(none);
	static struct asking a, b;

	(void)state;
	tap_asks(&a, 1);
	expect_sent(1);
	tap_asks(&b, 2);
	exchanges_use(&bridge, &none);
	assert_int_equal(a.dropped, 1);
	assert_int_equal(b.dropped, 1);
}

static void
a_tap_uses_the_units_of_the_bus(void **state)
{
	static struct asking a;

	(void)state;
	route_conf.unit_offset = 7;
	tap_asks(&a, 1);
	expect_sent(1);
	assert_label_around("unit 1's answer to the control port, ", "");
	answer(1, 1);
	assert_true(exchange_answers(bus->node->exchange, &a.tap));
}

/* --- masters whose messages have a number -------------------------------- */

/* They ask in one framing and are answered in it; the bus has its own. */
static void
each_answer_has_the_number_of_its_request(void **state)
{
	(void)state;
	make_tcp(master[0]);
	make_tcp(master[1]);
	tcp_request(master[0], 7, 1, 1);
	tcp_request(master[1], 7, 1, 2);
	/* It has not given up what it asked before. */
	asked_ns += NSEC_PER_SEC;
	tcp_request(master[0], 8, 1, 3);
	for (uint8_t i = 1; i <= 3; i++) {
		expect_sent(i);
		answer(1, i);
		expect_tcp(master[i == 2], i == 3 ? 8 : 7, WRITE_REGISTER);
	}
	assert_int_equal(traffic_dropped(&bus->traffic), 0);
}

static void
they_are_told_that_there_is_no_answer(void **state)
{
	(void)state;
	make_tcp(master[0]);
	route_conf.answer_timeout = 5 * NSEC_PER_MSEC;
	tcp_request(master[0], 1, 1, 1);
	expect_tcp(master[0], 1, 0x80 | WRITE_REGISTER);
	assert_int_equal(stats.counters.timeouts, 1);
	assert_int_equal(stats.counters.answers, 0);
	/* The bus goes while it is waited for, and then is down. */
	route_conf.answer_timeout = HOUR;
	tcp_request(master[0], 2, 2, 2);
	sent_seen = 1;
	expect_sent(2);
	exchange_forget(&bridge, bus);
	bus->link->up = false;
	expect_tcp(master[0], 2, 0x80 | WRITE_REGISTER);
	tcp_request(master[0], 3, 3, 3);
	expect_tcp(master[0], 3, 0x80 | WRITE_REGISTER);
	assert_int_equal(nsent, 2);
}

static void
a_request_without_room_is_counted_once(void **state)
{
	(void)state;
	make_tcp(master[0]);
	bus->node->endpoint->conf->queue = 2 * QUEUE_FLOOR;
	for (uint8_t i = 1; i <= 3; i++)
		tcp_request(master[0], i, 1, i);
	assert_dropped(bus, DROP_OVERFLOW, 1);
	expect_tcp(master[0], 3, 0x80 | WRITE_REGISTER);
	assert_int_equal(stats.counters.exceptions[MODBUS_BUSY], 1);
	for (uint8_t i = 4; i <= 5; i++)
		tcp_request(master[0], i, 1, i);
	/* One is on the bus, one has found no room and is to be told. */
	exchange_forget(&bridge, master[0]);
	assert_int_equal(bus->traffic.dropped[DROP_OVERFLOW], 2);
	assert_int_equal(bus->traffic.dropped[DROP_CLOSED], 2);
}

static void
no_more_refusals_wait_than_requests(void **state)
{
	(void)state;
	make_tcp(master[0]);
	bus->node->endpoint->conf->queue = 2 * QUEUE_FLOOR;
	for (uint8_t i = 1; i <= 10; i++)
		tcp_request(master[0], i, 1, i);
	assert_dropped(bus, DROP_OVERFLOW, 8);
	for (uint8_t i = 3; i <= 4; i++)
		expect_tcp(master[0], i, 0x80 | WRITE_REGISTER);
	for (int i = 0; i < 20; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(stats.counters.exceptions[MODBUS_BUSY], 2);
}

/* A server may be the bus. */
static void
a_bus_with_another_link_is_not_down(void **state)
{
	struct port *other = make_port(bus->node, NULL);

	(void)state;
	request(master[0], 1, 1);
	expect_sent(1);
	exchange_forget(&bridge, other);
	assert_int_equal(bus->node->exchange->nrequests, 1);
	answer(1, 1);
	expect_given(master[0], 1);
}

/* --- labels, and a reload ------------------------------------------------ */

static void
it_says_what_it_waits_for(void **state)
{
	(void)state;
	assert_label("nothing: no request for bus");
	/* A line on which the silence after a frame takes half a minute. */
	bus->node->endpoint->conf->framing.baud = 1;
	request(master[0], 7, 1);
	request(master[1], 7, 2);
	request(master[1], 7, 3);
	expect_sent(1);
	assert_label_around(
	    "unit 7's answer to a, ", " of 1h00m (2 requests more)");
	answer(7, 1);
	expect_given(master[0], 1);
	assert_label("the silence before the next request (2 requests more)");
}

static void
a_reload_changes_nothing_for_a_route_that_stays(void **state)
{
	(void)state;
	request(master[0], 1, 1);
	request(master[1], 1, 2);
	expect_sent(1);
	use_route(&route);
	answer(1, 1);
	/* Even one that has come, and is to be given. */
	use_route(&route);
	expect_given(master[0], 1);
	expect_sent(2);
	use_route(&route);
	answer(1, 2);
	expect_given(master[1], 2);
	assert_dropped(bus, 0, 0);
	assert_int_equal(stats.counters.answers, 2);
}

static void
a_reload_without_the_route_drops_what_waits(void **state)
{
	(void)state;
	request(master[0], 1, 1);
	request(master[1], 1, 2);
	expect_sent(1);
	use_route(NULL);
	assert_dropped(bus, DROP_CLOSED, 1);
	assert_null(bus->node->exchange);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(masters_take_turns),
		TEST(a_new_master_does_not_wait_for_another_round),
		TEST(one_that_asks_seldom_is_not_kept_waiting),
		TEST(one_request_is_out_at_a_time),
		TEST(what_does_not_answer_the_request_is_not_given),
		TEST(an_exception_is_an_answer),
		TEST(an_answer_for_which_the_master_has_no_room_is_dropped),
		TEST(the_master_of_an_answer_is_named),
		TEST(a_broadcast_is_answered_by_none),
		TEST(after_a_timeout_the_next_request_is_sent),
		TEST(only_the_same_unit_and_function_wait_for_a_late_answer),
		TEST(the_same_request_goes_out_when_no_late_answer_can_come),
		TEST(all_requests_wait_when_too_many_late_answers_are_expected),
		TEST(a_retry_takes_the_place_of_what_waits),
		TEST(requests_that_come_together_are_all_sent),
		TEST(the_answer_to_a_request_that_was_given_up_is_not_given),
		TEST(requests_of_a_master_that_is_closed_are_dropped),
		TEST(
		    what_the_bus_has_not_accepted_is_taken_back_with_its_master),
		TEST(what_was_written_in_part_is_not_taken_back),
		TEST(a_bus_that_accepts_nothing_is_not_asked_on),
		TEST(requests_to_a_bus_that_is_down_are_dropped),
		TEST(a_request_that_waits_on_a_bus_that_goes_down_is_dropped),
		TEST(a_bus_without_a_peer_is_no_bus),
		TEST(a_master_may_queue_as_much_as_the_bus),
		TEST(what_is_no_request_is_not_sent),
		TEST(nothing_is_sent_while_the_bridge_stops),
		TEST(a_tap_gets_the_answer_to_its_request),
		TEST(a_tap_that_leaves_takes_its_requests_along),
		TEST(a_tap_is_told_that_no_answer_has_come),
		TEST(a_tap_is_told_that_its_request_has_expired),
		TEST(a_tap_is_told_that_the_bus_is_down),
		TEST(a_tap_is_told_that_the_exchange_has_ended),
		TEST(a_tap_uses_the_units_of_the_bus),
		TEST(each_answer_has_the_number_of_its_request),
		TEST(they_are_told_that_there_is_no_answer),
		TEST(a_request_without_room_is_counted_once),
		TEST(no_more_refusals_wait_than_requests),
		TEST(a_bus_with_another_link_is_not_down),
		TEST(it_says_what_it_waits_for),
		TEST(a_reload_changes_nothing_for_a_route_that_stays),
		TEST(a_reload_without_the_route_drops_what_waits),
	};

	return cmocka_run_group_tests_name("exchange", tests, NULL, NULL);
}
