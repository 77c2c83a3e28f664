/*
 * test_change: a bridge is changed in steps, and frames pass between any two of them.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "change.h"
#include "link.h"
#include "log.h"

#define MANY 100
#define PATIENCE (10 * NSEC_PER_SEC)

static struct event_base *base;
static struct bridge *bridge;
static char directory[] = "/tmp/test_change.XXXXXX";

/* --- the daemon ---------------------------------------------------------- */

/* Three pseudo-terminals, and many echoes with that key. */
static struct config *
config(const char *a, const char *b, const char *c, const char *echo,
    const char *routes)
{
	const char *const keys[] = { a, b, c };
	struct faults faults = { 0 };
	struct config *conf = NULL;
	size_t size = 64 * 1024;
	char *text = calloc(1, size);

	for (unsigned i = 0; i < NELEM(keys); i++)
		if (keys[i] != NULL)
			append(text, size, "[pty %c]\nlink = %s/%c\n%s\n",
			    'a' + i, directory, 'a' + i, keys[i]);
	for (unsigned i = 0; echo != NULL && i < MANY; i++)
		append(text, size, "[echo e%u]\n%s\n", i, echo);
	append(text, size, "%s\n", routes);
	if (config_parse("test", text, strlen(text), &conf, &faults) != 0)
		fail_msg("%s", faults.text[0]);
	free(text);
	return conf;
}

static void
apply(struct config *c)
{
	struct error err;

	assert_int_equal(bridge_apply(bridge, c, &err), 0);
	config_free(c);
}

static int
set_up(void **state)
{
	(void)state;
	log_set_level(LOG_ERR);
	base = event_base_new();
	return bridge_new(base, &bridge);
}

static int
tear_down(void **state)
{
	(void)state;
	bridge_free(bridge);
	link_machinery_free();
	event_base_free(base);
	return 0;
}

