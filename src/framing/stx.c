/*
 * stx: STX ... ETX, optionally followed by a block check character (BCC), the xor of
 * the bytes on the wire after STX up to and including ETX.  With dle both control
 * characters are preceded by a DLE, and a DLE in the payload is doubled, so that any
 * payload can be written.
 *
 * An STX inside a frame begins another frame.  An oversize frame is discarded from its
 * STX up to its ETX or the next STX.
 */
#include <errno.h>
#include <string.h>

#include "codec.h"
#include "scan.h"

#define STX 0x02
#define ETX 0x03
#define DLE 0x10

/* state[RUN]: the available bytes belong to an oversize frame. */
#define RUN 0

static const struct key stx_keys[] = {
	{
	    .name = "dle",
	    .type = KEY_BOOL,
	    .offset = offsetof(struct framing_conf, dle),
	    .def = "no",
	    .help = "DLE before STX and ETX, DLE doubled in the payload",
	},
	{
	    .name = "bcc",
	    .type = KEY_BOOL,
	    .offset = offsetof(struct framing_conf, bcc),
	    .def = "no",
	    .help = "a block check character after ETX",
	},
	{ 0 },
};

static int
stx_check(struct framing_conf *conf, struct error *err)
{
	return conf->bcc ? rule_check_own(conf, err) : 0;
}

/* --- decoding ------------------------------------------------------------ */

/*
 * The position of the next control character at or after from, or len.  With dle, *what
 * is the byte after the DLE, -1 while that is not available, and doubled DLEs are not
 * control characters.
 */
static size_t
next_control(bool dle, const uint8_t *in, size_t from, size_t len, int *what)
{
	const uint8_t *p;

	*what = -1;
	if (!dle) {
		from = scan_either(in, from, len, STX, ETX);
		if (from < len)
			*what = in[from];
		return from;
	}
	while ((p = memchr(in + from, DLE, len - from)) != NULL) {
		from = (size_t)(p - in);
		if (from + 1 == len)
			return from;
		if (p[1] != DLE) {
			*what = p[1];
			return from;
		}
		from += 2;
	}
	return len;
}

/* The position at or after from where a frame begins, possibly cut off; or len. */
static size_t
find_stx(
    const struct framing_conf *conf, const uint8_t *in, size_t from, size_t len)
{
	static const uint8_t sync[] = { DLE, STX };

	return rule_find_sync(sync + !conf->dle, 1u + conf->dle, in, from, len);
}

/* Discards more of an oversize frame. */
static enum decode_result
stx_run(struct decoder *d, const uint8_t *in, size_t len, struct decoded *out)
{
	bool dle = d->conf->dle;
	size_t at = 0;
	int what;

	for (;;) {
		at = next_control(dle, in, at, len, &what);
		if (what == -1 || what == STX || what == ETX)
			break;
		at += 2;
	}
	if (what == ETX) {
		d->state[RUN] = 0;
		return rule_bad(d, out, at + 1 + dle, BAD_OVERSIZE);
	}
	if (at > 0)
		return rule_discard(d, out, at, BAD_OVERSIZE);
	if (what == STX) {
		d->state[RUN] = 0;
		d->discarding = false;
		return DECODE_FRAME;
	}
	return rule_more(d, 0);
}

/* Replaces doubled DLEs, the first of which is at dle, by single ones, in place. */
static size_t
stx_unstuff(uint8_t *p, size_t len, const uint8_t *dle)
{
	uint8_t *to = p + (dle - p);

	for (; dle < p + len; dle++) {
		*to++ = *dle;
		dle += *dle == DLE;
	}
	return (size_t)(to - p);
}

/* The frame is complete, with len bytes between its control characters. */
static enum decode_result
stx_complete(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	const struct framing_conf *conf = d->conf;
	size_t head = 1u + conf->dle, total = head + len + head + conf->bcc;
	uint8_t *p = in + head, *from, *dle;

	if (conf->bcc && xor8(p, len + head) != in[total - 1])
		return rule_bad(
		    d, out, find_stx(conf, in, total - 1, total), BAD_CHECKSUM);
	dle = conf->dle ? memchr(p, DLE, len) : NULL;
	if (dle != NULL) {
		from = rule_own(d, p, len);
		dle += from - p;
		p = from;
		len = stx_unstuff(p, len, dle);
	}
	if (len > d->max)
		return rule_bad(d, out, total, BAD_OVERSIZE);
	return rule_frame(d, out, total, p, len, true);
}

static enum decode_result
stx_decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	const struct framing_conf *conf = d->conf;
	size_t head = 1u + conf->dle, longest = d->max << conf->dle, at;
	enum decode_result result;
	int what;

	if (len == 0)
		return DECODE_MORE;
	if (d->state[RUN] &&
	    (result = stx_run(d, in, len, out)) != DECODE_FRAME)
		return result;
	at = find_stx(conf, in, 0, len);
	if (at > 0)
		return rule_discard(d, out, at, BAD_NOISE);
	if (len < head)
		return rule_more(d, 0);
	d->discarding = false;
	at = next_control(conf->dle, in, MAX(d->scanned, head), len, &what);
	if (at - head > longest) {
		d->state[RUN] = 1;
		return rule_discard(d, out, head, BAD_OVERSIZE);
	}
	if (what == -1 || (what == ETX && len - at < head + conf->bcc))
		return rule_more(d, at);
	if (what == ETX)
		return stx_complete(d, in, at - head, out);
	return rule_bad(d, out, what == STX ? at : at + 2, BAD_MALFORMED);
}

static enum decode_result
stx_silent(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	enum bad_reason reason = d->state[RUN] ? BAD_OVERSIZE : BAD_MALFORMED;

	d->state[RUN] = 0;
	return rule_bad(d, out, find_stx(d->conf, in, 1, len), reason);
}

/* --- encoding ------------------------------------------------------------ */

static long
stx_encode(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	uint8_t *to = out, *body;
	int what;

	if (!conf->dle && next_control(false, in, 0, len, &what) < len)
		return -EINVAL;
	if (conf->dle)
		*to++ = DLE;
	*to++ = STX;
	body = to;
	while (conf->dle && len > 0) {
		const uint8_t *dle = memchr(in, DLE, len);
		size_t n = dle != NULL ? (size_t)(dle - in) + 1 : len;

		memcpy(to, in, n);
		to += n;
		in += n;
		len -= n;
		if (dle != NULL)
			*to++ = DLE;
	}
	memcpy(to, in, len);
	to += len;
	if (conf->dle)
		*to++ = DLE;
	*to++ = ETX;
	if (conf->bcc) {
		*to = xor8(body, (size_t)(to - body));
		to++;
	}
	return to - out;
}

static size_t
stx_bound(const struct framing_conf *conf, size_t len)
{
	return (len << conf->dle) + 5;
}

const struct framing framing_stx = {
	.name = "stx",
	.summary = "STX ... ETX, with DLE stuffing and a block check if wanted",
	.keys = stx_keys,
	.check = stx_check,
	.decode = stx_decode,
	.silent = stx_silent,
	.encode = stx_encode,
	.bound = stx_bound,
};
