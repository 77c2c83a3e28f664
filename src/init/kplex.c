/*
 * kplex: converts its configuration.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <strings.h>

#include "address.h"
#include "kplex_filter.h"
#include "parts.h"

#define PORT "10110"
#define GPSD_PORT "2947"

struct multiplexer {
	struct draft *d;
	const char *file;
	struct members members;
	const char *checksum; /* of [global], or NULL */
	struct error *err;
};

/* An interface that is being converted. */
struct interface {
	const struct part *part;
	bool in, out;
	bool server; /* it has several peers */
	char name[DRAFT_NAME_MAX];
};

typedef int write_function(struct multiplexer *, struct interface *);

static const struct {
	const char *key, *why;
} lost[] = {
	{ "timestamp", "no tags are added to sentences" },
	{ "srctag", "no tags are added to sentences" },
	{ "loopback", "a sentence never goes back to where it came from" },
	{ "qsize", "'queue' is how many bytes may wait" },
	{ "coalesce", "each sentence is a datagram" },
	{ "preamble", "'on_open' is sent to a server" },
	{ "keepcnt", "'keepalive' takes a time" },
	{ "keepintvl", "'keepalive' takes a time" },
	{ "keepidle", "'keepalive' takes a time" },
	{ "sndbuf", "the kernel chooses the size" },
	{ "timeout", "'stall_timeout' is for a receiver that takes nothing" },
	{ "owner", "only the group can be set" },
	{ "mode", "the program does not fork; a service manager starts it" },
	{ "logto", "the log goes to standard error or to the journal" },
	{ "debuglevel", "'log_level' of [daemon] takes words" },
	{ "strict", "what is no sentence does not pass in any case" },
	{ "failover", "'prefer' in a route uses the first live source" },
	{ "graceperiod", "'fail_after' in a route is such a time" },
};

/* Keys of all interfaces that are converted, or without an effect. */
static const char *const common[] = { "direction", "ifilter", "ofilter", "name",
	"checksum", "strict", "persist", "retry", "nodelay", "eol", "optional",
	NULL };

static const char *const yes_or_no[] = { "yes", "no", NULL };

/* Keys that are words; type NULL: of all sections. */
static const struct {
	const char *type, *key;
	const char *const *words;
} words[] = {
	{ NULL, "checksum", yes_or_no },
	{ NULL, "strict", yes_or_no },
	{ NULL, "optional", yes_or_no },
	{ NULL, "nodelay", yes_or_no },
	{ NULL, "keepalive", yes_or_no },
	{ NULL, "gpsd", yes_or_no },
	{ NULL, "persist",
	    (const char *const[]){ "yes", "no", "fromstart", NULL } },
	{ NULL, "eol", (const char *const[]){ "n", "rn", NULL } },
	{ "tcp", "mode", (const char *const[]){ "client", "server", NULL } },
	{ "pty", "mode", (const char *const[]){ "master", "slave", NULL } },
	{ "udp", "type",
	    (const char *const[]){
		"unicast", "multicast", "broadcast", NULL } },
};

static bool
is(const char *a, const char *b)
{
	return strcasecmp(a, b) == 0;
}

/* Whether it is not one of the words that the key has. */
static bool
is_no_word(const struct part *part, const char *key, const char *value)
{
	for (size_t i = 0; i < NELEM(words); i++)
		if (is(words[i].key, key) &&
		    (words[i].type == NULL || is(words[i].type, part->type)))
			return !name_in_any_case(value, words[i].words);
	return false;
}

static const char *
value_in(const struct part *part, const char *key, const char *standard)
{
	const char *value = settings_value(&part->keys, key);

	return value != NULL && !is_no_word(part, key, value) ? value
							      : standard;
}

static const char *
value_of(const struct interface *i, const char *key, const char *standard)
{
	return value_in(i->part, key, standard);
}

/* The number of the port, which may be the name of a service. */
static const char *
port_of(const struct interface *i, const char *standard, char buf[8])
{
	const char *port = value_of(i, "port", standard);
	struct servent *service;
	uint64_t n;

	if (parse_number(port, 0, 65535, &n) == 0)
		return port;
	if (is(port, "nmea-0183"))
		return PORT;
	if ((service = getservbyname(port, NULL)) == NULL)
		return port;
	snprintf(buf, 8, "%u", ntohs((uint16_t)service->s_port));
	return buf;
}

