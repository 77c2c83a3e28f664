/*
 * ser2net_lines: reads the configuration of ser2net 3, whose lines are
 * PORT:STATE:TIMEOUT:DEVICE:OPTIONS, or WORD:NAME:TEXT.
 *
 * Names and defaults apply to the lines that follow them.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ser2net_options.h"

struct reader {
	struct ser2net *s;
	const char *file;
	/* "BANNER/NAME" with the text of that name. */
	struct settings named;
	/* The first line that could not be read. */
	int bad_line;
	char bad[128];
};

/* WORD:NAME:TEXT: texts that options name, and what is not converted. */
static const struct {
	const char *word, *why; /* why NULL: the text is remembered */
} words[] = {
	{ "BANNER", NULL },
	{ "SIGNATURE", NULL },
	{ "OPENSTR", NULL },
	{ "CLOSESTR", NULL },
	{ "CLOSEON", NULL },
	{ "DEVICE", NULL },
	{ "TRACEFILE", NULL },
	{ "RS485CONF", NULL },
	{ "DEFAULT", NULL },
	{ "CONTROLPORT",
	    "a section [control] has commands of its own, see"
	    " ttybridge-control(7)" },
	{ "ROTATOR", "clients are not distributed among several ports" },
	{ "LED", "LEDs are not switched" },
};

static const char *const states[] = { "raw", "rawlp", "telnet", "off" };

/* Names of texts that options consist of, and the options of version 4. */
static const struct {
	const char *word, *option;
} texts[] = {
	{ "BANNER", "banner" },
	{ "SIGNATURE", "signature" },
	{ "OPENSTR", "openstr" },
	{ "CLOSESTR", "closestr" },
	{ "CLOSEON", "closeon" },
};

/* Options NAME=VALUE whose value is a name or has another name in version 4. */
static const struct {
	const char *prefix, *option;
} traces[] = {
	{ "tr=", "trace-read" },
	{ "tw=", "trace-write" },
	{ "tb=", "trace-both" },
};

/* --- options ------------------------------------------------------------- */

static const char *
named(const struct reader *r, const char *word, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", word, name);
	return settings_value(&r->named, path);
}

/* Settings of a line, which are written in upper case, and a few others. */
static bool
is_serial(const char *word)
{
	static const char *const known[] = { "NONE", "EVEN", "ODD", "MARK",
		"SPACE", "none", "even", "odd", "mark", "space", "1STOPBIT",
		"2STOPBITS", "5DATABITS", "6DATABITS", "7DATABITS", "8DATABITS",
		"XONXOFF", "RTSCTS", "LOCAL", "HANGUP_WHEN_DONE", "NOBREAK" };

	if (word[strspn(word, "0123456789")] == '\0')
		return true;
	word += *word == '-';
	for (size_t i = 0; i < NELEM(known); i++)
		if (strcmp(word, known[i]) == 0)
			return true;
	return false;
}

/*
 * "BEFORE:AFTER:ON_SEND:DURING_TX" of RS485CONF in the form of version 4.  Returns false if
 * it is not valid.
 */
static bool
write_rs485(FILE *f, const char *text)
{
	unsigned before, after, on_send, during;

	if (text == NULL ||
	    sscanf(text, "%u:%u:%u:%u", &before, &after, &on_send, &during) !=
		4)
		return false;
	fprintf(f, ",rs485=%u:%u%s%s", before, after,
	    on_send ? ":rts_on_send" : "", during ? ":rx_during_tx" : "");
	return true;
}

/* Adds an option to the connection, or a setting of the line to f. */
static void
read_option(struct reader *r, struct ser2net_connection *c, FILE *f,
    bool *rfc2217, const char *word)
{
	bool on = *word != '-';
	const char *name = word + !on, *equals = strchr(name, '='), *text;
	char key[64];

	if (is_serial(word)) {
		fprintf(f, ",%s", word);
		return;
	}
	if (strcmp(name, "remctl") == 0) {
		*rfc2217 = on;
		return;
	}
	for (size_t i = 0; i < NELEM(texts); i++)
		if ((text = named(r, texts[i].word, word)) != NULL) {
			settings_add(
			    &c->options, c->line, texts[i].option, text);
			return;
		}
	for (size_t i = 0; i < NELEM(traces); i++)
		if (strncmp(word, traces[i].prefix, 3) == 0) {
			text = named(r, "TRACEFILE", word + 3);
			settings_add(&c->options, c->line, traces[i].option,
			    text != NULL ? text : word + 3);
			return;
		}
	if (strncmp(word, "rs485=", 6) == 0 &&
	    write_rs485(f, named(r, "RS485CONF", word + 6)))
		return;
	if (strcmp(name, "telnet_brk_on_sync") == 0)
		name = "telnet-brk-on-sync";
	snprintf(key, sizeof(key), "%.*s",
	    equals != NULL ? (int)(equals - name) : (int)strlen(name), name);
	settings_add(&c->options, c->line, key,
	    equals != NULL ? equals + 1
		: on	   ? "true"
			   : "false");
}

