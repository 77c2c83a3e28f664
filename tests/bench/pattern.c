/*
 * pattern: frames of several formats from a seeded generator, and where a stream
 * leaves them.
 *
 * A stream is compared by memcmp until it differs.  Then the next bytes are looked
 * for in the whole pattern: found ahead, what lies between was lost; found behind,
 * it came twice; not found, they are bad.  Frames carry their number, so a window of
 * bytes is found in one place only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pattern.h"

#define PATTERN_BYTES (1024 * 1024)
/* A stream that is lost so often is not looked for any more. */
#define SEARCHES 5000

struct kind {
	const char *name;
	/* Writes frame k of that size; returns its length. */
	size_t (*make)(uint8_t *to, size_t size, unsigned side, uint32_t k);
};

static uint64_t seed;

static uint8_t
random_byte(void)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint8_t)(seed >> 56);
}

static void
random_text(uint8_t *to, size_t len)
{
	static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ.,";

	for (size_t i = 0; i < len; i++)
		to[i] = (uint8_t)letters[random_byte() & 63];
}

static void
random_payload(uint8_t *to, size_t len, uint32_t k)
{
	for (size_t i = 0; i < len; i++)
		to[i] = i < 3 ? (uint8_t)(k >> 8 * i) : random_byte();
}

/* --- formats ------------------------------------------------------------- */

static size_t
make_raw(uint8_t *to, size_t size, unsigned side, uint32_t k)
{
	(void)side;
	random_payload(to, size, k);
	return size;
}

static size_t
make_line(uint8_t *to, size_t size, unsigned side, uint32_t k)
{
	char head[16];
	int n = snprintf(head, sizeof(head), "%05x%c", k, side ? 'b' : 'a');

	random_text(to, size - 1);
	memcpy(to, head, (size_t)n);
	to[size - 1] = '\n';
	return size;
}

static size_t
make_nmea(uint8_t *to, size_t size, unsigned side, uint32_t k)
{
	size_t body = size - 5;
	uint8_t sum = 0;
	char text[24];
	int n =
	    snprintf(text, sizeof(text), "$%sTXT,%05x,", side ? "II" : "GP", k);

	random_text(to, body);
	memcpy(to, text, (size_t)n);
	for (size_t i = 1; i < body; i++)
		sum ^= to[i];
	snprintf(text, sizeof(text), "*%02X\r\n", sum);
	memcpy(to + body, text, 5);
	return size;
}

static uint16_t
x25(uint16_t crc, uint8_t byte)
{
	crc ^= byte;
	for (int i = 0; i < 8; i++)
		crc = crc & 1 ? crc >> 1 ^ 0x8408 : crc >> 1;
	return crc;
}

/* MAVLink 2: SYSTEM_TIME, STATUSTEXT or ENCAPSULATED_DATA, whatever is that long. */
static size_t
make_mavlink(uint8_t *to, size_t size, unsigned side, uint32_t k)
{
	unsigned id = size <= 24 ? 2 : size <= 66 ? 253 : 131;
	uint8_t extra = size <= 24 ? 137 : size <= 66 ? 83 : 223;
	size_t len = size <= 24 ? 12 : size <= 66 ? 54 : 255;
	const uint8_t head[10] = { 0xfd, (uint8_t)len, 0, 0, (uint8_t)k,
		(uint8_t)(1 + side), 1, (uint8_t)id };
	uint16_t crc = 0xffff;

	memcpy(to, head, sizeof(head));
	random_payload(to + 10, len, k);
	to[9 + len] |= 1; /* zeros at the end are left out */
	for (size_t i = 1; i < 10 + len; i++)
		crc = x25(crc, to[i]);
	crc = x25(crc, extra);
	to[10 + len] = (uint8_t)crc;
	to[11 + len] = (uint8_t)(crc >> 8);
	return 12 + len;
}

static size_t
make_slip(uint8_t *to, size_t size, unsigned side, uint32_t k)
{
	uint8_t payload[4096], *p = to;

	(void)side;
	random_payload(payload, size, k);
	for (size_t i = 0; i < size; i++) {
		if (payload[i] != 0xc0 && payload[i] != 0xdb) {
			*p++ = payload[i];
			continue;
		}
		*p++ = 0xdb;
		*p++ = payload[i] == 0xc0 ? 0xdc : 0xdd;
	}
	*p++ = 0xc0;
	return (size_t)(p - to);
}

