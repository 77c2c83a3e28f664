/*
 * Addresses as people write them, and who is inside of a network.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "address.h"
#include "connector.h"

static const struct sockaddr *
sa_of(const char *s)
{
	static struct address address;
	struct error err;

	if (address_parse(s, &address, &err) != 0)
		fail_msg("%s: %s", s, err.text);
	return (const struct sockaddr *)&address.ss;
}

static void
what_is_written_is_understood(void **state)
{
	static const struct {
		const char *written, *meant;
	} tests[] = {
		{ "127.0.0.1:5010", "127.0.0.1:5010" },
		{ "5010", "127.0.0.1:5010" },
		{ ":5010", "127.0.0.1:5010" },
		{ "localhost:5010", "127.0.0.1:5010" },
		{ "*:5010", "0.0.0.0:5010" },
		{ "0.0.0.0:1", "0.0.0.0:1" },
		{ "192.168.1.7:65535", "192.168.1.7:65535" },
		{ "127.0.0.1:0", "127.0.0.1:0" },
		{ "[::1]:5010", "[::1]:5010" },
		{ "[::]:5010", "[::]:5010" },
		{ "[FD00::2]:7", "[fd00::2]:7" },
		{ "[::ffff:10.0.0.1]:7", "10.0.0.1:7" },
		{ "unix:/run/a.sock", "unix:/run/a.sock" },
		{ "/run/a.sock", "unix:/run/a.sock" },
		{ "/run/with:colon", "unix:/run/with:colon" },
	};

	(void)state;
	for (size_t i = 0; i < NELEM(tests); i++) {
		struct address address;
		struct error err = { "" };
		char text[ADDRESS_TEXT_MAX];

		if (address_parse(tests[i].written, &address, &err) != 0)
			fail_msg("%s: %s", tests[i].written, err.text);
		address_format((struct sockaddr *)&address.ss, address.len,
		    text, sizeof(text));
		assert_string_equal(text, tests[i].meant);
	}
}

static void
what_is_no_address_is_refused_with_a_sentence(void **state)
{
	static const char *const tests[] = {
		"",
		":",
		"foo",
		"foo:5010",
		"127.0.0.1",
		"127.0.0.1:",
		"127.0.0.1:x",
		"127.0.0.1:65536",
		"127.0.0.1:-1",
		"127.0.0.1: 5",
		"127.0.0.1:5 ",
		"127.1:5",
		"256.0.0.1:5",
		"::1:5010",
		"::1",
		"[::1]",
		"[::1]:",
		"[::1:5",
		"[]:5",
		"[127.0.0.1]:5",
		"[*]:5",
		"unix:",
		"unix:run",
		"unix:@x",
		"run/a.sock",
		("1234567890123456789012345678901234567890123456789012345678901"
		 "234567890:5"),
	};
	struct error err;
	char path[300];
	struct address address;

	(void)state;
	for (size_t i = 0; i < NELEM(tests); i++) {
		error_clear(&err);
		if (address_parse(tests[i], &address, &err) != -EINVAL)
			fail_msg("'%s' was taken", tests[i]);
		assert_non_null(strstr(err.text, "'"));
	}
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[sizeof(address.ss)] = '\0';
	assert_int_equal(address_parse(path, &address, &err), -EINVAL);
	/* The longest that fits. */
	path[sizeof(((struct sockaddr_un *)0)->sun_path) - 1] = '\0';
	assert_int_equal(address_parse(path, &address, &err), 0);
	path[strlen(path)] = 'a';
	assert_int_equal(address_parse(path, &address, &err), -EINVAL);
}

static void
a_client_without_a_path_is_a_unix_client(void **state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char text[ADDRESS_TEXT_MAX];

	(void)state;
	assert_string_equal(address_format((struct sockaddr *)&un,
				sizeof(un.sun_family), text, sizeof(text)),
	    "unix client");
	assert_string_equal(address_format((struct sockaddr *)&un, sizeof(un),
				text, sizeof(text)),
	    "unix client");
	/* What is behind the length is not of the address. */
	un.sun_path[0] = '/';
	assert_string_equal(address_format((struct sockaddr *)&un,
				sizeof(un.sun_family), text, sizeof(text)),
	    "unix client");
}

static void
a_host_is_split_from_its_port(void **state)
{
	static const struct {
		const char *s, *host, *port;
	} good[] = {
		{ "my.board:7", "my.board", "7" },
		{ "10.0.0.1:http", "10.0.0.1", "http" },
		{ "[fd00::2]:7", "fd00::2", "7" },
	};
	static const char *const bad[] = { "board", "board:", ":7", "[]:7",
		"123456789:7" };
	char host[9];
	const char *port;

	(void)state;
	for (size_t i = 0; i < NELEM(good); i++) {
		assert_int_equal(
		    connector_split(good[i].s, host, sizeof(host), &port), 0);
		assert_string_equal(host, good[i].host);
		assert_string_equal(port, good[i].port);
	}
	for (size_t i = 0; i < NELEM(bad); i++)
		assert_int_equal(
		    connector_split(bad[i], host, sizeof(host), &port),
		    -EINVAL);
}

