/*
 * ser2net_options: the options of connections, and defaults.
 */
#include <string.h>
#include <strings.h>

#include "gensio.h"
#include "ser2net_options.h"

#define WHY_DELAY                                                         \
	"bytes are sent on at once; 'pace' and 'frame_gap' delay what is" \
	" written to a device"
#define WHY_TRACE                                                            \
	"'log' in a section writes a file of what passes, and 'ttybridgectl" \
	" capture' one for Wireshark"
#define WHY_USERS "users are known by their certificates: 'tls_ca', 'roles'"

const struct option ser2net_options[] = {
	{ "kickolduser", FLAG_TAKEOVER, false, NULL },
	{ "max-connections", NUMBER_CLIENTS, false, NULL },
	{ "banner", TEXT_GREETING, false, NULL },
	{ "openstr", TEXT_OPEN, false, NULL },
	{ "closestr", TEXT_CLOSE, false, NULL },
	{ "remaddr", ADDRESSES, false, NULL },
	{ "no-con-to-acc", FLAG_NOT_TO_CLIENT, false, NULL },
	{ "no-acc-to-con", FLAG_NOT_TO_DEVICE, false, NULL },
	{ "disable-chardelay", KEPT, false, NULL },
	{ "trace-", LOST, true, WHY_TRACE },
	{ "tr-", LOST, true, WHY_TRACE },
	{ "tw-", LOST, true, WHY_TRACE },
	{ "tb-", LOST, true, WHY_TRACE },
	{ "hexdump", LOST, false, WHY_TRACE },
	{ "timestamp", LOST, false, WHY_TRACE },
	{ "chardelay", LOST_FLAG, false, WHY_DELAY },
	{ "chardelay-", LOST, true, WHY_DELAY },
	{ "signature", LOST, false, "clients are not sent a signature" },
	{ "closeon", LOST, false,
	    "what a device sends does not close a connection" },
	{ "sendon", LOST, false,
	    "'framing = delimiter' collects bytes up to a delimiter" },
	{ "dev-to-net-bufsize", LOST, false,
	    "'queue' is how much may wait for a client" },
	{ "net-to-dev-bufsize", LOST, false,
	    "'queue' is how much may wait for a device" },
	{ "led-", LOST, true, "LEDs are not switched" },
	{ "mdns", LOST_FLAG, false, "nothing is announced with mDNS" },
	{ "mdns-", LOST, true, "nothing is announced with mDNS" },
	{ "authdir", LOST, false, WHY_USERS },
	{ "pamauth", LOST, false, WHY_USERS },
	{ "allowed-users", LOST, false, WHY_USERS },
	{ "connback", LOST, true,
	    "a section tcp-client connects to another machine" },
	{ "accepter-retry-time", LOST, false,
	    "'reopen_min' and 'reopen_max' are the waits" },
	{ "connector-retry-time", LOST, false,
	    "'reopen_min' and 'reopen_max' are the waits" },
	{ "timeout-on-os-queue", LOST_FLAG, false,
	    "'keepalive' detects that a client has gone" },
	{ "telnet-brk-on-sync", LOST_FLAG, false,
	    "only the break of telnet causes a break" },
	{ NULL, LOST, false, NULL },
};

const char *const ser2net_serial_options[] = { "speed", "databits", "parity",
	"stopbits", "xonxoff", "rtscts", "local", "nobreak", "rs485", "dtr",
	"rts", "hangup-when-done", NULL };

const struct option *
ser2net_option(const char *name)
{
	for (const struct option *o = ser2net_options; o->name != NULL; o++)
		if (o->prefix ? strncasecmp(name, o->name, strlen(o->name)) == 0
			      : strcasecmp(name, o->name) == 0)
			return o;
	return NULL;
}

const struct setting *
ser2net_find_default(
    const struct ser2net *s, const char *class, const char *name)
{
	char path[128];
	const struct setting *found;

	snprintf(path, sizeof(path), "%s/%s", class, name);
	if ((found = settings_find(&s->defaults, path)) != NULL)
		return found;
	snprintf(path, sizeof(path), "/%s", name);
	return settings_find(&s->defaults, path);
}

const char *
ser2net_default(const struct ser2net *s, const char *class, const char *name)
{
	const struct setting *found = ser2net_find_default(s, class, name);

	return found != NULL ? found->value : NULL;
}

/* Whether it is the name of a setting of a serial port. */
static bool
is_serial(const char *name)
{
	return name_in(name, ser2net_serial_options) ||
	    strcmp(name, "custspeed") == 0;
}

/* Why a default has no effect, or NULL. */
static const char *
refuse_default(const char *class, const char *name, const char *value)
{
	static const char *const files[] = { "CA", "key", "cert" };
	const struct option *option = ser2net_option(name);
	bool all = *class == '\0';

	if ((all || strcmp(class, "serialdev") == 0) && is_serial(name))
		return NULL;
	for (size_t i = 0; i < NELEM(files); i++)
		if ((all || strcmp(class, "ssl") == 0) &&
		    strcmp(name, files[i]) == 0)
			return NULL;
	if (option == NULL || (!all && strcmp(class, "ser2net") != 0))
		/* Remote control is an option of version 3. */
		return strcmp(name, "remctl") == 0
		    ? NULL
		    : "this default has no counterpart";
	return option->kind < LOST ||
		(option->kind == LOST_FLAG && !gensio_is_true(value))
	    ? NULL
	    : option->why;
}

void
ser2net_set_default(struct ser2net *s, int line, const char *class,
    const char *name, const char *value)
{
	const char *why = refuse_default(class, name, value);
	char text[160];

	if (why != NULL) {
		snprintf(text, sizeof(text), "%s: %s", name, value);
		draft_block(s->draft, line);
		draft_lost(s->draft, line, text, "%s", why);
		return;
	}
	snprintf(text, sizeof(text), "%s/%s", class, name);
	settings_set(&s->defaults, line, text, value);
}
