/* util: what people write is read, what is wrong is refused, and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "util.h"

#define UNTOUCHED 4711

static void
test_number(void **state)
{
	static const struct {
		const char *s;
		uint64_t min, max;
		int error;
		uint64_t n;
	} cases[] = {
		{ "0", 0, 10, 0, 0 },
		{ "9600", 50, 4000000, 0, 9600 },
		{ "007", 0, 10, 0, 7 },
		{ "0x1f", 0, 255, 0, 31 },
		{ "18446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX },
		{ "18446744073709551616", 0, UINT64_MAX, -ERANGE, 0 },
		{ "49", 50, 60, -ERANGE, 0 },
		{ "61", 50, 60, -ERANGE, 0 },
		{ "", 0, 10, -EINVAL, 0 },
		{ "0x", 0, 10, -EINVAL, 0 },
		{ "-1", 0, 10, -EINVAL, 0 },
		{ "+1", 0, 10, -EINVAL, 0 },
		{ " 1", 0, 10, -EINVAL, 0 },
		{ "1 ", 0, 10, -EINVAL, 0 },
		{ "1a", 0, 10, -EINVAL, 0 },
		{ "99999999999999999999x", 0, 10, -EINVAL, 0 },
	};
	uint64_t n;

	(void)state;
	for (size_t i = 0; i < NELEM(cases); i++) {
		n = UNTOUCHED;
		assert_int_equal(cases[i].error,
		    parse_number(cases[i].s, cases[i].min, cases[i].max, &n));
		assert_int_equal(n, cases[i].error ? UNTOUCHED : cases[i].n);
	}
}

static void
test_size(void **state)
{
	uint64_t n = UNTOUCHED;

	(void)state;
	assert_int_equal(parse_size("K", &n), -EINVAL);
	assert_int_equal(parse_size("64Q", &n), -EINVAL);
	assert_int_equal(parse_size("64KK", &n), -EINVAL);
	assert_int_equal(parse_size("1.K", &n), -EINVAL);
	assert_int_equal(parse_size("18446744073709551615K", &n), -ERANGE);
	assert_int_equal(parse_size("18446744073709551616", &n), -ERANGE);
	assert_int_equal(parse_size("18446744073709551617K", &n), -ERANGE);
	assert_int_equal(n, UNTOUCHED);
	assert_int_equal(parse_size("4096", &n), 0);
	assert_int_equal(n, 4096);
	assert_int_equal(parse_size("64K", &n), 0);
	assert_int_equal(n, 65536);
	assert_int_equal(parse_size("1.5k", &n), 0);
	assert_int_equal(n, 1536);
	assert_int_equal(parse_size("1M", &n), 0);
	assert_int_equal(n, 1048576);
}

static void
test_time(void **state)
{
	static const struct {
		const char *s;
		uint64_t ns;
	} good[] = {
		{ "none", 0 },
		{ "0", 0 },
		{ "250ms", 250 * NSEC_PER_MSEC },
		{ "2s", 2 * NSEC_PER_SEC },
		{ "5m", 300 * NSEC_PER_SEC },
		{ "1h", 3600 * NSEC_PER_SEC },
		{ "1.5h", 5400 * NSEC_PER_SEC },
		{ "10us", 10 * NSEC_PER_USEC },
		{ "0.5", 500 * NSEC_PER_MSEC },
		{ "1.75ms", 1750 * NSEC_PER_USEC },
		{ "0.123456789123", 123456789 },
		{ "0.999999999d", 86399999913600 },
	};
	static const char *const bad[] = { "", ".5", "5.", "5x", "-1s", "1 s",
		"1e3", "1.2.3s", "NONE", "s" };
	uint64_t ns;

	(void)state;
	for (size_t i = 0; i < NELEM(good); i++) {
		ns = UNTOUCHED;
		assert_int_equal(parse_time(good[i].s, &ns), 0);
		assert_int_equal(ns, good[i].ns);
	}
	for (size_t i = 0; i < NELEM(bad); i++) {
		ns = UNTOUCHED;
		assert_int_equal(parse_time(bad[i], &ns), -EINVAL);
		assert_int_equal(ns, UNTOUCHED);
	}
	assert_int_equal(parse_time("9999999999999h", &ns), -ERANGE);
}

static void
test_bool(void **state)
{
	static const char *const words[] = { "yes", "true", "on", "1", "Yes",
		"no", "false", "off", "0", "OFF" };
	bool b;

	(void)state;
	for (size_t i = 0; i < NELEM(words); i++) {
		b = i >= 5;
		assert_int_equal(parse_bool(words[i], &b), 0);
		assert_int_equal(b, i < 5);
	}
	assert_int_equal(parse_bool("", &b), -EINVAL);
	assert_int_equal(parse_bool("yess", &b), -EINVAL);
	assert_int_equal(parse_bool("2", &b), -EINVAL);
}

static void
test_hex(void **state)
{
	static const char *const good[] = { "01 03 ff", "0103ff", "01:03:FF",
		" 01  03 ff " };
	static const char *const bad[] = { "", " ", "1", "01 3", "01:", ":01",
		"0g", "01::03", "01,03" };
	char many[2 * 33 + 1];
	struct bytes b;

	(void)state;
	for (size_t i = 0; i < NELEM(good); i++) {
		memset(&b, 0, sizeof b);
		assert_int_equal(parse_hex(good[i], &b), 0);
		assert_int_equal(b.len, 3);
		assert_memory_equal(b.b, "\x01\x03\xff", 3);
	}
	for (size_t i = 0; i < NELEM(bad); i++)
		assert_int_equal(parse_hex(bad[i], &b), -EINVAL);
	memset(many, 'a', sizeof many - 1);
	many[sizeof many - 1] = '\0';
	assert_int_equal(parse_hex(many, &b), -ERANGE);
	many[64] = '\0';
	assert_int_equal(parse_hex(many, &b), 0);
	assert_int_equal(b.len, 32);
}

static void
test_unescape(void **state)
{
	static const char all[] =
	    "a\\n\\r\\t\\0\\\\\\\"\\'\\a\\b\\f\\v\\e\\s\\x3b\\x3g\\177\\1018";
	static const uint8_t bytes[] = "a\n\r\t\0\\\"'\a\b\f\v\x1b \x3b\x03g"
				       "\x7f"
				       "A8";
	static const char *const bad[] = { "\\", "\\q", "\\x", "\\xg", "\\400",
		"a\\", "\\9" };
	uint8_t out[32];
	char same[8] = "\\x41b";

	(void)state;
	assert_int_equal(unescape(all, out, sizeof out), sizeof bytes - 1);
	assert_memory_equal(out, bytes, sizeof bytes - 1);
	for (size_t i = 0; i < NELEM(bad); i++)
		assert_int_equal(unescape(bad[i], out, sizeof out), -EINVAL);
	assert_int_equal(unescape("", out, 0), 0);
	assert_int_equal(unescape("abc", out, 2), -ENOSPC);
	assert_int_equal(unescape("ab", out, 2), 2);
	assert_int_equal(unescape(same, (uint8_t *)same, sizeof same), 2);
	assert_memory_equal(same, "Ab", 2);
}

/* Every byte, in front of every other, comes back as it was. */
static void
test_escape_and_back(void **state)
{
	uint8_t in[2], out[2];
	char text[16];
	size_t len;

	(void)state;
	for (unsigned i = 0; i < 65536; i++) {
		in[0] = (uint8_t)(i >> 8);
		in[1] = (uint8_t)i;
		len = escape(in, 2, text, sizeof text);
		assert_int_equal(len, strlen(text));
		for (size_t j = 0; j < len; j++)
			assert_in_range(text[j], ' ', '~');
		assert_int_equal(unescape(text, out, sizeof out), 2);
		assert_memory_equal(in, out, 2);
	}
}