static void
loopback_is_this_machine(void **state)
{
	(void)state;
	assert_true(address_is_loopback(sa_of("127.0.0.1:1")));
	assert_true(address_is_loopback(sa_of("127.9.9.9:1")));
	assert_true(address_is_loopback(sa_of("[::1]:1")));
	assert_true(address_is_loopback(sa_of("[::ffff:127.0.0.1]:1")));
	assert_true(address_is_loopback(sa_of("/run/x")));
	assert_false(address_is_loopback(sa_of("*:1")));
	assert_false(address_is_loopback(sa_of("[::]:1")));
	assert_false(address_is_loopback(sa_of("128.0.0.1:1")));
	assert_false(address_is_loopback(sa_of("[::2]:1")));
	assert_false(address_is_loopback(sa_of("[::ffff:10.0.0.1]:1")));
}

static void
a_network_holds_what_its_prefix_says(void **state)
{
	static const struct {
		const char *networks, *address;
		bool held;
	} tests[] = {
		{ "10.0.0.0/8", "10.255.0.1:5", true },
		{ "10.0.0.0/8", "11.0.0.1:5", false },
		{ "10.1.2.3/8", "10.9.9.9:5", true },
		{ "192.168.1.7", "192.168.1.7:5", true },
		{ "192.168.1.7", "192.168.1.6:5", false },
		{ "192.168.1.128/25", "192.168.1.127:5", false },
		{ "192.168.1.128/25", "192.168.1.200:5", true },
		{ "192.168.1.4/31", "192.168.1.5:5", true },
		{ "192.168.1.4/31", "192.168.1.6:5", false },
		{ "0.0.0.0/0", "8.8.8.8:5", true },
		{ "0.0.0.0/0", "[fd00::1]:5", false },
		{ "::/0", "[fd00::1]:5", true },
		{ "::/0", "8.8.8.8:5", false },
		{ "fd00::/8", "[fdab::1]:5", true },
		{ "fd00::/8", "[fe80::1]:5", false },
		{ "fd00::1", "[fd00::1]:5", true },
		{ "fd00::1", "[fd00::2]:5", false },
		{ "10.0.0.0/8", "[::ffff:10.0.0.1]:5", true },
		{ "10.0.0.0/8, 192.168.0.0/16 ::1/128", "192.168.3.3:5", true },
		{ " 10.0.0.0/8 ,,\t::1/128 ", "[::1]:5", true },
		{ "10.0.0.0/8 ::1/128", "9.0.0.1:5", false },
		{ "0.0.0.0/0 ::/0", "/run/x", false },
	};
	struct error err;

	(void)state;
	for (size_t i = 0; i < NELEM(tests); i++) {
		struct networks *n;

		assert_int_equal(
		    networks_parse(tests[i].networks, &n, &err), 0);
		if (networks_hold(n, sa_of(tests[i].address)) != tests[i].held)
			fail_msg(
			    "%s in '%s'", tests[i].address, tests[i].networks);
		networks_free(n);
	}
	assert_false(networks_hold(NULL, sa_of("127.0.0.1:5")));
	networks_free(NULL);
}

static void
what_is_no_network_is_named(void **state)
{
	static const struct {
		const char *networks, *named;
	} tests[] = {
		{ "10.0.0.0/33", "'10.0.0.0/33'" },
		{ "::1/129", "'::1/129'" },
		{ "10.0.0.0/", "'10.0.0.0/'" },
		{ "10.0.0.0/-1", "'10.0.0.0/-1'" },
		{ "10.0.0", "'10.0.0'" },
		{ "lan", "'lan'" },
		{ "10.0.0.0/8 fd00::/x 1.1.1.1", "'fd00::/x'" },
		{ "10.0.0.0/8/8", "'10.0.0.0/8/8'" },
	};
	struct networks *n = NULL;
	struct error err;

	(void)state;
	for (size_t i = 0; i < NELEM(tests); i++) {
		assert_int_equal(
		    networks_parse(tests[i].networks, &n, &err), -EINVAL);
		assert_non_null(strstr(err.text, tests[i].named));
		assert_null(n);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_understood),
		cmocka_unit_test(what_is_no_address_is_refused_with_a_sentence),
		cmocka_unit_test(a_client_without_a_path_is_a_unix_client),
		cmocka_unit_test(a_host_is_split_from_its_port),
		cmocka_unit_test(loopback_is_this_machine),
		cmocka_unit_test(a_network_holds_what_its_prefix_says),
		cmocka_unit_test(what_is_no_network_is_named),
	};

	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
