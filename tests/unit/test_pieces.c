/*
 * test_pieces: replies that are produced in pieces, while endpoints, peers and tasks come
 * and go in between.
 *
 * The pieces are asked for by hand, so their number is known; the loop turns, and the
 * bridge changes, where a test says so.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <jansson.h>

#include "base64.h"
#include "command.h"
#include "call.h"
#include "history.h"
#include "session.h"
#include "log.h"

#define MANY 300
#define HISTORY (256 * 1024)
#define PATIENCE (10 * NSEC_PER_SEC)

static struct event_base *base;
static struct bridge *bridge;
static struct control *control;
static struct session *session;
static char directory[] = "/tmp/test_pieces.XXXXXX";
static int client;

/* --- the daemon ---------------------------------------------------------- */

/* Endpoints e<first> to e<last - 1>, in that order, with a route for each. */
static void
add_echoes(char *text, size_t size, unsigned first, unsigned last)
{
	for (unsigned i = first; i < last; i++)
		append(text, size, "[echo e%u]\n", i);
	for (unsigned i = first; i < last; i++)
		append(text, size, "[route r%u]\nfrom = e%u\nto = s\n", i, i);
}

static void
apply(const char *text)
{
	struct faults faults = { 0 };
	struct config *c = NULL;
	struct error err;

	if (config_parse("test", text, strlen(text), &c, &faults) != 0)
		fail_msg("%s", faults.text[0]);
	assert_int_equal(bridge_apply(bridge, c, &err), 0);
	config_free(c);
}

static void
apply_range(unsigned first, unsigned last, const char *more)
{
	size_t size = 128 * 1024;
	char *text = calloc(1, size);

	append(text, size, "[unix-server s]\nlisten = %s/s\n", directory);
	append(text, size, "max_clients = %u\n%s", MANY, more);
	add_echoes(text, size, first, last);
	apply(text);
	free(text);
}

static int
set_up(void **state)
{
	struct control_conf conf = {
		.type = "control",
		.name = (char *)(uintptr_t) "c",
		.text = (char *)(uintptr_t) "",
		.access = ACCESS_FULL,
		.max_clients = 1,
	};
	struct error err;
	char path[64];
	int fd[2];

	(void)state;
	log_set_level(LOG_ERR);
	base = event_base_new();
	assert_int_equal(bridge_new(base, &bridge), 0);
	apply_range(0, MANY, "");
	snprintf(path, sizeof(path), "%s/c", directory);
	conf.listen = path;
	assert_int_equal(
	    control_new(bridge, &conf, &session_ops, NULL, &control, &err), 0);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	fcntl(fd[1], F_SETFL, O_NONBLOCK);
	client = fd[0];
	assert_int_equal(session_new(control, fd[1], NULL, "a test"), 0);
	session = TAILQ_FIRST(&control->sessions);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	control_free(control);
	bridge_free(bridge);
	link_machinery_free();
	event_base_free(base);
	close(client);
	return 0;
}

/* --- pieces -------------------------------------------------------------- */

static void
begin(const char *line)
{
	char copy[256];

	snprintf(copy, sizeof(copy), "%s", line);
	command_run(&session->client, copy);
}

/* The rest of the reply; *pieces is increased.  To be freed. */
static char *
finish(unsigned *pieces)
{
	size_t len;
	char *text;

	for (++*pieces; session->client.call != NULL; ++*pieces)
		command_step(&session->client);
	len = evbuffer_get_length(session->client.reply);
	text = calloc(1, len + 1);
	evbuffer_remove(session->client.reply, text, len);
	return text;
}

static char *
whole(const char *line, unsigned *pieces)
{
	*pieces = 0;
	begin(line);
	return finish(pieces);
}

/* The JSON of a reply that is one line of it, and OK. */
static json_t *
parse(char *reply)
{
	char *nl = strchr(reply, '\n');
	json_error_t error;
	json_t *json;

	assert_non_null(nl);
	assert_string_equal(nl, "\nOK\n");
	*nl = '\0';
	json = json_loads(reply, JSON_REJECT_DUPLICATES, &error);
	if (json == NULL)
		fail_msg("%s in '%.80s'", error.text, reply);
	free(reply);
	return json;
}

/* How many rows have that name. */
static unsigned
count(const json_t *rows, const char *key, const char *name)
{
	const json_t *row;
	unsigned n = 0;
	size_t i;

	json_array_foreach(rows, i, row) n +=
	    strcmp(json_string_value(json_object_get(row, key)), name) == 0;
	return n;
}

