/*
 * base64: bytes as text and back.
 */
#include <errno.h>
#include <string.h>

#include "base64.h"

static const char digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    "0123456789+/";

size_t
base64_encode(const uint8_t *in, size_t len, char *out)
{
	char *p = out;

	for (size_t i = 0; i < len; i += 3) {
		size_t n = MIN(len - i, (size_t)3);
		uint32_t bits = (uint32_t)in[i] << 16;

		bits |= n > 1 ? (uint32_t)in[i + 1] << 8 : 0;
		bits |= n > 2 ? in[i + 2] : 0;
		*p++ = digits[bits >> 18];
		*p++ = digits[bits >> 12 & 63];
		*p++ = n > 1 ? digits[bits >> 6 & 63] : '=';
		*p++ = n > 2 ? digits[bits & 63] : '=';
	}
	*p = '\0';
	return (size_t)(p - out);
}

/* The values of the characters from '+' to 'z'. */
#define NONE 64
static const uint8_t values[] = { 62, NONE, NONE, NONE, 63, 52, 53, 54, 55, 56,
	57, 58, 59, 60, 61, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 0, 1, 2,
	3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22,
	23, 24, 25, NONE, NONE, NONE, NONE, NONE, NONE, 26, 27, 28, 29, 30, 31,
	32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49,
	50, 51 };

/* The value of a digit; NONE: it is none. */
static inline uint32_t
value(char c)
{
	size_t i = (size_t)((uint8_t)c - '+');

	return i < NELEM(values) ? values[i] : NONE;
}

/* The number of digits; without the padding, which must be complete if there is any. */
static long
count_digits(const char *text, size_t len)
{
	size_t padding = 0;

	while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
		padding++;
	if ((padding > 0 && len % 4 != 0) || (len - padding) % 4 == 1)
		return -EINVAL;
	return (long)(len - padding);
}

long
base64_decode(const char *text, size_t len, uint8_t *out, size_t size)
{
	long n = count_digits(text, len);
	uint32_t all = 0, bits = 0, v;
	uint8_t *p = out;
	unsigned rest;

	if (n < 0)
		return n;
	rest = (unsigned)(n % 4);
	if ((size_t)n / 4 * 3 + rest * 3 / 4 > size)
		return -ENOSPC;
	for (; n >= 4; n -= 4, text += 4) {
		for (unsigned i = 0; i < 4; i++) {
			v = value(text[i]);
			all |= v;
			bits = bits << 6 | v;
		}
		*p++ = (uint8_t)(bits >> 16);
		*p++ = (uint8_t)(bits >> 8);
		*p++ = (uint8_t)bits;
	}
	bits = 0;
	for (unsigned i = 0; i < rest; i++) {
		v = value(text[i]);
		all |= v;
		bits |= v << (18 - 6 * i);
	}
	if (rest > 1)
		*p++ = (uint8_t)(bits >> 16);
	if (rest > 2)
		*p++ = (uint8_t)(bits >> 8);
	/* The bits that are left must be 0, so that bytes have one spelling. */
	if ((all & NONE) != 0 ||
	    (bits &
		(rest == 2	    ? 0xffff
			: rest == 3 ? 0xff
				    : 0)) != 0)
		return -EINVAL;
	return p - out;
}
