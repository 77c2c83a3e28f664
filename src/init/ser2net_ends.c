/*
 * ser2net_ends: both sides of a connection: accepters and connectors.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "address.h"
#include "gensio.h"
#include "ini_reader.h"
#include "ser2net_options.h"

#define DEFAULT_KEY "/etc/ser2net/ser2net.key"
#define DEFAULT_CERT "/etc/ser2net/ser2net.crt"

/* What may stand before other gensios; most of them have no counterpart here. */
static const char *const filters[] = { "telnet", "ssl", "mux", "certauth",
	"msgdelim", "relpkt", "ratelimit", "chardelay", "trace", "perf",
	"conacc", "mdns", "kiss", "ax25", "xlt", "keepopen", "script", "hdlc",
	"convcode", "axfec", NULL };

static const char *const types[] = { "tcp", "udp", "unix", "unixseq",
	"unixdgram", "sctp", "stdio", "pty", "echo", "file", "dummy", "ipmisol",
	"serialdev", "sdev", "termios", "dev", "sound", "soapy", "fsk",
	"cm108gpio", "afskmdm", NULL };

/* Why a gensio cannot be used. */
static const struct {
	const char *type, *why;
} refused[] = {
	{ "certauth",
	    "users are not asked for passwords or keys, and without that"
	    " anybody could connect; tls_ca admits those with a certificate" },
	{ "mux", "a connection has no channels" },
	{ "sctp", "there is no SCTP" },
	{ "ipmisol", "consoles of IPMI are reached by other programs only" },
	{ "dev", "a serial section is for serial ports only" },
};

/* A gensio, and which of the supported layers it has. */
struct stack {
	struct gensio g;
	bool telnet, rfc2217, ssl, conacc;
	const struct settings *ssl_options;
	const char *telnet_mode; /* that of this side unless another is given */
};

/* Says that the connection cannot be converted because of a gensio. */
static void
refuse(struct draft *d, const struct setting *of, const char *type)
{
	/* Its arguments may have a password. */
	const char *what = strcmp(type, "ipmisol") == 0 ? type : of->value,
		   *why = NULL;

	for (size_t i = 0; i < NELEM(refused); i++)
		if (strcmp(refused[i].type, type) == 0)
			why = refused[i].why;
	if (why != NULL)
		draft_lost(d, of->line, what, "%s", why);
	else
		draft_lost(
		    d, of->line, what, "'%.60s' has no counterpart", type);
}

static void
read_telnet(
    struct draft *d, const struct gensio_layer *layer, struct stack *stack)
{
	static const char *const known[] = { "rfc2217", "mode", NULL };
	static const char *const other_mode[] = { "rfc2217", NULL };
	const char *value = settings_value(&layer->options, "rfc2217"),
		   *mode = settings_value(&layer->options, "mode");

	stack->telnet = true;
	stack->rfc2217 = value != NULL && gensio_is_true(value);
	ser2net_unknown(d, "telnet", &layer->options,
	    mode == NULL || strcmp(mode, stack->telnet_mode) == 0 ? known
								  : other_mode);
}

/* Reads the layers above the last one; false if one of them is not supported. */
static bool
read_layers(struct draft *d, const struct setting *of, struct stack *stack)
{
	static const char *const none[] = { NULL };

	for (unsigned i = 0; i + 1 < stack->g.n; i++) {
		const struct gensio_layer *layer = &stack->g.layer[i];

		if (strcmp(layer->type, "telnet") == 0 && !stack->telnet &&
		    !stack->ssl)
			read_telnet(d, layer, stack);
		else if (strcmp(layer->type, "ssl") == 0 && !stack->ssl) {
			stack->ssl = true;
			stack->ssl_options = &layer->options;
		} else if (strcmp(layer->type, "conacc") == 0 && i == 0) {
			stack->conacc = true;
			ser2net_unknown(d, "conacc", &layer->options, none);
		} else {
			refuse(d, of, layer->type);
			return false;
		}
	}
	return true;
}

/* -EINVAL: it cannot be converted, and the draft says why; -ENOMEM. */
static int
read_stack(struct draft *d, const struct setting *of, const char *telnet_mode,
    struct stack *stack)
{
	int r;

	memset(stack, 0, sizeof(*stack));
	stack->telnet_mode = telnet_mode;
	r = gensio_parse(of->value, of->line, filters, types, &stack->g);
	if (r == -EINVAL)
		draft_lost(d, of->line, of->value, "it has no valid syntax");
	if (r == 0 && !read_layers(d, of, stack))
		r = -EINVAL;
	return r;
}

/* --- TLS ----------------------------------------------------------------- */

