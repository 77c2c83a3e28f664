/*
 * A Modbus RTU server by libmodbus: register N of unit U holds 1000 * U + N, input
 * register N 2000 * U + N, and every third input bit is set.
 *
 *	modbus_server DEVICE BAUD UNIT
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <modbus.h>

#define REGISTERS 1000

int
main(int argc, char **argv)
{
	uint8_t query[MODBUS_RTU_MAX_ADU_LENGTH];
	modbus_mapping_t *map;
	modbus_t *modbus;
	int unit, n;

	if (argc != 4) {
		fprintf(stderr, "usage: %s DEVICE BAUD UNIT\n", argv[0]);
		return 2;
	}
	unit = atoi(argv[3]);
	modbus = modbus_new_rtu(argv[1], atoi(argv[2]), 'N', 8, 1);
	map = modbus_mapping_new(REGISTERS, REGISTERS, REGISTERS, REGISTERS);
	if (modbus == NULL || map == NULL ||
	    modbus_set_slave(modbus, unit) < 0 || modbus_connect(modbus) < 0) {
		fprintf(stderr, "%s: %s\n", argv[1], modbus_strerror(errno));
		return 1;
	}
	for (int i = 0; i < REGISTERS; i++) {
		map->tab_registers[i] = (uint16_t)(1000 * unit + i);
		map->tab_input_registers[i] = (uint16_t)(2000 * unit + i);
		map->tab_input_bits[i] = i % 3 == 0;
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		n = modbus_receive(modbus, query);
		if (n > 0)
			modbus_reply(modbus, query, n, map);
		else if (n < 0 && errno == EIO)
			return 0;
	}
}
