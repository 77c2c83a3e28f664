/*
 * daemon: startup, signals and shutdown.
 */
#ifndef DAEMON_H
#define DAEMON_H

#include "config.h"

/* The command line. */
struct options {
	const char *file; /* NULL: none was given */
	char *const *argv;
	char *const *words;
	unsigned nwords;
	bool verbose;
	bool check;
	bool list_ports;
	bool list_framings;
	bool list_keys;
	bool list_commands;
	bool json;
	bool init;
	bool yes;
};

/*
 * Reads the configuration from the file, if there is one, and the words of the command
 * line.
 */
int options_config(
    const struct options *o, struct config **ret, struct faults *faults);
/*
 * Runs until it is told to stop; takes ownership of the configuration; logs the warnings.
 * Returns the exit status.
 */
int daemon_run(
    const struct options *o, struct config *c, const struct faults *warnings);

#endif
