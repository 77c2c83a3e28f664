/*
 * daemon: start in order, signals, stop in reverse.
 */
#ifndef DAEMON_H
#define DAEMON_H

#include "config.h"

/* The command line. */
struct options {
	const char *file; /* NULL: none was named */
	char *const *argv;
	char *const *words;
	unsigned nwords;
	bool verbose;
	bool check;
	bool list_ports;
	bool list_framings;
	bool json;
};

/* The file, if one is to be read, and the words of the command line. */
int options_config(
    const struct options *o, struct config **ret, struct faults *faults);
/* Runs until it is told to stop; takes the configuration over; logs the
 * warnings.  The exit status. */
int daemon_run(
    const struct options *o, struct config *c, const struct faults *warnings);

#endif
