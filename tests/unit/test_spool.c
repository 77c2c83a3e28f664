/*
 * spool: frames in files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <cmocka.h>

#include "spool.h"

static char directory[64];
static struct spool *spool;
static struct error err;
static uint8_t *buf;
static size_t buf_size;
static uint64_t limit;
static enum spool_sync sync_mode;

static int
open_it(void)
{
	const struct spool_conf conf = {
		.directory = directory, .limit = limit, .sync = sync_mode
	};

	spool = NULL;
	error_clear(&err);
	return spool_open(&conf, &spool, &err);
}

static void
open_again(void)
{
	spool_free(spool);
	if (open_it() < 0)
		fail_msg("%s", err.text);
}

static struct spool_stats
stats(void)
{
	struct spool_stats st;

	spool_get(spool, &st);
	return st;
}

static int
setup(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/test_spool.XXXXXX");
	assert_non_null(mkdtemp(directory));
	assert_int_equal(rmdir(directory), 0);
	limit = 64 * 1024;
	sync_mode = SPOOL_SYNC_NONE;
	buf_size = 16 * 1024;
	buf = malloc(buf_size);
	return open_it();
}

static int
teardown(void **state)
{
	char command[128];

	(void)state;
	spool_free(spool);
	free(buf);
	chmod(directory, 0700);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	return system(command);
}

static int
append_body(const void *body, size_t len)
{
	const struct spool_record r = { .time_ns = 7,
		.route = "way",
		.route_len = 3,
		.meta = (const uint8_t *)"m",
		.meta_len = 1,
		.body = body,
		.body_len = len,
		.payload_len = len };
	uint8_t *data = malloc(spool_size(&r));
	size_t done;
	int rc;

	spool_encode(&r, data);
	rc = spool_append(spool, data, spool_size(&r), &done);
	assert_int_equal(done, rc == 0 ? spool_size(&r) : 0);
	free(data);
	return rc;
}

/* Appends frames with the text of their number. */
static void
append_numbers(unsigned from, unsigned to)
{
	char text[100];

	for (unsigned i = from; i <= to; i++) {
		snprintf(text, sizeof(text), "%u %060u", i, i);
		assert_int_equal(append_body(text, strlen(text)), 0);
	}
}

/* Reads all; the frames must be those, in order. */
static void
expect_numbers(unsigned from, unsigned to)
{
	struct spool_record r;
	char text[100];
	size_t len, at;

	for (;;) {
		assert_int_equal(spool_read(spool, &buf, &buf_size, &len), 0);
		if (len == 0)
			break;
		for (at = 0; spool_decode(buf, len, &at, &r); from++) {
			snprintf(text, sizeof(text), "%u %060u", from, from);
			assert_int_equal(r.body_len, strlen(text));
			assert_memory_equal(r.body, text, r.body_len);
			assert_int_equal(r.time_ns, 7);
			assert_memory_equal(r.route, "way", 3);
			assert_int_equal(r.meta_len, 1);
			assert_int_equal(r.meta[0], 'm');
		}
		assert_int_equal(at, len);
	}
	assert_int_equal(from, to + 1);
}

static unsigned
count_files(const char *suffix)
{
	DIR *d = opendir(directory);
	struct dirent *e;
	unsigned n = 0;
	size_t len;

	while ((e = readdir(d)) != NULL) {
		len = strlen(e->d_name);
		n += len > strlen(suffix) &&
		    strcmp(e->d_name + len - strlen(suffix), suffix) == 0;
	}
	closedir(d);
	return n;
}

/* The path of the segment with that first frame, or of another file. */
static const char *
path_of(unsigned first, const char *name)
{
	static char path[128];

	if (name != NULL)
		snprintf(path, sizeof(path), "%s/%s", directory, name);
	else
		snprintf(path, sizeof(path), "%s/%016x.seg", directory, first);
	return path;
}

static void
write_file(const char *path, size_t at, const void *data, size_t len)
{
	int fd = open(path, O_RDWR | O_CREAT, 0600);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, len, (off_t)at), len);
	close(fd);
}

static off_t
size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_size : -1;
}

/* --- the usual ----------------------------------------------------------- */

static void
test_order(void **state)
{
	(void)state;
	append_numbers(1, 500);
	expect_numbers(1, 500);
	append_numbers(501, 600);
	expect_numbers(501, 600);
	spool_ack(spool, 601);
	assert_int_equal(spool_commit(spool), 0);
	assert_int_equal(count_files(".seg"), 0);
	assert_int_equal(stats().size, 0);
	append_numbers(601, 610);
	expect_numbers(601, 610);
}

