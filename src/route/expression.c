/*
 * expression: searches for regular expressions, with TRE or by backtracking.
 *
 * TRE simulates all states of the automaton in parallel, so its time depends only on the
 * number of bytes and on the expression.  Expressions without an automaton, or with one
 * that is too large, are matched by backtracking: those with back references or \B, and
 * huge ones.
 *
 * TRE reads wide characters through a callback, because otherwise NUL would end the text.
 * Only some configurations need the library, so it is loaded with the first expression.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <tre/tre.h>

#include "expression.h"
#include "expression_tree.h"
#include "library.h"

#define LIBRARY "libtre.so.5"
/* The cost of one backtracking step. */
#define TRY_STEPS 10

struct expression {
	struct expression_tree *tree; /* NULL: TRE is used */
	uint64_t weight;	      /* steps per byte */
	unsigned nvariants;
	regex_t *variant;
	uint16_t code[256];
};

/* The text that is searched. */
struct text {
	const uint16_t *code;
	const uint8_t *s;
	size_t len, at;
};

static struct {
	void *handle;
	int (*compile)(regex_t *, const wchar_t *, size_t, int);
	int (*find)(
	    const regex_t *, const tre_str_source *, size_t, regmatch_t *, int);
	void (*free)(regex_t *);
} lib;

static const struct library_symbol symbols[] = {
	{ "tre_regwncomp", &lib.compile },
	{ "tre_reguexec", &lib.find },
	{ "tre_regfree", &lib.free },
};

/* Loads TRE; without it expressions are matched by backtracking. */
static int
load_library(void)
{
	struct error why;

	return lib.handle != NULL
	    ? 0
	    : library_load(LIBRARY, symbols, NELEM(symbols), &lib.handle, &why);
}

/* --- compiling ------------------------------------------------------------ */

/* Frees the variants that were compiled. */
static void
free_variants(struct expression *e)
{
	for (unsigned i = 0; i < e->nvariants; i++)
		lib.free(&e->variant[i]);
	free(e->variant);
	e->variant = NULL;
	e->nvariants = 0;
}

/*
 * -EINVAL when TRE rejects it: TRE also reports "out of space" when the nesting is too
 * deep.
 */
static int
compile_variant(struct expression *e)
{
	wchar_t *plain;
	size_t len;
	int r = expression_plain(e->tree, e->nvariants, &plain, &len);

	if (r < 0)
		return r;
	r = lib.compile(
	    &e->variant[e->nvariants], plain, len, REG_EXTENDED | REG_NOSUB);
	free(plain);
	if (r == REG_OK)
		e->nvariants++;
	return r == REG_OK ? 0 : -EINVAL;
}

static int
compile(struct expression *e)
{
	unsigned n = expression_variants(e->tree);
	int r = 0;

	e->weight = expression_weight(e->tree);
	if (e->weight == UINT64_MAX || load_library() < 0)
		return 0;
	if ((e->variant = calloc(n, sizeof(*e->variant))) == NULL)
		return -ENOMEM;
	while (r == 0 && e->nvariants < n)
		r = compile_variant(e);
	if (r < 0) {
		free_variants(e);
		return r == -EINVAL ? 0 : r;
	}
	memcpy(e->code, expression_codes(e->tree), sizeof(e->code));
	expression_tree_free(e->tree);
	e->tree = NULL;
	return 0;
}

int
expression_new(const char *s, struct expression **ret, struct error *err)
{
	struct expression *e = calloc(1, sizeof(*e));
	int r = -ENOMEM;

	if (e != NULL)
		r = expression_parse(s, &e->tree, err);
	if (r == 0)
		r = compile(e);
	if (r == 0)
		*ret = e;
	else
		expression_free(e);
	return r;
}

void
expression_free(struct expression *e)
{
	if (e == NULL)
		return;
	free_variants(e);
	expression_tree_free(e->tree);
	free(e);
}

/* --- searching ------------------------------------------------------------ */

static int
next_char(tre_char_t *c, unsigned *add, void *context)
{
	struct text *text = context;

	*add = 1;
	if (text->at == text->len) {
		*c = 0;
		return 1;
	}
	*c = text->code[text->s[text->at++]];
	return 0;
}

size_t
expression_longest(const struct expression *e, uint64_t work)
{
	uint64_t n = work / e->weight;

	return e->tree != NULL ? SIZE_MAX : n - (n > 0);
}

bool
expression_is_tried(const struct expression *e)
{
	return e->tree != NULL;
}

size_t
expression_batch(const struct expression *e, uint64_t work)
{
	if (e == NULL)
		return SIZE_MAX;
	return e->tree != NULL ? 1 : MAX(work / e->weight, (uint64_t)1);
}

static int
try(const struct expression *e, const uint8_t *s, size_t len, uint64_t work,
    uint64_t *spent)
{
	uint64_t all = work / TRY_STEPS, left = all;
	int r = expression_try(e->tree, s, len, &left);

	*spent += (all - left) * TRY_STEPS;
	return r;
}

const char *
expression_why_tried(const struct expression *e)
{
	if (!expression_has_plain(e->tree))
		return "has a back reference, or \\B or too many \\b";
	if (e->weight == UINT64_MAX)
		return "is too large";
	return "has to do without the library TRE (libtre5)";
}

int
expression_find(const struct expression *e, const uint8_t *s, size_t len,
    uint64_t work, uint64_t *spent)
{
	int r = REG_NOMATCH;

	if (e->tree != NULL)
		return try(e, s, len, work, spent);
	if (len >= work / e->weight)
		return -EFBIG;
	*spent += (len + 1) * e->weight;
	for (unsigned i = 0; i < e->nvariants && r == REG_NOMATCH; i++) {
		struct text text = { e->code, s, len, 0 };
		tre_str_source source = { next_char, NULL, NULL, &text };

		r = lib.find(&e->variant[i], &source, 0, NULL, 0);
	}
	return r == REG_OK ? 1 : r == REG_NOMATCH ? 0 : -ENOMEM;
}
