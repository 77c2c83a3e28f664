/* output: the same walk as aligned text and as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "output.h"

/* What the walk gives in a format; the caller frees it. */
static char *
shown(enum output_format format, void (*walk)(struct output *))
{
	struct output *o = output_new(format);
	struct evbuffer *buf = evbuffer_new();
	size_t len;
	char *text;

	assert_non_null(o);
	assert_non_null(buf);
	walk(o);
	assert_int_equal(output_finish(o, buf), 0);
	len = evbuffer_get_length(buf);
	text = calloc(1, len + 1);
	assert_non_null(text);
	evbuffer_remove(buf, text, len);
	evbuffer_free(buf);
	output_free(o);
	return text;
}

static void
check(void (*walk)(struct output *), const char *text, const char *json)
{
	char *got;

	got = shown(OUTPUT_TEXT, walk);
	assert_string_equal(got, text);
	free(got);
	got = shown(OUTPUT_JSON, walk);
	assert_string_equal(got, json);
	free(got);
}

static void
walk_table(struct output *o)
{
	static const char *const headings[] = { "TASK", "RX BYTES", "RUNS",
		"IDLE", "LABEL", NULL };

	output_table(o, headings);
	output_cell(o, "%s.%s", "ar1", "read");
	output_cell_size(o, 65536);
	output_cell_number(o, 18212);
	output_cell_time(o, 300 * NSEC_PER_MSEC, false);
	output_cell(o, "a line from \"%s\"", "gr\xc3\xbcn");
	output_cell(o, "lan");
	output_cell_size(o, 0);
	output_cell_number(o, 2);
	output_cell_time(o, 0, true);
	output_cell(o, "%s", "");
}

static void
test_table(void **state)
{
	(void)state;
	check(walk_table,
	    "TASK      RX BYTES  RUNS   IDLE  LABEL\n"
	    "ar1.read  64K       18212  0.3s  a line from \"gr\xc3\xbcn\"\n"
	    "lan       0         2      -     -\n",
	    "[{\"task\":\"ar1.read\",\"rx_bytes\":65536,\"runs\":18212,"
	    "\"idle\":0.3,\"label\":\"a line from \\\"gr\xc3\xbcn\\\"\"},"
	    "{\"task\":\"lan\",\"rx_bytes\":0,\"runs\":2,\"idle\":null,"
	    "\"label\":null}]\n");
}

static void
walk_empty_table(struct output *o)
{
	static const char *const headings[] = { "NAME", "TYPE", NULL };

	output_table(o, headings);
}

static void
test_empty_table(void **state)
{
	(void)state;
	check(walk_empty_table, "NAME  TYPE\n", "[]\n");
}

static void
walk_wide(struct output *o)
{
	static const char *const headings[] = { "A", "B", NULL };

	output_table(o, headings);
	output_cell(o, "\xe2\x82\xac\xe2\x82\xac");
	output_cell(o, "x");
	output_cell(o, "abc");
	output_cell(o, "y");
}

/* A column is as wide as its characters, not as its bytes. */
static void
test_wide(void **state)
{
	(void)state;
	check(walk_wide, "A    B\n\xe2\x82\xac\xe2\x82\xac   x\nabc  y\n",
	    "[{\"a\":\"\xe2\x82\xac\xe2\x82\xac\",\"b\":\"x\"},"
	    "{\"a\":\"abc\",\"b\":\"y\"}]\n");
}

static void
walk_many(struct output *o)
{
	static const char *const headings[] = { "N", "M", NULL };

	output_table(o, headings);
	for (unsigned i = 0; i < 500; i++) {
		output_cell_number(o, i);
		output_cell(o, "x");
	}
}

static void
test_many_rows(void **state)
{
	char *text;

	(void)state;
	text = shown(OUTPUT_TEXT, walk_many);
	assert_non_null(strstr(text, "\n9    x\n"));
	assert_non_null(strstr(text, "\n499  x\n"));
	free(text);
	text = shown(OUTPUT_JSON, walk_many);
	assert_non_null(strstr(text, ",{\"n\":499,\"m\":\"x\"}]\n"));
	free(text);
}

static void
walk_pairs(struct output *o)
{
	output_pair(o, "Waits for", "a line from %s", "ar1");
	output_pair_number(o, "runs", UINT64_MAX);
	output_pair_time(o, "since", 12040 * NSEC_PER_MSEC);
}

static void
test_pairs(void **state)
{
	(void)state;
	check(walk_pairs,
	    "Waits for: a line from ar1\n"
	    "runs: 18446744073709551615\n"
	    "since: 12.0s\n",
	    "{\"waits_for\":\"a line from ar1\","
	    "\"runs\":9223372036854775807,\"since\":12.04}\n");
}

static void
walk_mixed(struct output *o)
{
	static const char *const headings[] = { "SITE", "WAITED", NULL };

	output_pair(o, "task", "ar1.read");
	output_table(o, headings);
	output_cell(o, "serial.c:212");
	output_cell_time(o, 2 * NSEC_PER_SEC, false);
	output_line(o, "that is all");
}

