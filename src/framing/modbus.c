/*
 * modbus: Modbus over serial line, V1.02: RTU, which is binary and delimited by
 * silences, and ASCII, which is text.
 *
 * Silences are often lost in transit (USB adapters, networks), so an RTU frame also
 * ends where its function code and byte count indicate, if the CRC is right there.  The
 * kind of a message, request or response, is not known, so both lengths are tried, the
 * shorter one first.  Other frames end at the silence.
 *
 * Adapters and networks also deliver a frame in pieces, with pauses that are longer than
 * that silence.  A pause does not end a frame if its length is known and more of it is to
 * come (rtu_pause()).
 *
 * With payload = inner, the payload is the same for both and for modbus-tcp: address,
 * function and data.  So endpoints with these framings can be bridged.
 */
#include <errno.h>
#include <string.h>

#include "codec.h"

/* --- RTU ----------------------------------------------------------------- */

#define RTU_LONGEST 256
#define RTU_SHORTEST 4
#define CRC 2
#define EXCEPTION 0x80
#define FUNCTIONS 25
/* The silence that ends a frame of which more is to come: a USB adapter passes on what it
 * has received every 16ms, with a delay. */
#define PAUSE_NS (50 * NSEC_PER_MSEC)

/*
 * The lengths of the frames of a function: a fixed number of bytes, plus the value of
 * the byte at offset count (0: none).
 */
struct shape {
	uint8_t request, request_count;
	uint8_t response, response_count;
	bool words;	   /* a response has an even, nonzero count */
	uint16_t quantity; /* the maximum of a request, at least 1 */
};

static const struct shape shapes[FUNCTIONS] = {
	[1] = { 8, 0, 5, 2, false, 2000 },
	[2] = { 8, 0, 5, 2, false, 2000 },
	[3] = { 8, 0, 5, 2, true, 125 },
	[4] = { 8, 0, 5, 2, true, 125 },
	[5] = { 8, 0, 8, 0, false, 0 },
	[6] = { 8, 0, 8, 0, false, 0 },
	[7] = { 4, 0, 5, 0, false, 0 },
	[8] = { 8, 0, 8, 0, false, 0 },
	[11] = { 4, 0, 8, 0, false, 0 },
	[12] = { 4, 0, 5, 2, false, 0 },
	[15] = { 9, 6, 8, 0, false, 0 },
	[16] = { 9, 6, 8, 0, false, 0 },
	[17] = { 4, 0, 5, 2, false, 0 },
	[20] = { 5, 2, 5, 2, false, 0 },
	[21] = { 5, 2, 5, 2, false, 0 },
	[22] = { 10, 0, 10, 0, false, 0 },
	[23] = { 13, 10, 5, 2, true, 0 },
	[24] = { 4, 0, 6, 3, false, 0 },
};
static const struct shape exception = { 5, 0, 5, 0, false, 0 };

static const struct key rtu_keys[] = {
	{
	    .name = "idle",
	    .type = KEY_SILENCE,
	    .offset = offsetof(struct framing_conf, idle),
	    .def = "3.5",
	    .help = "the silence that ends a frame, in characters (of 11 bits, "
		    "1.75ms at least above 19200 baud) or as a time",
	},
	FRAMING_KEY_PAYLOAD,
	{ 0 },
};

static int
rtu_check(struct framing_conf *conf, struct error *err)
{
	if (conf->idle.tenths != 0 || conf->idle.ns != 0)
		return rule_check_own(conf, err);
	return error_fail(err, -EINVAL,
	    "framing 'modbus-rtu' needs 'idle', the silence "
	    "that ends a frame, such as 3.5 (characters) or 5ms");
}

static const struct shape *
find_shape(uint8_t function)
{
	if (function & EXCEPTION)
		return &exception;
	if (function >= FUNCTIONS || shapes[function].request == 0)
		return NULL;
	return &shapes[function];
}

/* Whether a request to write has as many bytes of data as it has bits or registers. */
static bool
count_fits(const uint8_t *in, uint8_t count)
{
	switch (in[1]) {
	case 15:
		return count == ((in[4] << 8 | in[5]) + 7) / 8;
	case 16:
		return count == 2 * (in[4] << 8 | in[5]);
	case 23:
		return count == 2 * (in[8] << 8 | in[9]);
	default:
		return true;
	}
}

