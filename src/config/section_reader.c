/*
 * section_reader: reads a section according to sets of keys.
 *
 * A set is a table of keys and the struct that their offsets refer to.  Reading continues
 * after a fault; a check of several keys is only skipped if it concerns a key that has
 * been reported already.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "hint.h"
#include "section_reader.h"

/* --- unknown keys --------------------------------------------------------- */

static void
add_owner(char *buf, size_t size, const char *before, const char *name,
    const char *after)
{
	append(buf, size, "%s%s%s%s", *buf == '\0' ? "" : " or ", before, name,
	    after);
}

/*
 * The sections or framings that have the key: "framing = hdlc", "[serial] or [pty]",
 * "endpoints".
 */
static void
find_owners(const struct reading *rd, const char *key, char *buf, size_t size)
{
	buf[0] = '\0';
	for (size_t i = 0; framings[i] != NULL; i++)
		if (framings[i]->keys != NULL &&
		    key_find(framings[i]->keys, key) != NULL)
			add_owner(buf, size, *buf == '\0' ? "framing = " : "",
			    framings[i]->name, "");
	if (*buf != '\0') {
		if (rd->endpoint && rd->rule != NULL)
			append(buf, size, ", not %s", rd->rule->name);
		return;
	}
	if (key_find(daemon_keys, key) != NULL)
		add_owner(buf, size, "[", "daemon", "]");
	if (key_find(control_keys, key) != NULL)
		add_owner(buf, size, "[", "control", "]");
	if (key_find(http_keys, key) != NULL)
		add_owner(buf, size, "[", "http", "]");
	if (key_find(route_keys, key) != NULL)
		add_owner(buf, size, "[", "route", "]");
	for (size_t i = 0; endpoint_types[i] != NULL; i++)
		if (endpoint_types[i]->keys != NULL &&
		    key_find(endpoint_types[i]->keys, key) != NULL)
			add_owner(buf, size, "[", endpoint_types[i]->type, "]");
	if (key_find(framing_key, key) != NULL ||
	    key_find(framing_common_keys, key) != NULL ||
	    key_find(endpoint_common_keys, key) != NULL)
		add_owner(buf, size, "", "endpoints", "");
}

static const char *
nearest_key(const struct reading *rd, const char *key)
{
	const char *words[CONFIG_KEYS_MAX + 1];
	unsigned n = 0;

	if (rd->section->word != NULL)
		words[n++] = "name";
	for (unsigned i = 0; i < rd->nsets; i++)
		for (const struct key *k = rd->sets[i].keys;
		     k != NULL && k->name != NULL && n < CONFIG_KEYS_MAX; k++)
			words[n++] = k->name;
	words[n] = NULL;
	return nearest(key, words);
}

/* --- keys of a section --------------------------------------------------- */

void
reading_start(struct reading *rd, struct faults *faults, const char *file,
    const struct config_section *s)
{
	memset(rd, 0, sizeof(*rd));
	rd->faults = faults;
	rd->file = file;
	rd->section = s;
	config_where(s, rd->where, sizeof(rd->where));
}

void
reading_add(struct reading *rd, const struct key *keys, void *base)
{
	rd->sets[rd->nsets++] = (struct keyset){ keys, base };
}

static const struct key *
find_key(const struct reading *rd, const char *name, void **base)
{
	const struct key *key;

	for (unsigned i = 0; i < rd->nsets; i++) {
		if (rd->sets[i].keys == NULL)
			continue;
		key = key_find(rd->sets[i].keys, name);
		if (key != NULL) {
			*base = rd->sets[i].base;
			return key;
		}
	}
	return NULL;
}

static bool
has_key(const void *arg, const char *key)
{
	void *base;

	return find_key(arg, key, &base) != NULL;
}

/* A check that involves this key is not reported: see reading_failed(). */
static void
add_bad(struct reading *rd, const char *key)
{
	if (rd->nbad < CONFIG_KEYS_MAX)
		rd->bad[rd->nbad++] = key;
}

