/*
 * arguments: converts words of the command line, TYPE:ADDRESS[,KEY=VALUE...], to the same
 * sections as those of a file.
 *
 * The address is the value of the type's main key.  A comma ends a value, so a comma in a
 * value is written \x2c.
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "endpoint.h"
#include "hint.h"
#include "ini_reader.h"

#define COMMA "\\x2c"

/* What a word may create: an endpoint, a control port or a web server. */
struct word_type {
	const char *name;
	const char *main_key; /* its value is the address; NULL: none */
};

#define WORD_TYPES_MAX 32

struct words {
	struct config_sections *sections;
	struct faults *faults;
	int number;	    /* number of the word */
	unsigned endpoints; /* so far, for default names */
	unsigned controls, https;
	char quote[CONFIG_QUOTE_MAX];
};

/* Writes all types to ret; returns how many there are. */
static size_t
word_types(struct word_type ret[WORD_TYPES_MAX])
{
	size_t n = 0;

	for (; endpoint_types[n] != NULL && n < WORD_TYPES_MAX - 1; n++)
		ret[n] = (struct word_type){ endpoint_types[n]->type,
			endpoint_types[n]->main_key };
	ret[n++] = (struct word_type){ "control", "listen" };
	ret[n++] = (struct word_type){ "http", "listen" };
	return n;
}

static bool
find_word_type(const char *name, size_t len, struct word_type *ret)
{
	struct word_type types[WORD_TYPES_MAX];
	size_t n = word_types(types);

	for (size_t i = 0; i < n; i++) {
		if (strlen(types[i].name) != len ||
		    memcmp(types[i].name, name, len) != 0)
			continue;
		*ret = types[i];
		return true;
	}
	return false;
}

static void
unknown_type(struct words *w, const char *word, size_t len)
{
	struct word_type all[WORD_TYPES_MAX];
	const char *types[WORD_TYPES_MAX + 1] = { NULL }, *near;
	size_t n = word_types(all);
	char type[40];

	for (size_t i = 0; i < n; i++)
		types[i] = all[i].name;
	w->sections->lost++;
	snprintf(type, sizeof(type), "%.*s", (int)MIN(len, 39), word);
	if (strcmp(type, "route") == 0 || strcmp(type, "daemon") == 0) {
		fault_add(w->faults, CONFIG_WORDS, w->number,
		    "'%s': a [%s] section is only possible in a file, which"
		    " -c FILE adds to the endpoints on the command line",
		    w->quote, type);
		return;
	}
	if ((near = hint_type(type, types)) == NULL)
		near = nearest(type, types);
	if (strncmp(type, "tty", 3) == 0)
		fault_add(w->faults, CONFIG_WORDS, w->number,
		    "'%s' is not a path; did you mean '/dev/%s'?", w->quote,
		    type);
	else if (near != NULL)
		fault_add(w->faults, CONFIG_WORDS, w->number,
		    "'%s' has an unknown type; did you mean '%s'?", w->quote,
		    near);
	else
		fault_add(w->faults, CONFIG_WORDS, w->number,
		    "'%s' is neither TYPE:ADDRESS nor the path of a device,"
		    " such as /dev/ttyACM0; ttybridged --list-ports lists the"
		    " devices",
		    w->quote);
}

/* Copies the value, with \x2c converted to commas; to be freed. */
static char *
take_value(const char *s, size_t len)
{
	char *value = malloc(len + 1);
	size_t out = 0;

	for (size_t i = 0; value != NULL && i < len; i++) {
		if (s[i] == '\\' && i + 3 < len &&
		    strncasecmp(s + i, COMMA, 4) == 0) {
			value[out++] = ',';
			i += 3;
			continue;
		}
		value[out++] = s[i];
		if (s[i] == '\\' && i + 1 < len)
			value[out++] = s[++i];
	}
	if (value != NULL)
		value[out] = '\0';
	return value;
}

static int
add_key(struct words *w, const char *key, size_t key_len, const char *value,
    size_t value_len)
{
	struct config_section *section =
	    &w->sections->section[w->sections->n - 1];
	char *k = strndup(key, key_len), *v = take_value(value, value_len);
	int r = -ENOMEM;

	if (k == NULL || v == NULL)
		goto out;
	r = 0;
	if (strcmp(k, "name") != 0)
		r = config_entry_add(w->sections, k, v, w->number);
	else if (section->name == NULL) {
		section->name = v;
		v = NULL;
	} else
		fault_add(w->faults, CONFIG_WORDS, w->number,
		    "'%s' has two names", w->quote);
out:
	free(k);
	free(v);
	return r;
}

