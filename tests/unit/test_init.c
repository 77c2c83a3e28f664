/* init: gensios, sets of ids, filters and answers are read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "draft.h"
#include "gensio.h"
#include "id_set.h"

/* --- gensios ------------------------------------------------------------- */

static const char *const filters[] = { "telnet", "ssl", NULL };
static const char *const types[] = { "tcp", "serialdev", NULL };

static void
test_layers_and_options(void **state)
{
	struct gensio g;

	(void)state;
	assert_int_equal(
	    gensio_parse("telnet(rfc2217=true, x='a,b)c'),ssl , tcp,::1,2000",
		7, filters, types, &g),
	    0);
	assert_int_equal(g.n, 3);
	assert_string_equal(g.layer[0].type, "telnet");
	assert_string_equal(
	    settings_value(&g.layer[0].options, "rfc2217"), "true");
	assert_string_equal(settings_value(&g.layer[0].options, "x"), "a,b)c");
	assert_int_equal(g.layer[0].options.at[0].line, 7);
	assert_string_equal(g.layer[1].type, "ssl");
	assert_string_equal(gensio_base(&g)->type, "tcp");
	assert_string_equal(g.rest, "::1,2000");
	gensio_free(&g);
}

static void
test_a_port_alone_is_tcp(void **state)
{
	struct gensio g;

	(void)state;
	assert_int_equal(gensio_parse("2000", 1, filters, types, &g), 0);
	assert_string_equal(gensio_base(&g)->type, "tcp");
	assert_string_equal(g.rest, "2000");
	gensio_free(&g);
}

static void
test_invalid_gensios(void **state)
{
	static const char *const texts[] = { "", ",", "telnet", "telnet,",
		"tcp(", "tcp(a", "tcp(a)b", "telnet(\"),tcp" };
	struct gensio g;

	(void)state;
	for (size_t i = 0; i < NELEM(texts); i++) {
		assert_int_equal(
		    gensio_parse(texts[i], 1, filters, types, &g), -EINVAL);
		gensio_free(&g);
	}
}

/* --- sets of ids --------------------------------------------------------- */

static void
check_set(const char *text, const char *removed, const char *kept,
    const char *expected)
{
	struct id_set set, other;
	char buf[128];

	id_set_fill(&set);
	if (text != NULL) {
		assert_int_equal(id_set_parse(text, &other), 0);
		assert_int_equal(id_set_keep(&set, &other), 0);
	}
	if (removed != NULL) {
		assert_int_equal(id_set_parse(removed, &other), 0);
		assert_int_equal(id_set_remove(&set, &other), 0);
	}
	if (kept != NULL) {
		assert_int_equal(id_set_parse(kept, &other), 0);
		assert_int_equal(id_set_keep(&set, &other), 0);
	}
	assert_true(id_set_write(&set, buf, sizeof(buf)));
	assert_string_equal(buf, expected);
}

static void
test_sets(void **state)
{
	(void)state;
	check_set(NULL, NULL, NULL, "0-16777215");
	check_set("3,1,2,9,2", NULL, NULL, "1-3,9");
	check_set(NULL, "0,16777215", NULL, "1-16777214");
	check_set(NULL, "30", NULL, "0-29,31-16777215");
	check_set("1,2,3,9", "2", NULL, "1,3,9");
	check_set("1,2,3", NULL, "3,4", "3");
	check_set("1", "1", NULL, "");
}

static void
test_sets_have_limits(void **state)
{
	struct id_set set;
	char text[4096] = "", buf[8];

	(void)state;
	assert_int_equal(id_set_parse("1,x", &set), -EINVAL);
	assert_int_equal(id_set_parse("16777216", &set), -EINVAL);
	for (unsigned i = 0; i < ID_RANGES_MAX + 1; i++)
		append(text, sizeof(text), "%u,", i * 2);
	assert_int_equal(id_set_parse(text, &set), -E2BIG);
	id_set_fill(&set);
	assert_false(id_set_write(&set, buf, sizeof(buf)));
}

/* --- answers ------------------------------------------------------------- */

static void
test_ports(void **state)
{
	static const char *const names[] = { "/dev/ttyACM0", "/dev/ttyS1",
		"/dev/ttyUSB0" };
	static const struct {
		const char *text;
		bool chosen[3];
	} valid[] = {
		{ "all", { true, true, true } },
		{ "2", { false, true, false } },
		{ "1-2", { true, true, false } },
		{ "ttyUSB0, /dev/ttyACM0", { true, false, true } },
	};
	static const char *const invalid[] = { "", " ", "0", "4", "2-1", "1-4",
		"x", "-1", "1-", "99999999999" };
	struct error err;
	bool chosen[3];

	(void)state;
	for (size_t i = 0; i < NELEM(valid); i++) {
		assert_int_equal(
		    answer_ports(valid[i].text, names, 3, chosen, &err), 0);
		assert_memory_equal(chosen, valid[i].chosen, sizeof(chosen));
	}
	for (size_t i = 0; i < NELEM(invalid); i++) {
		error_clear(&err);
		assert_int_equal(
		    answer_ports(invalid[i], names, 3, chosen, &err), -EINVAL);
		assert_true(error_is_set(&err));
	}
}

