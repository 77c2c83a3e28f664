/*
 * checksum: the checksums of serial protocols.
 *
 * A CRC is linear: what a byte adds to it depends only on the byte and on how many
 * bytes follow.  table[k][b] is what b adds with k bytes behind it, so sixteen
 * bytes are sixteen independent look-ups; the CRC so far is xored into the first of
 * them.  Two families: "reflected" shifts right and has its first byte in the low
 * bits, the other one shifts left.
 */
#include <stdbool.h>
#include <string.h>

#include "checksum.h"

#define SLICES 16

struct crc16 {
	bool ready;
	uint16_t table[SLICES][256];
};

struct crc32 {
	bool ready;
	uint32_t table[SLICES][256];
};

/* Sixteen bytes at once, by whatever the machine has for it. */
typedef uint8_t lanes __attribute__((vector_size(16)));

const char *const checksum_words[] = {
	"none",
	"crc16-ccitt",
	"crc16-xmodem",
	"crc16-modbus",
	"crc16-x25",
	"crc32",
	"xor8",
	"sum8",
	"fletcher8",
	NULL,
};

/* --- CRC-16, reflected --------------------------------------------------- */

static void
crc16r_make(struct crc16 *t, uint16_t poly)
{
	for (unsigned b = 0; b < 256; b++) {
		uint16_t crc = (uint16_t)b;

		for (int i = 0; i < 8; i++)
			crc = (uint16_t)(crc >> 1 ^ (crc & 1 ? poly : 0));
		t->table[0][b] = crc;
	}
	for (unsigned k = 1; k < SLICES; k++)
		for (unsigned b = 0; b < 256; b++) {
			uint16_t crc = t->table[k - 1][b];

			t->table[k][b] = crc >> 8 ^ t->table[0][crc & 0xff];
		}
	t->ready = true;
}

static inline uint16_t
crc16r(const struct crc16 *t, uint16_t crc, const uint8_t *p, size_t len)
{
	const uint16_t(*s)[256] = t->table;

	for (; len >= 16; len -= 16, p += 16)
		crc = s[13][p[2]] ^ s[12][p[3]] ^ s[11][p[4]] ^ s[10][p[5]] ^
		    s[9][p[6]] ^ s[8][p[7]] ^ s[7][p[8]] ^ s[6][p[9]] ^
		    s[5][p[10]] ^ s[4][p[11]] ^ s[3][p[12]] ^ s[2][p[13]] ^
		    s[1][p[14]] ^ s[0][p[15]] ^ s[15][p[0] ^ (crc & 0xff)] ^
		    s[14][p[1] ^ crc >> 8];
	for (; len >= 4; len -= 4, p += 4)
		crc = s[1][p[2]] ^ s[0][p[3]] ^ s[3][p[0] ^ (crc & 0xff)] ^
		    s[2][p[1] ^ crc >> 8];
	for (; len > 0; len--, p++)
		crc = crc >> 8 ^ s[0][(crc ^ *p) & 0xff];
	return crc;
}

uint16_t
crc16_x25(uint16_t crc, const uint8_t *p, size_t len)
{
	static struct crc16 t;

	if (!t.ready)
		crc16r_make(&t, 0x8408);
	return crc16r(&t, crc, p, len);
}

uint16_t
crc16_modbus(uint16_t crc, const uint8_t *p, size_t len)
{
	static struct crc16 t;

	if (!t.ready)
		crc16r_make(&t, 0xa001);
	return crc16r(&t, crc, p, len);
}

/* --- CRC-16, not reflected ----------------------------------------------- */

static void
crc16_make(struct crc16 *t, uint16_t poly)
{
	for (unsigned b = 0; b < 256; b++) {
		uint16_t crc = (uint16_t)(b << 8);

		for (int i = 0; i < 8; i++)
			crc = (uint16_t)(crc << 1 ^ (crc & 0x8000 ? poly : 0));
		t->table[0][b] = crc;
	}
	for (unsigned k = 1; k < SLICES; k++)
		for (unsigned b = 0; b < 256; b++) {
			uint16_t crc = t->table[k - 1][b];

			t->table[k][b] =
			    (uint16_t)(crc << 8 ^ t->table[0][crc >> 8]);
		}
	t->ready = true;
}

uint16_t
crc16_ccitt(uint16_t crc, const uint8_t *p, size_t len)
{
	static struct crc16 t;
	const uint16_t(*s)[256] = t.table;

	if (!t.ready)
		crc16_make(&t, 0x1021);
	for (; len >= 16; len -= 16, p += 16)
		crc = s[13][p[2]] ^ s[12][p[3]] ^ s[11][p[4]] ^ s[10][p[5]] ^
		    s[9][p[6]] ^ s[8][p[7]] ^ s[7][p[8]] ^ s[6][p[9]] ^
		    s[5][p[10]] ^ s[4][p[11]] ^ s[3][p[12]] ^ s[2][p[13]] ^
		    s[1][p[14]] ^ s[0][p[15]] ^ s[15][p[0] ^ crc >> 8] ^
		    s[14][p[1] ^ (crc & 0xff)];
	for (; len > 0; len--, p++)
		crc = (uint16_t)(crc << 8 ^ s[0][crc >> 8 ^ *p]);
	return crc;
}

/* --- CRC-32 -------------------------------------------------------------- */

