/*
 * serial_conf: the keys of a serial port's section.
 */
#ifndef SERIAL_CONF_H
#define SERIAL_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "line_control.h"

enum signal_line { LINE_KEEP, LINE_ON, LINE_OFF };

struct serial_conf {
	char *device; /* a path, or... */
	char *usb;    /* ...VID:PID[:SERIAL] */
	struct line_settings line;
	int dtr, rts;	/* enum signal_line */
	int line_order; /* 0: DTR first, 1: RTS first */
	bool hangup_on_close;
	bool exclusive;
	bool low_latency;
	bool rs485;
	bool rs485_rts_on_send, rs485_rts_after_send, rs485_rx_during_tx;
	char *on_open, *on_close;
	uint64_t rs485_delay_before, rs485_delay_after; /* ns */

	struct line_settings
	    now; /* line, or what replaces it (line_control.h) */
};

#endif
