/*
 * key_type: the types of keys, for key.c and key_error.c.
 */
#ifndef KEY_TYPE_H
#define KEY_TYPE_H

#include "key.h"

struct key_type_ops {
	size_t size; /* of the field */
	/* Returns -EINVAL: not of that type; -ERANGE: not within min to max; -ENOMEM. */
	int (*parse)(const struct key *, void *field, const char *value);
	void (*print)(const struct key *, const void *field, char *, size_t);
	/* For errors: "'x' is WHAT; KEY is FORM", or KEY's bounds when form is NULL. */
	const char *what;
	const char *form;
	/* Prints one of the key's bounds; NULL: the type has none. */
	void (*bound)(uint64_t n, char *buf, size_t size);
};

/* Indexed by enum key_type; the entry of KEY_CUSTOM is empty. */
extern const struct key_type_ops key_types[];

/* Sets err to the reason why parse failed with r. */
void key_explain(
    const struct key *key, const char *value, int r, struct error *err);

#endif
