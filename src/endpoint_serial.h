/*
 * endpoint_serial: what others may ask of a serial port beyond the ops.
 */
#ifndef ENDPOINT_SERIAL_H
#define ENDPOINT_SERIAL_H

#include "endpoint.h"

struct serial_icounter_struct;

/* Frame, parity, overrun and break counts of an open port since its driver was
 * loaded.  -ENOTTY where the driver counts none (a pty), -ENOTCONN when it is
 * not open. */
int serial_line_errors(
    const struct endpoint *ep, struct serial_icounter_struct *ret);
/* Ports that were closed while output was on its way are closed for good. */
void serial_finish(void);

#endif
