/*
 * expression_parse: parses an extended regular expression into a tree.
 *
 * This is a recursive descent parser: each function of the grammar returns the number of
 * the node that it has created.  After an error, or without memory, the number is not
 * valid.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "expression_node.h"

/* The maximum number of characters of an expression, with its repetitions expanded. */
#define COPIES_MAX 1000
#define DEPTH_MAX 32 /* of groups */
#define SYNTAX "not a regular expression: "
#define REPEAT_MAX 32767 /* as in the C library */

struct parser {
	const char *s;
	struct expression_tree *t;
	unsigned depth, groups;
	uint32_t completed; /* bitmap of the groups that have ended */
	const char *error;
	bool nomem;
};

static unsigned parse_alternatives(struct parser *);

/* --- nodes --------------------------------------------------------------- */

static unsigned
node_add(struct parser *p, struct node node)
{
	struct expression_tree *t = p->t;
	unsigned room = t->room == 0 ? 64 : t->room * 2;
	struct node *more;

	if (t->n == t->room) {
		more = reallocarray(t->node, room, sizeof(*more));
		if (more == NULL) {
			p->nomem = true;
			free(node.set);
			return 0;
		}
		t->node = more;
		t->room = room;
	}
	t->node[t->n] = node;
	t->node[t->n].size = node_size(t, &t->node[t->n]);
	return t->n++;
}

static struct set *
new_set(struct parser *p)
{
	struct set *set = calloc(1, sizeof(*set));

	if (set == NULL)
		p->nomem = true;
	return set;
}

static unsigned
add_set(struct parser *p, struct set *set)
{
	return node_add(p, (struct node){ .kind = NODE_SET, .set = set });
}

static unsigned
add_literal(struct parser *p, unsigned char c)
{
	struct set *set;

	set = new_set(p);
	if (set == NULL)
		return 0;
	set->has[c] = true;
	return add_set(p, set);
}

/* (e+)*, (e?)+ and the like become one repetition, because nested ones would multiply. */
static unsigned
add_repeat(struct parser *p, unsigned a, unsigned min, unsigned max)
{
	struct node *n = &p->t->node[a];

	if (!p->nomem && n->kind == NODE_REPEAT && n->min <= 1 && min <= 1 &&
	    (n->max == 1 || n->max == UNBOUNDED) &&
	    (max == 1 || max == UNBOUNDED)) {
		n->min *= min;
		n->max = MAX(n->max, max);
		n->size = node_size(p->t, n);
		return a;
	}
	return node_add(p,
	    (struct node){
		.kind = NODE_REPEAT, .a = a, .min = min, .max = max });
}

/* --- sets ---------------------------------------------------------------- */

static const struct {
	const char *name;
	int (*is)(int);
} classes[] = {
	{ "alnum", isalnum },
	{ "alpha", isalpha },
	{ "blank", isblank },
	{ "cntrl", iscntrl },
	{ "digit", isdigit },
	{ "graph", isgraph },
	{ "lower", islower },
	{ "print", isprint },
	{ "punct", ispunct },
	{ "space", isspace },
	{ "upper", isupper },
	{ "xdigit", isxdigit },
};

/* Adds [:name:]; the process uses the C locale. */
static void
set_class(struct parser *p, struct set *set, const char *name, size_t len)
{
	for (size_t i = 0; i < NELEM(classes); i++) {
		if (strlen(classes[i].name) != len ||
		    memcmp(classes[i].name, name, len) != 0)
			continue;
		for (int c = 0; c < 128; c++)
			set->has[c] |= classes[i].is(c) != 0;
		return;
	}
	p->error = SYNTAX "there is no such character class";
}

/*
 * Parses an element of a set: a character, [.c.], or a class, which is added to the set.
 * Returns the character, or -1 if it cannot begin a range.
 */
static int
parse_element(struct parser *p, struct set *set)
{
	char kind = p->s[0] == '[' ? p->s[1] : '\0';
	char end[3] = { kind, ']', '\0' };
	const char *name = p->s + 2, *close;

	if (kind == '\0' || strchr(".=:", kind) == NULL)
		return (unsigned char)*p->s++;
	if (*name == '\0' || (close = strstr(name + 1, end)) == NULL) {
		p->error = SYNTAX "a '[' has no ']'";
		return -1;
	}
	p->s = close + 2;
	if (kind == ':') {
		set_class(p, set, name, (size_t)(close - name));
		return -1;
	}
	if (close - name != 1) {
		p->error = SYNTAX "there is no such collating element";
		return -1;
	}
	if (kind == '.')
		return (unsigned char)*name;
	set->has[(unsigned char)*name] = true;
	return -1;
}

