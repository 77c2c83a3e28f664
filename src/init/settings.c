/*
 * settings: lists of names with values.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "settings.h"

static bool
grow(struct settings *s)
{
	unsigned size = s->size == 0 ? 8 : s->size * 2;
	struct setting *at;

	if (s->n < s->size)
		return true;
	if ((at = reallocarray(s->at, size, sizeof(*at))) == NULL)
		return false;
	s->at = at;
	s->size = size;
	return true;
}

void
settings_add(struct settings *s, int line, const char *name, const char *value)
{
	struct setting new = { .line = line };

	if (s->nomem)
		return;
	new.name = strdup(name);
	new.value = strdup(value != NULL ? value : "");
	if (new.name == NULL || new.value == NULL || !grow(s)) {
		free(new.name);
		free(new.value);
		s->nomem = true;
		return;
	}
	s->at[s->n++] = new;
}

void
settings_addf(
    struct settings *s, int line, const char *name, const char *fmt, ...)
{
	va_list ap;
	char *value;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&value, fmt, ap);
	va_end(ap);
	if (n < 0) {
		s->nomem = true;
		return;
	}
	settings_add(s, line, name, value);
	free(value);
}

static struct setting *
find(const struct settings *s, const char *name)
{
	for (unsigned i = s->n; i-- > 0;)
		if (strcasecmp(s->at[i].name, name) == 0)
			return &s->at[i];
	return NULL;
}

void
settings_set(struct settings *s, int line, const char *name, const char *value)
{
	struct setting *old = find(s, name);

	if (old == NULL)
		settings_add(s, line, name, value);
	else if (replace_string(&old->value, value) < 0)
		s->nomem = true;
	else
		old->line = line;
}

const struct setting *
settings_find(const struct settings *s, const char *name)
{
	return find(s, name);
}

const char *
settings_value(const struct settings *s, const char *name)
{
	const struct setting *found = find(s, name);

	return found != NULL ? found->value : NULL;
}

bool
settings_equal(const struct settings *a, const struct settings *b)
{
	if (a->n != b->n)
		return false;
	for (unsigned i = 0; i < a->n; i++)
		if (strcmp(a->at[i].name, b->at[i].name) != 0 ||
		    strcmp(a->at[i].value, b->at[i].value) != 0)
			return false;
	return true;
}

void
settings_free(struct settings *s)
{
	for (unsigned i = 0; i < s->n; i++) {
		free(s->at[i].name);
		free(s->at[i].value);
	}
	free(s->at);
	memset(s, 0, sizeof(*s));
}

bool
name_in(const char *name, const char *const *list)
{
	while (*list != NULL && strcmp(*list, name) != 0)
		list++;
	return *list != NULL;
}

bool
name_in_any_case(const char *name, const char *const *list)
{
	while (*list != NULL && strcasecmp(*list, name) != 0)
		list++;
	return *list != NULL;
}