static void
assert_each_once(
    const json_t *rows, const char *letter, unsigned first, unsigned last)
{
	char name[16];

	for (unsigned i = first; i < last; i++) {
		snprintf(name, sizeof(name), "%s%u", letter, i);
		if (count(rows, "name", name) != 1)
			fail_msg("%s is there %u times", name,
			    count(rows, "name", name));
	}
}

/* --- tests --------------------------------------------------------------- */

static void
test_a_long_reply_comes_in_pieces(void **state)
{
	static const char *const lines[] = { "endpoints", "routes", "list",
		"list e", "ps", "json endpoints", "json routes", "json list",
		"json ps" };
	unsigned pieces;
	char *reply;

	(void)state;
	for (size_t i = 0; i < NELEM(lines); i++) {
		reply = whole(lines[i], &pieces);
		if (pieces < MANY / CALL_ROWS)
			fail_msg("%s: %u pieces", lines[i], pieces);
		assert_string_equal(reply + strlen(reply) - 4, "\nOK\n");
		free(reply);
	}
	reply = whole("get e1/state", &pieces);
	assert_int_equal(pieces, 1);
	free(reply);
}

static void
test_json_in_pieces_is_one_line_with_all(void **state)
{
	json_t *json, *ps;
	unsigned pieces;
	struct task *task;
	size_t n = 0;

	(void)state;
	json = parse(whole("json endpoints", &pieces));
	assert_int_equal(json_array_size(json), MANY + 1);
	assert_each_once(json, "e", 0, MANY);
	json_decref(json);
	json = parse(whole("json routes", &pieces));
	assert_int_equal(json_array_size(json), MANY);
	assert_each_once(json, "r", 0, MANY);
	json_decref(json);
	json = parse(whole("json list", &pieces));
	assert_string_equal(
	    json_string_value(json_object_get(json, "e299/state")), "up");
	assert_non_null(json_object_get(json, "routes/r0/frames"));
	assert_non_null(json_object_get(json, "routes/r299/frames"));
	assert_non_null(json_object_get(json, "daemon/pid"));
	json_decref(json);
	ps = parse(whole("json ps", &pieces));
	TAILQ_FOREACH(task, task_all(), entry) {
		assert_int_equal(count(ps, "task", task->name), 1);
		n++;
	}
	assert_int_equal(json_array_size(ps), n);
	json_decref(ps);
	json = parse(whole("json peers", &pieces));
	assert_int_equal(json_array_size(json), 0);
	json_decref(json);
}

/* The columns of a table in pieces are those of a table. */
static void
test_the_columns_of_text_are_straight(void **state)
{
	unsigned pieces, lines = 0;
	char *reply, *line, *save;
	size_t type;

	(void)state;
	reply = whole("endpoints", &pieces);
	type = (size_t)(strstr(reply, "TYPE") - reply);
	for (line = strtok_r(reply, "\n", &save); strcmp(line, "OK") != 0;
	     line = strtok_r(NULL, "\n", &save)) {
		assert_int_equal(line[type - 1], ' ');
		assert_int_not_equal(line[type], ' ');
		lines++;
	}
	assert_int_equal(lines, 1 + 1 + MANY);
	free(reply);
}

static void
test_a_reload_between_pieces(void **state)
{
	static const char *const lines[] = { "json endpoints", "json routes" };
	static const char *const letters[] = { "e", "r" };
	unsigned pieces = 0;
	json_t *json;

	(void)state;
	for (size_t i = 0; i < NELEM(lines); i++) {
		begin(lines[i]);
		command_step(&session->client);
		command_step(&session->client);
		apply_range(90, MANY + 50, "");
		command_step(&session->client);
		apply_range(200, MANY + 50, "label = changed\n");
		json = parse(finish(&pieces));
		assert_each_once(json, letters[i], 200, MANY + 50);
		assert_true(json_array_size(json) < MANY + 51);
		json_decref(json);
		apply_range(0, MANY, "");
	}
	/* All that is left is removed. */
	begin("json list");
	apply_range(1, 2, "");
	json_decref(parse(finish(&pieces)));
}

static void
test_a_reload_between_the_pieces_of_text(void **state)
{
	unsigned pieces = 0, lines = 0;
	char *reply;

	(void)state;
	begin("endpoints");
	for (unsigned i = 0; session->client.call != NULL && i < 12; i++)
		command_step(&session->client);
	assert_non_null(session->client.call);
	apply_range(250, MANY, "");
	reply = finish(&pieces);
	for (char *p = reply; (p = strchr(p, '\n')) != NULL; p++)
		lines++;
	assert_true(lines > MANY - 250 && lines <= MANY + 3);
	assert_non_null(strstr(reply, "\ne299 "));
	assert_string_equal(reply + strlen(reply) - 4, "\nOK\n");
	free(reply);
}

