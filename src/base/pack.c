/*
 * pack: numbers take eight bytes; byte strings are padded to a multiple of eight.
 */
#include <stdlib.h>
#include <string.h>

#include "pack.h"

#define PACK_MIN 4096

static size_t
padded(size_t len)
{
	return (len + 7) & ~(size_t)7;
}

uint8_t *
pack_room(struct pack *p, size_t len)
{
	size_t want = p->len + padded(len), size = MAX(p->size, PACK_MIN);
	uint8_t *data, *at;

	if (p->failed)
		return NULL;
	while (size < want)
		size *= 2;
	if (size > p->size) {
		if ((data = realloc(p->data, size)) == NULL) {
			p->failed = true;
			return NULL;
		}
		p->data = data;
		p->size = size;
	}
	at = p->data + p->len;
	memset(at + len, 0, padded(len) - len);
	p->len = want;
	return at;
}

void
pack_number(struct pack *p, uint64_t n)
{
	uint8_t *at = pack_room(p, sizeof(n));

	if (at != NULL)
		memcpy(at, &n, sizeof(n));
}

void
pack_bytes(struct pack *p, const void *data, size_t len)
{
	uint8_t *at;

	pack_number(p, len);
	if ((at = pack_room(p, len)) != NULL && len > 0)
		memcpy(at, data, len);
}

void
pack_string(struct pack *p, const char *s)
{
	pack_bytes(p, s, s != NULL ? strlen(s) : 0);
}

void
pack_free(struct pack *p)
{
	free(p->data);
	memset(p, 0, sizeof(*p));
}

/* --- unpacking ----------------------------------------------------------- */

static const uint8_t *
take(struct unpack *u, size_t len)
{
	const uint8_t *at = u->at;

	if (u->failed || len > u->left || padded(len) > u->left) {
		u->failed = true;
		return NULL;
	}
	u->at += padded(len);
	u->left -= padded(len);
	return at;
}

uint64_t
unpack_number(struct unpack *u)
{
	const uint8_t *at = take(u, sizeof(uint64_t));
	uint64_t n = 0;

	if (at != NULL)
		memcpy(&n, at, sizeof(n));
	return n;
}

uint64_t
unpack_number_to(struct unpack *u, uint64_t max)
{
	uint64_t n = unpack_number(u);

	if (n <= max)
		return n;
	u->failed = true;
	return 0;
}

bool
unpack_bool(struct unpack *u)
{
	return unpack_number_to(u, 1) != 0;
}

const uint8_t *
unpack_bytes(struct unpack *u, size_t *ret_len)
{
	const uint8_t *at;

	*ret_len = (size_t)unpack_number(u);
	at = take(u, *ret_len);
	if (u->failed)
		*ret_len = 0;
	return at;
}

void
unpack_span(struct unpack *u, struct span *ret)
{
	ret->at = unpack_bytes(u, &ret->len);
}

bool
span_is(const struct span *span, const char *s)
{
	size_t len = s != NULL ? strlen(s) : 0;

	return span->len == len && (len == 0 || memcmp(span->at, s, len) == 0);
}

void
unpack_string(struct unpack *u, char *buf, size_t size)
{
	size_t len;
	const uint8_t *at = unpack_bytes(u, &len);

	if (len >= size || (len > 0 && memchr(at, '\0', len) != NULL)) {
		u->failed = true;
		len = 0;
	}
	if (len > 0)
		memcpy(buf, at, len);
	buf[len] = '\0';
}

size_t
unpack_count(struct unpack *u, size_t each)
{
	return (size_t)unpack_number_to(u, u->left / MAX(each, (size_t)8));
}
