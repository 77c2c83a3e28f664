/*
 * Warnings: how each begins and ends, and what is logged then; the tasks that ended, and
 * the runs that held the loop.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <event2/event.h>

#include "log.h"
#include "task_log.h"
#include "warning.h"

static struct event_base *base;
static int log_fd, stderr_fd;

static void
label(const struct task *task, char *buf, size_t size)
{
	(void)task;
	snprintf(buf, size, "rain");
}

static int
set_up(void **state)
{
	(void)state;
	base = event_base_new();
	stderr_fd = dup(STDERR_FILENO);
	log_fd = memfd_create("log", MFD_CLOEXEC);
	dup2(log_fd, STDERR_FILENO);
	log_open();
	log_set_level(LOG_INFO);
	warnings_open(base);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	warnings_close();
	event_base_free(base);
	dup2(stderr_fd, STDERR_FILENO);
	close(stderr_fd);
	close(log_fd);
	return 0;
}

/* How often the log contains the text. */
static unsigned
logged(const char *text)
{
	static char all[65536];
	ssize_t n = pread(log_fd, all, sizeof(all) - 1, 0);
	unsigned found = 0;

	assert_true(n >= 0);
	all[n] = '\0';
	for (const char *p = all; (p = strstr(p, text)) != NULL; p++)
		found++;
	return found;
}

static const struct warning *
only(void)
{
	const struct warning *w = warning_after(0);

	assert_non_null(w);
	assert_null(warning_after(w->number));
	return w;
}

/* A run of the task that took 150 ms. */
static void
hold(struct task *task)
{
	task_begin(task);
	task->start_ns -= 150 * NSEC_PER_MSEC;
	task_end(task);
}

static void
nothing(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
}

static void
a_task_that_waits_without_an_event_never_runs_again(void **state)
{
	struct timeval hour = { .tv_sec = 3600 };
	struct event *event = evtimer_new(base, nothing, NULL);
	const struct warning *w;
	struct task task;

	(void)state;
	task_add(&task, NULL, label, "ar1.read");
	task.event = event;
	warnings_check();
	assert_null(warning_after(0)); /* it is idle */
	TASK_WAIT(&task);
	warnings_check();
	w = only();
	assert_string_equal(w->task, "ar1.read");
	assert_string_equal(warning_names[w->kind], "no-event");
	assert_non_null(strstr(w->text, "test_warning.c:"));
	assert_non_null(strstr(w->text, "for rain"));
	assert_int_equal(warning_count(WARNING_NO_EVENT), 1);
	warnings_check();
	assert_int_equal(logged("ar1.read: no-event: waits in"), 1);
	event_add(event, &hour);
	warnings_check();
	assert_null(warning_after(0));
	assert_int_equal(warning_count(WARNING_NO_EVENT), 0);
	assert_int_equal(logged("ar1.read: no-event: over after"), 1);
	event_active(event, EV_TIMEOUT, 0); /* about to run */
	warnings_check();
	assert_null(warning_after(0));
	event_free(event);
	task_remove(&task);
}

static void
a_run_that_holds_the_loop_is_listed(void **state)
{
	const struct task_stall *stall;
	const struct warning *w;
	struct task task;
	uint64_t before = task_log_stalls();
	char place[64];

	(void)state;
	task_add(&task, NULL, label, "t");
	TASK_WAIT(&task);
	hold(&task);
	TASK_WAIT(&task);
	hold(&task);
	w = only();
	assert_int_equal(w->kind, WARNING_HELD_LOOP);
	assert_non_null(strstr(w->text, "held the loop for 15"));
	assert_int_equal(logged("t: held-loop: held the loop for"), 1);
	assert_int_equal(task_log_stalls(), before + 2);
	stall = task_log_stall_at(0);
	assert_string_equal(stall->name, "t");
	assert_in_range(stall->held_ns, 150 * NSEC_PER_MSEC, NSEC_PER_SEC);
	assert_non_null(strstr(
	    task_site_name(stall->site, place, sizeof(place)), "test_warning"));
	warnings_check();
	assert_ptr_equal(only(), w); /* it was not long ago */
	task_remove(&task);
	assert_null(warning_after(0));
	assert_int_equal(logged("t: held-loop: over after"), 1);
	assert_int_equal(logged("the task has ended"), 1);
}

static struct task slow, late;

static void
run_slowly(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	task_begin(&slow);
	usleep(110000);
	task_end(&slow);
}

static void
run_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	task_begin(&late);
	task_end(&late);
}