static bool
is_seen(const struct reading *rd, const char *key)
{
	for (unsigned i = 0; i < rd->nseen; i++)
		if (strcmp(rd->seen[i]->key, key) == 0)
			return true;
	return false;
}

/* Appends "; did you mean 'mode', such as mode = 8E1?", or nothing. */
static void
say_meant(struct reading *rd, const char *key, bool owned, struct error *err)
{
	const struct hint *hint = hint_key(key, has_key, rd);
	const char *meant = hint != NULL ? hint->key
	    : owned			 ? NULL
					 : nearest_key(rd, key);

	if (hint != NULL)
		error_append(err, "; did you mean '%s', such as %s = %s?",
		    hint->key, hint->key, hint->example);
	else
		error_append_meant(err, meant);
	if (meant != NULL && !is_seen(rd, meant))
		add_bad(rd, meant);
}

static void
unknown_key(struct reading *rd, const struct config_entry *e)
{
	char owners[200], quote[CONFIG_QUOTE_MAX];
	struct error meant = { "" };

	if (faults_full(rd->faults)) {
		fault_add(rd->faults, rd->file, e->line, "unknown key");
		return;
	}
	config_quote(e->key, quote, sizeof(quote));
	find_owners(rd, e->key, owners, sizeof(owners));
	if (strncmp(owners, "framing", 7) == 0 && rd->endpoint &&
	    rd->rule == NULL)
		return; /* it may be valid: the framing is unknown */
	if (strncmp(owners, "framing", 7) != 0)
		say_meant(rd, e->key, *owners != '\0', &meant);
	if (*owners != '\0')
		fault_add(rd->faults, rd->file, e->line,
		    "key '%s' in %s belongs to %s%s", quote, rd->where, owners,
		    meant.text);
	else
		fault_add(rd->faults, rd->file, e->line,
		    "unknown key '%s' in %s%s", quote, rd->where, meant.text);
}

/* Reports a key that the section already had; returns false. */
static bool
first_time(
    struct reading *rd, const struct key *key, const struct config_entry *e)
{
	for (unsigned i = 0; i < rd->nseen; i++) {
		if (rd->seen_key[i] != key)
			continue;
		if (rd->section->word != NULL)
			fault_add(rd->faults, rd->file, e->line,
			    "key '%s' twice in %s", key->name, rd->where);
		else
			fault_add(rd->faults, rd->file, e->line,
			    "key '%s' twice in %s, first in line %d", key->name,
			    rd->where, rd->seen[i]->line);
		return false;
	}
	if (rd->nseen < CONFIG_KEYS_MAX) {
		rd->seen[rd->nseen] = e;
		rd->seen_key[rd->nseen++] = key;
	}
	return true;
}

/*
 * Whether the whole value is in quotes, which are not valid for its key.  Text of any kind may
 * contain them.
 */
static bool
in_quotes(const struct key *key, const char *value)
{
	static const char *const free_text[] = {
		"label",
		"match",
		"reject",
		"answer_match",
		"no_answer",
		"live_match",
	};
	size_t len = strlen(value);

	for (size_t i = 0; i < NELEM(free_text); i++)
		if (strcmp(key->name, free_text[i]) == 0)
			return false;
	return key->type != KEY_BYTES && key->type != KEY_TEXT && len >= 2 &&
	    (*value == '"' || *value == '\'') && value[len - 1] == *value;
}

/* The '#' that was probably meant to start a comment, or NULL. */
static const char *
find_comment(const char *value)
{
	const char *hash = strchr(value, '#');

	for (; hash != NULL; hash = strchr(hash + 1, '#'))
		if (hash == value ? isblank((unsigned char)hash[1])
				  : isblank((unsigned char)hash[-1]))
			return hash;
	return NULL;
}

