/*
 * failover: which of several sources, or destinations, a route uses.
 */
#include "bridge_harness.h"
#include "moved_clock.h"
#include "failover_parts.h"
#include "taken.h"
#include "warning.h"

static const struct endpoint_ops several = { .type = "several",
	.several = true };

static struct node *node[3];
static struct route *route;
static struct failover_list list = LIST_HEAD_INITIALIZER(list);
static struct batch *batch;
static unsigned measured; /* ports whose receiver was asked */
static unsigned updated;  /* sources that need not wait any more */

/* --- what the files call -------------------------------------------------- */

void
link_taken(const struct link *link, struct taken *ret)
{
	measured++;
	*ret = (struct taken){ .bytes = link->tx_bytes };
}

size_t
link_held(const struct link *link)
{
	(void)link;
	return 0;
}

void
port_stop_waiting(struct port *from)
{
	TAILQ_REMOVE(&from->blocked_by->waiters, from, waiting);
	from->blocked_by = NULL;
}

void
port_update(struct port *port)
{
	(void)port;
	updated++;
}

/* --- what there is -------------------------------------------------------- */

static void
use_route(const char *from, const char *to, int prefer, const char *live_match)
{
	static const char *const names[] = { "one", "two", "other" };
	static const unsigned was[] = { ROUTE_NONE, ROUTE_NONE, ROUTE_NONE };
	struct route_conf *conf = calloc(1, sizeof(*conf));
	struct error err;
	unsigned bad;

	conf->name = strdup("r");
	conf->from = strdup(from);
	conf->to = strdup(to);
	conf->prefer = prefer;
	conf->live_match = live_match != NULL ? strdup(live_match) : NULL;
	if (routes_new(&conf, 1, names, NULL, 3, &bridge.routes, &bad, &err) <
	    0)
		fail_msg("%s", err.text);
	route = bridge.routes->route[0];
	assert_int_equal(failovers_add(&list, &bridge, route), 0);
	failovers_use(&bridge, &list, was);
}

static struct port *
make(unsigned i, const char *name, const struct endpoint_ops *ops)
{
	node[i] = make_node(name, ops, "line");
	node[i]->endpoint->state = ENDPOINT_UP;
	node[i]->endpoint->link.up = true;
	return make_port(node[i], NULL);
}

static int
setup(void **state)
{
	(void)state;
	bridge_start();
	measured = updated = 0;
	batch = calloc(1, sizeof(*batch));
	make(0, "one", &single);
	make(1, "two", &single);
	make(2, "other", &single);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	failovers_free(&bridge.failovers);
	routes_free(bridge.routes);
	free(batch);
	bridge_end();
	return 0;
}

static void
move(uint64_t seconds)
{
	move_clock(base, seconds * NSEC_PER_SEC);
}

static void
hear_text(unsigned i, const char *text)
{
	batch->from = first_port(node[i]);
	batch->n = 1;
	batch->item[0].payload = (const uint8_t *)text;
	batch->item[0].len = strlen(text);
	if (bridge.routes->source[i].hears)
		failovers_hear(batch);
}

static void
hear(unsigned i)
{
	hear_text(i, "x");
}

static const char *
why(unsigned i)
{
	static char buf[96];

	return failover_reason(route->choice->failover, i, buf, sizeof(buf));
}

static bool
is_warned(void)
{
	return warning_is_set(
	    route->choice->failover->task.warnings, WARNING_FAILOVER);
}

#define assert_used(i) assert_int_equal(route->choice->used, (i))

/* The link of the node is lost, or open again. */
static void
set_up(unsigned i, bool up)
{
	first_port(node[i])->link->up = up;
	node[i]->endpoint->link.up = up;
	failovers_look(node[i]);
	node[i]->endpoint->state = up ? ENDPOINT_UP : ENDPOINT_LOST;
	failovers_look(node[i]);
	run_due(base);
}

/* --- sources -------------------------------------------------------------- */

