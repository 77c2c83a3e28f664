/*
 * expression_node: the tree that an expression is parsed into.
 *
 * Nodes are in an array, children before their parents, and are referred to by their
 * index.  A repetition is one node: it is expanded when the plain form is written, after
 * the number of copies was checked.
 */
#ifndef EXPRESSION_NODE_H
#define EXPRESSION_NODE_H

#include <limits.h>
#include <stdio.h>

#include "expression_tree.h"

#define UNBOUNDED UINT_MAX
#define NO_CHOICE (-1)
#define CHOICES_MAX 6

enum node_kind {
	NODE_EMPTY,
	NODE_SET,    /* set */
	NODE_ANCHOR, /* ^ $ b B < > */
	NODE_BACKREF,
	NODE_GROUP, /* of a */
	NODE_CAT,   /* a b */
	NODE_ALT,   /* a|b */
	NODE_REPEAT /* a, min to max times */
};

struct set {
	bool has[256];
};

struct node {
	enum node_kind kind;
	unsigned a, b, min, max;
	unsigned number; /* a character, or the number of a group */
	struct set *set;
	int choice;	    /* bit of the variant number, or NO_CHOICE */
	bool nullable;	    /* can match the empty string */
	bool anchored;	    /* contains an anchor */
	uint64_t size;	    /* characters, with repetitions expanded */
	uint64_t positions; /* positions of the automaton */
	uint64_t first;	    /* positions that can be first */
};

struct expression_tree {
	struct node *node;
	unsigned n, room, root;
	unsigned nchoices;
	bool plain; /* there is a plain form */
	uint16_t code[256];
	bool used[EXPRESSION_NUL + 1]; /* codes that are assigned to a byte */
};

/* The number of copies of a repeated node in the automaton. */
static inline uint64_t
node_copies(const struct node *n)
{
	return n->max == UNBOUNDED ? n->min + 1UL : n->max;
}

/* The number of characters of a node, with its repetitions expanded. */
uint64_t node_size(const struct expression_tree *t, const struct node *n);
/* Computes the members that depend on the whole tree, after all nodes were added. */
void tree_finish(struct expression_tree *t);
/* Whether the node must differ between variants of the expression. */
bool node_has_choice(const struct expression_tree *t, const struct node *n);
/*
 * Writes a set in the plain form (f NULL: only counts); returns the number of its
 * positions in the automaton.
 */
unsigned set_write(
    FILE *f, const struct expression_tree *t, const struct set *set);

#endif
