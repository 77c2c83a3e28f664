/*
 * message: parses messages of NMEA 0183, MAVLink and Modbus.
 *
 * Without side effects.  A message is recognized by its bytes, not by the framing that
 * it came in: payloads may be whole or inner ones (enum framing_payload), and may have
 * passed through a framing of another kind.
 */
#ifndef MESSAGE_H
#define MESSAGE_H

#include "util.h"

/* --- NMEA ---------------------------------------------------------------- */

#define NMEA_NAME_MAX 15

struct nmea {
	const uint8_t *text; /* after the start character */
	size_t len;
	const uint8_t *name; /* such as GPGGA */
	size_t name_len;     /* 1 to NMEA_NAME_MAX */
	bool encapsulated;   /* it begins with '!' */
};

/* Returns false if it is not a sentence. */
bool nmea_read(const uint8_t *payload, size_t len, struct nmea *ret);
/* Whether the name matches the pattern of n characters, case-insensitively; '*'
 * matches any characters, '?' a single one. */
bool nmea_name_fits(
    const char *pattern, size_t n, const uint8_t *name, size_t len);

/* --- MAVLink ------------------------------------------------------------- */

struct mavlink {
	uint32_t id;
	uint8_t system, component, sequence;
	uint8_t target; /* the addressed system, 0: all */
};

/* Returns false if it is not a packet. */
bool mavlink_read(const uint8_t *payload, size_t len, struct mavlink *ret);

/* --- Modbus -------------------------------------------------------------- */

/* The longest message: a whole one of modbus-ascii. */
#define MODBUS_LONGEST 513
#define MODBUS_BROADCAST 0
/* The highest unit; on a serial bus 0 is the broadcast address, and higher ones are
 * reserved. */
#define MODBUS_UNIT_MAX 255
#define MODBUS_SERIAL_UNIT_MAX 247
/* Exception codes of a gateway: the bus is unavailable; the unit does not respond. */
#define MODBUS_EXCEPTION 0x80 /* set in the function */
#define MODBUS_ILLEGAL_FUNCTION 0x01
#define MODBUS_BUSY 0x06
#define MODBUS_NO_PATH 0x0a
#define MODBUS_NO_ANSWER 0x0b

/* The part of a message that is used to match a response to its request. */
struct modbus {
	uint8_t unit, function;
	uint8_t data[4]; /* after the function code */
	unsigned ndata;	 /* the number of valid bytes in data */
	size_t len;	 /* of unit, function and data; 0: not known */
};

/* Returns false if it is not a Modbus message. */
bool modbus_read(const uint8_t *payload, size_t len, struct modbus *ret);
/* The same for a payload that is known to be an inner one. */
bool modbus_read_inner(const uint8_t *inner, size_t len, struct modbus *ret);
/*
 * Whether answer is a response to the request: unit and function match, and so does
 * what the response repeats of the request, the amount read or the address written.  If
 * the length of the response is known, it must be the expected one.
 */
bool modbus_answers(const struct modbus *request, const struct modbus *answer);

/* Whether the length is that of a request of this function, if that is known. */
bool modbus_request_fits(const struct modbus *m);
/* Whether the function only reads. */
bool modbus_reads(const struct modbus *m);

/* --- messages of one kind ------------------------------------------------ */

/* A number for the name of an NMEA sentence, or for the id of a MAVLink packet; 0 if
 * it is not one. */
uint64_t nmea_message(const uint8_t *payload, size_t len);
uint64_t mavlink_message(const uint8_t *payload, size_t len);

/* Which messages have a key. */
enum latest { LATEST_NONE, LATEST_NMEA, LATEST_MAVLINK };

/*
 * A message replaces an older one with the same key.  Returns false if the message has
 * no key; it then neither replaces another one nor is replaced.
 */
bool latest_key(
    enum latest kind, const uint8_t *payload, size_t len, struct bytes *ret);

#endif
