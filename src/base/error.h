/*
 * error: what went wrong, as a sentence for a person.
 *
 * The caller of a function that takes one owns it; it is empty until something fails.
 */
#ifndef ERROR_H
#define ERROR_H

#include "util.h"

/* The longest sentence with its NUL; what is longer is cut. */
#define ERROR_MAX 512

struct error {
	char text[ERROR_MAX];
};

void error_clear(struct error *err);
/* Whether something was set. */
bool error_is_set(const struct error *err);
void error_set(struct error *err, const char *fmt, ...) PRINTF(2, 3);
/* The same, and returns r. */
int error_fail(struct error *err, int r, const char *fmt, ...) PRINTF(3, 4);
/* After what is set already. */
void error_append(struct error *err, const char *fmt, ...) PRINTF(2, 3);
/* "; did you mean 'WORD'?", or nothing where the word is NULL. */
void error_append_meant(struct error *err, const char *word);
/* "; " and what to do when path cannot be created, as its directory is missing or
 * belongs to someone else (e: -ENOENT or -EACCES); nothing otherwise. */
void error_append_directory_hint(struct error *err, const char *path, int e);

#endif
