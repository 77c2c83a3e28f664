/*
 * ser2net: converts its configuration, of version 3 or 4.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ser2net.h"

void
ser2net_free(struct ser2net *s)
{
	struct ser2net_device *next;

	for (struct ser2net_device *d = s->devices; d != NULL; d = next) {
		next = d->next;
		settings_free(&d->keys);
		free(d);
	}
	settings_free(&s->defaults);
	memset(s, 0, sizeof(*s));
}

/*
 * Whether the first line that is not empty or a comment is of YAML: a directive, the
 * begin of a document, or a word with a colon and a blank after it.
 */
static bool
is_yaml(const char *text)
{
	size_t word;

	for (; *text != '\0';
	     text += strcspn(text, "\n"), text += *text != '\0') {
		const char *s = text + strspn(text, " \t\r");

		if (*s == '#' || *s == '\n' || *s == '\0')
			continue;
		if (*s == '%' || strncmp(s, "---", 3) == 0 || *s == '{')
			return true;
		word = strspn(s, "abcdefghijklmnopqrstuvwxyz_");
		return word > 0 && s[word] == ':' &&
		    strchr(" \t\r\n", s[word + 1]) != NULL;
	}
	return true;
}

int
convert_ser2net(const struct source *source, struct draft *d, struct error *err)
{
	struct ser2net s = { .draft = d };
	int r = is_yaml(source->text) ? ser2net_yaml(&s, source, err)
				      : ser2net_lines(&s, source, err);

	if (r == 0 && s.connections == 0)
		r = error_fail(err, -EINVAL, "%s: there is no connection in it",
		    source->file);
	ser2net_free(&s);
	return r;
}
