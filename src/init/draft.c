/*
 * draft: the text of a configuration while it is being made of something else.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "block.h"
#include "check_text.h"
#include "config.h"
#include "draft.h"
#include "draft_value.h"
#include "ini_reader.h"
#include "settings.h"

#define WIDTH 78	      /* of comments */
#define ROUNDS 50	      /* of checks that leave out one block each... */
#define ROUNDS_SIZE (2 << 20) /* ...and of the texts that are checked so */
#define TEXT_MAX 512	      /* of a part of the source that is quoted */

struct draft {
	const char *file;
	struct block **block;
	unsigned n;
	struct settings names;
	FILE *warnings;
	char *warned;
	size_t warned_len;
	bool routes;	 /* the source has routes, even if none is left */
	bool open_noted; /* that every machine may connect */
	bool nomem;
};

/* --- blocks -------------------------------------------------------------- */

struct draft *
draft_new(const char *file)
{
	struct draft *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->file = file;
	d->warnings = open_memstream(&d->warned, &d->warned_len);
	if (d->warnings == NULL) {
		free(d);
		return NULL;
	}
	return d;
}

void
draft_free(struct draft *d)
{
	if (d == NULL)
		return;
	for (unsigned i = 0; i < d->n; i++)
		block_free(d->block[i]);
	free(d->block);
	settings_free(&d->names);
	fclose(d->warnings);
	free(d->warned);
	free(d);
}

void
draft_block(struct draft *d, int line)
{
	struct block **grown =
	    reallocarray(d->block, d->n + 1, sizeof(*d->block));
	struct block *b = grown != NULL ? block_new(line) : NULL;

	if (grown != NULL)
		d->block = grown;
	if (b == NULL)
		d->nomem = true;
	else
		d->block[d->n++] = b;
}

/* The block that is being written; there is one, except when out of memory. */
static struct block *
last(struct draft *d)
{
	if (d->n == 0)
		draft_block(d, 0);
	return d->n == 0 ? NULL : d->block[d->n - 1];
}

void
draft_disable(struct draft *d)
{
	struct block *b = last(d);

	if (b != NULL)
		b->off = true;
}

/* --- lines --------------------------------------------------------------- */

/* Writes text as comments, wrapped at blanks. */
static void
wrap(FILE *f, const char *text)
{
	size_t column = 0, word;

	for (text += strspn(text, " "); *text != '\0';
	     text += strspn(text, " ")) {
		word = MIN(strcspn(text, " "), (size_t)CONFIG_LINE_MAX - 8);
		if (column > 0 && column + 1 + word > WIDTH) {
			fputc('\n', f);
			column = 0;
		}
		if (column == 0)
			column = 1, fputc('#', f);
		fprintf(f, " %.*s", (int)word, text);
		column += 1 + word;
		text += word;
	}
	fputc('\n', f);
}

static void comment(struct block *, const char *, va_list) PRINTF(2, 0);

static void
comment(struct block *b, const char *fmt, va_list ap)
{
	char *text, *clean;
	size_t size;
	int n = vasprintf(&text, fmt, ap);

	if (n < 0)
		return;
	size = (size_t)n * 4 + 1;
	if ((clean = malloc(size)) != NULL) {
		printable(text, clean, size);
		wrap(b->f, clean);
	}
	free(clean);
	free(text);
}

void
draft_comment(struct draft *d, const char *fmt, ...)
{
	struct block *b = last(d);
	va_list ap;

	if (b == NULL)
		return;
	va_start(ap, fmt);
	comment(b, fmt, ap);
	va_end(ap);
}

/* Writes one warning. */
static void
warn(struct draft *d, int line, const char *text)
{
	fputs(d->file, d->warnings);
	if (line > 0)
		fprintf(d->warnings, ":%d", line);
	fprintf(d->warnings, ": warning: %s\n", text);
}

static void warn_and_comment(
    struct draft *, int, const char *, const char *, va_list) PRINTF(4, 0);

/* what: the part of the source that is left out, or NULL. */
static void
warn_and_comment(
    struct draft *d, int line, const char *what, const char *fmt, va_list ap)
{
	char quote[TEXT_MAX] = "", why[TEXT_MAX], text[TEXT_MAX * 2 + 32],
	     clean[TEXT_MAX * 2 + 32];

	vsnprintf(why, sizeof(why), fmt, ap);
	if (what != NULL)
		printable(what, quote, sizeof(quote));
	snprintf(text, sizeof(text), "%s%s%s%s", what != NULL ? "'" : "", quote,
	    what != NULL ? "' is left out: " : "", why);
	printable(text, clean, sizeof(clean));
	warn(d, line, clean);
	if (line > 0)
		draft_comment(d, "(line %d) %s", line, clean);
	else
		draft_comment(d, "%s", clean);
}

void
draft_lost(struct draft *d, int line, const char *what, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	warn_and_comment(d, line, what, fmt, ap);
	va_end(ap);
}

