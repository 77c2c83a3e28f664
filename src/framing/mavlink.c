/*
 * mavlink: MAVLink packets of both versions.
 *
 *	v1: FE | len seq sys comp msg payload | CRC
 *	v2: FD | len inc cmp seq sys comp msg24 payload | CRC | signature, if inc & 1
 *
 * The CRC (little-endian) covers the bytes between the bars and the CRC_EXTRA of the
 * message, a byte derived from its definition.  Packets of messages that are not in the
 * table are accepted unchecked, unless no CRC_EXTRA could produce their CRC, which
 * rejects 255 of 256 random CRCs.
 *
 * With payload = inner a frame is the bytes between the bars, and the signature.
 */
#include <errno.h>
#include <string.h>

#include "mavlink.h"
#include "codec.h"

#define V1 0xfe
#define V2 0xfd
#define V1_HEADER 6
#define V2_HEADER 10
#define CRC 2
#define SIGNATURE 13
#define SIGNED 0x01 /* the only known incompatibility flag */

static const struct key mavlink_keys[] = {
	{
	    .name = "mavlink_strict",
	    .type = KEY_BOOL,
	    .offset = offsetof(struct framing_conf, mavlink_strict),
	    .def = "no",
	    .help = "drop messages that are not known, whose checksum cannot "
		    "be checked",
	},
	FRAMING_KEY_PAYLOAD,
	{ 0 },
};

/* The parts of a packet, from the bytes between magic and payload. */
struct packet {
	size_t body; /* between magic and CRC */
	size_t total;
	uint32_t id;
	bool is_signed;
};

enum verdict { GOOD, UNKNOWN, WRONG };

static inline size_t
header_size(uint8_t magic)
{
	return magic == V2 ? V2_HEADER : V1_HEADER;
}

/* The position at or after from where a packet may begin; or len. */
static inline size_t
find_magic(const uint8_t *in, size_t from, size_t len)
{
	while (from < len && in[from] != V1 && in[from] != V2)
		from++;
	return from;
}

/* Parses a complete header; false if an unknown incompatibility flag is set. */
static inline bool
parse(uint8_t magic, const uint8_t *body, struct packet *p)
{
	p->body = header_size(magic) - 1 + body[0];
	p->is_signed = false;
	if (magic == V1) {
		p->id = body[4];
	} else {
		if (body[1] & ~SIGNED)
			return false;
		p->is_signed = body[1] & SIGNED;
		p->id =
		    body[6] | (uint32_t)body[7] << 8 | (uint32_t)body[8] << 16;
	}
	p->total = 1 + p->body + CRC + (p->is_signed ? SIGNATURE : 0);
	return true;
}

/* Whether some CRC_EXTRA after crc gives sum: undoing its eight steps must leave the
 * high byte of crc. */
static bool
possible(uint16_t crc, uint16_t sum)
{
	for (int i = 0; i < 8; i++)
		sum = (uint16_t)(sum & 0x8000 ? (sum ^ 0x8408) << 1 | 1
					      : sum << 1);
	return sum >> 8 == crc >> 8;
}

static inline enum verdict
check_sum(const uint8_t *body, const struct packet *p)
{
	uint16_t crc = crc16_x25(0xffff, body, p->body);
	uint16_t sum = (uint16_t)checksum_get(body + p->body, CRC, 1);
	int extra = mavlink_extra(p->id);
	uint8_t byte = (uint8_t)extra;

	if (extra < 0)
		return possible(crc, sum) ? UNKNOWN : WRONG;
	return crc16_x25(crc, &byte, 1) == sum ? GOOD : WRONG;
}

static enum decode_result
mavlink_frame(struct decoder *d, uint8_t *in, const struct packet *p,
    enum verdict verdict, struct decoded *out)
{
	uint8_t *payload = in;
	size_t len = p->total;
	bool inner = d->conf->payload == PAYLOAD_INNER;

