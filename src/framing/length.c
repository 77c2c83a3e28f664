/*
 * length: frames with a length field.
 *
 *	sync bytes | length_offset bytes | length | the rest
 *
 * The bytes before the length field belong to the payload: the payload is the frame
 * without the sync bytes, the length field and the generic checksum.
 *
 * The length is ((field & length_mask) >> length_shift) * length_unit bytes.
 *
 * After an impossible length, bytes are discarded up to the next sync bytes.  Without
 * sync bytes they are discarded up to a silence; if no silence is configured either,
 * that many bytes are skipped, so that an oversize frame leaves no remainder, unless
 * the length is negative or over FRAMING_MAX_FRAME: then one byte is skipped.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"

/* state[SKIP]: the number of bytes still to be skipped; UNTIL_SILENCE: all. */
#define SKIP 0
#define UNTIL_SILENCE UINT32_MAX

#define ADJUST_MAX (1024 * 1024)

static const char *const size_words[] = {
	"1",
	"2",
	"4",
	NULL,
};
static const char *const endian_words[] = {
	"big",
	"little",
	NULL,
};

/* Parses a signed number of bytes. */
static int
adjust_parse(void *field, const char *value, struct error *err)
{
	bool minus = value[0] == '-';
	uint64_t n;

	if (parse_number(value + minus, 0, ADJUST_MAX, &n) < 0)
		return error_fail(err, -EINVAL,
		    "'%s' is not a number of bytes from %d "
		    "to %d",
		    value, -ADJUST_MAX, ADJUST_MAX);
	*(int64_t *)field = minus ? -(int64_t)n : (int64_t)n;
	return 0;
}

static void
adjust_print(const void *field, char *buf, size_t size)
{
	snprintf(buf, size, "%lld", (long long)*(const int64_t *)field);
}

static const struct key length_keys[] = {
	{
	    .name = "length_size",
	    .type = KEY_WORD,
	    .offset = offsetof(struct framing_conf, length_size),
	    .def = "2",
	    .words = size_words,
	    .help = "bytes of the length field",
	},
	{
	    .name = "length_endian",
	    .type = KEY_WORD,
	    .offset = offsetof(struct framing_conf, length_endian),
	    .def = "big",
	    .words = endian_words,
	    .help = "byte order of the length field",
	},
	{
	    .name = "length_includes_header",
	    .type = KEY_BOOL,
	    .offset = offsetof(struct framing_conf, length_includes_header),
	    .def = "no",
	    .help = "the length counts all bytes, not only those after it",
	},
	{
	    .name = "length_offset",
	    .type = KEY_NUMBER,
	    .offset = offsetof(struct framing_conf, length_offset),
	    .def = "0",
	    .max = 64,
	    .help = "payload bytes in front of the length field",
	},
	{
	    .name = "length_mask",
	    .type = KEY_BITS,
	    .offset = offsetof(struct framing_conf, length_mask),
	    .def = "0xffffffff",
	    .min = 1,
	    .max = UINT32_MAX,
	    .help = "bits of the length field that are the length",
	},
	{
	    .name = "length_shift",
	    .type = KEY_NUMBER,
	    .offset = offsetof(struct framing_conf, length_shift),
	    .def = "0",
	    .max = 31,
	    .help = "bits by which these are shifted down when reading",
	},
	{
	    .name = "length_unit",
	    .type = KEY_NUMBER,
	    .offset = offsetof(struct framing_conf, length_unit),
	    .def = "1",
	    .min = 1,
	    .max = 4096,
	    .help = "bytes that the length counts as one",
	},
	{
	    .name = "length_adjust",
	    .type = KEY_CUSTOM,
	    .offset = offsetof(struct framing_conf, length_adjust),
	    .def = "0",
	    .help = "added to what the length field says when reading",
	    .size = sizeof(int64_t),
	    .parse = adjust_parse,
	    .print = adjust_print,
	},
	{
	    .name = "sync",
	    .type = KEY_BYTES,
	    .offset = offsetof(struct framing_conf, sync),
	    .min = 1,
	    .max = 8,
	    .help = "1 to 8 bytes that begin a frame, with C escapes",
	},
	{
	    .name = "idle",
	    .type = KEY_SILENCE,
	    .offset = offsetof(struct framing_conf, idle),
	    .def = "none",
	    .help = "a silence after which a new frame begins, in characters "
		    "or as a time",
	},
	FRAMING_KEY_RANGE,
	{ 0 },
};

/* The number of bytes up to and including the length field. */
static inline size_t
header_size(const struct framing_conf *conf)
{
	return conf->sync.len + (size_t)conf->length_offset +
	    ((size_t)1 << conf->length_size);
}

