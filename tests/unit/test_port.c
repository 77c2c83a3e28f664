/*
 * port: what is read, who waits for whom, and the timer.
 *
 * All of this is derived from state, so links and queues here are only state: a queue has
 * no frames, only a number of bytes, and a link notes what it is told.
 */
#include "bridge_harness.h"
#include "port_spool.h"

#define QUANTUM ((size_t)SMALL_REST)
#define HOUR (3600 * NSEC_PER_SEC)

static const struct endpoint_ops several = {
	.type = "several",
	.several = true,
};
static const struct endpoint_ops datagrams = {
	.type = "datagrams",
	.datagram = 1500,
};

static struct route_source sources[NODES_MAX];
static struct route_target targets[NODES_MAX][NODES_MAX];
static struct routes routes = { .source = sources };
static struct link *triggered; /* the last one */

/* --- what port.c calls --------------------------------------------------- */

void
link_set_reading(struct link *link, bool on)
{
	link->reading = on;
}

void
link_trigger(struct link *link, short what)
{
	assert_int_equal(what, EV_READ);
	triggered = link;
}

bool
route_target_waits(const struct route_target *target)
{
	(void)target;
	return false;
}

/* No port has a spool. */
size_t
port_spool_room(const struct port *port)
{
	(void)port;
	return 0;
}

bool
port_spool_full(const struct port *port)
{
	(void)port;
	return false;
}

/* The times that have come are over; the next turns are given. */
static void
on_due(struct port *port, uint64_t now)
{
	if (port->turn_at != 0 && port->turn_at <= now) {
		port->turn_at = 0;
		port_release(port);
	}
	if (port->gap_at != 0 && port->gap_at <= now)
		port->gap_at = 0;
}

/* --- what there is ------------------------------------------------------- */

static struct port *
make_with(const char *name, const struct endpoint_ops *ops, const char *framing)
{
	struct node *node = make_node(name, ops, framing);

	sources[node->number].targets = targets[node->number];
	return make_port(node, on_due);
}

static struct port *
make(const char *name)
{
	return make_with(name, &single, "line");
}

static void
join(const struct port *from, struct port *to)
{
	struct route_source *s = &sources[from->node->number];

	s->targets[s->ntargets++].to = to->node->number;
	to->fair = ++to->node->nsources > 1;
}

/* From now on the queue has room for that many bytes. */
static void
leave_room(struct port *port, size_t room)
{
	assert_true(room <= port->conf->queue);
	port->queue.bytes = port->conf->queue - room;
}

/* Names of the ports that wait for it, in their order. */
static void
assert_waiters(const struct port *port, const char *want)
{
	char names[64] = "";
	const struct port *from;

	TAILQ_FOREACH(from, &port->waiters, waiting) {
		append(names, sizeof(names), "%s", from->link->name);
		assert_ptr_equal(from->blocked_by, port);
	}
	assert_string_equal(names, want);
	assert_int_equal(port->full, *want != '\0');
}

static void
assert_timer(const struct port *port, const char *want)
{
	char label[TASK_LABEL_MAX];

	port->timer_task.label(&port->timer_task, label, sizeof(label));
	assert_string_equal(label, want);
}

static int
set_up(void **state)
{
	(void)state;
	bridge_start();
	bridge.routes = &routes;
	memset(sources, 0, sizeof(sources));
	memset(targets, 0, sizeof(targets));
	triggered = NULL;
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	bridge_end();
	return 0;
}

/* --- room ---------------------------------------------------------------- */

static void
the_room_is_that_of_the_destination_with_the_least(void **state)
{
	struct port *a = make("a"), *b = make("b"), *c = make("c");
	struct port *by;

	(void)state;
	join(a, b);
	join(a, c);
	leave_room(b, 600);
	leave_room(c, 900);
	assert_int_equal(port_room(a, &by), 600);
	assert_ptr_equal(by, b);
	leave_room(c, 0);
	assert_int_equal(port_room(a, &by), 0);
	assert_ptr_equal(by, c);
	/* Those to which it does not forward do not matter. */
	assert_int_equal(port_room(b, &by), TURN_BYTES);
	assert_null(by);
	/* A reload may have changed the limit. */
	leave_room(c, 900);
	b->node->endpoint->conf->queue -= 550;
	assert_int_equal(port_room(a, &by), 50);
	b->node->endpoint->conf->queue = b->queue.bytes - 1;
	assert_int_equal(port_room(a, &by), 0);
}

