/*
 * framing_gnss: what a receiver of satellite navigation sends on one line: NMEA
 * sentences, UBX and RTCM 3 messages, in any order.
 *
 * Each kind is decoded by its own rule, which keeps its state in the same decoder: the
 * first byte tells whose turn it is.  When what it begins turns out to be no message,
 * one of any kind is looked for right behind that byte.
 */
#include <errno.h>
#include <string.h>

#include "framing_rule.h"

/* By the first byte of a message. */
static const struct framing *const rule_of[256] = {
	['$'] = &framing_nmea,
	['!'] = &framing_nmea,
	['\\'] = &framing_nmea,
	[0xb5] = &framing_ubx,
	[0xd3] = &framing_rtcm3,
};

/* Whether the first bytes of a message, be they cut off by the end, are there. */
static inline bool
is_start(const uint8_t *in, size_t len)
{
	switch (in[0]) {
	case 0xb5:
		return len < 2 || in[1] == 0x62;
	case 0xd3:
		return len < 2 || (in[1] & 0xfc) == 0;
	default:
		return rule_of[in[0]] != NULL;
	}
}

/* Where a message may begin, at from or behind it; or len. */
static size_t
find_start(const uint8_t *in, size_t from, size_t len)
{
	while (from < len && !is_start(in + from, len - from))
		from++;
	return from;
}

/*
 * Where among the bytes of a sentence one is that none has, or 0: it began in another
 * message, and its end must not be waited for.
 */
static size_t
find_binary(const uint8_t *in, size_t from, size_t len)
{
	for (; from < len && in[from] != '\n'; from++)
		if ((in[from] < ' ' && in[from] != '\r') || in[from] > '~')
			return from;
	return 0;
}

static enum decode_result
gnss_message(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	const struct framing *rule = rule_of[in[0]];
	size_t binary;

	if (rule == &framing_nmea &&
	    (binary = find_binary(in, MAX(d->scanned, 1U), len)) > 0) {
		d->discarding = false;
		return rule_bad(d, out, binary, BAD_MALFORMED);
	}
	return rule->decode(d, in, len, out);
}

static enum decode_result
gnss_decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	enum decode_result result;
	size_t start;

	if (len == 0)
		return DECODE_MORE;
	start = find_start(in, 0, len);
	if (start > 0) {
		rule_earn(d, start);
		return rule_discard(d, out, start, BAD_NOISE);
	}
	result = gnss_message(d, in, len, out);
	if (result == DECODE_BAD) {
		start = find_start(in, 1, out->used);
		if (start < out->used)
			d->scanned = 0;
		out->used = start;
		d->discarding = false;
		memset(d->state, 0, sizeof(d->state));
	}
	return result;
}

static enum decode_result
gnss_silent(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	const struct framing *rule = rule_of[in[0]];
	enum decode_result result;

	result = rule != NULL ? rule->silent(d, in, len, out)
			      : rule_bad(d, out, len, BAD_MALFORMED);
	memset(d->state, 0, sizeof(d->state));
	if (result == DECODE_BAD)
		out->used = find_start(in, 1, out->used);
	return result;
}

static long
gnss_encode(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	const struct framing *rule = len > 0 ? rule_of[in[0]] : NULL;

	if (rule == NULL ||
	    (rule == &framing_nmea && find_binary(in, 1, len) > 0))
		return -EINVAL;
	return rule->encode(conf, in, len, out);
}

static size_t
gnss_bound(const struct framing_conf *conf, size_t len)
{
	/* The others are written as they are. */
	return framing_nmea.bound(conf, len);
}

const struct framing framing_gnss = {
	.name = "gnss",
	.summary = "NMEA, UBX and RTCM 3 messages on one line, each checked",
	.check = rule_check_own,
	.decode = gnss_decode,
	.silent = gnss_silent,
	.encode = gnss_encode,
	.bound = gnss_bound,
};
