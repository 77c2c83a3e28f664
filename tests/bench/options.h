/*
 * options: the options of the load generators, as tables.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stddef.h>

/* Sets one of the variables; a flag has no value. */
struct option {
	const char *name;
	const char **text;
	unsigned *number;
	double *real;
	int *flag;
};

/*
 * Reads options up to "--" or the end, which it returns.  Prints the table and exits if
 * one of them is not in it, or has no value.
 */
char **options_read(
    const struct option *options, size_t n, const char *synopsis, char **argv);
void options_usage(
    const struct option *options, size_t n, const char *synopsis);

#endif
