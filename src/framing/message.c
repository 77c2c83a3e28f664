/*
 * message: reads the fields of NMEA, MAVLink and Modbus messages.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "mavlink.h"
#include "message.h"

/* --- NMEA ---------------------------------------------------------------- */

bool
nmea_name_fits(const char *pattern, size_t n, const uint8_t *name, size_t len)
{
	/* star: the position of the last '*', or n; at: the end of what it matches. */
	size_t star = n, at = 0, w = 0, i = 0;

	while (i < len) {
		if (w < n && pattern[w] == '*') {
			star = w++;
			at = i;
		} else if (w < n &&
		    (pattern[w] == '?' ||
			toupper((unsigned char)pattern[w]) ==
			    toupper(name[i]))) {
			w++;
			i++;
		} else if (star < n) {
			w = star + 1;
			i = ++at;
		} else
			return false;
	}
	while (w < n && pattern[w] == '*')
		w++;
	return w == n;
}

/* Finds the sentence after its TAG block and its start character, both of which are
 * optional. */
static bool
nmea_text(const uint8_t *payload, size_t len, struct nmea *ret)
{
	const uint8_t *p = payload, *end = p + len, *tag;

	if (p < end && *p == '\\') {
		tag = memchr(p + 1, '\\', (size_t)(end - p) - 1);
		if (tag == NULL)
			return false;
		p = tag + 1;
	}
	ret->encapsulated = p < end && *p == '!';
	if (p < end && (*p == '$' || *p == '!'))
		p++;
	ret->text = p;
	ret->len = (size_t)(end - p);
	return true;
}

/* The field with that number, or NULL; number 0 is the name. */
static const uint8_t *
nmea_field(const struct nmea *nmea, unsigned number, size_t *ret_len)
{
	const uint8_t *p = nmea->text, *end = p + nmea->len, *stop;

	stop = memchr(p, '*', nmea->len);
	if (stop != NULL)
		end = stop;
	for (;; p = stop + 1) {
		stop = memchr(p, ',', (size_t)(end - p));
		if (number-- == 0)
			break;
		if (stop == NULL)
			return NULL;
	}
	*ret_len = (size_t)((stop != NULL ? stop : end) - p);
	return p;
}

bool
nmea_read(const uint8_t *payload, size_t len, struct nmea *ret)
{
	if (!nmea_text(payload, len, ret))
		return false;
	ret->name = nmea_field(ret, 0, &ret->name_len);
	if (ret->name_len == 0 || ret->name_len > NMEA_NAME_MAX)
		return false;
	for (size_t i = 0; i < ret->name_len; i++)
		if (!isalnum(ret->name[i]))
			return false;
	return true;
}

uint64_t
nmea_message(const uint8_t *payload, size_t len)
{
	uint64_t hash = 0xcbf29ce484222325;
	struct nmea nmea;

	if (!nmea_read(payload, len, &nmea))
		return 0;
	for (size_t i = 0; i < nmea.name_len; i++)
		hash = (hash ^ (uint64_t)toupper(nmea.name[i])) * 0x100000001b3;
	return MAX(hash, (uint64_t)1);
}

/* --- MAVLink ------------------------------------------------------------- */

/* Parses the bytes between the magic byte and the CRC. */
static void
mavlink_body(const uint8_t *body, bool v2, struct mavlink *ret)
{
	size_t header = v2 ? 9 : 5;
	int offset;

	if (v2) {
		ret->sequence = body[3];
		ret->system = body[4];
		ret->component = body[5];
		ret->id =
		    body[6] | (uint32_t)body[7] << 8 | (uint32_t)body[8] << 16;
	} else {
		ret->sequence = body[1];
		ret->system = body[2];
		ret->component = body[3];
		ret->id = body[4];
	}
	/* Zeros at the end of a payload need not be sent. */
	offset = mavlink_target(ret->id);
	ret->target =
	    offset >= 0 && offset < body[0] ? body[header + (size_t)offset] : 0;
}

/*
 * The number of bytes between the magic byte and the CRC; 0 unless the payload, which
 * includes crc bytes of CRC, has that length or is longer by a signature.
 */
static size_t
mavlink_length(const uint8_t *body, size_t len, bool v2, size_t crc)
{
	size_t n = len < 5 ? 0 : body[0] + (v2 ? 9u : 5u);

	if (n == 0 || len < n + crc)
		return 0;
	if (len == n + crc)
		return n;
	return v2 && (body[1] & 1) && len == n + crc + 13 ? n : 0;
}

