/*
 * check_text: checks the text of a configuration as a file is checked.
 */
#include <errno.h>

#include "check_text.h"

int
check_text(const char *text, size_t len, bool *all, struct faults *faults)
{
	struct config *c = NULL;
	int r = config_parse(CHECKED_FILE, text, len, &c, faults), n = 0;

	/* Without endpoints no part of it is to blame. */
	if (r == 0 && c->nendpoints == 0)
		r = -EINVAL;
	if (r == 0)
		r = config_check(c, CHECKED_FILE, faults);
	if (r == 0) {
		n = (int)c->nendpoints;
		*all = n > 1 && c->nroutes == 0;
	}
	config_free(c);
	return r < 0 ? r : n;
}