static void
parse_range(struct parser *p, struct set *set, bool first)
{
	int low, high;

	if (*p->s == '-' && !first && p->s[1] != ']') {
		p->error =
		    SYNTAX "a '-' in a set stands first, last or in a range";
		return;
	}
	low = high = parse_element(p, set);
	if (p->error == NULL && low >= 0 && p->s[0] == '-' && p->s[1] != ']' &&
	    p->s[1] != '\0') {
		p->s++;
		high = parse_element(p, set);
		if (p->error == NULL && high < low)
			p->error =
			    SYNTAX "a range in a set ends before it begins";
	}
	for (int c = low; p->error == NULL && low >= 0 && c <= high; c++)
		set->has[c] = true;
}

/* Parses a set; p->s is after the '['. */
static unsigned
parse_set(struct parser *p)
{
	bool inverted = *p->s == '^', first = true;
	struct set *set;

	set = new_set(p);
	if (set == NULL)
		return 0;
	p->s += inverted;
	for (; p->error == NULL && (first || *p->s != ']'); first = false)
		if (*p->s == '\0')
			p->error = SYNTAX "a '[' has no ']'";
		else
			parse_range(p, set, first);
	if (p->error != NULL) {
		free(set);
		return 0;
	}
	p->s++;
	for (int c = 0; inverted && c < 256; c++)
		set->has[c] = !set->has[c];
	return add_set(p, set);
}

/* \w, \s and their complements. */
static unsigned
add_shorthand(struct parser *p, char letter)
{
	bool word = tolower((unsigned char)letter) == 'w';
	struct set *set;

	set = new_set(p);
	if (set == NULL)
		return 0;
	set_class(p, set, word ? "alnum" : "space", 5);
	set->has['_'] |= word;
	for (int c = 0; isupper((unsigned char)letter) && c < 256; c++)
		set->has[c] = !set->has[c];
	return add_set(p, set);
}

/* --- the grammar --------------------------------------------------------- */

static unsigned
add_anchor(struct parser *p, char c)
{
	return node_add(
	    p, (struct node){ .kind = NODE_ANCHOR, .number = (unsigned)c });
}

static unsigned
add_backref(struct parser *p, unsigned number)
{
	if ((p->completed & 1U << number) == 0)
		p->error = SYNTAX "a back reference names no group before it";
	p->t->plain = false;
	return node_add(
	    p, (struct node){ .kind = NODE_BACKREF, .number = number });
}

/* Parses an escape; p->s is after the backslash. */
static unsigned
parse_escape(struct parser *p, bool *ret_anchor)
{
	char c = *p->s;

	if (c == '\0') {
		p->error = SYNTAX "a backslash stands at its end";
		return 0;
	}
	p->s++;
	*ret_anchor = strchr("bB<>`'", c) != NULL;
	/* TRE's \B never matches at the ends of the text. */
	p->t->plain &= c != 'B';
	if (*ret_anchor)
		return add_anchor(p, c == '`' ? '^' : c == '\'' ? '$' : c);
	if (strchr("wWsS", c) != NULL)
		return add_shorthand(p, c);
	if (c >= '1' && c <= '9')
		return add_backref(p, (unsigned)(c - '0'));
	return add_literal(p, (unsigned char)c);
}

/* Parses a group; p->s is after the '('. */
static unsigned
parse_group(struct parser *p)
{
	unsigned number = ++p->groups, a;

	if (++p->depth == DEPTH_MAX) {
		p->error = "its groups are nested too deeply";
		return 0;
	}
	a = parse_alternatives(p);
	p->depth--;
	if (p->error == NULL && *p->s != ')')
		p->error = SYNTAX "unmatched (";
	if (p->error != NULL)
		return 0;
	p->s++;
	if (number <= 9)
		p->completed |= 1U << number;
	return node_add(
	    p, (struct node){ .kind = NODE_GROUP, .a = a, .number = number });
}

