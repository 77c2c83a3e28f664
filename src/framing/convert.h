/*
 * convert: the payload of a message in another framing of the same protocol.
 */
#ifndef CONVERT_H
#define CONVERT_H

#include "framing.h"

/* The longest payload that is converted, and that results. */
#define CONVERT_MAX 520

/* Whether a payload of the one framing means something else in the other: both are of one
 * protocol, and differ in rule or in payload (whole, inner). */
bool framing_differs(
    const struct framing_conf *from, const struct framing_conf *to);
/*
 * Writes to out, which has room for CONVERT_MAX bytes, the payload that a message with the
 * given payload has in the other framing; returns its length.  out may be the same as
 * payload.  A number (struct framing) is 0 where the first framing has none.
 * -EINVAL: it is not a message of the first framing, or cannot be one of the other.
 */
long framing_convert(const struct framing_conf *from, const uint8_t *payload,
    size_t len, const struct framing_conf *to, uint8_t *out);
/* The inner payload of that one, and back; the same otherwise. */
long framing_inner(const struct framing_conf *conf, const uint8_t *payload,
    size_t len, uint8_t *out);
long framing_outer(const struct framing_conf *conf, const uint8_t *inner,
    size_t len, uint8_t *out);
/* The number that a whole message begins with, 0 where messages have none. */
uint32_t framing_number(
    const struct framing_conf *conf, const uint8_t *payload, size_t len);
/* Sets it; nothing where messages have none. */
void framing_set_number(const struct framing_conf *conf, uint8_t *payload,
    size_t len, uint32_t number);

#endif
