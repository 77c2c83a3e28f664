/*
 * ubx: the u-blox protocol.
 *
 *	B5 62 | class | id | length (little-endian) | payload | CK_A CK_B
 *
 * With payload = inner the payload is class, id and payload of the message.
 */
#include <errno.h>
#include <string.h>

#include "codec.h"

#define HEADER 6
#define TRAILER 2
#define EMPTY (HEADER + TRAILER)
#define LONGEST UINT16_MAX /* payload */

/* Messages of up to that size are always awaited completely. */
#define SURE 2056

/* d->state: the number of starts inside the message that were examined, and the
 * position of the first one whose checksum was right. */
#define LOOKED 0
#define RIGHT 1
#define LOOKS 64

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

/* Discards bytes of a message, up to where another one may begin. */
static enum decode_result
give_up(struct decoder *d, const uint8_t *in, size_t len, struct decoded *out,
    enum bad_reason reason)
{
	return rule_bad(
	    d, out, rule_find_sync(sync, sizeof(sync), in, 1, len), reason);
}

/* A message has been received completely. */
static enum decode_result
ubx_complete(struct decoder *d, uint8_t *in, size_t total, struct decoded *out)
{
	if (!rule_may_sum(d, sync, sizeof(sync), in, total))
		return rule_false_start(
		    d, out, sync, sizeof(sync), in, total, false);
	if (!sum_right(in, total))
		return rule_false_start(
		    d, out, sync, sizeof(sync), in, total, true);
	rule_earn(d, total);
	if (d->conf->payload == PAYLOAD_WHOLE) {
		if (total > d->max)
			return rule_bad(d, out, total, BAD_OVERSIZE);
		return rule_frame(d, out, total, in, total, true);
	}
	if (total - EMPTY + 2 > d->max)
		return rule_bad(d, out, total, BAD_OVERSIZE);
	in = rule_own(d, in, total);
	memmove(in + HEADER - 2, in + sizeof(sync), 2);
	return rule_frame(
	    d, out, total, in + HEADER - 2, total - EMPTY + 2, true);
}

/*
 * A message may be as long as 64K, and so may be the length that a false start claims:
 * no message would be received for that long.  So a message longer than SURE is
 * rejected when its first len bytes contain a shorter message with a right checksum
 * that is directly followed by sync bytes.  Up to LOOKS of the starts inside are
 * examined; d->scanned is the current position.
 */
static bool
hides_another(struct decoder *d, const uint8_t *in, size_t len)
{
	size_t at = MAX(d->scanned, (size_t)HEADER), total;

	for (; d->state[LOOKED] < LOOKS; at++, d->state[LOOKED]++) {
		at = rule_find_sync(sync, sizeof(sync), in, at, len);
		d->scanned = at;
		if (len - at < HEADER)
			return false;
		total = payload_size(in + at) + EMPTY;
		if (total > SURE || d->credit < total)
			continue;
		if (len - at < total + sizeof(sync))
			return false;
		d->credit -= total;
		d->work += total;
		if (!sum_right(in + at, total))
			continue;
		if (d->state[RIGHT] == 0)
			d->state[RIGHT] = (uint32_t)at;
		if (memcmp(in + at + total, sync, sizeof(sync)) == 0)
			return true;
	}
	return false;
}

/* The bytes begin with a complete header. */
static enum decode_result
ubx_message(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	size_t total = payload_size(in) + EMPTY;
	size_t rest = d->conf->payload == PAYLOAD_INNER ? EMPTY - 2 : 0;

	if (total > RULE_LARGEST && total - rest > d->max)
		return give_up(d, in, HEADER, out, BAD_OVERSIZE);
	if (d->scanned < HEADER)
		d->state[LOOKED] = d->state[RIGHT] = 0;
	if (total > SURE && hides_another(d, in, MIN(len, total)))
		return rule_bad(d, out, d->state[RIGHT], BAD_MALFORMED);
	if (len < total)
		return rule_more(d, MAX(d->scanned, (size_t)HEADER));
	return ubx_complete(d, in, total, out);
}

static enum decode_result
ubx_decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	size_t start = rule_find_sync(sync, sizeof(sync), in, 0, len);

	if (start > 0) {
		rule_earn(d, start);
		return rule_discard(d, out, start, BAD_NOISE);
	}
	if (len < sizeof(sync))
		return rule_more(d, len);
	d->discarding = false;
	if (len < HEADER)
		return rule_more(d, 0);
	return ubx_message(d, in, len, out);
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
	.checks_itself = rule_checks_itself,
	.encode = ubx_encode,
	.bound = ubx_bound,
};
