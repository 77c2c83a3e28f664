/*
 * writer: files by a thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "util.h"
#include "writer.h"

static struct event_base *base;
static char directory[] = "/tmp/test_writer.XXXXXX";
static char path[64];
static bool closed;
static unsigned changes;

static void
on_closed(void *arg)
{
	(void)arg;
	closed = true;
}

static void
on_changed(void *arg)
{
	(void)arg;
	changes++;
}

static struct writer_file *
begin(const struct writer_conf *more)
{
	struct writer_conf conf = *more;
	struct writer_file *f;

	closed = false;
	changes = 0;
	conf.path = path;
	conf.limit = conf.limit > 0 ? conf.limit : 4096;
	conf.closed = on_closed;
	conf.changed = on_changed;
	assert_int_equal(writer_open(base, &conf, -1, &f), 0);
	return f;
}

static bool
put(struct writer_file *f, const char *text)
{
	struct iovec part[2] = { { (void *)(uintptr_t)text, 1 },
		{ (void *)(uintptr_t)(text + 1), strlen(text) - 1 } };

	return writer_put(f, part, 2);
}

static void
end(struct writer_file *f)
{
	writer_close(f);
	while (!closed)
		event_base_loop(base, EVLOOP_ONCE);
}

/* The content of PATH, or of PATH.n. */
static const char *
content(unsigned n)
{
	static char text[8192];
	char name[80];
	ssize_t len;
	int fd;

	snprintf(name, sizeof(name), n > 0 ? "%s.%u" : "%s", path, n);
	if ((fd = open(name, O_RDONLY)) < 0)
		return NULL;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[MAX(len, (ssize_t)0)] = '\0';
	return text;
}

static void
records_are_written_in_order(void **state)
{
	struct writer_stats s;
	struct writer_file *f = begin(&(struct writer_conf){ .log = true });

	(void)state;
	assert_true(put(f, "one\n"));
	assert_true(put(f, "two\n"));
	writer_join();
	assert_string_equal(content(0), "one\ntwo\n");
	writer_get(f, &s);
	assert_int_equal(s.records, 2);
	assert_int_equal(s.bytes, 8);
	assert_int_equal(s.waiting, 0);
	/* The thread starts again. */
	assert_true(put(f, "three\n"));
	end(f);
	assert_string_equal(content(0), "one\ntwo\nthree\n");
	f = begin(&(struct writer_conf){ .log = true });
	put(f, "four\n");
	end(f);
	assert_string_equal(content(0), "one\ntwo\nthree\nfour\n");
}

static void
a_ring_keeps_the_last_files(void **state)
{
	struct writer_file *f = begin(&(struct writer_conf){
	    .size = 10, .files = 3, .head = "H\n", .head_len = 2 });
	struct writer_stats s;

	(void)state;
	for (char c = 'a'; c <= 'i'; c++) {
		char text[] = { c, c, c, '\n', '\0' };

		assert_true(put(f, text));
	}
	assert_true(put(f, "longer than a file\n"));
	end(f);
	assert_string_equal(content(0), "H\nlonger than a file\n");
	assert_string_equal(content(1), "H\niii\n");
	assert_string_equal(content(2), "H\nggg\nhhh\n");
	assert_null(content(3));
	unlink(path);
	f = begin(
	    &(struct writer_conf){ .size = 10, .head = "H\n", .head_len = 2 });
	for (unsigned i = 0; i < 5; i++)
		put(f, i < 4 ? "abc\n" : "xyz\n");
	writer_join();
	assert_string_equal(content(0), "H\nxyz\n");
	writer_get(f, &s);
	assert_int_equal(s.begun, 3);
	assert_int_equal(s.size, 6);
	end(f);
}

static void
what_has_no_room_is_skipped_and_counted(void **state)
{
	struct writer_file *f =
	    begin(&(struct writer_conf){ .log = true, .limit = 64 });
	struct writer_stats s;
	unsigned done = 0, n = 0;

	(void)state;
	/* The thread may write some meanwhile. */
	for (; n < 100000 && done + 1 > n; n++)
		done += put(f, "0123456789012345678901234567890\n");
	writer_join();
	writer_get(f, &s);
	assert_int_equal(s.skipped, n - done);
	assert_int_equal(s.records, done);
	assert_int_equal(s.skipped_bytes, 32 * (n - done));
	end(f);
	assert_true(n > done);
}

