/*
 * modbus_tcp: MODBUS Messaging on TCP/IP, V1.0b.
 *
 *	transaction (2) | protocol 0 (2) | length (2) | unit | function, data
 *
 * All numbers are big-endian; the length counts the bytes after it.
 *
 * With payload = inner the payload is unit, function and data, like that of modbus-rtu
 * and modbus-ascii.  It has no transaction identifier: 0 is written.
 *
 * There is no checksum, so only the header identifies the beginning of a message, and
 * data may look like a header: 01 03 00 00 00 06 is also a request for six registers.
 * Therefore the length in the first header that is rejected determines where the next
 * one is expected, and bytes whose message would overlap a header there do not begin a
 * message.
 */
#include <errno.h>
#include <string.h>

#include "codec.h"

#define HEADER 6
#define SHORTEST 2 /* unit and function */
#define LONGEST 254

/* d->state: the number of bytes up to the expected header; 0: unknown. */
#define EXPECTED 0

static const struct key tcp_keys[] = {
	FRAMING_KEY_PAYLOAD,
	{ 0 },
};

static int
tcp_check(struct framing_conf *conf, struct error *err)
{
	if (conf->checksum == CHECKSUM_NONE)
		return 0;
	return error_fail(err, -EINVAL,
	    "framing 'modbus-tcp' has no checksum; 'checksum' must be none");
}

/* The size of the whole message. */
static inline size_t
total_size(const uint8_t *msg)
{
	return HEADER + ((size_t)msg[4] << 8 | msg[5]);
}

/* Whether the bytes are a valid header, or the beginning of one. */
static bool
may_begin(const uint8_t *in, size_t len)
{
	if (len >= HEADER)
		return (in[2] | in[3] | in[4]) == 0 && in[5] >= SHORTEST &&
		    in[5] <= LONGEST;
	return (len < 3 || in[2] == 0) && (len < 4 || in[3] == 0) &&
	    (len < 5 || in[4] == 0);
}

/* No message begins here: discards bytes up to where one may begin. */
static enum decode_result
refuse(struct decoder *d, const uint8_t *in, size_t len, struct decoded *out)
{
	size_t expected = d->state[EXPECTED], at = 1;

	if (!d->discarding)
		expected = total_size(in);
	while (at < len && !may_begin(in + at, len - at))
		at++;
	d->state[EXPECTED] = expected > at ? (uint32_t)(expected - at) : 0;
	return rule_discard(d, out, at, BAD_MALFORMED);
}

static enum decode_result
tcp_message(struct decoder *d, uint8_t *in, size_t total, struct decoded *out)
{
	size_t envelope = d->conf->payload == PAYLOAD_INNER ? HEADER : 0;

	if (total - envelope > d->max)
		return rule_bad(d, out, total, BAD_OVERSIZE);
	return rule_frame(d, out, total, in + envelope, total - envelope, true);
}

static enum decode_result
tcp_decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	size_t expected = d->state[EXPECTED], total, n;

	/* The first header that is rejected must be complete, because its length is
	 * used. */
	if (len < HEADER && (!d->discarding || may_begin(in, len)))
		return rule_more(d, len);
	if (!may_begin(in, len))
		return refuse(d, in, len, out);
	total = total_size(in);
	if (expected > 0 && expected < total) {
		n = MIN(total - expected, (size_t)HEADER);
		if (len < expected + n)
			return rule_more(d, len);
		if (may_begin(in + expected, n))
			return refuse(d, in, len, out);
	}
	d->state[EXPECTED] = 0;
	d->discarding = false;
	if (len < total)
		return rule_more(d, len);
	return tcp_message(d, in, total, out);
}

/* Whether the bytes are a sequence of complete messages. */
static bool
are_messages(const uint8_t *in, size_t len)
{
	size_t total;

	while (len >= HEADER && may_begin(in, len) &&
	    (total = total_size(in)) <= len) {
		in += total;
		len -= total;
	}
	return len == 0;
}

static enum decode_result
tcp_silent(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	size_t at = 1;

	while (at < len && !are_messages(in + at, len - at))
		at++;
	d->state[EXPECTED] = 0;
	return rule_bad(d, out, at, BAD_MALFORMED);
}

static long
tcp_encode(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	if (conf->payload == PAYLOAD_WHOLE) {
		if (len < HEADER || !may_begin(in, len) ||
		    total_size(in) != len)
			return -EINVAL;
		memcpy(out, in, len);
		return (long)len;
	}
	if (len < SHORTEST || len > LONGEST)
		return -EINVAL;
	memset(out, 0, HEADER - 1);
	out[HEADER - 1] = (uint8_t)len;
	memcpy(out + HEADER, in, len);
	return (long)(HEADER + len);
}

static size_t
tcp_bound(const struct framing_conf *conf, size_t len)
{
	(void)conf;
	return HEADER + len;
}

const struct framing framing_modbus_tcp = {
	.name = "modbus-tcp",
	.summary = "Modbus TCP: a header with the length",
	.keys = tcp_keys,
	.protocol = "Modbus",
	.number_size = 2,
	.dissector = "mbtcp",
	.check = tcp_check,
	.decode = tcp_decode,
	.silent = tcp_silent,
	.encode = tcp_encode,
	.bound = tcp_bound,
};