/* Reads ",KEY=VALUE,KEY=VALUE". */
static int
read_keys(struct words *w, const char *s)
{
	int r = 0;

	while (r == 0 && *s == ',') {
		size_t len = strcspn(++s, ","), key = strcspn(s, "=,");

		if (s[key] != '=' || key == 0) {
			fault_add(w->faults, CONFIG_WORDS, w->number,
			    "'%.*s' in '%s' is not KEY=VALUE, such as"
			    " framing=line (a comma inside a value is "
			    "written " COMMA ")",
			    (int)MIN(len, 40), s, w->quote);
		} else
			r = add_key(w, s, key, s + key + 1, len - key - 1);
		s += len;
	}
	return r;
}

/* Sets the name of a word without name=; n: how many there are of its kind. */
static int
default_name(struct words *w, const char *kind, unsigned n)
{
	struct config_section *section =
	    &w->sections->section[w->sections->n - 1];
	char name[24];

	if (section->name != NULL)
		return 0;
	if (n == 1 && strcmp(kind, "ep") != 0)
		snprintf(name, sizeof(name), "%s", kind);
	else
		snprintf(name, sizeof(name), "%s%u", kind, n);
	section->name = strdup(name);
	return section->name == NULL ? -ENOMEM : 0;
}

static bool
check_word(struct words *w, const char *word)
{
	for (; *word != '\0'; word++) {
		if (!iscntrl((unsigned char)*word))
			continue;
		w->sections->lost++;
		fault_add(w->faults, CONFIG_WORDS, w->number,
		    "'%s' has a control character in it", w->quote);
		return false;
	}
	return true;
}

/* Reports a word that is an existing path, which is probably a configuration file. */
static bool
check_path(struct words *w, const char *word)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%.*s", (int)strcspn(word, ","), word);
	if (stat(path, &st) < 0 ||
	    !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
		return true;
	w->sections->lost++;
	fault_add(w->faults, CONFIG_WORDS, w->number,
	    "'%s' is a %s: a configuration is given with -c", w->quote,
	    S_ISDIR(st.st_mode) ? "directory" : "file");
	return false;
}

static int
read_word(struct words *w, const char *word)
{
	const char *type = word, *address;
	size_t len = strcspn(word, ":,");
	bool path = *word == '/', known, control, http;
	struct word_type found;
	int r;

	config_quote(word, w->quote, sizeof(w->quote));
	if (!check_word(w, word))
		return 0;
	if (path) {
		type = "serial";
		len = strlen(type);
		address = word;
	} else
		address = word + len + (word[len] == ':');
	known = find_word_type(type, len, &found);
	if ((path || !known) && !check_path(w, word))
		return 0;
	if (!known) {
		unknown_type(w, word, len);
		return 0;
	}
	control = strcmp(found.name, "control") == 0;
	http = strcmp(found.name, "http") == 0;
	w->controls += control;
	w->https += http;
	w->endpoints += !control && !http;
	r = config_section_add(w->sections, type, len, NULL, w->number);
	if (r != 0)
		return r;
	w->sections->section[w->sections->n - 1].word = word;
	len = strcspn(address, ",");
	if (len > 0 && found.main_key != NULL)
		r = add_key(
		    w, found.main_key, strlen(found.main_key), address, len);
	else if (len > 0)
		fault_add(w->faults, CONFIG_WORDS, w->number,
		    "'%s': %s takes no address", w->quote, found.name);
	if (r == 0)
		r = read_keys(w, address + len);
	if (r != 0)
		return r;
	return control ? default_name(w, "control", w->controls)
	    : http     ? default_name(w, "http", w->https)
		       : default_name(w, "ep", w->endpoints);
}

int
config_read_words(char *const *words, unsigned n, struct config_sections *ret,
    struct faults *faults)
{
	struct words w = { .sections = ret, .faults = faults };
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	ret->file = CONFIG_WORDS;
	for (unsigned i = 0; i < n && r == 0; i++) {
		w.number = (int)i + 1;
		r = read_word(&w, words[i]);
	}
	return r;
}
