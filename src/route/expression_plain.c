/*
 * expression_plain: the plain form of an expression, and its weight.
 *
 * Bytes that the expression does not distinguish have the same code, that of the first of
 * them, so that most sets are one character.
 *
 * The weight is the number of transitions of the position automaton that TRE builds: a
 * state for each character of the expression, and a transition from it to each that can
 * follow.  The number that can follow is passed down the tree.  For each byte TRE
 * examines all transitions of its current states.
 *
 * If a part of an expression can match the empty string in several ways, TRE considers
 * only one. That matters where they have different anchors, as in (^|,?)a.  In this case
 * there are variants of the whole expression with one way each.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "expression_node.h"

/* TRE needs about 100 bytes for each. */
#define POSITIONS_MAX 10000
#define TRANSITIONS_MAX 100000
/* The cost of a byte in addition to transitions. */
#define WEIGHT_MIN 4

/* --- sets ---------------------------------------------------------------- */

/* Whether the set contains the bytes with that code. */
static bool
set_has(const struct set *set, unsigned code)
{
	return set->has[code % EXPRESSION_NUL];
}

static void
put(FILE *f, unsigned code)
{
	wchar_t c = (wchar_t)code;

	if (f != NULL)
		fwrite(&c, sizeof(c), 1, f);
}

static void
put_text(FILE *f, const char *s)
{
	for (; *s != '\0'; s++)
		put(f, (unsigned char)*s);
}

static void
put_literal(FILE *f, unsigned code)
{
	if (code < 128 && strchr("^$.[]()|*+?{}\\", (int)code) != NULL)
		put(f, '\\');
	put(f, code);
}

/*
 * Writes the ranges of the set except for characters that are special in a set; returns
 * their number.  A range may include codes that are not used.
 */
static unsigned
put_ranges(FILE *f, const struct expression_tree *t, const struct set *set)
{
	unsigned items = 0, low = 0, high = 0;

	for (unsigned code = 1; code <= EXPRESSION_NUL + 1; code++) {
		bool special = code < 128 && strchr("[]^-", (int)code) != NULL;
		bool end = special || code > EXPRESSION_NUL;

		if (!end && !t->used[code])
			continue;
		if (!end && set_has(set, code)) {
			low = low == 0 ? code : low;
			high = code;
			continue;
		}
		if (low == 0)
			continue;
		put(f, low);
		if (high > low) {
			put(f, '-');
			put(f, high);
		}
		items++;
		low = 0;
	}
	return items;
}

/* Writes a set in brackets; returns the number of its items. */
static unsigned
put_brackets(FILE *f, const struct expression_tree *t, const struct set *set)
{
	unsigned items = 0;

	put(f, '[');
	if (t->used[']'] && set->has[']']) {
		put(f, ']');
		items++;
	}
	items += put_ranges(f, t, set);
	if (t->used['['] && set->has['[']) {
		put(f, '[');
		items++;
	}
	/* A '^' must not be first, nor a '-' between two others. */
	if (items == 0) {
		put_text(f, "-^");
		items = 2;
	} else {
		for (const char *s = "^-"; *s != '\0'; s++)
			if (t->used[(unsigned char)*s] &&
			    set->has[(unsigned char)*s]) {
				put(f, (unsigned char)*s);
				items++;
			}
	}
	put(f, ']');
	return items;
}

unsigned
set_write(FILE *f, const struct expression_tree *t, const struct set *set)
{
	unsigned n = 0, all = 0, last = 0;

	for (unsigned code = 1; code <= EXPRESSION_NUL; code++) {
		all += t->used[code];
		if (!t->used[code] || !set_has(set, code))
			continue;
		n++;
		last = code;
	}
	if (n > 1 && n < all)
		return put_brackets(f, t, set);
	if (n == 0)
		put_text(f, "(?:$.)"); /* matches nothing */
	else if (n == 1)
		put_literal(f, last);
	else
		put(f, '.');
	return 1;
}

/* --- choices ------------------------------------------------------------- */

bool
node_has_choice(const struct expression_tree *t, const struct node *n)
{
	const struct node *a = &t->node[n->a], *b = &t->node[n->b];

	switch (n->kind) {
	case NODE_ANCHOR:
		return n->number == 'b';
	case NODE_ALT:
		return a->nullable && b->nullable &&
		    (a->anchored || b->anchored);
	case NODE_REPEAT:
		return n->min == 0 && a->nullable && a->anchored;
	default:
		return false;
	}
}

/* --- weight --------------------------------------------------------------- */

