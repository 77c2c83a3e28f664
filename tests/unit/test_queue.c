/*
 * The ring of waiting frames against a plain list, over thousands of random pushes
 * and pops.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "fdstore.h"
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

/* 64 bytes with their header: 16 of them are as large as the smallest ring. */
static void
a_ring_is_filled_to_its_last_byte(void **state)
{
	const uint8_t bytes[112] = { 0 };
	struct queue q;

	(void)state;
	queue_init(&q, 1 << 20);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(queue_push(&q, bytes, 48, 0, 0), 0);
	assert_int_equal(q.size, 1024);
	/* Around the end. */
	for (unsigned i = 0; i < 100; i++) {
		queue_pop(&q);
		assert_int_equal(queue_push(&q, bytes, 48, 0, 0), 0);
	}
	assert_int_equal(q.size, 1024);
	queue_free(&q);
	/* 64 bytes before the end are too few for 128, which the beginning has. */
	queue_init(&q, 1 << 20);
	for (unsigned i = 0; i < 15; i++)
		assert_int_equal(queue_push(&q, bytes, 48, 0, 0), 0);
	queue_pop(&q);
	queue_pop(&q);
	assert_int_equal(queue_push(&q, bytes, 112, 0, 0), 0);
	assert_int_equal(q.size, 1024);
	queue_free(&q);
}

static struct queued
frame_number(const struct queue *q, unsigned number)
{
	struct queued f;
	size_t pos = 0;

	do
		assert_true(queue_next(q, &pos, &f));
	while (number-- > 0);
	return f;
}

/* Frames of random lengths, some replaced by others, come out as a list has them. */
static void
a_replaced_frame_keeps_its_place_and_its_mark(void **state)
{
	struct queue q;
	struct queued f;
	uint8_t bytes[200];
	size_t len[50], bytes_left = 0;

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
		f = frame_number(&q, which);
		assert_int_equal(
		    queue_replace(&q, f.place, bytes, len[which], 1000 + n), 0);
		f = frame_number(&q, which);
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
	assert_int_not_equal(queue_replace(&q, f.place, bytes, 1, 0), 0);
	queue_free(&q);
}

/*
 * A full queue whose frames grow, shrink and leave: each one is found in its place until
 * it is taken off, and the ring does not grow with the number of replacements.
 */
static void
a_frame_is_found_in_its_place_until_it_is_taken_off(void **state)
{
	uint8_t bytes[400];
	uint64_t place[64] = { 0 };
	unsigned first = 0, next = 0, rebuilt;
	struct queued f;
	struct queue q;

	(void)state;
	srand(11);
	queue_init(&q, 1 << 20);
	rebuilt = q.rebuilt;
	for (unsigned n = 0; n < 100000; n++) {
		size_t len = (size_t)rand() % sizeof(bytes);
		unsigned which = first + (unsigned)rand() % 50;

		memset(bytes, (int)(len ^ n), len);
		if (next - first < 50) {
			assert_int_equal(
			    queue_push(&q, bytes, len, 0, next), 0);
			place[next++ % 64] = queue_last(&q);
		} else if (rand() % 50 == 0) {
			queue_pop(&q);
			assert_false(queue_at(&q, place[first++ % 64], &f));
		} else if (queue_at(&q, place[which % 64], &f)) {
			assert_int_equal(f.route, which);
			assert_int_equal(
			    queue_replace(&q, f.place, bytes, len, n), 0);
		}
		/* All places are others then. */
		for (unsigned i = first; rebuilt != q.rebuilt && i < next; i++)
			place[i % 64] = frame_number(&q, i - first).place;
		rebuilt = q.rebuilt;
	}
	assert_in_range(q.size, 1, 4 * 50 * (sizeof(bytes) + 16));
	queue_free(&q);
}

