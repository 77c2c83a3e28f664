/*
 * settings: lists of names with values, in their order, and the lines that they are from.
 */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "util.h"

struct setting {
	char *name, *value;
	int line;
};

struct settings {
	struct setting *at;
	unsigned n, size;
	bool nomem; /* something could not be added */
};

/* NULL is an empty value. */
void settings_add(
    struct settings *s, int line, const char *name, const char *value);
void settings_addf(struct settings *s, int line, const char *name,
    const char *fmt, ...) PRINTF(4, 5);
/* Replaces the value of that name, or adds it. */
void settings_set(
    struct settings *s, int line, const char *name, const char *value);
/* The last one of that name, or NULL; the case of letters is ignored. */
const struct setting *settings_find(const struct settings *s, const char *name);
/* Its value, or NULL. */
const char *settings_value(const struct settings *s, const char *name);
/* Whether both have the same names and values in the same order. */
bool settings_equal(const struct settings *a, const struct settings *b);
void settings_free(struct settings *s);

/* Whether a name is in a NULL-terminated list; with the second, in any case of letters. */
bool name_in(const char *name, const char *const *list);
bool name_in_any_case(const char *name, const char *const *list);

#endif
