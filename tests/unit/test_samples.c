/*
 * samples: tables of the daemon at two moments.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "samples.h"

static const struct column columns[] = {
	{ "NAME", "name", NULL, CELL_TEXT, 8, 0, 0 },
	{ "RATE", "frames", NULL, CELL_RATE, 8, 0, 0 },
	{ "BOTH", "frames", "more", CELL_SIZE_RATE, 8, 0, 0 },
	{ "CPU", "cpu", NULL, CELL_SHARE, 8, 0, 0 },
	{ "SIZE", "frames", NULL, CELL_SIZE, 8, 0, 0 },
	{ "IDLE", "idle", NULL, CELL_TIME, 8, 0, 0 },
	{ "DRAWN", "frames", NULL, CELL_HISTORY, SAMPLES_HISTORY, 0, 0 },
	{ 0 },
};

static struct samples s;

static int
setup(void **state)
{
	(void)state;
	s = (struct samples){ .columns = columns, .key = "name", .sort = -1 };
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	samples_free(&s);
	return 0;
}

static void
take(const char *text, uint64_t seconds)
{
	json_t *table = json_loads(text, 0, NULL);

	assert_non_null(table);
	assert_int_equal(samples_take(&s, table, seconds * NSEC_PER_SEC), 0);
	json_decref(table);
}

static void
assert_cell(size_t row, size_t column, const char *text)
{
	char buf[SAMPLES_CELL_MAX];

	assert_true(row < s.nshown);
	samples_cell(
	    &s.rows[s.shown[row]], &columns[column], false, buf, sizeof(buf));
	assert_string_equal(buf, text);
}

static void
rates_are_of_the_same_row(void **state)
{
	(void)state;
	take("[{\"name\":\"a\",\"frames\":10,\"more\":0,\"cpu\":1.0},"
	     "{\"name\":\"b\",\"frames\":5000}]",
	    10);
	assert_cell(0, 1, "0");
	assert_cell(1, 1, "0");
	/* In another order, with a new row, and one that is there no more. */
	take("[{\"name\":\"c\",\"frames\":7},"
	     "{\"name\":\"a\",\"frames\":15,\"more\":4,\"cpu\":1.25}]",
	    12);
	assert_cell(0, 0, "c");
	assert_cell(0, 1, "0");
	assert_cell(1, 0, "a");
	assert_cell(1, 1, "2.5");
	assert_cell(1, 2, "4");
	assert_cell(1, 3, "12.5%");
}

static void
a_counter_that_begins_again_has_no_rate(void **state)
{
	(void)state;
	take("[{\"name\":\"a\",\"frames\":1000}]", 1);
	take("[{\"name\":\"a\",\"frames\":3}]", 2);
	assert_cell(0, 1, "0");
}

static void
values_that_are_absent(void **state)
{
	(void)state;
	take("[{\"name\":\"a\",\"idle\":null},{\"name\":null},{}]", 1);
	take("[{\"name\":\"a\",\"idle\":0.25},{\"name\":null},{}]", 2);
	assert_cell(0, 5, "0.25s");
	assert_cell(0, 1, "-");
	assert_cell(1, 0, "-");
	assert_cell(2, 5, "-");
}

static void
the_history_is_drawn(void **state)
{
	char text[64];

	(void)state;
	for (unsigned i = 0, frames = 0; i < SAMPLES_HISTORY + 4; i++) {
		frames += i == 17 ? 800 : i == 18 ? 1 : 0;
		snprintf(text, sizeof(text), "[{\"name\":\"a\",\"frames\":%u}]",
		    frames);
		take(text, i + 1);
	}
	assert_cell(0, 6, "             @. ");
}

static void
numbers_that_no_daemon_sends(void **state)
{
	(void)state;
	take("[{\"name\":\"a\",\"frames\":-1e308,\"more\":-1e308,\"idle\":-1},"
	     "{\"name\":\"b\",\"frames\":-1,\"idle\":1e300}]",
	    1);
	assert_cell(0, 4, "0");
	assert_cell(0, 5, "0s");
	assert_cell(1, 4, "0");
	assert_cell(1, 5, "213503d23h");
	take("[{\"name\":\"a\",\"frames\":1e308,\"more\":1e308,\"idle\":1e18},"
	     "{\"name\":\"b\",\"frames\":1e300,\"idle\":-1e300}]",
	    2);
	assert_cell(0, 2, "15E");
	assert_cell(0, 4, "15E");
	assert_cell(0, 5, "213503d23h");
	assert_cell(0, 6, "               .");
	assert_cell(1, 5, "0s");
	assert_cell(1, 6, "               @");
}

