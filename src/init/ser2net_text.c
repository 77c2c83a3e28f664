/*
 * ser2net_text: banners and other strings with the escapes of ser2net.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "draft_value.h"
#include "ser2net.h"

/* Letters whose meaning changes with the time or the client. */
#define CHANGING "YyMmADeUIHhiSqPs"

static const char letters[] = "abfnrtv\\?'\"";
static const char bytes[] = "\a\b\f\n\r\t\v\\?'\"";

/* "9600N81", as ser2net prints the settings of a line. */
static void
write_settings(FILE *f, const struct ser2net_end *end)
{
	const char *baud = settings_value(&end->keys, "baud"),
		   *mode = settings_value(&end->keys, "mode");

	if (baud == NULL)
		return;
	if (mode == NULL)
		mode = "8N1";
	fprintf(f, "%s%c%c%c", baud, mode[1], mode[0], mode[2]);
}

static void
write_device(
    FILE *f, const struct ser2net_connection *c, const struct ser2net_end *end)
{
	const char *device = settings_value(&end->keys, "device");

	fputs(device != NULL ? device : c->connector.value, f);
}

/* Up to two digits of a base after a backslash; returns their number. */
static size_t
write_number(FILE *f, const char *s, size_t most, int base)
{
	char digits[4] = "", *end;
	unsigned long value;

	snprintf(digits, most + 1, "%s", s);
	value = strtoul(digits, &end, base);
	if (end == digits || !isxdigit((unsigned char)digits[0]))
		return 0;
	fputc((int)(value & 0xff), f);
	return (size_t)(end - digits);
}

/* Writes what follows a backslash; returns its length, or 0 if it cannot be converted. */
static size_t
write_escape(FILE *f, const char *s, const struct ser2net_connection *c,
    const struct ser2net_end *end)
{
	const char *known = strchr(letters, *s);
	size_t n;

	if (known != NULL) {
		fputc(bytes[known - letters], f);
		return 1;
	}
	/* In banners of version 3 it is not the second. */
	switch (*s == 's' && c->old ? 'B' : *s) {
	case 'd':
		write_device(f, c, end);
		return 1;
	case 'o':
	case 'N':
		fputs(c->name, f);
		return 1;
	case 'p':
		fputs(c->port != NULL ? c->port : c->accepter.value, f);
		return 1;
	case 'B':
		write_settings(f, end);
		return 1;
	case 'x':
		n = write_number(f, s + 1, 2, 16);
		return n == 0 ? 0 : n + 1;
	default:
		return *s >= '0' && *s <= '7' ? write_number(f, s, 3, 8) : 0;
	}
}

/* The bytes that the text stands for; NULL when out of memory. */
static char *
read_text(struct draft *d, const struct setting *text,
    const struct ser2net_connection *c, const struct ser2net_end *end,
    size_t *len)
{
	char *ret = NULL, what[4] = "\\";
	FILE *f = open_memstream(&ret, len);
	size_t n;

	if (f == NULL)
		return NULL;
	for (const char *s = text->value; *s != '\0'; s += n) {
		n = 1;
		if (*s != '\\') {
			fputc(*s, f);
			continue;
		}
		if (s[1] == '\0')
			break;
		n = 1 + write_escape(f, s + 1, c, end);
		if (n > 1)
			continue;
		what[1] = s[1];
		draft_lost(d, text->line, what,
		    strchr(CHANGING, s[1]) != NULL
			? "the text of '%s' cannot change with the time or the"
			  " client"
			: "it is no escape that is known in '%s'",
		    text->name);
		n = 2;
	}
	if (fclose(f) == EOF) {
		free(ret);
		return NULL;
	}
	return ret;
}

char *
ser2net_text(struct draft *d, const struct setting *text,
    const struct ser2net_connection *c, const struct ser2net_end *connector)
{
	char *plain, *ret = NULL;
	size_t len, n;
	FILE *f;

	if ((plain = read_text(d, text, c, connector, &len)) == NULL)
		return NULL;
	if ((f = open_memstream(&ret, &n)) != NULL) {
		draft_escape(f, plain, len);
		if (fclose(f) == EOF) {
			free(ret);
			ret = NULL;
		}
	}
	free(plain);
	return ret;
}