static void
a_peer_does_not_wait_for_its_own_queue(void **state)
{
	struct port *first = make_with("lan", &several, "line");
	struct port *second = make_port(first->node, on_due);
	struct port *by;

	(void)state;
	join(first, first);
	leave_room(first, 0);
	leave_room(second, 70);
	assert_int_equal(port_room(first, &by), 70);
	assert_ptr_equal(by, second);
	assert_int_equal(port_room(second, &by), 0);
	assert_ptr_equal(by, first);
}

/* A full queue is no reason to wait if frames are dropped, or held, anyway. */
static void
only_a_port_that_takes_frames_and_blocks_is_waited_for(void **state)
{
	struct port *a = make("a"), *b = make("b"), *by;
	struct endpoint_conf *conf = b->node->endpoint->conf;
	bool *const reasons[] = { &b->stalled, &b->closing,
		&b->link->unwritable, &b->node->endpoint->paused };

	(void)state;
	join(a, b);
	leave_room(b, 0);
	assert_int_equal(port_room(a, &by), 0);
	for (size_t i = 0; i < NELEM(reasons); i++) {
		*reasons[i] = true;
		assert_int_equal(port_room(a, &by), TURN_BYTES);
		*reasons[i] = false;
	}
	b->link->up = false;
	assert_int_equal(port_room(a, &by), TURN_BYTES);
	b->link->up = true;
	for (int i = OVERFLOW_DROP_OLDEST; i <= OVERFLOW_DISCONNECT; i++) {
		conf->overflow = i;
		assert_int_equal(port_room(a, &by), TURN_BYTES);
	}
	conf->overflow = OVERFLOW_BLOCK;
	assert_int_equal(port_room(a, &by), 0);
}

/* --- what is read -------------------------------------------------------- */

static void
what_is_read_follows_from_the_state(void **state)
{
	static const struct {
		bool down, paused, stopping, full; /* the other's queue */
		bool reads, waits;
	} cases[] = {
		{ .reads = true },
		{ .full = true, .waits = true },
		{ .down = true },
		{ .down = true, .full = true },
		{ .paused = true },
		{ .paused = true, .full = true },
		{ .stopping = true },
		{ .stopping = true, .full = true, .waits = true },
	};
	struct port *a = make("a"), *b = make("b");

	(void)state;
	join(a, b);
	/* From each state to each other. */
	for (size_t i = 0; i < NELEM(cases) * NELEM(cases); i++) {
		size_t k =
		    i % 2 == 0 ? i / 2 % NELEM(cases) : i / 2 / NELEM(cases);

		a->link->up = !cases[k].down;
		a->node->endpoint->paused = cases[k].paused;
		bridge.stopping = cases[k].stopping;
		leave_room(b, cases[k].full ? 0 : 100);
		port_update(a);
		assert_int_equal(a->link->reading, cases[k].reads);
		assert_waiters(b, cases[k].waits ? "a" : "");
	}
	assert_null(triggered);
}

/* Nothing tells when the rest is to be cut, so it tells itself. */
static void
what_was_read_already_comes_as_soon_as_there_is_room(void **state)
{
	struct port *a = make("a"), *b = make("b");

	(void)state;
	join(a, b);
	a->backlog = true;
	leave_room(b, 0);
	port_update(a);
	assert_null(triggered);
	leave_room(b, 1);
	port_update(a);
	assert_ptr_equal(triggered, a->link);
}

static void
a_full_queue_is_released_with_its_only_source(void **state)
{
	struct port *a = make("a"), *b = make("b");

	(void)state;
	join(a, b);
	b->node->endpoint->conf->stall_timeout = HOUR;
	leave_room(b, 0);
	port_update(a);
	assert_false(a->link->reading);
	assert_true(b->stall_at != 0);
	assert_timer(b, "b to take something before it counts as stalled");
	leave_room(b, b->conf->queue / 2);
	port_release(b);
	assert_waiters(b, "");
	assert_true(a->link->reading);
	assert_int_equal(b->stall_at, 0);
}

static void
a_port_that_no_longer_blocks_lets_all_go(void **state)
{
	struct port *a = make("a"), *b = make("b"), *c = make("c");

	(void)state;
	join(a, c);
	join(b, c);
	c->node->endpoint->conf->stall_timeout = HOUR;
	leave_room(c, 0);
	port_update(a);
	port_update(b);
	assert_waiters(c, "ab");
	c->stalled = true;
	port_release(c);
	assert_waiters(c, "");
	assert_true(a->link->reading && b->link->reading);
	/* It is still checked whether it takes something again. */
	assert_true(c->stall_at != 0);
}

/* --- turns --------------------------------------------------------------- */

