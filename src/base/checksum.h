/*
 * checksum: the checksums of serial protocols, over memory.
 *
 * CRCs are by slicing: sixteen table look-ups for sixteen bytes that do not wait for
 * each other.  The tables of a polynomial are made when it is first used.
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
	uint64_t poly; /* 0: that of checksum_poly() */
	uint64_t init, xor_out;
	bool reflect;
	int complement; /* enum checksum_complement */
};

/* In the order of enum checksum_kind, NULL at the end: what a file says. */
extern const char *const checksum_words[];

/* The words of enum checksum_complement. */
extern const char *const complement_words[];

extern const uint8_t checksum_sizes[];
/* Bytes that the checksum takes: 0 to 4. */
static inline size_t
checksum_size(int kind)
{
	return checksum_sizes[kind];
}
/* The parameters are of CHECKSUM_CRC8 or CHECKSUM_CRC16. */
bool checksum_is_crc(int kind);
/* The kind has a complement. */
bool checksum_is_sum(int kind);
/* The polynomial of CHECKSUM_CRC8 or CHECKSUM_CRC16 when none is given. */
uint32_t checksum_poly(int kind);
/* The checksum of a kind that has no parameters. */
uint32_t checksum_of(int kind, const uint8_t *p, size_t len);
uint32_t checksum_with(int kind, const struct checksum_params *params,
    const uint8_t *p, size_t len);
/* The checksum as size bytes after a payload, big or little-endian. */
void checksum_put(uint8_t *p, size_t size, uint32_t sum, int little);
uint32_t checksum_get(const uint8_t *p, size_t size, int little);

/*
 * The CRCs bare, to go on from crc; start with 0xffff, and for crc32 with 0.
 * crc16_x25 is without its final inversion, which makes it CRC-16/MCRF4XX.
 */
uint16_t crc16_x25(uint16_t crc, const uint8_t *p, size_t len);
uint16_t crc16_modbus(uint16_t crc, const uint8_t *p, size_t len);
uint32_t crc32_ieee(uint32_t crc, const uint8_t *p, size_t len);
/* Starts with 0. */
uint32_t crc24q(uint32_t crc, const uint8_t *p, size_t len);
uint8_t xor8(const uint8_t *p, size_t len);
uint8_t sum8(const uint8_t *p, size_t len);
uint16_t sum16(const uint8_t *p, size_t len);
/* The first sum in the high byte. */
uint16_t fletcher8(const uint8_t *p, size_t len);

#endif
