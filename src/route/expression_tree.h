/*
 * expression_tree: an extended regular expression as a tree, its size, its plain
 * form, and a matcher that tries.
 *
 * The plain form has characters, sets of them, groups, |, *, ? and anchors.  All
 * matchers understand it alike: there are no classes, counts, extensions or locales
 * in it.
 */
#ifndef EXPRESSION_TREE_H
#define EXPRESSION_TREE_H

#include <wchar.h>

#include "error.h"

/* For the NUL byte, which would end a text. */
#define EXPRESSION_NUL 256

struct expression_tree;

/* -EINVAL with a sentence in err; -ENOMEM. */
int expression_parse(
    const char *s, struct expression_tree **ret, struct error *err);
void expression_tree_free(struct expression_tree *t);
/* What each byte is in the plain form and in what it is searched in. */
const uint16_t *expression_codes(const struct expression_tree *t);
bool expression_has_plain(const struct expression_tree *t);
/*
 * An upper bound of the steps for each byte: the transitions.  UINT64_MAX: it has no plain form, or its
 * automaton is too large.
 */
uint64_t expression_weight(const struct expression_tree *t);
/* It is found when one of so many variants is. */
unsigned expression_variants(const struct expression_tree *t);
/* The plain form of a variant, to be freed. -ENOMEM. */
int expression_plain(const struct expression_tree *t, unsigned variant,
    wchar_t **ret, size_t *ret_len);
/*
 * Tries one possibility after the other: 1 when it is found, 0 when not, -EFBIG
 * when neither is known after *steps, of which those that are left are returned.
 */
int expression_try(const struct expression_tree *t, const uint8_t *s,
    size_t len, uint64_t *steps);

#endif