/* What is to be added to the length to get the number of bytes after the field. */
static inline int64_t
beyond(const struct framing_conf *conf)
{
	return conf->length_adjust -
	    (conf->length_includes_header ? (int64_t)header_size(conf) : 0);
}

/* The number of bytes after the field; negative if the field is invalid. */
static inline int64_t
rest_of(const struct framing_conf *conf, uint32_t field)
{
	return (int64_t)(((field & conf->length_mask) >> conf->length_shift) *
		   conf->length_unit) +
	    beyond(conf);
}

/* The field of a frame with rest bytes after it; false if it cannot express that. */
static bool
field_of(const struct framing_conf *conf, int64_t rest, uint32_t *ret)
{
	uint64_t size = 8U << conf->length_size, length;

	rest -= beyond(conf);
	if (rest < 0)
		return false;
	length = (uint64_t)rest;
	if (conf->length_unit > 1) {
		if (length % conf->length_unit != 0)
			return false;
		length /= conf->length_unit;
	}
	length <<= conf->length_shift;
	*ret = (uint32_t)length;
	return length >> size == 0 && (length & ~conf->length_mask) == 0;
}

static int
length_check(struct framing_conf *conf, struct error *err)
{
	unsigned bytes = 1U << conf->length_size;

	if (conf->length_offset > conf->max_frame)
		error_set(err,
		    "'length_offset' is over 'max_frame', so that no "
		    "frame is short enough; make 'max_frame' larger");
	else if (conf->length_mask != UINT32_MAX &&
	    conf->length_mask >> 8 * bytes != 0)
		error_set(err,
		    "'length_mask' has more bits than a length field of "
		    "%u byte%s; make 'length_size' larger",
		    bytes, bytes == 1 ? "" : "s");
	else if (MIN(conf->length_mask, UINT32_MAX >> (32 - 8 * bytes)) >>
		conf->length_shift ==
	    0)
		error_set(
		    err, "'length_shift' leaves nothing of the length field");
	else
		return rule_check_range(conf, err);
	return -EINVAL;
}

/* --- decoding ------------------------------------------------------------ */

static enum decode_result
skip(struct decoder *d, size_t len, struct decoded *out)
{
	size_t used;

	if (d->state[SKIP] == UNTIL_SILENCE) {
		/* One byte stays, so that the silence can end the bad bytes. */
		if (len < 2)
			return rule_more(d, len);
		return rule_discard(d, out, len - 1, BAD_MALFORMED);
	}
	if (len == 0)
		return DECODE_MORE;
	used = MIN(len, d->state[SKIP]);
	d->state[SKIP] -= (uint32_t)used;
	rule_discard(d, out, used, BAD_MALFORMED);
	d->discarding = d->state[SKIP] > 0;
	return DECODE_BAD;
}

/* The length is impossible: rest bytes would follow the field. */
static enum decode_result
disbelieve(struct decoder *d, const uint8_t *in, size_t len, int64_t rest,
    struct decoded *out)
{
	const struct framing_conf *conf = d->conf;
	size_t header = header_size(conf);

	if (conf->sync.len > 0)
		return rule_bad(d, out,
		    rule_find_sync(conf->sync.b, conf->sync.len, in, 1, header),
		    BAD_MALFORMED);
	if (conf->idle.ns != 0 || conf->idle.tenths != 0)
		d->state[SKIP] = UNTIL_SILENCE;
	else if (rest >= 0 && rest <= FRAMING_MAX_FRAME)
		d->state[SKIP] = (uint32_t)(header + (size_t)rest);
	else
		d->state[SKIP] = 1;
	return skip(d, len, out);
}

/* Discards noise up to the sync bytes; false if the input begins with them. */
static bool
noise(struct decoder *d, const uint8_t *in, size_t len, struct decoded *out,
    enum decode_result *result)
{
	const struct bytes *sync = &d->conf->sync;
	size_t start = rule_find_sync(sync->b, sync->len, in, 0, len);

	if (start > 0) {
		rule_earn(d, start);
		*result = rule_discard(d, out, start, BAD_NOISE);
	} else if (len < sync->len)
		*result = rule_more(d, len);
	else {
		d->discarding = false;
		return false;
	}
	return true;
}

/*
 * Whether the generic checksum is right.  If it covers only the payload, the bytes
 * before the length field are temporarily exchanged with it.
 */
