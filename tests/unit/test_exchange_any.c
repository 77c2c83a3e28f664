/*
 * exchange: requests and answers of which only the order is known.  Here they are a letter
 * and a number: Q is answered with A, N is not answered, U comes unasked.
 */
#include "exchange_harness.h"
#include "exchange_parts.h"

static void
say(struct port *from, char what, uint8_t number)
{
	const uint8_t text[] = { (uint8_t)what, number };

	ask(from, text, sizeof(text));
}

static void
hear(char what, uint8_t number)
{
	const uint8_t text[] = { (uint8_t)what, number };

	from_bus(text, sizeof(text));
}

/* Whether the frame that was received last is kept from masters that did not ask. */
static bool
is_kept_back(void)
{
	return batch->item[0].answer;
}

static int
set_up_any(void **state)
{
	struct error err;

	set_up(state);
	for (unsigned i = 0; i < bridge.nnodes; i++)
		framing_use(&bridge.node[i]->endpoint->conf->framing,
		    framing_find("line"));
	route_conf.exchange = EXCHANGE_ANY;
	assert_int_equal(expression_new("^N", &route.no_answer, &err), 0);
	assert_int_equal(expression_new("^A", &route.answer_match, &err), 0);
	use_route(NULL);
	use_route(&route);
	return 0;
}

static int
tear_down_any(void **state)
{
	expression_free(route.no_answer);
	expression_free(route.answer_match);
	return tear_down(state);
}

static void
the_next_frame_answers_the_request(void **state)
{
	(void)state;
	say(master[0], 'Q', 1);
	say(master[1], 'Q', 2);
	expect_sent(1);
	hear('U', 8);
	assert_false(is_kept_back());
	hear('A', 1);
	assert_true(is_kept_back());
	expect_given(master[0], 1);
	expect_sent(2);
	hear('A', 2);
	expect_given(master[1], 2);
	assert_int_equal(stats.counters.foreign, 1);
	/* None is awaited. */
	hear('A', 3);
	assert_false(is_kept_back());
	assert_int_equal(stats.counters.foreign, 2);
	assert_int_equal(ngiven, 2);
}

static void
what_comes_before_the_request_is_written_is_no_answer(void **state)
{
	(void)state;
	bus_state = QUEUED;
	say(master[0], 'Q', 1);
	expect_sent(1);
	hear('A', 9);
	assert_false(is_kept_back());
	assert_int_equal(stats.counters.foreign, 1);
	queue_pop(&bus->queue);
	hear('A', 1);
	expect_given(master[0], 1);
}

static void
an_answer_may_have_to_begin_with_certain_bytes(void **state)
{
	(void)state;
	route_conf.answer_match_hex = (struct bytes){ 2, "A\5" };
	say(master[0], 'Q', 1);
	expect_sent(1);
	hear('A', 4);
	hear('A', 5);
	expect_given(master[0], 5);
	assert_int_equal(stats.counters.foreign, 1);
}

/* The time begins again with each frame. */
static void
an_answer_of_several_frames_goes_to_one_master(void **state)
{
	(void)state;
	route_conf.answer_frames = 2;
	say(master[0], 'Q', 1);
	say(master[1], 'Q', 2);
	expect_sent(1);
	hear('A', 10);
	expect_given(master[0], 10);
	assert_int_equal(nsent, 1);
	hear('A', 11);
	expect_given(master[0], 11);
	assert_int_equal(stats.counters.answers, 1);
	expect_sent(2);
	/* Only a part of it comes. */
	route_conf.answer_timeout = 5 * NSEC_PER_MSEC;
	hear('A', 20);
	expect_given(master[1], 20);
	UNTIL(stats.counters.timeouts == 1);
	assert_int_equal(stats.counters.answers, 1);
}

static void
the_second_frame_of_an_answer_is_no_echo(void **state)
{
	(void)state;
	route_conf.answer_frames = 2;
	say(master[0], 'A', 1);
	expect_sent(1);
	hear('A', 10);
	hear('A', 1);
	expect_given(master[0], 10);
	expect_given(master[0], 1);
	assert_false(bus->node->exchange->hinted);
	/* The first one may be. */
	say(master[0], 'A', 2);
	expect_sent(2);
	hear('A', 2);
	assert_true(bus->node->exchange->hinted);
}

static void
a_request_without_an_answer_holds_up_nothing(void **state)
{
	(void)state;
	say(master[0], 'N', 1);
	say(master[0], 'N', 2);
	say(master[0], 'Q', 3);
	for (uint8_t i = 1; i <= 3; i++)
		expect_sent(i);
	hear('A', 3);
	expect_given(master[0], 3);
	assert_int_equal(stats.counters.requests, 3);
	assert_int_equal(stats.counters.answers, 1);
	assert_int_equal(stats.counters.timeouts, 0);
}

/* Nothing shows that it is not the answer to any other request. */
static void
a_late_answer_is_awaited_before_any_request(void **state)
{
	(void)state;
	route_conf.answer_timeout = 5 * NSEC_PER_MSEC;
	say(master[0], 'Q', 1);
	expect_sent(1);
	UNTIL(stats.counters.timeouts == 1);
	say(master[1], 'Q', 2);
	for (int i = 0; i < 20; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(nsent, 1);
	assert_label("a late answer, before bus is asked again"
		     " (1 request more)");
	hear('A', 1);
	assert_true(is_kept_back());
	hear('U', 8);
	assert_false(is_kept_back());
	assert_int_equal(stats.counters.late, 1);
	assert_int_equal(stats.counters.foreign, 1);
	assert_int_equal(ngiven, 0);
}

/* A program may send several, and means all of them. */
static void
a_later_request_replaces_none(void **state)
{
	(void)state;
	say(master[0], 'Q', 1);
	asked_ns += NSEC_PER_SEC;
	say(master[0], 'Q', 2);
	for (uint8_t i = 1; i <= 2; i++) {
		expect_sent(i);
		hear('A', i);
		expect_given(master[0], i);
	}
	assert_dropped(bus, 0, 0);
}

static void
a_part_of_an_answer_is_restored(void **state)
{
	(void)state;
	route_conf.answer_frames = 2;
	say(master[1], 'Q', 1);
	say(master[0], 'Q', 2);
	expect_sent(1);
	hear('A', 10);
	expect_given(master[1], 10);
	restart(&route, 1U << 0 | 1U << 1);
	hear('A', 11);
	expect_given(master[1], 11);
	expect_sent(2);
}

#define ANY_TEST(name) \
	cmocka_unit_test_setup_teardown(name, set_up_any, tear_down_any)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ANY_TEST(the_next_frame_answers_the_request),
		ANY_TEST(what_comes_before_the_request_is_written_is_no_answer),
		ANY_TEST(an_answer_may_have_to_begin_with_certain_bytes),
		ANY_TEST(an_answer_of_several_frames_goes_to_one_master),
		ANY_TEST(the_second_frame_of_an_answer_is_no_echo),
		ANY_TEST(a_request_without_an_answer_holds_up_nothing),
		ANY_TEST(a_late_answer_is_awaited_before_any_request),
		ANY_TEST(a_later_request_replaces_none),
		ANY_TEST(a_part_of_an_answer_is_restored),
	};

	return cmocka_run_group_tests_name("exchange_any", tests, NULL, NULL);
}
