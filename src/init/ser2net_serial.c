/*
 * ser2net_serial: the serial port of a connection.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gensio.h"
#include "ser2net_options.h"

/* The settings of a line. */
struct line {
	uint64_t baud;
	char bits, parity, stop;
	bool xonxoff, rtscts, local, hangup;
	bool signal_first_rts;
	const char *dtr, *rts;
	bool rs485;
	uint64_t before, after;
	bool on_send, after_send, rx_during_tx;
};

struct words {
	struct draft *d;
	int line;
	struct line l;
};

static const struct {
	const char *word;
	char set;
} parities[] = { { "NONE", 'N' }, { "EVEN", 'E' }, { "ODD", 'O' },
	{ "MARK", 'M' }, { "SPACE", 'S' } };

/* "9600", "9600n81": false if it is no speed. */
static bool
read_speed(struct line *l, const char *s)
{
	char digits[16];
	size_t n = strspn(s, "0123456789");
	struct line new = *l;

	if (n < 2 || n >= sizeof(digits))
		return false;
	snprintf(digits, sizeof(digits), "%.*s", (int)n, s);
	if (parse_number(digits, 10, UINT32_MAX, &new.baud) < 0)
		return false;
	s += n;
	if (*s != '\0' && strchr("NEOMS", toupper((unsigned char)*s)) != NULL)
		new.parity = (char)toupper((unsigned char)*s++);
	if (*s >= '5' && *s <= '8')
		new.bits = *s++;
	if (*s == '1' || *s == '2')
		new.stop = *s++;
	if (*s != '\0')
		return false;
	*l = new;
	return true;
}

static bool
read_parity(struct line *l, const char *s)
{
	for (size_t i = 0; i < NELEM(parities); i++)
		if (strcasecmp(s, parities[i].word) == 0) {
			l->parity = parities[i].set;
			return true;
		}
	return false;
}

/* "off", or BEFORE:AFTER[:WORD...]. */
static bool
read_rs485(struct words *w, char *s)
{
	struct line *l = &w->l;
	char *word = strsep(&s, ":");

	l->rs485 = strcmp(word, "off") != 0;
	if (!l->rs485)
		return s == NULL;
	if (parse_number(word, 0, 100, &l->before) < 0 ||
	    (word = strsep(&s, ":")) == NULL ||
	    parse_number(word, 0, 100, &l->after) < 0)
		return false;
	while ((word = strsep(&s, ":")) != NULL) {
		if (strcmp(word, "rts_on_send") == 0)
			l->on_send = true;
		else if (strcmp(word, "rts_after_send") == 0)
			l->after_send = true;
		else if (strcmp(word, "rx_during_tx") == 0)
			l->rx_during_tx = true;
		else
			draft_lost(w->d, w->line, word,
			    "this setting of RS-485 has no counterpart");
	}
	return true;
}

static void
set_signal(struct line *l, bool rts, bool on)
{
	if (rts && l->dtr == NULL)
		l->signal_first_rts = true;
	*(rts ? &l->rts : &l->dtr) = on ? "on" : "off";
}

/* "xonxoff", "-XONXOFF", "xonxoff=false"; false if it is no such word. */
static bool
read_switch(struct words *w, const char *name, bool on)
{
	static const struct {
		const char *name;
		size_t offset;
	} switches[] = {
		{ "xonxoff", offsetof(struct line, xonxoff) },
		{ "rtscts", offsetof(struct line, rtscts) },
		{ "local", offsetof(struct line, local) },
		{ "hangup-when-done", offsetof(struct line, hangup) },
		{ "hangup_when_done", offsetof(struct line, hangup) },
	};

	for (size_t i = 0; i < NELEM(switches); i++)
		if (strcasecmp(name, switches[i].name) == 0) {
			*(bool *)((char *)&w->l + switches[i].offset) = on;
			return true;
		}
	if (strcasecmp(name, "dtr") == 0 || strcasecmp(name, "rts") == 0) {
		set_signal(&w->l, toupper((unsigned char)*name) == 'R', on);
		return true;
	}
	/* Any speed may be given. */
	return strcasecmp(name, "custspeed") == 0;
}

/* "7DATABITS", "2STOPBITS". */
static bool
read_count(struct line *l, const char *s)
{
	if (strcasecmp(s + 1, "DATABITS") == 0 && *s >= '5' && *s <= '8')
		l->bits = *s;
	else if ((strcasecmp(s, "1STOPBIT") == 0) ||
	    strcasecmp(s, "2STOPBITS") == 0)
		l->stop = *s;
	else
		return false;
	return true;
}

/* NAME=VALUE of a setting that has a value; false if it is none. */
static bool
read_value(struct words *w, const char *name, char *value)
{
	if (strcasecmp(name, "speed") == 0)
		return read_speed(&w->l, value);
	if (strcasecmp(name, "parity") == 0)
		return read_parity(&w->l, value);
	if (strcasecmp(name, "rs485") == 0)
		return read_rs485(w, value);
	if (strcasecmp(name, "databits") == 0 && *value >= '5' &&
	    *value <= '8' && value[1] == '\0')
		return w->l.bits = *value, true;
	if (strcasecmp(name, "stopbits") == 0 &&
	    (*value == '1' || *value == '2') && value[1] == '\0')
		return w->l.stop = *value, true;
	return false;
}

