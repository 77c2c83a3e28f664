/*
 * pack: numbers and bytes one after the other in memory, and out of it again.
 *
 * Both ends are a daemon on the same machine, so numbers are as they lie there.  A
 * reader that was given less than it is asked for has failed: all that it gives from
 * then on is zero or empty, and whoever reads looks at `failed` in the end.
 */
#ifndef PACK_H
#define PACK_H

#include "util.h"

struct pack {
	uint8_t *data;
	size_t len, size;
	bool failed; /* no memory */
};
void pack_number(struct pack *p, uint64_t n);
/* Their number, and the bytes. */
void pack_bytes(struct pack *p, const void *data, size_t len);
/* NULL is "". */
void pack_string(struct pack *p, const char *s);
/* Room for len bytes, to be filled in now; NULL when it has failed. */
uint8_t *pack_room(struct pack *p, size_t len);
void pack_free(struct pack *p);

struct unpack {
	const uint8_t *at;
	size_t left;
	bool failed;
	bool old; /* for the reader: it is of an earlier version */
};
uint64_t unpack_number(struct unpack *u);
/* A number that is at most max; more is a failure. */
uint64_t unpack_number_to(struct unpack *u, uint64_t max);
bool unpack_bool(struct unpack *u);
/* The bytes stay where they are. */
const uint8_t *unpack_bytes(struct unpack *u, size_t *ret_len);
struct span {
	const uint8_t *at;
	size_t len;
};
void unpack_span(struct unpack *u, struct span *ret);
/* NULL is "". */
bool span_is(const struct span *span, const char *s);
/* One that does not fit, or has a NUL inside, is a failure. */
void unpack_string(struct unpack *u, char *buf, size_t size);
/* A number of things that take at least `each` bytes: not more than can be there. */
size_t unpack_count(struct unpack *u, size_t each);

#endif