static void
turn_loop(void)
{
	for (unsigned i = 0; i < 4; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

/* --- users of the pseudo-terminals --------------------------------------- */

static int
open_pty(const char *name)
{
	char path[64];
	uint64_t end = now_ns() + PATIENCE;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
	while (bridge_find(bridge, name)->endpoint->state != ENDPOINT_UP) {
		assert_true(now_ns() < end);
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	return fd;
}

static void
send_number(int fd, unsigned n)
{
	char line[16];
	int len = snprintf(line, sizeof(line), "%u\n", n);

	assert_int_equal(write(fd, line, (size_t)len), len);
}

/* Reads lines until that many have come in all; they must go on from *next. */
static void
read_numbers(int fd, unsigned *next, unsigned end)
{
	uint64_t patience = now_ns() + PATIENCE;
	static char text[64 * 1024];
	size_t len = 0;
	char *line, *nl;

	while (*next < end) {
		ssize_t n = read(fd, text + len, sizeof(text) - len - 1);

		if (n > 0)
			len += (size_t)n;
		text[len] = '\0';
		for (line = text; (nl = strchr(line, '\n')) != NULL;
		     line = nl + 1)
			assert_int_equal(strtoul(line, NULL, 10), (*next)++);
		len -= (size_t)(line - text);
		memmove(text, line, len + 1);
		if (now_ns() > patience)
			fail_msg("%u of %u", *next, end);
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
}

static const struct traffic *
traffic_of(const char *name)
{
	return &TAILQ_FIRST(&bridge_find(bridge, name)->ports)->traffic;
}

/* Sends the next number to a, and waits until it has been forwarded. */
static void
pass_number(int a, unsigned *sent)
{
	uint64_t end = now_ns() + PATIENCE;

	send_number(a, (*sent)++);
	while (traffic_of("a")->rx_frames < *sent) {
		assert_true(now_ns() < end);
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
}

/* --- tests --------------------------------------------------------------- */

#define LINE "framing = line"
#define COBS "framing = cobs"
#define A_TO_B "[route ab]\nfrom = a\nto = b\n"
#define A_TO_C "[route ac]\nfrom = a\nto = c\n"

struct pieces {
	struct plan *plan;
	struct change *change;
	unsigned steps;
};

static void
begin(struct pieces *p, struct config *c)
{
	struct error err;

	p->steps = 0;
	assert_int_equal(plan_new(c, &p->plan, &err), 0);
	config_free(c);
	assert_int_equal(change_new(bridge, p->plan, &p->change), 0);
}

/* False at the end. */
static bool
step(struct pieces *p)
{
	int r = change_step(p->change);

	assert_true(r >= 0);
	p->steps++;
	if (r == CHANGE_READY)
		change_commit(p->change);
	if (r != CHANGE_DONE)
		return true;
	change_free(p->change);
	plan_free(p->plan);
	return false;
}

static void
test_each_endpoint_is_a_step(void **state)
{
	struct pieces p;

	(void)state;
	apply(config(LINE, LINE, LINE, "", ""));
	/* Compared, then opened again or left alone. */
	begin(&p, config(LINE, LINE, LINE, "", ""));
	while (step(&p))
		continue;
	assert_true(p.steps >= 2 * (MANY + 3));
	assert_int_equal(bridge_find(bridge, "e0")->endpoint->opens, 1);
	begin(&p, config(LINE, LINE, LINE, "max_frame = 100", ""));
	while (step(&p))
		assert_true(bridge_up(bridge) <= MANY);
	assert_int_equal(bridge_up(bridge), MANY);
	assert_int_equal(
	    bridge_find(bridge, "e99")->endpoint->conf->framing.max_frame, 100);
}

/* Each frame goes by the old table or by the new one. */
static void
test_routes_change_between_two_frames(void **state)
{
	unsigned sent = 0, before, next = 0;
	struct pieces p;
	int a, b, c;

	(void)state;
	apply(config(LINE, LINE, LINE, "", A_TO_B));
	a = open_pty("a");
	b = open_pty("b");
	c = open_pty("c");
	begin(&p, config(LINE, LINE, LINE, "max_frame = 100", A_TO_C));
	do
		pass_number(a, &sent);
	while (step(&p));
	pass_number(a, &sent);
	before = (unsigned)traffic_of("b")->tx_frames;
	assert_in_range(before, MANY, sent - MANY);
	assert_int_equal(traffic_of("c")->tx_frames, sent - before);
	read_numbers(b, &next, before);
	read_numbers(c, &next, sent);
	assert_int_equal(bridge->routes->route[0]->frames, sent - before);
	close(a);
	close(b);
	close(c);
}

/* Frames for an endpoint that is opened differently wait for it, in order. */
static void
test_nothing_is_lost_at_an_endpoint_that_is_replaced(void **state)
{
	unsigned sent = 0, next = 0;
	struct pieces p;
	int a, b;

	(void)state;
	apply(config(LINE, COBS, LINE, "", A_TO_B));
	a = open_pty("a");
	begin(&p,
	    config(LINE, LINE, NULL, "max_frame = 100", A_TO_B "match = .\n"));
	do
		pass_number(a, &sent);
	while (step(&p));
	b = open_pty("b");
	pass_number(a, &sent);
	read_numbers(b, &next, sent);
	assert_int_equal(bridge_find(bridge, "a")->endpoint->opens, 1);
	assert_null(bridge_find(bridge, "c"));
	close(a);
	close(b);
}

/* Whenever it is dropped. */
static void
test_a_change_that_is_dropped_has_changed_nothing(void **state)
{
	struct routes *routes;
	struct node **node;
	struct pieces p;
	bool ready = false;
	int r;

	(void)state;
	apply(config(LINE, LINE, LINE, "", A_TO_B));
	routes = bridge->routes;
	node = bridge->node;
	for (unsigned n = 0; !ready; n += 10) {
		begin(&p, config(COBS, COBS, NULL, "max_frame = 100", A_TO_B));
		for (unsigned i = 0; i < n && !ready; i++)
			ready = change_step(p.change) == CHANGE_READY;
		change_drop(p.change);
		while ((r = change_step(p.change)) == CHANGE_MORE)
			turn_loop();
		assert_int_equal(r, CHANGE_DONE);
		change_free(p.change);
		plan_free(p.plan);
		assert_ptr_equal(bridge->routes, routes);
		assert_ptr_equal(bridge->node, node);
		assert_int_equal(bridge->nnodes, MANY + 3);
		assert_int_equal(bridge_find(bridge, "e0")->endpoint->opens, 1);
	}
	assert_int_equal(bridge_up(bridge), MANY);
}

/* An endpoint that is replaced may get an index that the old table does not have. */
static void
test_an_endpoint_is_replaced_after_new_ones(void **state)
{
	const struct node *node;

	(void)state;
	apply(config(LINE, NULL, LINE, NULL, ""));
	apply(config(LINE, LINE, COBS, LINE, ""));
	node = bridge_find(bridge, "c");
	assert_int_equal(node->number, 2);
	assert_string_equal(node->endpoint->conf->framing.rule->name, "cobs");
	apply(config(NULL, NULL, LINE, NULL, ""));
	apply(config(LINE, LINE, COBS, LINE, ""));
	node = bridge_find(bridge, "c");
	assert_ptr_equal(bridge->node[node->number], node);
	assert_int_equal(node->number, 2);
}

/* Commands do what they like meanwhile. */
static void
test_commands_between_the_steps(void **state)
{
	const struct node *node;
	struct cursor cursor = { 0 };
	struct pieces p;
	unsigned seen = 0;

	(void)state;
	apply(config(LINE, LINE, LINE, "", A_TO_B));
	cursor_open(&cursor, bridge);
	begin(&p, config(COBS, NULL, LINE, "max_frame = 100", A_TO_C));
	do {
		for (unsigned i = 0; i < bridge->nnodes; i++)
			endpoint_reopen(bridge->node[i]->endpoint, "test");
		turn_loop();
		if (p.steps % 3 == 0 && (node = cursor_node(&cursor)) != NULL) {
			assert_ptr_equal(
			    bridge_find(bridge, node->endpoint->conf->name),
			    node);
			seen++;
		}
	} while (step(&p));
	turn_loop();
	while (cursor_node(&cursor) != NULL)
		seen++;
	cursor_close(&cursor);
	assert_in_range(seen, MANY + 2, MANY + 3);
	assert_int_equal(bridge_up(bridge), MANY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_each_endpoint_is_a_step),
		TEST(test_routes_change_between_two_frames),
		TEST(test_nothing_is_lost_at_an_endpoint_that_is_replaced),
		TEST(test_a_change_that_is_dropped_has_changed_nothing),
		TEST(test_an_endpoint_is_replaced_after_new_ones),
		TEST(test_commands_between_the_steps),
	};
	int failed;

	signal(SIGPIPE, SIG_IGN);
	assert_non_null(mkdtemp(directory));
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(directory);
	return failed;
}