static unsigned
parse_atom(struct parser *p, bool *ret_anchor)
{
	char c = *p->s++;
	struct set *set;

	*ret_anchor = c == '^' || c == '$';
	switch (c) {
	case '(':
		return parse_group(p);
	case '[':
		return parse_set(p);
	case '\\':
		return parse_escape(p, ret_anchor);
	case '^':
	case '$':
		return add_anchor(p, c);
	case '.':
		set = new_set(p);
		if (set == NULL)
			return 0;
		memset(set->has, true, sizeof(set->has));
		return add_set(p, set);
	case '*':
	case '+':
	case '?':
	case '{':
		p->error = SYNTAX "there is nothing before a repetition";
		return 0;
	default:
		return add_literal(p, (unsigned char)c);
	}
}

/* Parses digits; -1 if there are none. */
static long
parse_count(struct parser *p)
{
	long n = -1;

	for (; isdigit((unsigned char)*p->s); p->s++)
		n = MIN(MAX(n, 0) * 10 + (*p->s - '0'), REPEAT_MAX + 1L);
	return n;
}

/* Parses an interval, such as {3} or {1,5}; p->s is after the '{'. */
static bool
parse_interval(struct parser *p, unsigned *min, unsigned *max)
{
	long low = parse_count(p), high = low;

	if (*p->s == ',') {
		p->s++;
		high = parse_count(p);
		low = MAX(low, 0);
	}
	if (*p->s != '}' || low < 0 || (high >= 0 && high < low) ||
	    MAX(low, high) > REPEAT_MAX) {
		p->error =
		    SYNTAX "'{' begins a repetition, such as {3} or {1,5};"
			   " write \\{ or [{] for the character";
		return false;
	}
	p->s++;
	*min = (unsigned)low;
	*max = high < 0 ? UNBOUNDED : (unsigned)high;
	return true;
}

/* Parses an atom and its repetitions. */
static unsigned
parse_piece(struct parser *p)
{
	bool anchor;
	unsigned a = parse_atom(p, &anchor), min, max;

	while (p->error == NULL && !p->nomem && !anchor && *p->s != '\0' &&
	    strchr("*+?{", *p->s) != NULL) {
		min = *p->s == '+';
		max = *p->s == '?' ? 1 : UNBOUNDED;
		if (*p->s++ == '{' && !parse_interval(p, &min, &max))
			break;
		a = add_repeat(p, a, min, max);
		if (p->t->node[a].size > COPIES_MAX)
			break;
	}
	return a;
}

static unsigned
parse_sequence(struct parser *p)
{
	unsigned a = 0, b;
	bool empty = true;

	while (p->error == NULL && !p->nomem && *p->s != '\0' && *p->s != '|' &&
	    (*p->s != ')' || p->depth == 0)) {
		b = parse_piece(p);
		if (p->error != NULL || p->nomem)
			return 0;
		a = empty
		    ? b
		    : node_add(
			  p, (struct node){ .kind = NODE_CAT, .a = a, .b = b });
		empty = false;
		if (p->t->node[a].size > COPIES_MAX)
			p->error = "its repetitions multiply to more than 1000"
				   " characters";
	}
	return empty ? node_add(p, (struct node){ .kind = NODE_EMPTY }) : a;
}

static unsigned
parse_alternatives(struct parser *p)
{
	uint32_t before = p->completed, completed;
	unsigned a = parse_sequence(p), b;

	while (p->error == NULL && !p->nomem && *p->s == '|') {
		p->s++;
		/* A back reference can only refer to a group of its own alternative. */
		completed = p->completed;
		p->completed = before;
		b = parse_sequence(p);
		p->completed |= completed;
		a = node_add(
		    p, (struct node){ .kind = NODE_ALT, .a = a, .b = b });
	}
	return a;
}

int
expression_parse(const char *s, struct expression_tree **ret, struct error *err)
{
	struct parser p = { .s = s, .t = calloc(1, sizeof(*p.t)) };

	if (p.t == NULL)
		return -ENOMEM;
	p.t->plain = true;
	p.t->root = parse_alternatives(&p);
	if (p.error == NULL && !p.nomem) {
		tree_finish(p.t);
		*ret = p.t;
		return 0;
	}
	if (p.error != NULL)
		error_set(err, "%s", p.error);
	expression_tree_free(p.t);
	return p.nomem ? -ENOMEM : -EINVAL;
}