/* Checks the value regardless of its type; returns a message, or NULL. */
static const char *
wrong_whole(const struct reading *rd, const struct key *key,
    const struct config_entry *e)
{
	if (rd->section->word == NULL && find_comment(e->value) != NULL)
		return "a comment after a value begins with ';', not with '#'"
		       " (a '#' of the value itself must not follow a blank)";
	if (*e->value == '\0' && e->comment)
		return "it has no value (';' after a blank starts a comment;"
		       " where the key takes escapes, write \\x3b)";
	if (*e->value == '\0')
		return "it has no value";
	if (in_quotes(key, e->value))
		return "a value is written without quotes";
	return NULL;
}

static int
read_value(struct reading *rd, const struct key *key, void *base,
    const struct config_entry *e)
{
	const char *why = wrong_whole(rd, key, e);
	struct error err;
	int r = -EINVAL;

	if (why == NULL) {
		r = key_parse(key, base, e->value, &err);
		why = err.text;
	}
	if (r == 0 && key->given != 0)
		*(bool *)((char *)base + key->given) = true;
	if (r == 0 || r == -ENOMEM)
		return r;
	fault_add(rd->faults, rd->file, e->line, "key '%s' in %s: %s",
	    key->name, rd->where, why);
	add_bad(rd, key->name);
	return 0;
}

int
reading_keys(struct reading *rd)
{
	for (unsigned i = 0; i < rd->section->n; i++) {
		const struct config_entry *e = &rd->section->entry[i];
		void *base = NULL;
		const struct key *key = find_key(rd, e->key, &base);
		int r = 0;

		if (key == NULL)
			unknown_key(rd, e);
		else if (first_time(rd, key, e))
			r = read_value(rd, key, base, e);
		if (r != 0)
			return r;
	}
	return 0;
}

