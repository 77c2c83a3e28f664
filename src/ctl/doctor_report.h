/*
 * doctor_report: what the checks have found.
 */
#ifndef DOCTOR_REPORT_H
#define DOCTOR_REPORT_H

#include <jansson.h>

#include "util.h"

/* Arrays of objects whose members are texts. */
struct report {
	const char *check;   /* the name of the one that runs */
	json_t *findings;    /* check, name, what, where, remedy */
	json_t *hints;	     /* the same: it may be intended */
	json_t *not_checked; /* check, why */
	unsigned checks;     /* that were run or left out */
};

/* The longest text of a finding; what is longer is cut. */
#define DOCTOR_TEXT_MAX 1024

/* Like snprintf(): what does not fit is cut. */
void format_text(char *buf, size_t size, const char *fmt, ...) PRINTF(3, 4);

/* -ENOMEM. */
int report_init(struct report *r);
void report_free(struct report *r);

/*
 * Adds what the present check has found.  name: of the endpoint, or whatever else it is about.
 * where: a section and its line, a file or a unit; NULL: name.  remedy: a command.  All texts
 * are copied; they may contain any characters.
 */
void report_finding(struct report *r, const char *name, const char *where,
    const char *remedy, const char *fmt, ...) PRINTF(5, 6);
/* The same for what may be intended. */
void report_hint(struct report *r, const char *name, const char *where,
    const char *remedy, const char *fmt, ...) PRINTF(5, 6);
/* Whether a check, or any with NULL, has found something about it. */
bool report_has(const struct report *r, const char *check, const char *name);
/* The present check, or a part of it, could not be made. */
void report_not_checked(struct report *r, const char *fmt, ...) PRINTF(2, 3);

/* Both return the exit status. */
int report_print(const struct report *r);
int report_print_json(const struct report *r);

#endif
