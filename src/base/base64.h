/*
 * base64: bytes as text and back, RFC 4648.
 */
#ifndef BASE64_H
#define BASE64_H

#include "util.h"

/* The size of the text of len bytes, with its NUL. */
#define BASE64_SIZE(len) (((len) + 2) / 3 * 4 + 1)

/* Writes the text, which ends in NUL, to out; returns its length. */
size_t base64_encode(const uint8_t *in, size_t len, char *out);
/*
 * Converts text of len characters to bytes, and returns their number.  The '=' at the end
 * may be left out.  -EINVAL: it is not base64; -ENOSPC: out is too small.  out may be the
 * same memory as the text.
 */
long base64_decode(const char *text, size_t len, uint8_t *out, size_t size);

#endif
