/*
 * exchange: which requests of which master are sent, and to which unit: several routes to
 * a bus, units, functions, priority, times.
 */
#include "exchange_harness.h"

static struct route_conf other_conf;
static struct route other;
static struct exchange_stats other_stats;

/* The routes in this order; second: NULL, or the other one. */
static void
use_both(struct route *first, struct route *second)
{
	struct exchange_list list = TAILQ_HEAD_INITIALIZER(list);
	struct exchange *old = bus->node->exchange;

	assert_int_equal(
	    exchanges_add(&list, &bridge, &ops, first, bus->node, old), 0);
	if (second != NULL)
		assert_int_equal(
		    exchanges_add(&list, &bridge, &ops, second, bus->node, old),
		    0);
	exchanges_use(&bridge, &list);
}

static int
set_up_routes(void **state)
{
	static char name[] = "other", text[] = "from = b";

	set_up(state);
	memset(&other_stats, 0, sizeof(other_stats));
	other_conf = route_conf;
	other_conf.name = name;
	other_conf.text = text;
	other = (struct route){ .number = 1,
		.conf = &other_conf,
		.name = name,
		.stats = &other_stats };
	use_both(&route, &other);
	return 0;
}

static int
tear_down_routes(void **state)
{
	histogram_free(&other_stats.bus_time);
	return tear_down(state);
}

/* A request by the route with that number. */
static void
request_by(unsigned number, struct port *from, uint8_t unit, uint8_t function,
    uint8_t id)
{
	const uint8_t payload[] = { unit, function, 0, id, 0, 1 };

	ask_by(from, payload, sizeof(payload), number);
}

/* One that no route accepts; refused: because of its function. */
static void
refuse(struct port *from, const void *payload, size_t len, bool refused)
{
	const struct queued q = {
		.payload = payload, .len = len, .since_ns = asked_ns
	};
	struct route_target target = { .to = bus->node->number };
	const struct route_source source = { .ntargets = 1,
		.targets = &target };

	batch_start(batch, from);
	batch_add_queued(batch, &q, bus->node);
	batch->item[0].refused_by = refused ? 0 : NO_ROUTE;
	exchange_refuse(batch, &source);
}

/* --- several routes ------------------------------------------------------- */

static void
each_route_counts_its_own_requests(void **state)
{
	(void)state;
	request_by(0, master[0], 1, WRITE_REGISTER, 1);
	request_by(1, master[1], 1, WRITE_REGISTER, 2);
	for (uint8_t i = 1; i <= 2; i++) {
		expect_sent(i);
		answer(1, i);
		expect_given(master[i - 1], i);
	}
	assert_int_equal(stats.counters.requests, 1);
	assert_int_equal(stats.counters.answers, 1);
	assert_int_equal(other_stats.counters.requests, 1);
	assert_int_equal(other_stats.counters.answers, 1);
}

static void
a_route_that_goes_takes_its_requests_along(void **state)
{
	(void)state;
	request_by(0, master[0], 1, WRITE_REGISTER, 1);
	request_by(1, master[1], 1, WRITE_REGISTER, 2);
	request_by(0, master[2], 1, WRITE_REGISTER, 3);
	expect_sent(1);
	use_route(&route);
	assert_dropped(bus, DROP_CLOSED, 1);
	answer(1, 1);
	expect_given(master[0], 1);
	expect_sent(3);
}

static void
an_answer_by_a_route_that_has_gone_is_for_nobody(void **state)
{
	(void)state;
	request_by(1, master[1], 1, WRITE_REGISTER, 1);
	request_by(0, master[0], 2, WRITE_REGISTER, 2);
	expect_sent(1);
	use_route(&route);
	answer(1, 1);
	expect_sent(2);
	assert_int_equal(ngiven, 0);
	assert_int_equal(stats.counters.late, 1);
}

/* The first route counts for how long the bus was busy. */
static void
routes_may_change_places(void **state)
{
	(void)state;
	request_by(0, master[0], 1, WRITE_REGISTER, 1);
	expect_sent(1);
	UNTIL(stats.busy.since_ns != 0);
	use_both(&other, &route);
	UNTIL(other_stats.busy.since_ns != 0);
	assert_int_equal(stats.busy.since_ns, 0);
	assert_true(stats.counters.busy_ns > 0);
	answer(1, 1);
	expect_given(master[0], 1);
}

/* --- units ---------------------------------------------------------------- */

static void
the_unit_on_the_bus_is_another_one(void **state)
{
	(void)state;
	other_conf.unit_offset = -100;
	request_by(1, master[1], 105, WRITE_REGISTER, 1);
	expect_sent(1);
	assert_int_equal(sent_unit, 5);
	answer(5, 1);
	expect_given(master[1], 1);
	assert_int_equal(given_unit, 105);
	request_by(1, master[1], MODBUS_BROADCAST, WRITE_REGISTER, 2);
	expect_sent(2);
	assert_int_equal(sent_unit, MODBUS_BROADCAST);
	/* There is no unit -95. */
	request_by(1, master[1], 5, WRITE_REGISTER, 3);
	UNTIL(waiting() == 0);
	assert_dropped(bus, DROP_UNENCODABLE, 1);
}

