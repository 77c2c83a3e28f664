/*
 * site: what is common to the endpoints of this daemon.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "site.h"
#include "util.h"

/* The name of a section without 'name' says nothing. */
#define NO_NAME "ttybridge"

static char host[SITE_HOST_MAX];
static char *state_dir;

void
site_set(const char *name, const char *directory)
{
	host[0] = '\0';
	if (name != NULL && strcmp(name, NO_NAME) != 0)
		snprintf(host, sizeof(host), "%s", name);
	if (directory == NULL) {
		free(state_dir);
		state_dir = NULL;
	} else
		replace_string(&state_dir, directory);
}

const char *
site_host(void)
{
	if (host[0] == '\0' && gethostname(host, sizeof(host) - 1) < 0)
		snprintf(host, sizeof(host), "localhost");
	for (char *c = host; *c != '\0'; c++)
		if ((unsigned char)*c <= ' ' || strchr("/+#$\x7f", *c) != NULL)
			*c = '_';
	return host;
}

const char *
site_state_dir(void)
{
	return state_dir;
}
