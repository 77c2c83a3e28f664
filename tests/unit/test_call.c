/*
 * test_call: commands that are given by something else than a control session.
 *
 * The client is one of this test, and the program is linked without control ports: what
 * the commands need of a client is all in client.h.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/buffer.h>
#include <event2/event.h>

#include "command.h"
#include "config.h"
#include "turns.h"
#include "log.h"

#define PATIENCE (10 * NSEC_PER_SEC)

/* What it sends back goes nowhere. */
#define CONF_TEXT "[echo one]\nframing = line\n"

static struct event_base *base;
static struct bridge *bridge;
static struct client client, other;
static unsigned wakes, closes;
static bool reads; /* the other end of the client */

/* --- the client ---------------------------------------------------------- */

static void
fake_wake(struct client *c)
{
	assert_ptr_equal(c, &client);
	wakes++;
}

static void
fake_close(struct client *c, const char *why)
{
	assert_ptr_equal(c, &client);
	assert_string_equal(why, "does not read");
	c->closed = true;
	closes++;
}

static uint64_t
fake_taken(const struct client *c)
{
	static uint64_t taken;

	(void)c;
	return reads ? ++taken : taken;
}

static const struct client_ops ops = {
	.wake = fake_wake,
	.close = fake_close,
	.taken = fake_taken,
};
static const struct client_ops ops_unknown = {
	.wake = fake_wake,
	.close = fake_close,
};

static int
set_up(void **state)
{
	struct faults faults = { 0 };
	struct config *c = NULL;
	struct error err;

	(void)state;
	log_set_level(LOG_ERR);
	base = event_base_new();
	assert_int_equal(bridge_new(base, &bridge), 0);
	assert_int_equal(
	    config_parse("test", CONF_TEXT, strlen(CONF_TEXT), &c, &faults), 0);
	assert_int_equal(bridge_apply(bridge, c, &err), 0);
	config_free(c);
	assert_int_equal(turns_hold(base), 0);
	client = (struct client){ .ops = &ops,
		.bridge = bridge,
		.name = "test#1",
		.address = "a test",
		.full = true,
		.reply = evbuffer_new() };
	other = client;
	other.name = "test#2";
	other.reply = evbuffer_new();
	wakes = closes = 0;
	reads = false;
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	command_forget(&client);
	command_forget(&other);
	evbuffer_free(client.reply);
	evbuffer_free(other.reply);
	turns_release();
	bridge_free(bridge);
	link_machinery_free();
	event_base_free(base);
	return 0;
}

static void
run(struct client *c, const char *line)
{
	char copy[CLIENT_LINE_MAX + 1];

	snprintf(copy, sizeof(copy), "%s", line);
	command_run(c, copy);
	while (c->call != NULL)
		assert_true(command_step(c));
}

/* What was replied since the last time is that. */
static void
assert_reply(struct client *c, const char *want)
{
	size_t len = evbuffer_get_length(c->reply);
	char *text = calloc(1, len + 1);

	evbuffer_remove(c->reply, text, len);
	assert_string_equal(text, want);
	free(text);
}

