/*
 * hdlc: RFC 1662 on an asynchronous line: flags around each frame (one flag may end a
 * frame and begin the next), byte stuffing, and a frame check sequence over the
 * unstuffed data.
 */
#include <errno.h>
#include <string.h>

#include "codec.h"
#include "scan.h"

#define FLAG 0x7e
#define ESC 0x7d
#define FLIP 0x20

/* With a check sequence, shorter frames are noise between flags. */
#define SHORTEST 4

static const char *const fcs_words[] = {
	"16",
	"32",
	"none",
	NULL,
};
static const uint8_t fcs_size[] = {
	[FCS_16] = 2, [FCS_32] = 4, [FCS_NONE] = 0
};
static const uint8_t fcs_kind[] = { [FCS_16] = CHECKSUM_CRC16_X25,
	[FCS_32] = CHECKSUM_CRC32,
	[FCS_NONE] = CHECKSUM_NONE };

static const struct key hdlc_keys[] = {
	{
	    .name = "fcs",
	    .type = KEY_WORD,
	    .offset = offsetof(struct framing_conf, fcs),
	    .def = "16",
	    .words = fcs_words,
	    .help = "bits of the frame check sequence",
	},
	{
	    .name = "accm",
	    .type = KEY_BOOL,
	    .offset = offsetof(struct framing_conf, accm),
	    .def = "no",
	    .help = "escape bytes under 20 hex too, when writing",
	    .given = offsetof(struct framing_conf, output),
	},
	{ 0 },
};

static int
hdlc_check(struct framing_conf *conf, struct error *err)
{
	return conf->fcs == FCS_NONE ? 0 : rule_check_own(conf, err);
}

static inline bool
long_enough(const struct framing_conf *conf, size_t len)
{
	return len >= (conf->fcs == FCS_NONE ? 1 : SHORTEST);
}

/* Whether the last escape has no byte after it. */
static bool
given_up(const uint8_t *p, size_t len)
{
	size_t run = 0;

	while (run < len && p[len - 1 - run] == ESC)
		run++;
	return run % 2 != 0;
}

/* Removes the escapes in place and returns the new length. */
static size_t
hdlc_unescape(uint8_t *p, size_t len)
{
	const uint8_t *from = p, *stop = p + len;
	uint8_t *to = p;

	for (;;) {
		scan_move(&to, &from, stop, ESC);
		if (from == stop)
			return (size_t)(to - p);
		*to++ = from[1] ^ FLIP;
		from += 2;
	}
}

static enum decode_result
hdlc_decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	const struct framing_conf *conf = d->conf;
	size_t size = fcs_size[conf->fcs], n;
	struct flagged f;
	uint8_t *esc, *p;

	if (!rule_flagged(d, in, len, out, FLAG, 2 * (d->max + size), &f))
		return f.result;
	n = f.len;
	/* An escaped flag: the sender aborted the frame. */
	if (given_up(f.start, n))
		return rule_bad(d, out, f.used, BAD_MALFORMED);
	esc = memchr(f.start, ESC, n);
	if (esc != NULL) {
		p = rule_own(d, f.start, n);
		esc += p - f.start;
		f.start = p;
		n = (size_t)(esc - p) +
		    hdlc_unescape(esc, (size_t)(p + n - esc));
	}
	if (!long_enough(conf, n))
		return rule_bad(d, out, f.used, BAD_NOISE);
	if (n - size > d->max)
		return rule_bad(d, out, f.used, BAD_OVERSIZE);
	n -= size;
	if (checksum_of(fcs_kind[conf->fcs], f.start, n) !=
	    checksum_get(f.start + n, size, 1))
		return rule_bad(d, out, f.used, BAD_CHECKSUM);
	return rule_frame(d, out, f.used, f.start, n, true);
}

static inline uint8_t *
hdlc_put(uint8_t *to, uint8_t byte)
{
	*to++ = ESC;
	*to++ = byte ^ FLIP;
	return to;
}

static uint8_t *
hdlc_escape(uint8_t *to, const uint8_t *in, size_t len, uint8_t low)
{
	if (low == 0)
		return scan_escape(to, in, len, FLAG, ESC, 0, hdlc_put);
	return scan_escape(to, in, len, FLAG, ESC, low, hdlc_put);
}

static long
hdlc_encode(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	size_t size = fcs_size[conf->fcs];
	uint8_t low = conf->accm ? 0x20 : 0, fcs[4], *to = out;

	if (!long_enough(conf, len + size))
		return -EINVAL;
	checksum_put(fcs, size, checksum_of(fcs_kind[conf->fcs], in, len), 1);
	*to++ = FLAG;
	to = hdlc_escape(to, in, len, low);
	to = hdlc_escape(to, fcs, size, low);
	*to++ = FLAG;
	return to - out;
}

static size_t
hdlc_bound(const struct framing_conf *conf, size_t len)
{
	return 2 * (len + fcs_size[conf->fcs]) + 2;
}

/* accm = yes: all bytes under 20 hex are escaped; no: none of them is. */
static bool
hdlc_obeys(const struct framing_conf *conf, const uint8_t *wire, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (wire[i] == ESC)
			i++;
		else if (conf->accm && wire[i] < 0x20)
			return false;
		else
			continue;
		if (!conf->accm && i < len && (wire[i] ^ FLIP) < 0x20)
			return false;
	}
	return true;
}

static bool
hdlc_checks_itself(const struct framing_conf *conf)
{
	return conf->fcs != FCS_NONE;
}

const struct framing framing_hdlc = {
	.name = "hdlc",
	.summary = "RFC 1662: flag 7E, escape 7D, with a check sequence",
	.keys = hdlc_keys,
	.check = hdlc_check,
	.decode = hdlc_decode,
	.checks_itself = hdlc_checks_itself,
	.encode = hdlc_encode,
	.bound = hdlc_bound,
	.obeys = hdlc_obeys,
};