static void
a_task_that_waits_for_another_is_not_served(void **state)
{
	struct event *first = event_new(base, -1, 0, run_slowly, NULL),
		     *second = event_new(base, -1, 0, run_late, NULL);

	(void)state;
	task_add(&slow, NULL, label, "slow");
	task_add(&late, NULL, label, "late");
	event_active(first, EV_READ, 0);
	event_active(second, EV_READ, 0);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_true(warning_is_set(slow.warnings, WARNING_HELD_LOOP));
	assert_false(warning_is_set(slow.warnings, WARNING_NOT_SERVED));
	assert_true(warning_is_set(late.warnings, WARNING_NOT_SERVED));
	assert_int_equal(logged("late: not-served: was ready"), 1);
	assert_int_equal(late.record->delayed[0], 0);
	/* In a pass of its own it is not late. */
	warning_clear(&late.warnings, WARNING_NOT_SERVED);
	event_active(first, EV_READ, 0);
	event_base_loop(base, EVLOOP_NONBLOCK);
	event_active(second, EV_READ, 0);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_false(warning_is_set(late.warnings, WARNING_NOT_SERVED));
	assert_int_equal(late.record->delayed[0], 1);
	event_free(first);
	event_free(second);
	task_remove(&slow);
	task_remove(&late);
}

static void
a_warning_ends_when_its_time_is_over(void **state)
{
	struct warning *head = NULL;

	(void)state;
	warning_set(&head, "a.read", WARNING_FLAPPING, now_ns() + NSEC_PER_SEC,
	    "again");
	warning_set(&head, "a.read", WARNING_SILENT, 0, "nothing");
	assert_int_equal(warning_after(0)->kind, WARNING_FLAPPING);
	assert_int_equal(logged("over"), 0);
	while (warning_count(WARNING_FLAPPING) > 0)
		event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(only()->kind, WARNING_SILENT);
	assert_int_equal(logged("a.read: flapping: over after"), 1);
	warning_forget(&head, "it was removed");
	assert_null(head);
	assert_int_equal(logged("silent: over after"), 1);
	assert_int_equal(logged("it was removed"), 1);
}

static void
a_list_names_all_of_its_warnings(void **state)
{
	struct warning *head = NULL;
	char text[128];

	(void)state;
	assert_string_equal(warning_list(head, text, sizeof(text)), "");
	for (unsigned i = 0; i < WARNINGS; i++)
		warning_set(&head, "t", (enum warning_kind)i, 0, "x");
	warning_list(head, text, sizeof(text));
	for (unsigned i = 0; i < WARNINGS; i++)
		assert_non_null(strstr(text, warning_names[i]));
	warning_forget(&head, "done");
}

static unsigned checks;

static void
count_check(void *arg, uint64_t now)
{
	(void)arg, (void)now;
	checks++;
}

static void
a_check_follows_a_run_of_a_noted_task(void **state)
{
	struct task task;

	(void)state;
	checks = 0;
	warnings_source(count_check, NULL);
	task_add(&task, NULL, label, "t");
	task_begin(&task);
	task_end(&task);
	assert_null(task_find("daemon.warnings")); /* nothing to wait for */
	task.noted = true;
	task_begin(&task);
	task_end(&task);
	assert_int_equal(task_find("daemon.warnings")->state, TASK_WAITING);
	event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(checks, 1);
	assert_int_equal(task_find("daemon.warnings")->state, TASK_IDLE);
	task_remove(&task);
}

static void
the_last_tasks_that_ended_are_listed(void **state)
{
	struct task task;

	(void)state;
	for (unsigned i = 0; i < TASK_LOG_MAX + 5; i++) {
		task_add(&task, NULL, label, "t%u", i);
		task_remove_why(&task, i % 2 == 0 ? "even" : "odd");
	}
	assert_string_equal(task_log_ended_at(0)->name, "t68");
	assert_string_equal(task_log_ended_at(0)->why, "even");
	assert_string_equal(task_log_ended_at(1)->why, "odd");
	assert_string_equal(task_log_ended_at(TASK_LOG_MAX - 1)->name, "t5");
	assert_null(task_log_ended_at(TASK_LOG_MAX));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    a_task_that_waits_without_an_event_never_runs_again, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(
		    a_run_that_holds_the_loop_is_listed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    a_task_that_waits_for_another_is_not_served, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(
		    a_warning_ends_when_its_time_is_over, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    a_list_names_all_of_its_warnings, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    a_check_follows_a_run_of_a_noted_task, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    the_last_tasks_that_ended_are_listed, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("warning", tests, NULL, NULL);
}