static void
sources_of_a_full_queue_take_turns_in_their_order(void **state)
{
	struct port *a = make("a"), *b = make("b"), *c = make("c");
	struct port *d = make("d"), *by;

	(void)state;
	join(a, d);
	join(b, d);
	join(c, d);
	leave_room(d, 0);
	port_update(b);
	port_update(a);
	port_update(c);
	port_update(b);
	assert_waiters(d, "bac");
	/* As many as there is room for. */
	leave_room(d, QUANTUM + 1);
	port_release(d);
	assert_true(b->turn && a->turn && !c->turn);
	assert_int_equal(port_room(b, &by), QUANTUM);
	assert_int_equal(port_room(c, &by), 0);
	/* A turn is no reason to read before it is asked for. */
	port_update(b);
	assert_false(b->link->reading);
	assert_waiters(d, "bac");
	port_turn_end(b, 100);
	assert_false(b->turn);
	assert_waiters(d, "acb");
	UNTIL(c->turn);
	assert_false(b->turn);
	port_turn_end(a, 100);
	port_turn_end(c, 100);
	assert_waiters(d, "bac");
	/* Nobody has a turn while nothing fits. */
	leave_room(d, 0);
	UNTIL(d->turn_at == 0);
	assert_false(a->turn || b->turn || c->turn);
}

static void
a_source_without_input_leaves_its_turn_to_the_others(void **state)
{
	struct port *a = make("a"), *b = make("b"), *c = make("c");

	(void)state;
	join(a, c);
	join(b, c);
	leave_room(c, 0);
	port_update(a);
	port_update(b);
	leave_room(c, 1);
	port_release(c);
	assert_true(a->turn && !b->turn);
	port_turn_end(a, 0);
	assert_waiters(c, "b");
	/* It is read although there is no room, or nothing would ever be heard of it. */
	leave_room(c, 0);
	assert_true(a->link->reading);
	leave_room(c, 1);
	UNTIL(b->turn);
}

static void
a_source_of_datagrams_has_several_in_a_turn(void **state)
{
	struct port *a = make_with("a", &datagrams, "line"), *b = make("b");
	struct port *c = make("c");
	unsigned n;

	(void)state;
	join(a, c);
	join(b, c);
	leave_room(c, 0);
	port_update(a);
	port_update(b);
	leave_room(c, QUANTUM);
	port_release(c);
	assert_true(a->turn);
	for (n = 0; a->turn; n++) {
		triggered = NULL;
		port_turn_end(a, QUANTUM / 4);
	}
	assert_int_equal(n, 4);
	assert_null(triggered);
	assert_waiters(c, "ba");
	/* An empty one counts as well, so a turn ends. */
	a->turn = true;
	a->turn_left = QUANTUM;
	for (n = 0; a->turn && n < 1000; n++)
		port_turn_end(a, 1);
	assert_int_equal(n, QUANTUM / 64);
}

static void
no_label(const struct task *task, char *buf, size_t size)
{
	(void)task;
	snprintf(buf, size, "nothing");
}

/* One that has nothing to be read for a moment keeps its share. */
static void
the_last_of_several_takes_turns_for_a_while(void **state)
{
	struct port *a = make("a"), *b = make("b"), *c = make("c");
	static struct task task;

	(void)state;
	/* While a task runs its clock stands still. */
	task_add(&task, NULL, no_label, "test");
	task_begin(&task);
	join(a, c);
	join(b, c);
	leave_room(c, 0);
	port_update(a);
	port_update(b);
	leave_room(c, c->conf->queue);
	port_release(c);
	port_turn_end(b, 0);
	assert_waiters(c, "a");
	a->turn = false;
	port_release(c);
	assert_true(a->turn);
	assert_waiters(c, "a");
	/* Long after that it may go on by itself. */
	c->shared_ns = 0;
	a->turn = false;
	port_release(c);
	assert_waiters(c, "");
	assert_true(a->link->reading);
	task_end(&task);
	task_remove(&task);
}

/* At its turn a source goes on though others wait for its second destination; but those
 * that have waited there for longer get a turn, too. */
static void
a_source_waits_for_one_port_at_a_time(void **state)
{
	struct port *a = make("a"), *b = make("b"), *c = make("c");
	struct port *d = make("d"), *e = make("e"), *by;

	(void)state;
	join(a, d);
	join(a, e);
	join(b, e);
	join(c, d);
	join(c, d);
	leave_room(e, 0);
	port_update(a);
	port_update(b);
	assert_waiters(e, "ab");
	leave_room(d, 0);
	port_update(c);
	assert_waiters(d, "c");
	leave_room(e, 2 * QUANTUM);
	leave_room(d, 2 * QUANTUM);
	port_release(e);
	assert_true(a->turn && b->turn && !c->turn);
	assert_int_equal(port_room(a, &by), QUANTUM);
	assert_true(c->turn);
	/* Now the other one has no room. */
	leave_room(d, 0);
	port_update(a);
	assert_waiters(d, "ca");
	assert_waiters(e, "b");
	assert_false(a->turn);
}

