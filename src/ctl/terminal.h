/*
 * terminal: the terminal of the user, whose settings are restored however the program
 * ends.
 */
#ifndef TERMINAL_H
#define TERMINAL_H

#include "util.h"

/*
 * From here on signals that end the program set connection_stop, except for SIGPIPE,
 * which is ignored.
 */
void terminal_signals(void);
/*
 * Input comes as it is typed, without echo and without signals; output is not changed.
 * Restored by terminal_restore(), and at the end of the program.  -errno.
 */
int terminal_keys(void);
void terminal_restore(void);
/* Restores the terminal, and lets the signal end the program that was caught. */
void terminal_raise(void);

#endif
