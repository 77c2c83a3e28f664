/*
 * Heads of HTTP requests, and who may ask for what.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http_access.h"
#include "request.h"

#define HOST "Host: localhost\r\n"

static struct request r;

static int
parse(const char *text)
{
	return request_parse(&r, text, strlen(text));
}

static void
a_request_is_taken_apart(void **state)
{
	const char *text = "POST /api/send?a=b HTTP/1.1\r\nhOsT:  [::1]:80 \r\n"
			   "Origin: http://x\r\nContent-Length: 0012\r\n"
			   "Content-Type: application/json\r\n"
			   "Other: of no interest\r\n\r\n{\"name\":\"a\"}";

	(void)state;
	assert_int_equal(parse(text), (int)(strstr(text, "{") - text));
	assert_int_equal(r.method, METHOD_POST);
	assert_string_equal(r.path, "/api/send");
	assert_string_equal(r.query, "a=b");
	assert_string_equal(r.host, "[::1]:80");
	assert_string_equal(r.origin, "http://x");
	assert_int_equal(r.body, 12);
	assert_true(r.keep_alive);
}

static void
a_connection_is_kept_as_the_client_says(void **state)
{
	static const struct {
		const char *text;
		bool kept;
	} tests[] = {
		{ "GET / HTTP/1.1\r\n" HOST "\r\n", true },
		{ "GET / HTTP/1.1\r\n" HOST "Connection: Close\r\n\r\n",
		    false },
		{ "GET / HTTP/1.1\r\n" HOST "Connection: x, close\r\n\r\n",
		    false },
		{ "GET / HTTP/1.0\r\n\r\n", false },
		{ "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true },
		{ "GET / HTTP/1.1\n" HOST "\n", true },
	};

	(void)state;
	for (size_t i = 0; i < NELEM(tests); i++) {
		assert_int_equal(parse(tests[i].text), strlen(tests[i].text));
		assert_int_equal(r.keep_alive, tests[i].kept);
	}
}

static void
an_incomplete_head_is_waited_for(void **state)
{
	const char *text = "GET / HTTP/1.1\r\n" HOST "\r\n";

	(void)state;
	for (size_t n = 0; n < strlen(text); n++)
		assert_int_equal(request_parse(&r, text, n), 0);
}

static void
what_is_invalid_is_refused(void **state)
{
	static const struct {
		const char *text;
		int status;
	} tests[] = {
		{ "\r\n\r\n", 400 },
		{ "GET\r\n\r\n", 400 },
		{ "GET /\r\n\r\n", 400 },
		{ "get / HTTP/1.1\r\n" HOST "\r\n", 400 },
		{ "PUT / HTTP/1.1\r\n" HOST "\r\n", 405 },
		{ "GET / HTTP/1.10\r\n" HOST "\r\n", 505 },
		{ "GET / HTTP/1.1 \r\n" HOST "\r\n", 505 },
		{ "GET / JTTP/1.1\r\n" HOST "\r\n", 400 },
		{ "GET http:///x HTTP/1.1\r\n" HOST "\r\n", 400 },
		{ "GET https://?x HTTP/1.1\r\n" HOST "\r\n", 400 },
		{ "GET http:/x HTTP/1.1\r\n" HOST "\r\n", 400 },
		{ "GET ftp://x/ HTTP/1.1\r\n" HOST "\r\n", 400 },
		{ "GET http://x/ HTTP/1.1\r\n\r\n", 400 },
		{ "GET http://x/\x80 HTTP/1.1\r\n" HOST "\r\n", 400 },
		{ "GET / HTTP/1.1\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nHost localhost\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\n: localhost\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\n" HOST "X: \033[0m\r\n\r\n", 400 },
		{ "POST / HTTP/1.1\r\n" HOST
		  "Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
		    400 },
		{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 32769\r\n\r\n",
		    413 },
		{ "POST / HTTP/1.1\r\n" HOST "Content-Length: \r\n\r\n", 400 },
	};

	(void)state;
	for (size_t i = 0; i < NELEM(tests); i++) {
		assert_int_equal(parse(tests[i].text), -tests[i].status);
		assert_non_null(r.why);
	}
}

static void
a_target_may_have_a_host(void **state)
{
	static const struct {
		const char *target, *host, *path, *query;
	} tests[] = {
		{ "http://box/a?b=c", "box", "/a", "b=c" },
		{ "HTTPS://[::1]:80/", "[::1]:80", "/", NULL },
		{ "http://x", "x", "/", NULL },
		{ "http://box:1?a/b", "box:1", "/", "a/b" },
		{ "http://u@box//a", "u@box", "//a", NULL },
		{ "/http://box/", "localhost", "/http://box/", NULL },
	};
	char text[128];

	(void)state;
	for (size_t i = 0; i < NELEM(tests); i++) {
		snprintf(text, sizeof(text),
		    "GET %s HTTP/1.1\r\n" HOST "Origin: http://x\r\n\r\n",
		    tests[i].target);
		assert_int_equal(parse(text), strlen(text));
		assert_string_equal(r.host, tests[i].host);
		assert_string_equal(r.path, tests[i].path);
		if (tests[i].query != NULL)
			assert_string_equal(r.query, tests[i].query);
		else
			assert_null(r.query);
	}
	/* It alone is what counts. */
	parse("GET http://evil/ HTTP/1.1\r\n" HOST "\r\n");
	assert_non_null(access_refused(&r, NULL, NULL));
	parse("GET http://localhost/ HTTP/1.1\r\nHost: evil\r\n\r\n");
	assert_null(access_refused(&r, NULL, NULL));
	parse("GET http://localhost@evil/ HTTP/1.1\r\n" HOST "\r\n");
	assert_non_null(access_refused(&r, NULL, NULL));
}

