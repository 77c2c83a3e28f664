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

/* The value of a digit, or -1. */
static int
value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
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
	uint32_t bits = 0;
	size_t used = 0;
	int v;

	if (n < 0)
		return n;
	if ((size_t)n / 4 * 3 + (size_t)n % 4 * 3 / 4 > size)
		return -ENOSPC;
	for (long i = 0; i < n; i++) {
		if ((v = value(text[i])) < 0)
			return -EINVAL;
		bits = bits << 6 | (uint32_t)v;
		/* Each digit but the first of four completes a byte. */
		if (i % 4 > 0)
			out[used++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	/* The bits that are not used must be 0, so that each text has one spelling. */
	if (n % 4 > 0 && (bits & ((1U << (n % 4 == 2 ? 4 : 2)) - 1)) != 0)
		return -EINVAL;
	return (long)used;
}
