/*
 * mavlink_router: converts its configuration.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "address.h"
#include "id_set.h"
#include "members.h"
#include "parts.h"

#define UDP_PORT 14550 /* the first one that is sent to by default */
#define WHY_LOG "'ttybridgectl capture' writes what passes to a file"

struct router {
	struct draft *d;
	const char *file;
	struct members members;
	struct settings sent; /* addresses that are sent to */
	unsigned endpoints;
	struct error *err;
};

/* Keys that are left out, of all sections. */
static const struct {
	const char *key, *why;
} lost[] = {
	{ "AllowSrcCompOut", "messages are not filtered by their component" },
	{ "BlockSrcCompOut", "messages are not filtered by their component" },
	{ "AllowSrcSysOut", "messages are not filtered by their system" },
	{ "BlockSrcSysOut", "messages are not filtered by their system" },
	{ "AllowSrcCompIn", "messages are not filtered by their component" },
	{ "BlockSrcCompIn", "messages are not filtered by their component" },
	{ "AllowSrcSysIn", "messages are not filtered by their system" },
	{ "BlockSrcSysIn", "messages are not filtered by their system" },
	{ "Group", "'duplicates' in a route drops what comes twice" },
	{ "ReportStats", "'ttybridgectl routes' shows counters" },
	{ "SnifferSysid", "'ttybridgectl watch' shows all messages" },
	{ "Log", WHY_LOG },
	{ "LogMode", WHY_LOG },
	{ "LogSystemId", WHY_LOG },
	{ "LogTelemetry", WHY_LOG },
	{ "MinFreeSpace", WHY_LOG },
	{ "MaxLogFiles", WHY_LOG },
	{ "MavlinkDialect", "messages of all dialects are known" },
};

static const char *const general[] = { "TcpServerPort", "DebugLogLevel",
	"DeduplicationPeriod", NULL };
static const char *const filters[] = { "AllowMsgIdOut", "BlockMsgIdOut",
	"AllowMsgIdIn", "BlockMsgIdIn", "Filter", NULL };
static const char *const uart[] = { "Device", "Baud", "FlowControl", NULL };
static const char *const udp[] = { "Address", "Mode", "Port", NULL };
static const char *const tcp[] = { "Address", "Port", "RetryTimeout", NULL };

/* Says which keys of the section are left out. */
static void
lose_keys(struct router *r, const struct part *part, const char *const *known)
{
	parts_lose_repeated(r->d, &part->keys);
	for (unsigned i = 0; i < part->keys.n; i++) {
		const struct setting *s = &part->keys.at[i];
		const char *why = "this key is not known";
		char what[128];

		if (name_in_any_case(s->name, known) ||
		    (known != general && name_in_any_case(s->name, filters)))
			continue;
		for (size_t j = 0; j < NELEM(lost); j++)
			if (strcasecmp(lost[j].key, s->name) == 0)
				why = lost[j].why;
		snprintf(what, sizeof(what), "%s = %s", s->name, s->value);
		draft_lost(r->d, s->line, what, "%s", why);
	}
}

/* A value that has to be given. */
static const char *
required(struct router *r, const struct part *part, const char *key)
{
	const char *value = settings_value(&part->keys, key);

	if (value == NULL)
		error_set(r->err, "%s:%d: [%s %s] has no %s", r->file,
		    part->line, part->type, part->name, key);
	return value;
}

/* --- filters ------------------------------------------------------------- */

static bool
both(const char *a, const char *b, char buf[FILTER_MAX])
{
	struct id_set x, y;

	/* Sets that were written contain ranges, which numbers are made of here. */
	id_set_fill(&x);
	for (int i = 0; i < 2; i++) {
		const char *word, *list = i == 0 ? a : b;
		size_t len;

		y.n = 0;
		while ((word = list_word(&list, &len)) != NULL) {
			unsigned first, last;
			int n = sscanf(word, "%u-%u", &first, &last);

			if (n < 1 || y.n == ID_RANGES_MAX)
				return false;
			y.range[y.n++] =
			    (struct id_range){ first, n == 2 ? last : first };
		}
		if (id_set_keep(&x, &y) < 0)
			return false;
	}
	return id_set_write(&x, buf, FILTER_MAX);
}

