/*
 * tcp-client: connects by number and by name, and tries again.
 */
#include "endpoint_harness.h"

#include <sys/socket.h>

#include "address.h"

static struct endpoint *ep;
static char name[ADDRESS_TEXT_MAX];

static void
open_client(const char *to)
{
	const char *keys[] = { "connect", to, "connect_timeout", "5s", NULL };

	ep = make_endpoint(&endpoint_tcp_client, keys);
	endpoint_start(ep);
}

/* A server on a port that the kernel chose, or on that of the name. */
static int
serve(const char *where)
{
	struct address a;
	struct error err;
	int fd, on = 1;

	assert_int_equal(address_parse(where, &a, &err), 0);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(fd, (struct sockaddr *)&a.ss, a.len), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a.ss, &a.len), 0);
	address_format((struct sockaddr *)&a.ss, a.len, name, sizeof(name));
	return fd;
}

static void
connects_with(const char *to, int server)
{
	int fd;

	open_client(to);
	UNTIL(ep->state == ENDPOINT_UP);
	UNTIL((fd = accept(server, NULL, NULL)) >= 0);
	assert_int_equal(write(fd, "hello", 5), 5);
	UNTIL(got_len == 5);
	assert_memory_equal(got, "hello", 5);
	assert_null(task_find("ar1.connect"));
	assert_null(task_find("ar1.timeout"));
	close(fd);
	endpoint_free(ep);
	assert_int_equal(task_waiting(), 1); /* for hang-ups */
}

static void
a_number_is_connected_to(void **state)
{
	int server = serve("127.0.0.1:0");

	(void)state;
	connects_with(name, server);
	close(server);
}

static void
a_name_is_connected_to(void **state)
{
	int server = serve("127.0.0.1:0");
	char to[64];

	(void)state;
	snprintf(to, sizeof(to), "localhost%s", strrchr(name, ':'));
	connects_with(to, server);
	close(server);
}

static void
who_refuses_is_asked_again(void **state)
{
	int server = serve("127.0.0.1:0"), fd;

	(void)state;
	close(server);
	open_client(name);
	UNTIL(ep->state == ENDPOINT_LOST);
	assert_non_null(strstr(ep->error.text, "refused"));
	server = serve(name);
	UNTIL(ep->state == ENDPOINT_UP);
	assert_null(task_find("ar1.reopen"));
	/* And once more when the connection has ended. */
	UNTIL((fd = accept(server, NULL, NULL)) >= 0);
	close(fd);
	UNTIL(ep->losses == 1);
	UNTIL(ep->state == ENDPOINT_UP);
	assert_int_equal(ep->opens, 2);
	endpoint_free(ep);
	close(server);
}

/* As when there is no memory for the link. */
static void
an_owner_that_refuses_is_asked_again(void **state)
{
	int server = serve("127.0.0.1:0");

	(void)state;
	up_result = -ENOMEM;
	open_client(name);
	UNTIL(ep->losses >= 1);
	up_result = 0;
	UNTIL(ep->state == ENDPOINT_UP && ep->link.up);
	endpoint_free(ep);
	close(server);
}

/* Accepts a connection and closes it when it has lasted that long. */
static void
serve_for(int server, uint64_t ns)
{
	uint64_t losses = ep->losses, end;
	int fd;

	UNTIL(ep->state == ENDPOINT_UP);
	UNTIL((fd = accept(server, NULL, NULL)) >= 0);
	end = ep->link.since_ns + ns;
	UNTIL(now_ns() >= end);
	close(fd);
	UNTIL(ep->losses == losses + 1);
}

static void
the_back_off_ends_when_a_connection_has_lasted(void **state)
{
	int server = serve("127.0.0.1:0");
	uint64_t first;

	(void)state;
	open_client(name);
	ep->conf->reopen_min = first = 50 * NSEC_PER_MSEC;
	ep->conf->reopen_max = NSEC_PER_SEC;
	serve_for(server, 0);
	assert_int_equal(ep->backoff_ns, first);
	serve_for(server, 0);
	assert_int_equal(ep->backoff_ns, 2 * first);
	serve_for(server, 0);
	assert_int_equal(ep->backoff_ns, 4 * first);
	serve_for(server, NSEC_PER_SEC);
	assert_int_equal(ep->backoff_ns, first);
	/* A second is less than the last delay. */
	ep->conf->reopen_max = ep->backoff_ns = 3 * NSEC_PER_SEC;
	serve_for(server, NSEC_PER_SEC);
	assert_int_equal(ep->backoff_ns, 3 * NSEC_PER_SEC);
	endpoint_free(ep);
	close(server);
}

static void
a_stop_while_it_connects_leaves_nothing(void **state)
{
	(void)state;
	/* Nobody answers there. */
	open_client("192.0.2.1:9");
	if (ep->state == ENDPOINT_OPENING)
		assert_int_equal(task_waiting(),
		    event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
	endpoint_stop(ep);
	assert_null(task_find("ar1.connect"));
	endpoint_free(ep);
	turn();
	assert_int_equal(task_waiting(), 1); /* for hang-ups */
}

static void
a_stop_while_a_name_is_asked_for_leaves_nothing(void **state)
{
	(void)state;
	open_client("no-such-host.invalid:9");
	assert_int_equal(ep->state, ENDPOINT_OPENING);
	endpoint_stop(ep);
	endpoint_free(ep);
	/* The question is let go of in the next turns. */
	turn();
	assert_int_equal(task_waiting(), 1);
}

static void
a_name_that_nobody_has_is_said(void **state)
{
	(void)state;
	open_client("no-such-host.invalid:9");
	UNTIL(ep->state == ENDPOINT_LOST);
	assert_true(error_is_set(&ep->error));
	endpoint_free(ep);
	turn();
}

static void
the_section_is_checked(void **state)
{
	static const struct {
		const char *connect;
		bool right;
	} tests[] = {
		{ "10.0.0.1:5010", true },
		{ "[fd00::1]:5010", true },
		{ "host.example.org:5010", true },
		{ NULL, false },
		{ "5010", false },
		{ ":5010", false },
		{ "host", false },
		{ "host:", false },
		{ "host:http", false },
		{ "host:0", false },
		{ "host:65536", false },
		{ "[]:5010", false },
	};

	(void)state;
	for (size_t i = 0; i < NELEM(tests); i++) {
		const char *keys[] = { "connect", tests[i].connect, NULL };
		struct endpoint_conf *conf = make_conf(&endpoint_tcp_client,
		    tests[i].connect != NULL ? keys : keys + 2);
		struct error err = { "" };
		int r = endpoint_tcp_client.check(conf, &err);

		if ((r == 0) != tests[i].right)
			fail_msg("%s: %s", tests[i].connect, err.text);
		if (r != 0)
			assert_non_null(strstr(err.text, "connect"));
		endpoint_conf_free(conf);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_number_is_connected_to),
		TEST(a_name_is_connected_to),
		TEST(who_refuses_is_asked_again),
		TEST(an_owner_that_refuses_is_asked_again),
		TEST(the_back_off_ends_when_a_connection_has_lasted),
		TEST(a_stop_while_it_connects_leaves_nothing),
		TEST(a_stop_while_a_name_is_asked_for_leaves_nothing),
		TEST(a_name_that_nobody_has_is_said),
		cmocka_unit_test(the_section_is_checked),
	};

	return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
