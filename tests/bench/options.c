/*
 * options: reads the options of the load generators.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

void
options_usage(const struct option *options, size_t n, const char *synopsis)
{
	fprintf(stderr, "%s\n", synopsis);
	for (size_t i = 0; i < n; i++)
		fprintf(stderr, "\t%s%s\n", options[i].name,
		    options[i].flag != NULL ? "" : " VALUE");
	exit(2);
}

char **
options_read(
    const struct option *options, size_t n, const char *synopsis, char **argv)
{
	const struct option *o;

	while (*argv != NULL && strcmp(*argv, "--") != 0) {
		for (o = options; o < options + n; o++)
			if (strcmp(o->name, *argv) == 0)
				break;
		if (o == options + n || (o->flag == NULL && argv[1] == NULL))
			options_usage(options, n, synopsis);
		if (o->flag != NULL)
			*o->flag = 1;
		else if (o->text != NULL)
			*o->text = *++argv;
		else if (o->number != NULL)
			*o->number = (unsigned)strtoul(*++argv, NULL, 10);
		else
			*o->real = strtod(*++argv, NULL);
		argv++;
	}
	return argv;
}