/* Combines a list of ids that pass, and one of ids that do not; false if none passes. */
static bool
read_filter(struct router *r, const struct part *part, const char *allow,
    const char *block, char filter[FILTER_MAX])
{
	const struct setting *yes = settings_find(&part->keys, allow),
			     *no = settings_find(&part->keys, block);
	struct id_set set, ids;
	int e = 0;

	if (yes == NULL && strcmp(allow, "AllowMsgIdOut") == 0)
		yes = settings_find(&part->keys, "Filter");
	id_set_fill(&set);
	if (yes != NULL && *yes->value != '\0') {
		e = id_set_parse(yes->value, &ids);
		if (e == 0)
			e = id_set_keep(&set, &ids);
	}
	if (e == 0 && no != NULL && *no->value != '\0') {
		e = id_set_parse(no->value, &ids);
		if (e == 0)
			e = id_set_remove(&set, &ids);
	}
	if (e == 0 && id_set_is_full(&set))
		return true;
	if (e == 0 && set.n > 0 && id_set_write(&set, filter, FILTER_MAX))
		return true;
	filter[0] = '\0';
	draft_warn(r->d, part->line, "no message passes %s and %s%s", allow,
	    block,
	    e == -EINVAL	       ? ": that is no list of message ids"
		: e == 0 && set.n == 0 ? ""
				       : ": the list is too long");
	return false;
}

/* --- endpoints ----------------------------------------------------------- */

/* Adds the endpoint whose section has been begun; NULL when out of memory. */
static struct member *
begin(struct router *r, const char *type, const char *name)
{
	struct member *m = members_add(&r->members);

	if (m == NULL)
		return NULL;
	m->in = m->out = true;
	draft_section(r->d, type, draft_name(r->d, name, m->name));
	draft_key(r->d, "framing", "mavlink");
	return m;
}

static int
write_uart(struct router *r, const struct part *part, const char *name)
{
	const char *device = required(r, part, "Device"),
		   *bauds = settings_value(&part->keys, "Baud"), *rest,
		   *flow = settings_value(&part->keys, "FlowControl"), *baud;
	size_t len;
	bool on = false;

	if (device == NULL)
		return -EINVAL;
	if (begin(r, "serial", name) == NULL)
		return -ENOMEM;
	draft_key(r->d, "device", "%s", device);
	if (bauds == NULL || *bauds == '\0')
		bauds = "115200";
	rest = bauds;
	if ((baud = list_word(&rest, &len)) != NULL)
		draft_key(r->d, "baud", "%.*s", (int)len, baud);
	if (list_word(&rest, &len) != NULL)
		draft_lost(r->d, part->line, bauds,
		    "only the first speed is used, and others are not tried");
	if (flow != NULL && parse_bool(flow, &on) < 0)
		draft_lost(r->d,
		    settings_find(&part->keys, "FlowControl")->line, flow,
		    "FlowControl is true or false, and is not used");
	else if (on)
		draft_key(r->d, "flow", "rtscts");
	return 0;
}

/* The next port of the host that nothing is sent to; false if the address is too long. */
static bool
find_port(struct router *r, const char *host, char ret[ADDRESS_TEXT_MAX])
{
	unsigned next = UDP_PORT;
	char port[16];

	do {
		snprintf(port, sizeof(port), "%u", next++);
		if (!parts_address(r->d, host, port, ret))
			return false;
	} while (settings_find(&r->sent, ret) != NULL);
	return true;
}

static int
write_udp(struct router *r, const struct part *part, const char *name)
{
	const char *host = required(r, part, "Address"),
		   *mode = required(r, part, "Mode"),
		   *port = settings_value(&part->keys, "Port");
	bool server = mode != NULL &&
	    (strcasecmp(mode, "server") == 0 ||
		strcasecmp(mode, "eavesdropping") == 0);
	char address[ADDRESS_TEXT_MAX];
	struct member *m;

	if (host == NULL || mode == NULL ||
	    (server && (port = required(r, part, "Port")) == NULL))
		return -EINVAL;
	if (!server && strcasecmp(mode, "normal") != 0)
		return error_fail(r->err, -EINVAL,
		    "%s:%d: the mode is normal or server, not '%.40s'", r->file,
		    part->line, mode);
	if ((m = begin(r, "udp", name)) == NULL)
		return -ENOMEM;
	m->server = server;
	if (port != NULL ? !parts_address(r->d, host, port, address)
			 : !find_port(r, host, address))
		return 0;
	if (server)
		draft_listen(r->d, part->line, address);
	else {
		draft_key(r->d, "send_to", "%s", address);
		settings_add(&r->sent, part->line, address, NULL);
	}
	return 0;
}

static int
write_tcp(struct router *r, const struct part *part, const char *name)
{
	const char *host = required(r, part, "Address"),
		   *port = required(r, part, "Port"),
		   *retry = settings_value(&part->keys, "RetryTimeout");

	if (host == NULL || port == NULL)
		return -EINVAL;
	if (begin(r, "tcp-client", name) == NULL)
		return -ENOMEM;
	draft_key(r->d, "connect", "%s:%s", host, port);
	if (retry == NULL)
		retry = "5";
	if (strcmp(retry, "0") == 0)
		draft_lost(r->d, part->line, "RetryTimeout = 0",
		    "a connection that is lost is always made again");
	else {
		draft_key(r->d, "reopen_min", "%ss", retry);
		draft_key(r->d, "reopen_max", "%ss", retry);
	}
	return 0;
}