static void
crc32_make(struct crc32 *t)
{
	for (unsigned b = 0; b < 256; b++) {
		uint32_t crc = b;

		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
		t->table[0][b] = crc;
	}
	for (unsigned k = 1; k < SLICES; k++)
		for (unsigned b = 0; b < 256; b++) {
			uint32_t crc = t->table[k - 1][b];

			t->table[k][b] = crc >> 8 ^ t->table[0][crc & 0xff];
		}
	t->ready = true;
}

uint32_t
crc32_ieee(uint32_t crc, const uint8_t *p, size_t len)
{
	static struct crc32 t;
	const uint32_t(*s)[256] = t.table;

	if (!t.ready)
		crc32_make(&t);
	crc = ~crc;
	for (; len >= 16; len -= 16, p += 16)
		crc = s[11][p[4]] ^ s[10][p[5]] ^ s[9][p[6]] ^ s[8][p[7]] ^
		    s[7][p[8]] ^ s[6][p[9]] ^ s[5][p[10]] ^ s[4][p[11]] ^
		    s[3][p[12]] ^ s[2][p[13]] ^ s[1][p[14]] ^ s[0][p[15]] ^
		    s[15][p[0] ^ (crc & 0xff)] ^
		    s[14][p[1] ^ (crc >> 8 & 0xff)] ^
		    s[13][p[2] ^ (crc >> 16 & 0xff)] ^ s[12][p[3] ^ crc >> 24];
	for (; len > 0; len--, p++)
		crc = crc >> 8 ^ s[0][(crc ^ *p) & 0xff];
	return ~crc;
}

/* --- sums ---------------------------------------------------------------- */

uint8_t
xor8(const uint8_t *p, size_t len)
{
	lanes v, all = { 0 };
	uint64_t half[2], folded;
	uint8_t sum = 0;

	if (len >= sizeof(v)) {
		for (; len >= sizeof(v); len -= sizeof(v), p += sizeof(v)) {
			memcpy(&v, p, sizeof(v));
			all ^= v;
		}
		memcpy(half, &all, sizeof(half));
		folded = half[0] ^ half[1];
		folded ^= folded >> 32;
		folded ^= folded >> 16;
		sum = (uint8_t)(folded ^ folded >> 8);
	}
	for (; len > 0; len--)
		sum ^= *p++;
	return sum;
}

uint8_t
sum8(const uint8_t *p, size_t len)
{
	lanes v, all = { 0 };
	uint8_t sum = 0;

	for (; len >= sizeof(v); len -= sizeof(v), p += sizeof(v)) {
		memcpy(&v, p, sizeof(v));
		all += v;
	}
	for (size_t i = 0; i < sizeof(v); i++)
		sum += all[i];
	for (; len > 0; len--)
		sum += *p++;
	return sum;
}

uint16_t
fletcher8(const uint8_t *p, size_t len)
{
	uint32_t a = 0, b = 0;

	/* Both wrap at 2^32, which 256 divides. */
	for (; len >= 4; len -= 4, p += 4) {
		b += 4 * (a + p[0]) + 3u * p[1] + 2u * p[2] + p[3];
		a += (uint32_t)p[0] + p[1] + p[2] + p[3];
	}
	for (; len > 0; len--)
		b += a += *p++;
	return (uint16_t)((a & 0xff) << 8 | (b & 0xff));
}

/* --- by kind ------------------------------------------------------------- */

static const uint8_t sizes[] = {
	[CHECKSUM_NONE] = 0,
	[CHECKSUM_CRC16_CCITT] = 2,
	[CHECKSUM_CRC16_XMODEM] = 2,
	[CHECKSUM_CRC16_MODBUS] = 2,
	[CHECKSUM_CRC16_X25] = 2,
	[CHECKSUM_CRC32] = 4,
	[CHECKSUM_XOR8] = 1,
	[CHECKSUM_SUM8] = 1,
	[CHECKSUM_FLETCHER8] = 2,
};

size_t
checksum_size(int kind)
{
	return sizes[kind];
}

uint32_t
checksum_of(int kind, const uint8_t *p, size_t len)
{
	switch (kind) {
	case CHECKSUM_CRC16_CCITT:
		return crc16_ccitt(0xffff, p, len);
	case CHECKSUM_CRC16_XMODEM:
		return crc16_ccitt(0, p, len);
	case CHECKSUM_CRC16_MODBUS:
		return crc16_modbus(0xffff, p, len);
	case CHECKSUM_CRC16_X25:
		return crc16_x25(0xffff, p, len) ^ 0xffffU;
	case CHECKSUM_CRC32:
		return crc32_ieee(0, p, len);
	case CHECKSUM_XOR8:
		return xor8(p, len);
	case CHECKSUM_SUM8:
		return sum8(p, len);
	case CHECKSUM_FLETCHER8:
		return fletcher8(p, len);
	default:
		return 0;
	}
}

void
checksum_put(uint8_t *p, size_t size, uint32_t sum, int little)
{
	for (size_t i = 0; i < size; i++)
		p[little ? i : size - 1 - i] = (uint8_t)(sum >> 8 * i);
}

uint32_t
checksum_get(const uint8_t *p, size_t size, int little)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum |= (uint32_t)p[little ? i : size - 1 - i] << 8 * i;
	return sum;
}
