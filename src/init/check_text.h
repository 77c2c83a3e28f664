/*
 * check_text: checks the text of a configuration as a file is checked.
 */
#ifndef CHECK_TEXT_H
#define CHECK_TEXT_H

#include "config.h"

/* The file that the faults name. */
#define CHECKED_FILE "the result"

/*
 * Returns the number of endpoints, or -EINVAL and faults, of which there are none if there
 * is no endpoint; -ENOMEM.  *all: without a route, each of them forwards to the others.
 */
int check_text(const char *text, size_t len, bool *all, struct faults *faults);

#endif