static void
a_query_is_decoded(void **state)
{
	static const struct {
		const char *name, *value, *message;
	} tests[] = {
		{ "a", "x/y z", NULL },
		{ "b", "", NULL },
		{ "g", "", NULL },
		{ "n", NULL, NULL },
		{ "aa", NULL, NULL },
		{ "c", NULL,
		    "'c' has a '%' without two hexadecimal digits after it;"
		    " '%' itself is %25" },
		{ "f", NULL,
		    "'f' has a '%' without two hexadecimal digits after it;"
		    " '%' itself is %25" },
		{ "d", NULL, "'d' has a control character in it" },
		{ "e", NULL, "'e' is longer than 15 bytes" },
		{ "h", "0123456789abcde", NULL },
	};
	struct error err;
	char value[16];
	int given;

	(void)state;
	parse("GET /?ab=1&a=x%2fy+z&b&c=%zz&d=%0a&e=0123456789abcdef&f=%2&g=&"
	      "h=0123456789abcde HTTP/1.1\r\n" HOST "\r\n");
	for (size_t i = 0; i < NELEM(tests); i++) {
		given = request_query(
		    &r, tests[i].name, value, sizeof(value), &err);
		if (tests[i].message != NULL) {
			assert_int_equal(given, -EINVAL);
			assert_string_equal(err.text, tests[i].message);
		} else
			assert_int_equal(given, tests[i].value != NULL);
		if (tests[i].value != NULL)
			assert_string_equal(value, tests[i].value);
	}
}

static void
other_fields_of_a_query_are_refused(void **state)
{
	static const struct {
		const char *query, *name, *message;
	} tests[] = {
		{ "", NULL, NULL },
		{ "?", NULL, NULL },
		{ "?&&", NULL, NULL },
		{ "?a=b&", "a", NULL },
		{ "?x", NULL, "c has no argument 'x'" },
		{ "?x=1", "a", "c has no argument 'x'; it has 'a'" },
		{ "?a=1&aa=2", "a", "c has no argument 'aa'; it has 'a'" },
		{ "?=1", "a", "c has no argument ''; it has 'a'" },
		{ "?a=1&a", "a", "'a' is given twice" },
	};
	struct error err;
	char text[128];

	(void)state;
	for (size_t i = 0; i < NELEM(tests); i++) {
		snprintf(text, sizeof(text), "GET /%s HTTP/1.0\r\n\r\n",
		    tests[i].query);
		assert_int_equal(parse(text), strlen(text));
		assert_int_equal(
		    request_query_only(&r, "c", tests[i].name, &err),
		    tests[i].message != NULL ? -EINVAL : 0);
		if (tests[i].message != NULL)
			assert_string_equal(err.text, tests[i].message);
	}
}

static void
hosts_that_are_this_machine(void **state)
{
	static const char *const right[] = { "localhost", "localhost:80",
		"LocalHost", "127.0.0.1", "10.1.2.3:9110", "[::1]",
		"[fe80::1]:1", "box", "BOX.lan:80" };
	static const char *const wrong[] = { "", ":80", "evil",
		"localhost.evil", "127.0.0.1.evil", "127.1", "0x7f.1", "[::1",
		"[evil]", "::1", "localhost:x", "localhost:80:80",
		"box.lan.evil", "localhost/", "evil localhost" };

	(void)state;
	for (size_t i = 0; i < NELEM(right); i++)
		assert_true(access_host(right[i], "box box.lan"));
	for (size_t i = 0; i < NELEM(wrong); i++)
		assert_false(access_host(wrong[i], "box box.lan"));
}

static const char *
refused(const char *fields, const char *token)
{
	char text[512];

	snprintf(
	    text, sizeof(text), "GET / HTTP/1.1\r\n" HOST "%s\r\n", fields);
	assert_true(parse(text) > 0);
	return access_refused(&r, NULL, token);
}

static void
strangers_are_refused(void **state)
{
	(void)state;
	assert_null(refused("", NULL));
	assert_null(refused("Origin: http://localhost\r\n", NULL));
	assert_null(refused("Origin: https://localhost\r\n", NULL));
	assert_null(refused("Sec-Fetch-Site: none\r\n", NULL));
	assert_non_null(refused("Sec-Fetch-Site: same-site\r\n", NULL));
	assert_non_null(refused("Origin: http://localhost:1\r\n", NULL));
	assert_non_null(refused("Origin: http://localhost.evil\r\n", NULL));
	assert_non_null(refused("Origin: null\r\n", NULL));
	assert_non_null(refused("", "secret"));
	assert_non_null(refused("Authorization: secret\r\n", "secret"));
	assert_non_null(refused("Authorization: Basic secret\r\n", "secret"));
	assert_non_null(refused("Authorization: Bearer secre\r\n", "secret"));
	assert_non_null(refused("Authorization: Bearer secrets\r\n", "secret"));
	assert_non_null(
	    refused("Authorization: Bearer secretsecret\r\n", "secret"));
	assert_non_null(refused("Authorization: Bearer \r\n", "secret"));
	assert_null(refused("Authorization: bearer secret\r\n", "secret"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_taken_apart),
		cmocka_unit_test(a_connection_is_kept_as_the_client_says),
		cmocka_unit_test(an_incomplete_head_is_waited_for),
		cmocka_unit_test(what_is_invalid_is_refused),
		cmocka_unit_test(a_target_may_have_a_host),
		cmocka_unit_test(a_query_is_decoded),
		cmocka_unit_test(other_fields_of_a_query_are_refused),
		cmocka_unit_test(hosts_that_are_this_machine),
		cmocka_unit_test(strangers_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