static void
test_the_first_source_is_used_while_it_sends(void **state)
{
	(void)state;
	use_route("one two", "other", PREFER_FROM, NULL);
	assert_true(bridge.routes->source[0].hears);
	assert_false(bridge.routes->source[2].hears);
	for (int i = 0; i < 5; i++) {
		move(2);
		hear(0);
		hear(1);
	}
	assert_used(0);
	move(2);
	hear(1);
	assert_used(0);
	move(1);
	assert_used(1);
	assert_true(is_warned());
	assert_string_equal(why(0), "has sent no frame within 3s");
	assert_int_equal(route->switches, 1);
	/* It is used again when it has been live for 10 s. */
	for (int i = 0; i < 5; i++) {
		assert_used(1);
		hear(0);
		hear(1);
		move(2);
	}
	assert_used(0);
	assert_false(is_warned());
	assert_int_equal(route->switches, 2);
}

static void
test_one_that_comes_and_goes_is_not_used_again(void **state)
{
	(void)state;
	use_route("one two", "other", PREFER_FROM, NULL);
	hear(1);
	for (int i = 0; i < 20; i++) {
		move(2);
		hear(1);
		move(2);
		hear(1);
		hear(0);
	}
	assert_used(1);
	assert_int_equal(route->switches, 1);
}

static void
test_nothing_changes_while_none_is_live(void **state)
{
	(void)state;
	use_route("one two", "other", PREFER_FROM, NULL);
	move(100);
	assert_used(0);
	assert_true(is_warned());
	hear(1);
	assert_used(1);
	/* Nothing else is live, so it need not last. */
	move(3);
	hear(0);
	assert_used(0);
	assert_false(is_warned());
}

static void
test_only_frames_that_match_show_life(void **state)
{
	(void)state;
	use_route("one two", "other", PREFER_FROM, "fix");
	move(2);
	hear_text(0, "fix");
	move(2);
	hear_text(0, "none");
	hear_text(1, "none");
	move(1);
	assert_used(0);
	assert_true(is_warned());
	hear_text(1, "a fix");
	assert_used(1);
}

static void
test_a_source_that_is_held_back_has_not_failed(void **state)
{
	struct port *port;

	(void)state;
	use_route("one two", "other", PREFER_FROM, NULL);
	port = first_port(node[0]);
	port->blocked_by = first_port(node[2]);
	for (int i = 0; i < 10; i++) {
		move(2);
		hear(1);
	}
	assert_used(0);
	port->blocked_by = NULL;
	move(2);
	hear(1);
	move(2);
	assert_used(1);
}

/* --- destinations --------------------------------------------------------- */

static void
test_a_destination_has_time_to_be_opened(void **state)
{
	(void)state;
	first_port(node[0])->link->up = false;
	node[0]->endpoint->state = ENDPOINT_LOST;
	use_route("other", "one two", PREFER_TO, NULL);
	run_due(base);
	assert_used(0);
	move(2);
	assert_used(0);
	assert_false(is_warned());
	move(1);
	assert_used(1);
	/* It is used again when it has been up for long enough. */
	set_up(0, true);
	move(9);
	assert_used(1);
	move(1);
	assert_used(0);
}

static void
test_the_one_in_use_has_that_time_after_a_restart(void **state)
{
	(void)state;
	first_port(node[1])->link->up = false;
	node[1]->endpoint->state = ENDPOINT_CLOSED;
	use_route("other", "one two", PREFER_TO, NULL);
	failover_restore(route, 1);
	failovers_look(node[0]);
	move(2);
	assert_used(1);
	set_up(1, true);
	move(5);
	assert_used(1);
	move(5);
	assert_used(0);
}

static void
test_a_destination_that_is_lost_is_not_up(void **state)
{
	(void)state;
	use_route("other", "one two", PREFER_TO, NULL);
	run_due(base);
	/* The link is down before the state is another one. */
	first_port(node[0])->link->up = false;
	node[0]->endpoint->link.up = false;
	failovers_look(node[0]);
	run_due(base);
	assert_used(1);
	assert_string_equal(why(0), "is not up");
	node[0]->endpoint->paused = true;
	assert_string_equal(why(0), "is paused");
}

