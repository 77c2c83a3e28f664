/*
 * mqtt_message: the payload of a message and its origin: how they are written, and read from
 * others, who are not trusted.
 *
 * The origin is a user property, which needs MQTT 5: "boat1/gps/1f2e3d4c5b6a7988/42", of host,
 * endpoint, boot and sequence.  With raw, hex and base64 the payload is the frame; with json it
 * has the origin, too, so that it is there with MQTT 3.1.1:
 *
 *	{"time": "2026-11-29T06:00:00.123456Z", "host": "boat1", "endpoint": "gps",
 *	 "boot": "1f2e3d4c5b6a7988", "sequence": 42, "frame": "$GPGGA,..."}
 *
 * A frame that is not text (UTF-8 without NUL) has "base64" in place of "frame".  Of a message
 * that is received only one of these two is required.
 */
#ifndef MQTT_MESSAGE_H
#define MQTT_MESSAGE_H

#include "origins.h"

enum mqtt_encoding { MQTT_RAW, MQTT_JSON, MQTT_HEX, MQTT_BASE64 };
extern const char *const mqtt_encoding_words[];

/* The name of the user property, and the maximum size of its value. */
#define MQTT_ORIGIN "origin"
#define MQTT_ORIGIN_MAX (SITE_HOST_MAX + ENDPOINT_NAME_MAX + 16 + 20 + 4)

/* Memory that grows as needed, to be freed. */
struct mqtt_buffer {
	uint8_t *data;
	size_t len, size;
};

/*
 * Writes the origin of a frame to buf, which has MQTT_ORIGIN_MAX bytes, and returns buf.  host:
 * at most SITE_HOST_MAX bytes, as site_host().
 */
char *mqtt_origin_print(
    const struct origin *origin, const char *host, char *buf);
/* -EINVAL: it is no origin. */
int mqtt_origin_parse(const char *text, struct origin_name *ret);

/*
 * Writes the payload for a frame, whose origin may be NULL, to the buffer.  -ENOMEM.
 */
int mqtt_encode(enum mqtt_encoding encoding, const uint8_t *frame, size_t len,
    const struct origin *origin, const char *host, struct mqtt_buffer *ret);
/*
 * Reads the frame from a payload; with json also the origin, if the payload has a whole one
 * (*ret_named).  -EINVAL: it is not so encoded; -ENOMEM.
 */
int mqtt_decode(enum mqtt_encoding encoding, const void *payload, size_t len,
    struct mqtt_buffer *ret, struct origin_name *ret_name, bool *ret_named);

#endif