void
draft_warn(struct draft *d, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	warn_and_comment(d, line, NULL, fmt, ap);
	va_end(ap);
}

void
draft_open(struct draft *d, int line, const char *more)
{
	static const char text[] =
	    "every machine may connect, as before: write your networks in"
	    " 'allow'";

	if (d->open_noted)
		draft_comment(d, "%s%s", text, more);
	else
		draft_warn(d, line, "%s%s", text, more);
	d->open_noted = true;
}

void
draft_routes(struct draft *d)
{
	d->routes = true;
}

void
draft_leave_out(struct draft *d, const char *what, const char *fmt, ...)
{
	struct block *b = last(d);
	va_list ap;

	if (b == NULL)
		return;
	va_start(ap, fmt);
	warn_and_comment(d, b->line, what, fmt, ap);
	va_end(ap);
	b->off = true;
}

void
draft_section(struct draft *d, const char *type, const char *name)
{
	struct block *b = last(d);

	if (b == NULL)
		return;
	if (b->sections)
		fputc('\n', b->f);
	b->sections = true;
	d->routes |= strcmp(type, "route") == 0;
	if (name == NULL)
		fprintf(b->f, "[%s]\n", type);
	else
		fprintf(b->f, "[%s %s]\n", type, name);
}

static void
write_key(struct draft *d, struct block *b, int line, const char *key,
    const char *value)
{
	const char *why = value_refused(key, value);
	char what[TEXT_MAX];

	if (why == NULL) {
		fprintf(b->f, "%s = %s\n", key, value);
		return;
	}
	snprintf(what, sizeof(what), "%s = %s", key, value);
	draft_lost(d, line, what, "%s", why);
	b->off |= key_restricts(key);
}

void
draft_key(struct draft *d, const char *key, const char *fmt, ...)
{
	struct block *b = last(d);
	va_list ap;
	char *value;
	int n;

	if (b == NULL)
		return;
	va_start(ap, fmt);
	n = vasprintf(&value, fmt, ap);
	va_end(ap);
	if (n < 0)
		d->nomem = true;
	else {
		write_key(d, b, b->line, key, value);
		free(value);
	}
}

void
draft_keys(struct draft *d, const struct settings *keys)
{
	struct block *b = last(d);

	for (unsigned i = 0; b != NULL && i < keys->n; i++)
		write_key(d, b, keys->at[i].line, keys->at[i].name,
		    keys->at[i].value);
}

struct block *
draft_shared(struct draft *d, const char *type, const char *name,
    const struct settings *keys)
{
	struct block *b = last(d), *s = b != NULL ? block_new(b->line) : NULL;

	if (s == NULL) {
		d->nomem = true;
		return NULL;
	}
	b->shared = s;
	b->owns = true;
	fprintf(s->f, "[%s %s]\n", type, name);
	for (unsigned i = 0; i < keys->n; i++)
		write_key(d, s, keys->at[i].line, keys->at[i].name,
		    keys->at[i].value);
	b->off |= s->off;
	return s;
}

void
draft_share(struct draft *d, struct block *section)
{
	struct block *b = last(d);

	if (b != NULL)
		b->shared = section;
}

bool
draft_is_open(const char *address)
{
	struct address parsed;
	struct error err;

	return address_parse(address, &parsed, &err) == 0 &&
	    !address_is_loopback((struct sockaddr *)&parsed.ss);
}

void
draft_listen(struct draft *d, int line, const char *address)
{
	draft_key(d, "listen", "%s", address);
	if (!draft_is_open(address))
		return;
	draft_open(d, line, "");
	draft_key(d, "allow", "%s", DRAFT_ALLOW_ALL);
}

/* Replaces what a name of a section may not contain. */
static void
valid_name(const char *wanted, char *name, size_t size)
{
	size_t n = 0;

	wanted += strspn(wanted, ".-");
	for (; *wanted != '\0' && n + 1 < size; wanted++)
		name[n++] = isalnum((unsigned char)*wanted) ||
			strchr("_.-", *wanted) != NULL
		    ? *wanted
		    : '_';
	name[n] = '\0';
	if (n == 0)
		snprintf(name, size, "port");
}

const char *
draft_name(struct draft *d, const char *wanted, char name[DRAFT_NAME_MAX])
{
	char first[DRAFT_NAME_MAX], base[DRAFT_NAME_MAX - 8], number[16];
	const struct setting *found;
	unsigned i;

	valid_name(wanted, name, DRAFT_NAME_MAX);
	if ((found = settings_find(&d->names, name)) != NULL) {
		snprintf(first, sizeof(first), "%s", name);
		snprintf(
		    base, sizeof(base), "%.*s", (int)sizeof(base) - 1, name);
		/* Many may want the same name. */
		i = (unsigned)atoi(found->value);
		do
			snprintf(name, DRAFT_NAME_MAX, "%s-%u", base, i++);
		while (settings_find(&d->names, name) != NULL);
		snprintf(number, sizeof(number), "%u", i);
		settings_set(&d->names, 0, first, number);
	}
	settings_add(&d->names, 0, name, "2");
	return name;
}

