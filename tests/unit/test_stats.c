/*
 * The task registry and the histograms.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stats.h"

static void
label(const struct task *task, char *buf, size_t size)
{
	snprintf(buf, size, "%s to come", (const char *)task->arg);
}

static void
a_task_tells_what_and_where_it_awaits(void **state)
{
	struct task task;
	char buf[64];

	(void)state;
	task_add(
	    &task, (void *)(uintptr_t) "rain", label, "%s.%s", "ar1", "read");
	assert_ptr_equal(task_find("ar1.read"), &task);
	assert_int_equal(task_waiting(), 0);
	assert_string_equal(task_site_name(task.site, buf, sizeof(buf)), "-");
	TASK_WAIT(&task);
	assert_int_equal(task_waiting(), 1);
	assert_non_null(strstr(
	    task_site_name(task.site, buf, sizeof(buf)), "test_stats.c:"));
	task.label(&task, buf, sizeof(buf));
	assert_string_equal(buf, "rain to come");
	task_remove(&task);
	task_remove(&task);
	assert_null(task_find("ar1.read"));
}

static void
a_run_ends_in_the_state_that_was_set_inside(void **state)
{
	struct task task;

	(void)state;
	task_add(&task, NULL, label, "t");
	TASK_WAIT(&task);
	task_begin(&task);
	assert_int_equal(task.state, TASK_RUNNING);
	assert_int_equal(task_waiting(), 1);
	TASK_SET(&task, TASK_PAUSED);
	assert_int_equal(task_waiting(), 0);
	task_end(&task);
	assert_int_equal(task.state, TASK_PAUSED);
	assert_int_equal(task.runs, 1);
	task_remove(&task);
}

static void
a_task_removed_in_its_own_run_is_left_alone(void **state)
{
	struct task task;

	(void)state;
	task_add(&task, NULL, label, "t");
	task_begin(&task);
	task_remove(&task);
	task_end(&task);
	assert_int_equal(task.runs, 0);
}

static void
a_removed_task_is_not_asked_for_the_time(void **state)
{
	struct task task;

	(void)state;
	task_add(&task, NULL, label, "t");
	task_begin(&task);
	task_remove(&task);
	task.start_ns = 1;
	assert_int_not_equal(task_now(), 1);
}

static void
a_cursor_passes_over_a_task_that_is_removed(void **state)
{
	struct task_cursor cursor = { 0 };
	struct task task[3];

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		task_add(&task[i], NULL, label, "t%u", i);
	task_cursor_open(&cursor);
	assert_ptr_equal(task_cursor_next(&cursor), &task[0]);
	task_remove(&task[0]);
	task_remove(&task[1]);
	assert_ptr_equal(task_cursor_next(&cursor), &task[2]);
	task_remove(&task[2]);
	assert_null(task_cursor_next(&cursor));
	task_cursor_close(&cursor);
}

static void
a_run_that_holds_the_loop_is_counted(void **state)
{
	struct task task;

	(void)state;
	task_add(&task, NULL, label, "t");
	for (unsigned ms = 0; ms < 300; ms += 150) {
		task_begin(&task);
		task.start_ns -= ms * NSEC_PER_MSEC;
		task_end(&task);
	}
	assert_in_range(task.slow, 1, 2);
	assert_in_range(task.max_ns, 150 * NSEC_PER_MSEC, UINT64_MAX);
	task_remove(&task);
}

static void
the_history_keeps_the_last_sixteen_waits(void **state)
{
	struct task task;

	(void)state;
	task_add(&task, NULL, label, "t");
	TASK_WAIT(&task);
	for (int i = 0; i < 40; i++) {
		task_begin(&task);
		TASK_WAIT(&task);
		task_end(&task);
	}
	assert_int_equal(task.runs, 40);
	for (int i = 0; i < TASK_HISTORY; i++)
		assert_non_null(task.record->past[i].site);
	assert_true(task.max_ns <= task.busy_ns);
	task_remove(&task);
}

static void
runs_are_counted_by_their_duration(void **state)
{
	uint64_t n = 0;
	struct task task;

	(void)state;
	assert_int_equal(task_step_end(0), 1024);
	assert_int_equal(task_step_end(TASK_STEPS - 1), UINT64_MAX);
	task_add(&task, NULL, label, "t");
	assert_null(task.record);
	for (unsigned i = 0; i < TASK_STEPS; i++) {
		uint64_t least = i == 0 ? 0 : task_step_end(i - 1);

		task_begin(&task);
		/* As far into the step as a slow machine may need. */
		task.start_ns -= least + least / 2;
		task_end(&task);
	}
	for (unsigned i = 0; i < TASK_STEPS; i++)
		n += task.record->held[i];
	assert_int_equal(n, TASK_STEPS);
	assert_int_equal(task.record->held[TASK_STEPS - 1], 1);
	/* Each was alone in its pass. */
	assert_int_equal(task.record->delayed[0], TASK_STEPS);
	task_remove(&task);
}

