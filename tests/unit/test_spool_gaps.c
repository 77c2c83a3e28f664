/*
 * Tests of the gaps: compared with a list of all numbers.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>

#include "spool_gaps.h"

#define NUMBERS 200

static uint64_t
ack_of(struct spool_gaps *g, uint64_t waiting)
{
	return spool_gaps_pass(g, NUMBERS - waiting - g->total);
}

/* The number of the nth frame that waits, counted from 0. */
static uint64_t
find(const bool *done, uint64_t nth)
{
	uint64_t i = 0;

	for (;; i++)
		if (!done[i] && nth-- == 0)
			return i;
}

static uint64_t
first_waiting(const bool *done)
{
	uint64_t i = 0;

	while (i < NUMBERS && done[i])
		i++;
	return i;
}

static void
test_any_order(void **state)
{
	struct spool_gaps g = { .gap = NULL };
	bool done[NUMBERS];
	uint64_t waiting, nth, number;

	(void)state;
	srandom(1);
	for (int turn = 0; turn < 100; turn++) {
		for (size_t i = 0; i < NUMBERS; i++)
			done[i] = false;
		for (waiting = NUMBERS; waiting > 0; waiting--) {
			assert_int_equal(
			    ack_of(&g, waiting), first_waiting(done));
			nth = (uint64_t)random() % waiting;
			if (turn % 2 == 0)
				nth %= 3;
			number = find(done, nth);
			assert_int_equal(
			    spool_gaps_skip(&g, ack_of(&g, waiting), nth),
			    number);
			if (nth > 0)
				spool_gaps_add(&g, number, 1);
			done[number] = true;
		}
		assert_int_equal(ack_of(&g, 0), NUMBERS);
		assert_int_equal(g.total, 0);
		assert_int_equal(g.n, 0);
	}
	spool_gaps_clear(&g);
}

static void
test_adjacent_gaps_are_one(void **state)
{
	struct spool_gaps g = { .gap = NULL };

	(void)state;
	spool_gaps_add(&g, 10, 2);
	spool_gaps_add(&g, 14, 2);
	spool_gaps_add(&g, 12, 2);
	assert_int_equal(g.n, 1);
	assert_int_equal(g.gap[0].first, 10);
	assert_int_equal(g.gap[0].n, 6);
	spool_gaps_clear(&g);
}

static void
test_before_and_shift(void **state)
{
	struct spool_gaps g = { .gap = NULL };

	(void)state;
	spool_gaps_add(&g, 10, 4);
	spool_gaps_add(&g, 20, 4);
	spool_gaps_shift(&g, 5);
	assert_int_equal(spool_gaps_before(&g, 5), 0);
	assert_int_equal(spool_gaps_before(&g, 7), 2);
	assert_int_equal(spool_gaps_before(&g, 16), 5);
	assert_int_equal(spool_gaps_before(&g, 100), 8);
	spool_gaps_clear(&g);
	assert_int_equal(g.total, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_order),
		cmocka_unit_test(test_adjacent_gaps_are_one),
		cmocka_unit_test(test_before_and_shift),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
