/*
 * expression_try: matches an expression by backtracking, within a limited number of
 * steps.
 *
 * What remains to be matched after a node is a list of continuations, which are on the
 * stack of the functions that have added them.
 */
#include <errno.h>
#include <string.h>

#include "expression_node.h"

#define GROUPS 10 /* that a back reference can refer to */
#define DEPTH_MAX 4000

struct span {
	size_t start, end;
	bool set;
};

struct attempt {
	const struct expression_tree *t;
	const uint8_t *s;
	size_t len;
	uint64_t steps; /* left */
	unsigned depth;
	bool over;
	struct span group[GROUPS];
};

/* A continuation after a node. */
struct next {
	enum { NEXT_NODE, NEXT_END_GROUP, NEXT_REPEAT } kind;
	const struct node *node;
	size_t start;	/* start of the group, or of the last repetition */
	unsigned count; /* number of repetitions so far */
	const struct next *then;
};

static bool try_node(
    struct attempt *, const struct node *, size_t, const struct next *);
static bool go_on(struct attempt *, size_t, const struct next *);
static bool try_repeat(struct attempt *, const struct node *, unsigned, size_t,
    const struct next *);

static const struct node *
child(const struct attempt *m, unsigned number)
{
	return &m->t->node[number];
}

static bool
is_word(const struct attempt *m, size_t at)
{
	uint8_t c;

	if (at >= m->len)
		return false;
	c = m->s[at];
	return c == '_' || (c >= '0' && c <= '9') ||
	    ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static bool
anchor_holds(const struct attempt *m, char anchor, size_t at)
{
	bool before = at > 0 && is_word(m, at - 1), after = is_word(m, at);

	switch (anchor) {
	case '^':
		return at == 0;
	case '$':
		return at == m->len;
	case '<':
		return !before && after;
	case '>':
		return before && !after;
	default:
		return (before != after) == (anchor == 'b');
	}
}

static bool
end_group(struct attempt *m, const struct next *next, size_t at)
{
	struct span *group = &m->group[next->node->number], old = *group;

	*group = (struct span){ next->start, at, true };
	if (go_on(m, at, next->then))
		return true;
	*group = old;
	return false;
}

static bool
go_on(struct attempt *m, size_t at, const struct next *next)
{
	if (next == NULL)
		return true;
	switch (next->kind) {
	case NEXT_NODE:
		return try_node(m, next->node, at, next->then);
	case NEXT_END_GROUP:
		return end_group(m, next, at);
	case NEXT_REPEAT:
		/* Repeating an empty match would not terminate. */
		if (at == next->start && next->count > next->node->min)
			return false;
		return try_repeat(m, next->node, next->count, at, next->then);
	}
	return false;
}

/* Tries a repetition of a set, the longest match first. */
static bool
try_run(
    struct attempt *m, const struct node *n, size_t at, const struct next *then)
{
	const struct set *set = child(m, n->a)->set;
	size_t count = 0;

	while (
	    count < n->max && at + count < m->len && set->has[m->s[at + count]])
		count++;
	for (; count >= n->min; count--) {
		if (go_on(m, at + count, then))
			return true;
		if (count == 0 || m->over)
			break;
	}
	return false;
}

static bool
try_repeat(struct attempt *m, const struct node *n, unsigned count, size_t at,
    const struct next *then)
{
	struct next again = { NEXT_REPEAT, n, at, count + 1, then };

	if (child(m, n->a)->kind == NODE_SET)
		return try_run(m, n, at, then);
	if (count < n->max && try_node(m, child(m, n->a), at, &again))
		return true;
	return count >= n->min && go_on(m, at, then);
}

static bool
try_reference(
    struct attempt *m, const struct node *n, size_t at, const struct next *then)
{
	const struct span *group = &m->group[n->number];
	size_t len = group->end - group->start;

	if (!group->set || len > m->len - at ||
	    memcmp(m->s + group->start, m->s + at, len) != 0)
		return false;
	m->steps -= MIN(m->steps, (uint64_t)len / 8);
	return go_on(m, at + len, then);
}

static bool
try_group(
    struct attempt *m, const struct node *n, size_t at, const struct next *then)
{
	struct next end = { NEXT_END_GROUP, n, at, 0, then };

	return try_node(
	    m, child(m, n->a), at, n->number < GROUPS ? &end : then);
}

static bool
try_kind(
    struct attempt *m, const struct node *n, size_t at, const struct next *then)
{
	struct next second = { NEXT_NODE, child(m, n->b), 0, 0, then };

	switch (n->kind) {
	case NODE_EMPTY:
		return go_on(m, at, then);
	case NODE_SET:
		return at < m->len && n->set->has[m->s[at]] &&
		    go_on(m, at + 1, then);
	case NODE_ANCHOR:
		return anchor_holds(m, (char)n->number, at) &&
		    go_on(m, at, then);
	case NODE_BACKREF:
		return try_reference(m, n, at, then);
	case NODE_GROUP:
		return try_group(m, n, at, then);
	case NODE_CAT:
		return try_node(m, child(m, n->a), at, &second);
	case NODE_ALT:
		return try_node(m, child(m, n->a), at, then) ||
		    try_node(m, child(m, n->b), at, then);
	case NODE_REPEAT:
		return try_repeat(m, n, 0, at, then);
	}
	return false;
}

static bool
try_node(
    struct attempt *m, const struct node *n, size_t at, const struct next *then)
{
	bool found;

	m->over |= m->steps == 0 || m->depth == DEPTH_MAX;
	if (m->over)
		return false;
	m->steps--;
	m->depth++;
	found = try_kind(m, n, at, then);
	m->depth--;
	return found;
}

int
expression_try(const struct expression_tree *t, const uint8_t *s, size_t len,
    uint64_t *steps)
{
	struct attempt m = { .t = t, .s = s, .len = len, .steps = *steps };
	bool found = false;

	for (size_t at = 0; at <= len && !m.over && !found; at++)
		found = try_node(&m, child(&m, t->root), at, NULL);
	*steps = m.steps;
	return found ? 1 : m.over ? -EFBIG : 0;
}
