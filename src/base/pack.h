/*
 * pack: serializes numbers and byte strings to memory, and reads them back.
 *
 * Both ends are daemons on the same machine, so numbers are in host byte order.  When a
 * reader requests more than is left, the unpack has failed: everything read from then
 * on is zero or empty, and the reader checks `failed` at the end.
 */
#ifndef PACK_H
#define PACK_H

#include "util.h"

struct pack {
	uint8_t *data;
	size_t len, size;
	bool failed; /* out of memory */
};
void pack_number(struct pack *p, uint64_t n);
/* Adds the length and the bytes. */
void pack_bytes(struct pack *p, const void *data, size_t len);
/* A NULL string is treated as "". */
void pack_string(struct pack *p, const char *s);
/* Reserves len bytes, which must be filled in before the next call; NULL if the pack
 * has failed. */
uint8_t *pack_room(struct pack *p, size_t len);
void pack_free(struct pack *p);

struct unpack {
	const uint8_t *at;
	size_t left;
	bool failed;
	int version; /* of the format, for use by the reader */
};
uint64_t unpack_number(struct unpack *u);
/* A number that is at most max; a larger one is a failure. */
uint64_t unpack_number_to(struct unpack *u, uint64_t max);
bool unpack_bool(struct unpack *u);
/* The bytes are not copied. */
const uint8_t *unpack_bytes(struct unpack *u, size_t *ret_len);
struct span {
	const uint8_t *at;
	size_t len;
};
void unpack_span(struct unpack *u, struct span *ret);
/* A NULL string is treated as "". */
bool span_is(const struct span *span, const char *s);
/* A string that does not fit or contains a NUL is a failure. */
void unpack_string(struct unpack *u, char *buf, size_t size);
/* A number of elements of at least `each` bytes; more than can be left is a failure. */
size_t unpack_count(struct unpack *u, size_t each);

#endif
