/*
 * ini_reader: converts text to sections of keys and values.
 *
 * inih splits a line into key, value and comment.  It would silently truncate some lines,
 * join them to the previous one, merge them with a section of the same name, or ignore
 * them.  These cases are detected before: inih gets its lines from next_line(), which
 * counts them, parses section headers itself, and passes only lines that may be KEY =
 * VALUE.  If inih then does not call back for a line, the line was not KEY = VALUE.
 */
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "ini_reader.h"

struct reader {
	struct config_sections *sections;
	struct faults *faults;
	const char *file;
	const char *text; /* the rest of the text */
	size_t len;
	int line;
	bool inside;   /* after a section header */
	bool skipping; /* the section header was invalid */
	bool nomem;
	/* inih has got a line and has not called back yet. */
	bool asked;
	bool comment; /* the line may contain a comment */
	char quote[CONFIG_QUOTE_MAX];
};

/* --- faults -------------------------------------------------------------- */

void
faults_free(struct faults *f)
{
	for (unsigned i = 0; i < f->n; i++)
		free(f->text[i]);
	free(f->text);
	free(f->order);
	memset(f, 0, sizeof(*f));
}

bool
faults_full(const struct faults *f)
{
	return f->n >= CONFIG_MAX_FAULTS;
}

/* Inserts it before those of later lines, and after those of the same line. */
static void
fault_insert(struct faults *f, char *text, unsigned order)
{
	unsigned i;

	for (i = f->n; i > 0 && f->order[i - 1] > order; i--) {
		f->text[i] = f->text[i - 1];
		f->order[i] = f->order[i - 1];
	}
	f->text[i] = text;
	f->order[i] = order;
	f->n++;
}

/* Sets the last text, which has the number of faults beyond those that are stored. */
static void
fault_count(struct faults *f, const char *file)
{
	unsigned n = f->found + f->warnings - CONFIG_MAX_FAULTS;
	char *text;

	if (asprintf(&text, "%s: and %u more fault%s", file, n,
		n == 1 ? "" : "s") == -1)
		return;
	if (f->n > CONFIG_MAX_FAULTS)
		free(f->text[--f->n]);
	fault_insert(f, text, (unsigned)-1);
}

static bool
faults_room(struct faults *f)
{
	if (f->text == NULL)
		f->text = calloc(CONFIG_MAX_FAULTS + 1, sizeof(*f->text));
	if (f->order == NULL)
		f->order = calloc(CONFIG_MAX_FAULTS + 1, sizeof(*f->order));
	return f->text != NULL && f->order != NULL;
}

/* Replaces control characters, because messages can quote any text. */
static void
make_harmless(char *s)
{
	for (; *s != '\0'; s++)
		if (iscntrl((unsigned char)*s))
			*s = '?';
}

static void add_text(struct faults *, const char *, int, const char *,
    const char *, va_list) PRINTF(5, 0);

static void
add_text(struct faults *f, const char *file, int line, const char *kind,
    const char *fmt, va_list ap)
{
	unsigned order = (unsigned)line;
	char what[600], at[16] = "", *text;

	if (!faults_room(f))
		return;
	if (faults_full(f)) {
		fault_count(f, file);
		return;
	}
	vsnprintf(what, sizeof(what), fmt, ap);
	if (line > 0)
		snprintf(at, sizeof(at), ":%d", line);
	if (strcmp(file, CONFIG_WORDS) == 0)
		order |= 1U << 31;
	if (asprintf(&text, "%s%s: %s%s", file, at, kind, what) == -1)
		return;
	make_harmless(text);
	fault_insert(f, text, order);
}

void
fault_add(struct faults *f, const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	f->found++;
	va_start(ap, fmt);
	add_text(f, file, line, "", fmt, ap);
	va_end(ap);
}

void
warning_add(struct faults *f, const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	f->warnings++;
	va_start(ap, fmt);
	add_text(f, file, line, "warning: ", fmt, ap);
	va_end(ap);
}

/* --- sections ------------------------------------------------------------ */

const char *
config_quote(const char *s, char *buf, size_t size)
{
	escape((const uint8_t *)s, strlen(s), buf, size);
	return buf;
}

