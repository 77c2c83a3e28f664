/*
 * scan: searches for bytes sixteen at a time, with the compiler's vector types; with
 * FRAMING_PLAIN or on a big-endian machine a plain loop is used instead.
 */
#ifndef SCAN_H
#define SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LANES 16

/* Returns a bit for each of LANES bytes, the lowest for the first one: set if the byte
 * is a, b or less than low. */
static inline uint32_t
scan_plain(const uint8_t *p, uint8_t a, uint8_t b, uint8_t low)
{
	uint32_t hits = 0;

	for (unsigned i = 0; i < LANES; i++)
		hits |= (uint32_t)(p[i] == a || p[i] == b || p[i] < low) << i;
	return hits;
}

#if defined(FRAMING_PLAIN) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__

#define scan scan_plain

#else

typedef uint8_t lanes __attribute__((vector_size(LANES)));
typedef int8_t lane_mask __attribute__((vector_size(LANES)));

/* Returns a bit for each lane, set if the lane is set. */
static inline uint32_t
lanes_bits(lane_mask hit)
{
#ifdef __SSE2__
	typedef char chars __attribute__((vector_size(LANES)));

	return (uint32_t)__builtin_ia32_pmovmskb128((chars)hit);
#else
	const uint64_t ones = 0x0101010101010101,
		       read_until_full = 0x0102040810204080;
	uint64_t half[2];

	memcpy(half, &hit, sizeof(half));
	if ((half[0] | half[1]) == 0)
		return 0;
	return (uint32_t)((half[0] & ones) * read_until_full >> 56 |
	    (half[1] & ones) * read_until_full >> 56 << 8);
#endif
}

static inline __attribute__((always_inline)) uint32_t
scan(const uint8_t *p, uint8_t a, uint8_t b, uint8_t low)
{
	lanes v;

	memcpy(&v, p, sizeof(v));
	return lanes_bits((v == a) | (v == b) | (v < low));
}

#endif

/* The index of the first hit; hits must not be 0. */
static inline unsigned
scan_first(uint32_t hits)
{
	return (unsigned)__builtin_ctz(hits);
}

/* The position at or after at of the first byte that is a or b; or len. */
static inline size_t
scan_either(const uint8_t *p, size_t at, size_t len, uint8_t a, uint8_t b)
{
	uint32_t hits;

	for (; len - at >= LANES; at += LANES)
		if ((hits = scan(p + at, a, b, 0)) != 0)
			return at + scan_first(hits);
	while (at < len && p[at] != a && p[at] != b)
		at++;
	return at;
}

/* The xor of the first n of LANES bytes, to be folded by scan_fold(). */
static inline uint64_t
scan_xor(const uint8_t *p, unsigned n)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	uint64_t w[2];

	memcpy(w, p, LANES);
	if (n < 8)
		return n == 0 ? 0 : w[0] << (64 - 8 * n);
	return n == 8 ? w[0] : w[0] ^ w[1] << (128 - 8 * n);
#else
	uint64_t x = 0;

	for (; n > 0; n--)
		x ^= *p++;
	return x;
#endif
}

/* Whether c is not in the range '%' to '~'. */
static inline bool
scan_is_other(uint8_t c)
{
	return c < '%' || c > '~';
}

/*
 * The position at or after at of the first byte not in the range '%' to '~'; or len.
 * The bytes before it are xored into *sum, which is to be folded by scan_fold().
 */
static inline size_t
scan_other(const uint8_t *p, size_t at, size_t len, uint64_t *sum)
{
	uint64_t x = *sum;

#ifndef scan
	lanes both = { 0 }, v, w;
	uint64_t half[2];
	uint32_t hits;

	/* '~' + 1 is the largest signed byte; for greater bytes the sum is negative. */
#define OTHER(v) ((lane_mask)((v) + 1) < '%' + 1)
	for (; len - at >= 2 * LANES; at += 2 * LANES) {
		memcpy(&v, p + at, sizeof(v));
		memcpy(&w, p + at + LANES, sizeof(w));
		if (lanes_bits(OTHER(v) | OTHER(w)) != 0)
			break;
		both ^= v ^ w;
	}
	for (; len - at >= LANES; at += LANES) {
		memcpy(&v, p + at, sizeof(v));
		if ((hits = lanes_bits(OTHER(v))) != 0) {
			x ^= scan_xor(p + at, scan_first(hits));
			at += scan_first(hits);
			len = at;
			break;
		}
		both ^= v;
	}
	/* The remaining bytes are at the end of the last LANES bytes. */
	if (at < len && len >= LANES) {
		unsigned rest = (unsigned)(len - at);

		memcpy(&v, p + len - LANES, sizeof(v));
		if (lanes_bits(OTHER(v)) >> (LANES - rest) == 0) {
			both ^= v;
			x ^= scan_xor(p + len - LANES, LANES - rest);
			at = len;
		}
	}
#undef OTHER
	memcpy(half, &both, sizeof(half));
	x ^= half[0] ^ half[1];
#endif
	while (at < len && !scan_is_other(p[at]))
		x ^= p[at++];
	*sum = x;
	return at;
}

/* The xor of all bytes of x. */
static inline uint8_t
scan_fold(uint64_t x)
{
	x ^= x >> 32;
	x ^= x >> 16;
	return (uint8_t)(x ^ x >> 8);
}

/* Moves the bytes up to the next byte end, or up to stop, to *to, which is not after
 * *from. */
static inline void
scan_move(uint8_t **to, const uint8_t **from, const uint8_t *stop, uint8_t end)
{
	const uint8_t *p = *from;
	uint8_t *t = *to;
	uint32_t hits = 0;

	while (stop - p >= LANES && (hits = scan(p, end, end, 0)) == 0) {
		memmove(t, p, LANES);
		t += LANES;
		p += LANES;
	}
	if (hits != 0)
		stop = p + scan_first(hits);
	while (p < stop && *p != end)
		*t++ = *p++;
	*from = p;
	*to = t;
}

/*
 * Copies bytes to a buffer with space for twice as many, and calls put() to write those
 * that are a, b or less than low.  Sixteen bytes are copied at a time, and the output
 * of put() overwrites the rest of them.
 */
static inline __attribute__((always_inline)) uint8_t *
scan_escape(uint8_t *to, const uint8_t *in, size_t len, uint8_t a, uint8_t b,
    uint8_t low, uint8_t *(*put)(uint8_t *, uint8_t))
{
	const uint8_t *stop = in + len;
	uint32_t hits;
	unsigned done, n;

	while (stop - in >= 2 * LANES) {
		hits = scan(in, a, b, low);
		memcpy(to, in, LANES);
		for (done = 0; hits != 0; hits &= hits - 1) {
			n = scan_first(hits);
			to = put(to + (n - done), in[n]);
			done = n + 1;
			memcpy(to, in + done, LANES);
		}
		to += LANES - done;
		in += LANES;
	}
	for (; in < stop; in++) {
		if (stop - in >= LANES) {
			hits = scan(in, a, b, low);
			n = hits != 0 ? scan_first(hits) : LANES;
			memcpy(to, in, LANES);
			to += n;
			in += n;
			if (in == stop)
				break;
		}
		if (*in == a || *in == b || *in < low)
			to = put(to, *in);
		else
			*to++ = *in;
	}
	return to;
}

#endif
