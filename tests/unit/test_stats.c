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
		assert_non_null(task.past[i].site);
	assert_true(task.max_ns <= task.busy_ns);
	task_remove(&task);
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
extremes_are_counted(void **state)
{
	struct histogram h = { 0 };

	(void)state;
	histogram_add(&h, 0, 3);
	assert_int_equal(histogram_percentile(&h, 99), 0);
	histogram_add(&h, UINT64_MAX, 1);
	assert_int_equal(h.total, 4);
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
		cmocka_unit_test(the_history_keeps_the_last_sixteen_waits),
		cmocka_unit_test(percentiles_are_right_within_a_step),
		cmocka_unit_test(extremes_are_counted),
	};

	return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
