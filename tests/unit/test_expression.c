/* expression: what is accepted, what is found, and what it may cost. */
#include <errno.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "expression.h"

static struct expression *new (const char *text)
{
	struct expression *e = NULL;
	struct error err = { "" };

	if (expression_new(text, &e, &err) != 0)
		fail_msg("%s: %s", text, err.text);
	return e;
}

static int
find(const char *text, const void *s, size_t len)
{
	struct expression *e = new (text);
	uint64_t spent = 0;
	int r = expression_find(e, s, len, EXPRESSION_WORK, &spent);

	assert_true(spent <= EXPRESSION_WORK);
	expression_free(e);
	return r;
}

static void
expressions_find_what_they_say(void **state)
{
	static const struct {
		const char *text, *s;
		int found;
	} cases[] = {
		{ "b", "abc", 1 },
		{ "^b", "abc", 0 },
		{ "^\\$GP(GGA|RMC),", "$GPRMC,1", 1 },
		{ "^\\$GP(GGA|RMC),", "x$GPRMC,1", 0 },
		{ "^$", "", 1 },
		{ "(^|,)7(,|$)", "1,7", 1 },
		{ "(^|,)7(,|$)", "17,", 0 },
		{ "(^|,?)a", "xa", 1 },
		{ "(,|$)?b", "ab", 1 },
		{ "^(a|b)*$", "abba", 1 },
		{ "^[^]x-]{2,3}$", "ab-", 0 },
		{ "^[]x-]{3}$", "]x-", 1 },
		{ "[[:digit:]]+[[.-.]][[=a=]]", "x12-a", 1 },
		{ "a{300}", "aaa", 0 },
		{ "^a{2,}$", "a", 0 },
		{ "^a{,2}$", "aa", 1 },
		{ "a{0}b", "b", 1 },
		{ "\\bfoo\\b", "a foo.", 1 },
		{ "\\bfoo\\b", "a food", 0 },
		{ "\\b", "", 0 },
		{ "\\b$", "x.", 0 },
		{ "\\Boo", "foo", 1 },
		{ "\\<x\\>", "x y", 1 },
		{ "^\\w+\\W\\S+\\s$", "a_1.%% ", 1 },
		{ "a)|b", "a)", 1 },
		{ "()", "", 1 },
		{ "a||b", "x", 1 },
		{ "^(.+),\\1$", "ab,ab", 1 },
		{ "^(.+),\\1$", "ab,ac", 0 },
		{ "(a)?\\1", "b", 0 },
		{ "[\xe9-\xff]$", "x\xfa", 1 },
		{ "((a+|b)+|c)+d", "abcd", 1 },
		{ "a**b", "b", 1 },
	};

	(void)state;
	for (size_t i = 0; i < NELEM(cases); i++)
		if (find(cases[i].text, cases[i].s, strlen(cases[i].s)) !=
		    cases[i].found)
			fail_msg("%s in %s", cases[i].text, cases[i].s);
}

/* NUL is a byte like any other, also for anchors. */
static void
nul_is_a_byte(void **state)
{
	(void)state;
	assert_int_equal(find("^a.b$", "a\0b", 3), 1);
	assert_int_equal(find("a$", "a\0b", 3), 0);
	assert_int_equal(find("^a[^b]b$", "a\0b", 3), 1);
	assert_int_equal(find("b$", "a\0b", 3), 1);
	assert_int_equal(find("(.)\\1$", "a\0\0", 3), 1);
}

static void
what_is_wrong_is_said(void **state)
{
	static const char *const bad[] = { "(", "a(b", "[a", "[[:alpha:]",
		"[[:foo:]]", "[[.ab.]]", "[b-a]", "[a-c-e]", "*a", "a|*b",
		"(+)", "{1}", "^*", "a{", "a{x}", "a{2,1}", "a{1", "a{~1}",
		"a{40000}", "\\", "\\1", "(a)|\\1", "(a\\1)", "a{1001}",
		"((a{100}){100}){20}", "((a{255}){255}){255}" };
	struct expression *e;
	struct error err;

	(void)state;
	for (size_t i = 0; i < NELEM(bad); i++) {
		error_clear(&err);
		if (expression_new(bad[i], &e, &err) != -EINVAL ||
		    !error_is_set(&err))
			fail_msg("%s: '%s'", bad[i], err.text);
	}
}

