/*
 * error: error messages for the user.
 *
 * A struct error belongs to the caller of the function that fills it in.
 */
#ifndef ERROR_H
#define ERROR_H

#include "util.h"

/* The maximum size including the NUL; longer messages are truncated. */
#define ERROR_MAX 512

struct error {
	char text[ERROR_MAX];
};

void error_clear(struct error *err);
bool error_is_set(const struct error *err);
void error_set(struct error *err, const char *fmt, ...) PRINTF(2, 3);
/* The same, and returns r. */
int error_fail(struct error *err, int r, const char *fmt, ...) PRINTF(3, 4);
/* Appends to the message. */
void error_append(struct error *err, const char *fmt, ...) PRINTF(2, 3);
/* Appends "; did you mean 'WORD'?", or nothing if word is NULL. */
void error_append_meant(struct error *err, const char *word);
/* Appends "; " and advice for a path that could not be created because its directory
 * is missing or belongs to another user (e: -ENOENT or -EACCES); nothing for other
 * errors. */
void error_append_directory_hint(struct error *err, const char *path, int e);

#endif
