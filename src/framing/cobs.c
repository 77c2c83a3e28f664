/*
 * cobs: consistent overhead byte stuffing (Cheshire and Baker 1999) and
 * COBS/R, its reduced form.
 *
 * A frame is a chain of blocks: a code byte, then code - 1 bytes that are not zero.
 * Between two blocks stood a zero, unless the first one is full (code 255).  So the
 * payload is the frame without its first byte and with zeros where the other
 * codes stand: decoding in place writes those zeros, and only a full block's
 * successor has to move.  In COBS/R a code that points past the end of the frame is
 * the last byte itself.
 */
#include <errno.h>
#include <string.h>

#include "codec.h"
#include "scan.h"

#define FULL 255

/* --- decoding ------------------------------------------------------------ */

/* Decodes p in place, after its first byte; the payload's length, or -1. */
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
	/* One block, whole: nothing has to be changed.  Else the flag may be, too. */
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
 * A chain of blocks being written.  A byte of the payload goes to where the code
 * before it leaves it, and so does a zero, which is where the next code goes; but
 * after a full block a code is put in.
 */
struct chain {
	uint8_t *code; /* of the block that is open */
	uint8_t *to;   /* after its bytes */
};

/* The byte at the place is the next code. */
static inline void
next_block(struct chain *c, uint8_t *place)
{
	*c->code = (uint8_t)(place - c->code);
	c->code = place;
}

/* Blocks of all the payload; the last one is left open, without a code. */
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