static void
read_word(struct words *w, char *word)
{
	char *value = strchr(word, '='), what[128];
	bool on = *word != '-', known;

	snprintf(what, sizeof(what), "%s", word);
	if (value != NULL)
		*value++ = '\0';
	known = (value == NULL &&
		    (read_speed(&w->l, word) || read_parity(&w->l, word) ||
			(*word != '\0' && read_count(&w->l, word)))) ||
	    (value != NULL && read_value(w, word, value)) ||
	    read_switch(w, word + !on,
		value != NULL ? gensio_is_true(value) && *value != '\0' : on);
	if (known)
		return;
	if (strcasecmp(word + !on, "nobreak") == 0) {
		if (on && (value == NULL || gensio_is_true(value)))
			draft_lost(w->d, w->line, what,
			    "a break is only changed by clients and commands");
		return;
	}
	draft_lost(w->d, w->line, what,
	    "this setting of a serial port has no counterpart");
}

/* --- keys ---------------------------------------------------------------- */

static void
add_signals(struct settings *keys, const struct line *l)
{
	if (l->rts != NULL && l->signal_first_rts)
		settings_add(keys, 0, "rts", l->rts);
	if (l->dtr != NULL)
		settings_add(keys, 0, "dtr", l->dtr);
	if (l->rts != NULL && !l->signal_first_rts)
		settings_add(keys, 0, "rts", l->rts);
}

static void
add_rs485(struct settings *keys, const struct line *l)
{
	if (!l->rs485)
		return;
	settings_add(keys, 0, "rs485", "yes");
	settings_add(keys, 0, "rs485_rts_on_send", l->on_send ? "yes" : "no");
	settings_add(
	    keys, 0, "rs485_rts_after_send", l->after_send ? "yes" : "no");
	settings_add(
	    keys, 0, "rs485_rx_during_tx", l->rx_during_tx ? "yes" : "no");
	settings_addf(
	    keys, 0, "rs485_delay_before", "%ums", (unsigned)l->before);
	settings_addf(keys, 0, "rs485_delay_after", "%ums", (unsigned)l->after);
}

static void
add_line(struct words *w, struct settings *keys)
{
	const struct line *l = &w->l;

	settings_addf(keys, 0, "baud", "%llu", (unsigned long long)l->baud);
	settings_addf(keys, 0, "mode", "%c%c%c", l->bits, l->parity, l->stop);
	if (l->rtscts)
		settings_add(keys, 0, "flow", "rtscts");
	else if (l->xonxoff)
		settings_add(keys, 0, "flow", "xonxoff");
	if (l->rtscts && l->xonxoff)
		draft_lost(w->d, w->line, "xonxoff",
		    "flow control is one of RTS/CTS and XON/XOFF");
	add_signals(keys, l);
	add_rs485(keys, l);
	if (l->hangup)
		settings_add(keys, 0, "hangup_on_close", "yes");
}

static void
read_defaults(struct ser2net *s, struct words *w)
{
	const char *value;
	char word[128];

	for (const char *const *name = ser2net_serial_options; *name != NULL;
	     name++) {
		value = ser2net_default(s, "serialdev", *name);
		if (value == NULL)
			continue;
		snprintf(word, sizeof(word), "%s=%s", *name, value);
		read_word(w, word);
	}
}

/* Options in parentheses. */
static void
read_options(
    struct words *w, const struct settings *options, struct settings *keys)
{
	static const char *const known[] = { "uucplock", "nouucplock", "flock",
		NULL };
	const char *flock = settings_value(options, "flock"),
		   *uucp = settings_value(options, "uucplock");

	if (flock != NULL && !gensio_is_true(flock) && uucp != NULL &&
	    !gensio_is_true(uucp))
		settings_add(keys, 0, "exclusive", "no");
	else if ((flock != NULL && !gensio_is_true(flock)) ||
	    (uucp != NULL && !gensio_is_true(uucp)))
		draft_lost(w->d, w->line, flock != NULL ? "flock" : "uucplock",
		    "'exclusive' is for all kinds of locks");
	ser2net_unknown(w->d, "serialdev", options, known);
}

void
ser2net_serial(struct ser2net *s, const struct ser2net_connection *c,
    const struct gensio *g, struct ser2net_end *end)
{
	struct words w = { .d = s->draft,
		.line = c->connector.line,
		.l = {
		    .baud = 9600, .bits = '8', .parity = 'N', .stop = '1' } };
	char *text = g->rest, *word = gensio_word(&text, ", \f\t\n\r\v");
	const char *slash;

	if (word == NULL || *word == '\0') {
		draft_lost(s->draft, c->connector.line, c->connector.value,
		    "it has no device");
		return;
	}
	end->type = "serial";
	settings_add(&end->keys, c->connector.line, "device", word);
	slash = strrchr(word, '/');
	snprintf(end->name, sizeof(end->name), "%s", slash ? slash + 1 : word);
	read_defaults(s, &w);
	while ((word = gensio_word(&text, ", \f\t\n\r\v")) != NULL)
		if (*word != '\0')
			read_word(&w, word);
	add_line(&w, &end->keys);
	read_options(&w, &gensio_base(g)->options, &end->keys);
	settings_add(&end->keys, 0, "open", "demand");
	if (w.l.local || s->local_noted)
		return;
	s->local_noted = true;
	draft_warn(s->draft, c->connector.line,
	    "the modem lines are not looked at, as with the option 'local'"
	    " of ser2net, which is not given here");
}