static void
a_late_answer_is_that_of_the_unit_on_the_bus(void **state)
{
	(void)state;
	route_conf.answer_timeout = 5 * NSEC_PER_MSEC;
	other_conf.unit_offset = 10;
	request_by(0, master[0], 15, WRITE_REGISTER, 1);
	expect_sent(1);
	UNTIL(stats.counters.timeouts == 1);
	route_conf.answer_timeout = HOUR;
	request_by(1, master[1], 5, WRITE_REGISTER, 2);
	request_by(1, master[2], 15, WRITE_REGISTER, 3);
	expect_sent(3);
	assert_int_equal(waiting(), 1);
	answer(25, 3);
	expect_given(master[2], 3);
}

static void
a_broadcast_waits_for_no_late_answer(void **state)
{
	(void)state;
	route_conf.answer_timeout = 5 * NSEC_PER_MSEC;
	other_conf.unit_offset = 10;
	request_by(0, master[0], 10, WRITE_REGISTER, 1);
	expect_sent(1);
	UNTIL(stats.counters.timeouts == 1);
	request_by(1, master[1], MODBUS_BROADCAST, WRITE_REGISTER, 2);
	expect_sent(2);
}

/* --- functions ------------------------------------------------------------ */

static const uint8_t refused_write[] = { 1, WRITE_REGISTER, 0, 9, 0, 1 };

static void
a_function_that_is_not_permitted_is_refused(void **state)
{
	(void)state;
	refuse(master[0], refused_write, sizeof(refused_write), true);
	expect_given(master[0], MODBUS_ILLEGAL_FUNCTION);
	assert_int_equal(stats.counters.exceptions[MODBUS_ILLEGAL_FUNCTION], 1);
	assert_int_equal(stats.counters.requests, 0);
	/* Its master would take that for the answer to another request. */
	refuse(master[0], refused_write, sizeof(refused_write), false);
	assert_int_equal(waiting(), 0);
	assert_int_equal(nsent, 0);
}

static void
a_broadcast_that_is_refused_is_not_answered(void **state)
{
	static const uint8_t payload[] = { 0, WRITE_REGISTER, 0, 9, 0, 1 };

	(void)state;
	refuse(master[0], payload, sizeof(payload), true);
	UNTIL(waiting() == 0);
	assert_int_equal(ngiven, 0);
}

static void
a_refused_request_does_not_wait_for_a_late_answer(void **state)
{
	(void)state;
	route_conf.answer_timeout = 5 * NSEC_PER_MSEC;
	request(master[1], 1, 1);
	expect_sent(1);
	UNTIL(stats.counters.timeouts == 1);
	refuse(master[0], refused_write, sizeof(refused_write), true);
	expect_given(master[0], MODBUS_ILLEGAL_FUNCTION);
}

/* --- turns and times ------------------------------------------------------ */

static void
priority_is_limited(void **state)
{
	static char names[] = "a c";

	(void)state;
	route_conf.priority = names;
	use_both(&route, &other);
	request(master[2], 1, 98);
	expect_sent(98);
	request(master[1], 1, 99);
	answer(1, 98);
	expect_sent(99);
	for (uint8_t i = 0; i < 2 * PRIORITY_RUN; i++)
		request(master[0], 1, i);
	request(master[1], 1, 100);
	answer(1, 99);
	for (uint8_t i = 0; i < PRIORITY_RUN; i++) {
		expect_sent(i);
		/* It is as urgent, and has not had its turn for longer. */
		if (i == PRIORITY_RUN - 1)
			request(master[2], 1, 101);
		answer(1, i);
	}
	expect_sent(100);
	answer(1, 100);
	expect_sent(101);
	answer(1, 101);
	expect_sent(PRIORITY_RUN);
}

static void
a_request_that_has_waited_too_long_is_dropped(void **state)
{
	(void)state;
	make_tcp(master[1]);
	request(master[0], 1, 1);
	expect_sent(1);
	route_conf.request_timeout = 20 * NSEC_PER_MSEC;
	asked_ns = now_ns();
	tcp_request(master[1], 7, 1, 2);
	/* The answer that is awaited does not come for an hour. */
	expect_tcp(master[1], 7, 0x80 | WRITE_REGISTER);
	assert_int_equal(stats.counters.expired, 1);
	assert_int_equal(stats.counters.exceptions[MODBUS_NO_ANSWER], 1);
	assert_dropped(bus, DROP_EXPIRED, 1);
	assert_int_equal(nsent, 1);
}

