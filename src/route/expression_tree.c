/*
 * expression_tree: properties of a whole tree: sizes, character codes and the choices in
 * which variants differ.
 */
#include <ctype.h>
#include <stdlib.h>

#include "expression_node.h"

static uint64_t
limited(uint64_t n)
{
	return MIN(n, (uint64_t)UINT32_MAX);
}

uint64_t
node_size(const struct expression_tree *t, const struct node *n)
{
	const struct node *a = &t->node[n->a], *b = &t->node[n->b];
	uint64_t times = n->max == UNBOUNDED ? n->min : n->max;

	switch (n->kind) {
	case NODE_SET:
		return 1;
	case NODE_GROUP:
		return a->size;
	case NODE_CAT:
	case NODE_ALT:
		return a->size + b->size;
	case NODE_REPEAT:
		return limited(a->size * MAX(times, (uint64_t)1));
	default:
		return 0;
	}
}

/* Assigns different codes to bytes that the set distinguishes. */
static void
split_codes(struct expression_tree *t, const struct set *set)
{
	uint16_t in[EXPRESSION_NUL + 1] = { 0 }, code;

	for (unsigned c = 1; c <= EXPRESSION_NUL; c++) {
		code = t->code[c % 256];
		/* The first byte with a code keeps it. */
		if (set->has[c % 256] == set->has[code % 256])
			continue;
		if (in[code] == 0)
			in[code] = (uint16_t)c;
		t->code[c % 256] = in[code];
	}
}

static void
make_codes(struct expression_tree *t)
{
	struct set word = { 0 };

	for (unsigned c = 0; c < 256; c++) {
		t->code[c] = 1;
		word.has[c] = c == '_' || (c < 128 && isalnum((int)c));
	}
	for (unsigned i = 0; i < t->n; i++)
		if (t->node[i].kind == NODE_SET)
			split_codes(t, t->node[i].set);
		else if (t->node[i].kind == NODE_ANCHOR)
			split_codes(t, &word);
	for (unsigned c = 0; c < 256; c++)
		t->used[t->code[c]] = true;
}

static void
node_measure(const struct expression_tree *t, struct node *n)
{
	const struct node *a = &t->node[n->a], *b = &t->node[n->b];

	n->nullable = true;
	n->positions = 1;
	n->first = 0;
	switch (n->kind) {
	case NODE_SET:
		n->nullable = false;
		n->positions = n->first = set_write(NULL, t, n->set);
		break;
	case NODE_GROUP:
		n->nullable = a->nullable;
		n->positions = a->positions;
		n->first = a->first;
		break;
	case NODE_CAT:
		n->nullable = a->nullable && b->nullable;
		n->positions = a->positions + b->positions;
		n->first = a->first + (a->nullable ? b->first : 0);
		break;
	case NODE_ALT:
		n->nullable = a->nullable || b->nullable;
		n->positions = a->positions + b->positions;
		n->first = a->first + b->first;
		break;
	case NODE_REPEAT:
		n->nullable = a->nullable || n->min == 0;
		n->positions = limited(a->positions * node_copies(n));
		n->first = limited(
		    a->first * (a->nullable ? node_copies(n) : n->max != 0));
		break;
	default:
		break;
	}
}

static bool
is_anchored(const struct expression_tree *t, const struct node *n)
{
	switch (n->kind) {
	case NODE_ANCHOR:
		return true;
	case NODE_CAT:
	case NODE_ALT:
		return t->node[n->a].anchored || t->node[n->b].anchored;
	case NODE_GROUP:
	case NODE_REPEAT:
		return t->node[n->a].anchored;
	default:
		return false;
	}
}

/* Numbers the alternatives that TRE cannot match in one expression, see
 * expression_plain.c. */
static void
number_choice(struct expression_tree *t, struct node *n)
{
	n->choice = NO_CHOICE;
	if (!node_has_choice(t, n))
		return;
	if (t->nchoices == CHOICES_MAX)
		t->plain = false;
	else
		n->choice = (int)t->nchoices++;
}

void
tree_finish(struct expression_tree *t)
{
	make_codes(t);
	for (unsigned i = 0; i < t->n; i++) {
		node_measure(t, &t->node[i]);
		t->node[i].anchored = is_anchored(t, &t->node[i]);
		number_choice(t, &t->node[i]);
	}
}

void
expression_tree_free(struct expression_tree *t)
{
	if (t == NULL)
		return;
	for (unsigned i = 0; i < t->n; i++)
		free(t->node[i].set);
	free(t->node);
	free(t);
}