static int
dial(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/s", directory);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	return fd;
}

static unsigned
peers(void)
{
	const struct node *node = bridge_find(bridge, "s");
	const struct port *port;
	unsigned n = 0;

	TAILQ_FOREACH(port, &node->ports, entry)
		n++;
	return n;
}

static void
until_peers(unsigned n)
{
	uint64_t end = now_ns() + PATIENCE;

	while (peers() != n) {
		assert_true(now_ns() < end);
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
}

/* What the command waits at, and tasks, go while it does. */
static void
test_peers_leave_between_pieces(void **state)
{
	unsigned pieces = 0;
	char name[16];
	json_t *json, *ps;
	int fd[100];

	(void)state;
	for (unsigned i = 0; i < NELEM(fd); i++) {
		fd[i] = dial();
		until_peers(i + 1);
	}
	begin("json peers");
	for (unsigned i = 16; i < 64; i++)
		close(fd[i]);
	until_peers(NELEM(fd) - 48);
	json = parse(finish(&pieces));
	for (unsigned i = 0; i < NELEM(fd); i++) {
		snprintf(name, sizeof(name), "s#%u", i + 1);
		if (i < 16 || i >= 64)
			assert_int_equal(count(json, "name", name), 1);
		else if (i >= CALL_ROWS)
			assert_int_equal(count(json, "name", name), 0);
	}
	json_decref(json);
	begin("json ps");
	for (unsigned i = 64; i < NELEM(fd); i++)
		close(fd[i]);
	until_peers(16);
	ps = parse(finish(&pieces));
	assert_int_equal(count(ps, "task", "s#1.read"), 1);
	assert_int_equal(count(ps, "task", "e299.read"), 1);
	assert_int_equal(count(ps, "task", "c.client#1.write"), 1);
	json_decref(ps);
	begin("json peers");
	apply("[echo a]\n[echo b]\n[pty p]\nlink = /tmp/test_pieces.none\n");
	json_decref(parse(finish(&pieces)));
	for (unsigned i = 0; i < 16; i++)
		close(fd[i]);
}

/* A client that does not read costs a bounded amount, whatever it has asked for. */
static void
test_a_client_that_does_not_read_waits(void **state)
{
	size_t most = 0;

	(void)state;
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(send(client, "list\n", 5, 0), 5);
	for (unsigned i = 0; i < 2000; i++) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		most = MAX(most,
		    evbuffer_get_length(bufferevent_get_output(session->bev)));
	}
	assert_true(most > CONTROL_OUTPUT_MARK);
	assert_true(most < 4 * CONTROL_OUTPUT_MARK);
	assert_non_null(session->client.call);
}

