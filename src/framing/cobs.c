/*
 * cobs: consistent overhead byte stuffing (Cheshire and Baker 1999) and COBS/R, its
 * reduced form.
 *
 * A frame is a sequence of blocks: a code byte followed by code - 1 bytes that are not
 * zero.  Each block stands for its bytes followed by a zero, except that no zero
 * follows a full block (code 255) and the last block.  So the payload is the frame
 * without its first byte and with the other codes replaced by zeros: decoding in place
 * writes those zeros, and data has to be moved only after a full block.  In COBS/R a
 * code that points past the end of the frame is itself the last byte of the payload.
 */
#include <errno.h>
#include <string.h>

#include "codec.h"
#include "scan.h"

#define FULL 255

/* --- decoding ------------------------------------------------------------ */

/* Decodes p in place; the payload starts at its second byte.  Returns its length, or
 * -1. */
static long
cobs_unstuff(uint8_t *p, size_t len, bool reduced)
{
	size_t at = 0, next, code = p[0], moved = 0;

	while ((next = at + code) < len) {
		size_t next_code = p[next];

		if (moved > 0)
			memmove(p + at + 1 - moved, p + at + 1, code - 1);
		if (code == FULL)
			moved++;
		else
			p[next - moved] = 0;
		at = next;
		code = next_code;
	}
	if (next > len && !reduced)
		return -1;
	if (moved > 0)
		memmove(p + at + 1 - moved, p + at + 1, len - at - 1);
	if (next > len) {
		p[len - moved] = (uint8_t)code;
		return (long)(len - moved);
	}
	return (long)(len - 1 - moved);
}

static inline enum decode_result
decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out,
    bool reduced)
{
	size_t longest = d->max + d->max / (FULL - 1) + 1;
	struct flagged f;
	long n;

	if (!rule_flagged(d, in, len, out, 0, longest, &f))
		return f.result;
	/* If the frame is a single block, nothing has to be changed.  Otherwise the
	 * flag after it may be overwritten, too. */
	if (f.start[0] != f.len)
		f.start = rule_own(d, f.start, f.len + 1);
	n = cobs_unstuff(f.start, f.len, reduced);
	if (n < 0)
		return rule_bad(d, out, f.used, BAD_MALFORMED);
	if ((size_t)n > d->max)
		return rule_bad(d, out, f.used, BAD_OVERSIZE);
	return rule_frame(d, out, f.used, f.start + 1, (size_t)n, true);
}

static enum decode_result
cobs_decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	return decode(d, in, len, out, false);
}

static enum decode_result
cobsr_decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	return decode(d, in, len, out, true);
}

/* --- encoding ------------------------------------------------------------ */

/*
 * The state of an encoder.  Each byte of the payload is copied, and a zero becomes the
 * code of the next block at the same position; only after a full block a code is
 * inserted.
 */
struct chain {
	uint8_t *code; /* of the current block */
	uint8_t *to;   /* after its bytes */
};

/* Ends the current block; the code of the next one is at place. */
static inline void
next_block(struct chain *c, uint8_t *place)
{
	*c->code = (uint8_t)(place - c->code);
	c->code = place;
}

/* Encodes the payload; the code of the last block is not written. */
static inline void
stuff(struct chain *c, const uint8_t *in, size_t len)
{
	const uint8_t *stop = in + len;
	uint32_t hits;

	while (in < stop) {
		if (stop - in >= LANES && c->to + LANES <= c->code + FULL) {
			memcpy(c->to, in, LANES);
			hits = scan(in, 0, 0, 0);
			for (; hits != 0; hits &= hits - 1)
				next_block(c, c->to + scan_first(hits));
			c->to += LANES;
			in += LANES;
			continue;
		}
		if (c->to == c->code + FULL)
			next_block(c, c->to++);
		if (*in == 0)
			next_block(c, c->to);
		*c->to++ = *in++;
	}
}

static inline long
encode(const uint8_t *in, size_t len, uint8_t *out, bool reduced)
{
	struct chain c = { out, out + 1 };
	size_t code;

	stuff(&c, in, len);
	code = (size_t)(c.to - c.code);
	if (reduced && code > 1 && c.to[-1] >= code)
		code = *--c.to;
	*c.code = (uint8_t)code;
	*c.to++ = 0;
	return c.to - out;
}

static long
cobs_encode(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	(void)conf;
	return encode(in, len, out, false);
}

static long
cobsr_encode(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	(void)conf;
	return encode(in, len, out, true);
}

static size_t
cobs_bound(const struct framing_conf *conf, size_t len)
{
	(void)conf;
	return len + len / (FULL - 1) + 2;
}

const struct framing framing_cobs = {
	.name = "cobs",
	.summary = "consistent overhead byte stuffing, 00 ends",
	.decode = cobs_decode,
	.encode = cobs_encode,
	.bound = cobs_bound,
};

const struct framing framing_cobsr = {
	.name = "cobsr",
	.summary = "COBS/R: COBS that mostly saves its extra byte",
	.decode = cobsr_decode,
	.encode = cobsr_encode,
	.bound = cobs_bound,
};
