/* Origins: sequences, what is repeated and missing, and the file. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mqtt_message.h"

static char dir[] = "/tmp/test_origins.XXXXXX";

static struct origins *
opened(const char *in)
{
	struct origins *o;
	struct error err;

	assert_int_equal(origins_open(in, "file", &o, &err), 0);
	return o;
}

static void
forget(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/file", dir);
	unlink(path);
}

static enum origin_verdict
received(struct origins *o, const char *endpoint, uint64_t boot, uint64_t n)
{
	struct origin_name name = { "boat", "", boot, n };

	snprintf(name.endpoint, sizeof(name.endpoint), "%s", endpoint);
	return origins_received(o, &name, false);
}

static void
sequences_go_on_in_the_same_boot(void **state)
{
	struct origins *o = opened(dir);
	struct origin one, two, other;

	(void)state;
	origins_next(o, "gps", &one);
	origins_next(o, "gps", &two);
	origins_next(o, "meter", &other);
	assert_int_equal(one.sequence, 1);
	assert_int_equal(two.sequence, 2);
	assert_int_equal(other.sequence, 1);
	assert_int_equal(one.boot, two.boot);
	origins_close(o);
	o = opened(dir);
	origins_next(o, "gps", &two);
	assert_int_equal(two.sequence, 3);
	assert_int_equal(one.boot, two.boot);
	origins_close(o);
	forget();
	o = opened(dir);
	origins_next(o, "gps", &two);
	assert_int_equal(two.sequence, 1);
	assert_int_not_equal(one.boot, two.boot);
	origins_close(o);
	forget();
}

static void
repeated_and_missing_frames_are_counted(void **state)
{
	struct origins *o = opened(dir);

	(void)state;
	/* What came before the first is not known. */
	assert_int_equal(received(o, "gps", 7, 10), ORIGIN_NEW);
	assert_int_equal(received(o, "gps", 7, 10), ORIGIN_REPEATED);
	assert_int_equal(received(o, "gps", 7, 14), ORIGIN_NEW);
	assert_int_equal(received(o, "gps", 7, 12), ORIGIN_REPEATED);
	assert_int_equal(received(o, "meter", 7, 1), ORIGIN_NEW);
	assert_int_equal(origins_missing(o), 3);
	assert_int_equal(origins_duplicate(o), 2);
	origins_close(o);
	o = opened(dir);
	assert_int_equal(received(o, "gps", 7, 14), ORIGIN_REPEATED);
	assert_int_equal(origins_missing(o), 3);
	/* Another boot of a known one begins with 1. */
	assert_int_equal(received(o, "gps", 8, 3), ORIGIN_NEW);
	assert_int_equal(origins_missing(o), 5);
	origins_close(o);
	forget();
}

static void
an_origin_is_printed(void **state)
{
	struct origin origin = { .boot = 0x0123456789abcdef, .sequence = 1 };
	char text[MQTT_ORIGIN_MAX];

	(void)state;
	snprintf(origin.endpoint, sizeof(origin.endpoint), "gps");
	assert_string_equal(mqtt_origin_print(&origin, "boat", text),
	    "boat/gps/0123456789abcdef/1");
	origin.boot = 0xf;
	origin.sequence = UINT64_MAX;
	assert_string_equal(mqtt_origin_print(&origin, "boat", text),
	    "boat/gps/000000000000000f/18446744073709551615");
	origin.boot = origin.sequence = 0;
	assert_string_equal(mqtt_origin_print(&origin, "boat", text),
	    "boat/gps/0000000000000000/0");
}

static void
own_frames_are_recognised(void **state)
{
	struct origins *o = opened(NULL);
	struct origin_name name;
	struct origin own;
	char text[MQTT_ORIGIN_MAX];

	(void)state;
	origins_next(o, "gps", &own);
	mqtt_origin_print(&own, site_host(), text);
	assert_int_equal(mqtt_origin_parse(text, &name), 0);
	assert_int_equal(origins_received(o, &name, false), ORIGIN_OWN);
	name.boot++;
	assert_int_equal(origins_received(o, &name, false), ORIGIN_NEW);
	origins_close(o);
}

static void
the_table_has_a_limit(void **state)
{
	struct origins *o = opened(dir);
	char endpoint[ENDPOINT_NAME_MAX];

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(endpoint, sizeof(endpoint), "e%u", i);
		assert_int_equal(received(o, endpoint, 7, 5), ORIGIN_NEW);
		if (i < 5000)
			assert_int_equal(
			    received(o, endpoint, 7, 5), ORIGIN_REPEATED);
	}
	assert_int_equal(received(o, "e19999", 7, 5), ORIGIN_REPEATED);
	origins_close(o);
	forget();
}

/* Anyone who may publish can invent origins. */
static void
a_flood_does_not_replace_what_is_used(void **state)
{
	struct origins *o = opened(dir);
	struct origin_name name = { "", "gps", 0, 5 };
	struct origin own;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		origins_next(o, "gps", &own);
	received(o, "real", 7, 100);
	received(o, "real", 7, 101);
	for (unsigned i = 0; i < 40000; i++) {
		snprintf(name.host, sizeof(name.host), "h%u", i);
		name.boot = i;
		assert_int_equal(origins_received(o, &name, false), ORIGIN_NEW);
	}
	assert_int_equal(origins_missing(o), 0);
	origins_next(o, "gps", &own);
	assert_int_equal(own.sequence, 4);
	assert_int_equal(received(o, "real", 7, 101), ORIGIN_REPEATED);
	origins_close(o);
	o = opened(dir);
	origins_next(o, "gps", &own);
	assert_int_equal(own.sequence, 5);
	assert_int_equal(received(o, "real", 7, 101), ORIGIN_REPEATED);
	origins_close(o);
	forget();
}

