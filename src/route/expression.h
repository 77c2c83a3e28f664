/*
 * expression: POSIX extended regular expressions, searched for in bytes, with a limit on
 * the work.
 *
 * The syntax is that of the C library's regcomp() in the C locale (including \w, \s, \b
 * and its other extensions).  The expression is parsed here and passed to TRE in a plain
 * form; see expression_tree.h.
 */
#ifndef EXPRESSION_H
#define EXPRESSION_H

#include "error.h"

/*
 * The maximum number of steps that one frame may cost in all expressions together; TRE
 * needs 1 to 3.5 ns per step.
 */
#define EXPRESSION_WORK 1000000

struct expression;

/* -EINVAL with a message in err; -ENOMEM. */
int expression_new(const char *s, struct expression **ret, struct error *err);
void expression_free(struct expression *e);
/*
 * Whether the expression matches a part of the bytes: 1 or 0.  -EFBIG when that costs
 * more than work steps; -ENOMEM.  The steps are added to *spent.
 */
int expression_find(const struct expression *e, const uint8_t *s, size_t len,
    uint64_t work, uint64_t *spent);
/*
 * Whether it is matched by backtracking, whose number of steps is not known in advance.
 * Otherwise expression_longest() is the maximum number of bytes that can be searched.
 */
bool expression_is_tried(const struct expression *e);
/* The reason for backtracking, such as "has a back reference". */
const char *expression_why_tried(const struct expression *e);
/*
 * The maximum number of bytes of frames to search before *spent is checked; e may be
 * NULL.
 */
size_t expression_batch(const struct expression *e, uint64_t work);
size_t expression_longest(const struct expression *e, uint64_t work);

#endif