/* All of them become longer again and again, and none is taken off. */
static void
the_ring_is_seldom_written_anew_for_frames_that_grow(void **state)
{
	static uint64_t place[20000];
	static uint8_t bytes[600];
	unsigned rebuilt;
	struct queue q;

	(void)state;
	queue_init(&q, 64 << 20);
	for (unsigned i = 0; i < NELEM(place); i++) {
		assert_int_equal(queue_push(&q, bytes, 1, i, i), 0);
		place[i] = queue_last(&q);
	}
	rebuilt = q.rebuilt - 1;
	for (size_t len = 10; len <= sizeof(bytes); len += 10) {
		for (unsigned i = 0; i < NELEM(place); i++) {
			size_t pos = 0;
			struct queued f;

			for (unsigned n = 0;
			     rebuilt != q.rebuilt && queue_next(&q, &pos, &f);)
				place[n++] = f.place;
			rebuilt = q.rebuilt;
			assert_int_equal(
			    queue_replace(&q, place[i], bytes, len, i), 0);
		}
	}
	assert_in_range(q.rebuilt, 1, 40);
	queue_free(&q);
}

/* --- kept for the next process ------------------------------------------- */

/* What a service manager would have. */
static int store = -1;
static unsigned stored, removed;

static bool
add_to_store(const struct kept *k)
{
	assert_string_equal(k->name, "the name");
	assert_int_equal(store, -1);
	store = dup(k->fd);
	stored++;
	return true;
}

static void
remove_from_store(const struct kept *k)
{
	(void)k;
	close(store);
	store = -1;
	removed++;
}

static int
keep_in_store(void **state)
{
	static const struct keeper keeper = { add_to_store, remove_from_store };

	(void)state;
	stored = removed = 0;
	keep_tell(&keeper);
	return 0;
}

static int
keep_no_more(void **state)
{
	(void)state;
	keep_tell(NULL);
	return store == -1 ? 0 : -1;
}

/* The next process would find exactly what waits. */
static void
check_store(const struct queue *q)
{
	struct queue found;
	struct queued a, b;
	size_t pos = 0, at = 0;

	queue_init(&found, q->limit);
	assert_int_equal(queue_rescue(&found, store), 0);
	assert_int_equal(found.frames, q->frames);
	assert_int_equal(found.bytes, q->bytes);
	while (queue_next(q, &pos, &a)) {
		assert_true(queue_next(&found, &at, &b));
		assert_int_equal(a.len, b.len);
		assert_int_equal(a.since_ns, b.since_ns);
		assert_memory_equal(a.payload, b.payload, a.len);
	}
	queue_free(&found);
}

static void
a_long_queue_is_there_for_the_next_process_at_any_moment(void **state)
{
	uint8_t payload[3000];
	struct queued f;
	struct queue q;

	(void)state;
	srand(3);
	queue_init(&q, 300000);
	queue_keep(&q, "the name");
	assert_int_equal(stored, 0);
	for (unsigned n = 0; n < 20000; n++) {
		/* It grows, is emptied, and grows again. */
		bool more = n % 4000 < 1500 || rand() % 3 == 0;
		size_t len = (size_t)rand() % sizeof(payload);

		memset(payload, (int)n, len);
		if (more && q.bytes < q.limit)
			assert_int_equal(queue_push(&q, payload, len, n, 0), 0);
		else if (rand() % 8 == 0)
			queue_replace(&q, queue_last(&q), payload, len, n);
		else if (queue_head(&q, &f))
			queue_pop(&q);
		if (q.size >= QUEUE_KEPT)
			assert_int_not_equal(store, -1);
		if (store >= 0 && n % 50 == 0)
			check_store(&q);
	}
	while (q.size < QUEUE_KEPT)
		queue_push(&q, payload, sizeof(payload), 0, 0);
	while (queue_head(&q, &f))
		queue_pop(&q);
	check_store(&q);
	queue_free(&q);
	assert_int_equal(stored, removed);
	assert_true(stored > 0);
}

