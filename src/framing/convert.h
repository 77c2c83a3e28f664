/*
 * convert: converts the payload of a message to another framing of the same protocol.
 */
#ifndef CONVERT_H
#define CONVERT_H

#include "framing.h"
#include "message.h"

/* The maximum length of a payload before and after the conversion. */
#define CONVERT_MAX 520

/* Whether payloads of the two framings differ: both are of one protocol, and differ in
 * payload (whole, inner) or, if whole, in rule. */
bool framing_differs(
    const struct framing_conf *from, const struct framing_conf *to);
/*
 * Converts the payload of a message to the other framing and writes it to out, which
 * has space for CONVERT_MAX bytes; returns its length.  out may be the same as payload.
 * A message number (struct framing) is 0 if the first framing has none.  -EINVAL: the
 * payload is not a message of the first framing, or cannot be expressed in the other.
 */
long framing_convert(const struct framing_conf *from, const uint8_t *payload,
    size_t len, const struct framing_conf *to, uint8_t *out);
/* Converts a payload to the inner payload and back; otherwise the same. */
long framing_inner(const struct framing_conf *conf, const uint8_t *payload,
    size_t len, uint8_t *out);
long framing_outer(const struct framing_conf *conf, const uint8_t *inner,
    size_t len, uint8_t *out);
/* Reads a Modbus message; one of a framing that is not of Modbus is recognised by its
 * content, and so is one whose framing is not known (NULL). */
bool framing_modbus(const struct framing_conf *conf, const uint8_t *payload,
    size_t len, struct modbus *ret);
/* The number at the beginning of a whole message; 0 if messages have none. */
uint32_t framing_number(
    const struct framing_conf *conf, const uint8_t *payload, size_t len);
/* Sets the number; no effect if messages have none. */
void framing_set_number(const struct framing_conf *conf, uint8_t *payload,
    size_t len, uint32_t number);

#endif
