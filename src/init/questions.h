/*
 * questions: makes a configuration for the serial ports of this machine.
 */
#ifndef QUESTIONS_H
#define QUESTIONS_H

#include "draft.h"

/*
 * Asks on standard error, and reads answers from standard input; with yes it asks nothing
 * and uses the defaults.  -EINVAL and err if standard input is not a terminal; -ENOMEM.
 */
int questions_ask(struct draft *d, bool yes, struct error *err);

#endif