/* Whether the CRC is right; used for inner payloads that look like whole ones. */
static bool
mavlink_sum(const uint8_t *body, size_t n, const struct mavlink *m)
{
	uint16_t crc = crc16_x25(0xffff, body, n);
	int known = mavlink_extra(m->id);
	uint8_t extra = (uint8_t)known;

	return known >= 0 &&
	    crc16_x25(crc, &extra, 1) == (body[n] | body[n + 1] << 8);
}

bool
mavlink_read(const uint8_t *payload, size_t len, struct mavlink *ret)
{
	bool v2 = len > 0 && payload[0] == 0xfd;
	size_t whole = 0, v1_inner, v2_inner;

	if (len > 1 && (v2 || payload[0] == 0xfe))
		whole = mavlink_length(payload + 1, len - 1, v2, 2);
	v1_inner = mavlink_length(payload, len, false, 0);
	v2_inner = mavlink_length(payload, len, true, 0);
	if (whole > 0) {
		mavlink_body(payload + 1, v2, ret);
		if (v1_inner + v2_inner == 0 ||
		    mavlink_sum(payload + 1, whole, ret))
			return true;
	}
	if (v1_inner + v2_inner == 0)
		return false;
	mavlink_body(payload, v1_inner == 0, ret);
	return true;
}

uint64_t
mavlink_message(const uint8_t *payload, size_t len)
{
	struct mavlink m;

	return mavlink_read(payload, len, &m) ? m.id + 1ULL : 0;
}

/* --- messages that replace each other ------------------------------------ */

/*
 * Several of these sentences with the same name are valid at the same time; the field
 * with that number distinguishes them.
 */
static const struct {
	const char *name;
	unsigned field;
} distinct[] = {
	{ "*GSV", 2 },
	{ "*RTE", 2 },
	{ "*TXT", 2 },
	{ "*ALM", 2 },
	{ "*XDR", 4 },
	{ "PUBX", 1 },
};

static bool
nmea_key(const uint8_t *payload, size_t len, struct bytes *ret)
{
	const uint8_t *field;
	struct nmea nmea;
	size_t n = 0;

	/* Encapsulated sentences (AIS) concern many ships. */
	if (!nmea_read(payload, len, &nmea) || nmea.encapsulated)
		return false;
	ret->len = (uint8_t)nmea.name_len;
	memcpy(ret->b, nmea.name, nmea.name_len);
	for (size_t i = 0; i < NELEM(distinct); i++) {
		if (!nmea_name_fits(distinct[i].name, strlen(distinct[i].name),
			nmea.name, nmea.name_len))
			continue;
		field = nmea_field(&nmea, distinct[i].field, &n);
		if (field == NULL || nmea.name_len + 1 + n > sizeof(ret->b))
			return false;
		ret->b[nmea.name_len] = ',';
		memcpy(ret->b + nmea.name_len + 1, field, n);
		ret->len = (uint8_t)(nmea.name_len + 1 + n);
	}
	return true;
}

bool
latest_key(
    enum latest kind, const uint8_t *payload, size_t len, struct bytes *ret)
{
	struct mavlink m;

	if (kind == LATEST_NMEA)
		return nmea_key(payload, len, ret);
	if (kind != LATEST_MAVLINK || !mavlink_read(payload, len, &m))
		return false;
	ret->len = 6;
	memcpy(ret->b, &m.id, 4);
	ret->b[4] = m.system;
	ret->b[5] = m.component;
	return true;
}

/* --- Modbus -------------------------------------------------------------- */

#define MODBUS_HEAD 6
#define MBAP 6 /* the header of modbus-tcp, up to the unit */

static int
hex_pair(const uint8_t *p)
{
	char pair[3] = { (char)p[0], (char)p[1], '\0' };

	if (!isxdigit(p[0]) || !isxdigit(p[1]))
		return -1;
	return (int)strtol(pair, NULL, 16);
}

/* Decodes the first bytes of a whole modbus-ascii message, without its LRC; returns
 * how many they are, -1 when it is not one. */
static int
modbus_text(const uint8_t *text, size_t len, uint8_t *head)
{
	uint8_t sum = 0;
	int n = 0, byte;

	if (len < 7 || len % 2 == 0 || text[0] != ':')
		return -1;
	for (size_t i = 1; i < len; i += 2) {
		if ((byte = hex_pair(text + i)) < 0)
			return -1;
		sum = (uint8_t)(sum + byte);
		/* The last byte is the LRC. */
		if (n < MODBUS_HEAD && i + 2 < len)
			head[n++] = (uint8_t)byte;
	}
	return sum == 0 ? n : -1;
}