const char *
config_where(const struct config_section *s, char *buf, size_t size)
{
	char type[40], name[40];

	if (s->word != NULL) {
		char word[CONFIG_QUOTE_MAX];

		config_quote(s->word, word, sizeof(word));
		snprintf(buf, size, "'%s'", word);
		return buf;
	}
	config_quote(s->type, type, sizeof(type));
	if (s->name == NULL)
		snprintf(buf, size, "[%s]", type);
	else
		snprintf(buf, size, "[%s %s]", type,
		    config_quote(s->name, name, sizeof(name)));
	return buf;
}

/* Makes room for one more item in an array, by doubling its size. */
static int
grow(void *array, unsigned n, unsigned *size, size_t item)
{
	unsigned more = *size == 0 ? 8 : *size * 2;
	void *p;

	if (n < *size)
		return 0;
	p = reallocarray(*(void **)array, more, item);
	if (p == NULL)
		return -ENOMEM;
	*(void **)array = p;
	*size = more;
	return 0;
}

int
config_section_add(struct config_sections *s, const char *type, size_t type_len,
    const char *name, int line)
{
	struct config_section *section;

	if (grow(&s->section, s->n, &s->size, sizeof(*s->section)) != 0)
		return -ENOMEM;
	section = &s->section[s->n];
	memset(section, 0, sizeof(*section));
	section->line = line;
	section->type = strndup(type, type_len);
	if (name != NULL)
		section->name = strdup(name);
	s->n++;
	if (section->type == NULL || (name != NULL && section->name == NULL))
		return -ENOMEM;
	return 0;
}

int
config_entry_add(
    struct config_sections *s, const char *key, const char *value, int line)
{
	struct config_section *section = &s->section[s->n - 1];
	struct config_entry *e;

	if (grow(&section->entry, section->n, &section->size, sizeof(*e)) != 0)
		return -ENOMEM;
	e = &section->entry[section->n++];
	e->key = strdup(key);
	e->value = strdup(value);
	e->line = line;
	e->comment = false;
	return e->key == NULL || e->value == NULL ? -ENOMEM : 0;
}

void
config_sections_free(struct config_sections *s)
{
	for (unsigned i = 0; i < s->n; i++) {
		struct config_section *section = &s->section[i];

		for (unsigned j = 0; j < section->n; j++) {
			free(section->entry[j].key);
			free(section->entry[j].value);
		}
		free(section->entry);
		free(section->type);
		free(section->name);
	}
	free(s->section);
	memset(s, 0, sizeof(*s));
}

/* --- lines --------------------------------------------------------------- */

/* Checks for characters that are not allowed, and for the length of the line. */
static bool
check_line(struct reader *r, const char *line, size_t len)
{
	if (len > CONFIG_LINE_MAX) {
		fault_add(r->faults, r->file, r->line,
		    "the line is too long: %zu characters, at most %d are read",
		    len, CONFIG_LINE_MAX);
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)line[i];

		if ((c >= ' ' && c != 0x7f) || c == '\t')
			continue;
		fault_add(r->faults, r->file, r->line, "%s in column %zu%s",
		    c == '\0' ? "a NUL byte" : "a control character", i + 1,
		    c == '\0' ? "; this is not a text file"
			      : "; keys that take such bytes read \\xHH");
		return false;
	}
	return true;
}

/* Reads a section header; line is "[...", without trailing blanks. */
static void
read_head(struct reader *r, char *line)
{
	char *end = strchr(line, ']'), *type, *name, *more, *save;
	char quote[CONFIG_QUOTE_MAX];

	r->skipping = true;
	r->inside = true;
	config_quote(line, quote, sizeof(quote));
	if (end == NULL) {
		r->sections->lost++;
		fault_add(
		    r->faults, r->file, r->line, "'%s' has no ']'", quote);
		return;
	}
	*end++ = '\0';
	end += strspn(end, " \t");
	type = strtok_r(line + 1, " \t", &save);
	name = strtok_r(NULL, " \t", &save);
	more = name == NULL ? NULL : strtok_r(NULL, " \t", &save);
	if (type == NULL || more != NULL || strchr(";#", *end) == NULL) {
		r->sections->lost++;
		fault_add(r->faults, r->file, r->line,
		    "'%s' is not the head of a section; write [TYPE NAME], "
		    "such as [serial ar1]",
		    quote);
		return;
	}
	r->skipping = false;
	if (config_section_add(
		r->sections, type, strlen(type), name, r->line) != 0)
		r->nomem = true;
}

