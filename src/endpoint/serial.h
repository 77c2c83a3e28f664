/*
 * serial: functions of serial ports other than the ops.
 */
#ifndef SERIAL_H
#define SERIAL_H

#include "endpoint.h"

/* Closes a port that the previous process left open. */
void serial_let_go(int fd, struct event_base *base, const char *name);
/*
 * A port that is closed while output is pending stays open in the background until the
 * output has been sent.  Ends that at once for all ports; called before the event loop
 * is freed.
 */
void serial_finish(void);

#endif
