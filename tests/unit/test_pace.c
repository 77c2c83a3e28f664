/*
 * pace: the times of an output that is slow by its keys, and that it is not stalled.
 */
#include "bridge_harness.h"
#include "moved_clock.h"
#include "link.h"
#include "pace.h"
#include "port_spool.h"
#include "taken.h"

static struct port *port;
static unsigned flushed;
static uint64_t taken;	   /* by the receiver */
static size_t pending;	   /* what the link holds... */
static bool refuses;	   /* ...and the kernel does not accept */
static const char *closed; /* why */

/* --- what the files call -------------------------------------------------- */

void
link_taken(const struct link *link, struct taken *ret)
{
	(void)link;
	*ret = (struct taken){ .bytes = taken };
}

size_t
link_pending(const struct link *link)
{
	(void)link;
	return pending;
}

size_t
link_held(const struct link *link)
{
	(void)link;
	return 0;
}

ssize_t
link_write_pending(struct link *link, size_t max)
{
	size_t n = refuses ? 0 : MIN(pending, max);

	(void)link;
	pending -= n;
	return (ssize_t)n;
}

void
link_set_paced(struct link *link, bool paced)
{
	link->paced = paced;
}

void
link_close(struct link *link, const char *why)
{
	(void)link;
	closed = why;
}

void
link_set_reading(struct link *link, bool on)
{
	(void)link, (void)on;
}

void
link_trigger(struct link *link, short what)
{
	(void)link, (void)what;
}

bool
route_target_waits(const struct route_target *target)
{
	(void)target;
	return false;
}

size_t
port_spool_room(const struct port *p)
{
	(void)p;
	return 0;
}

bool
port_spool_full(const struct port *p)
{
	(void)p;
	return false;
}

/* --- what there is -------------------------------------------------------- */

static bool
is_due(uint64_t *at, uint64_t now)
{
	if (*at == 0 || *at > now)
		return false;
	*at = 0;
	return true;
}

static void
on_due(struct port *p, uint64_t now)
{
	if (is_due(&p->stall_at, now))
		port_stall_due(p, now);
	if (is_due(&p->linger_at, now))
		port_linger_due(p, now);
	flushed += is_due(&p->gap_at, now);
	if (is_due(&p->pace_at, now))
		flushed += port_pace_due(p, now);
}

static int
setup(void **state)
{
	(void)state;
	flushed = 0;
	taken = pending = 0;
	refuses = false;
	closed = NULL;
	bridge_start();
	port = make_port(make_node("one", &single, "line"), on_due);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	bridge_end();
	return 0;
}

static struct endpoint_conf *
conf(void)
{
	return port->node->endpoint->conf;
}

static void
move(uint64_t seconds)
{
	move_clock(base, seconds * NSEC_PER_SEC);
}

static void
set_gap(uint64_t seconds)
{
	conf()->frame_gap = seconds * NSEC_PER_SEC;
	port_set_pace(port);
}

static void
set_pace(uint64_t pace)
{
	conf()->pace = pace;
	port_set_pace(port);
}

/* A frame of ten bytes was written. */
static void
write_frame(void)
{
	port->progress_ns = now_ns();
	port_gap(port, now_ns(), 10);
}

/* A source waits for room in its queue. */
static void
fill(void)
{
	port->full = true;
	port->in_flight.waits = true;
	port->progress_ns = now_ns();
	conf()->stall_timeout = 2 * NSEC_PER_SEC;
	port->stall_at = now_ns() + port_look_time(port);
	port_arm(port);
}

/* --- gaps ----------------------------------------------------------------- */

static void
test_a_gap_between_frames(void **state)
{
	(void)state;
	assert_false(port->apart);
	set_gap(3);
	assert_true(port->apart);
	write_frame();
	move(2);
	assert_int_equal(flushed, 0);
	move(1);
	assert_int_equal(flushed, 1);
	assert_int_equal(port->gap_at, 0);
}

static void
test_a_gap_that_has_begun_becomes_shorter(void **state)
{
	(void)state;
	set_gap(3600);
	write_frame();
	move(2);
	set_gap(4);
	move(1);
	assert_int_equal(flushed, 0);
	move(1);
	assert_int_equal(flushed, 1);
	/* Shorter than what has passed, or none. */
	set_gap(3600);
	write_frame();
	move(10);
	set_gap(0);
	run_due(base);
	assert_int_equal(flushed, 2);
}

