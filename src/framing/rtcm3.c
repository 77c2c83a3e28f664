/*
 * rtcm3: RTCM 10403, version 3.
 *
 *	D3 | 6 bits 0, 10 bits of length | payload | CRC-24Q over all before
 *
 * D3 occurs in other data too, so the bytes are a message only if the CRC is right; if
 * it is wrong, the search for the next message continues after the D3.
 *
 * With payload = inner the payload is the bytes between the length and the CRC.
 */
#include <errno.h>
#include <string.h>

#include "codec.h"

#define SYNC 0xd3
#define HEADER 3
#define CRC 3
#define EMPTY (HEADER + CRC)
#define LONGEST 1023 /* payload */

static const struct key rtcm3_keys[] = {
	FRAMING_KEY_PAYLOAD,
	{ 0 },
};

/* The size of the whole message, from its header. */
static inline size_t
total_size(const uint8_t *msg)
{
	return ((msg[1] & 3U) << 8 | msg[2]) + EMPTY;
}

static inline bool
sum_right(const uint8_t *msg, size_t total)
{
	return crc24q(0, msg, total - CRC) ==
	    checksum_get(msg + total - CRC, CRC, 0);
}

/* The position at or after from where a message may begin; or len. */
static size_t
find_start(const uint8_t *in, size_t from, size_t len)
{
	const uint8_t *p;

	for (; from < len; from++) {
		p = memchr(in + from, SYNC, len - from);
		if (p == NULL)
			break;
		from = (size_t)(p - in);
		if (from + 1 == len || (p[1] & 0xfc) == 0)
			return from;
	}
	return len;
}

static enum decode_result
rtcm3_decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	size_t start = find_start(in, 0, len), total;
	bool may;

	if (start > 0) {
		rule_earn(d, start);
		return rule_discard(d, out, start, BAD_NOISE);
	}
	if (len < HEADER) {
		d->discarding = d->discarding && len < 2;
		return rule_more(d, len);
	}
	d->discarding = false;
	total = total_size(in);
	if (len < total)
		return rule_more(d, len);
	may = d->credit >= total ||
	    rule_affords(d, total, find_start(in, 1, total));
	if (!may || !sum_right(in, total))
		return rule_reject(
		    d, out, total, find_start(in, 1, total), may);
	rule_earn(d, total);
	if (d->conf->payload == PAYLOAD_INNER) {
		in += HEADER;
		len = total - EMPTY;
	} else
		len = total;
	if (len > d->max)
		return rule_bad(d, out, total, BAD_OVERSIZE);
	return rule_frame(d, out, total, in, len, true);
}

static enum decode_result
rtcm3_silent(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	return rule_bad(d, out, find_start(in, 1, len), BAD_MALFORMED);
}

static long
rtcm3_encode(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	if (conf->payload == PAYLOAD_WHOLE) {
		if (len < EMPTY || find_start(in, 0, 2) != 0 ||
		    total_size(in) != len || !sum_right(in, len))
			return -EINVAL;
		memcpy(out, in, len);
		return (long)len;
	}
	if (len > LONGEST)
		return -EINVAL;
	out[0] = SYNC;
	checksum_put(out + 1, 2, (uint32_t)len, 0);
	memcpy(out + HEADER, in, len);
	len += HEADER;
	checksum_put(out + len, CRC, crc24q(0, out, len), 0);
	return (long)(len + CRC);
}

static size_t
rtcm3_bound(const struct framing_conf *conf, size_t len)
{
	(void)conf;
	return len + EMPTY;
}

const struct framing framing_rtcm3 = {
	.name = "rtcm3",
	.summary = "RTCM 3 messages, CRC-24Q checked",
	.keys = rtcm3_keys,
	.check = rule_check_own,
	.decode = rtcm3_decode,
	.silent = rtcm3_silent,
	.checks_itself = rule_checks_itself,
	.encode = rtcm3_encode,
	.bound = rtcm3_bound,
};