/* Whether the line may be KEY = VALUE, and is to be passed to inih. */
static bool
check_key(struct reader *r, const char *line)
{
	size_t at = strcspn(line, "=:;");

	config_quote(line, r->quote, sizeof(r->quote));
	r->comment = strchr(line, ';') != NULL;
	if (line[at] == ':') {
		fault_add(r->faults, r->file, r->line,
		    "'%s': write KEY = VALUE, with '='", r->quote);
		return false;
	}
	r->asked = true;
	return true;
}

/* Reports the last line passed to inih if inih did not call back for it. */
static void
check_answer(struct reader *r)
{
	if (r->asked)
		fault_add(r->faults, r->file, r->line,
		    "'%s' is neither KEY = VALUE nor [TYPE NAME]", r->quote);
	r->asked = false;
}

/* Removes the next line from the text; the line terminator is not included. */
static size_t
take_line(struct reader *r, const char **ret)
{
	const char *nl = memchr(r->text, '\n', r->len);
	size_t len = nl == NULL ? r->len : (size_t)(nl - r->text);

	*ret = r->text;
	r->text += len + (nl != NULL);
	r->len -= len + (nl != NULL);
	r->line++;
	if (len > 0 && (*ret)[len - 1] == '\r')
		len--;
	return len;
}

/* Called by inih like fgets(): lines that inih need not parse are passed as empty. */
static char *
next_line(char *buf, int size, void *arg)
{
	struct reader *r = arg;
	const char *line;
	size_t len;

	/* Later versions of inih request the rest of a line that fills their buffer. */
	if (size <= CONFIG_LINE_MAX)
		return NULL;
	check_answer(r);
	if (r->len == 0 || r->nomem)
		return NULL;
	len = take_line(r, &line);
	buf[0] = '\0';
	if (!check_line(r, line, len))
		return buf;
	while (len > 0 && isblank((unsigned char)line[len - 1]))
		len--;
	while (len > 0 && isblank((unsigned char)*line))
		line++, len--;
	memcpy(buf, line, len);
	buf[len] = '\0';
	if (*buf == '[')
		read_head(r, buf);
	else if (*buf != '\0' && strchr(";#", *buf) == NULL &&
	    check_key(r, buf))
		return buf;
	buf[0] = '\0';
	return buf;
}

/* Called by inih with the parts of a line. */
static int
take_key(void *arg, const char *section, const char *key, const char *value)
{
	struct reader *r = arg;
	char quote[CONFIG_QUOTE_MAX];

	(void)section; /* truncated to 49 characters */
	r->asked = false;
	if (!r->inside)
		fault_add(r->faults, r->file, r->line,
		    "key '%s' stands before the first [TYPE NAME]",
		    config_quote(key, quote, sizeof(quote)));
	else if (*key == '\0')
		fault_add(r->faults, r->file, r->line,
		    "'%s' has no key before the '='", r->quote);
	else if (!r->skipping) {
		struct config_section *s;

		if (config_entry_add(r->sections, key, value, r->line) != 0) {
			r->nomem = true;
			return 1;
		}
		s = &r->sections->section[r->sections->n - 1];
		s->entry[s->n - 1].comment = r->comment;
	}
	return 1;
}

int
config_read_text(const char *file, const char *text, size_t len,
    struct config_sections *ret, struct faults *faults)
{
	struct reader r = { .sections = ret,
		.faults = faults,
		.file = file,
		.text = text,
		.len = len };

	memset(ret, 0, sizeof(*ret));
	ret->file = file;
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		r.text += 3;
		r.len -= 3;
	}
	ini_parse_stream(next_line, &r, take_key, &r);
	return r.nomem ? -ENOMEM : 0;
}
