/*
 * The ring of waiting frames against a plain list, over thousands of random pushes
 * and pops.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue.h"

static void
an_empty_queue_has_no_head(void **state)
{
	struct queue q;
	struct queued f;

	(void)state;
	queue_init(&q, 100);
	assert_true(queue_empty(&q));
	assert_false(queue_head(&q, &f));
	assert_int_equal(queue_room(&q), 100);
	queue_free(&q);
}

static void
frames_come_out_whole_in_order_with_their_marks(void **state)
{
	struct queue q;
	struct queued f;

	(void)state;
	queue_init(&q, 1000);
	assert_int_equal(queue_push(&q, (const uint8_t *)"one", 3, 11, 1), 0);
	assert_int_equal(queue_push(&q, (const uint8_t *)"", 0, 12, 2), 0);
	assert_int_equal(queue_push(&q, (const uint8_t *)"three", 5, 13, 3), 0);
	assert_true(queue_head(&q, &f));
	assert_int_equal(f.len, 3);
	assert_memory_equal(f.payload, "one", 3);
	assert_int_equal(f.since_ns, 11);
	assert_int_equal(f.route, 1);
	queue_pop(&q);
	assert_true(queue_head(&q, &f));
	assert_int_equal(f.len, 0);
	queue_pop(&q);
	assert_true(queue_head(&q, &f));
	assert_memory_equal(f.payload, "three", 5);
	assert_int_equal(f.route, 3);
	queue_pop(&q);
	assert_true(queue_empty(&q));
	assert_int_equal(q.bytes, 0);
	queue_free(&q);
}

static void
empty_frames_are_charged_too(void **state)
{
	struct queue q;

	(void)state;
	queue_init(&q, 10 * QUEUE_FLOOR);
	for (int i = 0; i < 10; i++) {
		assert_false(queue_full(&q));
		assert_int_equal(queue_push(&q, NULL, 0, 0, 0), 0);
	}
	assert_true(queue_full(&q));
	assert_int_equal(queue_room(&q), 0);
	queue_free(&q);
}

static void
any_order_of_pushes_and_pops_keeps_every_byte(void **state)
{
	static uint8_t payload[5000];
	size_t in = 0, out = 0;
	struct queue q;
	struct queued f;

	(void)state;
	srand(1);
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)rand();
	queue_init(&q, 1 << 20);
	for (int round = 0; round < 20000; round++) {
		/* The length and the start tell which frame it is. */
		if (rand() % 100 < 52) {
			assert_int_equal(queue_push(&q, payload + in % 97,
					     in * 31 % 700, in, (unsigned)in),
			    0);
			in++;
		} else if (queue_head(&q, &f)) {
			assert_int_equal(f.since_ns, out);
			assert_int_equal(f.len, out * 31 % 700);
			assert_memory_equal(
			    f.payload, payload + out % 97, f.len);
			queue_pop(&q);
			out++;
		}
		assert_int_equal(q.frames, in - out);
	}
	assert_true(in > out);
	while (queue_head(&q, &f)) {
		assert_int_equal(f.since_ns, out++);
		queue_pop(&q);
	}
	assert_int_equal(in, out);
	assert_int_equal(q.bytes, 0);
	queue_free(&q);
}

static void
a_walk_sees_all_frames_and_takes_none(void **state)
{
	struct queue q;
	struct queued f;
	size_t pos = 0, n = 0;

	(void)state;
	queue_init(&q, 1 << 20);
	for (unsigned i = 0; i < 300; i++) {
		assert_int_equal(
		    queue_push(&q, (const uint8_t *)"0123456789", i % 11, i, i),
		    0);
		if (i % 3 == 0)
			queue_pop(&q);
	}
	assert_true(queue_head(&q, &f));
	for (unsigned first = f.route; queue_next(&q, &pos, &f); n++)
		assert_int_equal(f.route, first + n);
	assert_int_equal(n, 200);
	assert_int_equal(q.frames, 200);
	queue_free(&q);
}

/* Frames of random lengths, some replaced by others, come out as a list has them. */
static void
a_replaced_frame_keeps_its_place_and_its_mark(void **state)
{
	struct queue q;
	struct queued f;
	uint8_t bytes[200];
	size_t len[50], pos, bytes_left = 0;

	(void)state;
	srand(7);
	queue_init(&q, 1 << 20);
	/* So that some lie behind the end of the ring. */
	for (unsigned i = 0; i < 60; i++)
		assert_int_equal(queue_push(&q, bytes, 10, 0, 99), 0);
	for (unsigned i = 0; i < 50; i++) {
		queue_pop(&q);
		len[i] = (size_t)rand() % sizeof(bytes);
		memset(bytes, (int)i, len[i]);
		assert_int_equal(queue_push(&q, bytes, len[i], i, i), 0);
	}
	for (unsigned i = 0; i < 10; i++)
		queue_pop(&q);
	for (unsigned n = 0; n < 500; n++) {
		unsigned which = (unsigned)rand() % 50;

		len[which] = (size_t)rand() % sizeof(bytes);
		memset(bytes, (int)(which + n), len[which]);
		pos = 0;
		for (unsigned i = 0; i < which; i++)
			assert_true(queue_next(&q, &pos, &f));
		assert_int_equal(
		    queue_replace(&q, pos, bytes, len[which], 1000 + n), 0);
		assert_true(queue_next(&q, &pos, &f));
		assert_int_equal(f.len, len[which]);
		assert_memory_equal(f.payload, bytes, f.len);
		assert_int_equal(f.since_ns, 1000 + n);
	}
	assert_int_equal(q.frames, 50);
	for (unsigned i = 0; i < 50; i++)
		bytes_left += queue_cost(len[i]);
	assert_int_equal(q.bytes, bytes_left);
	for (unsigned i = 0; i < 50; i++) {
		assert_true(queue_head(&q, &f));
		assert_int_equal(f.len, len[i]);
		assert_int_equal(f.route, i);
		queue_pop(&q);
	}
	assert_true(queue_empty(&q));
	assert_int_equal(q.bytes, 0);
	assert_int_equal(q.payload, 0);
	pos = 0;
	assert_int_not_equal(queue_replace(&q, pos, bytes, 1, 0), 0);
	queue_free(&q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_queue_has_no_head),
		cmocka_unit_test(
		    frames_come_out_whole_in_order_with_their_marks),
		cmocka_unit_test(empty_frames_are_charged_too),
		cmocka_unit_test(any_order_of_pushes_and_pops_keeps_every_byte),
		cmocka_unit_test(a_walk_sees_all_frames_and_takes_none),
		cmocka_unit_test(a_replaced_frame_keeps_its_place_and_its_mark),
	};

	return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