/* The length if it is a request; 0: it is not a request.  More than len, and at most the
 * true length, as long as the bytes that determine it are missing. */
static size_t
request_length(const struct shape *shape, const uint8_t *in, size_t len)
{
	unsigned quantity;

	if (shape->quantity > 0) {
		if (len < 6)
			return shape->request;
		quantity = in[4] << 8 | in[5];
		if (quantity == 0 || quantity > shape->quantity)
			return 0;
	}
	if (shape->request_count == 0)
		return shape->request;
	if (len <= shape->request_count)
		return shape->request;
	if (!count_fits(in, in[shape->request_count]))
		return 0;
	return shape->request + (size_t)in[shape->request_count];
}

/* The same for a response. */
static size_t
response_length(const struct shape *shape, const uint8_t *in, size_t len)
{
	uint8_t count;

	if (shape->response_count == 0)
		return shape->response;
	if (len <= shape->response_count)
		return shape->response;
	count = in[shape->response_count];
	if (shape->words && (count == 0 || count % 2 != 0))
		return 0;
	return shape->response + (size_t)count;
}

static bool
crc_right(const uint8_t *in, size_t len)
{
	return crc16_modbus(0xffff, in, len) == 0;
}

/* The two lengths that a frame may have, the shorter one first; 0: not such a frame. */
struct lengths {
	size_t shorter, longer;
	bool is_request; /* the longer one */
};

static struct lengths
frame_lengths(const struct decoder *d, const uint8_t *in, size_t len)
{
	const struct shape *shape = find_shape(in[1]);
	size_t request, response;

	if (shape == NULL)
		return (struct lengths){ 0 };
	request = d->messages == MESSAGES_ANSWERS
	    ? 0
	    : request_length(shape, in, len);
	response = d->messages == MESSAGES_REQUESTS
	    ? 0
	    : response_length(shape, in, len);
	return (struct lengths){ .shorter = MIN(request, response),
		.longer = MAX(request, response),
		.is_request = request > response };
}

static bool
is_complete(
    struct decoder *d, const uint8_t *in, size_t len, size_t n, size_t tried)
{
	if (n <= tried || n > MIN(len, (size_t)RTU_LONGEST))
		return false;
	if (crc_right(in, n))
		return true;
	d->work += n;
	return false;
}

/*
 * The length of the frame that the bytes begin with, 0 if none is known.  Lengths up to
 * *tried have been ruled out already; it is set to those that now are.  last: nothing
 * will follow.
 *
 * A request may begin with what has the form and the CRC of an answer: a byte 00 after
 * the CRC, and so the second byte of another CRC, leaves the CRC right; the data of
 * functions 15 and 16 can contain anything.  It is taken for the request if that is
 * complete, too, and not before a silence if the request could still become complete.
 */
static size_t
frame_length(
    struct decoder *d, const uint8_t *in, size_t len, size_t *tried, bool last)
{
	size_t before = *tried;
	struct lengths n;

	*tried = len;
	if (len < RTU_SHORTEST)
		return 0;
	n = frame_lengths(d, in, len);
	if (!is_complete(d, in, len, n.shorter, before))
		return is_complete(d, in, len, n.longer, before) ? n.longer : 0;
	if (!n.is_request)
		return n.shorter;
	if (is_complete(d, in, len, n.longer, 0))
		return n.longer;
	if (last || n.longer <= len ||
	    (n.longer != len + 1 && in[1] != 15 && in[1] != 16))
		return n.shorter;
	*tried = n.shorter - 1;
	return 0;
}

/* The same for bytes that follow others, which are not a frame. */
static bool
frame_begins(struct decoder *d, const uint8_t *in, size_t len)
{
	size_t tried = 0;

	return frame_length(d, in, len, &tried, true) > 0;
}

static enum decode_result
rtu_frame(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	size_t n = d->conf->payload == PAYLOAD_INNER ? len - CRC : len;

	if (n > d->max)
		return rule_bad(d, out, len, BAD_OVERSIZE);
	return rule_frame(d, out, len, in, n, true);
}

