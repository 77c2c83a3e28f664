/*
 * convert: messages of Modbus in the payloads of its framings.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "convert.h"

/* One request in each framing and payload. */
static const struct form {
	const char *framing;
	enum framing_payload payload;
	const char *text;
	size_t len;
} forms[] = {
	{ "modbus-rtu", PAYLOAD_INNER, "\x01\x03\x00\x00\x00\x0a", 6 },
	{ "modbus-rtu", PAYLOAD_WHOLE, "\x01\x03\x00\x00\x00\x0a\xc5\xcd", 8 },
	{ "modbus-ascii", PAYLOAD_INNER, "\x01\x03\x00\x00\x00\x0a", 6 },
	{ "modbus-ascii", PAYLOAD_WHOLE, ":01030000000AF2", 15 },
	{ "modbus-tcp", PAYLOAD_INNER, "\x01\x03\x00\x00\x00\x0a", 6 },
	{ "modbus-tcp", PAYLOAD_WHOLE,
	    "\x00\x00\x00\x00\x00\x06\x01\x03\x00\x00\x00\x0a", 12 },
};

static struct framing_conf
conf_of(const char *framing, enum framing_payload payload)
{
	struct framing_conf conf;

	framing_conf_init(&conf);
	framing_use(&conf, framing_find(framing));
	conf.payload = payload;
	return conf;
}

static void
test_each_form_becomes_each_other(void **state)
{
	uint8_t out[CONVERT_MAX];
	long n;

	(void)state;
	for (size_t i = 0; i < NELEM(forms); i++)
		for (size_t j = 0; j < NELEM(forms); j++) {
			const struct form *a = &forms[i], *b = &forms[j];
			struct framing_conf from =
			    conf_of(a->framing, a->payload);
			struct framing_conf to =
			    conf_of(b->framing, b->payload);

			n = framing_convert(
			    &from, (const uint8_t *)a->text, a->len, &to, out);
			if (n != (long)b->len ||
			    memcmp(out, b->text, b->len) != 0)
				fail_msg("%zu to %zu: %ld bytes", i, j, n);
			/* In place, too. */
			memcpy(out, a->text, a->len);
			assert_int_equal(
			    framing_convert(&from, out, a->len, &to, out),
			    (long)b->len);
			assert_memory_equal(out, b->text, b->len);
			assert_true(framing_differs(&from, &to) ==
			    (a->len != b->len ||
				memcmp(a->text, b->text, a->len) != 0 ||
				a->payload != b->payload));
		}
}

static void
test_what_is_not_a_message_is_refused(void **state)
{
	struct framing_conf rtu = conf_of("modbus-rtu", PAYLOAD_WHOLE);
	struct framing_conf tcp = conf_of("modbus-tcp", PAYLOAD_WHOLE);
	struct framing_conf inner = conf_of("modbus-rtu", PAYLOAD_INNER);
	struct framing_conf line = conf_of("line", PAYLOAD_WHOLE);
	uint8_t out[CONVERT_MAX], longest[CONVERT_MAX + 1] = { 1, 3 };
	const uint8_t *bad = (const uint8_t *)"\x01\x03\x00\x00\x00\x0a\xc5";

	(void)state;
	assert_int_equal(framing_convert(&rtu, bad, 7, &tcp, out), -EINVAL);
	assert_int_equal(framing_convert(&tcp, bad, 7, &rtu, out), -EINVAL);
	assert_int_equal(framing_convert(&inner, bad, 0, &tcp, out), -EINVAL);
	assert_int_equal(framing_convert(&inner, longest, 254, &tcp, out), 260);
	assert_int_equal(
	    framing_convert(&inner, longest, 255, &tcp, out), -EINVAL);
	assert_int_equal(
	    framing_convert(&inner, longest, sizeof(longest), &tcp, out),
	    -EINVAL);
	assert_false(framing_differs(&line, &tcp));
	assert_false(framing_differs(&tcp, &tcp));
}

static void
test_numbers_are_of_whole_messages(void **state)
{
	struct framing_conf tcp = conf_of("modbus-tcp", PAYLOAD_WHOLE);
	struct framing_conf inner = conf_of("modbus-tcp", PAYLOAD_INNER);
	struct framing_conf rtu = conf_of("modbus-rtu", PAYLOAD_WHOLE);
	uint8_t message[12];

	(void)state;
	memcpy(message, forms[5].text, sizeof(message));
	framing_set_number(&tcp, message, sizeof(message), 0x1234);
	assert_memory_equal(message, "\x12\x34\x00\x00", 4);
	assert_int_equal(
	    framing_number(&tcp, message, sizeof(message)), 0x1234);
	assert_int_equal(framing_number(&inner, message, sizeof(message)), 0);
	assert_int_equal(framing_number(&rtu, message, sizeof(message)), 0);
	framing_set_number(&rtu, message, sizeof(message), 7);
	assert_memory_equal(message, "\x12\x34\x00\x00", 4);
	assert_int_equal(framing_number(&tcp, message, 1), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_form_becomes_each_other),
		cmocka_unit_test(test_what_is_not_a_message_is_refused),
		cmocka_unit_test(test_numbers_are_of_whole_messages),
	};

	return cmocka_run_group_tests_name("convert", tests, NULL, NULL);
}
