/*
 * serial_tty: settings of a serial line through its descriptor: raw mode, speed, flow
 * control, modem lines, RS-485.  Pseudo-terminals accept the same settings, most of
 * them without effect.
 *
 * Functions return -errno and set err on failure.  A setting that the driver applies
 * differently than requested is logged as a warning for the endpoint of that name.
 */
#ifndef SERIAL_TTY_H
#define SERIAL_TTY_H

#include "endpoint.h"
#include "error.h"
#include "serial_conf.h"

bool serial_tty_is_pty(int fd);
/*
 * Sets raw mode: no echo, no editing, 8 bits, no parity, one stop bit; reads return
 * after one byte.  Earlier input is discarded, except on a pty that was already raw.
 * The speed is not changed.
 */
int serial_tty_raw(int fd);
/*
 * Sets raw mode, frame format, flow control, hang-up on close and the speed in one
 * call, and reads back what the driver applied.  strict: a setting that it does not
 * apply as requested is an error, and the old settings are restored; for a pty it is
 * only described in err.
 */
int serial_tty_line(int fd, const char *name, const struct line_settings *line,
    bool hangup, bool strict, struct error *err);
/* Gets the settings that the driver has applied. */
int serial_tty_settings(int fd, struct line_settings *ret);
/*
 * Sets DTR and RTS in the order of the section; a signal configured as keep is not
 * changed.
 */
int serial_tty_signals(
    int fd, const struct serial_conf *conf, struct error *err);
int serial_tty_rs485(int fd, const char *name, const struct serial_conf *conf,
    struct error *err);
int serial_tty_low_latency(int fd, bool on, struct error *err);
/* Sets the signals of mask (TIOCM_DTR, TIOCM_RTS) at the same time. */
int serial_tty_set_signals(int fd, unsigned mask, unsigned levels);
/* Gets the signals: TIOCM_DTR, RTS, CTS, DSR, RNG and CAR. */
int serial_tty_get_signals(int fd, unsigned *ret);
int serial_tty_break(int fd, bool on);
/* Frame, parity, overrun and break counts since the driver was loaded. */
int serial_tty_errors(int fd, struct line_errors *ret);
/*
 * Number of bytes written but not yet sent; 0 on a pty and on a port that was removed.
 */
unsigned serial_tty_unsent(int fd);
/* Discards those, so that close() does not wait for them. */
void serial_tty_discard(int fd);
/* Discards what was received and not read, or written and not sent.  A pty has
 * nothing that was not sent. */
int serial_tty_purge(int fd, bool input, bool output);

#endif
