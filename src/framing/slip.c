/*
 * slip: RFC 1055.  END is written before and after each frame, so that preceding noise
 * becomes a separate frame; a frame received without a leading END is written with one.
 */
#include <errno.h>
#include <string.h>

#include "codec.h"
#include "scan.h"

#define END 0xc0
#define ESC 0xdb
#define ESC_END 0xdc
#define ESC_ESC 0xdd

/* Removes the escapes in place; returns the new length, or -1 for an invalid one. */
static long
slip_unescape(uint8_t *p, size_t len)
{
	const uint8_t *from = p, *stop = p + len;
	uint8_t *to = p;

	for (;;) {
		scan_move(&to, &from, stop, ESC);
		if (from == stop)
			return to - p;
		if (stop - from < 2 ||
		    (from[1] != ESC_END && from[1] != ESC_ESC))
			return -1;
		*to++ = from[1] == ESC_END ? END : ESC;
		from += 2;
	}
}

static enum decode_result
slip_decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	struct flagged f;
	uint8_t *esc, *p;
	bool lead;
	long n;

	if (!rule_flagged(d, in, len, out, END, 2 * d->max, &f))
		return f.result;
	lead = f.start > in;
	esc = memchr(f.start, ESC, f.len);
	if (esc != NULL) {
		p = rule_own(d, f.start, f.len);
		esc += p - f.start;
		f.start = p;
		n = slip_unescape(esc, (size_t)(p + f.len - esc));
		if (n < 0)
			return rule_bad(d, out, f.used, BAD_MALFORMED);
		n += esc - f.start;
	} else
		n = (long)f.len;
	if ((size_t)n > d->max)
		return rule_bad(d, out, f.used, BAD_OVERSIZE);
	return rule_frame(d, out, f.used, f.start, (size_t)n, lead);
}

static inline uint8_t *
slip_put(uint8_t *to, uint8_t byte)
{
	*to++ = ESC;
	*to++ = byte == END ? ESC_END : ESC_ESC;
	return to;
}

static long
slip_encode(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	uint8_t *to = out;

	(void)conf;
	if (len == 0)
		return -EINVAL;
	*to++ = END;
	to = scan_escape(to, in, len, END, ESC, 0, slip_put);
	*to++ = END;
	return to - out;
}

static size_t
slip_bound(const struct framing_conf *conf, size_t len)
{
	(void)conf;
	return 2 * len + 2;
}

const struct framing framing_slip = {
	.name = "slip",
	.summary = "RFC 1055: END C0, ESC DB",
	.decode = slip_decode,
	.encode = slip_encode,
	.bound = slip_bound,
};
