/*
 * framing_scan: looks for bytes sixteen at a time, with whatever the compiler has for
 * a vector of sixteen bytes; FRAMING_PLAIN, or a machine whose bytes are in the
 * other order, takes the loop instead.
 */
#ifndef FRAMING_SCAN_H
#define FRAMING_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LANES 16

/* The first of LANES bytes that is a or b, or LANES. */
static inline size_t
scan_either_plain(const uint8_t *p, uint8_t a, uint8_t b)
{
	size_t i = 0;

	while (i < LANES && p[i] != a && p[i] != b)
		i++;
	return i;
}

/* The first of LANES bytes that is a, b or under low, or LANES. */
static inline size_t
scan_class_plain(const uint8_t *p, uint8_t a, uint8_t b, uint8_t low)
{
	size_t i = 0;

	while (i < LANES && p[i] != a && p[i] != b && p[i] >= low)
		i++;
	return i;
}

#if defined(FRAMING_PLAIN) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__

#define scan_either scan_either_plain
#define scan_class scan_class_plain

#else

typedef uint8_t lanes __attribute__((vector_size(LANES)));
typedef int8_t lane_mask __attribute__((vector_size(LANES)));

static inline lanes
lanes_load(const uint8_t *p)
{
	lanes v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* The first lane that is set, or LANES. */
static inline size_t
lanes_first(lane_mask hit)
{
	uint64_t half[2];

	memcpy(half, &hit, sizeof(half));
	if ((half[0] | half[1]) == 0)
		return LANES;
	if (half[0] != 0)
		return (size_t)__builtin_ctzll(half[0]) / 8;
	return 8 + (size_t)__builtin_ctzll(half[1]) / 8;
}

static inline size_t
scan_either(const uint8_t *p, uint8_t a, uint8_t b)
{
	lanes v = lanes_load(p);

	return lanes_first((v == a) | (v == b));
}

static inline size_t
scan_class(const uint8_t *p, uint8_t a, uint8_t b, uint8_t low)
{
	lanes v = lanes_load(p);

	return lanes_first((v == a) | (v == b) | (v < low));
}

#endif
#endif