/* The rest of the ring behind the last frame may be shorter than a header. */
static void
what_lies_behind_the_end_of_the_ring_is_there_too(void **state)
{
	struct queue q;

	(void)state;
	for (size_t len = 1; len < 200; len += 8) {
		queue_init(&q, 40000);
		queue_keep(&q, "the name");
		while (q.size < QUEUE_KEPT || q.tail < q.size - q.size / 4)
			queue_push(&q, (const uint8_t[200]){ 0 }, len, 1, 0);
		while (q.frames > 10)
			queue_pop(&q);
		for (unsigned n = 0; n < 2 * q.size / len; n++) {
			queue_push(&q, (const uint8_t[200]){ 0 }, len, n, 0);
			queue_pop(&q);
			if (q.tail % q.size < 10 * (len + 24))
				check_store(&q);
		}
		queue_free(&q);
	}
}

/* Each change of place in the store is two messages to the service manager. */
static void
frames_that_are_replaced_stay_in_the_same_place_of_the_store(void **state)
{
	uint8_t payload[80] = { 0 };
	struct queued f;
	struct queue q;

	(void)state;
	queue_init(&q, 20000);
	queue_keep(&q, "the name");
	while (q.bytes < q.limit - sizeof(payload))
		queue_push(&q, payload, 40, 0, 0);
	for (unsigned n = 0; n < 2000; n++) {
		f = frame_number(&q, n % 50);
		queue_replace(&q, f.place, payload, (size_t)rand() % 80, n);
		check_store(&q);
	}
	assert_true(stored < 10);
	queue_free(&q);
	assert_int_equal(stored, removed);
}

static void
frames_that_are_being_written_are_not_there_twice(void **state)
{
	uint8_t payload[100] = { 0 };
	struct queue q, found;
	struct queued f;

	(void)state;
	queue_init(&q, 40000);
	queue_keep(&q, "the name");
	for (unsigned n = 0; n < 100; n++)
		queue_push(&q, payload, sizeof(payload), n, 0);
	for (unsigned written = 0; written <= 20; written += 5) {
		uint64_t first = 0;

		queue_give(&q, 20);
		queue_init(&found, 0);
		assert_int_equal(queue_rescue(&found, store), 0);
		assert_int_equal(found.frames, q.frames - 20);
		assert_true(queue_head(&q, &f));
		first = f.since_ns;
		assert_true(queue_head(&found, &f));
		assert_int_equal(f.since_ns, first + 20);
		queue_free(&found);
		for (unsigned i = 0; i < written; i++)
			queue_pop(&q);
		queue_init(&found, 0);
		assert_int_equal(queue_rescue(&found, store), 0);
		assert_int_equal(found.frames, q.frames + written - 20);
		queue_free(&found);
		queue_given(&q);
		check_store(&q);
	}
	queue_give(&q, q.frames);
	queue_init(&found, 0);
	assert_int_equal(queue_rescue(&found, store), 0);
	assert_int_equal(found.frames, 0);
	queue_given(&q);
	check_store(&q);
	queue_forget(store);
	assert_int_equal(queue_rescue(&found, store), 0);
	assert_int_equal(found.frames, 0);
	queue_free(&q);
}

static void
a_short_queue_is_not_kept(void **state)
{
	struct queue q;

	(void)state;
	queue_init(&q, 300000);
	queue_keep(&q, "the name");
	for (unsigned n = 0; n < 1000; n++) {
		assert_int_equal(
		    queue_push(&q, (const uint8_t *)"short", 5, n, 0), 0);
		if (n >= 10)
			queue_pop(&q);
	}
	assert_int_equal(stored, 0);
	queue_free(&q);
}

/* 1092 records of 120 bytes are before the end of the ring, and there are 1200. */
static void
a_record_that_is_longer_than_the_ring_is_the_end(void **state)
{
	const uint8_t payload[100] = { 0 };
	const off_t last = 4096 + 1091 * 120;
	const uint32_t len = 300;
	struct queue q, found;

	(void)state;
	queue_init(&q, 40000);
	queue_keep(&q, "the name");
	for (unsigned n = 0; n < 1200; n++) {
		assert_int_equal(queue_push(&q, payload, 100, n, 0), 0);
		if (n >= 300)
			queue_pop(&q);
	}
	assert_int_equal(q.size, 128 * 1024);
	assert_int_equal(q.frames, 300);
	assert_int_equal(pwrite(store, &len, sizeof(len), last), sizeof(len));
	queue_init(&found, 40000);
	assert_int_equal(queue_rescue(&found, store), 0);
	assert_int_equal(found.frames, 1091 - 900);
	queue_free(&found);
	/* So that it can be taken off again. */
	assert_int_equal(pwrite(store, &(const uint32_t){ 100 }, 4, last), 4);
	queue_free(&q);
}

