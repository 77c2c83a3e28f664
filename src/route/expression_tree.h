/*
 * expression_tree: an extended regular expression as a tree, its size, its plain form,
 * and a backtracking matcher.
 *
 * The plain form consists of characters, sets of them, groups, |, *, ? and anchors.  It
 * does not depend on classes, counts, extensions or the locale.
 */
#ifndef EXPRESSION_TREE_H
#define EXPRESSION_TREE_H

#include <wchar.h>

#include "error.h"

/* The code of the NUL byte, which would end a text. */
#define EXPRESSION_NUL 256

struct expression_tree;

/* -EINVAL with a message in err; -ENOMEM. */
int expression_parse(
    const char *s, struct expression_tree **ret, struct error *err);
void expression_tree_free(struct expression_tree *t);
/* The code of each byte in the plain form and in the text that is searched. */
const uint16_t *expression_codes(const struct expression_tree *t);
bool expression_has_plain(const struct expression_tree *t);
/*
 * An upper bound of the steps for each byte: the number of transitions.  UINT64_MAX:
 * there is no plain form, or its automaton is too large.
 */
uint64_t expression_weight(const struct expression_tree *t);
/* The number of variants; the expression matches if one of them does. */
unsigned expression_variants(const struct expression_tree *t);
/* The plain form of a variant, to be freed. -ENOMEM. */
int expression_plain(const struct expression_tree *t, unsigned variant,
    wchar_t **ret, size_t *ret_len);
/*
 * Matches by backtracking: 1 if it matches, 0 if not, -EFBIG if that is not known after
 * *steps, which is set to the number of steps left.
 */
int expression_try(const struct expression_tree *t, const uint8_t *s,
    size_t len, uint64_t *steps);

#endif
