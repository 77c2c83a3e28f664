/*
 * init: writes a configuration, made of the serial ports that there are and a few answers,
 * or of the configuration of another program.
 */
#ifndef INIT_H
#define INIT_H

#include "util.h"

struct init {
	char *const *words; /* PROGRAM FILE, or none */
	unsigned nwords;
	const char *file; /* to be written; NULL: standard output */
	bool yes;	  /* ask nothing */
};

/* Returns the exit status. */
int init_run(const struct init *init);
/* The names of the programs whose configurations can be converted, by number; or NULL. */
const char *init_program(size_t i);

#endif