/* The result for each size of the buffer: never half an escape. */
static void
test_escape_cut(void **state)
{
	static const char *const want[] = { "", ".", "..", "...", "a...",
		"a...", "a\\n...", "a\\nb...", "a\\nb...", "a\\nb...",
		"a\\nb\\x01cd" };
	const uint8_t *in = (const uint8_t *)"a\nb\1cd";
	char out[16];

	(void)state;
	assert_int_equal(escape(in, 6, out, 0), 0);
	for (size_t i = 0; i < NELEM(want); i++) {
		assert_int_equal(escape(in, 6, out, i + 1), strlen(want[i]));
		assert_string_equal(out, want[i]);
	}
}

static void
test_printable(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "plain \\ text", "plain \\ text" },
		{ "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x94\x8c",
		    "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x94\x8c" },
		{ "\033[31mred\n", "\\x1b[31mred\\n" },
		{ "\x7f", "\\x7f" },
		{ "\xc2\x9b", "\\xc2\\x9b" },
		{ "\xff\xc3", "\\xff\\xc3" },
		{ "\xc0\xaf", "\\xc0\\xaf" },
		{ "\xe0\x80\xaf", "\\xe0\\x80\\xaf" },
		{ "\xed\xa0\x80", "\\xed\\xa0\\x80" },
		{ "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" },
	};
	char out[64];

	(void)state;
	for (size_t i = 0; i < NELEM(cases); i++) {
		printable(cases[i].in, out, sizeof out);
		assert_string_equal(out, cases[i].out);
	}
	/* A character is never cut in two. */
	printable("\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac", out, 9);
	assert_string_equal(out, "\xe2\x82\xac...");
}

static void
test_format_time(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} cases[] = {
		{ 0, "0s" },
		{ 640, "640ns" },
		{ 3200, "3.2us" },
		{ 85000, "85us" },
		{ 999999, "999us" },
		{ 2000000, "2ms" },
		{ 2140000, "2.1ms" },
		{ 99999999, "99ms" },
		{ 310000000, "0.31s" },
		{ 309000000, "0.3s" },
		{ 2000000000, "2s" },
		{ 12012345678, "12.0s" },
		{ 59999999999, "59.9s" },
		{ 309123456789, "309s" },
		{ 1507000000000, "25m07s" },
		{ 7500000000001, "2h05m" },
		{ UINT64_MAX, "213503d23h" },
	};
	char buf[16];

	(void)state;
	for (size_t i = 0; i < NELEM(cases); i++)
		assert_string_equal(
		    format_time(cases[i].ns, buf, sizeof buf), cases[i].text);
}