/* The steps that a text costs are at most those that were said before. */
static void
no_text_costs_more_than_was_said(void **state)
{
	static const char *const texts[] = { "a.*b", "a.{50}b", "(a?){100}b",
		"(a|b|c|d|e|f|g|h)+(0|1|2)", "(a?b?c?d?e?f?g?h?)*x",
		"(a*)*\\1b", "(.*)(.*)(.*)\\3\\2\\1x", "\\Ba.*x",
		"(((a+|b)+|c)+|d)+x", "\\ba\\b|\\bb\\b|\\bc\\b|\\bd\\b" };
	size_t size = 1024 * 1024, longest;
	uint8_t *s = malloc(size);
	uint64_t spent;
	int r;

	(void)state;
	assert_non_null(s);
	memset(s, 'a', size);
	for (size_t i = 0; i < NELEM(texts); i++) {
		struct expression *e = new (texts[i]);

		longest = MIN(expression_longest(e, EXPRESSION_WORK), size);
		spent = 0;
		r = expression_find(e, s, longest, EXPRESSION_WORK, &spent);
		assert_true(r == 0 || expression_is_tried(e));
		assert_true(spent <= EXPRESSION_WORK);
		if (longest < size)
			assert_int_equal(expression_find(e, s, longest + 1,
					     EXPRESSION_WORK, &spent),
			    -EFBIG);
		assert_true(longest >= 64);
		expression_free(e);
	}
	free(s);
}

/* What people write can be found in all frames of the default size. */
static void
everyday_expressions_see_every_frame(void **state)
{
	static const char *const texts[] = { "^\\$GP(GGA|RMC),", "ERROR|WARN",
		"^[0-9a-fA-F]{64}$", "([0-9]{1,3}\\.){3}[0-9]{1,3}",
		"temp=[-+]?[0-9]+(\\.[0-9]*)?", "^[$]..(GGA|RMC|VTG|HDT|MWV),",
		"a.*b.*c", "^.{0,20},.*x", "[A-Za-z0-9+/]{40}",
		"\\b(foo|bar|baz)\\b" };

	(void)state;
	for (size_t i = 0; i < NELEM(texts); i++) {
		struct expression *e = new (texts[i]);

		assert_false(expression_is_tried(e));
		if (expression_longest(e, EXPRESSION_WORK / 2) < 4096)
			fail_msg("%s: %zu", texts[i],
			    expression_longest(e, EXPRESSION_WORK / 2));
		expression_free(e);
	}
}

/*
 * As the C library does, of which this is the grammar.  Not compared: '.' and NUL, which
 * differ there; newlines, before which its $ holds in the middle of a text.
 */
static void
expressions_mean_what_they_mean_in_the_c_library(void **state)
{
	static const char *const piece[] = { "a", "b", "a", "(", ")", "|", "*",
		"+", "?", "{2}", "{1,2}", "{,2}", "{2,}", "{0}", "{", "[ab]",
		"[^a]", "[]a]", "[^]a]", "[[:alpha:]]", "[[.a.]-b]", "[[=a=]]",
		"[a-", "]", "[-a]", "[^-^]", "[%--]", ".", "^", "$", "\\w",
		"\\W", "\\s", "\\b", "\\B", "\\<", "\\>", "\\`", "\\'", "\\.",
		"\\d", "\\", "-", " ", "_", "\\{", "[\xe9-\xff]", "(a|b)" };
	static const char letter[] = "aabbab -_^]\xe9.";
	struct error err;
	char text[200], s[8];
	unsigned seed = 1, compared = 0;

	(void)state;
	for (unsigned i = 0; i < 4000; i++) {
		struct expression *e = NULL;
		regex_t regex;
		int theirs, ours;

		text[0] = '\0';
		for (int n = 1 + rand_r(&seed) % 8; n > 0; n--)
			strcat(text,
			    piece[(unsigned)rand_r(&seed) % NELEM(piece)]);
		theirs = regcomp(&regex, text, REG_EXTENDED | REG_NOSUB);
		ours = expression_new(text, &e, &err);
		if ((theirs == 0) != (ours == 0))
			fail_msg("'%s': %d, %d", text, theirs, ours);
		for (int j = 0; theirs == 0 && j < 8; j++) {
			size_t len = (size_t)(rand_r(&seed) % 7);
			uint64_t spent = 0;

			for (size_t k = 0; k < len; k++)
				s[k] = letter[rand_r(&seed) % 13];
			s[len] = '\0';
			theirs = regexec(&regex, s, 0, NULL, 0) == 0;
			ours = expression_find(e, (const uint8_t *)s, len,
			    EXPRESSION_WORK, &spent);
			if (theirs != ours)
				fail_msg("'%s' in '%s': %d, %d", text, s,
				    theirs, ours);
			compared++;
			theirs = 0;
		}
		if (e != NULL)
			regfree(&regex);
		expression_free(e);
	}
	assert_true(compared > 5000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(expressions_find_what_they_say),
		cmocka_unit_test(nul_is_a_byte),
		cmocka_unit_test(what_is_wrong_is_said),
		cmocka_unit_test(no_text_costs_more_than_was_said),
		cmocka_unit_test(everyday_expressions_see_every_frame),
		cmocka_unit_test(
		    expressions_mean_what_they_mean_in_the_c_library),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