static void
test_a_destination_that_takes_nothing(void **state)
{
	struct port *one = first_port(node[0]), *source = first_port(node[2]);

	(void)state;
	use_route("other", "one two", PREFER_TO, NULL);
	move(1000);
	/* It has all the time from now on, however long it had nothing to do. */
	one->in_flight.waits = true;
	hear(2);
	source->blocked_by = one;
	TAILQ_INSERT_TAIL(&one->waiters, source, waiting);
	move(1);
	move(1);
	assert_used(0);
	/* Some of it is taken. */
	one->link->tx_bytes++;
	for (int i = 0; i < 2; i++)
		move(1);
	assert_used(0);
	move(1);
	move(1);
	assert_used(1);
	assert_string_equal(why(0), "has taken nothing within 3s");
	/* Nothing waits for it any more. */
	assert_int_equal(updated, 1);
	assert_null(source->blocked_by);
	one->in_flight.waits = false;
	move(1);
	for (int i = 0; i < 9; i++)
		move(1);
	assert_used(1);
	move(1);
	assert_used(0);
}

static void
test_a_gap_or_a_pace_is_no_failure(void **state)
{
	struct port *one = first_port(node[0]);

	(void)state;
	use_route("other", "one two", PREFER_TO, NULL);
	run_due(base);
	one->in_flight.waits = true;
	one->gap_at = moved_ns + 3600 * NSEC_PER_SEC;
	hear(2);
	for (int i = 0; i < 20; i++)
		move(1);
	assert_used(0);
	one->gap_at = 0;
	one->pace_at = one->paced_ns = moved_ns;
	for (int i = 0; i < 20; i++)
		move(1);
	assert_used(0);
	one->pace_refused = true;
	for (int i = 0; i < 4; i++)
		move(1);
	assert_used(1);
}

static void
test_many_clients_cost_one_look(void **state)
{
	const unsigned n = 100;
	uint64_t runs;

	(void)state;
	node[0]->endpoint->conf->ops = &several;
	use_route("other", "one two", PREFER_TO, NULL);
	run_due(base);
	runs = route->choice->failover->task.runs;
	/* It is none of the destinations. */
	failovers_look(node[2]);
	run_due(base);
	assert_int_equal(route->choice->failover->task.runs, runs);
	for (unsigned i = 0; i < n; i++) {
		make_port(node[0], NULL);
		failovers_look(node[0]);
		failovers_look(node[2]);
	}
	run_due(base);
	assert_int_equal(route->choice->failover->task.runs, runs + 1);
	assert_int_equal(measured, 0);
	/* Their output is measured when there is some. */
	hear(2);
	hear(2);
	move(1);
	assert_int_equal(measured, n + 2);
	move(100);
	assert_int_equal(measured, n + 2);
}

static void
test_a_server_without_a_client_is_not_used(void **state)
{
	struct port *port = first_port(node[0]);

	(void)state;
	node[0]->endpoint->conf->ops = &several;
	use_route("other", "one two", PREFER_TO, NULL);
	port->link->up = false;
	failovers_look(node[0]);
	run_due(base);
	assert_used(1);
	assert_string_equal(why(0), "has no peer");
	port->link->up = true;
	failovers_look(node[0]);
	move(10);
	move(10);
	assert_used(0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_the_first_source_is_used_while_it_sends),
		TEST(test_one_that_comes_and_goes_is_not_used_again),
		TEST(test_nothing_changes_while_none_is_live),
		TEST(test_only_frames_that_match_show_life),
		TEST(test_a_source_that_is_held_back_has_not_failed),
		TEST(test_a_destination_has_time_to_be_opened),
		TEST(test_the_one_in_use_has_that_time_after_a_restart),
		TEST(test_a_destination_that_is_lost_is_not_up),
		TEST(test_a_destination_that_takes_nothing),
		TEST(test_a_gap_or_a_pace_is_no_failure),
		TEST(test_many_clients_cost_one_look),
		TEST(test_a_server_without_a_client_is_not_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
