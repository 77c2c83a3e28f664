/* bridge_loss: what is dropped is logged once, and then counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "forward.h"
#include "log.h"

static int saved, reader;
static struct node *node;
static struct bridge *bridge;

static int
set_up(void **state)
{
	static const char text[] = "[echo a]\n[echo b]\n";
	struct event_base *base = event_base_new();
	struct faults faults = { 0 };
	struct config *c = NULL;
	struct error err;
	int fd[2];

	log_set_level(LOG_ERR);
	assert_int_equal(bridge_new(base, &bridge), 0);
	assert_int_equal(
	    config_parse("test", text, strlen(text), &c, &faults), 0);
	assert_int_equal(bridge_apply(bridge, c, &err), 0);
	config_free(c);
	node = bridge_find(bridge, "a");
	assert_int_equal(pipe2(fd, O_CLOEXEC | O_NONBLOCK), 0);
	saved = dup(STDERR_FILENO);
	dup2(fd[1], STDERR_FILENO);
	close(fd[1]);
	reader = fd[0];
	log_open();
	*state = base;
	return 0;
}

static int
tear_down(void **state)
{
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(reader);
	log_open();
	log_set_level(LOG_ERR);
	bridge_free(bridge);
	event_base_free(*state);
	return 0;
}

static void
expect(const char *want)
{
	char text[4096];
	ssize_t n = read(reader, text, sizeof(text) - 1);

	text[n < 0 ? 0 : n] = '\0';
	assert_string_equal(text, want);
}

static void
drop(unsigned times, enum drop_reason reason, size_t len)
{
	while (times-- > 0) {
		node->retired.dropped[reason]++;
		loss_dropped(node, reason, 1, len);
	}
}

static void
the_first_is_logged_and_the_others_are_counted(void **state)
{
	(void)state;
	log_set_level(LOG_DEBUG);
	drop(3, DROP_OVERFLOW, 12);
	expect("ttybridged: a: a frame of 12 bytes was dropped: overflow\n");
	drop(1, DROP_STALLED, 5);
	expect("ttybridged: a: a frame of 5 bytes was dropped: stalled\n");
	assert_true(losses_count(bridge));
	expect("ttybridged: a: 2 more frames dropped within a minute:"
	       " overflow\n");
	drop(1, DROP_OVERFLOW, 12);
	assert_true(losses_count(bridge));
	expect("ttybridged: a: 1 more frame dropped within a minute:"
	       " overflow\n");
	/* A minute without any. */
	assert_false(losses_count(bridge));
	expect("");
	drop(1, DROP_OVERFLOW, 7);
	expect("ttybridged: a: a frame of 7 bytes was dropped: overflow\n");
}

static void
discarded_input_is_told_in_the_same_way(void **state)
{
	(void)state;
	log_set_level(LOG_DEBUG);
	for (unsigned n = 0; n < 3; n++) {
		node->retired.bad[BAD_CHECKSUM]++;
		loss_discarded(node, BAD_CHECKSUM, 9);
	}
	expect("ttybridged: a: 9 bytes discarded: checksum\n");
	assert_true(losses_count(bridge));
	expect("ttybridged: a: input discarded 2 more times within a minute:"
	       " checksum\n");
}

/* Several that were counted before the first of them is told. */
static void
frames_without_a_peer_are_told_together(void **state)
{
	(void)state;
	log_set_level(LOG_DEBUG);
	node->retired.dropped[DROP_NO_PEER] += 4;
	loss_dropped(node, DROP_NO_PEER, 4, 3);
	expect("ttybridged: a: a frame of 3 bytes was dropped: nobody\n");
	assert_true(losses_count(bridge));
	expect("ttybridged: a: 3 more frames dropped within a minute:"
	       " nobody\n");
}

static void
without_verbose_nothing_is_told(void **state)
{
	(void)state;
	log_set_level(LOG_INFO);
	drop(3, DROP_OVERFLOW, 12);
	assert_false(losses_count(bridge));
	expect("");
	assert_null(bridge->losses);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    the_first_is_logged_and_the_others_are_counted, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(
		    discarded_input_is_told_in_the_same_way, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    frames_without_a_peer_are_told_together, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    without_verbose_nothing_is_told, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("loss", tests, NULL, NULL);
}
