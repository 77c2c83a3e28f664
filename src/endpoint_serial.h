/*
 * endpoint_serial: what others may ask of a serial port beyond the ops.
 */
#ifndef ENDPOINT_SERIAL_H
#define ENDPOINT_SERIAL_H

#include "endpoint.h"

struct serial_icounter_struct;

/*
 * Frame, parity, overrun and break counts of an open port since its driver was
 * loaded.  -ENOTTY where the driver counts none (a pty), -ENOTCONN when it is
 * not open.
 */
int serial_line_errors(
    const struct endpoint *ep, struct serial_icounter_struct *ret);
/* Tells the framing of the line under it (baud rate, bits of a character), from the
 * section's other keys. */
void serial_describe_line(struct endpoint_conf *conf);
/* Closes a port that the process before has left open. */
void serial_let_go(int fd, struct event_base *base, const char *name);
/*
 * A port that is closed while output is on its way stays open in the background
 * until that is out.  Ends all of that at once: before the loop is freed.
 */
void serial_finish(void);

#endif