static void
a_strange_file_is_refused_or_read_as_far_as_it_goes(void **state)
{
	uint8_t payload[100] = { 0 }, *map;
	size_t size;
	struct queue q, found;
	int fd;

	(void)state;
	queue_init(&q, 40000);
	queue_keep(&q, "the name");
	while (q.bytes < q.limit)
		queue_push(&q, payload, (size_t)rand() % sizeof(payload), 0, 0);
	size = q.size + 4096;
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, store, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	for (unsigned n = 0; n < 20000; n++) {
		size_t at = n % 2 ? (size_t)rand() % 32
				  : 4096 + (size_t)rand() % q.tail;
		uint8_t was = map[at];

		map[at] = (uint8_t)rand();
		queue_init(&found, 0);
		queue_rescue(&found, store);
		assert_true(found.payload <= q.size);
		queue_free(&found);
		map[at] = was;
	}
	check_store(&q);
	munmap(map, size);
	fd = memfd_create("strange", 0);
	queue_init(&found, 0);
	for (off_t length = 0; length < 20000; length += 1024) {
		assert_int_equal(ftruncate(fd, length), 0);
		assert_true(queue_rescue(&found, fd) < 0);
	}
	close(fd);
	assert_true(queue_rescue(&found, -1) < 0);
	queue_free(&found);
	queue_free(&q);
}

/* Also of a frame that has moved in the ring. */
static void
marks_are_given_other_numbers(void **state)
{
	static const unsigned number[] = { 2, UINT32_MAX, 0 };
	static const unsigned want[] = { 2, 0, UINT32_MAX, UINT32_MAX };
	static const unsigned marks[] = { 0, 2, 1, 7 };
	uint8_t longer[100] = { 0 };
	struct queued frame;
	struct queue q;
	size_t pos = 0;

	(void)state;
	queue_init(&q, 1000);
	for (size_t i = 0; i < NELEM(marks); i++)
		assert_int_equal(queue_push(&q, longer, 8, i, marks[i]), 0);
	assert_true(queue_head(&q, &frame));
	assert_int_equal(
	    queue_replace(&q, frame.place, longer, sizeof(longer), 9), 0);
	queue_renumber(&q, number, NELEM(number));
	for (size_t i = 0; i < NELEM(marks); i++) {
		assert_true(queue_next(&q, &pos, &frame));
		assert_int_equal(frame.route, want[i]);
		assert_int_equal(frame.len, i == 0 ? sizeof(longer) : 8);
	}
	assert_false(queue_next(&q, &pos, &frame));
	queue_free(&q);
}

/* A frame as it came: the payload inside of it, or unstuffed elsewhere. */
static struct queued
spelled(uint8_t *wire, size_t len, bool inside, unsigned n)
{
	static uint8_t payload[200];
	struct queued f = { .wire = wire,
		.wire_len = len,
		.spelled = n,
		.since_ns = n,
		.route = n };

	memset(wire, (int)n, len);
	memset(payload, (int)n + 1, sizeof(payload));
	f.payload = inside ? wire + len / 3 : payload;
	f.len = inside ? len - len / 3 - len / 4 : (size_t)n % 200;
	return f;
}

static void
check_spelled(const struct queued *f, unsigned n)
{
	uint8_t wire[300];
	size_t len = n % 300;
	struct queued want = spelled(wire, len, n % 2 != 0, n);

	assert_int_equal(f->len, want.len);
	assert_memory_equal(f->payload, want.payload, want.len);
	assert_int_equal(f->route, n);
	if (n % 3 == 0) {
		assert_null(f->wire);
		return;
	}
	assert_int_equal(f->wire_len, want.wire_len);
	assert_memory_equal(f->wire, want.wire, want.wire_len);
	assert_int_equal(f->spelled, n);
}