static void
a_request_is_sent_again(void **state)
{
	(void)state;
	route_conf.answer_timeout = 5 * NSEC_PER_MSEC;
	route_conf.retries = 2;
	request(master[0], 1, 1);
	for (int i = 0; i < 3; i++)
		expect_sent(1);
	UNTIL(stats.counters.timeouts == 1);
	assert_int_equal(nsent, 3);
	assert_int_equal(stats.counters.requests, 1);
	assert_int_equal(stats.counters.retries, 2);
}

/* The unit may still answer the other time that it was sent. */
static void
after_a_retry_another_answer_may_come(void **state)
{
	(void)state;
	route_conf.answer_timeout = 20 * NSEC_PER_MSEC;
	route_conf.retries = 1;
	request(master[0], 1, 1);
	request(master[1], 1, 2);
	expect_sent(1);
	expect_sent(1);
	answer(1, 1);
	expect_given(master[0], 1);
	answer(1, 1);
	assert_int_equal(stats.counters.late, 1);
	assert_int_equal(nsent, 2);
	assert_int_equal(waiting(), 1);
}

static void
a_retry_that_is_taken_back_was_sent_before(void **state)
{
	(void)state;
	route_conf.answer_timeout = 20 * NSEC_PER_MSEC;
	route_conf.retries = 1;
	request(master[0], 1, 1);
	expect_sent(1);
	bus_state = QUEUED;
	expect_sent(1);
	UNTIL(stats.counters.timeouts == 1);
	assert_dropped(bus, DROP_STALLED, 1);
	bus_state = WRITTEN;
	request(master[1], 1, 2);
	for (int i = 0; i < 20; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(nsent, 2);
	answer(1, 1);
	assert_int_equal(stats.counters.late, 1);
	assert_int_equal(ngiven, 0);
}

static void
a_retry_is_not_sent_when_the_answer_has_come(void **state)
{
	(void)state;
	route_conf.answer_timeout = 20 * NSEC_PER_MSEC;
	route_conf.retries = 1;
	request(master[0], 1, 1);
	expect_sent(1);
	route_conf.answer_timeout = HOUR;
	bus_state = QUEUED;
	expect_sent(1);
	answer(1, 1);
	expect_given(master[0], 1);
	assert_true(queue_empty(&bus->queue));
	assert_dropped(bus, DROP_REPLACED, 1);
}

static void
nothing_is_sent_in_the_gap(void **state)
{
	(void)state;
	route_conf.min_gap = HOUR;
	request(master[0], 1, 1);
	request(master[1], 1, 2);
	expect_sent(1);
	answer(1, 1);
	expect_given(master[0], 1);
	for (int i = 0; i < 20; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(nsent, 1);
	assert_label("the silence before the next request (1 request more)");
}

/* --- the next process ----------------------------------------------------- */

static void
requests_are_restored_with_the_right_masters(void **state)
{
	(void)state;
	request(master[0], 1, 1);
	request(master[1], 1, 2);
	request(master[2], 1, 3);
	expect_sent(1);
	restart(&route, 1U << 0 | 1U << 2);
	/* The second one is not there any more. */
	assert_int_equal(bus->node->retired.dropped[DROP_CLOSED], 1);
	answer(1, 1);
	expect_given(master[0], 1);
	expect_sent(3);
	answer(1, 3);
	expect_given(master[2], 3);
}

#define ROUTES_TEST(name) \
	cmocka_unit_test_setup_teardown(name, set_up_routes, tear_down_routes)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ROUTES_TEST(each_route_counts_its_own_requests),
		ROUTES_TEST(a_route_that_goes_takes_its_requests_along),
		ROUTES_TEST(an_answer_by_a_route_that_has_gone_is_for_nobody),
		ROUTES_TEST(routes_may_change_places),
		ROUTES_TEST(the_unit_on_the_bus_is_another_one),
		ROUTES_TEST(a_late_answer_is_that_of_the_unit_on_the_bus),
		ROUTES_TEST(a_broadcast_waits_for_no_late_answer),
		ROUTES_TEST(a_function_that_is_not_permitted_is_refused),
		ROUTES_TEST(a_broadcast_that_is_refused_is_not_answered),
		ROUTES_TEST(a_refused_request_does_not_wait_for_a_late_answer),
		ROUTES_TEST(priority_is_limited),
		ROUTES_TEST(a_request_that_has_waited_too_long_is_dropped),
		ROUTES_TEST(a_request_is_sent_again),
		ROUTES_TEST(after_a_retry_another_answer_may_come),
		ROUTES_TEST(a_retry_that_is_taken_back_was_sent_before),
		ROUTES_TEST(a_retry_is_not_sent_when_the_answer_has_come),
		ROUTES_TEST(nothing_is_sent_in_the_gap),
		ROUTES_TEST(requests_are_restored_with_the_right_masters),
	};

	return cmocka_run_group_tests_name(
	    "exchange_routes", tests, NULL, NULL);
}
