/*
 * exchange: several requests at a time, on a bus whose messages have numbers.
 */
#include "exchange_harness.h"

/* The numbers of the requests on the bus are counted from 1. */
static void
bus_answer(uint8_t transaction, uint8_t number)
{
	const uint8_t payload[] = { 0, transaction, 0, 0, 0, 6, 1,
		WRITE_REGISTER, 0, number, 0, 1 };

	from_bus(payload, sizeof(payload));
}

/* What was sent is not taken note of by its number, but counted. */
static void
expect_count(unsigned n)
{
	UNTIL(nsent >= n);
	for (int i = 0; i < 20; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(nsent, n);
}

static int
set_up_tcp(void **state)
{
	set_up(state);
	make_tcp(bus);
	make_tcp(master[0]);
	make_tcp(master[1]);
	route_conf.window = 3;
	return 0;
}

static void
no_more_than_the_window_is_outstanding(void **state)
{
	(void)state;
	for (uint8_t i = 1; i <= 5; i++)
		tcp_request(master[0], (uint8_t)(10 + i), 1, i);
	expect_count(3);
	assert_int_equal(waiting(), 2);
	bus_answer(2, 2);
	expect_tcp(master[0], 12, WRITE_REGISTER);
	expect_count(4);
	bus_answer(1, 1);
	bus_answer(4, 4);
	expect_tcp(master[0], 11, WRITE_REGISTER);
	expect_tcp(master[0], 14, WRITE_REGISTER);
	expect_count(5);
	assert_int_equal(stats.counters.requests, 5);
	assert_int_equal(stats.counters.answers, 3);
}

static void
an_answer_belongs_to_the_request_with_its_number(void **state)
{
	(void)state;
	tcp_request(master[0], 11, 1, 1);
	tcp_request(master[1], 11, 1, 2);
	expect_count(2);
	/* It is not what was asked for under that number. */
	bus_answer(1, 2);
	assert_int_equal(stats.counters.foreign, 1);
	bus_answer(2, 2);
	expect_tcp(master[1], 11, WRITE_REGISTER);
	bus_answer(2, 2);
	assert_int_equal(stats.counters.foreign, 2);
	bus_answer(1, 1);
	expect_tcp(master[0], 11, WRITE_REGISTER);
	bus_answer(1, 1);
	assert_int_equal(stats.counters.late, 1);
}

static void
each_is_told_when_the_bus_goes_down(void **state)
{
	(void)state;
	for (uint8_t i = 1; i <= 3; i++)
		tcp_request(master[0], (uint8_t)(10 + i), 1, i);
	expect_count(3);
	exchange_forget(&bridge, bus);
	for (uint8_t i = 1; i <= 3; i++)
		expect_tcp(master[0], (uint8_t)(10 + i), 0x80 | WRITE_REGISTER);
	assert_int_equal(stats.counters.timeouts, 3);
	assert_int_equal(stats.counters.exceptions[MODBUS_NO_PATH], 3);
}

/* Nobody tells the exchange that the bus has accepted it. */
static void
the_next_one_follows_when_the_bus_has_accepted_the_last(void **state)
{
	(void)state;
	bus_state = QUEUED;
	tcp_request(master[0], 11, 1, 1);
	tcp_request(master[0], 12, 1, 2);
	expect_count(1);
	bus_state = WRITTEN;
	queue_pop(&bus->queue);
	expect_count(2);
}

/* It would otherwise be too close to the answer to the other request. */
static void
a_retry_waits_for_the_gap(void **state)
{
	(void)state;
	route_conf.retries = 1;
	route_conf.min_gap = HOUR;
	route_conf.answer_timeout = 20 * NSEC_PER_MSEC;
	tcp_request(master[0], 11, 1, 1);
	tcp_request(master[0], 12, 1, 2);
	expect_count(2);
	bus_answer(1, 1);
	expect_tcp(master[0], 11, WRITE_REGISTER);
	UNTIL(bus->node->exchange->request[1].until_ns > now_ns() + HOUR / 2);
	assert_int_equal(nsent, 2);
	assert_int_equal(stats.counters.retries, 0);
}

static void
outstanding_requests_stay_at_a_reload(void **state)
{
	(void)state;
	for (uint8_t i = 1; i <= 4; i++)
		tcp_request(master[0], (uint8_t)(10 + i), 1, i);
	expect_count(3);
	route_conf.window = 1;
	use_route(&route);
	for (uint8_t i = 3; i >= 1; i--) {
		assert_int_equal(nsent, 3);
		bus_answer(i, i);
		expect_tcp(master[0], (uint8_t)(10 + i), WRITE_REGISTER);
	}
	expect_count(4);
	bus_answer(4, 4);
	expect_tcp(master[0], 14, WRITE_REGISTER);
}

static void
outstanding_requests_are_restored_with_their_masters(void **state)
{
	(void)state;
	tcp_request(master[0], 11, 1, 1);
	tcp_request(master[1], 11, 1, 2);
	tcp_request(master[0], 12, 1, 3);
	tcp_request(master[0], 13, 1, 4);
	expect_count(3);
	bus_answer(1, 1);
	expect_tcp(master[0], 11, WRITE_REGISTER);
	expect_count(4);
	restart(&route, 1U << 0 | 1U << 1);
	bus_answer(4, 4);
	expect_tcp(master[0], 13, WRITE_REGISTER);
	bus_answer(2, 2);
	expect_tcp(master[1], 11, WRITE_REGISTER);
	bus_answer(3, 3);
	expect_tcp(master[0], 12, WRITE_REGISTER);
	/* The numbers go on. */
	tcp_request(master[0], 14, 1, 5);
	expect_count(5);
	bus_answer(5, 5);
	expect_tcp(master[0], 14, WRITE_REGISTER);
}

static void
a_restored_request_that_is_not_written_in_time_is_not_sent(void **state)
{
	(void)state;
	bus_state = QUEUED;
	route_conf.answer_timeout = 20 * NSEC_PER_MSEC;
	tcp_request(master[0], 11, 1, 1);
	expect_count(1);
	restart(&route, 1U << 0);
	expect_tcp(master[0], 11, 0x80 | WRITE_REGISTER);
	assert_true(queue_empty(&bus->queue));
	assert_dropped(bus, DROP_STALLED, 1);
}

#define TCP_TEST(name) \
	cmocka_unit_test_setup_teardown(name, set_up_tcp, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TCP_TEST(no_more_than_the_window_is_outstanding),
		TCP_TEST(an_answer_belongs_to_the_request_with_its_number),
		TCP_TEST(each_is_told_when_the_bus_goes_down),
		TCP_TEST(
		    the_next_one_follows_when_the_bus_has_accepted_the_last),
		TCP_TEST(a_retry_waits_for_the_gap),
		TCP_TEST(outstanding_requests_stay_at_a_reload),
		TCP_TEST(outstanding_requests_are_restored_with_their_masters),
		TCP_TEST(
		    a_restored_request_that_is_not_written_in_time_is_not_sent),
	};

	return cmocka_run_group_tests_name(
	    "exchange_window", tests, NULL, NULL);
}
