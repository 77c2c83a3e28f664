/*
 * message: messages of Modbus, as masters and units read and write them.
 */
#ifndef MESSAGE_H
#define MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INNER_MAX 254 /* unit, function and data */
#define WIRE_MAX 520

enum form { FORM_RTU, FORM_ASCII, FORM_TCP };

struct message {
	uint16_t number; /* the transaction, of FORM_TCP only */
	size_t len;
	uint8_t inner[INNER_MAX];
};

size_t message_encode(
    enum form form, const struct message *m, uint8_t wire[WIRE_MAX]);
/*
 * Reads the first message of the data.  Returns its length there, 0 if more bytes are
 * needed, or -1 if it is no message.
 */
long message_decode(enum form form, bool answer, const uint8_t *data,
    size_t len, struct message *m);
bool message_same(const struct message *a, const struct message *b);

static inline uint16_t
get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void
put16(uint8_t *p, unsigned value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

#endif