static void
test_devices(void **state)
{
	struct answer_device devices[2];
	struct error err;

	(void)state;
	assert_int_equal(answer_devices("", devices, 2, &err), 0);
	assert_string_equal(devices[1].framing, "raw");
	assert_int_equal(devices[1].baud, 9600);
	assert_int_equal(
	    answer_devices("GPS 4800, 115200 modbus 7e2", devices, 2, &err), 0);
	assert_string_equal(devices[0].framing, "nmea");
	assert_int_equal(devices[0].baud, 4800);
	assert_string_equal(devices[0].mode, "8N1");
	assert_string_equal(devices[1].framing, "modbus-rtu");
	assert_int_equal(devices[1].baud, 115200);
	assert_string_equal(devices[1].mode, "7E2");
	assert_int_equal(
	    answer_devices("line, line, line", devices, 2, &err), -EINVAL);
	assert_int_equal(answer_devices("49", devices, 2, &err), -EINVAL);
	error_clear(&err);
	assert_int_equal(answer_devices("mavlnik", devices, 2, &err), -EINVAL);
	assert_non_null(strstr(err.text, "did you mean 'mavlink'?"));
}

static void
test_access(void **state)
{
	struct answer_access access;
	struct error err;

	(void)state;
	assert_int_equal(answer_access(" No ", &access, &err), 0);
	assert_true(access.none);
	assert_int_equal(answer_access("local", &access, &err), 0);
	assert_false(access.none);
	assert_string_equal(access.networks, "");
	assert_int_equal(
	    answer_access("10.0.0.0/8 fd00::/8", &access, &err), 0);
	assert_string_equal(access.networks, "10.0.0.0/8 fd00::/8");
	assert_int_equal(answer_access("", &access, &err), -EINVAL);
	assert_int_equal(answer_access("10.0.0/8", &access, &err), -EINVAL);
}

/* --- drafts -------------------------------------------------------------- */

static void
test_names_are_valid_and_unique(void **state)
{
	struct draft *d = draft_new("source");
	char name[DRAFT_NAME_MAX];

	(void)state;
	assert_non_null(d);
	assert_string_equal(draft_name(d, "gate", name), "gate");
	assert_string_equal(draft_name(d, "gate", name), "gate-2");
	assert_string_equal(draft_name(d, "-.a b:c", name), "a_b_c");
	assert_string_equal(draft_name(d, "", name), "port");
	draft_name(d, "a-name-that-is-far-too-long-for-a-section", name);
	assert_int_equal(strlen(name), DRAFT_NAME_MAX - 1);
	draft_name(d, "a-name-that-is-far-too-long-for-a-section", name);
	assert_true(strlen(name) < DRAFT_NAME_MAX);
	draft_free(d);
}

/* A block with a fault is left out with what needs it, and the rest stays. */
static void
test_faulty_blocks_are_left_out(void **state)
{
	struct draft *d = draft_new("source");
	struct error err;
	char *text, *warnings;

	(void)state;
	draft_block(d, 3);
	draft_section(d, "echo", "good");
	draft_block(d, 5);
	draft_section(d, "serial", "bad");
	draft_key(d, "device", "/dev/ttyS0");
	draft_key(d, "baud", "fast");
	draft_block(d, 8);
	draft_section(d, "route", "needs");
	draft_key(d, "between", "good bad");
	assert_int_equal(draft_finish(d, &text, &warnings, &err), 1);
	assert_non_null(
	    strstr(text, "\n#[serial bad]\n#device = /dev/ttyS0\n"));
	assert_non_null(strstr(text, "\n#[route needs]\n"));
	assert_non_null(strstr(text, "[echo good]\n"));
	assert_non_null(strstr(warnings, "source:5: warning: left out: "));
	assert_non_null(strstr(warnings, "source:8: warning: left out: "));
	free(text);
	free(warnings);
	draft_free(d);
}

static void
test_values_that_cannot_be_written(void **state)
{
	static const char *const values[] = { "", " a", "a ", "a ;b", "#",
		"a #", "a\nb", "\x01" };
	struct draft *d = draft_new("source");
	struct error err;
	char *text, *warnings, longest[300];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	draft_block(d, 1);
	draft_section(d, "echo", "e");
	for (size_t i = 0; i < NELEM(values); i++)
		draft_key(d, "label", "%s", values[i]);
	draft_key(d, "label", "%s", longest);
	draft_key(d, "label", "a;b#c");
	assert_int_equal(draft_finish(d, &text, &warnings, &err), 1);
	assert_non_null(strstr(text, "\nlabel = a;b#c\n"));
	for (size_t i = 0, n = 0; i < NELEM(values) + 1; i++) {
		const char *at = strstr(warnings + n, "is left out: ");

		assert_non_null(at);
		n = (size_t)(at - warnings) + 1;
	}
	free(text);
	free(warnings);
	draft_free(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layers_and_options),
		cmocka_unit_test(test_a_port_alone_is_tcp),
		cmocka_unit_test(test_invalid_gensios),
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_sets_have_limits),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_access),
		cmocka_unit_test(test_names_are_valid_and_unique),
		cmocka_unit_test(test_faulty_blocks_are_left_out),
		cmocka_unit_test(test_values_that_cannot_be_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
