/*
 * serial: what others may ask of a serial port beyond the ops.
 */
#ifndef SERIAL_H
#define SERIAL_H

#include "endpoint.h"

/* Closes a port that the process before has left open. */
void serial_let_go(int fd, struct event_base *base, const char *name);
/*
 * A port that is closed while output is on its way stays open in the background
 * until that is out.  Ends all of that at once: before the loop is freed.
 */
void serial_finish(void);

#endif