/* Finds the key as a separate word in a message, or returns NULL. */
static const char *
mentioned(const char *sentence, const char *key)
{
	static const char letters[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
	size_t len = strlen(key);
	const char *s = sentence;

	while (len > 0 && (s = strstr(s, key)) != NULL) {
		if ((s == sentence || strchr(letters, s[-1]) == NULL) &&
		    (s[len] == '\0' || strchr(letters, s[len]) == NULL))
			return s;
		s += len;
	}
	return NULL;
}

/* Finds the value in quotes in a message, or returns NULL. */
static const char *
quoted(const char *sentence, const char *value)
{
	size_t len = strlen(value);
	const char *s = sentence;

	while (len > 0 && (s = strstr(s, value)) != NULL) {
		if (s > sentence && s[-1] == '\'' && s[len] == '\'')
			return s;
		s++;
	}
	return NULL;
}

void
reading_failed(struct reading *rd, const char *err)
{
	const char *first = NULL, *at;
	int line = rd->section->line;

	for (unsigned i = 0; i < rd->nbad; i++)
		if (mentioned(err, rd->bad[i]) != NULL)
			return;
	for (unsigned i = 0; i < rd->nseen; i++) {
		at = mentioned(err, rd->seen[i]->key);
		if (at == NULL)
			at = quoted(err, rd->seen[i]->value);
		if (at != NULL && (first == NULL || at < first)) {
			first = at;
			line = rd->seen[i]->line;
		}
	}
	fault_add(rd->faults, rd->file, line, "%s: %s", rd->where, err);
}

void
reading_warned(struct reading *rd, const char *key, const char *fmt, ...)
{
	int line = rd->section->line;
	struct error err;
	va_list ap;

	for (unsigned i = 0; i < rd->nseen; i++)
		if (strcmp(rd->seen[i]->key, key) == 0)
			line = rd->seen[i]->line;
	va_start(ap, fmt);
	vsnprintf(err.text, sizeof(err.text), fmt, ap);
	va_end(ap);
	warning_add(rd->faults, rd->file, line, "key '%s' in %s %s", key,
	    rd->where, err.text);
}

void
reading_unused(struct reading *rd)
{
	static const struct {
		const char *key, *needs;
	} pairs[] = {
		{ "log_format", "log" },
		{ "log_size", "log" },
		{ "log_files", "log" },
		{ "log_files", "log_size" },
		{ "spool_sync", "spool" },
		{ "spool_age", "spool" },
	};
	const char *last = "";

	for (size_t i = 0; i < NELEM(pairs); i++) {
		if (!is_seen(rd, pairs[i].key) || is_seen(rd, pairs[i].needs) ||
		    strcmp(last, pairs[i].key) == 0)
			continue;
		last = pairs[i].key;
		reading_warned(
		    rd, last, "has no effect without '%s'", pairs[i].needs);
	}
}

static int
compare_entries(const void *x, const void *y)
{
	const struct config_entry *const *a = x, *const *b = y;

	return strcmp((*a)->key, (*b)->key);
}

/* Whether the key does not take effect before the endpoint is opened again. */
static bool
is_wire(const struct key *keys, const char *name)
{
	const struct key *key = keys != NULL ? key_find(keys, name) : NULL;

	return key_find(endpoint_common_keys, name) == NULL &&
	    (key == NULL || !key->in_place);
}

/*
 * The section as text, with sorted keys; two sections are equal if their texts are.  ops:
 * without the keys that take effect while an endpoint of that type is open; NULL: with
 * all.
 */
static char *
section_text(const struct config_section *s, const char *name,
    const struct endpoint_ops *ops)
{
	const struct config_entry **sorted = calloc(s->n + 1, sizeof(*sorted));
	char *text = NULL;
	size_t size;
	FILE *f = sorted == NULL ? NULL : open_memstream(&text, &size);

	if (f == NULL) {
		free(sorted);
		return NULL;
	}
	for (unsigned i = 0; i < s->n; i++)
		sorted[i] = &s->entry[i];
	qsort(sorted, s->n, sizeof(*sorted), compare_entries);
	fprintf(f, "[%s %s]\n", s->type, name);
	for (unsigned i = 0; i < s->n; i++)
		if (ops == NULL || is_wire(ops->keys, sorted[i]->key))
			fprintf(f, "%s=%s\n", sorted[i]->key, sorted[i]->value);
	free(sorted);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

int
reading_name(
    struct reading *rd, const char *otherwise, char **name, char **text)
{
	static const char letters[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	const char *given = rd->section->name;

	if (given == NULL && otherwise == NULL)
		fault_add(rd->faults, rd->file, rd->section->line,
		    "%s has no name: write [%s NAME]", rd->where,
		    rd->section->type);
	else if (given != NULL &&
	    (strlen(given) >= ENDPOINT_NAME_MAX ||
		given[strspn(given, letters)] != '\0' || *given == '\0' ||
		strchr(".-", *given) != NULL))
		fault_add(rd->faults, rd->file, rd->section->line,
		    "%s: a name has at most %d letters, digits, '_', '.' and"
		    " '-', and begins with a letter, a digit or '_'",
		    rd->where, ENDPOINT_NAME_MAX - 1);
	if (given == NULL)
		given = otherwise == NULL ? "" : otherwise;
	*name = strdup(given);
	*text = section_text(rd->section, given, NULL);
	return *name == NULL || *text == NULL ? -ENOMEM : 0;
}

int
reading_wire(struct reading *rd, const char *name,
    const struct endpoint_ops *ops, char **wire)
{
	*wire = section_text(rd->section, name, ops);
	return *wire == NULL ? -ENOMEM : 0;
}

bool
reading_room(struct reading *rd, unsigned n, unsigned max, const char *what)
{
	if (n < max)
		return true;
	fault_add(rd->faults, rd->file, rd->section->line,
	    "%s is one too many: there may be %u %s", rd->where, max, what);
	return false;
}
