/*
 * What is kept and left, and the file between two processes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "restore.h"
#include "handover_file.h"
#include "fdstore.h"
#include "log.h"

static char told[1024];

static bool
on_add(const struct kept *k)
{
	append(told, sizeof(told), "+%s;", k->name);
	return true;
}

static void
on_remove(const struct kept *k)
{
	append(told, sizeof(told), "-%s;", k->name);
}

static const struct keeper keeper = { .add = on_add, .remove = on_remove };

static void
told_was(const char *want)
{
	assert_string_equal(told, want);
	told[0] = '\0';
}

static int
any_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void
keeper_is_told_once(void **state)
{
	struct kept k = { .on = false };

	(void)state;
	keep_tell(&keeper);
	keep_add(&k, 5, "a");
	keep_add(&k, 5, "a");
	told_was("+a;");
	keep_add(&k, 6, "a");
	told_was("-a;+a;");
	assert_true(keep_remove(&k));
	assert_false(keep_remove(&k));
	told_was("-a;");
	assert_true(TAILQ_EMPTY(keep_all()));
	keep_tell(NULL);
	keep_add(&k, 5, "a");
	assert_ptr_equal(TAILQ_FIRST(keep_all()), &k);
	assert_false(keep_remove(&k));
	told_was("");
}

static void
another_text_is_another_name(void **state)
{
	char a[KEEP_NAME_MAX], b[KEEP_NAME_MAX];

	(void)state;
	keep_name(a, sizeof(a), "serial", "ar1", "baud = 1", "");
	keep_name(b, sizeof(b), "serial", "ar1", "baud = 2", "");
	assert_string_not_equal(a, b);
	keep_name(b, sizeof(b), "pty", "ar1", "baud = 1", "");
	assert_string_not_equal(a, b);
	keep_name(b, sizeof(b), "serial", "ar1", "baud = 1", "");
	assert_string_equal(a, b);
	assert_null(strchr(a, ':'));
}

static void
left_are_taken_by_name_and_number(void **state)
{
	int one = any_fd(), two = any_fd(), three = any_fd();
	int signed_fd = any_fd();
	unsigned number = 0;

	(void)state;
	assert_int_equal(left_add("lan#12@x", one), 0);
	assert_int_equal(left_add("lan#x@x", two), 0);
	assert_int_equal(left_add("lan#+13@x", signed_fd), 0);
	assert_int_equal(left_add("lan", three), 0);
	assert_int_equal(left_take("ar1@x"), -ENOENT);
	assert_int_equal(left_take_number("lan#", "@y", &number), -ENOENT);
	assert_int_equal(left_take_number("lan#", "@x", &number), one);
	assert_int_equal(number, 12);
	assert_int_equal(left_take_number("lan#", "@x", &number), -ENOENT);
	assert_int_equal(left_take("lan#+13@x"), signed_fd);
	assert_true(left_is_kept(TAILQ_FIRST(left_all())));
	assert_int_equal(left_take("lan#x@x"), two);
	assert_false(left_is_kept(TAILQ_FIRST(left_all())));
	assert_int_equal(left_take("lan"), three);
	assert_true(TAILQ_EMPTY(left_all()));
	close(one);
	close(two);
	close(three);
	close(signed_fd);
}

static void
what_is_packed_comes_out(void **state)
{
	struct pack p = { .data = NULL };
	struct unpack u;
	char text[8];
	size_t len;

	(void)state;
	pack_number(&p, UINT64_MAX);
	pack_bytes(&p, "\0\1\2", 3);
	/* What fills up to the next number is not what was in memory. */
	assert_memory_equal(p.data + 16, "\0\1\2\0\0\0\0", 8);
	pack_string(&p, "seven77");
	pack_string(&p, NULL);
	pack_number(&p, 1);
	assert_false(p.failed);
	u = (struct unpack){ .at = p.data, .left = p.len };
	assert_true(unpack_number(&u) == UINT64_MAX);
	assert_memory_equal(unpack_bytes(&u, &len), "\0\1\2", 3);
	assert_int_equal(len, 3);
	unpack_string(&u, text, sizeof(text));
	assert_string_equal(text, "seven77");
	unpack_string(&u, text, sizeof(text));
	assert_string_equal(text, "");
	assert_true(unpack_bool(&u));
	assert_int_equal(u.left, 0);
	assert_false(u.failed);
	assert_int_equal(unpack_number(&u), 0);
	assert_true(u.failed);
	pack_free(&p);
}

static void
what_does_not_fit_is_a_failure(void **state)
{
	struct pack p = { .data = NULL };
	struct unpack u;
	char text[7];
	size_t len;

	(void)state;
	pack_string(&p, "seven77");
	pack_number(&p, UINT64_MAX);
	u = (struct unpack){ .at = p.data, .left = p.len };
	unpack_string(&u, text, sizeof(text));
	assert_true(u.failed);
	assert_string_equal(text, "");
	u = (struct unpack){ .at = p.data + 16, .left = 8 };
	unpack_bytes(&u, &len);
	assert_int_equal(len, 0);
	assert_true(u.failed);
	u = (struct unpack){ .at = p.data + 16, .left = 8 };
	assert_false(unpack_bool(&u));
	assert_true(u.failed);
	u = (struct unpack){ .at = p.data, .left = 15 };
	unpack_bytes(&u, &len);
	assert_int_equal(len, 0);
	assert_true(u.failed);
	u = (struct unpack){ .at = p.data, .left = 8 };
	assert_int_equal(unpack_count(&u, 8), 0);
	assert_true(u.failed);
	pack_free(&p);
}