/* What a source may use while nothing is queued grows as long as it is written. */
static void
the_window_follows_what_is_written(void **state)
{
	struct port *a = make("a"), *b = make("b"), *c = make("c"), *by;
	size_t room;

	(void)state;
	join(a, c);
	join(b, c);
	c->node->endpoint->conf->queue = 1024 * 1024;
	for (size_t want = QUANTUM; want < TURN_BYTES; want *= 2) {
		assert_int_equal(port_room(a, &by), want);
		c->traffic.tx_bytes += want;
	}
	assert_int_equal(port_room(a, &by), TURN_BYTES);
	room = port_room(a, &by);
	assert_int_equal(room, TURN_BYTES / 2);
	/* The first of several must not fill the queue before the others are read. */
	c->traffic.tx_bytes += room;
	c->in_flight.waits = true;
	assert_int_equal(port_room(a, &by), QUANTUM);
	c->in_flight.waits = false;
	c->queue.frames = 1;
	assert_int_equal(port_room(a, &by), QUANTUM);
}

/* --- the timer ----------------------------------------------------------- */

static void
without_a_time_there_is_no_timer(void **state)
{
	struct port *a = make("a");

	(void)state;
	port_arm(a);
	port_gap(a, now_ns(), 10);
	port_age(a, now_ns(), true);
	assert_null(a->timer);
}

static void
the_timer_fires_at_the_earliest_of_its_times(void **state)
{
	struct port *a = make("a");

	(void)state;
	a->stall_at = now_ns() + HOUR;
	port_arm(a);
	assert_int_equal(a->timer_at, a->stall_at);
	assert_int_equal(a->timer_task.state, TASK_WAITING);
	a->gap_at = now_ns() + NSEC_PER_MSEC;
	port_arm(a);
	assert_int_equal(a->timer_at, a->gap_at);
	/* A later time does not put it off. */
	a->linger_at = now_ns() + HOUR;
	port_arm(a);
	assert_int_equal(a->timer_at, a->gap_at);
	UNTIL(a->gap_at == 0);
	assert_int_equal(a->timer_at, a->stall_at);
	assert_int_equal(a->timer_task.state, TASK_WAITING);
	/* A time that no longer counts ends in nothing. */
	a->stall_at = a->linger_at = 0;
	a->timer_at = 0;
	a->gap_at = 1;
	port_arm(a);
	UNTIL(a->gap_at == 0);
	assert_int_equal(a->timer_at, 0);
	assert_int_equal(a->timer_task.state, TASK_IDLE);
	assert_timer(a, "nothing: the time of a is over");
}

static void
the_timer_says_what_it_waits_for(void **state)
{
	struct port *a = make("a");
	const struct {
		uint64_t *at;
		const char *label;
	} times[] = {
		{ &a->linger_at,
		    "the rest to be written to a, which sends no more" },
		{ &a->gap_at, "the silence after a frame to a" },
		{ &a->turn_at, "the next turn of the sources of a" },
		{ &a->age_at,
		    "the rest of a frame from a, before it is too old" },
		{ &a->silence_at, "a silence of a to end a frame" },
		{ &a->stall_at,
		    "a to take something before it counts as stalled" },
	};
	uint64_t at = now_ns() + HOUR;

	(void)state;
	/* Each is earlier than those before it. */
	for (size_t i = 0; i < NELEM(times); i++) {
		*times[i].at = --at;
		port_arm(a);
		assert_timer(a, times[i].label);
	}
	a->stalled = true;
	assert_timer(a, "a to take something: it is stalled");
}

static void
frames_on_a_line_are_kept_apart(void **state)
{
	struct port *a = make_with("a", &single, "modbus-rtu");
	struct framing_conf *framing = &a->node->endpoint->conf->framing;

	(void)state;
	framing->baud = 9600;
	port_gap(a, 1000, 8);
	assert_int_equal(a->gap_at, 1000 + framing_gap(framing, 8));
	assert_true(a->gap_at > 1000 + 8 * NSEC_PER_SEC / 960);
	assert_int_equal(a->timer_at, a->gap_at);
}

