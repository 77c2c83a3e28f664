/*
 * hint: what people write who know it from elsewhere, and what it is called here.
 */
#ifndef HINT_H
#define HINT_H

#include "util.h"

struct hint {
	const char
	    *words; /* what is written, in lower case, without '_' and '-' */
	const char *key;     /* what it is called here */
	const char *example; /* a value of it */
};

/*
 * The hint for a word that is no key, of a section that has these keys (has is false of
 * others), or NULL.
 */
const struct hint *hint_key(const char *word,
    bool (*has)(const void *arg, const char *key), const void *arg);
/* A type of section, among these, that a word is another name of, or NULL. */
const char *hint_type(const char *word, const char *const *types);

#endif