/* For telnet. */
static size_t
make_iac(uint8_t *to, size_t size, unsigned side, uint32_t k)
{
	uint8_t payload[4096], *p = to;

	(void)side;
	random_payload(payload, size, k);
	for (size_t i = 0; i < size; i++) {
		*p++ = payload[i];
		if (payload[i] == 255)
			*p++ = 255;
	}
	return (size_t)(p - to);
}

static size_t
make_cobs(uint8_t *to, size_t size, unsigned side, uint32_t k)
{
	uint8_t payload[4096], *code = to, *p = to + 1;

	(void)side;
	random_payload(payload, size, k);
	for (size_t i = 0; i < size; i++) {
		if (payload[i] != 0)
			*p++ = payload[i];
		if (payload[i] == 0 || p - code == 255) {
			*code = (uint8_t)(p - code);
			code = p++;
		}
	}
	*code = (uint8_t)(p - code);
	*p++ = 0;
	return (size_t)(p - to);
}

static const struct kind kinds[] = {
	{ "raw", make_raw },
	{ "line", make_line },
	{ "nmea", make_nmea },
	{ "mavlink", make_mavlink },
	{ "slip", make_slip },
	{ "cobs", make_cobs },
	{ "iac", make_iac },
};

struct pattern *
pattern_new(const char *spec, unsigned side)
{
	const struct kind *kind = NULL;
	struct pattern *p;
	char name[16];
	unsigned size;
	size_t at = 0;

	if (sscanf(spec, "%15[a-z]:%u", name, &size) != 2 || size < 16 ||
	    size > 4096)
		return NULL;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].name, name) == 0)
			kind = &kinds[i];
	if (kind == NULL || (p = calloc(1, sizeof(*p))) == NULL)
		return NULL;
	p->n = PATTERN_BYTES / size;
	p->start = malloc((p->n + 1) * sizeof(*p->start));
	p->bytes = malloc(3 * PATTERN_BYTES);
	if (p->start == NULL || p->bytes == NULL)
		return NULL;
	seed = side + 1;
	for (unsigned k = 0; k < p->n; k++) {
		p->start[k] = (uint32_t)at;
		at += kind->make(p->bytes + at, size, side, k);
	}
	p->start[p->n] = (uint32_t)at;
	p->len = at;
	p->mean = (double)at / p->n;
	memcpy(p->bytes + at, p->bytes, PATTERN_WINDOW);
	return p;
}

unsigned
pattern_frame(const struct pattern *p, size_t at)
{
	unsigned low = 0, high = p->n, middle;

	while (high - low > 1) {
		middle = (low + high) / 2;
		if (p->start[middle] <= at)
			low = middle;
		else
			high = middle;
	}
	return low;
}

uint64_t
pattern_end(const struct pattern *p, uint64_t k)
{
	return k / p->n * p->len + p->start[k % p->n + 1];
}

/* --- the comparison ------------------------------------------------------ */

/* A whole window is held: goes on where it is in the pattern. */
static void
look_for_held(struct check *c)
{
	const struct pattern *p = c->pattern;
	const uint8_t *found = NULL;
	size_t at, ahead;

	if (c->searches < SEARCHES)
		found = memmem(p->bytes, p->len + PATTERN_WINDOW - 1, c->held,
		    PATTERN_WINDOW);
	if (found == NULL) {
		c->searches++;
		c->bad++;
		memmove(c->held, c->held + 1, --c->nheld);
		return;
	}
	at = (size_t)(found - p->bytes);
	ahead = (at + p->len - c->at) % p->len;
	if (ahead > p->len / 2)
		c->doubled += p->len - ahead;
	c->at = (at + PATTERN_WINDOW) % p->len;
	c->good += PATTERN_WINDOW;
	c->nheld = 0;
	c->astray = false;
}

static void
feed_one(struct check *c, uint8_t byte)
{
	c->held[c->nheld++] = byte;
	if (c->nheld == PATTERN_WINDOW)
		look_for_held(c);
}

void
check_feed(struct check *c, const uint8_t *data, size_t len)
{
	const struct pattern *p = c->pattern;
	size_t n;

	while (len > 0) {
		if (c->astray) {
			feed_one(c, *data++);
			len--;
			continue;
		}
		n = len < p->len - c->at ? len : p->len - c->at;
		if (memcmp(p->bytes + c->at, data, n) != 0) {
			for (n = 0; p->bytes[c->at + n] == data[n];)
				n++;
			c->astray = true;
		}
		c->good += n;
		c->at = (c->at + n) % p->len;
		data += n;
		len -= n;
	}
}
