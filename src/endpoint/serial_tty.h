/*
 * serial_tty: what a serial line is told through its descriptor: raw mode,
 * speed, flow control, modem lines, RS-485.  The same for real ports and for
 * pseudo-terminals, which take everything and mean little of it.
 *
 * Errors are -errno with a sentence in err.  What the driver merely does
 * otherwise than asked is logged as a warning of the endpoint of that name.
 */
#ifndef SERIAL_TTY_H
#define SERIAL_TTY_H

#include "endpoint.h"
#include "error.h"
#include "serial_conf.h"

bool serial_tty_is_pty(int fd);
/*
 * No echo, no editing, 8 bits; reads wait for one byte.  Input that came before
 * is thrown away, save on a pty that was raw already.  Speed, parity and the
 * like stay.
 */
int serial_tty_raw(int fd);
/*
 * Raw mode, frame format, flow control, hang-up on close and the speed, all in
 * one step, and reads back what the driver made of it.  strict: what it does
 * not take as asked is an error, and nothing is changed.
 */
int serial_tty_line(int fd, const char *name, const struct serial_conf *conf,
    bool strict, struct error *err);
/*
 * DTR and RTS, in the order of the section; those to be kept are not touched.
 */
int serial_tty_signals(
    int fd, const struct serial_conf *conf, struct error *err);
int serial_tty_rs485(int fd, const char *name, const struct serial_conf *conf,
    struct error *err);
int serial_tty_low_latency(int fd, bool on, struct error *err);
int serial_tty_break(int fd, bool on);
/* Frame, parity, overrun and break counts since the driver was loaded. */
int serial_tty_errors(int fd, struct line_errors *ret);
/*
 * Bytes written that are still on their way; 0 on a pty and on a port that is
 * gone.
 */
unsigned serial_tty_unsent(int fd);
/* Throws those away, so that close() does not wait for them. */
void serial_tty_discard(int fd);

#endif