static int
line_of(const struct interface *i, const char *key)
{
	const struct setting *s = settings_find(&i->part->keys, key);

	return s != NULL ? s->line : i->part->line;
}

static void
lose_keys(struct multiplexer *m, const struct part *part,
    const char *const *known, bool interface)
{
	parts_lose_repeated(m->d, &part->keys);
	for (unsigned i = 0; i < part->keys.n; i++) {
		const struct setting *s = &part->keys.at[i];
		const char *why = NULL;
		char what[128];

		if (name_in_any_case(s->name, known) ||
		    (interface && name_in_any_case(s->name, common))) {
			if (!is_no_word(part, s->name, s->value))
				continue;
			why =
			    "this value is not known, and the default is used";
		}
		for (size_t j = 0; why == NULL && j < NELEM(lost); j++)
			if (is(lost[j].key, s->name))
				why = lost[j].why;
		/* What is off has no effect. */
		if (why != NULL && is(s->value, "no") && !is(s->name, "strict"))
			continue;
		if (why == NULL)
			why = "this key is not known";
		snprintf(what, sizeof(what), "%s=%s", s->name, s->value);
		draft_lost(m->d, s->line, what, "%s", why);
	}
}

static int
refuse(struct multiplexer *m, int line, const char *why)
{
	return error_fail(m->err, -EINVAL, "%s:%d: %s", m->file, line, why);
}

/* --- interfaces ---------------------------------------------------------- */

static void
begin(struct multiplexer *m, struct interface *i, const char *type)
{
	const char *checksum = value_of(i, "checksum", m->checksum),
		   *eol = value_of(i, "eol", "rn");

	draft_section(m->d, type,
	    draft_name(m->d, value_of(i, "name", i->part->type), i->name));
	draft_key(m->d, "framing", "nmea");
	if (checksum == NULL || is(checksum, "no"))
		draft_key(m->d, "nmea_checksum", "keep");
	if (is(value_of(i, "strict", "yes"), "no"))
		draft_lost(m->d, line_of(i, "strict"), "strict=no",
		    "what is no sentence does not pass");
	if (is(eol, "n"))
		draft_lost(m->d, line_of(i, "eol"), "eol=n",
		    "sentences end with CR LF");
}

/* An address to listen on, and who may connect. */
static void
write_listen(struct multiplexer *m, struct interface *i, const char *host,
    const char *port)
{
	char listen[ADDRESS_TEXT_MAX];

	if (parts_address(m->d, host, port, listen))
		draft_listen(m->d, i->part->line, listen);
}

static int
write_serial(struct multiplexer *m, struct interface *i)
{
	const char *device = value_of(i, "filename", NULL);

	if (device == NULL)
		return refuse(
		    m, i->part->line, "the interface has no filename");
	begin(m, i, "serial");
	draft_key(m->d, "device", "%s", device);
	draft_key(m->d, "baud", "%s", value_of(i, "baud", "4800"));
	return 0;
}

static int
write_pty(struct multiplexer *m, struct interface *i)
{
	const char *link = value_of(i, "filename", NULL),
		   *perm = value_of(i, "perm", NULL),
		   *group = value_of(i, "group", NULL);

	if (is(value_of(i, "mode", "slave"), "slave")) {
		if (link == NULL)
			return refuse(
			    m, i->part->line, "the interface has no filename");
		return write_serial(m, i);
	}
	begin(m, i, "pty");
	if (link != NULL)
		draft_key(m->d, "link", "%s", link);
	if (perm != NULL)
		draft_key(m->d, "mode", "0%s", perm);
	if (group != NULL)
		draft_key(m->d, "group", "%s", group);
	return 0;
}