static bool
sum_right(
    const struct framing_conf *conf, uint8_t *in, size_t header, size_t rest)
{
	size_t offset = (size_t)conf->length_offset;
	size_t size = (size_t)1 << conf->length_size;
	uint8_t *front = in + conf->sync.len, field[4];
	bool right;

	if (conf->checksum_from == FROM_SYNC)
		return rule_sum_right(conf, in, header + rest);
	if (conf->checksum_from == FROM_LENGTH)
		return rule_sum_right(conf, front, offset + size + rest);
	if (offset == 0)
		return rule_sum_right(conf, front + size, rest);
	memcpy(field, front + offset, size);
	memmove(front + size, front, offset);
	right = rule_sum_right(conf, front + size, offset + rest);
	memmove(front, front + size, offset);
	memcpy(front + offset, field, size);
	return right;
}

/*
 * A frame is complete: header bytes and rest bytes after them.  If its generic checksum
 * is wrong, valid frames in it are searched for by their sync bytes.
 */
static enum decode_result
complete(struct decoder *d, uint8_t *in, size_t header, size_t rest,
    struct decoded *out)
{
	const struct framing_conf *conf = d->conf;
	size_t offset = (size_t)conf->length_offset, used = header + rest;
	size_t size = (size_t)1 << conf->length_size;
	size_t sum = checksum_size(conf->checksum);
	const struct bytes *sync = &conf->sync;
	uint8_t *front = in + sync->len;
	bool may;

	if (sum > 0 && sync->len == 0 && !sum_right(conf, in, header, rest))
		return rule_bad(d, out, used, BAD_CHECKSUM);
	if (sum > 0 && sync->len > 0) {
		may = rule_may_sum(d, sync->b, sync->len, in, used);
		if (!may || !sum_right(conf, in, header, rest))
			return rule_false_start(
			    d, out, sync->b, sync->len, in, used, may);
		rule_earn(d, used);
	}
	if (offset > 0) {
		front = rule_own(d, front, used - sync->len);
		memmove(front + size, front, offset);
	}
	return rule_frame(
	    d, out, used, front + size, offset + rest - sum, true);
}

static enum decode_result
length_decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	const struct framing_conf *conf = d->conf;
	size_t size = (size_t)1 << conf->length_size;
	size_t header = header_size(conf);
	enum decode_result result;
	int64_t rest;

	if (d->state[SKIP] > 0)
		return skip(d, len, out);
	if (conf->sync.len > 0 && noise(d, in, len, out, &result))
		return result;
	if (len < header)
		return rule_more(d, len);
	rest = rest_of(
	    conf, checksum_get(in + header - size, size, conf->length_endian));
	if (rest < (int64_t)checksum_size(conf->checksum) ||
	    (uint64_t)rest + conf->length_offset > d->max)
		return disbelieve(d, in, len, rest, out);
	if (len - header < (size_t)rest)
		return rule_more(d, len);
	if ((conf->length_offset | (uint64_t)conf->checksum) != 0)
		return complete(d, in, header, (size_t)rest, out);
	return rule_frame(
	    d, out, header + (size_t)rest, in + header, (size_t)rest, true);
}

static enum decode_result
length_silent(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	const struct bytes *sync = &d->conf->sync;

	d->state[SKIP] = 0;
	if (sync->len > 0 && !d->discarding)
		len = rule_find_sync(sync->b, sync->len, in, 1, len);
	return rule_bad(d, out, len, BAD_MALFORMED);
}

/* --- encoding ------------------------------------------------------------ */

static long
length_encode(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	size_t offset = (size_t)conf->length_offset;
	size_t size = (size_t)1 << conf->length_size;
	size_t sum = checksum_size(conf->checksum), header = header_size(conf);
	uint8_t *front = out + conf->sync.len, *body = out + header;
	uint32_t field;

	if (len < offset ||
	    !field_of(conf, (int64_t)(len - offset + sum), &field))
		return -EINVAL;
	memcpy(out, conf->sync.b, conf->sync.len);
	if (sum > 0 && conf->checksum_from == FROM_PAYLOAD) {
		/* The payload is placed in one piece, to be summed. */
		memcpy(front + size, in, len);
		rule_put_sum(conf, front + size, len);
	} else
		memcpy(body, in + offset, len - offset);
	memcpy(front, in, offset);
	checksum_put(front + offset, size, field, conf->length_endian);
	if (sum > 0 && conf->checksum_from == FROM_LENGTH)
		rule_put_sum(
		    conf, front, header - conf->sync.len + len - offset);
	else if (sum > 0 && conf->checksum_from == FROM_SYNC)
		rule_put_sum(conf, out, header + len - offset);
	return (long)(header + len - offset + sum);
}

static size_t
length_bound(const struct framing_conf *conf, size_t len)
{
	return len + header_size(conf);
}

const struct framing framing_length = {
	.name = "length",
	.summary = "frames after a field with their length",
	.keys = length_keys,
	.sums = true,
	.check = length_check,
	.decode = length_decode,
	.silent = length_silent,
	.encode = length_encode,
	.bound = length_bound,
};