static void
test_a_gap_that_has_begun_becomes_longer(void **state)
{
	(void)state;
	set_gap(3);
	write_frame();
	move(2);
	set_gap(10);
	move(7);
	assert_int_equal(flushed, 0);
	move(1);
	assert_int_equal(flushed, 1);
	/* One that is over does not begin again. */
	set_gap(20);
	assert_int_equal(port->gap_at, 0);
}

/* --- pace ----------------------------------------------------------------- */

static void
test_the_bytes_of_a_pace(void **state)
{
	(void)state;
	set_pace(1);
	pending = 3;
	port_pace_begin(port);
	run_due(base);
	assert_int_equal(pending, 2);
	move(1);
	assert_int_equal(pending, 1);
	/* A time in which nothing was written is not made up for. */
	pending = 10;
	move(100);
	assert_int_equal(pending, 9);
	move(1);
	assert_int_equal(pending, 8);
}

static void
test_a_faster_pace_applies_to_the_next_byte(void **state)
{
	(void)state;
	set_pace(1);
	pending = 1000;
	port_pace_begin(port);
	run_due(base);
	assert_int_equal(pending, 999);
	set_pace(1000);
	move_clock(base, 10 * NSEC_PER_MSEC);
	assert_int_equal(pending, 989);
	/* The same once more changes nothing. */
	set_pace(1000);
	run_due(base);
	assert_int_equal(pending, 989);
}

/* --- stalls --------------------------------------------------------------- */

static void
test_a_gap_is_no_stall(void **state)
{
	(void)state;
	set_gap(3600);
	fill();
	write_frame();
	for (int i = 0; i < 100; i++)
		move(1);
	assert_false(port->stalled);
	assert_int_equal(port->traffic.stalls, 0);
	/* After it the receiver has its time. */
	port->gap_at = 0;
	move(1);
	assert_false(port->stalled);
	move(2);
	assert_true(port->stalled);
}

static void
test_a_pace_is_no_stall(void **state)
{
	(void)state;
	set_pace(1);
	pending = 1000;
	conf()->stall_timeout = NSEC_PER_SEC / 2;
	port_pace_begin(port);
	fill();
	conf()->stall_timeout = NSEC_PER_SEC / 2;
	for (int i = 0; i < 100; i++) {
		move_clock(base, NSEC_PER_SEC / 4);
		taken = 1000 - pending;
	}
	assert_int_equal(port->traffic.stalls, 0);
	/* The kernel has no room for the next byte. */
	refuses = true;
	for (int i = 0; i < 10; i++)
		move_clock(base, NSEC_PER_SEC / 4);
	assert_int_equal(port->traffic.stalls, 1);
	assert_true(port->stalled);
}

static void
test_a_receiver_that_takes_nothing_is_stalled(void **state)
{
	(void)state;
	fill();
	move(1);
	assert_false(port->stalled);
	move(1);
	move(1);
	assert_true(port->stalled);
	taken++;
	move(1);
	assert_false(port->stalled);
}

static void
test_a_half_closed_peer_is_sent_the_rest_after_a_gap(void **state)
{
	(void)state;
	set_gap(20);
	port->in_flight.waits = true;
	write_frame();
	port_ended(port, now_ns());
	port_arm(port);
	for (int i = 0; i < 30; i++) {
		move(1);
		assert_null(closed);
	}
	/* The gap is over, and it takes nothing. */
	assert_int_equal(port->gap_at, 0);
	assert_true(port->closing);
	for (int i = 0; i < 11; i++)
		move(1);
	assert_non_null(closed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_a_gap_between_frames),
		TEST(test_a_gap_that_has_begun_becomes_shorter),
		TEST(test_a_gap_that_has_begun_becomes_longer),
		TEST(test_the_bytes_of_a_pace),
		TEST(test_a_faster_pace_applies_to_the_next_byte),
		TEST(test_a_gap_is_no_stall),
		TEST(test_a_pace_is_no_stall),
		TEST(test_a_receiver_that_takes_nothing_is_stalled),
		TEST(test_a_half_closed_peer_is_sent_the_rest_after_a_gap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