/* Turns the loop until the client is woken. */
static void
until_wake(void)
{
	uint64_t end = now_ns() + PATIENCE;
	unsigned before = wakes;

	while (wakes == before) {
		assert_true(now_ns() < end);
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
}

/* --- tests --------------------------------------------------------------- */

static void
test_a_reply_and_an_error(void **state)
{
	(void)state;
	run(&client, "get one/type");
	assert_reply(&client, "echo\nOK\n");
	run(&client, "get one/kind");
	assert_reply(&client,
	    "ERR unknown attribute 'one/kind'; 'list one' lists them\n");
	run(&client, "status");
	assert_reply(&client,
	    "ERR unknown command 'status'; did you mean 'endpoints'?\n");
	run(&client, "");
	assert_reply(&client, "");
	assert_false(command_busy(&client));
	assert_false(command_step(&client));
	assert_false(client.closing);
	run(&client, "quit");
	assert_reply(&client, "OK\n");
	assert_true(client.closing);
}

static void
test_the_permission_is_the_clients(void **state)
{
	(void)state;
	client.full = false;
	run(&client, "pause one");
	assert_reply(&client,
	    "ERR this port has access = read; pause needs access = full in its"
	    " [control] section\n");
	run(&other, "pause one");
	assert_reply(&other, "OK\n");
	run(&client, "get one/state");
	assert_reply(&client, "paused\nOK\n");
}

static int
failing_reload(struct reload_waiter *w, char **faults)
{
	(void)w;
	*faults = strdup("f:1: wrong");
	return -EINVAL;
}

/* Neither the hooks nor one of them need be there. */
static void
test_hooks(void **state)
{
	static const struct daemon_hooks none = { .reload = NULL };
	static const struct daemon_hooks hooks = { .reload = failing_reload };

	(void)state;
	run(&client, "reload");
	assert_reply(&client, "ERR nothing to reload here\n");
	client.hooks = &none;
	run(&client, "reload");
	assert_reply(&client, "ERR nothing to reload here\n");
	run(&client, "get daemon/name");
	assert_reply(&client, "ttybridged\nOK\n");
	client.hooks = &hooks;
	run(&client, "reload");
	assert_reply(&client, "ERR nothing was changed: f:1: wrong\n");
}

/* All that waits, and it ends with that text. */
static void
assert_shows(const char *text)
{
	while (command_step(&client))
		;
	assert_true(
	    evbuffer_search(client.reply, text, strlen(text), NULL).pos >= 0);
	evbuffer_drain(client.reply, evbuffer_get_length(client.reply));
}

static void
test_a_watch_wakes_its_client(void **state)
{
	static const char sent[] =
	    "\"from\":\"control\",\"to\":\"one\",\"size\":2,"
	    "\"text\":\"hi\",\"outcome\":\"sent to one\"}\n";
	static const char back[] =
	    "\"from\":\"one\",\"to\":\"-\",\"size\":2,\"text\":\"hi\","
	    "\"outcome\":\"no route\"}\n";

	(void)state;
	run(&client, "json watch one");
	assert_true(client.watching);
	assert_false(command_busy(&client));
	run(&other, "send one hi");
	assert_reply(&other, "OK\n");
	assert_true(command_busy(&client));
	assert_shows(sent);
	until_wake();
	assert_true(command_busy(&client));
	assert_shows(back);
	command_end(&client);
	assert_reply(&client, "OK\n");
	assert_false(client.watching);
	assert_true(TAILQ_EMPTY(&bridge->taps));
}

/* More frames than may wait; one at a time goes through the bridge. */
static void
flood(void)
{
	char line[1100];
	unsigned n = CLIENT_FRAMES_MAX / 1000 + 8;

	memset(line, 'x', sizeof(line));
	memcpy(line, "send one ", 9);
	line[1009] = '\0';
	while (n-- > 0) {
		run(&other, line);
		assert_reply(&other, "OK\n");
		if (client.closed)
			return;
		until_wake();
		if (client.closed)
			return;
	}
}

static void
test_a_client_that_does_not_read_is_closed(void **state)
{
	(void)state;
	client.stall_timeout = 1;
	run(&client, "watch one");
	flood();
	assert_int_equal(closes, 1);
	/* It is not told of anything any more. */
	wakes = 0;
	run(&other, "send one hi");
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(wakes, 0);
}

static void
test_one_that_reads_is_not_closed(void **state)
{
	(void)state;
	client.stall_timeout = 1;
	reads = true;
	run(&client, "watch one");
	flood();
	assert_int_equal(closes, 0);
	assert_true(client.hidden > 0);
}

static void
test_nor_one_of_which_nobody_knows(void **state)
{
	(void)state;
	client.ops = &ops_unknown;
	client.stall_timeout = 1;
	run(&client, "watch one");
	flood();
	assert_int_equal(closes, 0);
	assert_true(client.hidden > 0);
}

static void
test_an_answer_wakes_its_client(void **state)
{
	char label[128];

	(void)state;
	run(&client, "ask one hello 1m");
	assert_true(client.asking);
	command_ask_label(&client, label, sizeof(label));
	assert_string_equal(label, "the answer of one to a test");
	until_wake();
	assert_false(client.asking);
	assert_true(command_busy(&client));
	while (command_step(&client))
		;
	assert_reply(&client, "hello\nOK\n");
}

static void
test_no_answer(void **state)
{
	(void)state;
	run(&client, "ask one match=bye hello 50ms");
	until_wake();
	assert_false(client.asking);
	while (command_step(&client))
		;
	assert_reply(&client, "ERR timed out after 50ms\n");
	assert_true(TAILQ_EMPTY(&bridge->taps));
}

static void
test_a_client_leaves_in_the_middle(void **state)
{
	char line[] = "list";

	(void)state;
	run(&client, "watch");
	command_forget(&client);
	assert_true(TAILQ_EMPTY(&bridge->taps));
	assert_false(client.watching);
	command_run(&client, line);
	command_forget(&client);
	assert_null(client.call);
	assert_true(LIST_EMPTY(&bridge->cursors));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_reply_and_an_error),
		TEST(test_the_permission_is_the_clients),
		TEST(test_hooks),
		TEST(test_a_watch_wakes_its_client),
		TEST(test_a_client_that_does_not_read_is_closed),
		TEST(test_one_that_reads_is_not_closed),
		TEST(test_nor_one_of_which_nobody_knows),
		TEST(test_an_answer_wakes_its_client),
		TEST(test_no_answer),
		TEST(test_a_client_leaves_in_the_middle),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
