/*
 * message: reads and writes messages of Modbus, independently of the daemon.
 */
#include <stdio.h>
#include <string.h>

#include "message.h"

static uint16_t
crc(const uint8_t *p, size_t len)
{
	static uint16_t table[256];
	uint16_t sum = 0xffff;

	for (unsigned i = 0; table[255] == 0 && i < 256; i++) {
		table[i] = (uint16_t)i;
		for (int k = 0; k < 8; k++)
			table[i] = (uint16_t)(table[i] >> 1 ^
			    (table[i] & 1 ? 0xa001 : 0));
	}
	while (len-- > 0)
		sum = (uint16_t)(sum >> 8 ^ table[(sum ^ *p++) & 0xff]);
	return sum;
}

static uint8_t
lrc(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	while (len-- > 0)
		sum = (uint8_t)(sum - *p++);
	return sum;
}

/* The length of what begins so; 0: more bytes are needed, -1: no such function. */
static long
inner_length(bool answer, const uint8_t *p, size_t len)
{
	size_t at = answer ? 2 : 6; /* of the byte count */

	if (len < 2)
		return 0;
	if (answer && p[1] & 0x80)
		return 3;
	switch (p[1]) {
	case 5:
	case 6:
		return 6;
	case 15:
	case 16:
		if (answer)
			return 6;
		break;
	case 23:
		at = answer ? 2 : 10;
		break;
	case 1:
	case 2:
	case 3:
	case 4:
		if (!answer)
			return 6;
		break;
	default:
		return -1;
	}
	return len > at ? (long)at + 1 + p[at] : 0;
}

/* --- RTU ----------------------------------------------------------------- */

static size_t
encode_rtu(const struct message *m, uint8_t *wire)
{
	uint16_t sum = crc(m->inner, m->len);

	memcpy(wire, m->inner, m->len);
	wire[m->len] = (uint8_t)sum;
	wire[m->len + 1] = (uint8_t)(sum >> 8);
	return m->len + 2;
}

static long
decode_rtu(bool answer, const uint8_t *data, size_t len, struct message *m)
{
	long n = inner_length(answer, data, len);

	if (n <= 0)
		return n;
	if (n > INNER_MAX)
		return -1;
	if (len < (size_t)n + 2)
		return 0;
	if (crc(data, (size_t)n + 2) != 0)
		return -1;
	m->len = (size_t)n;
	memcpy(m->inner, data, m->len);
	return n + 2;
}

/* --- ASCII --------------------------------------------------------------- */

static size_t
encode_ascii(const struct message *m, uint8_t *wire)
{
	static const char digits[] = "0123456789ABCDEF";
	uint8_t *p = wire, sum = lrc(m->inner, m->len);

	*p++ = ':';
	for (size_t i = 0; i <= m->len; i++) {
		uint8_t byte = i < m->len ? m->inner[i] : sum;

		*p++ = (uint8_t)digits[byte >> 4];
		*p++ = (uint8_t)digits[byte & 15];
	}
	*p++ = '\r';
	*p++ = '\n';
	return (size_t)(p - wire);
}

static long
decode_ascii(bool answer, const uint8_t *data, size_t len, struct message *m)
{
	const uint8_t *end = memchr(data, '\n', len);
	uint8_t bytes[WIRE_MAX / 2];
	size_t n = 0;
	unsigned byte;

	(void)answer;
	if (end == NULL)
		return len < WIRE_MAX ? 0 : -1;
	if (*data != ':' || end[-1] != '\r' || end - data > WIRE_MAX)
		return -1;
	for (data++; data < end - 1; data += 2) {
		if (sscanf((const char *)data, "%2x", &byte) != 1)
			return -1;
		bytes[n++] = (uint8_t)byte;
	}
	if (n < 3 || n > INNER_MAX + 1 || lrc(bytes, n) != 0)
		return -1;
	m->len = n - 1;
	memcpy(m->inner, bytes, m->len);
	return (long)(2 * n) + 3;
}

/* --- TCP ----------------------------------------------------------------- */

static size_t
encode_tcp(const struct message *m, uint8_t *wire)
{
	put16(wire, m->number);
	put16(wire + 2, 0);
	put16(wire + 4, (unsigned)m->len);
	memcpy(wire + 6, m->inner, m->len);
	return m->len + 6;
}

static long
decode_tcp(bool answer, const uint8_t *data, size_t len, struct message *m)
{
	(void)answer;
	if (len < 6)
		return 0;
	m->number = get16(data);
	m->len = get16(data + 4);
	if (get16(data + 2) != 0 || m->len < 2 || m->len > INNER_MAX)
		return -1;
	if (len < m->len + 6)
		return 0;
	memcpy(m->inner, data + 6, m->len);
	return (long)m->len + 6;
}

/* --- any of them --------------------------------------------------------- */

static const struct {
	size_t (*encode)(const struct message *m, uint8_t *wire);
	long (*decode)(
	    bool answer, const uint8_t *data, size_t len, struct message *m);
} forms[] = {
	[FORM_RTU] = { encode_rtu, decode_rtu },
	[FORM_ASCII] = { encode_ascii, decode_ascii },
	[FORM_TCP] = { encode_tcp, decode_tcp },
};

size_t
message_encode(enum form form, const struct message *m, uint8_t wire[WIRE_MAX])
{
	return forms[form].encode(m, wire);
}

long
message_decode(enum form form, bool answer, const uint8_t *data, size_t len,
    struct message *m)
{
	return len == 0 ? 0 : forms[form].decode(answer, data, len, m);
}

bool
message_same(const struct message *a, const struct message *b)
{
	return a->len == b->len && memcmp(a->inner, b->inner, a->len) == 0;
}
