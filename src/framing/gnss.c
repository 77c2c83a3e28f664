/*
 * gnss: the output of a satellite navigation receiver on one line: NMEA sentences, UBX
 * and RTCM 3 messages, in any order.
 *
 * Each kind is decoded by its own rule, which keeps its state in the same decoder; the
 * first byte selects the rule.  If the bytes turn out not to be a message, the search
 * for a message of any kind continues after that byte.
 */
#include <errno.h>
#include <string.h>

#include "codec.h"

/* Indexed by the first byte of a message. */
static const struct framing *const rule_of[256] = {
	['$'] = &framing_nmea,
	['!'] = &framing_nmea,
	['\\'] = &framing_nmea,
	[0xb5] = &framing_ubx,
	[0xd3] = &framing_rtcm3,
};

/* Whether the bytes may begin a message, possibly cut off by the end of the input. */
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

/* The position at or after from where a message may begin; or len. */
static size_t
find_start(const uint8_t *in, size_t from, size_t len)
{
	while (from < len && !is_start(in + from, len - from))
		from++;
	return from;
}

/* Whether the rest of an oversize sentence is being discarded by its rule. */
static inline bool
in_run(const struct decoder *d)
{
	return d->discarding && d->state[0] != 0;
}

/* Discards bytes that do not belong to a message, up to where one may begin. */
static enum decode_result
between(struct decoder *d, uint8_t *in, size_t start, struct decoded *out)
{
	if (in_run(d))
		return framing_nmea.decode(d, in, start, out);
	rule_earn(d, start);
	return rule_discard(d, out, start, BAD_NOISE);
}

/*
 * Handles the result of the rule.  An oversize sentence continues, unless what follows
 * begins a message.
 */
static enum decode_result
settle(struct decoder *d, const uint8_t *in, struct decoded *out,
    enum decode_result result)
{
	size_t next;

	if (result == DECODE_MORE)
		return result;
	if (result == DECODE_BAD) {
		next = find_start(in, 1, out->used);
		if (next < out->used)
			d->scanned = 0;
		out->used = next;
		if (in_run(d))
			return result;
		d->scanned = 0;
		d->discarding = false;
	}
	memset(d->state, 0, sizeof(d->state));
	return result;
}

static enum decode_result
gnss_decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	size_t start = find_start(in, 0, len);

	if (len == 0)
		return DECODE_MORE;
	if (start > 0)
		return between(d, in, start, out);
	return settle(d, in, out, rule_of[in[0]]->decode(d, in, len, out));
}

static enum decode_result
gnss_silent(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	return settle(d, in, out, rule_of[in[0]]->silent(d, in, len, out));
}

static enum decode_result
gnss_whole(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	const struct framing *rule = rule_of[in[0]];

	if (rule == NULL || rule->whole == NULL)
		return DECODE_MORE;
	return settle(d, in, out, rule->whole(d, in, len, out));
}

static long
gnss_encode(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	const struct framing *rule = len > 0 ? rule_of[in[0]] : NULL;

	return rule != NULL ? rule->encode(conf, in, len, out) : -EINVAL;
}

static size_t
gnss_bound(const struct framing_conf *conf, size_t len)
{
	/* The other kinds are written unchanged. */
	return framing_nmea.bound(conf, len);
}

const struct framing framing_gnss = {
	.name = "gnss",
	.summary = "NMEA, UBX and RTCM 3 messages on one line, each checked",
	.check = rule_check_own,
	.decode = gnss_decode,
	.silent = gnss_silent,
	.whole = gnss_whole,
	.checks_itself = rule_checks_itself,
	.encode = gnss_encode,
	.bound = gnss_bound,
};