static void
control_characters(void **state)
{
	(void)state;
	take("[{\"name\":\"a\\n\\u001b[2J\\u009bm\\u2026\"}]", 1);
	assert_cell(0, 0, "a\\n\\x1b[2J\\xc2\\x9bm\xe2\x80\xa6");
}

static void
the_longest_text_of_a_column(void **state)
{
	(void)state;
	assert_int_equal(samples_longest(&s, &columns[0]), 0);
	take("[{\"name\":\"a\"},{\"name\":\"\xe2\x80\xa6 \xc3\xa4\\n\"},"
	     "{\"name\":\"bcd\"}]",
	    1);
	assert_int_equal(samples_longest(&s, &columns[0]), 5);
}

static void
order_and_filter(void **state)
{
	(void)state;
	take("[{\"name\":\"b\",\"frames\":1},{\"name\":\"A\",\"frames\":3},"
	     "{\"name\":\"bc\",\"frames\":2}]",
	    1);
	assert_cell(0, 0, "b");
	samples_next_sort(&s); /* by name */
	samples_arrange(&s);
	assert_cell(0, 0, "A");
	s.sort = 4; /* the largest first */
	samples_arrange(&s);
	assert_cell(0, 0, "A");
	assert_cell(1, 0, "bc");
	s.reverse = true;
	samples_arrange(&s);
	assert_cell(0, 0, "b");
	strcpy(s.filter, "B");
	samples_arrange(&s);
	assert_int_equal(s.nshown, 2);
	assert_cell(1, 0, "bc");
	/* They hold for the next sample, too. */
	take("[{\"name\":\"x\",\"frames\":1},{\"name\":\"xb\",\"frames\":1}]",
	    2);
	assert_int_equal(s.nshown, 1);
	assert_cell(0, 0, "xb");
	s.sort = (int)NELEM(columns) - 2;
	samples_next_sort(&s);
	assert_int_equal(s.sort, -1);
}

static void
what_is_no_table(void **state)
{
	json_t *o = json_object();

	(void)state;
	take("[{\"name\":\"a\"}]", 1);
	assert_int_equal(samples_take(&s, o, 2), -EINVAL);
	assert_cell(0, 0, "a");
	json_decref(o);
}

static void
text_is_cut_and_padded(void **state)
{
	static const struct {
		const char *text;
		size_t width;
		bool right;
		const char *fitted;
	} cases[] = {
		{ "abc", 5, false, "abc  " },
		{ "abc", 5, true, "  abc" },
		{ "abcdef", 3, false, "abc" },
		{ "abcdef", 3, true, "abc" },
		{ "", 2, true, "  " },
		{ "abc", 0, false, "" },
		{ "\xc3\xa4\xc3\xb6\xc3\xbc", 2, false, "\xc3\xa4\xc3\xb6" },
		{ "\xe2\x82\xac", 3, true, "  \xe2\x82\xac" },
	};
	char buf[32];

	(void)state;
	for (size_t i = 0; i < NELEM(cases); i++) {
		fit_text(cases[i].text, cases[i].width, cases[i].right, buf,
		    sizeof(buf));
		assert_string_equal(buf, cases[i].fitted);
	}
}

static void
characters_are_skipped(void **state)
{
	const char *text = "a\xc3\xb6\xe2\x82\xac"
			   "b";

	(void)state;
	assert_string_equal(skip_characters(text, 0), text);
	assert_string_equal(skip_characters(text, 2),
	    "\xe2\x82\xac"
	    "b");
	assert_string_equal(skip_characters(text, 3), "b");
	assert_string_equal(skip_characters(text, 9), "");
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(rates_are_of_the_same_row),
		TEST(a_counter_that_begins_again_has_no_rate),
		TEST(values_that_are_absent),
		TEST(the_history_is_drawn),
		TEST(numbers_that_no_daemon_sends),
		TEST(control_characters),
		TEST(the_longest_text_of_a_column),
		TEST(order_and_filter),
		TEST(what_is_no_table),
		TEST(text_is_cut_and_padded),
		TEST(characters_are_skipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
