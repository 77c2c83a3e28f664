/*
 * checksum: the checksums of serial protocols.
 *
 * A CRC is linear: the contribution of a byte depends only on its value and on the
 * number of bytes that follow.  table[k][b] is the contribution of byte b with k bytes
 * after it, so sixteen bytes are sixteen independent look-ups; the CRC so far is xored
 * into the first of them.  There are two variants: the reflected one shifts right and
 * processes the low bits first, the other one shifts left.
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

/* Sixteen bytes, processed at once with the vector instructions of the machine. */
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
	"sum16",
	"crc8",
	"crc16",
	"crc24q",
	NULL,
};

const char *const complement_words[] = {
	"none",
	"ones",
	"twos",
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

static inline uint16_t
crc16f(const struct crc16 *t, uint16_t crc, const uint8_t *p, size_t len)
{
	const uint16_t(*s)[256] = t->table;

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

static uint16_t
crc16_ccitt(uint16_t crc, const uint8_t *p, size_t len)
{
	static struct crc16 t;

	if (!t.ready)
		crc16_make(&t, 0x1021);
	return crc16f(&t, crc, p, len);
}

/* --- CRC-8 and CRC-16 by parameters -------------------------------------- */

/*
 * The tables of the polynomials in use.  If a configuration uses more than TABLES of
 * them, tables are recomputed again and again, which costs some microseconds per frame.
 */
#define TABLES 8

static uint32_t
reflected(uint32_t value, unsigned width)
{
	uint32_t r = 0;

	for (unsigned i = 0; i < width; i++)
		r |= (value >> i & 1) << (width - 1 - i);
	return r;
}

/* Returns the table of a polynomial, which is given as the variant has it in the
 * register. */
static const struct crc16 *
crc16_tables(uint16_t poly, bool reflect)
{
	static struct {
		uint16_t poly;
		bool reflect;
		struct crc16 t;
	} made[TABLES];
	static unsigned oldest;
	unsigned i;

	for (i = 0; i < TABLES && made[i].t.ready; i++)
		if (made[i].poly == poly && made[i].reflect == reflect)
			return &made[i].t;
	if (i == TABLES) {
		i = oldest;
		oldest = (oldest + 1) % TABLES;
	}
	made[i].poly = poly;
	made[i].reflect = reflect;
	if (reflect)
		crc16r_make(&made[i].t, poly);
	else
		crc16_make(&made[i].t, poly);
	return &made[i].t;
}

/* A CRC narrower than 16 bits occupies the end of the register where bytes are shifted
 * in. */
static uint32_t
crc_by_params(unsigned width, uint32_t poly, const struct checksum_params *how,
    const uint8_t *p, size_t len)
{
	uint32_t init = (uint32_t)how->init, crc;
	unsigned free = 16 - width;

	if (how->reflect)
		crc =
		    crc16r(crc16_tables((uint16_t)reflected(poly, width), true),
			(uint16_t)reflected(init, width), p, len);
	else
		crc = crc16f(crc16_tables((uint16_t)(poly << free), false),
			  (uint16_t)(init << free), p, len) >>
		    free;
	return crc ^ (uint32_t)how->xor_out;
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
	for (; len >= 4; len -= 4, p += 4)
		crc = s[3][p[0] ^ (crc & 0xff)] ^
		    s[2][p[1] ^ (crc >> 8 & 0xff)] ^
		    s[1][p[2] ^ (crc >> 16 & 0xff)] ^ s[0][p[3] ^ crc >> 24];
	for (; len > 0; len--, p++)
		crc = crc >> 8 ^ s[0][(crc ^ *p) & 0xff];
	return ~crc;
}

/* --- CRC-24Q ------------------------------------------------------------- */

/* The CRC is in the upper three bytes of the register. */
static void
crc24q_make(struct crc32 *t)
{
	for (uint32_t b = 0; b < 256; b++) {
		uint32_t crc = b << 24;

		for (int i = 0; i < 8; i++)
			crc = crc << 1 ^ (crc >> 31 ? 0x864cfb00 : 0);
		t->table[0][b] = crc;
	}
	for (unsigned k = 1; k < SLICES; k++)
		for (unsigned b = 0; b < 256; b++) {
			uint32_t crc = t->table[k - 1][b];

			t->table[k][b] = crc << 8 ^ t->table[0][crc >> 24];
		}
	t->ready = true;
}

uint32_t
crc24q(uint32_t crc, const uint8_t *p, size_t len)
{
	static struct crc32 t;
	const uint32_t(*s)[256] = t.table;

	if (!t.ready)
		crc24q_make(&t);
	crc <<= 8;
	for (; len >= 16; len -= 16, p += 16)
		crc = s[12][p[3]] ^ s[11][p[4]] ^ s[10][p[5]] ^ s[9][p[6]] ^
		    s[8][p[7]] ^ s[7][p[8]] ^ s[6][p[9]] ^ s[5][p[10]] ^
		    s[4][p[11]] ^ s[3][p[12]] ^ s[2][p[13]] ^ s[1][p[14]] ^
		    s[0][p[15]] ^ s[15][p[0] ^ crc >> 24] ^
		    s[14][p[1] ^ (crc >> 16 & 0xff)] ^
		    s[13][p[2] ^ (crc >> 8 & 0xff)];
	for (; len > 0; len--, p++)
		crc = crc << 8 ^ s[0][crc >> 24 ^ *p];
	return crc >> 8;
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
sum16(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	/* The sum wraps at 2^32, a multiple of 2^16. */
	for (; len > 0; len--)
		sum += *p++;
	return (uint16_t)sum;
}

uint16_t
fletcher8(const uint8_t *p, size_t len)
{
	uint32_t a = 0, b = 0;

	/* Both wrap at 2^32, a multiple of 256. */
	for (; len >= 4; len -= 4, p += 4) {
		b += 4 * (a + p[0]) + 3u * p[1] + 2u * p[2] + p[3];
		a += (uint32_t)p[0] + p[1] + p[2] + p[3];
	}
	for (; len > 0; len--)
		b += a += *p++;
	return (uint16_t)((a & 0xff) << 8 | (b & 0xff));
}

/* --- by kind ------------------------------------------------------------- */

const uint8_t checksum_sizes[] = {
	[CHECKSUM_NONE] = 0,
	[CHECKSUM_CRC16_CCITT] = 2,
	[CHECKSUM_CRC16_XMODEM] = 2,
	[CHECKSUM_CRC16_MODBUS] = 2,
	[CHECKSUM_CRC16_X25] = 2,
	[CHECKSUM_CRC32] = 4,
	[CHECKSUM_XOR8] = 1,
	[CHECKSUM_SUM8] = 1,
	[CHECKSUM_FLETCHER8] = 2,
	[CHECKSUM_SUM16] = 2,
	[CHECKSUM_CRC8] = 1,
	[CHECKSUM_CRC16] = 2,
	[CHECKSUM_CRC24Q] = 3,
};

bool
checksum_is_crc(int kind)
{
	return kind == CHECKSUM_CRC8 || kind == CHECKSUM_CRC16;
}

bool
checksum_is_sum(int kind)
{
	return kind == CHECKSUM_XOR8 || kind == CHECKSUM_SUM8 ||
	    kind == CHECKSUM_SUM16;
}

uint32_t
checksum_poly(int kind)
{
	return kind == CHECKSUM_CRC8 ? 0x07 : 0x1021;
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
	case CHECKSUM_CRC24Q:
		return crc24q(0, p, len);
	case CHECKSUM_XOR8:
		return xor8(p, len);
	case CHECKSUM_SUM8:
		return sum8(p, len);
	case CHECKSUM_SUM16:
		return sum16(p, len);
	case CHECKSUM_FLETCHER8:
		return fletcher8(p, len);
	default:
		return 0;
	}
}

uint32_t
checksum_with(int kind, const struct checksum_params *params, const uint8_t *p,
    size_t len)
{
	uint32_t poly, sum;

	if (checksum_is_crc(kind)) {
		poly = params->poly != 0 ? (uint32_t)params->poly
					 : checksum_poly(kind);
		return crc_by_params(
		    8 * checksum_sizes[kind], poly, params, p, len);
	}
	sum = checksum_of(kind, p, len);
	if (params->complement == COMPLEMENT_NONE)
		return sum;
	sum = ~sum + (params->complement == COMPLEMENT_TWOS);
	return sum & (checksum_sizes[kind] == 1 ? 0xff : 0xffff);
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