static void
test_mixed(void **state)
{
	(void)state;
	check(walk_mixed,
	    "task: ar1.read\n"
	    "SITE          WAITED\n"
	    "serial.c:212  2s\n"
	    "that is all\n",
	    "{\"task\":\"ar1.read\","
	    "\"rows\":[{\"site\":\"serial.c:212\",\"waited\":2.0}],"
	    "\"lines\":[\"that is all\"]}\n");
}

static void
walk_lines(struct output *o)
{
	output_line(o, "ps    the task table");
	output_line(o, "get   %s", "one value");
}

static void
test_lines(void **state)
{
	(void)state;
	check(walk_lines, "ps    the task table\nget   one value\n",
	    "[\"ps    the task table\",\"get   one value\"]\n");
}

/* Bytes from outside can neither end a line nor steer a terminal. */
static void
walk_garbage(struct output *o)
{
	output_line(o, "%s", "a\nOK\n\033[2J\xff\xc2\x9b");
}

static void
test_garbage(void **state)
{
	(void)state;
	check(walk_garbage, "a\\nOK\\n\\x1b[2J\\xff\\xc2\\x9b\n",
	    "[\"a\\\\nOK\\\\n\\\\x1b[2J\\\\xff\\\\xc2\\\\x9b\"]\n");
}

static void
test_value(void **state)
{
	static const char *const cases[][2] = {
		{ "18212", "18212" },
		{ "-3", "-3" },
		{ "0.25", "0.25" },
		{ "8N1", "\"8N1\"" },
		{ "007", "\"007\"" },
		{ "99999999999999999999", "\"99999999999999999999\"" },
		{ "-", "\"-\"" },
		{ "", "\"\"" },
		{ "true", "\"true\"" },
		{ "[1]", "\"[1]\"" },
		{ "12 ms", "\"12 ms\"" },
		{ "\\r", "\"\\\\r\"" },
	};
	struct output *o = output_new(OUTPUT_JSON);
	struct evbuffer *buf = evbuffer_new();
	char *line;

	(void)state;
	assert_non_null(o);
	assert_non_null(buf);
	/* One output serves many replies. */
	for (size_t i = 0; i < NELEM(cases); i++) {
		output_value(o, cases[i][0]);
		assert_int_equal(output_finish(o, buf), 0);
		line = evbuffer_readln(buf, NULL, EVBUFFER_EOL_LF);
		assert_non_null(line);
		assert_string_equal(line, cases[i][1]);
		assert_int_equal(evbuffer_get_length(buf), 0);
		free(line);
	}
	evbuffer_free(buf);
	output_free(o);
}

static void
walk_value(struct output *o)
{
	output_value(o, "9600");
}

static void
walk_nothing(struct output *o)
{
	(void)o;
}

static void
test_single(void **state)
{
	(void)state;
	check(walk_value, "9600\n", "9600\n");
	check(walk_nothing, "", "null\n");
}

/* Freed without a finish, in the middle of a row; and NULL. */
static void
test_unfinished(void **state)
{
	struct output *o;

	(void)state;
	for (int f = OUTPUT_TEXT; f <= OUTPUT_JSON; f++) {
		o = output_new((enum output_format)f);
		assert_non_null(o);
		walk_mixed(o);
		walk_empty_table(o);
		output_cell(o, "half");
		output_free(o);
	}
	output_free(NULL);
}

/* A table in pieces, each of that many rows. */
static void
check_pieces(const int *rows, size_t n, const char *json)
{
	static const char *const headings[] = { "NAME", NULL };
	struct output *o = output_new(OUTPUT_JSON);
	struct evbuffer *buf = evbuffer_new();

	assert_non_null(o);
	assert_non_null(buf);
	output_table(o, headings);
	for (size_t i = 0; i < n; i++) {
		for (int row = 0; row < rows[i]; row++)
			output_cell(o, "x");
		assert_int_equal(output_flush(o, buf), 0);
	}
	assert_int_equal(output_finish(o, buf), 0);
	assert_int_equal(evbuffer_add(buf, "", 1), 0);
	assert_string_equal((char *)evbuffer_pullup(buf, -1), json);
	evbuffer_free(buf);
	output_free(o);
}

static void
test_pieces(void **state)
{
	(void)state;
	check_pieces((int[]){ 1, 2 }, 2,
	    "[{\"name\":\"x\"},{\"name\":\"x\"},{\"name\":\"x\"}]\n");
	check_pieces(
	    (int[]){ 0, 1, 0, 1 }, 4, "[{\"name\":\"x\"},{\"name\":\"x\"}]\n");
	check_pieces((int[]){ 0, 0 }, 2, "[]\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_empty_table),
		cmocka_unit_test(test_wide),
		cmocka_unit_test(test_many_rows),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_mixed),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_value),
		cmocka_unit_test(test_single),
		cmocka_unit_test(test_unfinished),
		cmocka_unit_test(test_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