static const char *
tls_file(struct ser2net *s, const struct settings *options, const char *name)
{
	const char *value = settings_value(options, name);

	if (value == NULL)
		value = ser2net_default(s, "ssl", name);
	return value != NULL && *value != '\0' ? value : NULL;
}

/* A file of CA certificates; a directory cannot be used. */
static void
add_ca(struct draft *d, int line, const char *ca, struct settings *keys)
{
	if (ca[strlen(ca) - 1] == '/')
		draft_lost(d, line, ca,
		    "'tls_ca' is a file, and not a directory of"
		    " certificates");
	else
		settings_add(keys, line, "tls_ca", ca);
}

/* Returns false if clients would have to be admitted without a certificate. */
static bool
server_tls(struct ser2net *s, const struct setting *of,
    const struct settings *options, struct settings *keys)
{
	static const char *const known[] = { "CA", "key", "cert", "clientauth",
		"con-timeout", NULL };
	const char *key = tls_file(s, options, "key"),
		   *cert = tls_file(s, options, "cert"),
		   *ca = tls_file(s, options, "CA"),
		   *auth = settings_value(options, "clientauth"),
		   *timeout = settings_value(options, "con-timeout");

	if (cert == NULL)
		cert = key != NULL ? key : DEFAULT_CERT;
	settings_add(keys, of->line, "tls", "yes");
	settings_add(keys, of->line, "tls_cert", cert);
	settings_add(keys, of->line, "tls_key", key ? key : DEFAULT_KEY);
	if (timeout != NULL)
		settings_add(keys, of->line, "handshake_timeout", timeout);
	ser2net_unknown(s->draft, "ssl", options, known);
	if (auth == NULL || !gensio_is_true(auth))
		return true;
	if (ca != NULL && ca[strlen(ca) - 1] != '/') {
		settings_add(keys, of->line, "tls_ca", ca);
		return true;
	}
	draft_lost(s->draft, of->line, of->value,
	    "clients must present a certificate, and 'CA' names no file of"
	    " certificates for 'tls_ca'");
	return false;
}

static void
client_tls(struct ser2net *s, const struct setting *of,
    const struct settings *options, struct settings *keys)
{
	static const char *const known[] = { "CA", "key", "cert", NULL };
	const char *key = tls_file(s, options, "key"),
		   *cert = tls_file(s, options, "cert"),
		   *ca = tls_file(s, options, "CA");

	settings_add(keys, of->line, "tls", "yes");
	if (ca != NULL)
		add_ca(s->draft, of->line, ca, keys);
	if (key != NULL) {
		settings_add(
		    keys, of->line, "tls_cert", cert != NULL ? cert : key);
		settings_add(keys, of->line, "tls_key", key);
	}
	draft_warn(s->draft, of->line,
	    "the certificate of the server has to have the name that is"
	    " connected to, which ser2net did not look at: see 'tls_name'");
	ser2net_unknown(s->draft, "ssl", options, known);
}

/* --- sockets ------------------------------------------------------------- */

/* Appends a word to a list of them. */
static void
add_word(struct settings *keys, int line, const char *key, const char *word)
{
	const struct setting *old = settings_find(keys, key);
	char list[CONFIG_LINE_MAX];

	snprintf(list, sizeof(list), "%s%s%s", old != NULL ? old->value : "",
	    old != NULL ? " " : "", word);
	settings_set(keys, line, key, list);
}

/*
 * "[FAMILY,]HOST,PORT" that may connect.  With UDP, what a port is given for is always sent
 * to.
 */
static void
read_remote(struct draft *d, const struct setting *of, char *item,
    bool datagrams, struct settings *keys)
{
	char *text = item, *host = gensio_word(&text, ", "), *port;
	char address[ADDRESS_TEXT_MAX];

	if (host != NULL && strncmp(host, "ipv", 3) == 0)
		host = gensio_word(&text, ", ");
	if (host == NULL)
		return;
	if (*host == '!') {
		draft_lost(d, of->line, of->value,
		    "connections to other machines are sections tcp-client or"
		    " udp");
		host++;
	}
	add_word(keys, of->line, "allow", host);
	port = gensio_word(&text, ", ");
	if (port == NULL || strcmp(port, "0") == 0)
		return;
	snprintf(address, sizeof(address),
	    strchr(host, ':') != NULL ? "[%.90s]:%.8s" : "%.90s:%.8s", host,
	    port);
	if (datagrams)
		add_word(keys, of->line, "send_to", address);
	else
		draft_lost(d, of->line, of->value,
		    "any port of such a machine may connect");
}

static int
read_remotes(struct draft *d, const struct setting *of, bool datagrams,
    struct settings *keys)
{
	char *copy = strdup(of->value), *save, *item;