/* The client leaves in the middle of a reply. */
static void
test_a_client_that_leaves(void **state)
{
	uint64_t end = now_ns() + PATIENCE;

	(void)state;
	assert_int_equal(send(client, "list\njson ps\n", 13, 0), 13);
	while (session->client.call == NULL)
		event_base_loop(base, EVLOOP_NONBLOCK);
	shutdown(client, SHUT_RDWR);
	while (control_sessions(control) > 0) {
		assert_true(now_ns() < end);
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	assert_true(LIST_EMPTY(&bridge->cursors));
}

/* The endpoint h has read these bytes, and nothing before them. */
static void
has_read(const void *data, size_t len)
{
	apply("[echo e]\n");
	apply("[echo h]\nhistory = 256K\n");
	history_add(bridge_find(bridge, "h")->history, data, len);
}

static void
test_a_history_of_many_lines_comes_in_pieces(void **state)
{
	char *lines = malloc(HISTORY), *reply;
	unsigned pieces;

	(void)state;
	memset(lines, '\n', HISTORY);
	has_read(lines, HISTORY);
	reply = whole("history h", &pieces);
	assert_true(pieces >= HISTORY / CALL_ROWS);
	assert_int_equal(strlen(reply), HISTORY + 3);
	assert_memory_equal(reply, lines, HISTORY);
	assert_string_equal(reply + HISTORY, "OK\n");
	free(reply);
	free(lines);
}

static void
test_a_long_line_of_a_history_comes_in_pieces(void **state)
{
	char *line = malloc(HISTORY), *reply;
	unsigned pieces;

	(void)state;
	memset(line, 'x', HISTORY);
	has_read(line, HISTORY);
	reply = whole("history h", &pieces);
	assert_true(pieces > 1);
	assert_int_equal(strlen(reply), HISTORY + 4);
	assert_memory_equal(reply, line, HISTORY);
	assert_string_equal(reply + HISTORY, "\nOK\n");
	free(reply);
	free(line);
}

/* Wherever a line is cut, its CR belongs to its end only before LF. */
static void
test_the_ends_of_lines_of_a_history(void **state)
{
	char *data = calloc(1, HISTORY), *want = calloc(1, HISTORY), *reply;
	unsigned pieces;

	(void)state;
	for (size_t n = 3000; n < 3100; n += 7) {
		for (size_t i = 0; i < n; i++)
			append(data, HISTORY, "x");
		append(data, HISTORY, n % 2 ? "\r\n" : "\ry\n");
		for (size_t i = 0; i < n; i++)
			append(want, HISTORY, "x");
		append(want, HISTORY, n % 2 ? "\n" : "\\ry\n");
	}
	for (size_t n = 3070; n < 3074; n++) {
		for (size_t i = 0; i < n; i++)
			append(data, HISTORY, "z");
		append(data, HISTORY, n % 2 ? "\r\ry\r\n" : "\r\n");
		for (size_t i = 0; i < n; i++)
			append(want, HISTORY, "z");
		append(want, HISTORY, n % 2 ? "\\r\\ry\n" : "\n");
	}
	append(data, HISTORY, "login: \r");
	append(want, HISTORY, "login: \nOK\n");
	has_read(data, strlen(data));
	reply = whole("history h", &pieces);
	assert_string_equal(reply, want);
	free(reply);
	free(data);
	free(want);
}

static void
test_a_history_as_json_comes_in_pieces(void **state)
{
	static const size_t sizes[] = { 0, 1, 3071, 3072, 3073, HISTORY };
	uint8_t *data = malloc(HISTORY), *back = malloc(HISTORY);
	unsigned pieces;
	const char *text;
	json_t *json;
	long n;

	(void)state;
	for (size_t i = 0; i < HISTORY; i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	for (size_t i = 0; i < NELEM(sizes); i++) {
		has_read(data, sizes[i]);
		json = parse(whole("json history h", &pieces));
		assert_true(pieces > 1 || sizes[i] < HISTORY);
		assert_string_equal(
		    json_string_value(json_object_get(json, "endpoint")), "h");
		assert_int_equal(
		    json_integer_value(json_object_get(json, "size")),
		    sizes[i]);
		text = json_string_value(json_object_get(json, "base64"));
		n = base64_decode(text, strlen(text), back, HISTORY);
		assert_int_equal(n, sizes[i]);
		assert_memory_equal(back, data, sizes[i]);
		json_decref(json);
	}
	free(data);
	free(back);
}

/* What is shown is of one moment, and the endpoint need not stay. */
static void
test_a_history_whose_endpoint_is_removed_between_pieces(void **state)
{
	char *lines = malloc(HISTORY), *reply;
	unsigned pieces = 0;

	(void)state;
	memset(lines, '\n', HISTORY);
	has_read(lines, HISTORY);
	begin("history h");
	history_add(
	    bridge_find(bridge, "h")->history, (const uint8_t *)"later", 5);
	command_step(&session->client);
	apply("[echo e]\n");
	reply = finish(&pieces);
	assert_int_equal(strlen(reply), HISTORY + 3);
	assert_memory_equal(reply, lines, HISTORY);
	free(reply);
	free(lines);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_long_reply_comes_in_pieces),
		TEST(test_json_in_pieces_is_one_line_with_all),
		TEST(test_the_columns_of_text_are_straight),
		TEST(test_a_reload_between_pieces),
		TEST(test_a_reload_between_the_pieces_of_text),
		TEST(test_peers_leave_between_pieces),
		TEST(test_a_client_that_does_not_read_waits),
		TEST(test_a_client_that_leaves),
		TEST(test_a_history_of_many_lines_comes_in_pieces),
		TEST(test_a_long_line_of_a_history_comes_in_pieces),
		TEST(test_the_ends_of_lines_of_a_history),
		TEST(test_a_history_as_json_comes_in_pieces),
		TEST(test_a_history_whose_endpoint_is_removed_between_pieces),
	};
	int failed;

	signal(SIGPIPE, SIG_IGN);
	assert_non_null(mkdtemp(directory));
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(directory);
	return failed;
}
