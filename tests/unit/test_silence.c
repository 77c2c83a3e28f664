/*
 * silence: when an endpoint that receives nothing is opened again.
 */
#include "bridge_harness.h"
#include "moved_clock.h"
#include "silence.h"

static struct node *node;
static uint64_t received;
static unsigned reopened, resets;
static int reset_result;

/* --- what silence.c calls ------------------------------------------------- */

uint64_t
node_received(const struct node *n)
{
	(void)n;
	return received;
}

void
endpoint_reopen(struct endpoint *ep, const char *why)
{
	(void)why;
	reopened++;
	ep->state = ENDPOINT_CLOSED;
	node_silence(node);
}

int
endpoint_reset(struct endpoint *ep, const char *sequence, struct error *err)
{
	(void)ep, (void)sequence;
	error_set(err, "reset");
	resets++;
	return reset_result;
}

/* --- what there is -------------------------------------------------------- */

static void
come_up(void)
{
	node->endpoint->state = ENDPOINT_UP;
	node_silence(node);
	node_silence_up(node);
}

static void
hear(void)
{
	received++;
	node->endpoint->link.heard_ns = now_ns();
}

static int
setup(void **state)
{
	(void)state;
	received = reopened = resets = 0;
	reset_result = 0;
	bridge_start();
	node = make_node("one", &single, "line");
	make_port(node, NULL);
	node->endpoint->conf->silence_timeout = 30 * NSEC_PER_SEC;
	come_up();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	node_silence_end(node);
	bridge_end();
	return 0;
}

static void
move(uint64_t seconds)
{
	move_clock(base, seconds * NSEC_PER_SEC);
}

/* --- tests ---------------------------------------------------------------- */

static void
test_a_silent_endpoint_is_opened_again(void **state)
{
	(void)state;
	move(29);
	assert_int_equal(reopened, 0);
	move(1);
	assert_int_equal(reopened, 1);
	assert_int_equal(node->endpoint->silences, 1);
	/* While it is not up, no time passes. */
	move(100);
	assert_int_equal(reopened, 1);
	come_up();
	move(29);
	assert_int_equal(reopened, 1);
	move(1);
	assert_int_equal(reopened, 2);
}

static void
test_the_time_runs_from_the_last_frame(void **state)
{
	(void)state;
	move(20);
	hear();
	move(10);
	/* Bytes that are no frame change nothing. */
	node->endpoint->link.heard_ns = now_ns();
	move(19);
	assert_int_equal(reopened, 0);
	move(1);
	assert_int_equal(reopened, 1);
}

static void
test_the_time_does_not_run_while_it_is_not_read(void **state)
{
	struct node *other = make_node("two", &single, "line");
	struct port *port = first_port(node), *to = make_port(other, NULL);

	(void)state;
	port->blocked_by = to;
	move(40);
	port->blocked_by = NULL;
	move(29);
	assert_int_equal(reopened, 0);
	node->endpoint->paused = true;
	move(1);
	node->endpoint->paused = false;
	move(29);
	assert_int_equal(reopened, 0);
	move(1);
	assert_int_equal(reopened, 1);
}

static void
test_its_device_is_reset_once(void **state)
{
	(void)state;
	assert_int_equal(resets, 0);
	move(30);
	come_up();
	assert_int_equal(resets, 1);
	node_silence_up(node);
	assert_int_equal(resets, 1);
	/* Its section may not say how. */
	reset_result = -EINVAL;
	move(30);
	come_up();
	assert_int_equal(resets, 2);
	assert_int_equal(reopened, 2);
}

static void
test_a_change_of_the_key_takes_effect_at_once(void **state)
{
	uint64_t *timeout = &node->endpoint->conf->silence_timeout;

	(void)state;
	move(20);
	*timeout = 10 * NSEC_PER_SEC;
	node_silence(node);
	run_due(base);
	assert_int_equal(reopened, 1);
	come_up();
	*timeout = 0;
	node_silence(node);
	assert_null(node->silence);
	move(100);
	assert_int_equal(reopened, 1);
}

static void
test_nothing_is_opened_while_the_daemon_stops(void **state)
{
	(void)state;
	bridge.stopping = true;
	move(100);
	assert_int_equal(reopened, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_a_silent_endpoint_is_opened_again),
		TEST(test_the_time_runs_from_the_last_frame),
		TEST(test_the_time_does_not_run_while_it_is_not_read),
		TEST(test_its_device_is_reset_once),
		TEST(test_a_change_of_the_key_takes_effect_at_once),
		TEST(test_nothing_is_opened_while_the_daemon_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
