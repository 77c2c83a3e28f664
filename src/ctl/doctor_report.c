/*
 * doctor_report: what the checks have found, as text or JSON.
 *
 * jansson ignores the failure to create a value until the object is printed, because
 * each function accepts NULL in place of a value and fails.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "doctor_report.h"

int
report_init(struct report *r)
{
	memset(r, 0, sizeof(*r));
	r->findings = json_array();
	r->hints = json_array();
	r->not_checked = json_array();
	if (r->findings != NULL && r->hints != NULL && r->not_checked != NULL)
		return 0;
	report_free(r);
	return -ENOMEM;
}

void
report_free(struct report *r)
{
	json_decref(r->findings);
	json_decref(r->hints);
	json_decref(r->not_checked);
}

void
format_text(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf, size, fmt, ap);
	va_end(ap);
}

/* --- adding ----------------------------------------------------------------- */

/* What is shown may come from devices and other programs. */
static json_t *
shown(const char *text)
{
	char safe[DOCTOR_TEXT_MAX];

	printable(text, safe, sizeof(safe));
	return json_string(safe);
}

bool
report_has(const struct report *r, const char *check, const char *name)
{
	const json_t *each;
	size_t i;

	json_array_foreach(r->findings, i, each)
	{
		if ((check == NULL ||
			strcmp(member_text(each, "check"), check) == 0) &&
		    strcmp(member_text(each, "name"), name) == 0)
			return true;
	}
	return false;
}

static void add(const struct report *, json_t *, const char *, const char *,
    const char *, const char *, va_list) PRINTF(6, 0);

static void
add(const struct report *r, json_t *list, const char *name, const char *where,
    const char *remedy, const char *fmt, va_list ap)
{
	char what[DOCTOR_TEXT_MAX];

	vsnprintf(what, sizeof(what), fmt, ap);
	json_array_append_new(list,
	    json_pack("{s:s, s:o, s:o, s:o, s:o}", "check", r->check, "name",
		shown(name), "what", shown(what), "where",
		shown(where != NULL ? where : name), "remedy", shown(remedy)));
}

void
report_finding(struct report *r, const char *name, const char *where,
    const char *remedy, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(r, r->findings, name, where, remedy, fmt, ap);
	va_end(ap);
}

void
report_hint(struct report *r, const char *name, const char *where,
    const char *remedy, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(r, r->hints, name, where, remedy, fmt, ap);
	va_end(ap);
}

void
report_not_checked(struct report *r, const char *fmt, ...)
{
	char why[DOCTOR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	json_array_append_new(r->not_checked,
	    json_pack("{s:s, s:o}", "check", r->check, "why", shown(why)));
}

/* --- printing --------------------------------------------------------------- */

static void
print_list(const json_t *list, const char *before)
{
	const json_t *each;
	size_t i;

	json_array_foreach(list, i, each)
	{
		printf("%s%s\n", before, member_text(each, "what"));
		printf("    where: %s\n", member_text(each, "where"));
		printf("    do:    %s\n\n", member_text(each, "remedy"));
	}
}

/* The checks that could not be made for the same reason are on one line. */
static void
print_not_checked(const json_t *list)
{
	const json_t *each, *other;
	size_t i, j;

	json_array_foreach(list, i, each)
	{
		const char *why = member_text(each, "why");
		bool first = true;

		for (j = 0; j < i && first; j++)
			first =
			    strcmp(member_text(json_array_get(list, j), "why"),
				why) != 0;
		if (!first)
			continue;
		printf("not checked: %s", member_text(each, "check"));
		for (j = i + 1; j < json_array_size(list); j++) {
			other = json_array_get(list, j);
			if (strcmp(member_text(other, "why"), why) == 0)
				printf(", %s", member_text(other, "check"));
		}
		printf(": %s\n", why);
	}
	if (json_array_size(list) > 0)
		printf("\n");
}

static void
print_count(const json_t *list, const char *word)
{
	size_t n = json_array_size(list);

	printf("%zu %s%s, ", n, word, n == 1 ? "" : "s");
}

static int
exit_status(const struct report *r)
{
	return json_array_size(r->findings) > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int
report_print(const struct report *r)
{
	print_list(r->findings, "wrong: ");
	print_list(r->hints, "hint: ");
	print_not_checked(r->not_checked);
	print_count(r->findings, "finding");
	print_count(r->hints, "hint");
	printf("%u checks, %zu not made\n", r->checks,
	    json_array_size(r->not_checked));
	return exit_status(r);
}

int
report_print_json(const struct report *r)
{
	json_t *all = json_pack("{s:O, s:O, s:O, s:i}", "findings", r->findings,
	    "hints", r->hints, "not_checked", r->not_checked, "checks",
	    (int)r->checks);
	char *line = json_dumps(all, JSON_COMPACT);

	json_decref(all);
	if (line == NULL) {
		ctl_fail("out of memory");
		return EXIT_USAGE;
	}
	puts(line);
	free(line);
	return exit_status(r);
}