/* Names that are not alike, so that some have the same place in the index. */
static unsigned
mixed(unsigned i)
{
	i = (i ^ i >> 15) * 0x2c1b3c6d;
	i = (i ^ i >> 12) * 0x297a2d39;
	return i ^ i >> 15;
}

/* Those that were heard twice are found, whatever was replaced before them in the index. */
static void
the_index_stays_right(void **state)
{
	struct origins *o = opened(NULL);
	char endpoint[ENDPOINT_NAME_MAX];

	(void)state;
	for (unsigned i = 0; i < 50000; i++) {
		snprintf(endpoint, sizeof(endpoint), "%x", mixed(i));
		assert_int_equal(received(o, endpoint, 7, 5), ORIGIN_NEW);
		if (i >= 11000 && i < 16000)
			assert_int_equal(
			    received(o, endpoint, 7, 6), ORIGIN_NEW);
	}
	for (unsigned i = 11000; i < 16000; i++) {
		snprintf(endpoint, sizeof(endpoint), "%x", mixed(i));
		assert_int_equal(received(o, endpoint, 7, 6), ORIGIN_REPEATED);
	}
	origins_close(o);
}

/* Not even by origins that are heard several times. */
static void
own_sequences_are_never_replaced(void **state)
{
	struct origins *o = opened(NULL);
	char endpoint[ENDPOINT_NAME_MAX];
	struct origin own;

	(void)state;
	origins_next(o, "gps", &own);
	for (unsigned i = 0; i < 40000; i++) {
		snprintf(endpoint, sizeof(endpoint), "e%u", i);
		for (unsigned n = 1; n <= 3; n++)
			received(o, endpoint, 7, n);
	}
	origins_next(o, "gps", &own);
	assert_int_equal(own.sequence, 2);
	origins_close(o);
}

static void
boots_of_an_endpoint_are_limited(void **state)
{
	struct origins *o = opened(NULL);

	(void)state;
	received(o, "gps", 7, 100);
	received(o, "gps", 7, 101);
	received(o, "meter", 7, 1);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(received(o, "gps", 1000 + i, 1), ORIGIN_NEW);
	assert_int_equal(received(o, "gps", 7, 101), ORIGIN_REPEATED);
	assert_int_equal(received(o, "meter", 7, 1), ORIGIN_REPEATED);
	assert_int_equal(received(o, "gps", 1999, 1), ORIGIN_REPEATED);
	assert_int_equal(received(o, "gps", 1500, 1), ORIGIN_NEW);
	origins_close(o);
}

static void
a_sequence_that_is_invented(void **state)
{
	struct origins *o = opened(NULL);

	(void)state;
	assert_int_equal(received(o, "gps", 7, 1), ORIGIN_NEW);
	assert_int_equal(received(o, "gps", 7, INT64_MAX), ORIGIN_NEW);
	assert_int_equal(received(o, "gps", 7, INT64_MAX), ORIGIN_REPEATED);
	assert_int_equal(received(o, "gps", 8, INT64_MAX), ORIGIN_NEW);
	assert_int_equal(origins_missing(o), 0);
	origins_close(o);
}

static void
a_file_is_of_one_daemon(void **state)
{
	struct origins *o = opened(dir), *same = opened(dir);

	(void)state;
	/* Within a process it is the same. */
	assert_ptr_equal(o, same);
	origins_close(o);
	origins_close(same);
	forget();
	/* Without a directory they are in memory. */
	o = opened("/no/such/directory");
	assert_int_equal(received(o, "gps", 7, 1), ORIGIN_NEW);
	origins_close(o);
}

static void
origins_of_others_are_checked(void **state)
{
	static const char *const wrong[] = { "", "a", "a/b/c/d", "a/b/12/1",
		"a/b/0123456789abcdef/0", "a/b/0123456789abcdef/",
		"/b/0123456789abcdef/1", "a//0123456789abcdef/1",
		"a/b/0123456789abcdeF/1", "a b/c/0123456789abcdef/1",
		"a/b/0123456789abcdef/99999999999999999999" };
	struct origin_name name;

	(void)state;
	for (size_t i = 0; i < NELEM(wrong); i++)
		assert_int_equal(mqtt_origin_parse(wrong[i], &name), -EINVAL);
	assert_int_equal(mqtt_origin_parse("a/b/0123456789abcdef/9", &name), 0);
	assert_string_equal(name.host, "a");
	assert_string_equal(name.endpoint, "b");
	assert_int_equal(name.boot, 0x0123456789abcdef);
	assert_int_equal(name.sequence, 9);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sequences_go_on_in_the_same_boot),
		cmocka_unit_test(repeated_and_missing_frames_are_counted),
		cmocka_unit_test(an_origin_is_printed),
		cmocka_unit_test(own_frames_are_recognised),
		cmocka_unit_test(the_table_has_a_limit),
		cmocka_unit_test(a_flood_does_not_replace_what_is_used),
		cmocka_unit_test(the_index_stays_right),
		cmocka_unit_test(own_sequences_are_never_replaced),
		cmocka_unit_test(boots_of_an_endpoint_are_limited),
		cmocka_unit_test(a_sequence_that_is_invented),
		cmocka_unit_test(a_file_is_of_one_daemon),
		cmocka_unit_test(origins_of_others_are_checked),
	};
	int r;

	assert_non_null(mkdtemp(dir));
	r = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(dir);
	return r;
}
