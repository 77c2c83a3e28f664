/* key: a table fills a struct, and its faults say what would be right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "key.h"

struct sample {
	bool exclusive;
	uint64_t baud;
	uint64_t queue;
	uint64_t kept;
	uint64_t stall;
	uint64_t drain;
	int flow;
	char *device;
	char *label;
	struct bytes delimiter;
	struct bytes sync;
	struct silence idle;
	uint64_t poly;
	int even;
};

static const char *const flow_words[] = { "none", "rtscts", "xonxoff", "dtrdsr",
	NULL };

static int
parse_even(void *field, const char *value, struct error *err)
{
	uint64_t n;

	if (parse_number(value, 0, 100, &n) != 0 || n % 2 != 0) {
		error_set(err, "'%s' is odd", value);
		return -EINVAL;
	}
	*(int *)field = (int)n;
	return 0;
}

static void
print_even(const void *field, char *buf, size_t size)
{
	snprintf(buf, size, "%d", *(const int *)field);
}

#define AT(member) .offset = offsetof(struct sample, member)

static const struct key keys[] = {
	{ .name = "exclusive", .type = KEY_BOOL, AT(exclusive), .def = "yes" },
	{ .name = "baud",
	    .type = KEY_NUMBER,
	    AT(baud),
	    .def = "9600",
	    .min = 50,
	    .max = 4000000 },
	{ .name = "queue",
	    .type = KEY_SIZE,
	    AT(queue),
	    .def = "64K",
	    .min = 1024,
	    .max = 1 << 20 },
	{ .name = "kept",
	    .type = KEY_SIZE,
	    AT(kept),
	    .none = true,
	    .min = 4096,
	    .max = 256 * 1024 },
	{ .name = "stall", .type = KEY_TIME, AT(stall), .def = "none" },
	{ .name = "drain",
	    .type = KEY_TIME,
	    AT(drain),
	    .def = "2s",
	    .max = 3600 * NSEC_PER_SEC },
	{ .name = "flow",
	    .type = KEY_WORD,
	    AT(flow),
	    .def = "none",
	    .words = flow_words },
	{ .name = "device",
	    .type = KEY_STRING,
	    AT(device),
	    .min = 1,
	    .max = 20 },
	{ .name = "label", .type = KEY_STRING, AT(label), .def = "a label" },
	{ .name = "delimiter",
	    .type = KEY_BYTES,
	    AT(delimiter),
	    .def = "\\r\\n",
	    .max = 8 },
	{ .name = "sync", .type = KEY_HEX, AT(sync) },
	{ .name = "idle", .type = KEY_SILENCE, AT(idle), .def = "3.5" },
	{ .name = "poly", .type = KEY_BITS, AT(poly), .min = 1, .max = 0xffff },
	{ .name = "even",
	    .type = KEY_CUSTOM,
	    AT(even),
	    .def = "4",
	    .parse = parse_even,
	    .print = print_even },
	{ .name = NULL },
};

static int
setup(void **state)
{
	struct sample *s;

	if ((s = calloc(1, sizeof *s)) == NULL)
		return -1;
	*state = s;
	return key_defaults(keys, s);
}

static int
teardown(void **state)
{
	key_free(keys, *state);
	assert_null(((struct sample *)*state)->label);
	free(*state);
	return 0;
}

static void
test_defaults(void **state)
{
	const struct sample *s = *state;

	assert_true(s->exclusive);
	assert_int_equal(s->baud, 9600);
	assert_int_equal(s->queue, 65536);
	assert_int_equal(s->stall, 0);
	assert_int_equal(s->drain, 2 * NSEC_PER_SEC);
	assert_int_equal(s->flow, 0);
	assert_null(s->device);
	assert_string_equal(s->label, "a label");
	assert_int_equal(s->delimiter.len, 2);
	assert_memory_equal(s->delimiter.b, "\r\n", 2);
	assert_int_equal(s->sync.len, 0);
	assert_int_equal(s->idle.tenths, 35);
	assert_int_equal(s->idle.ns, 0);
	assert_int_equal(s->even, 4);
}

/* What is read, and how the key prints it afterwards. */
static void
test_values(void **state)
{
	static const char *const cases[][3] = {
		{ "exclusive", "off", "no" },
		{ "baud", "50", "50" },
		{ "baud", "4000000", "4000000" },
		{ "queue", "1M", "1M" },
		{ "queue", "2048", "2K" },
		{ "queue", "1.5K", "1536" },
		{ "kept", "none", "none" },
		{ "kept", "0", "none" },
		{ "kept", "256K", "256K" },
		{ "stall", "90", "90s" },
		{ "stall", "0.25", "250ms" },
		{ "stall", "2h", "2h" },
		{ "stall", "1.75ms", "1750us" },
		{ "stall", "0", "none" },
		{ "flow", "dtrdsr", "dtrdsr" },
		{ "device", "/dev/ttyACM0", "/dev/ttyACM0" },
		{ "label", "", "" },
		{ "delimiter", "\\x03", "\\x03" },
		{ "delimiter", "\\x30x1", "0\\x781" },
		{ "delimiter", "\\s;#|", "\\x20\\x3b\\x23|" },
		{ "sync", "b562", "b5 62" },
		{ "idle", "2ms", "2ms" },
		{ "idle", "4", "4" },
		{ "idle", "1.5", "1.5" },
		{ "idle", "none", "none" },
		{ "poly", "0x7", "0x07" },
		{ "poly", "0XA001", "0xa001" },
		{ "even", "8", "8" },
	};
	struct error err;
	char text[64], again[64];
	const struct key *key;

	for (size_t i = 0; i < NELEM(cases); i++) {
		key = key_find(keys, cases[i][0]);
		assert_non_null(key);
		assert_int_equal(key_parse(key, *state, cases[i][1], &err), 0);
		key_print(key, *state, text, sizeof text);
		assert_string_equal(text, cases[i][2]);
		assert_int_equal(key_parse(key, *state, text, &err), 0);
		key_print(key, *state, again, sizeof again);
		assert_string_equal(again, text);
	}
}

