/*
 * serial_conf: the keys of a serial port's section.
 */
#ifndef SERIAL_CONF_H
#define SERIAL_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "key.h"
#include "line_control.h"
#include "tcp_conf.h"

struct endpoint_conf;

enum signal_line { LINE_KEEP, LINE_ON, LINE_OFF };
enum serial_reset { RESET_NONE, RESET_CLASSIC, RESET_ESP, RESET_UNO };
extern const char *const serial_reset_words[];
enum serial_open { OPEN_ALWAYS, OPEN_DEMAND };

struct serial_conf {
	char *device; /* a path, rfc2217://HOST:PORT, or... */
	char *usb;    /* ...VID:PID[:SERIAL] */
	struct line_settings line;
	struct {
		int line;      /* enum signal_line */
		int after_rts; /* 1: it is set after RTS */
	} dtr;
	int rts;   /* enum signal_line */
	int reset; /* enum serial_reset */
	int open;  /* enum serial_open */
	bool hangup_on_close;
	bool exclusive;
	bool low_latency;
	bool rs485;
	bool rs485_rts_on_send, rs485_rts_after_send, rs485_rx_during_tx;
	char *on_open, *on_close;
	uint64_t connect_timeout; /* ns; this and tcp: of another machine */
	struct tcp_conf tcp;
	uint64_t rs485_delay_before, rs485_delay_after; /* ns */

	struct line_settings
	    now; /* line, or what replaces it (line_control.h) */
};

extern const struct key serial_keys[];
/* HOST:PORT of a port of another machine, NULL: it is one of this machine. */
const char *serial_remote_address(const struct serial_conf *serial);
/* Checks the values against each other; -EINVAL. */
int serial_check_keys(const struct serial_conf *serial, struct error *err);
/* Whether the board can be reset in this way; sets err if not. */
bool serial_reset_allowed(
    const struct serial_conf *serial, int kind, struct error *err);
/* See endpoint_ops.warn. */
void serial_warn(const struct endpoint_conf *conf, struct error *err);
/* Prints a struct serial_mode. */
void serial_print_mode(const void *field, char *buf, size_t size);

#endif
