/*
 * expression_node: the tree that an expression is parsed into.
 *
 * Nodes lie in an array, children before their parents, and are named by their
 * number in it.  A repetition is one node: the copies of what it repeats are made
 * where the plain form is written, after their number has been checked.
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
	NODE_REPEAT /* of a, min to max times */
};

struct set {
	bool has[256];
};

struct node {
	enum node_kind kind;
	unsigned a, b, min, max;
	unsigned number; /* a character, or a group's number */
	struct set *set;
	int choice;	    /* which bit of a variant it is, or NO_CHOICE */
	bool nullable;	    /* can match nothing */
	bool anchored;	    /* has an anchor in it */
	uint64_t size;	    /* characters, repetitions written out */
	uint64_t positions; /* of the automaton */
	uint64_t first;	    /* of them, those that can come first */
};

struct expression_tree {
	struct node *node;
	unsigned n, room, root;
	unsigned nchoices;
	bool plain; /* it has a plain form */
	uint16_t code[256];
	bool used[EXPRESSION_NUL + 1]; /* the code of any byte */
};

/* How many copies of what it repeats the automaton has. */
static inline uint64_t
node_copies(const struct node *n)
{
	return n->max == UNBOUNDED ? n->min + 1UL : n->max;
}

/* How many characters a node has, with its repetitions written out. */
uint64_t node_size(const struct expression_tree *t, const struct node *n);
/* Sets what depends on the whole tree, once all its nodes are there. */
void tree_finish(struct expression_tree *t);
/* Whether variants of the expression have to differ in it. */
bool node_has_choice(const struct expression_tree *t, const struct node *n);
/* Writes a set in the plain form (f NULL: nowhere); returns how many positions of the
 * automaton it has. */
unsigned set_write(
    FILE *f, const struct expression_tree *t, const struct set *set);

#endif