	if (inner) {
		payload++;
		len -= 1 + CRC;
	}
	if (len > d->max)
		return rule_bad(d, out, p->total, BAD_OVERSIZE);
	if (inner && p->is_signed) {
		payload = rule_own(d, payload, p->total - 1);
		memmove(payload + p->body, payload + p->body + CRC, SIGNATURE);
	}
	rule_frame(d, out, p->total, payload, len, true);
	out->unchecked = verdict == UNKNOWN;
	return DECODE_FRAME;
}

static enum decode_result
mavlink_decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	size_t start = find_magic(in, 0, len), header;
	enum verdict verdict;
	struct packet p;

	if (start > 0)
		return rule_discard(d, out, start, BAD_NOISE);
	if (len == 0)
		return DECODE_MORE;
	d->discarding = false;
	header = header_size(in[0]);
	if (len < header)
		return rule_more(d, len);
	if (!parse(in[0], in + 1, &p))
		return rule_bad(
		    d, out, find_magic(in, 1, header), BAD_MALFORMED);
	if (len < p.total)
		return rule_more(d, len);
	verdict = check_sum(in + 1, &p);
	if (verdict == WRONG) {
		d->work += p.total;
		return rule_bad(
		    d, out, find_magic(in, 1, p.total), BAD_CHECKSUM);
	}
	if (verdict == UNKNOWN && d->conf->mavlink_strict)
		return rule_bad(d, out, p.total, BAD_CHECKSUM);
	return mavlink_frame(d, in, &p, verdict, out);
}

static enum decode_result
mavlink_silent(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	return rule_bad(d, out, find_magic(in, 1, len), BAD_MALFORMED);
}

/* --- encoding ------------------------------------------------------------ */

static long
encode_whole(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	enum verdict verdict;
	struct packet p;

	if (len == 0 || (in[0] != V1 && in[0] != V2) ||
	    len < header_size(in[0]) || !parse(in[0], in + 1, &p) ||
	    len != p.total)
		return -EINVAL;
	verdict = check_sum(in + 1, &p);
	if (verdict == WRONG || (verdict == UNKNOWN && conf->mavlink_strict))
		return -EINVAL;
	memcpy(out, in, len);
	return (long)len;
}

/* The version follows from the length, because the headers have different sizes. */
static long
encode_inner(const uint8_t *in, size_t len, uint8_t *out)
{
	struct packet p;
	uint8_t magic, extra;
	int known;
	uint16_t crc;

	if (len < V1_HEADER - 1)
		return -EINVAL;
	magic = len == in[0] + V1_HEADER - 1u ? V1 : V2;
	if (len < header_size(magic) - 1 || !parse(magic, in, &p) ||
	    len != p.total - 1 - CRC || (known = mavlink_extra(p.id)) < 0)
		return -EINVAL;
	extra = (uint8_t)known;
	crc = crc16_x25(crc16_x25(0xffff, in, p.body), &extra, 1);
	out[0] = magic;
	memcpy(out + 1, in, p.body);
	checksum_put(out + 1 + p.body, CRC, crc, 1);
	memcpy(out + 1 + p.body + CRC, in + p.body, len - p.body);
	return (long)p.total;
}

static long
mavlink_encode(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	if (conf->payload == PAYLOAD_WHOLE)
		return encode_whole(conf, in, len, out);
	return encode_inner(in, len, out);
}

static size_t
mavlink_bound(const struct framing_conf *conf, size_t len)
{
	(void)conf;
	return len + 1 + CRC;
}

const struct framing framing_mavlink = {
	.name = "mavlink",
	.summary = "MAVLink 1 and 2 packets, checksum checked",
	.keys = mavlink_keys,
	.check = rule_check_own,
	.decode = mavlink_decode,
	.silent = mavlink_silent,
	.checks_itself = rule_checks_itself,
	.encode = mavlink_encode,
	.bound = mavlink_bound,
};
