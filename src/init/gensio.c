/*
 * gensio: splits the names of gensios.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gensio.h"

#define BLANKS " \f\t\n\r\v"

bool
gensio_is_true(const char *value)
{
	bool is;

	return *value == '\0' || (parse_bool(value, &is) == 0 && is);
}

/* Quotes and backslashes are taken off in place, as a shell does. */
char *
gensio_word(char **text, const char *separators)
{
	char *s = *text + strspn(*text, separators), *word = s, *to = s;
	char quote = '\0';

	if (*s == '\0')
		return NULL;
	for (; *s != '\0'; s++) {
		if (quote == '\0' && strchr(separators, *s) != NULL)
			break;
		if (*s == quote)
			quote = '\0';
		else if (quote == '\0' && (*s == '"' || *s == '\''))
			quote = *s;
		else if (*s == '\\' && s[1] != '\0')
			*to++ = *++s;
		else
			*to++ = *s;
	}
	*text = *s == '\0' ? s : s + 1;
	*to = '\0';
	return word;
}

/* The end of what is in parentheses, or NULL. */
static const char *
closing(const char *s)
{
	unsigned depth = 0;
	char quote = '\0';

	for (; *s != '\0'; s++) {
		if (*s == '\\' && s[1] != '\0')
			s++;
		else if (quote != '\0')
			quote = *s == quote ? '\0' : quote;
		else if (*s == '"' || *s == '\'')
			quote = *s;
		else if (*s == '(')
			depth++;
		else if (*s == ')' && --depth == 0)
			return s;
	}
	return NULL;
}

static int
read_options(const char *s, size_t len, int line, struct settings *options)
{
	char *copy = strndup(s, len), *text = copy, *word, *value;

	if (copy == NULL)
		return -ENOMEM;
	while ((word = gensio_word(&text, "," BLANKS)) != NULL) {
		if ((value = strchr(word, '=')) != NULL)
			*value++ = '\0';
		settings_add(options, line, word, value);
	}
	free(copy);
	return options->nomem ? -ENOMEM : 0;
}

/* Reads TYPE or TYPE(OPTIONS) into a new layer, and what follows it. */
static int
read_layer(struct gensio *g, const char **text, int line)
{
	struct gensio_layer *layer;
	const char *s = *text + strspn(*text, BLANKS), *end;
	size_t len = strcspn(s, "(," BLANKS);

	if (g->n == GENSIO_LAYERS_MAX || len == 0)
		return -EINVAL;
	layer = &g->layer[g->n];
	if ((layer->type = strndup(s, len)) == NULL)
		return -ENOMEM;
	g->n++;
	s += len;
	if (*s == '(') {
		if ((end = closing(s)) == NULL)
			return -EINVAL;
		if (read_options(s + 1, (size_t)(end - s - 1), line,
			&layer->options) < 0)
			return -ENOMEM;
		s = end + 1;
	}
	s += strspn(s, BLANKS);
	if (*s != ',' && *s != '\0')
		return -EINVAL;
	*text = s + (*s == ',');
	return 0;
}

int
gensio_parse(const char *text, int line, const char *const *filters,
    const char *const *types, struct gensio *ret)
{
	const char *start;
	int r;

	memset(ret, 0, sizeof(*ret));
	do {
		start = text;
		if ((r = read_layer(ret, &text, line)) < 0)
			return r;
	} while (name_in(gensio_base(ret)->type, filters));
	if (!name_in(gensio_base(ret)->type, types) &&
	    isdigit((unsigned char)*gensio_base(ret)->type)) {
		text = start;
		if (replace_string(&ret->layer[ret->n - 1].type, "tcp") < 0)
			return -ENOMEM;
	}
	ret->rest = strdup(text + strspn(text, BLANKS));
	return ret->rest == NULL ? -ENOMEM : 0;
}

void
gensio_free(struct gensio *g)
{
	for (unsigned i = 0; i < g->n; i++) {
		free(g->layer[i].type);
		settings_free(&g->layer[i].options);
	}
	free(g->rest);
	memset(g, 0, sizeof(*g));
}