static enum decode_result
rtu_decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	size_t tried = d->scanned, at, most;
	size_t n = frame_length(d, in, len, &tried, false);

	if (n > 0) {
		d->discarding = false;
		return rtu_frame(d, in, n, out);
	}
	if (len <= RTU_LONGEST)
		return rule_more(d, tried);
	/* At most the size of a frame is discarded at a time, because the caller has a
	 * budget. */
	most = MIN(len - RTU_LONGEST, (size_t)RTU_LONGEST);
	for (at = 1; at < most; at++)
		if (frame_begins(d, in + at, len - at))
			break;
	return rule_discard(d, out, at, BAD_CHECKSUM);
}

static enum decode_result
rtu_silent(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	enum bad_reason reason = BAD_CHECKSUM;
	size_t tried = d->scanned, n;

	if (len >= RTU_SHORTEST && !d->discarding && crc_right(in, len))
		return rtu_frame(d, in, len, out);
	n = frame_length(d, in, len, &tried, true);
	if (n > 0)
		return rtu_frame(d, in, n, out);
	for (size_t at = 1; at + RTU_SHORTEST <= len; at++)
		if (frame_begins(d, in + at, len - at)) {
			if (!d->discarding)
				reason = BAD_NOISE;
			return rule_bad(d, out, at, reason);
		}
	if (len < RTU_SHORTEST && !d->discarding)
		reason = BAD_MALFORMED;
	return rule_bad(d, out, len, reason);
}

static long
rtu_encode(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	bool inner = conf->payload == PAYLOAD_INNER;
	size_t total = inner ? len + CRC : len;

	if (total < RTU_SHORTEST || total > RTU_LONGEST)
		return -EINVAL;
	if (!inner && !crc_right(in, len))
		return -EINVAL;
	memcpy(out, in, len);
	if (inner)
		checksum_put(out + len, CRC, crc16_modbus(0xffff, in, len), 1);
	return (long)total;
}

static size_t
rtu_bound(const struct framing_conf *conf, size_t len)
{
	(void)conf;
	return len + CRC;
}

/* Whether the bytes begin a frame, request or response, of which more is to come. */
static bool
is_beginning(const struct decoder *d, const uint8_t *in, size_t len)
{
	struct lengths n;

	if (len < 2)
		return len == 1;
	n = frame_lengths(d, in, len);
	return (n.shorter > len && n.shorter <= RTU_LONGEST) ||
	    (n.longer > len && n.longer <= RTU_LONGEST);
}

/* Whether all the bytes are a frame of a known length.  Not for the address 0xff: the CRC
 * of ff ff, and so that of ff ff 00 00 00, is right. */
static bool
is_frame(const struct decoder *d, const uint8_t *in, size_t len)
{
	struct lengths n;

	if (in[0] == 0xff)
		return false;
	n = frame_lengths(d, in, len);
	return (n.shorter == len || n.longer == len) && crc_right(in, len);
}

/* Whether the last of the bytes ends a frame: one that they all are, or that other bytes
 * precede. */
static bool
ends_frame(const struct decoder *d, const uint8_t *in, size_t len)
{
	if (len < RTU_SHORTEST)
		return false;
	if (crc_right(in, len))
		return true;
	for (size_t at = 1; at + RTU_SHORTEST <= len; at++)
		if (is_frame(d, in + at, len - at))
			return true;
	return false;
}

/* The number of bytes 00 and ff at the start, which a line yields when its direction
 * changes. */
static size_t
stray_bytes(const uint8_t *in, size_t len)
{
	size_t n = 0;

	while (n < len && (in[n] == 0 || in[n] == 0xff))
		n++;
	return n;
}

/*
 * A frame may begin with the first byte or after stray ones.  If a complete frame is among
 * the bytes, however, it must not be delayed: the silence is to end what is there.
 */
static uint64_t
rtu_pause(struct decoder *d, const uint8_t *in, size_t len)
{
	size_t stray = stray_bytes(in, len), rest = len - stray;

	if (d->discarding || rest == 0)
		return 0;
	if (!is_beginning(d, in, len) && !is_beginning(d, in + stray, rest))
		return 0;
	if (stray > 0 && frame_begins(d, in + stray, rest))
		return 0;
	return ends_frame(d, in, len) ? 0 : PAUSE_NS;
}

