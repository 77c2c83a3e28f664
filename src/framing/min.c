/*
 * min: MIN 2.0.
 *
 *	AA AA AA | id | length | payload | CRC-32 (big-endian) | 55
 *
 * After the header, a 55 is stuffed after each AA AA, so that AA AA AA always begins a
 * frame.  An id with bit 7 set is followed by a sequence number.
 *
 * With payload = inner a frame consists of its payload alone, and frames are written
 * with the id min_id.
 */
#include <errno.h>
#include <string.h>

#include "codec.h"

#define MARK 0xaa
#define STUFFING 0x55
#define END 0x55
#define HEADER 3
#define CRC 4
#define TRANSPORT 0x80
#define LONGEST (3 + 255 + CRC) /* between header and end, not stuffed */

static const uint8_t sync[HEADER] = { MARK, MARK, MARK };

static const struct key min_keys[] = {
	{
	    .name = "min_id",
	    .type = KEY_NUMBER,
	    .offset = offsetof(struct framing_conf, min_id),
	    .def = "0",
	    .max = 63,
	    .help =
		"the id of the frames that are written with payload = inner",
	    .given = offsetof(struct framing_conf, output),
	},
	FRAMING_KEY_PAYLOAD,
	{ 0 },
};

/* The state of parsing a body. */
struct body {
	size_t at;	/* in the input */
	unsigned marks; /* in a row, immediately before */
	size_t len;	/* of data */
	uint8_t data[LONGEST];
};

/* The result of parsing a body. */
enum verdict { GOOD, OPEN, WRONG_SUM, BROKEN };

/* The offset of the payload in the data. */
static inline size_t
payload_at(const struct body *b)
{
	return b->data[0] & TRANSPORT ? 3 : 2;
}

/* Whether the data is complete, including its CRC. */
static inline bool
body_full(const struct body *b)
{
	size_t head;

	if (b->len < 2)
		return false;
	head = payload_at(b);
	return b->len >= head && b->len == head + b->data[head - 1] + CRC;
}

/* Parses what follows the header; b->at is after all that was parsed. */
static enum verdict
read_body(struct body *b, const uint8_t *in, size_t len)
{
	b->at = HEADER;
	b->marks = 0;
	b->len = 0;
	while (b->at < len) {
		uint8_t byte = in[b->at++];

		if (b->marks == 2) {
			b->marks = 0;
			/* A third mark begins another frame. */
			if (byte != STUFFING)
				return BROKEN;
			continue;
		}
		if (body_full(b)) {
			if (byte != END)
				return BROKEN;
			return crc32_ieee(0, b->data, b->len - CRC) ==
				checksum_get(b->data + b->len - CRC, CRC, 0)
			    ? GOOD
			    : WRONG_SUM;
		}
		b->data[b->len++] = byte;
		b->marks = byte == MARK ? b->marks + 1 : 0;
	}
	return OPEN;
}

/* --- decoding ------------------------------------------------------------ */

/* Discards bytes of a frame, up to where another one may begin. */
static enum decode_result
give_up(struct decoder *d, const uint8_t *in, size_t len, struct decoded *out,
    enum bad_reason reason)
{
	return rule_bad(
	    d, out, rule_find_sync(sync, HEADER, in, 1, len), reason);
}

static enum decode_result
min_inner(
    struct decoder *d, uint8_t *in, const struct body *b, struct decoded *out)
{
	size_t head = payload_at(b), len = b->len - head - CRC;
	uint8_t *payload = in + HEADER + head;

	if (len > d->max)
		return rule_bad(d, out, b->at, BAD_OVERSIZE);
	/* If no bytes were stuffed, the payload is in place already. */
	if (b->at != HEADER + b->len + 1) {
		payload = rule_own(d, payload, len);
		memcpy(payload, b->data + head, len);
	}
	return rule_frame(d, out, b->at, payload, len, true);
}

static enum decode_result
min_decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	size_t start = rule_find_sync(sync, HEADER, in, 0, len);
	struct body b;

	if (start > 0)
		return rule_discard(d, out, start, BAD_NOISE);
	if (len < HEADER)
		return rule_more(d, len);
	d->discarding = false;
	switch (read_body(&b, in, len)) {
	case GOOD:
		if (d->conf->payload == PAYLOAD_INNER)
			return min_inner(d, in, &b, out);
		if (b.at > d->max)
			return rule_bad(d, out, b.at, BAD_OVERSIZE);
		return rule_frame(d, out, b.at, in, b.at, true);
	case OPEN:
		return rule_more(d, len);
	case WRONG_SUM:
		return give_up(d, in, b.at, out, BAD_CHECKSUM);
	default:
		return give_up(d, in, b.at, out, BAD_MALFORMED);
	}
}

static enum decode_result
min_silent(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	return give_up(d, in, len, out, BAD_MALFORMED);
}

/* --- encoding ------------------------------------------------------------ */

static uint8_t *
put(uint8_t *to, unsigned *marks, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		*to++ = data[i];
		*marks = data[i] == MARK ? *marks + 1 : 0;
		if (*marks == 2) {
			*to++ = STUFFING;
			*marks = 0;
		}
	}
	return to;
}

static long
min_encode(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	uint8_t head[2], sum[CRC], *to = out;
	unsigned marks = 0;
	struct body b;
	uint32_t crc;

	if (conf->payload == PAYLOAD_WHOLE) {
		if (len < HEADER || memcmp(in, sync, HEADER) != 0 ||
		    read_body(&b, in, len) != GOOD || b.at != len)
			return -EINVAL;
		memcpy(out, in, len);
		return (long)len;
	}
	if (len > 255)
		return -EINVAL;
	head[0] = (uint8_t)conf->min_id;
	head[1] = (uint8_t)len;
	crc = crc32_ieee(crc32_ieee(0, head, 2), in, len);
	checksum_put(sum, CRC, crc, 0);
	memcpy(to, sync, HEADER);
	to = put(to + HEADER, &marks, head, 2);
	to = put(to, &marks, in, len);
	to = put(to, &marks, sum, CRC);
	*to++ = END;
	return to - out;
}

static size_t
min_bound(const struct framing_conf *conf, size_t len)
{
	(void)conf;
	return len + len / 2 + HEADER + 2 + CRC + 3 + 1;
}

/* With payload = inner, the frame must have the configured id. */
static bool
min_obeys(const struct framing_conf *conf, const uint8_t *wire, size_t len)
{
	return conf->payload == PAYLOAD_WHOLE ||
	    (len > HEADER && wire[HEADER] == conf->min_id);
}

const struct framing framing_min = {
	.name = "min",
	.summary = "MIN 2.0 frames, CRC-32 checked",
	.keys = min_keys,
	.check = rule_check_own,
	.decode = min_decode,
	.silent = min_silent,
	.checks_itself = rule_checks_itself,
	.encode = min_encode,
	.bound = min_bound,
	.obeys = min_obeys,
};
