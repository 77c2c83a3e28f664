/*
 * convert: converts the payload of a message to another framing of the same protocol.
 *
 * Framings of one protocol have the same inner payload, so a message is encoded and
 * decoded: from whole to the bytes on the wire and from these to inner, and in reverse
 * for the other framing.
 */
#include <errno.h>
#include <string.h>

#include "convert.h"

/* The maximum that an envelope adds to a payload: a header, a checksum, a line end. */
#define ENVELOPE 16

static bool
have_protocol(const struct framing_conf *from, const struct framing_conf *to)
{
	return from->rule->protocol != NULL && to->rule->protocol != NULL &&
	    strcmp(from->rule->protocol, to->rule->protocol) == 0;
}

bool
framing_differs(const struct framing_conf *from, const struct framing_conf *to)
{
	return have_protocol(from, to) &&
	    (from->payload != to->payload ||
		(from->rule != to->rule && from->payload == PAYLOAD_WHOLE));
}

/* Decodes bytes that are exactly one frame; returns a pointer to the payload, or NULL. */
static const uint8_t *
payload_of(
    const struct framing_conf *conf, uint8_t *wire, size_t len, size_t *ret_len)
{
	struct decoder d = { 0 };
	struct decoded out;
	enum decode_result r;

	framing_start(&d, conf);
	r = framing_decode(&d, wire, len, &out);
	if (r != DECODE_FRAME || out.used != len) {
		framing_start(&d, conf);
		r = framing_silent(&d, wire, len, &out);
	}
	if (r != DECODE_FRAME || out.used != len)
		return NULL;
	*ret_len = out.len;
	return out.payload;
}

/* Converts between the two payloads of one framing. */
static long
change_payload(const struct framing_conf *conf, enum framing_payload from,
    enum framing_payload to, const uint8_t *in, size_t len, uint8_t *out)
{
	uint8_t wire[CONVERT_MAX + ENVELOPE];
	struct framing_conf as = *conf;
	const uint8_t *payload;
	long n;

	if (from == to) {
		memmove(out, in, len);
		return (long)len;
	}
	as.payload = from;
	if (framing_bound(&as, len) > sizeof(wire) ||
	    (n = framing_encode(&as, in, len, wire)) < 0)
		return -EINVAL;
	as.payload = to;
	payload = payload_of(&as, wire, (size_t)n, &len);
	if (payload == NULL || len > CONVERT_MAX)
		return -EINVAL;
	memcpy(out, payload, len);
	return (long)len;
}

long
framing_inner(const struct framing_conf *conf, const uint8_t *payload,
    size_t len, uint8_t *out)
{
	if (len > CONVERT_MAX)
		return -EINVAL;
	return change_payload(
	    conf, conf->payload, PAYLOAD_INNER, payload, len, out);
}

long
framing_outer(const struct framing_conf *conf, const uint8_t *inner, size_t len,
    uint8_t *out)
{
	if (len > CONVERT_MAX)
		return -EINVAL;
	return change_payload(
	    conf, PAYLOAD_INNER, conf->payload, inner, len, out);
}

long
framing_convert(const struct framing_conf *from, const uint8_t *payload,
    size_t len, const struct framing_conf *to, uint8_t *out)
{
	long n = framing_inner(from, payload, len, out);

	return n < 0 ? n : framing_outer(to, out, (size_t)n, out);
}

bool
framing_modbus(const struct framing_conf *conf, const uint8_t *payload,
    size_t len, struct modbus *ret)
{
	uint8_t inner[CONVERT_MAX];
	long n;

	if (conf == NULL || conf->rule->protocol == NULL)
		return modbus_read(payload, len, ret);
	n = framing_inner(conf, payload, len, inner);
	return n >= 0 && modbus_read_inner(inner, (size_t)n, ret);
}

/* The size of the message number: big-endian, at the beginning of a whole message. */
static size_t
number_size(const struct framing_conf *conf, size_t len)
{
	return conf->payload == PAYLOAD_WHOLE && len >= conf->rule->number_size
	    ? conf->rule->number_size
	    : 0;
}

uint32_t
framing_number(
    const struct framing_conf *conf, const uint8_t *payload, size_t len)
{
	uint32_t number = 0;

	for (size_t i = 0; i < number_size(conf, len); i++)
		number = number << 8 | payload[i];
	return number;
}

void
framing_set_number(const struct framing_conf *conf, uint8_t *payload,
    size_t len, uint32_t number)
{
	for (size_t i = number_size(conf, len); i-- > 0; number >>= 8)
		payload[i] = (uint8_t)number;
}
