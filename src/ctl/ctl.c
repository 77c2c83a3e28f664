/*
 * ctl: what the commands of ttybridgectl have in common.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"

/* --- messages ---------------------------------------------------------------- */

static void complain(const char *fmt, va_list ap) PRINTF(1, 0);
static void
complain(const char *fmt, va_list ap)
{
	char text[2048], shown[2048];

	vsnprintf(text, sizeof(text), fmt, ap);
	printable(text, shown, sizeof(shown));
	fflush(stdout);
	fprintf(stderr, "ttybridgectl: %s\n", shown);
}

int
ctl_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(fmt, ap);
	va_end(ap);
	return EXIT_FAILURE;
}

int
ctl_usage(const char *usage, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(fmt, ap);
	va_end(ap);
	fprintf(stderr, "usage: ttybridgectl %s\n", usage);
	return EXIT_USAGE;
}

/* --- what commands share ------------------------------------------------------ */

int
ctl_connect(struct ctl *ctl)
{
	struct error err;
	int r;

	if (ctl->connection != NULL)
		return 0;
	r = locate(&ctl->where, &ctl->target, &ctl->connection, &err);
	if (r < 0 && r != -EINTR)
		ctl_fail("%s", err.text);
	return r;
}

int
ctl_connect_again(struct ctl *ctl, struct connection **ret)
{
	struct error err;
	int r = connection_open(&ctl->target, ctl->where.timeout_ms, ret, &err);

	if (r < 0 && r != -EINTR)
		ctl_fail("%s", err.text);
	return r;
}

char *
ctl_printable(const char *text)
{
	size_t size = 4 * strlen(text) + 1;
	char *shown = malloc(size);

	if (shown != NULL)
		printable(text, shown, size);
	return shown;
}

const char *
member_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL ? text : "";
}

double
member_number(const json_t *object, const char *name)
{
	return json_number_value(json_object_get(object, name));
}

char *
ctl_line(const char *before, int argc, char **argv)
{
	size_t size = before != NULL ? strlen(before) + 2 : 1;
	char *line, *end;

	for (int i = 0; i < argc; i++) {
		size += strlen(argv[i]) + 1;
		if (strpbrk(argv[i], "\r\n") != NULL) {
			ctl_fail("a line cannot be sent with an end of line in"
				 " it; write \\n or \\r");
			return NULL;
		}
	}
	if ((line = malloc(size)) == NULL) {
		ctl_fail("out of memory");
		return NULL;
	}
	end = line;
	if (before != NULL)
		end = stpcpy(end, before);
	for (int i = 0; i < argc; i++) {
		if (end != line)
			*end++ = ' ';
		end = stpcpy(end, argv[i]);
	}
	*end = '\0';
	return line;
}
