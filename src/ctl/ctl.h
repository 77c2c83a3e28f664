/*
 * ctl: what the commands of ttybridgectl have in common.
 */
#ifndef CTL_H
#define CTL_H

#include "locate.h"

#define EXIT_USAGE 2

/* The options before the command, and the connection that they lead to. */
struct ctl {
	struct where where;
	bool json;
	struct target target;
	struct connection *connection;
};

/*
 * Connects, unless that was done.  Otherwise prints why not and returns -errno.  The
 * functions below return the exit status.
 */
int ctl_connect(struct ctl *ctl);
/* Another connection to the same port. */
int ctl_connect_again(struct ctl *ctl, struct connection **ret);
/* Prints "ttybridgectl: MESSAGE" on standard error; returns EXIT_FAILURE. */
int ctl_fail(const char *fmt, ...) PRINTF(1, 2);
/* The same with the usage of the command; returns EXIT_USAGE. */
int ctl_usage(const char *usage, const char *fmt, ...) PRINTF(2, 3);
/* A copy by printable(), which the caller frees; NULL: out of memory. */
char *ctl_printable(const char *text);
/* The text or the number of a member of an object; "" or 0 if it has no such member. */
const char *member_text(const json_t *object, const char *name);
double member_number(const json_t *object, const char *name);
/* Joins the words to a line, which the caller frees; NULL: it was printed why not. */
char *ctl_line(const char *before, int argc, char **argv);

/* relay.c: a command of the daemon. */
int relay_main(struct ctl *ctl, int argc, char **argv);

#endif
