/*
 * replay: when each frame of a capture is sent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "replay.h"

static void
frames_keep_their_intervals(void **state)
{
	(void)state;
	assert_int_equal(replay_when(5, 0, 1), 5);
	assert_int_equal(replay_when(5, 1.5, 1), 5 + 1500000000ULL);
	assert_int_equal(replay_when(5, 1.5, 1000), 5 + 1500000);
	assert_int_equal(replay_when(5, 1.5, 0.5), 5 + 3 * NSEC_PER_SEC);
	/* It came before the first one. */
	assert_int_equal(replay_when(5, -1, 1), 5);
}

static void
times_that_never_come(void **state)
{
	(void)state;
	assert_int_equal(replay_when(5, 1, 1e-300), UINT64_MAX);
	assert_int_equal(replay_when(5, 1e10, 1e-300), UINT64_MAX);
	assert_int_equal(replay_when(5, 18446744073, 0.9999), UINT64_MAX);
	/* Less than the largest number only without the beginning. */
	assert_int_equal(replay_when(1ULL << 63, 1e10, 1), UINT64_MAX);
	assert_int_equal(replay_when(5, 4, 5e-324), UINT64_MAX);
	assert_int_equal(replay_when(5, 0, 5e-324), 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_keep_their_intervals),
		cmocka_unit_test(times_that_never_come),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