static void
test_faults(void **state)
{
	static const char *const cases[][3] = {
		{ "exclusive", "maybe", "'maybe' is neither yes nor no" },
		{ "exclusive", "yse",
		    "'yse' is neither yes nor no; did you mean 'yes'?" },
		{ "baud", "70000000",
		    "'70000000' is out of range; baud is 50 to 4000000" },
		{ "baud", "fast",
		    "'fast' is not a number; baud is 50 to 4000000" },
		{ "poly", "8005",
		    "'8005' is not a hexadecimal number; poly is hexadecimal "
		    "digits after 0x, such as 0x1021" },
		{ "poly", "0x",
		    "'0x' is not a hexadecimal number; poly is "
		    "hexadecimal digits after 0x, such as 0x1021" },
		{ "poly", "0x18005",
		    "'0x18005' is out of range; poly is 0x01 to 0xffff" },
		{ "queue", "12", "'12' is out of range; queue is 1K to 1M" },
		{ "queue", "64Q",
		    "'64Q' is not a size; queue is a number of bytes, "
		    "such as 4096, 64K or 1M" },
		{ "queue", "none",
		    "'none' is not a size; queue is a number of bytes, "
		    "such as 4096, 64K or 1M" },
		{ "kept", "1M",
		    "'1M' is out of range; kept is none or 4K to 256K" },
		{ "kept", "off",
		    "'off' is not a size; kept is none or 4K to 256K" },
		{ "drain", "2h", "'2h' is out of range; drain is at most 1h" },
		{ "drain", "5x",
		    "'5x' is not a time; drain is a time such as 250ms, 2s, "
		    "5m or none" },
		{ "flow", "rtsct",
		    "'rtsct' is not one of none, rtscts, xonxoff, dtrdsr; "
		    "did you mean 'rtscts'?" },
		{ "flow", "zzz",
		    "'zzz' is not one of none, rtscts, xonxoff, dtrdsr" },
		{ "device", "", "device is empty" },
		{ "device", "/dev/\033[1m/0123456789a",
		    "'/dev/\\x1b[1m/0123456789a' is out of range; "
		    "device is 1 to 20 characters long" },
		{ "delimiter", "\\q",
		    "'\\q' is not written with valid escapes; delimiter is "
		    "bytes such as \\x03 or \\r\\n" },
		{ "delimiter", "0x03",
		    "'0x03' is not written with valid escapes; delimiter is "
		    "bytes such as \\x03 or \\r\\n" },
		{ "delimiter", "",
		    "'' is out of range; delimiter is 1 to 8 bytes long" },
		{ "delimiter", "123456789",
		    "'123456789' is out of range; delimiter is 1 to 8 bytes "
		    "long" },
		{ "sync", "b5 6",
		    "'b5 6' is not hexadecimal; sync is bytes such as 01 03 "
		    "or 0103" },
		{ "idle", "3.55",
		    "'3.55' is not a silence; idle is characters such as 3.5, "
		    "or a time such as 2ms" },
		{ "even", "3", "'3' is odd" },
	};
	struct error err;
	char before[64], after[64];
	const struct key *key;

	for (size_t i = 0; i < NELEM(cases); i++) {
		key = key_find(keys, cases[i][0]);
		assert_non_null(key);
		key_print(key, *state, before, sizeof before);
		assert_int_equal(
		    key_parse(key, *state, cases[i][1], &err), -EINVAL);
		assert_string_equal(err.text, cases[i][2]);
		key_print(key, *state, after, sizeof after);
		assert_string_equal(before, after);
	}
}

