/*
 * names: the endpoints of a configuration by name, and lists of names.
 */
#ifndef NAMES_H
#define NAMES_H

#include "config.h"

struct names {
	struct endpoint_conf **sorted; /* by name */
	const char **name;	       /* in the same order, NULL at the end */
	unsigned n;
	unsigned compared; /* names that were compared to find similar ones */
};

/* 0 or -ENOMEM; names_free() in both cases. */
int names_init(struct names *names, const struct config *c);
void names_free(struct names *names);
/* The endpoint, or NULL.  The name does not have to end with a null byte. */
struct endpoint_conf *names_find(
    const struct names *names, const char *name, size_t len);
/* The name that is most similar to the word, or NULL. */
const char *names_meant(struct names *names, const char *word);
bool list_has(const char *list, const char *name, size_t len);

#endif
