/*
 * A Modbus TCP client by libmodbus, for a unit of modbus_server: sends COUNT requests of
 * each kind, and compares the answers with what it has written before.
 *
 *	modbus_client PORT UNIT COUNT [SEED]
 *
 * Prints a line for each kind: its name, the requests, wrong answers, and those that were
 * not answered as they should be.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <modbus.h>

#define REGISTERS 1000
#define MOST 100 /* in a request */

static modbus_t *modbus;
static uint8_t coil[REGISTERS], input[REGISTERS];
static uint16_t holding[REGISTERS], measured[REGISTERS];

static int
below(int n)
{
	return (int)(random() % n);
}

/* --- reading ------------------------------------------------------------- */

static bool
bits(int (*read)(modbus_t *, int, int, uint8_t *), const uint8_t *want)
{
	int first = below(REGISTERS - MOST), n = 1 + below(MOST);
	uint8_t got[MOST];

	return read(modbus, first, n, got) == n &&
	    memcmp(got, want + first, (size_t)n) == 0;
}

static bool
words(int (*read)(modbus_t *, int, int, uint16_t *), const uint16_t *want)
{
	int first = below(REGISTERS - MOST), n = 1 + below(MOST);
	uint16_t got[MOST];

	return read(modbus, first, n, got) == n &&
	    memcmp(got, want + first, 2 * (size_t)n) == 0;
}

static bool
read_coils(void)
{
	return bits(modbus_read_bits, coil);
}

static bool
read_inputs(void)
{
	return bits(modbus_read_input_bits, input);
}

static bool
read_holding(void)
{
	return words(modbus_read_registers, holding);
}

static bool
read_measured(void)
{
	return words(modbus_read_input_registers, measured);
}

/* --- writing ------------------------------------------------------------- */

static bool
write_coil(void)
{
	int at = below(REGISTERS);

	coil[at] = (uint8_t)below(2);
	return modbus_write_bit(modbus, at, coil[at]) == 1;
}

static bool
write_holding(void)
{
	int at = below(REGISTERS);

	holding[at] = (uint16_t)below(65536);
	return modbus_write_register(modbus, at, holding[at]) == 1;
}

static bool
write_coils(void)
{
	int first = below(REGISTERS - MOST), n = 1 + below(MOST);

	for (int i = first; i < first + n; i++)
		coil[i] = (uint8_t)below(2);
	return modbus_write_bits(modbus, first, n, coil + first) == n;
}

static void
change(int first, int n)
{
	for (int i = first; i < first + n; i++)
		holding[i] = (uint16_t)below(65536);
}

static bool
write_several(void)
{
	int first = below(REGISTERS - MOST), n = 1 + below(MOST);

	change(first, n);
	return modbus_write_registers(modbus, first, n, holding + first) == n;
}

/* What is read is what has been written. */
static bool
write_and_read(void)
{
	int first = below(REGISTERS - MOST), n = 1 + below(MOST);
	int from = below(REGISTERS - MOST), count = 1 + below(MOST);
	uint16_t got[MOST];

	change(first, n);
	return modbus_write_and_read_registers(modbus, first, n,
		   holding + first, from, count, got) == count &&
	    memcmp(got, holding + from, 2 * (size_t)count) == 0;
}

/* --- exceptions ---------------------------------------------------------- */

static bool
no_such_address(void)
{
	uint16_t got[2];

	return modbus_read_registers(modbus, REGISTERS - 1, 2, got) == -1 &&
	    errno == EMBXILADD;
}

static bool
no_such_function(void)
{
	const uint8_t request[] = { (uint8_t)modbus_get_slave(modbus), 0x41 };
	uint8_t answer[MODBUS_TCP_MAX_ADU_LENGTH];

	return modbus_send_raw_request(modbus, request, sizeof(request)) > 0 &&
	    modbus_receive_confirmation(modbus, answer) == 9 &&
	    answer[7] == (request[1] | 0x80) &&
	    answer[8] == MODBUS_EXCEPTION_ILLEGAL_FUNCTION;
}

static const struct {
	const char *name;
	bool (*ask)(void);
	int every; /* so many of the others */
} kinds[] = {
	{ "1", read_coils, 1 },
	{ "2", read_inputs, 1 },
	{ "3", read_holding, 1 },
	{ "4", read_measured, 1 },
	{ "5", write_coil, 1 },
	{ "6", write_holding, 1 },
	{ "15", write_coils, 1 },
	{ "16", write_several, 1 },
	{ "23", write_and_read, 1 },
	{ "address", no_such_address, 1 },
	/* The server waits for half a second before it answers this one. */
	{ "function", no_such_function, 100 },
};
#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

/* Of all kinds in turn. */
static void
ask_all(int count)
{
	int asked[NKINDS] = { 0 }, wrong[NKINDS] = { 0 },
	    failed[NKINDS] = { 0 };

	for (int i = 0; i < count; i++)
		for (size_t k = 0; k < NKINDS; k++) {
			if (i % kinds[k].every != 0)
				continue;
			asked[k]++;
			errno = 0;
			if (kinds[k].ask())
				continue;
			if (errno == 0)
				wrong[k]++;
			else if (failed[k]++ < 3)
				fprintf(stderr, "%s: %s\n", kinds[k].name,
				    modbus_strerror(errno));
		}
	for (size_t k = 0; k < NKINDS; k++)
		printf("%s %d %d %d\n", kinds[k].name, asked[k], wrong[k],
		    failed[k]);
}

int
main(int argc, char **argv)
{
	int unit;

	if (argc < 4) {
		fprintf(stderr, "usage: %s PORT UNIT COUNT [SEED]\n", argv[0]);
		return 2;
	}
	unit = atoi(argv[2]);
	srandom(argc > 4 ? (unsigned)atoi(argv[4]) : 1);
	for (int i = 0; i < REGISTERS; i++) {
		holding[i] = (uint16_t)(1000 * unit + i);
		measured[i] = (uint16_t)(2000 * unit + i);
		input[i] = i % 3 == 0;
	}
	modbus = modbus_new_tcp("127.0.0.1", atoi(argv[1]));
	if (modbus == NULL || modbus_set_slave(modbus, unit) < 0 ||
	    modbus_set_response_timeout(modbus, 20, 0) < 0 ||
	    modbus_connect(modbus) < 0) {
		fprintf(stderr, "%s: %s\n", argv[1], modbus_strerror(errno));
		return 1;
	}
	ask_all(atoi(argv[3]));
	modbus_close(modbus);
	modbus_free(modbus);
	return 0;
}