static void
test_format_size(void **state)
{
	static const struct {
		uint64_t n;
		const char *text;
	} cases[] = {
		{ 0, "0" },
		{ 812, "812" },
		{ 1023, "1023" },
		{ 1024, "1K" },
		{ 3200, "3.1K" },
		{ 65536, "64K" },
		{ 1048575, "1023K" },
		{ 1048576, "1M" },
		{ 1300000, "1.2M" },
		{ UINT64_MAX, "15E" },
	};
	char buf[16];

	(void)state;
	for (size_t i = 0; i < NELEM(cases); i++)
		assert_string_equal(
		    format_size(cases[i].n, buf, sizeof buf), cases[i].text);
}

static void
test_nearest(void **state)
{
	static const char *const words[] = { "baud", "device", "flow",
		"framing", "crc16-ccitt", "crc16-modbus", "dtr", NULL };
	static const char *const alike[] = { "ore", "one", "ono", "on", NULL };
	char huge[300];

	(void)state;
	assert_string_equal(nearest("buad", words), "baud");
	assert_string_equal(nearest("BAUD", words), "baud");
	assert_string_equal(nearest("devcie", words), "device");
	assert_string_equal(nearest("framming", words), "framing");
	assert_string_equal(nearest("flwo", words), "flow");
	assert_string_equal(nearest("crc16-modbsu", words), "crc16-modbus");
	assert_string_equal(nearest("crc16", words), "crc16-ccitt");
	assert_string_equal(nearest("drt", words), "dtr");
	assert_string_equal(nearest("ONE", alike), "one");
	assert_null(nearest("parity", words));
	assert_null(nearest("x", words));
	assert_null(nearest("", words));
	memset(huge, 'b', sizeof huge - 1);
	huge[sizeof huge - 1] = '\0';
	assert_null(nearest(huge, words));
}

static void
test_list_word(void **state)
{
	static const char *const want[] = { "ar1", "ar2", "log", NULL };
	const char *list = " ar1,ar2,, \tlog ,", *word;
	char text[16];
	size_t len, n = 0;

	(void)state;
	for (; (word = list_word(&list, &len)) != NULL; n++) {
		snprintf(text, sizeof text, "%.*s", (int)len, word);
		assert_non_null(want[n]);
		assert_string_equal(text, want[n]);
	}
	assert_int_equal(n, 3);
	assert_string_equal(list, "");
	assert_null(list_word(&list, &len));
}

static void
test_append(void **state)
{
	char buf[8] = "ab";

	(void)state;
	append(buf, sizeof buf, "%d", 12);
	assert_string_equal(buf, "ab12");
	append(buf, sizeof buf, "%s", "cdefgh");
	assert_string_equal(buf, "ab12cde");
	append(buf, sizeof buf, "x");
	assert_string_equal(buf, "ab12cde");
}

static void
test_timeval(void **state)
{
	static const struct {
		uint64_t ns;
		time_t s;
		suseconds_t us;
	} cases[] = {
		{ 0, 0, 0 },
		{ 1, 0, 1 },
		{ 1000, 0, 1 },
		{ 1001, 0, 2 },
		{ 999999000, 0, 999999 },
		{ 999999001, 1, 0 },
		{ 2500 * NSEC_PER_MSEC, 2, 500000 },
		{ UINT64_MAX, 18446744073, 709552 },
	};

	(void)state;
	for (size_t i = 0; i < NELEM(cases); i++) {
		struct timeval tv = to_timeval(cases[i].ns);

		assert_int_equal(tv.tv_sec, cases[i].s);
		assert_int_equal(tv.tv_usec, cases[i].us);
	}
}

static void
test_whole_part(void **state)
{
	(void)state;
	assert_int_equal(whole_part(0), 0);
	assert_int_equal(whole_part(1.9), 1);
	assert_int_equal(whole_part(-0.5), 0);
	assert_int_equal(whole_part(-1e300), 0);
	assert_int_equal(whole_part(__builtin_nan("")), 0);
	assert_int_equal(whole_part(0x1p63), 1ULL << 63);
	assert_int_equal(whole_part(0x1p64), UINT64_MAX);
	assert_int_equal(whole_part(__builtin_inf()), UINT64_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_number),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_bool),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_unescape),
		cmocka_unit_test(test_escape_and_back),
		cmocka_unit_test(test_escape_cut),
		cmocka_unit_test(test_printable),
		cmocka_unit_test(test_format_time),
		cmocka_unit_test(test_format_size),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_list_word),
		cmocka_unit_test(test_append),
		cmocka_unit_test(test_timeval),
		cmocka_unit_test(test_whole_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
