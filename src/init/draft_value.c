/*
 * draft_value: values of keys in the text of a configuration.
 */
#include <ctype.h>
#include <string.h>

#include "draft_value.h"
#include "ini_reader.h"
#include "util.h"

const char *
value_refused(const char *key, const char *value)
{
	size_t len = strlen(value);

	if (strlen(key) + 3 + len > CONFIG_LINE_MAX)
		return "the line would be too long";
	if (len == 0)
		return "it is empty";
	if (isblank((unsigned char)*value) ||
	    isblank((unsigned char)value[len - 1]))
		return "a value cannot begin or end with a blank";
	for (size_t i = 0; i < len; i++) {
		if (iscntrl((unsigned char)value[i]))
			return "it contains a control character";
		if (strchr(";#", value[i]) != NULL &&
		    (i == 0 || isblank((unsigned char)value[i - 1])))
			return "it contains what would begin a comment";
	}
	return NULL;
}

bool
key_restricts(const char *key)
{
	static const char *const keys[] = { "allow", "tls", "tls_ca", "mode",
		"group", "max_clients" };

	for (size_t i = 0; i < NELEM(keys); i++)
		if (strcmp(keys[i], key) == 0)
			return true;
	return strncmp(key, "match", 5) == 0;
}

void
draft_escape(FILE *f, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)bytes[i];

		if (c == '\r')
			fputs("\\r", f);
		else if (c == '\n')
			fputs("\\n", f);
		else if (c == '\\')
			fputs("\\\\", f);
		else if (c == ' ' && (i == 0 || i + 1 == len))
			fputs("\\s", f);
		else if (iscntrl(c) || strchr("#;\"", c) != NULL)
			fprintf(f, "\\x%02x", c);
		else
			fputc(c, f);
	}
}
