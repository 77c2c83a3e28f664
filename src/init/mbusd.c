/*
 * mbusd: converts its configuration, a gateway from Modbus TCP to a serial line.
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "address.h"
#include "parts.h"

#define RETRIES_MAX 10 /* of an exchange */

struct gateway {
	struct draft *d;
	const struct settings *keys;
};

/* Keys without a counterpart. */
static const struct {
	const char *key, *why;
} lost[] = {
	{ "loglevel", "'log_level' of [daemon] takes words" },
	{ "logfile", "the log goes to standard error or to the journal" },
	{ "trx_sysfile",
	    "the transmitter is switched by the driver, with rs485 = yes" },
};

static const char *const known[] = { "device", "speed", "mode", "address",
	"port", "maxconn", "retries", "pause", "wait", "timeout",
	"replyonbroadcast", "enable_rs485", "trx_control", NULL };

static const char *
value_of(const struct gateway *g, const char *key, const char *standard)
{
	const char *value = settings_value(g->keys, key);

	return value != NULL ? value : standard;
}

static int
line_of(const struct gateway *g, const char *key)
{
	const struct setting *found = settings_find(g->keys, key);

	return found != NULL ? found->line : 0;
}

/* Whether a key is on.  mbusd takes all but y and yes as no; that is said. */
static bool
is_yes(struct gateway *g, const char *key)
{
	static const char *const yes[] = { "y", "yes", NULL },
				 *const no[] = { "n", "no", "0", "false",
					 NULL };
	const char *value = value_of(g, key, "no");

	if (name_in_any_case(value, yes))
		return true;
	if (!name_in_any_case(value, no))
		draft_warn(g->d, line_of(g, key),
		    "'%s = %s' means no, as only y and yes mean yes", key,
		    value);
	return false;
}

/* Says what is left out, and refuses a file without a key of mbusd. */
static int
check_keys(struct gateway *g, const char *file, struct error *err)
{
	unsigned unknown = 0;

	parts_lose_repeated(g->d, g->keys);
	for (unsigned i = 0; i < g->keys->n; i++) {
		const struct setting *s = &g->keys->at[i];
		const char *why = NULL;
		char what[128];

		if (name_in(s->name, known))
			continue;
		for (size_t j = 0; j < NELEM(lost); j++)
			if (strcmp(lost[j].key, s->name) == 0)
				why = lost[j].why;
		unknown += why == NULL;
		snprintf(what, sizeof(what), "%s = %s", s->name, s->value);
		draft_lost(g->d, s->line, what, "%s",
		    why != NULL ? why : "this key is not known");
	}
	if (unknown == g->keys->n)
		return error_fail(err, -EINVAL,
		    "%s:%d: '%.60s' is no key of mbusd", file,
		    g->keys->at[0].line, g->keys->at[0].name);
	return 0;
}

static void
write_server(struct gateway *g, const char *name)
{
	const char *host = value_of(g, "address", "0.0.0.0"),
		   *timeout = value_of(g, "timeout", "60");
	char listen[ADDRESS_TEXT_MAX];

	draft_section(g->d, "tcp-server", name);
	if (parts_address(g->d, host, value_of(g, "port", "502"), listen))
		draft_listen(g->d, line_of(g, "address"), listen);
	draft_key(g->d, "max_clients", "%s", value_of(g, "maxconn", "32"));
	if (strcmp(timeout, "0") != 0)
		draft_key(g->d, "idle_timeout", "%ss", timeout);
	draft_key(g->d, "framing", "modbus-tcp");
}

/* How the transmitter of an RS-485 line is switched. */
static void
write_direction(struct gateway *g)
{
	static const char *const by_rts[] = { "rts", "rts_1", "rts_0", NULL },
				 *const by_file[] = { "sysfs_0", "sysfs_1",
					 NULL };
	const char *control = value_of(g, "trx_control", "addc");
	bool rts = name_in_any_case(control, by_rts);
	bool low = strcasecmp(control, "rts_0") == 0;
	char what[128];

	snprintf(what, sizeof(what), "trx_control = %s", control);
	if (!rts && strcasecmp(control, "addc") != 0)
		draft_lost(g->d, line_of(g, "trx_control"), what, "%s",
		    name_in_any_case(control, by_file)
			? "the transmitter is switched by the driver, with"
			  " rs485 = yes"
			: "this value is not known, and the default is used");
	if (rts)
		draft_warn(g->d, line_of(g, "trx_control"),
		    "RTS is switched by the driver of the port, which has to"
		    " support it");
	if (rts || is_yes(g, "enable_rs485"))
		draft_key(g->d, "rs485", "yes");
	if (rts) {
		draft_key(g->d, "rs485_rts_on_send", "%s", low ? "no" : "yes");
		draft_key(
		    g->d, "rs485_rts_after_send", "%s", low ? "yes" : "no");
	}
}

static void
write_bus(struct gateway *g, const char *name)
{
	char mode[8];

	snprintf(mode, sizeof(mode), "%s", value_of(g, "mode", "8N1"));
	for (char *s = mode; *s != '\0'; s++)
		*s = (char)toupper((unsigned char)*s);
	draft_section(g->d, "serial", name);
	draft_key(g->d, "device", "%s", value_of(g, "device", "/dev/ttyS0"));
	draft_key(g->d, "baud", "%s", value_of(g, "speed", "19200"));
	draft_key(g->d, "mode", "%s", mode);
	write_direction(g);
	draft_key(g->d, "framing", "modbus-rtu");
}

static void
write_route(struct gateway *g, const char *server, const char *bus)
{
	const char *retries = value_of(g, "retries", "3");
	uint64_t n;

	draft_section(g->d, "route", "gateway");
	draft_key(g->d, "from", "%s", server);
	draft_key(g->d, "to", "%s", bus);
	draft_key(g->d, "exchange", "modbus");
	draft_key(g->d, "answer_timeout", "%sms", value_of(g, "wait", "500"));
	if (parse_number(retries, 0, UINT32_MAX, &n) == 0 && n > RETRIES_MAX) {
		draft_warn(g->d, line_of(g, "retries"),
		    "a request is sent again at most %d times", RETRIES_MAX);
		n = RETRIES_MAX;
		draft_key(g->d, "retries", "%u", (unsigned)n);
	} else
		draft_key(g->d, "retries", "%s", retries);
	draft_key(g->d, "min_gap", "%sms", value_of(g, "pause", "100"));
	if (is_yes(g, "replyonbroadcast"))
		draft_lost(g->d, line_of(g, "replyonbroadcast"),
		    "replyonbroadcast", "a broadcast is not answered");
}

int
convert_mbusd(const struct source *source, struct draft *d, struct error *err)
{
	static const struct parts_rules rules = { .comments = "#" };
	struct gateway g = { .d = d };
	struct parts parts;
	char server[DRAFT_NAME_MAX], bus[DRAFT_NAME_MAX];
	int r = parts_read(source, &rules, &parts, err);

	if (r == 0 && parts.n == 0)
		r = error_fail(
		    err, -EINVAL, "%s: there is no key in it", source->file);
	if (r == 0) {
		g.keys = &parts.at[0].keys;
		draft_block(d, 0);
		draft_comment(d,
		    "A gateway from Modbus TCP to a serial line, see EXCHANGES"
		    " in ttybridge.conf(5).");
		r = check_keys(&g, source->file, err);
	}
	if (r == 0) {
		write_server(&g, draft_name(d, "lan", server));
		write_bus(&g, draft_name(d, "bus", bus));
		write_route(&g, server, bus);
	}
	parts_free(&parts);
	return r;
}