static void
limit_size(rlim_t size)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = size;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void
a_full_disk_cuts_no_record(void **state)
{
	struct writer_stats s;
	struct writer_file *f;

	(void)state;
	for (unsigned log = 0; log < 2; log++) {
		unlink(path);
		f = begin(&(struct writer_conf){ .log = log });
		limit_size(10);
		put(f, "one\n");
		put(f, "two\n");
		put(f, "three\n");
		writer_join();
		limit_size(RLIM_INFINITY);
		writer_get(f, &s);
		assert_int_equal(s.error, EFBIG);
		assert_int_equal(s.records, 2);
		assert_int_equal(s.skipped, 1);
		assert_int_equal(changes, 1);
		assert_string_equal(content(0), "one\ntwo\n");
		put(f, "four\n");
		writer_join();
		writer_get(f, &s);
		assert_int_equal(s.error, log ? 0 : EFBIG);
		assert_string_equal(
		    content(0), log ? "one\ntwo\nfour\n" : "one\ntwo\n");
		end(f);
	}
}

static void
a_log_follows_its_name(void **state)
{
	struct writer_file *f = begin(&(struct writer_conf){ .log = true });
	char old[80];

	(void)state;
	put(f, "one\n");
	writer_join();
	snprintf(old, sizeof(old), "%s.1", path);
	assert_int_equal(rename(path, old), 0);
	put(f, "two\n");
	writer_join();
	assert_string_equal(content(1), "one\ntwo\n");
	writer_reopen(f);
	put(f, "three\n");
	end(f);
	assert_string_equal(content(0), "three\n");
}

/* As by logrotate with copytruncate. */
static void
a_file_may_be_truncated_by_another_program(void **state)
{
	struct writer_file *f =
	    begin(&(struct writer_conf){ .log = true, .size = 20, .files = 3 });
	struct writer_stats s;

	(void)state;
	put(f, "0123456789abcde\n");
	writer_join();
	assert_int_equal(truncate(path, 0), 0);
	put(f, "one\n");
	put(f, "two\n");
	writer_join();
	assert_string_equal(content(0), "one\ntwo\n");
	assert_null(content(1));
	/* The part of a record is removed, and nothing else. */
	assert_int_equal(truncate(path, 0), 0);
	limit_size(10);
	put(f, "three\n");
	put(f, "four, five\n");
	writer_join();
	limit_size(RLIM_INFINITY);
	assert_string_equal(content(0), "three\n");
	writer_get(f, &s);
	assert_int_equal(s.records, 4);
	assert_int_equal(s.skipped, 1);
	assert_int_equal(s.size, 6);
	end(f);
	unlink(path);
	f = begin(&(struct writer_conf){ .head = "H\n", .head_len = 2 });
	put(f, "one\n");
	writer_join();
	assert_int_equal(truncate(path, 0), 0);
	put(f, "two\n");
	end(f);
	assert_string_equal(content(0), "H\ntwo\n");
}

static void
what_is_not_a_file_is_an_error(void **state)
{
	struct writer_stats s;
	struct writer_file *f;

	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	f = begin(&(struct writer_conf){ .log = true });
	put(f, "one\n");
	writer_join();
	writer_get(f, &s);
	assert_true(s.error != 0);
	assert_int_equal(s.skipped, 1);
	unlink(path);
	put(f, "two\n");
	end(f);
	assert_true(changes >= 2);
	assert_string_equal(content(0), "two\n");
}

static int
clean(void **state)
{
	char name[80];

	(void)state;
	unlink(path);
	for (unsigned i = 1; i < 5; i++) {
		snprintf(name, sizeof(name), "%s.%u", path, i);
		unlink(name);
	}
	return 0;
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, clean, clean)
	const struct CMUnitTest tests[] = {
		TEST(records_are_written_in_order),
		TEST(a_ring_keeps_the_last_files),
		TEST(what_has_no_room_is_skipped_and_counted),
		TEST(a_full_disk_cuts_no_record),
		TEST(a_log_follows_its_name),
		TEST(a_file_may_be_truncated_by_another_program),
		TEST(what_is_not_a_file_is_an_error),
	};
	int r;

	signal(SIGXFSZ, SIG_IGN);
	if (mkdtemp(directory) == NULL)
		return 1;
	snprintf(path, sizeof(path), "%s/f", directory);
	base = event_base_new();
	r = cmocka_run_group_tests(tests, NULL, NULL);
	event_base_free(base);
	rmdir(directory);
	return r;
}