static void
frames_keep_their_spelling(void **state)
{
	struct queue q, found;
	unsigned in = 0, out = 0;
	uint8_t wire[300];
	struct queued f;

	(void)state;
	srand(7);
	queue_init(&q, 300000);
	queue_init(&found, 300000);
	queue_keep(&q, "the name");
	while (in < 5000) {
		bool more = in % 1000 < 600 || rand() % 3 == 0;

		if (more || !queue_head(&q, &f)) {
			f = spelled(wire, in % 300, in % 2 != 0, in);
			if (in % 3 == 0)
				f.wire = NULL;
			if (rand() % 4 == 0) {
				/* A place that another frame had. */
				queue_push(
				    &q, wire, (size_t)rand() % 300, 0, in);
				assert_int_equal(
				    queue_put(&q, queue_last(&q), &f), 0);
			} else
				assert_int_equal(queue_add(&q, &f), 0);
			in++;
			continue;
		}
		check_spelled(&f, out++);
		queue_pop(&q);
	}
	assert_true(store >= 0);
	assert_int_equal(queue_rescue(&found, store), 0);
	assert_int_equal(found.frames, q.frames);
	assert_int_equal(found.bytes, q.bytes);
	for (; queue_head(&found, &f); queue_pop(&found))
		check_spelled(&f, out++);
	assert_int_equal(out, in);
	while (!queue_empty(&q))
		queue_pop(&q);
	assert_int_equal(q.bytes, 0);
	assert_int_equal(q.payload, 0);
	queue_free(&found);
	queue_free(&q);
}

/* One that is much longer than the payload counts against the limit. */
static void
a_long_spelling_is_charged(void **state)
{
	uint8_t wire[100] = { 0 };
	struct queued f = {
		.payload = wire + 9, .len = 1, .wire = wire, .wire_len = 10
	};
	struct queue q;

	(void)state;
	queue_init(&q, 1000);
	queue_add(&q, &f);
	assert_int_equal(q.bytes, QUEUE_FLOOR);
	f.wire_len = sizeof(wire);
	queue_add(&q, &f);
	assert_true(q.bytes >= QUEUE_FLOOR + sizeof(wire));
	assert_int_equal(q.payload, 2);
	queue_pop(&q);
	queue_pop(&q);
	assert_int_equal(q.bytes, 0);
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
		cmocka_unit_test(a_ring_is_filled_to_its_last_byte),
		cmocka_unit_test(a_replaced_frame_keeps_its_place_and_its_mark),
		cmocka_unit_test(
		    a_frame_is_found_in_its_place_until_it_is_taken_off),
		cmocka_unit_test(
		    the_ring_is_seldom_written_anew_for_frames_that_grow),
		cmocka_unit_test_setup_teardown(
		    a_long_queue_is_there_for_the_next_process_at_any_moment,
		    keep_in_store, keep_no_more),
		cmocka_unit_test_setup_teardown(
		    frames_that_are_being_written_are_not_there_twice,
		    keep_in_store, keep_no_more),
		cmocka_unit_test_setup_teardown(
		    what_lies_behind_the_end_of_the_ring_is_there_too,
		    keep_in_store, keep_no_more),
		cmocka_unit_test_setup_teardown(
		    frames_that_are_replaced_stay_in_the_same_place_of_the_store,
		    keep_in_store, keep_no_more),
		cmocka_unit_test_setup_teardown(
		    frames_keep_their_spelling, keep_in_store, keep_no_more),
		cmocka_unit_test(a_long_spelling_is_charged),
		cmocka_unit_test_setup_teardown(
		    a_short_queue_is_not_kept, keep_in_store, keep_no_more),
		cmocka_unit_test_setup_teardown(
		    a_record_that_is_longer_than_the_ring_is_the_end,
		    keep_in_store, keep_no_more),
		cmocka_unit_test_setup_teardown(
		    a_strange_file_is_refused_or_read_as_far_as_it_goes,
		    keep_in_store, keep_no_more),
		cmocka_unit_test(marks_are_given_other_numbers),
	};

	return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