static void
test_nothing_is_created_before_the_first_frame(void **state)
{
	(void)state;
	assert_int_equal(count_files(".seg"), 0);
	assert_int_equal(size_of(path_of(0, "ledger")), 0);
}

static void
test_modes(void **state)
{
	struct stat st;

	(void)state;
	append_numbers(1, 1);
	assert_int_equal(stat(directory, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(stat(path_of(1, NULL), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(path_of(0, "ledger"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void
test_delivered_frames_are_not_read_again(void **state)
{
	(void)state;
	append_numbers(1, 300);
	expect_numbers(1, 300);
	spool_ack(spool, 201);
	assert_int_equal(spool_sync(spool), 0);
	open_again();
	assert_int_equal(stats().first, 201);
	assert_int_equal(stats().next, 301);
	expect_numbers(201, 300);
	/* Without the ledger, all of the segments that are left. */
	spool_free(spool);
	write_file(path_of(0, "ledger"), 0, "garbage", 7);
	write_file(path_of(0, "ledger"), 512, "garbage", 7);
	assert_int_equal(open_it(), 0);
	assert_true(stats().ledger_lost);
	assert_true(stats().first <= 201);
	expect_numbers((unsigned)stats().first, 300);
}

static void
test_payload_bytes(void **state)
{
	uint64_t all;

	(void)state;
	append_numbers(1, 300);
	all = stats().next_bytes;
	assert_int_equal(stats().read_bytes, 0);
	expect_numbers(1, 300);
	assert_int_equal(stats().read_bytes, all);
	spool_ack(spool, 300);
	assert_int_equal(spool_commit(spool), 0);
	open_again();
	assert_int_equal(stats().next_bytes, all);
	assert_int_equal(all - stats().read_bytes, strlen("300 ") + 60);
}

static void
test_an_ack_beyond_what_was_read_is_ignored(void **state)
{
	(void)state;
	append_numbers(1, 3);
	spool_ack(spool, 3);
	assert_int_equal(stats().first, 1);
	expect_numbers(1, 3);
	spool_ack(spool, 3);
	spool_ack(spool, 2);
	assert_int_equal(stats().first, 3);
}

static void
test_large_and_empty_frames(void **state)
{
	static uint8_t large[3 * 1024 * 1024];
	struct spool_record r;
	size_t len, at = 0;

	(void)state;
	large[7] = 1;
	assert_int_equal(append_body("", 0), 0);
	assert_int_equal(append_body(large, sizeof(large)), 0);
	open_again();
	assert_int_equal(stats().next, 3);
	assert_int_equal(spool_read(spool, &buf, &buf_size, &len), 0);
	assert_true(spool_decode(buf, len, &at, &r));
	assert_int_equal(r.body_len, 0);
	at = 0;
	assert_int_equal(spool_read(spool, &buf, &buf_size, &len), 0);
	assert_true(spool_decode(buf, len, &at, &r));
	assert_int_equal(r.body_len, sizeof(large));
	assert_memory_equal(r.body, large, sizeof(large));
}

static void
test_a_second_process_is_refused(void **state)
{
	struct spool *first = spool;

	(void)state;
	assert_int_equal(open_it(), -EBUSY);
	assert_non_null(strstr(err.text, "is in use by another process"));
	spool = first;
}

static void
test_reading_without_a_lock(void **state)
{
	const struct spool_conf conf = { .directory = directory,
		.read_only = true };
	struct spool *first = spool;

	(void)state;
	append_numbers(1, 100);
	assert_int_equal(spool_open(&conf, &spool, &err), 0);
	expect_numbers(1, 100);
	spool_free(spool);
	spool = first;
	expect_numbers(1, 100);
}

/* --- the limit ----------------------------------------------------------- */

static void
test_the_oldest_segment_is_given_up(void **state)
{
	uint64_t lost, first;

	(void)state;
	append_numbers(1, 400);
	assert_false(spool_fits(spool, 64 * 1024));
	assert_true(stats().segments > 2);
	assert_int_equal(spool_give_up(spool, &lost), 0);
	first = stats().first;
	assert_int_equal(lost, first - 1);
	assert_int_equal(stats().read, first);
	expect_numbers((unsigned)first, 400);
	assert_int_equal(spool_give_up(spool, &lost), 0);
	assert_int_equal(lost, 0);
	open_again();
	assert_true(stats().first > first);
}

static void
test_the_only_segment_is_not_given_up(void **state)
{
	uint64_t lost;

	(void)state;
	append_numbers(1, 2);
	assert_int_equal(spool_give_up(spool, &lost), -ENOSPC);
	expect_numbers(1, 2);
}

static void
test_clear(void **state)
{
	uint64_t lost;

	(void)state;
	append_numbers(1, 400);
	assert_int_equal(spool_clear(spool, &lost), 0);
	assert_int_equal(lost, 400);
	assert_int_equal(count_files(".seg"), 0);
	open_again();
	append_numbers(401, 402);
	expect_numbers(401, 402);
}

static void
test_old_segments_expire(void **state)
{
	struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	uint64_t lost;

	(void)state;
	append_numbers(1, 400);
	assert_int_equal(spool_expire(spool, 1001 * NSEC_PER_SEC, &lost), 0);
	assert_int_equal(lost, 0);
	assert_int_equal(utimensat(AT_FDCWD, path_of(1, NULL), times, 0), 0);
	assert_int_equal(spool_expire(spool, 1001 * NSEC_PER_SEC, &lost), 0);
	assert_int_equal(lost, stats().first - 1);
	assert_true(lost > 0 && lost < 400);
	expect_numbers((unsigned)lost + 1, 400);
}

/* --- damage -------------------------------------------------------------- */

static void
test_a_torn_end_is_cut(void **state)
{
	off_t size;

	(void)state;
	append_numbers(1, 20);
	size = size_of(path_of(1, NULL));
	spool_free(spool);
	for (off_t cut = size - 1; cut > size - 99; cut -= 7) {
		assert_int_equal(truncate(path_of(1, NULL), cut), 0);
		assert_int_equal(open_it(), 0);
		assert_int_equal(stats().next, 20);
		append_numbers(20, 20);
		expect_numbers(1, 20);
		spool_free(spool);
	}
	write_file(path_of(1, NULL), (size_t)size, "garbage", 7);
	assert_int_equal(open_it(), 0);
	assert_int_equal(stats().cut, 7);
	assert_int_equal(size_of(path_of(1, NULL)), size);
	append_numbers(21, 21);
	expect_numbers(1, 21);
}

static void
test_a_damaged_segment_is_used_up_to_the_damage(void **state)
{
	uint64_t end;

	(void)state;
	append_numbers(1, 200);
	write_file(path_of(1, NULL), 500, "X", 1);
	open_again();
	end = stats().segments;
	assert_true(end > 2);
	{
		struct spool_record r;
		size_t len, at = 0;
		unsigned n = 0;

		assert_int_equal(spool_read(spool, &buf, &buf_size, &len), 0);
		while (spool_decode(buf, len, &at, &r))
			assert_int_equal(r.number, ++n);
		assert_int_equal(n, (500 - 32) / 98);
		assert_int_equal(spool_read(spool, &buf, &buf_size, &len), 0);
		at = 0;
		assert_true(spool_decode(buf, len, &at, &r));
		assert_int_equal(stats().damaged, r.number - 1 - n);
	}
	spool_ack(spool, stats().read);
	assert_int_equal(spool_commit(spool), 0);
}

static void
test_one_damaged_frame(void **state)
{
	struct spool_record r;
	size_t len, at = 0;

	(void)state;
	append_numbers(1, 10);
	write_file(path_of(1, NULL), 32 + 3 * 98 + 40, "X", 1);
	assert_int_equal(spool_read(spool, &buf, &buf_size, &len), 0);
	while (spool_decode(buf, len, &at, &r))
		continue;
	assert_int_equal(r.number, 3);
	append_numbers(11, 12);
	expect_numbers(5, 12);
	assert_int_equal(stats().damaged, 1);
}

static void
test_damage_in_the_last_segment_while_it_is_open(void **state)
{
	static const uint8_t ones[] = { 0xff, 0xff, 0xff, 0xff };
	struct spool_record r;
	size_t len, at = 0;

	(void)state;
	append_numbers(1, 10);
	write_file(path_of(1, NULL), 32 + 3 * 98 + 4, ones, sizeof(ones));
	assert_int_equal(spool_read(spool, &buf, &buf_size, &len), 0);
	while (spool_decode(buf, len, &at, &r))
		continue;
	assert_int_equal(r.number, 3);
	assert_int_equal(spool_read(spool, &buf, &buf_size, &len), 0);
	assert_int_equal(len, 0);
	assert_int_equal(stats().damaged, 7);
	append_numbers(11, 12);
	expect_numbers(11, 12);
	open_again();
	assert_int_equal(stats().next, 13);
}

static void
test_foreign_files(void **state)
{
	static const char zeros[64];

	(void)state;
	append_numbers(1, 3);
	spool_free(spool);
	write_file(path_of(0, "notes.txt"), 0, "x", 1);
	assert_int_equal(mkdir(path_of(0xfff, NULL), 0700), 0);
	write_file(path_of(0x1000, NULL), 0, "no segment", 10);
	write_file(path_of(0x2000, NULL), 0, zeros, sizeof(zeros));
	write_file(path_of(0x3000, NULL), 0, "", 0);
	write_file(path_of(0, "new"), 0, "x", 1);
	assert_int_equal(open_it(), 0);
	assert_int_equal(stats().foreign, 2);
	assert_int_equal(stats().set_aside, 3);
	assert_int_equal(count_files(".damaged"), 3);
	assert_int_equal(size_of(path_of(0, "new")), -1);
	expect_numbers(1, 3);
	append_numbers(4, 5);
	expect_numbers(4, 5);
}

static void
test_ten_gigabytes(void **state)
{
	(void)state;
	append_numbers(1, 3);
	spool_free(spool);
	assert_int_equal(
	    truncate(path_of(1, NULL), 10LL * 1024 * 1024 * 1024), 0);
	assert_int_equal(open_it(), 0);
	assert_true(stats().cut > 10ULL * 1000 * 1000 * 1000);
	assert_true(stats().size < 1000);
	expect_numbers(1, 3);
}

static void
test_the_ledger_is_ahead_of_the_frames(void **state)
{
	(void)state;
	append_numbers(1, 10);
	expect_numbers(1, 10);
	spool_ack(spool, 9);
	assert_int_equal(spool_sync(spool), 0);
	spool_free(spool);
	/* What was appended last was not on the disk. */
	assert_int_equal(truncate(path_of(1, NULL), 32 + 4 * 98), 0);
	assert_int_equal(open_it(), 0);
	assert_int_equal(stats().first, 9);
	assert_int_equal(stats().next, 9);
	append_numbers(9, 12);
	expect_numbers(9, 12);
	open_again();
	expect_numbers(9, 12);
}

static void
test_a_torn_ledger(void **state)
{
	(void)state;
	sync_mode = SPOOL_SYNC_ALWAYS;
	open_again();
	append_numbers(1, 10);
	expect_numbers(1, 10);
	for (unsigned n = 2; n <= 6; n++) {
		spool_ack(spool, n);
		assert_int_equal(spool_commit(spool), 0);
	}
	spool_free(spool);
	/* Generation 5 is in the second slot. */
	write_file(path_of(0, "ledger"), 512 + 20, "torn", 4);
	assert_int_equal(open_it(), 0);
	assert_false(stats().ledger_lost);
	assert_int_equal(stats().first, 5);
}

static void
test_no_permission(void **state)
{
	(void)state;
	if (geteuid() == 0)
		skip();
	spool_free(spool);
	chmod(directory, 0);
	assert_int_equal(open_it(), -EACCES);
	assert_non_null(strstr(err.text, "Permission denied"));
}

static void
test_a_file_in_place_of_the_directory(void **state)
{
	char keep[64];

	(void)state;
	memcpy(keep, directory, sizeof(keep));
	spool_free(spool);
	write_file(path_of(0, "file"), 0, "x", 1);
	snprintf(directory, sizeof(directory), "%.50s/file", keep);
	assert_int_equal(open_it(), -ENOTDIR);
	snprintf(directory, sizeof(directory), "%.50s/no/where", keep);
	assert_int_equal(open_it(), -ENOENT);
	memcpy(directory, keep, sizeof(keep));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_order),
		TEST(test_nothing_is_created_before_the_first_frame),
		TEST(test_modes),
		TEST(test_delivered_frames_are_not_read_again),
		TEST(test_payload_bytes),
		TEST(test_an_ack_beyond_what_was_read_is_ignored),
		TEST(test_large_and_empty_frames),
		TEST(test_a_second_process_is_refused),
		TEST(test_reading_without_a_lock),
		TEST(test_the_oldest_segment_is_given_up),
		TEST(test_the_only_segment_is_not_given_up),
		TEST(test_clear),
		TEST(test_old_segments_expire),
		TEST(test_a_torn_end_is_cut),
		TEST(test_a_damaged_segment_is_used_up_to_the_damage),
		TEST(test_one_damaged_frame),
		TEST(test_damage_in_the_last_segment_while_it_is_open),
		TEST(test_foreign_files),
		TEST(test_ten_gigabytes),
		TEST(test_the_ledger_is_ahead_of_the_frames),
		TEST(test_a_torn_ledger),
		TEST(test_no_permission),
		TEST(test_a_file_in_place_of_the_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