	if (copy == NULL)
		return -ENOMEM;
	for (item = strtok_r(copy, ";", &save); item != NULL;
	     item = strtok_r(NULL, ";", &save))
		read_remote(d, of, item, datagrams, keys);
	free(copy);
	return 0;
}

/* Who may connect to an address. */
static void
add_allow(struct ser2net *s, const struct ser2net_connection *c,
    const char *listen, bool datagrams, struct settings *keys)
{
	struct setting standard = { .name = "remaddr", .line = c->line };
	bool given = false;

	standard.value = (char *)ser2net_default(s, "ser2net", "remaddr");
	for (unsigned i = 0; i < c->options.n; i++) {
		const struct setting *o = &c->options.at[i];

		if (strcasecmp(o->name, "remaddr") != 0)
			continue;
		given = true;
		if (read_remotes(s->draft, o, datagrams, keys) < 0)
			keys->nomem = true;
	}
	if (!given && standard.value != NULL &&
	    read_remotes(s->draft, &standard, datagrams, keys) < 0)
		keys->nomem = true;
	if (settings_find(keys, "allow") != NULL || !draft_is_open(listen))
		return;
	settings_add(keys, c->line, "allow", DRAFT_ALLOW_ALL);
	draft_open(s->draft, c->accepter.line,
	    ", as ttybridge does not read hosts.allow and hosts.deny");
}

static void
accept_tcp(struct ser2net *s, const struct ser2net_connection *c,
    const struct stack *stack, struct ser2net_end *end)
{
	static const char *const known[] = { "nodelay", "reuseaddr", NULL };
	char listen[ADDRESS_TEXT_MAX];

	if (!ser2net_address(s->draft, &c->accepter, stack->g.rest, true,
		listen, sizeof(listen)))
		return;
	settings_add(&end->keys, c->accepter.line, "listen", listen);
	add_allow(s, c, listen, false, &end->keys);
	if (stack->telnet)
		settings_add(&end->keys, c->accepter.line, "protocol",
		    stack->rfc2217 ? "rfc2217" : "telnet");
	ser2net_unknown(
	    s->draft, "tcp", &gensio_base(&stack->g)->options, known);
	if (!stack->ssl ||
	    server_tls(s, &c->accepter, stack->ssl_options, &end->keys))
		end->type = "tcp-server";
}

static void
accept_udp(struct ser2net *s, const struct ser2net_connection *c,
    const struct stack *stack, struct ser2net_end *end)
{
	static const char *const known[] = { "reuseaddr", NULL };
	char listen[ADDRESS_TEXT_MAX];

	if (!ser2net_address(s->draft, &c->accepter, stack->g.rest, true,
		listen, sizeof(listen)))
		return;
	settings_add(&end->keys, c->accepter.line, "listen", listen);
	add_allow(s, c, listen, true, &end->keys);
	ser2net_unknown(
	    s->draft, "udp", &gensio_base(&stack->g)->options, known);
	end->type = "udp";
}

static void
accept_unix(struct ser2net *s, const struct ser2net_connection *c,
    const struct stack *stack, struct ser2net_end *end)
{
	static const char *const known[] = { "perm", "group", "delsock", NULL };
	const struct settings *options = &gensio_base(&stack->g)->options;
	const char *perm = settings_value(options, "perm"),
		   *group = settings_value(options, "group");

	settings_add(&end->keys, c->accepter.line, "listen", stack->g.rest);
	if (perm != NULL)
		settings_addf(
		    &end->keys, c->accepter.line, "mode", "0%s", perm);
	if (group != NULL)
		settings_add(&end->keys, c->accepter.line, "group", group);
	/* Without these every user of the machine could connect. */
	if (settings_find(options, "peerusers") != NULL ||
	    settings_find(options, "peergrps") != NULL) {
		draft_lost(s->draft, c->accepter.line, c->accepter.value,
		    "'mode' and 'group' determine who may connect, and not a"
		    " list of users");
		return;
	}
	ser2net_unknown(s->draft, "unix", options, known);
	end->type = "unix-server";
}

