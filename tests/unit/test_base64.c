/*
 * base64: bytes as text and back.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base64.h"

/* The test vectors of RFC 4648. */
static const struct {
	const char *bytes, *text, *short_text;
} vectors[] = {
	{ "", "", "" },
	{ "f", "Zg==", "Zg" },
	{ "fo", "Zm8=", "Zm8" },
	{ "foo", "Zm9v", "Zm9v" },
	{ "foob", "Zm9vYg==", "Zm9vYg" },
	{ "fooba", "Zm9vYmE=", "Zm9vYmE" },
	{ "foobar", "Zm9vYmFy", "Zm9vYmFy" },
};

static long
decode(const char *text, uint8_t *out, size_t size)
{
	return base64_decode(text, strlen(text), out, size);
}

static void
vectors_of_the_standard(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEM(vectors); i++) {
		const char *bytes = vectors[i].bytes;
		size_t len = strlen(bytes);
		char text[BASE64_SIZE(6)];
		uint8_t out[6];

		assert_int_equal(
		    base64_encode((const uint8_t *)bytes, len, text),
		    strlen(vectors[i].text));
		assert_string_equal(text, vectors[i].text);
		assert_int_equal(decode(text, out, len), len);
		assert_memory_equal(out, bytes, len);
		assert_int_equal(decode(vectors[i].short_text, out, len), len);
		assert_memory_equal(out, bytes, len);
	}
}

static void
every_byte_comes_back_in_place(void **state)
{
	uint8_t bytes[256];
	char text[BASE64_SIZE(256)];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		size_t n = base64_encode(bytes, len, text);

		assert_int_equal(
		    base64_decode(text, n, (uint8_t *)text, sizeof(text)), len);
		assert_memory_equal(text, bytes, len);
	}
}

static void
what_is_not_base64(void **state)
{
	static const char *const bad[] = { "Z", "Zm9vY", "Z===", "=",
		"==", "====", "Zg=", "Zm8==", "Zm9v=", "Zm 9v", "Zm9-", "Zm9_",
		"Zg==Zg==", "Zh==", "Zm9=", "\xff\xff\xff\xff" };
	uint8_t out[16];

	(void)state;
	for (size_t i = 0; i < NELEM(bad); i++)
		assert_int_equal(decode(bad[i], out, sizeof(out)), -EINVAL);
}

static void
too_long_for_its_buffer(void **state)
{
	uint8_t out[4] = { 0, 0, 0, 0xaa };

	(void)state;
	assert_int_equal(decode("Zm9vYg==", out, 3), -ENOSPC);
	assert_int_equal(decode("Zm9v", out, 3), 3);
	assert_int_equal(out[3], 0xaa);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_of_the_standard),
		cmocka_unit_test(every_byte_comes_back_in_place),
		cmocka_unit_test(what_is_not_base64),
		cmocka_unit_test(too_long_for_its_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