static void
the_age_of_a_rest_counts_from_its_first_byte(void **state)
{
	struct port *a = make("a");

	(void)state;
	a->node->endpoint->conf->frame_timeout = HOUR;
	port_age(a, 1000, true);
	assert_int_equal(a->age_at, 0);
	a->held_len = 5;
	port_age(a, 2000, false);
	assert_int_equal(a->age_at, 2000 + HOUR);
	/* More of the same frame... */
	port_age(a, 3000, false);
	assert_int_equal(a->age_at, 2000 + HOUR);
	/* ...the rest of another one... */
	port_age(a, 4000, true);
	assert_int_equal(a->age_at, 4000 + HOUR);
	/* ...one that was not read, and so could not go on... */
	port_update(a);
	assert_true(a->age_at > 4000 + HOUR);
	/* ...and none. */
	a->held_len = 0;
	port_age(a, 5000, false);
	assert_int_equal(a->age_at, 0);
}

static void
each_byte_puts_the_end_by_silence_off(void **state)
{
	struct port *a = make_with("a", &single, "idle");
	uint64_t silence = framing_silence(&a->conf->framing);

	(void)state;
	assert_true(silence > 0);
	a->held_len = 5;
	port_age(a, 1000, true);
	assert_int_equal(a->silence_at, 1000 + silence);
	port_age(a, 2000, false);
	assert_int_equal(a->silence_at, 2000 + silence);
	a->held_len = 0;
	port_age(a, 3000, true);
	assert_int_equal(a->silence_at, 0);
}

static void
a_pause_does_not_end_a_frame_of_which_more_is_to_come(void **state)
{
	struct port *a = make_with("a", &single, "modbus-rtu");
	struct framing_conf *framing = &a->node->endpoint->conf->framing;
	uint64_t silence, pause = 50 * NSEC_PER_MSEC;

	(void)state;
	framing->baud = 9600;
	silence = framing_silence(framing);
	assert_true(silence > 0 && silence < pause);
	a->held = (uint8_t *)strdup("\1\3\2");
	assert_non_null(a->held);
	a->held_len = 3;
	port_age(a, 1000, true);
	assert_int_equal(a->silence_at, 1000 + pause);
	/* A longer silence applies to all frames. */
	framing->idle.ns = NSEC_PER_SEC;
	port_age(a, 2000, false);
	assert_int_equal(a->silence_at, 2000 + NSEC_PER_SEC);
	/* The length of this one is not known. */
	framing->idle.ns = 0;
	a->held[1] = 100;
	port_age(a, 3000, true);
	assert_int_equal(a->silence_at, 3000 + silence);
}

static void
a_receiver_is_checked_several_times_before_it_is_stalled(void **state)
{
	struct port *a = make("a");

	(void)state;
	a->node->endpoint->conf->stall_timeout = NSEC_PER_SEC;
	assert_int_equal(port_look_time(a), NSEC_PER_SEC / 4);
	a->stalled = true;
	assert_int_equal(port_look_time(a), NSEC_PER_SEC);
	a->stalled = false;
	a->node->endpoint->conf->stall_timeout = 1;
	assert_int_equal(port_look_time(a), NSEC_PER_MSEC);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_room_is_that_of_the_destination_with_the_least),
		TEST(a_peer_does_not_wait_for_its_own_queue),
		TEST(only_a_port_that_takes_frames_and_blocks_is_waited_for),
		TEST(what_is_read_follows_from_the_state),
		TEST(what_was_read_already_comes_as_soon_as_there_is_room),
		TEST(a_full_queue_is_released_with_its_only_source),
		TEST(a_port_that_no_longer_blocks_lets_all_go),
		TEST(sources_of_a_full_queue_take_turns_in_their_order),
		TEST(a_source_without_input_leaves_its_turn_to_the_others),
		TEST(a_source_of_datagrams_has_several_in_a_turn),
		TEST(the_last_of_several_takes_turns_for_a_while),
		TEST(a_source_waits_for_one_port_at_a_time),
		TEST(the_window_follows_what_is_written),
		TEST(without_a_time_there_is_no_timer),
		TEST(the_timer_fires_at_the_earliest_of_its_times),
		TEST(the_timer_says_what_it_waits_for),
		TEST(frames_on_a_line_are_kept_apart),
		TEST(the_age_of_a_rest_counts_from_its_first_byte),
		TEST(each_byte_puts_the_end_by_silence_off),
		TEST(a_pause_does_not_end_a_frame_of_which_more_is_to_come),
		TEST(a_receiver_is_checked_several_times_before_it_is_stalled),
	};

	return cmocka_run_group_tests_name("port", tests, NULL, NULL);
}
