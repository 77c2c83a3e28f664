/*
 * serial_reset: resets the board at a serial port, by a sequence of levels of DTR and RTS.
 */
#ifndef SERIAL_RESET_H
#define SERIAL_RESET_H

#include "serial_line.h"

/* Starts the sequence of that name, or of the section if it is NULL. */
int serial_reset_start(
    struct serial *s, const char *sequence, struct error *err);
/* Ends the sequence in progress, if any: DTR and RTS get their final levels at once. */
void serial_reset_stop(struct serial *s);

#endif