const struct framing framing_modbus_rtu = {
	.name = "modbus-rtu",
	.summary = "Modbus RTU: cut by silence or length, CRC checked",
	.keys = rtu_keys,
	.protocol = "Modbus",
	.gap = true,
	.dissector = "mbrtu",
	.silence_bits = 11,
	.silence_fast_ns = 1750 * NSEC_PER_USEC,
	.check = rtu_check,
	.decode = rtu_decode,
	.silent = rtu_silent,
	.pause = rtu_pause,
	.encode = rtu_encode,
	.bound = rtu_bound,
};

/* --- ASCII --------------------------------------------------------------- */

#define ASCII_LONGEST 511 /* without CR LF */
#define ASCII_SHORTEST 7  /* ':' address function LRC */

static const struct key ascii_keys[] = {
	FRAMING_KEY_PAYLOAD,
	{ 0 },
};

enum verdict { GOOD, WRONG_SUM, NO_MESSAGE };

/* Checks a message, which begins with ':'. */
static enum verdict
judge(const uint8_t *text, size_t len)
{
	uint8_t sum = 0;
	int bad = 0;

	if (len < ASCII_SHORTEST || len > ASCII_LONGEST || len % 2 == 0 ||
	    text[0] != ':')
		return NO_MESSAGE;
	for (size_t i = 1; i < len; i += 2) {
		int byte = rule_hex(text + i);

		bad |= byte;
		sum += (uint8_t)byte;
	}
	if (bad < 0)
		return NO_MESSAGE;
	return sum == 0 ? GOOD : WRONG_SUM;
}

/* The offset of the last ':' in the text; 0: only the one at the start. */
static size_t
last_start(const uint8_t *text, size_t len)
{
	return (size_t)((const uint8_t *)memrchr(text, ':', len) - text);
}

static enum decode_result
ascii_decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	bool inner = d->conf->payload == PAYLOAD_INNER;
	enum verdict verdict;
	struct sentence s;

	if (!rule_sentence(d, in, len, out, ":", ASCII_LONGEST, &s))
		return s.result;
	verdict = judge(s.text, s.len);
	if (verdict != GOOD)
		return rule_sentence_bad(d, out, &s, last_start(s.text, s.len),
		    verdict == WRONG_SUM ? BAD_CHECKSUM : BAD_MALFORMED);
	if (inner) {
		s.text = rule_own(d, s.text, s.len);
		s.len = (s.len - 3) / 2;
		for (size_t i = 0; i < s.len; i++)
			s.text[i] = (uint8_t)rule_hex(s.text + 1 + 2 * i);
	}
	if (s.len > d->max)
		return rule_bad(d, out, s.used, BAD_OVERSIZE);
	return rule_frame(d, out, s.used, s.text, s.len, true);
}

static enum decode_result
ascii_silent(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	return rule_bad(d, out, rule_find_start(":", in, 1, len), BAD_TIMEOUT);
}

static long
ascii_encode(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	uint8_t *to = out;

	*to++ = ':';
	if (conf->payload == PAYLOAD_INNER) {
		if (len < 2 || 1 + 2 * (len + 1) > ASCII_LONGEST)
			return -EINVAL;
		for (size_t i = 0; i < len; i++, to += 2)
			rule_put_hex(to, in[i]);
		rule_put_hex(to, (uint8_t)-sum8(in, len));
		to += 2;
	} else {
		if (judge(in, len) != GOOD)
			return -EINVAL;
		for (size_t i = 1; i < len; i += 2, to += 2)
			rule_put_hex(to, (uint8_t)rule_hex(in + i));
	}
	*to++ = '\r';
	*to++ = '\n';
	return to - out;
}

static size_t
ascii_bound(const struct framing_conf *conf, size_t len)
{
	(void)conf;
	return 2 * len + 5;
}

const struct framing framing_modbus_ascii = {
	.name = "modbus-ascii",
	.summary = "Modbus ASCII: ':' hexadecimal LRC CR LF",
	.keys = ascii_keys,
	.protocol = "Modbus",
	.silence_ns = NSEC_PER_SEC,
	.check = rule_check_own,
	.decode = ascii_decode,
	.silent = ascii_silent,
	.encode = ascii_encode,
	.bound = ascii_bound,
};
