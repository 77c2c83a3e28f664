/*
 * checksum: the checksums of serial protocols, over memory.
 *
 * CRCs are computed by slicing: sixteen independent table look-ups for sixteen bytes.
 * The tables of a polynomial are computed when it is first used.
 */
#ifndef CHECKSUM_H
#define CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum checksum_kind {
	CHECKSUM_NONE,
	CHECKSUM_CRC16_CCITT,
	CHECKSUM_CRC16_XMODEM,
	CHECKSUM_CRC16_MODBUS,
	CHECKSUM_CRC16_X25,
	CHECKSUM_CRC32,
	CHECKSUM_XOR8,
	CHECKSUM_SUM8,
	CHECKSUM_FLETCHER8,
	CHECKSUM_SUM16,
	CHECKSUM_CRC8,
	CHECKSUM_CRC16,
	CHECKSUM_CRC24Q
};

enum checksum_complement { COMPLEMENT_NONE, COMPLEMENT_ONES, COMPLEMENT_TWOS };

/*
 * The parameters of CHECKSUM_CRC8 and CHECKSUM_CRC16, as catalogues of CRCs give
 * them (polynomial and initial value are not reflected), and the complement of the
 * sums.
 */
struct checksum_params {
	uint64_t poly; /* 0: the default, checksum_poly() */
	uint64_t init, xor_out;
	bool reflect;
	int complement; /* enum checksum_complement */
};

/* The configuration words in the order of enum checksum_kind, NULL-terminated. */
extern const char *const checksum_words[];

/* The configuration words in the order of enum checksum_complement, NULL-terminated. */
extern const char *const complement_words[];

extern const uint8_t checksum_sizes[];
/* The size of the checksum in bytes, 0 to 4. */
static inline size_t
checksum_size(int kind)
{
	return checksum_sizes[kind];
}
/* Whether the kind is CHECKSUM_CRC8 or CHECKSUM_CRC16, which have parameters. */
bool checksum_is_crc(int kind);
/* Whether the kind can be complemented. */
bool checksum_is_sum(int kind);
/* The default polynomial of CHECKSUM_CRC8 or CHECKSUM_CRC16. */
uint32_t checksum_poly(int kind);
/* The checksum of a kind that has no parameters. */
uint32_t checksum_of(int kind, const uint8_t *p, size_t len);
uint32_t checksum_with(int kind, const struct checksum_params *params,
    const uint8_t *p, size_t len);
/* Stores or loads a checksum of size bytes, big or little-endian. */
void checksum_put(uint8_t *p, size_t size, uint32_t sum, int little);
uint32_t checksum_get(const uint8_t *p, size_t size, int little);

/*
 * Single CRCs, which continue from crc.  The initial value is 0xffff, and 0 for
 * crc32_ieee.  crc16_x25 omits the final inversion, which makes it CRC-16/MCRF4XX.
 */
uint16_t crc16_x25(uint16_t crc, const uint8_t *p, size_t len);
uint16_t crc16_modbus(uint16_t crc, const uint8_t *p, size_t len);
uint32_t crc32_ieee(uint32_t crc, const uint8_t *p, size_t len);
/* The initial value is 0. */
uint32_t crc24q(uint32_t crc, const uint8_t *p, size_t len);
uint8_t xor8(const uint8_t *p, size_t len);
uint8_t sum8(const uint8_t *p, size_t len);
uint16_t sum16(const uint8_t *p, size_t len);
/* The first sum is in the high byte. */
uint16_t fletcher8(const uint8_t *p, size_t len);

#endif