/*
 * Whether the payload is a whole message of modbus-tcp, which begins with a header.
 * Serial messages with address 0 may look the same: a whole one has a valid CRC; an
 * inner one is a request to write two coils, which as modbus-tcp would be a message of
 * functions 0 to 3 without data, or a request to read and write registers.
 */
static bool
modbus_has_header(const uint8_t *p, size_t len)
{
	if (len < MBAP + 2 || len > MBAP + 254 || (p[2] | p[3] | p[4]) != 0 ||
	    p[5] != len - MBAP)
		return false;
	if (len == MBAP + 2 && p[7] < 4)
		return false;
	if (p[1] == 23 && len > 11 && p[8] == 0 && p[10] == 2 * p[9] &&
	    p[10] == len - 11)
		return false;
	return crc16_modbus(0xffff, p, len) != 0;
}

static void
set_head(struct modbus *m, const uint8_t *head, size_t n)
{
	m->unit = head[0];
	m->function = head[1];
	m->ndata = (unsigned)n - 2;
	memcpy(m->data, head + 2, m->ndata);
	m->len = 0;
}

bool
modbus_read(const uint8_t *payload, size_t len, struct modbus *ret)
{
	uint8_t head[MODBUS_HEAD];
	int n = modbus_text(payload, len, head);

	if (n < 0 && modbus_has_header(payload, len)) {
		payload += MBAP;
		len -= MBAP;
	}
	if (n < 0) {
		n = (int)MIN(len, (size_t)MODBUS_HEAD);
		if (n < 2 || len > MODBUS_LONGEST)
			return false;
		memcpy(head, payload, (size_t)n);
	}
	set_head(ret, head, (size_t)n);
	return true;
}

bool
modbus_read_inner(const uint8_t *inner, size_t len, struct modbus *ret)
{
	if (len < 2 || len > MODBUS_LONGEST)
		return false;
	set_head(ret, inner, MIN(len, (size_t)MODBUS_HEAD));
	ret->len = len;
	return true;
}

#define READ_DEVICE 43
#define MEI_READ_IDENTIFICATION 14

bool
modbus_request_fits(const struct modbus *m)
{
	/* Unit, function and data of requests of a fixed length; 0: of any. */
	static const uint8_t length[] = { [1] = 6,
		6,
		6,
		6,
		6,
		6,
		2,
		[11] = 2,
		2,
		[17] = 2,
		[22] = 8,
		[24] = 4,
		[READ_DEVICE] = 5 };

	if (m->len == 0 || m->function >= sizeof(length) ||
	    length[m->function] == 0)
		return true;
	return m->len == length[m->function];
}

bool
modbus_reads(const struct modbus *m)
{
	static const uint8_t reading[] = { 1, 2, 3, 4, 7, 11, 12, 17, 20, 24 };

	if (m->function == READ_DEVICE)
		return m->ndata > 0 && m->data[0] == MEI_READ_IDENTIFICATION;
	return memchr(reading, m->function, sizeof(reading)) != NULL;
}

/* How the data of a response begins: a byte count for the requested bits or words, or
 * the address of the request. */
enum answer_head { ANY, BITS, WORDS, ADDRESS };

static const uint8_t answer_heads[] = {
	[1] = BITS,
	[2] = BITS,
	[3] = WORDS,
	[4] = WORDS,
	[5] = ADDRESS,
	[6] = ADDRESS,
	[15] = ADDRESS,
	[16] = ADDRESS,
	[22] = ADDRESS,
	[23] = WORDS,
};

static bool
has_length(const struct modbus *m, size_t len)
{
	return m->len == 0 || m->len == len;
}

bool
modbus_answers(const struct modbus *request, const struct modbus *answer)
{
	unsigned n = (unsigned)request->data[2] << 8 | request->data[3];
	uint8_t head = request->function < NELEM(answer_heads)
	    ? answer_heads[request->function]
	    : ANY;

	if (answer->unit != request->unit)
		return false;
	if (answer->function == (request->function | MODBUS_EXCEPTION))
		return has_length(answer, 3);
	if (answer->function != request->function)
		return false;
	if (head == ANY || request->ndata < 4)
		return true;
	if (head == ADDRESS)
		return answer->ndata >= 2 &&
		    memcmp(answer->data, request->data, 2) == 0 &&
		    has_length(answer, request->function == 22 ? 8 : 6);
	return answer->ndata >= 1 && has_length(answer, 3U + answer->data[0]) &&
	    answer->data[0] == (head == BITS ? (n + 7) / 8 : 2 * n) % 256;
}
