/*
 * ser2net_yaml: reads the configuration of ser2net 4.
 *
 * Files of the first kind are YAML only for a parser of events: their keys are repeated,
 * and anchors are names.  "*(NAME)" stands for a text that was defined, in files of the
 * second kind "=(NAME)".
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ser2net_options.h"
#include "yaml_library.h"

#define NEST_MAX 100
#define VALUE_MAX \
	65536 /* of a text, so that defines cannot grow without bound */

struct reader {
	struct ser2net *s;
	const char *file;
	struct error *err;
	yaml_parser_t parser;
	yaml_event_t event;
	bool event_set;
	unsigned depth;
	int version; /* 0: not known yet */
	struct settings defines;
};

/* Reads the value of a key of a mapping; the event is its first. */
typedef int read_function(
    struct reader *r, const char *key, int line, void *arg);

/* --- events -------------------------------------------------------------- */

static int
line_of(const struct reader *r)
{
	return (int)r->event.start_mark.line + 1;
}

static int fail_at(struct reader *, int, const char *, ...) PRINTF(3, 4);

static int
fail_at(struct reader *r, int line, const char *fmt, ...)
{
	char text[256], clean[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	printable(text, clean, sizeof(clean));
	return error_fail(r->err, -EINVAL, "%s:%d: %s", r->file, line, clean);
}

/* Gets the next event. */
static int
next(struct reader *r)
{
	if (r->event_set)
		yaml_library.event_delete(&r->event);
	r->event_set = false;
	if (yaml_library.parser_parse(&r->parser, &r->event)) {
		r->event_set = true;
		return 0;
	}
	if (r->parser.error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	return fail_at(r,
	    (int)MAX(r->parser.problem_mark.line, r->parser.context_mark.line) +
		1,
	    "%s",
	    r->parser.problem != NULL ? r->parser.problem : "no valid YAML");
}

/* Skips the rest of the node that the event begins; its last event stays. */
static int
skip(struct reader *r)
{
	unsigned depth = 0;
	int e;

	for (;;) {
		yaml_event_type_t type = r->event.type;

		if (type == YAML_MAPPING_START_EVENT ||
		    type == YAML_SEQUENCE_START_EVENT)
			depth++;
		if (type == YAML_MAPPING_END_EVENT ||
		    type == YAML_SEQUENCE_END_EVENT)
			depth--;
		if (depth == 0)
			return 0;
		if (depth > NEST_MAX)
			return fail_at(r, line_of(r), "nested too deeply");
		if ((e = next(r)) < 0)
			return e;
	}
}

/* --- text ---------------------------------------------------------------- */

/* Writes what "*(NAME)" stands for; s is after the parenthesis. */
static int
substitute(struct reader *r, FILE *f, const char *s, size_t len)
{
	char name[128];
	const char *value;

	snprintf(
	    name, sizeof(name), "%.*s", (int)MIN(len, sizeof(name) - 1), s);
	if ((value = settings_value(&r->defines, name)) == NULL)
		return fail_at(r, line_of(r), "'%s' is not defined", name);
	if (ftell(f) + (long)strlen(value) > VALUE_MAX)
		return fail_at(r, line_of(r), "the text is too long");
	fputs(value, f);
	return 0;
}

/* "*{FILE}" may stand for a password, which does not belong into the output. */
static void
keep_reference(struct reader *r, FILE *f, const char *s, size_t len)
{
	char what[128];

	snprintf(
	    what, sizeof(what), "%.*s", (int)MIN(len, sizeof(what) - 1), s);
	draft_block(r->s->draft, line_of(r));
	draft_warn(r->s->draft, line_of(r),
	    "'%s' is not replaced by the contents of the file", what);
	fwrite(s, 1, len, f);
}

/* Converts what begins with the letter; returns its length, or -errno. */
static long
write_reference(struct reader *r, FILE *f, const char *s)
{
	char open = s[1], *end;
	int e;

	if (open != '(' && open != '{') {
		/* Twice the letter is the letter. */
		fputc(*s, f);
		return open == *s ? 2 : 1;
	}
	if (s[2] == *s) {
		fprintf(f, "%c%c", *s, open);
		return 3;
	}
	if ((end = strchr(s, open == '(' ? ')' : '}')) == NULL)
		return fail_at(r, line_of(r), "there is no '%c' in '%s'",
		    open == '(' ? ')' : '}', s);
	if (open == '{')
		keep_reference(r, f, s, (size_t)(end + 1 - s));
	else if ((e = substitute(r, f, s + 2, (size_t)(end - s - 2))) < 0)
		return e;
	return end + 1 - s;
}

static int
expand(struct reader *r, const char *text, char **ret)
{
	char letter = r->version == 1 ? '*' : '=';
	size_t len;
	FILE *f = open_memstream(ret, &len);
	long n = 1;

	if (f == NULL)
		return -ENOMEM;
	for (; *text != '\0' && n > 0; text += n > 0 ? n : 0) {
		n = 1;
		if (*text == letter)
			n = write_reference(r, f, text);
		else
			fputc(*text, f);
	}
	/* Without memory fclose() may succeed, and leave no text. */
	if (fclose(f) == EOF || *ret == NULL)
		n = -ENOMEM;
	if (n > 0)
		return 0;
	free(*ret);
	*ret = NULL;
	return (int)n;
}

/* The text of a scalar or of an alias, to be freed. */
static int
read_text(struct reader *r, char **ret)
{
	const char *name, *value;

	*ret = NULL;
	if (r->event.type == YAML_SCALAR_EVENT) {
		value = (const char *)r->event.data.scalar.value;
		if (strlen(value) != r->event.data.scalar.length)
			return fail_at(r, line_of(r), "a NUL in a text");
		return expand(r, value, ret);
	}
	if (r->event.type != YAML_ALIAS_EVENT)
		return fail_at(r, line_of(r), "a text is expected here");
	name = (const char *)r->event.data.alias.anchor;
	value = settings_value(&r->defines, name);
	/* It may also be the name of a connection or an LED. */
	*ret = strdup(value != NULL ? value : name);
	return *ret == NULL ? -ENOMEM : 0;
}

/* The anchor of the event, or NULL. */
static const char *
anchor_of(const struct reader *r)
{
	const yaml_event_t *e = &r->event;

	return (const char *)(e->type == YAML_SCALAR_EVENT
		? e->data.scalar.anchor
		: e->type == YAML_MAPPING_START_EVENT
		? e->data.mapping_start.anchor
		: NULL);
}

/* Calls read for each key of a mapping; an empty scalar is an empty mapping. */
static int
read_mapping(struct reader *r, read_function *read, void *arg)
{
	char *key;
	int e, line;

	if (r->event.type == YAML_SCALAR_EVENT &&
	    r->event.data.scalar.length == 0)
		return 0;
	if (r->event.type != YAML_MAPPING_START_EVENT)
		return fail_at(r, line_of(r), "KEY: VALUE is expected here");
	if (++r->depth > NEST_MAX)
		return fail_at(r, line_of(r), "nested too deeply");
	for (;;) {
		if ((e = next(r)) < 0)
			return e;
		if (r->event.type == YAML_MAPPING_END_EVENT)
			break;
		line = line_of(r);
		if ((e = read_text(r, &key)) < 0)
			return e;
		if ((e = next(r)) == 0)
			e = read(r, key, line, arg);
		free(key);
		if (e < 0)
			return e;
	}
	r->depth--;
	return 0;
}

/* --- connections --------------------------------------------------------- */

/* A part that is not converted; only its beginning is quoted. */
static int
lose(struct reader *r, const char *key, int line, const char *why)
{
	char what[160], *text = NULL;
	int e;

	snprintf(what, sizeof(what), "%s:", key);
	if (anchor_of(r) != NULL)
		append(what, sizeof(what), " &%s", anchor_of(r));
	if (r->event.type == YAML_SCALAR_EVENT) {
		if ((e = read_text(r, &text)) < 0)
			return e;
		append(what, sizeof(what), " %s", text);
		free(text);
	}
	draft_block(r->s->draft, line);
	draft_lost(r->s->draft, line, what, "%s", why);
	return skip(r);
}

static int
read_option(struct reader *r, const char *key, int line, void *arg)
{
	struct settings *options = arg;
	char *value;
	int e = read_text(r, &value);

	if (e == 0)
		settings_add(options, line, key, value);
	free(value);
	return e;
}

/* Reads a text into a setting, which must not have one. */
static int
read_setting(struct reader *r, const char *key, int line, struct setting *set)
{
	if (set->value != NULL)
		return fail_at(r, line, "'%s' is given twice", key);
	set->line = line;
	return read_text(r, &set->value);
}

static int
read_enable(struct reader *r, int line, struct ser2net_connection *c)
{
	char *value;
	bool on;
	int e = read_text(r, &value);

	if (e < 0)
		return e;
	if (parse_bool(value, &on) < 0)
		e = fail_at(r, line, "'enable' is on or off, not '%s'", value);
	else
		c->disabled = !on;
	free(value);
	return e;
}

static int
read_part(struct reader *r, const char *key, int line, void *arg)
{
	struct ser2net_connection *c = arg;

	if (strcasecmp(key, "accepter") == 0)
		return read_setting(r, key, line, &c->accepter);
	if (strcasecmp(key, "connector") == 0)
		return read_setting(r, key, line, &c->connector);
	if (strcasecmp(key, "timeout") == 0)
		return read_setting(r, key, line, &c->timeout);
	if (strcasecmp(key, "enable") == 0)
		return read_enable(r, line, c);
	if (strcasecmp(key, "options") == 0)
		return read_mapping(r, read_option, &c->options);
	return read_option(r, key, line, &c->options);
}

static int
read_connection(struct reader *r, const char *name, int line, void *arg)
{
	struct ser2net_connection c = { .line = line,
		.accepter.name = "accepter",
		.connector.name = "connector",
		.timeout.name = "timeout" };
	int e;

	(void)arg;
	c.name = strdup(name);
	e = c.name == NULL ? -ENOMEM : read_mapping(r, read_part, &c);
	if (e == 0)
		e = c.options.nomem ? -ENOMEM : ser2net_connect(r->s, &c);
	ser2net_connection_free(&c);
	return e;
}

/* --- defines and defaults ------------------------------------------------ */

static int
read_define(struct reader *r, const char *key, int line, void *arg)
{
	char *value;
	int e = read_text(r, &value);

	(void)arg;
	if (e == 0)
		settings_set(&r->defines, line, key, value);
	free(value);
	return e;
}

static void
set_default(
    struct reader *r, int line, const char *name, const struct settings *parts)
{
	const char *class = settings_value(parts, "class"),
		   *value = settings_value(parts, "value");

	ser2net_set_default(r->s, line, class != NULL ? class : "", name,
	    value != NULL ? value : "");
}

/* A default of the first kind, whose name is one of its parts. */
static int
read_default(struct reader *r, int line)
{
	struct settings parts = { 0 };
	int e = read_mapping(r, read_option, &parts);
	const char *name = settings_value(&parts, "name");

	if (e == 0 && name == NULL)
		e = fail_at(r, line, "the default has no name");
	if (e == 0)
		set_default(r, line, name, &parts);
	settings_free(&parts);
	return e;
}

static int
read_named_default(struct reader *r, const char *key, int line, void *arg)
{
	struct settings parts = { 0 };
	int e = read_mapping(r, read_option, &parts);

	(void)arg;
	if (e == 0)
		set_default(r, line, key, &parts);
	settings_free(&parts);
	return e;
}

static int
lose_default(struct reader *r, const char *key, int line, void *arg)
{
	(void)arg;
	return lose(r, key, line,
	    "a default is not deleted again: look at the connections that"
	    " follow");
}

/* --- the file ------------------------------------------------------------ */

static int
lose_named(struct reader *r, const char *key, int line, void *arg)
{
	return lose(r, key, line, arg);
}

/* Keys of the file that have no counterpart. */
static const struct {
	const char *one, *many, *why;
} lost[] = {
	{ "rotator", "rotators",
	    "clients are not distributed among several ports" },
	{ "led", "leds", "LEDs are not switched" },
	{ "admin", "admins",
	    "a section [control] has commands of its own, see"
	    " ttybridge-control(7)" },
	{ "include", "include", "convert that file as well" },
};

/* Keys that are only in files of one kind. */
static int
set_version(struct reader *r, int line, const char *key, int version)
{
	if (r->version != 0 && r->version != version)
		return fail_at(r, line,
		    "'%s' does not belong into a file of this kind", key);
	r->version = version;
	return 0;
}

static int
read_first_kind(struct reader *r, const char *key, int line)
{
	const char *anchor = anchor_of(r);
	char name[64];

	snprintf(name, sizeof(name), "%s", anchor != NULL ? anchor : key);
	if (strcmp(key, "define") == 0)
		return anchor == NULL ? fail_at(r, line, "'define' needs &NAME")
				      : read_define(r, name, line, NULL);
	if (strcmp(key, "default") == 0)
		return read_default(r, line);
	if (strcmp(key, "connection") == 0)
		return read_connection(r, name, line, NULL);
	return lose_default(r, key, line, NULL);
}

static int
read_second_kind(struct reader *r, const char *key)
{
	if (strcmp(key, "defines") == 0)
		return read_mapping(r, read_define, NULL);
	if (strcmp(key, "defaults") == 0)
		return read_mapping(r, read_named_default, NULL);
	if (strcmp(key, "connections") == 0)
		return read_mapping(r, read_connection, NULL);
	return read_mapping(r, lose_default, NULL);
}

static int
read_key(struct reader *r, const char *key, int line, void *arg)
{
	static const char *const first[] = { "define", "default", "connection",
		"delete_default", NULL };
	static const char *const second[] = { "defines", "defaults",
		"connections", "delete_defaults", NULL };
	int e = 0;

	(void)arg;
	for (size_t i = 0; i < NELEM(lost); i++)
		if (strcmp(key, lost[i].one) == 0)
			return lose(r, key, line, lost[i].why);
		else if (strcmp(key, lost[i].many) == 0)
			return read_mapping(r, lose_named, (void *)lost[i].why);
	for (size_t i = 0; first[i] != NULL; i++) {
		if (strcmp(key, first[i]) == 0 &&
		    (e = set_version(r, line, key, 1)) == 0)
			return read_first_kind(r, key, line);
		if (strcmp(key, second[i]) == 0 &&
		    (e = set_version(r, line, key, 2)) == 0)
			return read_second_kind(r, key);
		if (e < 0)
			return e;
	}
	return fail_at(r, line, "'%.60s' is no key of ser2net", key);
}

static int
read_stream(struct reader *r)
{
	int e;

	while ((e = next(r)) == 0 && r->event.type != YAML_STREAM_END_EVENT)
		if (r->event.type != YAML_STREAM_START_EVENT &&
		    r->event.type != YAML_DOCUMENT_START_EVENT &&
		    r->event.type != YAML_DOCUMENT_END_EVENT &&
		    (e = read_mapping(r, read_key, NULL)) < 0)
			return e;
	return e;
}

int
ser2net_yaml(struct ser2net *s, const struct source *source, struct error *err)
{
	struct reader r = { .s = s, .file = source->file, .err = err };
	int e = yaml_load(err);

	if (e < 0)
		return e;
	if (!yaml_library.parser_initialize(&r.parser))
		return -ENOMEM;
	yaml_library.parser_set_input_string(
	    &r.parser, (const unsigned char *)source->text, source->len);
	e = read_stream(&r);
	if (r.event_set)
		yaml_library.event_delete(&r.event);
	yaml_library.parser_delete(&r.parser);
	if (r.defines.nomem || s->defaults.nomem)
		e = -ENOMEM;
	settings_free(&r.defines);
	return e;
}