/* A long value is cut, so that the sentence behind it is still there. */
static void
test_long_value(void **state)
{
	struct error err;
	char value[4096];

	memset(value, '\001', sizeof value - 1);
	value[sizeof value - 1] = '\0';
	assert_int_equal(
	    key_parse(key_find(keys, "baud"), *state, value, &err), -EINVAL);
	assert_non_null(
	    strstr(err.text, "...' is not a number; baud is 50 to "));
}

static void
test_find(void **state)
{
	(void)state;
	assert_ptr_equal(key_find(keys, "baud"), &keys[1]);
	assert_null(key_find(keys, "bau"));
	assert_null(key_find(keys, ""));
}

/* A buffer that is too small is cut, and nothing behind it is written. */
static void
test_small_buffer(void **state)
{
	char buf[8] = "1234567";

	key_print(key_find(keys, "delimiter"), *state, buf, 3);
	assert_string_equal(buf, "\\r");
	assert_int_equal(buf[3], '4');
}

static void
test_bounds(void **state)
{
	static const struct {
		struct key key;
		const char *value, *err;
	} cases[] = {
		{ { .name = "n", .type = KEY_NUMBER, .min = 5 }, "4",
		    "'4' is out of range; n is at least 5" },
		{ { .name = "n", .type = KEY_NUMBER, .min = 5, .max = 5 }, "4",
		    "'4' is out of range; n is 5" },
		{ { .name = "n", .type = KEY_NUMBER, .min = 5, .max = 7 }, "8",
		    "'8' is out of range; n is 5 to 7" },
		{ { .name = "n", .type = KEY_NUMBER }, "99999999999999999999",
		    "'99999999999999999999' is out of range; n is smaller" },
		{ { .name = "t", .type = KEY_TIME, .max = NSEC_PER_SEC }, "2s",
		    "'2s' is out of range; t is at most 1s" },
		{ { .name = "s", .type = KEY_SILENCE }, "1.55",
		    "'1.55' is not a silence; s is characters such as 3.5, or a"
		    " time such as 2ms" },
		{ { .name = "m", .type = KEY_MODE }, "0x1ff", NULL },
		{ { .name = "m", .type = KEY_MODE }, "0", NULL },
	};
	uint64_t field[8];
	struct error err;

	(void)state;
	for (size_t i = 0; i < NELEM(cases); i++) {
		assert_true(
		    key_parse(&cases[i].key, field, cases[i].value, &err) < 0);
		if (cases[i].err != NULL)
			assert_string_equal(err.text, cases[i].err);
	}
}

static void
test_mode(void **state)
{
	static const struct key key = { .name = "m", .type = KEY_MODE };
	static const char *const wrong[] = { "0", "01000", "01777", "0648",
		"rw", "" };
	uint64_t mode = 0;
	struct error err;
	char text[16];

	(void)state;
	assert_int_equal(key_parse(&key, &mode, "0640", &err), 0);
	assert_int_equal(mode, 0640);
	key_print(&key, &mode, text, sizeof(text));
	assert_string_equal(text, "0640");
	for (size_t i = 0; i < NELEM(wrong); i++)
		assert_int_equal(
		    key_parse(&key, &mode, wrong[i], &err), -EINVAL);
	assert_int_equal(mode, 0640);
}

static void
test_longest_silence(void **state)
{
	static const struct key key = { .name = "s", .type = KEY_SILENCE };
	struct silence silence = { 0 };
	struct error err;

	(void)state;
	assert_int_equal(key_parse(&key, &silence, "99999.9", &err), 0);
	assert_int_equal(silence.tenths, 999999);
	assert_int_not_equal(key_parse(&key, &silence, "100000", &err), 0);
	assert_int_equal(silence.tenths, 999999);
}

static void
test_swap(void **state)
{
	static const char *const values[][2] = {
		{ "exclusive", "no" },
		{ "baud", "50" },
		{ "queue", "1K" },
		{ "stall", "1s" },
		{ "drain", "5s" },
		{ "flow", "rtscts" },
		{ "device", "/dev/x" },
		{ "label", "another" },
		{ "delimiter", ";" },
		{ "sync", "aa 55" },
		{ "idle", "2ms" },
		{ "poly", "0x1021" },
	};
	struct sample other = { 0 };
	char before[64], here[64], there[64];
	struct error err;

	for (size_t i = 0; i < NELEM(values); i++) {
		const struct key *key = key_find(keys, values[i][0]);
		const struct key one[] = { *key, { .name = NULL } };

		assert_int_equal(key_parse(key, &other, values[i][1], &err), 0);
		key_print(key, *state, before, sizeof before);
		key_print(key, &other, there, sizeof there);
		key_swap(one, *state, &other);
		key_print(key, *state, here, sizeof here);
		assert_string_equal(here, there);
		key_print(key, &other, there, sizeof there);
		assert_string_equal(there, before);
	}
	key_free(keys, &other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_long_value, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_small_buffer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_swap, setup, teardown),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_mode),
		cmocka_unit_test(test_longest_silence),
		cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