static void
a_strange_file_is_refused(void **state)
{
	uint8_t file[64] = "ttybho01";
	struct snapshot *h = NULL;

	(void)state;
	assert_int_equal(handover_read(file, 0, &h, NULL), -EINVAL);
	assert_int_equal(handover_read(file, 8, &h, NULL), -EINVAL);
	assert_int_equal(handover_read(file, sizeof(file), &h, NULL), -EINVAL);
	memset(file, 0, sizeof(file));
	assert_int_equal(handover_read(file, sizeof(file), &h, NULL), -EINVAL);
	assert_int_equal(snapshot_read(file, 16, PACK_VERSION, &h), 0);
	snapshot_free(h, NULL);
	/* Rates, lines and exchanges, or none of them. */
	assert_int_equal(snapshot_read(file, 24, PACK_VERSION, &h), -EINVAL);
	assert_int_equal(snapshot_read(file, 32, PACK_VERSION, &h), -EINVAL);
	assert_int_equal(snapshot_read(file, 40, PACK_VERSION, &h), 0);
	snapshot_free(h, NULL);
	assert_int_equal(snapshot_read(file, 48, PACK_VERSION, &h), -EINVAL);
	assert_int_equal(snapshot_read(file, 8, PACK_VERSION, &h), -EINVAL);
}

/* Of a node: its name and type, counters, no ports, and no use of its line. */
static void
pack_node(struct pack *p)
{
	pack_string(p, "a");
	pack_string(p, "serial");
	for (int i = 0; i < 5; i++)
		pack_number(p, 0);
	pack_bytes(p, NULL, 0);
	pack_number(p, 0);
	pack_bytes(p, NULL, 0);
}

/* A file of the version without histories is read, and one with them only in full. */
static void
a_file_of_the_version_before_is_read(void **state)
{
	struct pack p = { .data = NULL };
	struct snapshot *h = NULL;
	size_t before;

	(void)state;
	pack_number(&p, 0);
	pack_number(&p, 1);
	pack_node(&p);
	before = p.len;
	assert_int_equal(
	    snapshot_read(p.data, before, PACK_PERMISSIONS, &h), 0);
	snapshot_free(h, NULL);
	pack_string(&p, "read");
	pack_number(&p, 0);
	assert_int_equal(snapshot_read(p.data, p.len, PACK_HISTORY, &h), 0);
	snapshot_free(h, NULL);
	assert_int_equal(
	    snapshot_read(p.data, before, PACK_HISTORY, &h), -EINVAL);
	assert_int_equal(
	    snapshot_read(p.data, p.len - 8, PACK_HISTORY, &h), -EINVAL);
	assert_int_equal(
	    snapshot_read(p.data, p.len, PACK_PERMISSIONS, &h), -EINVAL);
	pack_free(&p);
}

/* What a process that was killed has left is taken queue by queue. */
static void
a_queue_with_a_frame_that_is_too_long_is_refused(void **state)
{
	struct endpoint_conf conf = { .ops = &endpoint_tcp_server,
		.name = (char[]){ "lan" } };
	struct snapshot *snapshot = snapshot_new();
	uint8_t *large = calloc(1, FRAMING_MAX_FRAME + 1);
	struct queue queue;

	(void)state;
	assert_non_null(snapshot);
	assert_non_null(large);
	queue_init(&queue, 0);
	assert_int_equal(queue_push(&queue, large, FRAMING_MAX_FRAME, 1, 0), 0);
	assert_int_equal(
	    snapshot_add_queue(snapshot, &conf, "lan#1", &queue), 0);
	assert_int_equal(
	    queue_push(&queue, large, FRAMING_MAX_FRAME + 1, 1, 0), 0);
	assert_int_equal(
	    snapshot_add_queue(snapshot, &conf, "lan#2", &queue), -EINVAL);
	queue_pop(&queue);
	queue_pop(&queue);
	assert_int_equal(queue_push(&queue, large, 1, 1, 0), 0);
	assert_int_equal(
	    snapshot_add_queue(snapshot, &conf, "lan#3", &queue), 0);
	queue_free(&queue);
	snapshot_free(snapshot, NULL);
	free(large);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeper_is_told_once),
		cmocka_unit_test(another_text_is_another_name),
		cmocka_unit_test(left_are_taken_by_name_and_number),
		cmocka_unit_test(what_is_packed_comes_out),
		cmocka_unit_test(what_does_not_fit_is_a_failure),
		cmocka_unit_test(a_strange_file_is_refused),
		cmocka_unit_test(a_file_of_the_version_before_is_read),
		cmocka_unit_test(
		    a_queue_with_a_frame_that_is_too_long_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
