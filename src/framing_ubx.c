/*
 * framing_ubx: the u-blox protocol.
 *
 *	B5 62 | class | id | length (little-endian) | payload | CK_A CK_B
 *
 * With payload = inner it is class, id and payload.
 */
#include <errno.h>
#include <string.h>

#include "framing_rule.h"

#define HEADER 6
#define TRAILER 2
#define EMPTY (HEADER + TRAILER)
#define LONGEST 2048 /* payload */

static const uint8_t sync[] = { 0xb5, 0x62 };

static const struct key ubx_keys[] = {
	FRAMING_KEY_PAYLOAD,
	{ 0 },
};

static inline size_t
payload_size(const uint8_t *msg)
{
	return msg[4] | (size_t)msg[5] << 8;
}

static inline bool
sum_right(const uint8_t *msg, size_t total)
{
	return fletcher8(msg + 2, total - 2 - TRAILER) ==
	    checksum_get(msg + total - TRAILER, TRAILER, 0);
}

/* Throws bytes of a message away, up to where another one may begin. */
static enum decode_result
give_up(struct decoder *d, const uint8_t *in, size_t len, struct decoded *out,
    enum bad_reason reason)
{
	return rule_bad(
	    d, out, rule_find_sync(sync, sizeof(sync), in, 1, len), reason);
}

static enum decode_result
ubx_decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	size_t start = rule_find_sync(sync, sizeof(sync), in, 0, len), total;

	if (start > 0)
		return rule_discard(d, out, start, BAD_NOISE);
	if (len < sizeof(sync))
		return rule_more(d, len);
	d->discarding = false;
	if (len < HEADER)
		return rule_more(d, len);
	total = payload_size(in) + EMPTY;
	if (total > LONGEST + EMPTY)
		return give_up(d, in, HEADER, out, BAD_MALFORMED);
	if (len < total)
		return rule_more(d, len);
	if (!sum_right(in, total))
		return give_up(d, in, total, out, BAD_CHECKSUM);
	if (d->conf->payload == PAYLOAD_WHOLE) {
		if (total > d->max)
			return rule_bad(d, out, total, BAD_OVERSIZE);
		return rule_frame(d, out, total, in, total, true);
	}
	if (total - EMPTY + 2 > d->max)
		return rule_bad(d, out, total, BAD_OVERSIZE);
	memmove(in + HEADER - 2, in + sizeof(sync), 2);
	return rule_frame(
	    d, out, total, in + HEADER - 2, total - EMPTY + 2, false);
}

static enum decode_result
ubx_silent(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	return give_up(d, in, len, out, BAD_MALFORMED);
}

static long
ubx_encode(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	if (conf->payload == PAYLOAD_WHOLE) {
		if (len < EMPTY || len > LONGEST + EMPTY ||
		    memcmp(in, sync, sizeof(sync)) != 0 ||
		    payload_size(in) + EMPTY != len || !sum_right(in, len))
			return -EINVAL;
		memcpy(out, in, len);
		return (long)len;
	}
	if (len < 2 || len - 2 > LONGEST)
		return -EINVAL;
	memcpy(out, sync, sizeof(sync));
	memcpy(out + 2, in, 2);
	checksum_put(out + 4, 2, (uint32_t)len - 2, 1);
	memcpy(out + HEADER, in + 2, len - 2);
	checksum_put(out + HEADER + len - 2, TRAILER,
	    fletcher8(out + 2, HEADER - 2 + len - 2), 0);
	return (long)(len - 2 + EMPTY);
}

static size_t
ubx_bound(const struct framing_conf *conf, size_t len)
{
	(void)conf;
	return len + EMPTY;
}

const struct framing framing_ubx = {
	.name = "ubx",
	.summary = "u-blox messages, checksum checked",
	.keys = ubx_keys,
	.check = rule_check_own,
	.decode = ubx_decode,
	.silent = ubx_silent,
	.encode = ubx_encode,
	.bound = ubx_bound,
};
