/*
 * parts: reads files of sections with keys, as other programs write them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "parts.h"

#define BLANKS " \t\r\f\v"

struct reader {
	const struct parts_rules *rules;
	struct parts *parts;
	const char *file;
	int line;
	unsigned part; /* that keys belong to */
	struct error *err;
};

static int fail(struct reader *, const char *, const char *);

static int
fail(struct reader *r, const char *text, const char *why)
{
	char quote[80];

	printable(text, quote, sizeof(quote));
	return error_fail(
	    r->err, -EINVAL, "%s:%d: '%s': %s", r->file, r->line, quote, why);
}

/* Takes off blanks at both ends, in place. */
static char *
trim(char *s)
{
	size_t len;

	s += strspn(s, BLANKS);
	len = strlen(s);
	while (len > 0 && strchr(BLANKS, s[len - 1]) != NULL)
		s[--len] = '\0';
	return s;
}

static struct part *
find_part(struct parts *parts, const char *type, const char *name)
{
	for (unsigned i = 0; i < parts->n; i++)
		if (strcasecmp(parts->at[i].type, type) == 0 &&
		    strcasecmp(parts->at[i].name, name) == 0)
			return &parts->at[i];
	return NULL;
}

static int
add_part(struct reader *r, const char *type, const char *name)
{
	struct parts *parts = r->parts;
	struct part *part, *old = find_part(parts, type, name);

	if (r->rules->merge && old != NULL) {
		r->part = (unsigned)(old - parts->at);
		return 0;
	}
	part = reallocarray(parts->at, parts->n + 1, sizeof(*part));
	if (part == NULL)
		return -ENOMEM;
	parts->at = part;
	r->part = parts->n;
	part = &parts->at[parts->n++];
	memset(part, 0, sizeof(*part));
	part->line = r->line;
	part->type = strdup(type);
	part->name = strdup(name);
	return part->type == NULL || part->name == NULL ? -ENOMEM : 0;
}

/* "[TYPE NAME]". */
static int
read_head(struct reader *r, char *text)
{
	char *end = strchr(text, ']'), *type, *name;

	if (!r->rules->sections)
		return fail(r, text, "this file has no sections");
	if (end == NULL)
		return fail(r, text, "there is no ']'");
	if (end[1] != '\0' && !(r->rules->ends && *trim(end + 1) == '#'))
		return fail(r, text, "nothing may follow the ']'");
	*end = '\0';
	type = trim(text + 1);
	name = type + strcspn(type, BLANKS);
	if (*name != '\0')
		*name++ = '\0';
	if (*type == '\0')
		return fail(r, text, "the section has no name");
	return add_part(r, type, trim(name));
}

/* Takes off quotes, or a comment, at the end of a value. */
static int
read_value(struct reader *r, char **value)
{
	char *s = *value, *end;

	if (r->rules->quotes && (*s == '"' || *s == '\'')) {
		if ((end = strchr(s + 1, *s)) == NULL)
			return fail(r, s, "the quote is not closed");
		*end = '\0';
		*value = s + 1;
		s = end + 1;
		s += strspn(s, BLANKS);
		return *s == '\0' || *s == '#'
		    ? 0
		    : fail(r, s, "nothing may follow the quote");
	}
	if (r->rules->ends && (end = strchr(s, '#')) != NULL) {
		*end = '\0';
		trim(s);
	}
	return 0;
}

static int
read_key(struct reader *r, char *text)
{
	struct parts *parts = r->parts;
	char *value = strchr(text, '=');
	int e;

	if (value == NULL)
		return fail(r, text, "it is not KEY = VALUE");
	if (parts->n == 0 && r->rules->sections)
		return fail(r, text, "it stands before the first section");
	if (parts->n == 0 && (e = add_part(r, "", "")) < 0)
		return e;
	*value++ = '\0';
	value = trim(value);
	if (*trim(text) == '\0')
		return fail(r, value, "there is no key before the '='");
	if ((e = read_value(r, &value)) < 0)
		return e;
	settings_add(&parts->at[r->part].keys, r->line, trim(text), value);
	return parts->at[r->part].keys.nomem ? -ENOMEM : 0;
}

static int
read_line(struct reader *r, char *text)
{
	text = trim(text);
	if (*text == '\0' || strchr(r->rules->comments, *text) != NULL)
		return 0;
	return *text == '[' ? read_head(r, text) : read_key(r, text);
}

int
parts_read(const struct source *source, const struct parts_rules *rules,
    struct parts *ret, struct error *err)
{
	struct reader r = {
		.rules = rules, .parts = ret, .file = source->file, .err = err
	};
	char *copy = strdup(source->text), *text = copy, *line;
	int e = copy == NULL ? -ENOMEM : 0;

	memset(ret, 0, sizeof(*ret));
	while (e == 0 && (line = strsep(&text, "\n")) != NULL) {
		r.line++;
		e = read_line(&r, line);
	}
	free(copy);
	return e;
}

void
parts_lose_repeated(struct draft *d, const struct settings *keys)
{
	for (unsigned i = 0; i < keys->n; i++) {
		const struct setting *s = &keys->at[i],
				     *last = settings_find(keys, s->name);
		char what[128];

		if (last == s || strcmp(last->value, s->value) == 0)
			continue;
		snprintf(what, sizeof(what), "%s = %s", s->name, s->value);
		draft_lost(
		    d, s->line, what, "line %d has it again", last->line);
	}
}

bool
parts_address(struct draft *d, const char *host, const char *port,
    char ret[ADDRESS_TEXT_MAX])
{
	bool colon = strchr(host, ':') != NULL && *host != '[';
	int n = snprintf(ret, ADDRESS_TEXT_MAX, "%s%s%s:%s", colon ? "[" : "",
	    host, colon ? "]" : "", port);

	if (n >= 0 && n < ADDRESS_TEXT_MAX)
		return true;
	draft_leave_out(d, host, "the address is too long");
	return false;
}

void
parts_free(struct parts *parts)
{
	for (unsigned i = 0; i < parts->n; i++) {
		free(parts->at[i].type);
		free(parts->at[i].name);
		settings_free(&parts->at[i].keys);
	}
	free(parts->at);
	memset(parts, 0, sizeof(*parts));
}
