/*
 * error: sentences that are set, appended to and cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "error.h"

static void
test_set_and_append(void **state)
{
	struct error err;

	(void)state;
	error_clear(&err);
	assert_false(error_is_set(&err));
	assert_int_equal(error_fail(&err, -EINVAL, "no '%s'", "baud"), -EINVAL);
	error_append(&err, "; did you mean '%s'?", "band");
	assert_true(error_is_set(&err));
	assert_string_equal(err.text, "no 'baud'; did you mean 'band'?");
	error_set(&err, "out of memory");
	assert_string_equal(err.text, "out of memory");
}

static void
test_cut(void **state)
{
	struct {
		struct error err;
		char after;
	} e = { .after = 'x' };
	char longer[ERROR_MAX + 10];

	(void)state;
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	error_set(&e.err, "%s", longer);
	assert_int_equal(strlen(e.err.text), ERROR_MAX - 1);
	error_append(&e.err, "b");
	assert_int_equal(strlen(e.err.text), ERROR_MAX - 1);
	assert_int_equal(e.err.text[ERROR_MAX - 2], 'a');
	assert_int_equal(e.after, 'x');
}

static void
test_meant(void **state)
{
	struct error err;

	(void)state;
	error_set(&err, "no 'hdcl'");
	error_append_meant(&err, NULL);
	assert_string_equal(err.text, "no 'hdcl'");
	error_append_meant(&err, "hdlc");
	assert_string_equal(err.text, "no 'hdcl'; did you mean 'hdlc'?");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set_and_append),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_meant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
