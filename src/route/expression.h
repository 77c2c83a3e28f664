/*
 * expression: POSIX extended regular expressions, found in bytes, with an upper
 * bound of the work that is known before.
 *
 * What is accepted is what the C library's regcomp() accepts in the C locale
 * (\w, \s, \b and its other extensions too).  The expression is parsed here and
 * given to TRE in a plain form; see expression_tree.h.
 */
#ifndef EXPRESSION_H
#define EXPRESSION_H

#include "error.h"

/*
 * The steps that one frame may cost in all expressions together; TRE needs 1 to
 * 3.5 ns for one.
 */
#define EXPRESSION_WORK 1000000

struct expression;

/* -EINVAL with a sentence in err; -ENOMEM. */
int expression_new(const char *s, struct expression **ret, struct error *err);
void expression_free(struct expression *e);
/*
 * Whether it finds something in the bytes: 1 or 0.  -EFBIG when that costs more than
 * so many steps; -ENOMEM.  The steps are added to *spent.
 */
int expression_find(const struct expression *e, const uint8_t *s, size_t len,
    uint64_t work, uint64_t *spent);
/*
 * It is found by trying: how many steps that takes shows only then.  Otherwise it is
 * searched in so many bytes at most.
 */
bool expression_is_tried(const struct expression *e);
/* "has a back reference" */
const char *expression_why_tried(const struct expression *e);
/* The most bytes of frames to search in before *spent is looked at; e may be NULL. */
size_t expression_batch(const struct expression *e, uint64_t work);
size_t expression_longest(const struct expression *e, uint64_t work);

#endif