static int
by_cpu(const void *a, const void *b)
{
	const struct task *x = *(struct task *const *)a,
			  *y = *(struct task *const *)b;

	return x->busy_ns < y->busy_ns ? 1 : -1;
}

static void
an_order_leaves_out_a_task_that_is_removed(void **state)
{
	struct task_order *order;
	struct task task[3];

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		task_add(&task[i], NULL, label, "t%u", i);
		task[i].busy_ns = i;
	}
	order = task_order_new(by_cpu);
	assert_ptr_equal(task_order_next(order), &task[2]);
	task_remove(&task[1]);
	assert_ptr_equal(task_order_next(order), &task[0]);
	assert_null(task_order_next(order));
	order->at = 0;
	assert_ptr_equal(task_order_next(order), &task[2]);
	task_remove(&task[2]);
	task_remove(&task[0]);
	order->at = 0;
	assert_null(task_order_next(order));
	task_order_free(order);
	task_order_free(NULL);
}

static void
percentiles_are_right_within_a_step(void **state)
{
	struct histogram h = { 0 };

	(void)state;
	assert_int_equal(histogram_percentile(&h, 50), 0);
	for (uint64_t us = 1; us <= 1000; us++)
		histogram_add(&h, us * 1000, 1);
	assert_in_range(histogram_percentile(&h, 50), 470000, 530000);
	assert_in_range(histogram_percentile(&h, 99), 930000, 1000000);
	assert_in_range(histogram_percentile(&h, 100), 930000, 1000000);
	assert_int_equal(h.max_ns, 1000000);
	assert_int_equal(h.total, 1000);
	histogram_free(&h);
}

static void
the_median_of_three_is_the_second(void **state)
{
	struct histogram h = { 0 };

	(void)state;
	histogram_add(&h, 1000, 1);
	assert_int_equal(histogram_percentile(&h, 50), 1000);
	assert_int_equal(histogram_percentile(&h, 99), 1000);
	histogram_add(&h, 2000, 1);
	histogram_add(&h, 3000, 1);
	assert_in_range(histogram_percentile(&h, 50), 1900, 2100);
	histogram_free(&h);
}

static void
extremes_are_counted(void **state)
{
	struct histogram h = { 0 };

	(void)state;
	histogram_add(&h, 0, 3);
	assert_int_equal(histogram_percentile(&h, 99), 0);
	for (unsigned bit = 40; bit < 64; bit++)
		histogram_add(&h, 1ULL << bit, 1);
	histogram_add(&h, UINT64_MAX, 1);
	assert_int_equal(h.total, 28);
	assert_true(histogram_percentile(&h, 100) > 1000000000000ULL);
	histogram_free(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_task_tells_what_and_where_it_awaits),
		cmocka_unit_test(a_run_ends_in_the_state_that_was_set_inside),
		cmocka_unit_test(a_task_removed_in_its_own_run_is_left_alone),
		cmocka_unit_test(a_removed_task_is_not_asked_for_the_time),
		cmocka_unit_test(a_cursor_passes_over_a_task_that_is_removed),
		cmocka_unit_test(a_run_that_holds_the_loop_is_counted),
		cmocka_unit_test(the_history_keeps_the_last_sixteen_waits),
		cmocka_unit_test(runs_are_counted_by_their_duration),
		cmocka_unit_test(an_order_leaves_out_a_task_that_is_removed),
		cmocka_unit_test(the_median_of_three_is_the_second),
		cmocka_unit_test(percentiles_are_right_within_a_step),
		cmocka_unit_test(extremes_are_counted),
	};

	return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
