/* precise: timers that are due earlier than libevent would have them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>

#include "precise.h"
#include "stats.h"

#define TIMERS 5

static const struct timeval hour = { .tv_sec = 3600 };
static struct event_base *base;
static struct event *timer[TIMERS];
static struct precise precise[TIMERS];
static uint64_t fired[TIMERS]; /* when, 0: not yet */

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	*(uint64_t *)arg = now_ns();
}

static int
make(void **state)
{
	(void)state;
	assert_non_null(base = event_base_new());
	for (int i = 0; i < TIMERS; i++) {
		timer[i] = evtimer_new(base, on_timer, &fired[i]);
		assert_non_null(timer[i]);
		assert_int_equal(event_add(timer[i], &hour), 0);
		fired[i] = 0;
	}
	return 0;
}

static int
unmake(void **state)
{
	(void)state;
	for (int i = 0; i < TIMERS; i++) {
		precise_stop(&precise[i]);
		event_free(timer[i]);
	}
	precise_free();
	assert_null(task_find("daemon.silence"));
	event_base_free(base);
	return 0;
}

static void
wait_until(uint64_t *when)
{
	const struct timeval patience = { .tv_sec = 10 };

	event_base_loopexit(base, &patience);
	while (*when == 0 && !event_base_got_exit(base))
		assert_true(event_base_loop(base, EVLOOP_ONCE) >= 0);
	assert_int_not_equal(*when, 0);
}

static void
none_fires_before_its_time(void **state)
{
	static const unsigned ms[TIMERS] = { 9, 3, 12, 1, 6 };
	uint64_t now = now_ns();

	(void)state;
	for (int i = 0; i < TIMERS; i++)
		precise_set(&precise[i], timer[i], now + ms[i] * NSEC_PER_MSEC);
	for (int i = 0; i < TIMERS; i++) {
		wait_until(&fired[i]);
		assert_true(fired[i] >= now + ms[i] * NSEC_PER_MSEC);
		/* It is as if libevent had called it: no longer armed. */
		assert_false(evtimer_pending(timer[i], NULL));
		assert_int_equal(precise[i].at, 0);
	}
}

static void
one_that_is_stopped_or_put_off_does_not_fire(void **state)
{
	uint64_t now = now_ns();

	(void)state;
	precise_set(&precise[0], timer[0], now + NSEC_PER_MSEC);
	precise_set(&precise[1], timer[1], now + 2 * NSEC_PER_MSEC);
	precise_set(&precise[2], timer[2], now + 3 * NSEC_PER_MSEC);
	precise_stop(&precise[0]);
	precise_stop(&precise[0]);
	precise_set(&precise[1], timer[1], now + 9 * NSEC_PER_MSEC);
	wait_until(&fired[2]);
	wait_until(&fired[1]);
	assert_true(fired[1] >= now + 9 * NSEC_PER_MSEC);
	assert_int_equal(fired[0], 0);
	assert_true(evtimer_pending(timer[0], NULL));
}

static void
one_that_is_set_later_may_fire_before_the_others(void **state)
{
	uint64_t now = now_ns();

	(void)state;
	precise_set(&precise[0], timer[0], now + 3600 * NSEC_PER_SEC);
	precise_set(&precise[1], timer[1], now + NSEC_PER_MSEC);
	wait_until(&fired[1]);
	assert_int_equal(fired[0], 0);
}

static void
a_time_that_has_passed_fires_at_once(void **state)
{
	(void)state;
	precise_set(&precise[0], timer[0], 1);
	wait_until(&fired[0]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    none_fires_before_its_time, make, unmake),
		cmocka_unit_test_setup_teardown(
		    one_that_is_stopped_or_put_off_does_not_fire, make, unmake),
		cmocka_unit_test_setup_teardown(
		    one_that_is_set_later_may_fire_before_the_others, make,
		    unmake),
		cmocka_unit_test_setup_teardown(
		    a_time_that_has_passed_fires_at_once, make, unmake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
