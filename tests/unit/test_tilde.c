/*
 * tilde: what is typed is sent, except for the escape sequences.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tilde.h"

/* Types the keys; the text that is sent, with the commands as digits in it. */
static const char *
type(const char *keys)
{
	static uint8_t out[256];
	struct tilde t = { 0 };
	enum tilde_command c;
	size_t len = 0;

	for (; *keys != '\0'; keys++) {
		c = tilde_key(&t, (uint8_t)*keys, out, &len);
		if (c != TILDE_NONE)
			out[len++] = (uint8_t)('0' + c);
	}
	out[len] = '\0';
	return (const char *)out;
}

static void
keys(void **state)
{
	static const struct {
		const char *typed, *sent;
	} cases[] = {
		{ "hello\r", "hello\r" },
		{ "~.", "1" },
		{ "\r~.", "\r1" },
		{ "\n~.", "\n1" },
		{ "~b~r~h~?", "2345" },
		{ "x~.", "x~." },
		{ " ~.", " ~." },
		{ "~~.", "~." },
		{ "~~~.\r~.", "~~.\r1" },
		{ "~x~.", "~x~." },
		{ "~\r~.", "~\r1" },
		{ "~", "" },
		{ "~b.", "2." },
	};

	(void)state;
	for (size_t i = 0; i < NELEM(cases); i++)
		assert_string_equal(type(cases[i].typed), cases[i].sent);
}

static void
lines(void **state)
{
	static const struct {
		const char *line, *text;
		enum tilde_command command;
	} cases[] = {
		{ "", "", TILDE_NONE },
		{ "hello", "hello", TILDE_NONE },
		{ "~.", NULL, TILDE_LEAVE },
		{ "~b", NULL, TILDE_BREAK },
		{ "~", "~", TILDE_NONE },
		{ "~~", "~", TILDE_NONE },
		{ "~~.", "~.", TILDE_NONE },
		{ "~.x", "~.x", TILDE_NONE },
		{ "~x", "~x", TILDE_NONE },
		{ " ~.", " ~.", TILDE_NONE },
	};
	const char *text;

	(void)state;
	for (size_t i = 0; i < NELEM(cases); i++) {
		assert_int_equal(
		    tilde_line(cases[i].line, &text), cases[i].command);
		if (cases[i].text == NULL)
			assert_null(text);
		else
			assert_string_equal(text, cases[i].text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys),
		cmocka_unit_test(lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