/* A connection to another machine, on either side. */
static void
connect_tcp(struct ser2net *s, const struct setting *of,
    const struct stack *stack, struct ser2net_end *end)
{
	static const char *const known[] = { "nodelay", "reuseaddr", NULL };
	char address[ADDRESS_TEXT_MAX];

	if (!ser2net_address(
		s->draft, of, stack->g.rest, false, address, sizeof(address)))
		return;
	ser2net_unknown(
	    s->draft, "tcp", &gensio_base(&stack->g)->options, known);
	if (stack->rfc2217 && !stack->ssl) {
		settings_addf(
		    &end->keys, of->line, "device", "rfc2217://%s", address);
		settings_add(&end->keys, of->line, "open", "demand");
		draft_warn(s->draft, of->line,
		    "'baud' and 'mode' of the port are set to 9600 8N1 unless"
		    " they are given");
		end->type = "serial";
		return;
	}
	settings_add(&end->keys, of->line, "connect", address);
	if (stack->telnet)
		settings_add(&end->keys, of->line, "protocol", "telnet");
	if (stack->rfc2217)
		draft_lost(s->draft, of->line, "rfc2217",
		    "RFC 2217 cannot be encrypted");
	if (stack->ssl)
		client_tls(s, of, stack->ssl_options, &end->keys);
	end->type = "tcp-client";
}

/* --- both sides ---------------------------------------------------------- */

typedef void accept_function(struct ser2net *,
    const struct ser2net_connection *, const struct stack *,
    struct ser2net_end *);

int
ser2net_accepter(struct ser2net *s, const struct ser2net_connection *c,
    struct ser2net_end *end)
{
	static const struct {
		const char *type;
		accept_function *accept;
	} accepters[] = {
		{ "tcp", accept_tcp },
		{ "udp", accept_udp },
		{ "unix", accept_unix },
	};
	struct stack stack;
	int r = read_stack(s->draft, &c->accepter, "server", &stack);
	const char *type = r == 0 ? gensio_base(&stack.g)->type : "";
	bool plain = !stack.telnet && !stack.ssl && !stack.conacc, done = false;

	snprintf(end->name, sizeof(end->name), "%s", c->name);
	if (r == 0 && stack.conacc && strcmp(type, "tcp") == 0) {
		connect_tcp(s, &c->accepter, &stack, end);
		done = true;
	}
	for (size_t i = 0; r == 0 && !done && i < NELEM(accepters); i++)
		if (strcmp(type, accepters[i].type) == 0 && (i == 0 || plain)) {
			accepters[i].accept(s, c, &stack, end);
			done = true;
		}
	if (r == 0 && !done)
		refuse(s->draft, &c->accepter, type);
	gensio_free(&stack.g);
	return r == -ENOMEM || end->keys.nomem ? -ENOMEM : 0;
}

static void
connect_echo(struct ser2net *s, const struct ser2net_connection *c,
    const struct stack *stack, struct ser2net_end *end)
{
	(void)s, (void)c, (void)stack;
	snprintf(end->name, sizeof(end->name), "echo");
	end->type = "echo";
}

static void
connect_serial(struct ser2net *s, const struct ser2net_connection *c,
    const struct stack *stack, struct ser2net_end *end)
{
	ser2net_serial(s, c, &stack->g, end);
}

static void
connect_network(struct ser2net *s, const struct ser2net_connection *c,
    const struct stack *stack, struct ser2net_end *end)
{
	snprintf(end->name, sizeof(end->name), "%s-remote", c->name);
	connect_tcp(s, &c->connector, stack, end);
	if (end->type != NULL && strcmp(end->type, "tcp-client") == 0)
		draft_warn(s->draft, c->connector.line,
		    "this connection is always established, and not only"
		    " while there is a client");
}

static void
connect_unix(struct ser2net *s, const struct ser2net_connection *c,
    const struct stack *stack, struct ser2net_end *end)
{
	(void)s;
	snprintf(end->name, sizeof(end->name), "%s-remote", c->name);
	settings_add(&end->keys, c->connector.line, "connect", stack->g.rest);
	end->type = "unix-client";
}

int
ser2net_connector(struct ser2net *s, const struct ser2net_connection *c,
    struct ser2net_end *end)
{
	static const struct {
		const char *type;
		bool layers; /* other gensios may stand before it */
		accept_function *connect;
	} connectors[] = {
		{ "serialdev", false, connect_serial },
		{ "sdev", false, connect_serial },
		{ "termios", false, connect_serial },
		{ "tcp", true, connect_network },
		{ "unix", false, connect_unix },
		{ "echo", false, connect_echo },
	};
	struct stack stack;
	int r = read_stack(s->draft, &c->connector, "client", &stack);
	const char *type = r == 0 ? gensio_base(&stack.g)->type : "";
	bool plain = stack.g.n == 1, done = false;

	for (size_t i = 0; r == 0 && !done && i < NELEM(connectors); i++)
		if (strcmp(type, connectors[i].type) == 0 &&
		    (plain || connectors[i].layers)) {
			connectors[i].connect(s, c, &stack, end);
			done = true;
		}
	if (r == 0 && !done)
		refuse(s->draft, &c->connector, type);
	gensio_free(&stack.g);
	return r == -ENOMEM || end->keys.nomem ? -ENOMEM : 0;
}