/* A server, or a client of another server. */
static int
write_tcp(struct multiplexer *m, struct interface *i)
{
	bool gpsd = is(value_of(i, "gpsd", "no"), "yes");
	bool keep = !is(value_of(i, "keepalive", "yes"), "no");
	char number[8];
	const char *host = value_of(i, "address", NULL),
		   *port = port_of(i, gpsd ? GPSD_PORT : PORT, number),
		   *retry = value_of(i, "retry", NULL);

	i->server = is(value_of(i, "mode", "client"), "server");
	if (i->server) {
		begin(m, i, "tcp-server");
		write_listen(m, i, host != NULL ? host : "*", port);
		if (!keep)
			draft_key(m->d, "keepalive", "no");
		return 0;
	}
	if (host == NULL)
		return refuse(m, i->part->line, "the interface has no address");
	begin(m, i, "tcp-client");
	draft_key(m->d, "connect",
	    strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s", host, port);
	if (!keep)
		draft_key(m->d, "keepalive", "no");
	if (retry != NULL)
		draft_key(m->d, "reopen_max", "%ss", retry);
	if (gpsd)
		draft_key(m->d, "on_open",
		    "?WATCH={\"enable\":true,\"nmea\":true}\\n");
	if (is(value_of(i, "persist", "no"), "no"))
		draft_warn(m->d, i->part->line,
		    "the connection is made again when it is lost, also"
		    " without 'persist'");
	return 0;
}

static bool
is_group(const char *host)
{
	struct in6_addr in6;
	struct in_addr in;

	if (host == NULL)
		return false;
	if (inet_pton(AF_INET, host, &in) == 1)
		return (ntohl(in.s_addr) >> 28) == 0xe;
	return inet_pton(AF_INET6, host, &in6) == 1 && in6.s6_addr[0] == 0xff;
}

/* Datagrams: what is received, and where to they are sent. */
static int
write_udp(struct multiplexer *m, struct interface *i)
{
	char number[8];
	const char *host = value_of(i, "address", value_of(i, "group", NULL)),
		   *port = port_of(i, PORT, number),
		   *device = value_of(i, "device", NULL);
	bool group = is_group(host);
	bool colon = host != NULL && strchr(host, ':') != NULL;

	if (i->out && host == NULL) {
		draft_leave_out(m->d, i->part->type,
		    "the address that is sent to has to be given as"
		    " 'send_to'");
		return 0;
	}
	begin(m, i, "udp");
	if (i->in) {
		write_listen(m, i,
		    group			  ? (colon ? "::" : "0.0.0.0")
			: host != NULL && !i->out ? host
						  : "*",
		    port);
		if (group)
			draft_key(m->d, "multicast", "%s", host);
	}
	if (i->out)
		draft_key(
		    m->d, "send_to", colon ? "[%s]:%s" : "%s:%s", host, port);
	if (device != NULL && group)
		draft_key(m->d, "interface", "%s", device);
	else if (device != NULL)
		draft_lost(m->d, line_of(i, "device"), device,
		    "'interface' is for multicast groups only");
	return 0;
}

/* Files are no endpoints. */
static int
write_file(struct multiplexer *m, struct interface *i)
{
	draft_leave_out(m->d, i->part->type, "%s",
	    i->out && !i->in
		? "'log' in a section writes what passes to a file"
		: "a file is no endpoint; 'ttybridgectl replay' sends one");
	return 0;
}

static int
write_none(struct multiplexer *m, struct interface *i)
{
	draft_leave_out(
	    m->d, i->part->type, "there is no such type of endpoint");
	return 0;
}

/* --- the file ------------------------------------------------------------ */

static const struct {
	const char *type;
	write_function *write;
	const char *const *keys;
} types[] = {
	{ "serial", write_serial,
	    (const char *const[]){ "filename", "baud", NULL } },
	{ "pty", write_pty,
	    (const char *const[]){
		"mode", "filename", "baud", "perm", "group", NULL } },
	{ "tcp", write_tcp,
	    (const char *const[]){
		"mode", "address", "port", "keepalive", "gpsd", NULL } },
	{ "udp", write_udp,
	    (const char *const[]){
		"address", "group", "port", "device", "type", NULL } },
	{ "broadcast", write_udp,
	    (const char *const[]){ "address", "port", "device", NULL } },
	{ "bcast", write_udp,
	    (const char *const[]){ "address", "port", "device", NULL } },
	{ "multicast", write_udp,
	    (const char *const[]){ "group", "port", "device", NULL } },
	{ "mcast", write_udp,
	    (const char *const[]){ "group", "port", "device", NULL } },
	{ "file", write_file,
	    (const char *const[]){ "filename", "append", NULL } },
	{ "seatalk", write_none, (const char *const[]){ NULL } },
	{ "gofree", write_none, (const char *const[]){ "device", NULL } },
};

/* Converts a filter; false if no sentence passes it. */
static bool
read_filter(struct multiplexer *m, const struct interface *i, const char *key,
    char text[FILTER_MAX])
{
	const struct setting *s = settings_find(&i->part->keys, key);
	struct kplex_filter filter;

	if (s == NULL)
		return true;
	if (!kplex_filter(s->value, &filter)) {
		draft_lost(m->d, s->line, s->value,
		    "it is no filter, or too long for 'match_nmea': nothing"
		    " passes");
		return false;
	}
	if (filter.wider[0] != '\0')
		draft_lost(m->d, s->line, filter.wider + 1,
		    "such sentences pass without the limit: 'match_nmea' lists"
		    " sentences, and 'rate' limits all of a route");
	if (filter.narrower[0] != '\0')
		draft_warn(m->d, s->line,
		    "'%s' in '%s' cannot be expressed by 'match_nmea': fewer"
		    " sentences pass",
		    filter.narrower + 1, s->value);
	if (filter.nothing)
		draft_warn(m->d, s->line, "nothing passes '%s'", s->value);
	memcpy(text, filter.text, FILTER_MAX);
	return !filter.nothing;
}

/* Makes it a source and a destination of the routes. */
static int
add_member(struct multiplexer *m, const struct interface *i)
{
	struct member *member;

	if (i->name[0] == '\0')
		return 0; /* it is left out */
	if ((member = members_add(&m->members)) == NULL)
		return -ENOMEM;
	memcpy(member->name, i->name, sizeof(member->name));
	member->in = i->in;
	member->out = i->out;
	member->server = i->server;
	if (i->in && !read_filter(m, i, "ifilter", member->from))
		member->in = false;
	if (i->out && !read_filter(m, i, "ofilter", member->to))
		member->out = false;
	return 0;
}

static int
write_interface(struct multiplexer *m, const struct part *part)
{
	struct interface i = { .part = part, .in = true, .out = true };
	const char *direction = value_of(&i, "direction", "both");
	int e;

	if (!is(direction, "both") && !is(direction, "in") &&
	    !is(direction, "out"))
		return refuse(m, line_of(&i, "direction"),
		    "the direction is in, out or both");
	i.in = !is(direction, "out");
	i.out = !is(direction, "in");
	for (size_t t = 0; t < NELEM(types); t++) {
		if (!is(types[t].type, part->type))
			continue;
		draft_block(m->d, part->line);
		draft_comment(m->d, "[%s], line %d.", part->type, part->line);
		lose_keys(m, part, types[t].keys, true);
		e = types[t].write(m, &i);
		return e < 0 ? e : add_member(m, &i);
	}
	return error_fail(m->err, -EINVAL,
	    "%s:%d: [%.40s] is no section of kplex", m->file, part->line,
	    part->type);
}

static void
read_global(struct multiplexer *m, const struct part *part)
{
	static const char *const known[] = { "checksum", NULL };

	draft_block(m->d, part->line);
	draft_comment(m->d, "[global], line %d.", part->line);
	lose_keys(m, part, known, false);
	m->checksum = value_in(part, "checksum", NULL);
}

static int
write_parts(struct multiplexer *m, const struct parts *parts)
{
	int e = 0;

	if (parts->n == 0)
		return error_fail(
		    m->err, -EINVAL, "%s: there is no section in it", m->file);
	for (unsigned i = 0; i < parts->n; i++)
		if (is(parts->at[i].type, "global"))
			read_global(m, &parts->at[i]);
	for (unsigned i = 0; i < parts->n && e == 0; i++)
		if (!is(parts->at[i].type, "global"))
			e = write_interface(m, &parts->at[i]);
	if (e == 0)
		members_write(&m->members, m->d);
	return e;
}

int
convert_kplex(const struct source *source, struct draft *d, struct error *err)
{
	static const struct parts_rules rules = {
		.sections = true, .comments = "#", .ends = true, .quotes = true
	};
	struct multiplexer m = { .d = d,
		.file = source->file,
		.err = err,
		.members = { .key = "match_nmea",
		    .name = "sentences",
		    .both = kplex_filter_both } };
	struct parts parts;
	int e = parts_read(source, &rules, &parts, err);

	if (e == 0)
		e = write_parts(&m, &parts);
	parts_free(&parts);
	members_free(&m.members);
	return e;
}