/* The number of transitions of the node if next positions can follow it. */
static uint64_t
transitions(const struct expression_tree *t, unsigned i, uint64_t next)
{
	const struct node *n = &t->node[i], *a = &t->node[n->a],
			  *b = &t->node[n->b];
	uint64_t sum = 0, times = node_copies(n), after;

	switch (n->kind) {
	case NODE_SET:
		return n->positions * next;
	case NODE_GROUP:
		return transitions(t, n->a, next);
	case NODE_CAT:
		after = b->first + (b->nullable ? next : 0);
		return transitions(t, n->a, after) + transitions(t, n->b, next);
	case NODE_ALT:
		return transitions(t, n->a, next) + transitions(t, n->b, next);
	case NODE_REPEAT:
		for (uint64_t j = 0; j < times; j++) {
			after = times - 1 - j;
			if (!a->nullable)
				after = MIN(after, (uint64_t)1);
			if (n->max == UNBOUNDED && j == times - 1)
				after++;
			after *= a->first;
			if (a->nullable || j + 1 >= n->min)
				after += next;
			sum += transitions(t, n->a, after);
		}
		return sum;
	default:
		return 0;
	}
}

const uint16_t *
expression_codes(const struct expression_tree *t)
{
	return t->code;
}

uint64_t
expression_weight(const struct expression_tree *t)
{
	const struct node *root = &t->node[t->root];
	uint64_t n;

	if (root->positions << t->nchoices > POSITIONS_MAX || !t->plain)
		return UINT64_MAX;
	n = (transitions(t, t->root, 1) + root->first) << t->nchoices;
	return n > TRANSITIONS_MAX ? UINT64_MAX : n + WEIGHT_MIN;
}

/* --- the plain form ------------------------------------------------------ */

static void put_node(
    FILE *, const struct expression_tree *, unsigned, unsigned);

/* Writes an expanded repetition: e{1,3} as e(e(e)?)?, which has the fewest transitions. */
static void
put_repeat(FILE *f, const struct expression_tree *t, const struct node *n,
    unsigned variant)
{
	uint64_t times = node_copies(n);

	put_text(f, "(?:");
	for (uint64_t i = 0; i < times; i++) {
		if (i >= n->min)
			put_text(f, "(?:");
		put_node(f, t, n->a, variant);
	}
	if (n->max == UNBOUNDED)
		put_text(f, ")*");
	else
		for (uint64_t i = n->min; i < times; i++)
			put_text(f, ")?");
	put_text(f, ")");
}

static void
put_escape(FILE *f, unsigned c)
{
	if (c != '^' && c != '$')
		put(f, '\\');
	put(f, c);
}

static void
put_node(FILE *f, const struct expression_tree *t, unsigned i, unsigned variant)
{
	const struct node *n = &t->node[i];
	bool first = n->choice != NO_CHOICE && (variant >> n->choice & 1) == 0;

	switch (n->kind) {
	case NODE_EMPTY:
		put_text(f, "(?:)");
		break;
	case NODE_SET:
		set_write(f, t, n->set);
		break;
	case NODE_ANCHOR:
		if (n->choice != NO_CHOICE)
			put_text(f, first ? "\\<" : "\\>");
		else
			put_escape(f, n->number);
		break;
	case NODE_GROUP:
		put_text(f, "(?:");
		put_node(f, t, n->a, variant);
		put(f, ')');
		break;
	case NODE_CAT:
		put_node(f, t, n->a, variant);
		put_node(f, t, n->b, variant);
		break;
	case NODE_ALT:
		if (n->choice == NO_CHOICE || first)
			put_node(f, t, n->a, variant);
		if (n->choice == NO_CHOICE)
			put(f, '|');
		if (n->choice == NO_CHOICE || !first)
			put_node(f, t, n->b, variant);
		break;
	case NODE_REPEAT:
		if (first)
			put_text(f, "(?:)");
		else
			put_repeat(f, t, n, variant);
		break;
	case NODE_BACKREF: /* has no plain form */
		break;
	}
}

int
expression_plain(const struct expression_tree *t, unsigned variant,
    wchar_t **ret, size_t *ret_len)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	bool failed;

	if (f == NULL)
		return -ENOMEM;
	put_node(f, t, t->root, variant);
	failed = ferror(f) != 0;
	/* Without memory fclose() may succeed, and leave no text. */
	if (fclose(f) != 0 || failed || text == NULL) {
		free(text);
		return -ENOMEM;
	}
	*ret = (wchar_t *)(void *)text;
	*ret_len = size / sizeof(wchar_t);
	return 0;
}

unsigned
expression_variants(const struct expression_tree *t)
{
	return 1U << t->nchoices;
}

bool
expression_has_plain(const struct expression_tree *t)
{
	return t->plain;
}