/* --- [General] ----------------------------------------------------------- */

/* The TCP server, which there is unless its port is 0. */
static int
write_server(struct router *r, const struct part *part)
{
	const struct setting *port =
	    part != NULL ? settings_find(&part->keys, "TcpServerPort") : NULL;
	char listen[ADDRESS_TEXT_MAX];
	struct member *m;

	if (port != NULL && strcmp(port->value, "0") == 0)
		return 0;
	draft_block(r->d, port != NULL ? port->line : 0);
	draft_comment(r->d, "The TCP server of mavlink-router.");
	if ((m = begin(r, "tcp-server", "tcp")) == NULL)
		return -ENOMEM;
	m->server = true;
	if (parts_address(
		r->d, "*", port != NULL ? port->value : "5760", listen))
		draft_listen(r->d, port != NULL ? port->line : 0, listen);
	return 0;
}

static void
write_general(struct router *r, const struct part *part)
{
	const char *level = settings_value(&part->keys, "DebugLogLevel"),
		   *period = settings_value(&part->keys, "DeduplicationPeriod");

	draft_block(r->d, part->line);
	draft_comment(r->d, "[General], line %d.", part->line);
	lose_keys(r, part, general);
	if (level != NULL) {
		draft_section(r->d, "daemon", NULL);
		draft_key(r->d, "log_level", "%s",
		    strcasecmp(level, "trace") == 0 ? "debug" : level);
	}
	if (period != NULL && strcmp(period, "0") != 0)
		settings_addf(&r->members.common, part->line, "duplicates",
		    "%sms", period);
}

/* --- the file ------------------------------------------------------------ */

static int
write_endpoint(struct router *r, const struct part *part)
{
	static const struct {
		const char *type;
		int (*write)(
		    struct router *, const struct part *, const char *);
		const char *const *keys;
	} types[] = {
		{ "UartEndpoint", write_uart, uart },
		{ "UdpEndpoint", write_udp, udp },
		{ "TcpEndpoint", write_tcp, tcp },
	};
	struct member *m;
	int e;

	for (size_t i = 0; i < NELEM(types); i++) {
		if (strcasecmp(types[i].type, part->type) != 0)
			continue;
		r->endpoints++;
		draft_block(r->d, part->line);
		draft_comment(r->d, "[%s %s], line %d.", part->type, part->name,
		    part->line);
		lose_keys(r, part, types[i].keys);
		if ((e = types[i].write(r, part, part->name)) < 0)
			return e;
		m = &r->members.at[r->members.n - 1];
		m->out = read_filter(
		    r, part, "AllowMsgIdOut", "BlockMsgIdOut", m->to);
		m->in = read_filter(
		    r, part, "AllowMsgIdIn", "BlockMsgIdIn", m->from);
		return 0;
	}
	/* mavlink-router ignores it. */
	draft_block(r->d, part->line);
	draft_lost(r->d, part->line, part->type,
	    "this section is not known, and mavlink-router ignores it");
	return 0;
}

static int
write_parts(struct router *r, const struct parts *parts)
{
	const struct part *first = NULL;
	int e;

	for (unsigned i = 0; i < parts->n; i++)
		if (strcasecmp(parts->at[i].type, "General") == 0) {
			first = &parts->at[i];
			write_general(r, first);
		}
	settings_add(&r->members.common, 0, "routing", "target");
	if ((e = write_server(r, first)) < 0)
		return e;
	for (unsigned i = 0; i < parts->n; i++)
		if (&parts->at[i] != first &&
		    (e = write_endpoint(r, &parts->at[i])) < 0)
			return e;
	if (first == NULL && r->endpoints == 0)
		return parts->n == 0
		    ? error_fail(r->err, -EINVAL,
			  "%s: there is no section in it", r->file)
		    : error_fail(r->err, -EINVAL,
			  "%s:%d: [%.40s] is no section of mavlink-router",
			  r->file, parts->at[0].line, parts->at[0].type);
	members_write(&r->members, r->d);
	return r->members.common.nomem ? -ENOMEM : 0;
}

int
convert_mavlink_router(
    const struct source *source, struct draft *d, struct error *err)
{
	static const struct parts_rules rules = {
		.sections = true, .comments = "#;", .merge = true
	};
	struct router r = { .d = d,
		.file = source->file,
		.err = err,
		.members = {
		    .key = "match_mavlink", .name = "mavlink", .both = both } };
	struct parts parts;
	int e = parts_read(source, &rules, &parts, err);

	if (e == 0)
		e = write_parts(&r, &parts);
	parts_free(&parts);
	members_free(&r.members);
	settings_free(&r.sent);
	return e;
}