/* --- connections --------------------------------------------------------- */

/* Finds ":STATE:" in a line; returns where STATE begins, or NULL. */
static char *
find_state(char *line)
{
	for (char *colon = strchr(line, ':'); colon != NULL;
	     colon = strchr(colon + 1, ':'))
		for (size_t i = 0; i < NELEM(states); i++) {
			size_t len = strlen(states[i]);

			if (strncmp(colon + 1, states[i], len) == 0 &&
			    colon[1 + len] == ':')
				return colon + 1;
		}
	return NULL;
}

/* The accepter of version 4; "[ipv4,|ipv6,][tcp,|udp,][HOST,]PORT" names the port. */
static char *
accepter_of(const char *port, bool telnet, bool rfc2217)
{
	const char *family = "", *type = "tcp";
	char *ret;

	if (strncmp(port, "ipv4,", 5) == 0 || strncmp(port, "ipv6,", 5) == 0) {
		family = *port == 'i' && port[3] == '4' ? "ipv4," : "ipv6,";
		port += 5;
	}
	if (strncmp(port, "tcp,", 4) == 0 || strncmp(port, "udp,", 4) == 0) {
		type = *port == 'u' ? "udp" : "tcp";
		port += 4;
	}
	if (asprintf(&ret, "%s%s,%s%s",
		rfc2217	     ? "telnet(rfc2217),"
		    : telnet ? "telnet,"
			     : "",
		type, family, port) < 0)
		return NULL;
	return ret;
}

/* Puts a device into quotes of a shell where it has characters that separate words. */
static void
write_device(FILE *f, const char *device)
{
	if (strncmp(device, "sol.", 4) == 0) {
		fprintf(f, "ipmisol,%s", device + 4);
		return;
	}
	fputs("serialdev,", f);
	for (; *device != '\0'; device++) {
		if (strchr("\\,\"' \t", *device) != NULL)
			fputc('\\', f);
		fputc(*device, f);
	}
}

/* The words of the last field. */
static int
read_options(struct reader *r, struct ser2net_connection *c, const char *device,
    char *options, bool *rfc2217)
{
	const char *known = named(r, "DEVICE", device), *standard;
	char *save, *word;
	size_t len;
	FILE *f = open_memstream(&c->connector.value, &len);

	if (f == NULL)
		return -ENOMEM;
	standard = ser2net_default(r->s, "", "remctl");
	*rfc2217 = standard != NULL && atoi(standard) != 0;
	write_device(f, known != NULL ? known : device);
	for (word = strtok_r(options, " \t", &save); word != NULL;
	     word = strtok_r(NULL, " \t", &save))
		read_option(r, c, f, rfc2217, word);
	/* Without memory fclose() may succeed, and leave no text. */
	if (fclose(f) == EOF || c->connector.value == NULL)
		return -ENOMEM;
	return 0;
}

/* The name of a connection: that of its port, without what names begin with. */
static char *
name_of(const char *port)
{
	const char *comma = strrchr(port, ',');
	char *ret;

	if (asprintf(&ret, "port%s", comma != NULL ? comma + 1 : port) < 0)
		return NULL;
	return ret;
}

static int
connect(struct reader *r, struct ser2net_connection *c, const char *state,
    const char *port, const char *device, char *options)
{
	bool telnet = strcmp(state, "telnet") == 0, rfc2217 = false;
	int e;

	c->disabled = strcmp(state, "off") == 0;
	if ((e = read_options(r, c, device, options, &rfc2217)) < 0)
		return e;
	c->old = true;
	c->name = name_of(port);
	c->port = strdup(port);
	c->accepter.value = accepter_of(port, telnet, telnet && rfc2217);
	if (c->name == NULL || c->port == NULL || c->accepter.value == NULL ||
	    c->options.nomem)
		return -ENOMEM;
	if (strcmp(state, "rawlp") == 0) {
		draft_block(r->s->draft, c->line);
		draft_lost(r->s->draft, c->line, c->name,
		    "a serial section is for serial ports, and not for"
		    " printers");
		r->s->connections++;
		return 0;
	}
	return ser2net_connect(r->s, c);
}

static void
set_bad(struct reader *r, int line, const char *text, const char *why)
{
	char what[96];

	printable(text, what, sizeof(what));
	if (r->bad_line == 0) {
		r->bad_line = line;
		snprintf(r->bad, sizeof(r->bad), "%s", why);
	}
	draft_block(r->s->draft, line);
	draft_lost(r->s->draft, line, what, "%s", why);
}

