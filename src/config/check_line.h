/*
 * check_line: whether servers whose clients control a serial line have one.
 */
#ifndef CHECK_LINE_H
#define CHECK_LINE_H

#include "names.h"

void check_lines(
    const struct config *c, struct names *names, struct faults *faults);

#endif