/* --- the result ---------------------------------------------------------- */

/* Makes the text of all blocks available. */
static bool
flush(struct draft *d)
{
	bool failed = false;

	for (unsigned i = 0; i < d->n; i++) {
		struct block *b = d->block[i], *s = b->shared;

		failed |= fflush(b->f) == EOF;
		if (b->owns) {
			failed |= fflush(s->f) == EOF;
			s->written = false;
		}
	}
	return !failed;
}

/* Writes all blocks; an empty line separates them. */
static int
join(struct draft *d, char **ret, size_t *len)
{
	FILE *f = open_memstream(ret, len);
	bool failed = f == NULL || d->nomem || d->names.nomem || !flush(d);
	int line = 0;

	for (unsigned i = 0; !failed && i < d->n; i++) {
		if (i > 0)
			line++, fputc('\n', f);
		line += block_write(d->block[i], f);
		d->block[i]->end = line;
	}
	/* Without memory fclose() may succeed, and leave no text. */
	if (f != NULL)
		failed |= fclose(f) == EOF || *ret == NULL;
	return failed ? -ENOMEM : 0;
}

/* The block that has that line of the text. */
static struct block *
block_of(struct draft *d, int line)
{
	for (unsigned i = 0; i < d->n; i++)
		if (line <= d->block[i]->end)
			return d->block[i];
	return NULL;
}

/*
 * Leaves out the block with the first fault, because others may only follow from it, or all
 * blocks with faults.  Returns whether there is one.
 */
static bool
remove_faults(struct draft *d, const struct faults *faults, bool all)
{
	struct block *b;
	char text[TEXT_MAX];
	int line, at;
	bool found = false;

	for (unsigned i = 0; i < faults->n && (all || !found); i++) {
		at = 0;
		if (sscanf(faults->text[i], CHECKED_FILE ":%d: %n", &line,
			&at) != 1 ||
		    at == 0 || (b = block_of(d, line)) == NULL || b->off)
			continue;
		snprintf(
		    text, sizeof(text), "left out: %s", faults->text[i] + at);
		warn(d, b->line, text);
		/* The lines of the blocks must not change yet. */
		b->off = true;
		b->why = strdup(text);
		d->nomem |= b->why == NULL;
		found = true;
	}
	for (unsigned i = 0; i < d->n; i++) {
		b = d->block[i];
		if (b->why != NULL)
			wrap(b->f, b->why);
		free(b->why);
		b->why = NULL;
	}
	return found;
}

/*
 * Leaves out the blocks with faults; the text in *ret, the number of endpoints, or -errno.
 * all: as of check_text().
 */
static int
settle(struct draft *d, char **ret, bool *all)
{
	struct faults faults = { 0 };
	size_t len, size = 0;
	unsigned rounds = 0;
	bool again;
	int r;

	*ret = NULL;
	*all = false;
	do {
		free(*ret);
		*ret = NULL;
		if ((r = join(d, ret, &len)) == 0)
			r = check_text(*ret, len, all, &faults);
		size += r == -EINVAL ? len : 0;
		again = r == -EINVAL &&
		    remove_faults(
			d, &faults, rounds++ >= ROUNDS || size > ROUNDS_SIZE);
		faults_free(&faults);
	} while (again);
	return r;
}

void
draft_check(struct draft *d)
{
	char *text;
	bool all;

	settle(d, &text, &all);
	free(text);
}

bool
draft_has(const struct draft *d, const char *name)
{
	char end[DRAFT_NAME_MAX + 4];

	snprintf(end, sizeof(end), " %s]\n", name);
	for (unsigned i = 0; i < d->n; i++)
		if (!d->block[i]->off && fflush(d->block[i]->f) == 0 &&
		    strstr(d->block[i]->text, end) != NULL)
			return true;
	return false;
}

int
draft_finish(struct draft *d, char **ret, char **warnings, struct error *err)
{
	char *text;
	bool all;
	int r = settle(d, &text, &all);

	*ret = *warnings = NULL;
	if (r == -EINVAL)
		error_set(err, "%s: nothing in it can be converted", d->file);
	if (r == -ENOMEM)
		error_set(err, "out of memory");
	if (r >= 0 && all && d->routes)
		r = error_fail(err, -EINVAL,
		    "%s: nothing is written, because none of its routes is"
		    " left, and without one all that passes would go to each"
		    " endpoint",
		    d->file);
	if (fflush(d->warnings) == 0)
		*warnings = strdup(d->warned);
	if (r < 0)
		free(text);
	else
		*ret = text;
	return r;
}