static int
read_connection(struct reader *r, int line, char *text)
{
	struct ser2net_connection c = { .line = line,
		.accepter = { .name = "accepter", .line = line },
		.connector = { .name = "connector", .line = line },
		.timeout = { .name = "timeout", .line = line } };
	char *copy = strdup(text), *state = copy ? find_state(copy) : NULL,
	     *rest = state, *timeout, *device;
	uint64_t seconds;
	int e = copy == NULL ? -ENOMEM : 0;

	if (state != NULL) {
		state[-1] = '\0';
		strsep(&rest, ":");
		timeout = strsep(&rest, ":");
		device = rest != NULL ? strsep(&rest, ":") : NULL;
		if (device == NULL || *device == '\0' || *copy == '\0' ||
		    parse_number(timeout, 0, UINT32_MAX, &seconds) < 0)
			set_bad(r, line, text,
			    "a line is PORT:STATE:TIMEOUT:DEVICE:OPTIONS");
		else if ((c.timeout.value = strdup(timeout)) == NULL)
			e = -ENOMEM;
		else
			e = connect(r, &c, state, copy, device,
			    rest != NULL ? rest : device + strlen(device));
	} else if (e == 0)
		set_bad(
		    r, line, text, "it has no state raw, rawlp, telnet or off");
	ser2net_connection_free(&c);
	free(copy);
	return e;
}

/* --- lines --------------------------------------------------------------- */

static void
set_default(struct reader *r, int line, const char *name, const char *text)
{
	char new[192];

	/* The names of version 4 have hyphens. */
	snprintf(new, sizeof(new), "%s", name);
	for (char *s = new; *s != '\0'; s++)
		if (*s == '_')
			*s = '-';
	ser2net_set_default(r->s, line, "", new, text);
}

/* WORD:NAME:TEXT; false if it is none. */
static bool
read_word(struct reader *r, int line, const char *text)
{
	size_t len = strcspn(text, ":");
	const char *name = text + len + 1, *colon;
	char path[256], plain[192];

	for (size_t i = 0; text[len] == ':' && i < NELEM(words); i++) {
		if (strlen(words[i].word) != len ||
		    strncmp(text, words[i].word, len) != 0)
			continue;
		if (words[i].why != NULL) {
			draft_block(r->s->draft, line);
			draft_lost(r->s->draft, line, text, "%s", words[i].why);
			return true;
		}
		colon = strchr(name, ':');
		snprintf(plain, sizeof(plain), "%.*s",
		    colon != NULL ? (int)MIN(colon - name, 128) : 128, name);
		snprintf(path, sizeof(path), "%s/%s", words[i].word, plain);
		if (strcmp(words[i].word, "DEFAULT") == 0)
			set_default(
			    r, line, plain, colon != NULL ? colon + 1 : "");
		else
			settings_set(&r->named, line, path,
			    colon != NULL ? colon + 1 : "");
		return true;
	}
	return false;
}

static int
read_line(struct reader *r, int line, char *text)
{
	size_t len = strlen(text);

	while (len > 0 && isspace((unsigned char)text[len - 1]))
		text[--len] = '\0';
	if (len == 0 || *text == '#' || read_word(r, line, text))
		return 0;
	return read_connection(r, line, text);
}

/* Joins lines that end with a backslash. */
static int
read_lines(struct reader *r, const char *text)
{
	char *whole = NULL;
	size_t have = 0;
	int line = 0, first = 0, e = 0;

	while (*text != '\0' && e == 0) {
		size_t len = strcspn(text, "\n");
		size_t end = len > 0 && text[len - 1] == '\r' ? len - 1 : len;
		bool more = end > 0 && text[end - 1] == '\\';
		char *grown = realloc(whole, have + len + 1);

		line++;
		if (grown == NULL) {
			e = -ENOMEM;
			break;
		}
		whole = grown;
		if (have == 0)
			first = line;
		memcpy(whole + have, text, end - more);
		have += end - more;
		whole[have] = '\0';
		text += len + (text[len] == '\n');
		/* A comment is not continued. */
		if (more && *whole != '#' && *text != '\0')
			continue;
		e = read_line(r, first, whole);
		have = 0;
	}
	free(whole);
	return e;
}

int
ser2net_lines(struct ser2net *s, const struct source *source, struct error *err)
{
	struct reader r = { .s = s, .file = source->file };
	int e = read_lines(&r, source->text);

	if (e == 0 && s->connections == 0 && r.bad_line > 0)
		e = error_fail(
		    err, -EINVAL, "%s:%d: %s", r.file, r.bad_line, r.bad);
	if (r.named.nomem || s->defaults.nomem)
		e = -ENOMEM;
	settings_free(&r.named);
	return e;
}
