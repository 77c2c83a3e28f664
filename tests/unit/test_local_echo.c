/*
 * local_echo: what a port receives of its own output is removed, and nothing else.
 */
#include "bridge_harness.h"
#include "forward.h"

static struct port *port;
static char input[256];
static size_t len;

static int
set_up(void **state)
{
	(void)state;
	bridge_start();
	port = make_port(make_node("bus", &single, "line"), NULL);
	len = 0;
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	port_echo_free(port);
	bridge_end();
	return 0;
}

static void
sent(const char *s)
{
	port_echo_sent(port, (const uint8_t *)s, strlen(s));
}

/* One read; what is left of it is input. */
static void
received(const char *s)
{
	size_t n = strlen(s);

	memcpy(input + len, s, n);
	len += port_echo_remove(
	    port, (uint8_t *)input + len, n, sizeof(input) - len);
}

static void
assert_input(const char *want)
{
	assert_int_equal(len, strlen(want));
	assert_memory_equal(input, want, len);
}

static void
assert_counted(uint64_t bytes, uint64_t collisions)
{
	assert_int_equal(port->traffic.echo_bytes, bytes);
	assert_int_equal(port->traffic.collisions, collisions);
}

static void
what_was_sent_is_removed(void **state)
{
	(void)state;
	sent("request");
	received("request");
	assert_input("");
	received("answer");
	assert_input("answer");
	assert_counted(7, 0);
}

static void
it_may_come_in_pieces_and_with_the_answer(void **state)
{
	(void)state;
	sent("request");
	received("re");
	received("");
	received("ques");
	received("tans");
	received("wer");
	assert_input("answer");
	assert_counted(7, 0);
}

static void
several_writes_are_expected_in_their_order(void **state)
{
	(void)state;
	sent("ab");
	sent("cde");
	received("a");
	received("bc");
	sent("f");
	received("defxyz");
	assert_input("xyz");
	assert_counted(6, 0);
}

/* An answer that repeats the request is left, because the echo came before. */
static void
an_answer_like_the_request_is_left(void **state)
{
	(void)state;
	sent("same");
	received("samesame");
	assert_input("same");
	assert_counted(4, 0);
}

static void
after_a_collision_all_is_input(void **state)
{
	(void)state;
	sent("request");
	sent("more");
	received("req");
	assert_input("");
	received("uXst");
	/* What was taken for the echo before is input, too. */
	assert_input("requXst");
	assert_counted(0, 1);
	received("more");
	assert_input("requXstmore");
	sent("again");
	received("again");
	assert_input("requXstmore");
	assert_counted(5, 1);
}

static void
only_the_write_that_differs_is_input(void **state)
{
	(void)state;
	sent("one");
	sent("two");
	received("onetXo");
	assert_input("tXo");
	assert_counted(3, 1);
}

static void
an_adapter_without_an_echo_loses_nothing(void **state)
{
	(void)state;
	sent("ask");
	received("a");
	received("nswer");
	assert_input("answer");
	assert_counted(0, 1);
}

static void
there_is_room_for_what_is_given_back_or_it_is_lost(void **state)
{
	uint8_t in[4] = { 'X', 'Y', 'Z' };

	(void)state;
	sent("abcd");
	received("ab");
	assert_int_equal(port_echo_remove(port, in, 3, sizeof(in)), 3);
	assert_memory_equal(in, "XYZ", 3);
	assert_counted(2, 1);
}

static void
nothing_is_expected_any_more_when_it_is_forgotten(void **state)
{
	(void)state;
	sent("request");
	received("req");
	port_echo_forget(port);
	received("uest");
	assert_input("uest");
	assert_counted(3, 0);
}

/* An adapter that never returns anything must not cost memory without limit. */
static void
what_is_expected_is_bounded(void **state)
{
	static char large[40 * 1024];
	const struct queue *queue;
	size_t matched;

	(void)state;
	memset(large, 'x', sizeof(large) - 1);
	for (int i = 0; i < 10; i++) {
		sent(large);
		queue = port_echo_expected(port, &matched);
		assert_true(queue->payload <= 128 * 1024);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_sent_is_removed),
		TEST(it_may_come_in_pieces_and_with_the_answer),
		TEST(several_writes_are_expected_in_their_order),
		TEST(an_answer_like_the_request_is_left),
		TEST(after_a_collision_all_is_input),
		TEST(only_the_write_that_differs_is_input),
		TEST(an_adapter_without_an_echo_loses_nothing),
		TEST(there_is_room_for_what_is_given_back_or_it_is_lost),
		TEST(nothing_is_expected_any_more_when_it_is_forgotten),
		TEST(what_is_expected_is_bounded),
	};

	return cmocka_run_group_tests_name("local_echo", tests, NULL, NULL);
}
