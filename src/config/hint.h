/*
 * hint: suggests the keys and types that correspond to those of other programs.
 */
#ifndef HINT_H
#define HINT_H

#include "util.h"

struct hint {
	const char *words;   /* lower case, without '_' and '-' */
	const char *key;     /* the corresponding key */
	const char *example; /* an example of its value */
};

/*
 * The hint for an unknown key in a section, or NULL.  has returns whether the section has
 * a key.
 */
const struct hint *hint_key(const char *word,
    bool (*has)(const void *arg, const char *key), const void *arg);
/* The framing that the word is a synonym of or is similar to, or NULL. */
const char *hint_framing(const char *word);
/* The one of these section types that corresponds to the word, or NULL. */
const char *hint_type(const char *word, const char *const *types);

#endif
