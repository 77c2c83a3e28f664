/*
 * rfc2217_server: executes the commands of RFC 2217.
 *
 * Commands are executed in their order, and a command that changes the line at its place
 * between the data: it waits until the data before it was written to the line, unless that
 * makes no progress for a while, and the data after it waits for the command.  Every
 * command is answered with what the line does after it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "rfc2217.h"
#include "rfc2217_session.h"

#define TELNET_BREAK_NS (250 * NSEC_PER_MSEC)
#define MODEM_MASK_DEFAULT 0xff

static struct client *
client_of(const struct telnet_filter *t)
{
	return CONTAINER_OF(t, struct client, telnet);
}

/* --- rfc2217_deny ---------------------------------------------------------- */

static const char *const deny_words[] = { "baud", "mode", "flow", "dtr", "rts",
	"break", "purge", NULL };

static int
deny_bit(const char *word, size_t len)
{
	for (int i = 0; deny_words[i] != NULL; i++)
		if (strlen(deny_words[i]) == len &&
		    memcmp(deny_words[i], word, len) == 0)
			return i;
	return -1;
}

int
rfc2217_deny_parse(void *field, const char *value, struct error *err)
{
	const char *list = value, *word;
	uint64_t deny = 0;
	char name[32];
	size_t len;
	int bit;

	while ((word = list_word(&list, &len)) != NULL) {
		if ((bit = deny_bit(word, len)) >= 0) {
			deny |= 1u << bit;
			continue;
		}
		snprintf(name, sizeof(name), "%.*s", (int)MIN(len, 31), word);
		error_set(err,
		    "'%s' is none of baud, mode, flow, dtr, rts, break and"
		    " purge",
		    name);
		error_append_meant(err, nearest(name, deny_words));
		return -EINVAL;
	}
	*(uint64_t *)field = deny;
	return 0;
}

void
rfc2217_deny_print(const void *field, char *buf, size_t size)
{
	uint64_t deny = *(const uint64_t *)field;

	buf[0] = '\0';
	for (int i = 0; deny_words[i] != NULL; i++)
		if (deny & 1u << i)
			append(buf, size, "%s%s", buf[0] != '\0' ? " " : "",
			    deny_words[i]);
}

/* --- commands -------------------------------------------------------------- */

static void
on_signature(struct client *c, const uint8_t *value, size_t len)
{
	char text[SIGNATURE_MAX];

	if (len > 0) {
		escape(value, len, text, sizeof(text));
		log_limited(&c->server->limit, LOG_INFO, ABOUT_ENDPOINT,
		    client_name(c), "is %s", text);
		return;
	}
	snprintf(text, sizeof(text), "ttybridge %s %s", VERSION,
	    c->server->ep->conf->name);
	client_answer(
	    c, RFC2217_SIGNATURE, (const uint8_t *)text, strlen(text));
}

static void
on_suspend(struct client *c, const uint8_t *value, size_t len)
{
	(void)value, (void)len;
	filter_suspend(&c->telnet.filter, true);
}

static void
on_resume(struct client *c, const uint8_t *value, size_t len)
{
	(void)value, (void)len;
	filter_suspend(&c->telnet.filter, false);
}

/* Values that change nothing; the last one is also the end of the string. */
static const char control_asks[] = { RFC2217_BREAK_ASK, RFC2217_DTR_ASK,
	RFC2217_RTS_ASK, RFC2217_FLOW_IN_ASK, RFC2217_FLOW_ASK };

/* Whether a value of that command changes nothing. */
static bool
asks(uint8_t command, const uint8_t *value, size_t len)
{
	static const uint8_t none[sizeof(uint32_t)];

	if (command == RFC2217_CONTROL)
		return strchr(control_asks, value[0]) != NULL;
	return len <= sizeof(none) && memcmp(value, none, len) == 0;
}

/* value has at least one byte, which is 0 if there is none. */
static const struct {
	size_t min, max; /* length of the value */
	bool waits;	 /* for the data before it, unless it asks */
	void (*run)(struct client *, const uint8_t *value, size_t len);
} commands[] = {
	[RFC2217_SIGNATURE] = { 0, TELNET_SUB_MAX, false, on_signature },
	[RFC2217_BAUD] = { 4, 4, true, rfc2217_setting },
	[RFC2217_DATASIZE] = { 1, 1, true, rfc2217_setting },
	[RFC2217_PARITY] = { 1, 1, true, rfc2217_setting },
	[RFC2217_STOPSIZE] = { 1, 1, true, rfc2217_setting },
	[RFC2217_CONTROL] = { 1, 1, true, rfc2217_control },
	[RFC2217_LINE_STATE] = { 0, 1, false, rfc2217_line_state },
	[RFC2217_MODEM_STATE] = { 0, 1, false, rfc2217_modem_state },
	[RFC2217_SUSPEND] = { 0, 1, false, on_suspend },
	[RFC2217_RESUME] = { 0, 1, false, on_resume },
	[RFC2217_LINE_MASK] = { 1, 1, false, rfc2217_line_mask },
	[RFC2217_MODEM_MASK] = { 1, 1, false, rfc2217_modem_mask },
	[RFC2217_PURGE] = { 1, 1, false, rfc2217_purge },
};

static void
wait_label(const struct telnet_filter *t, char *buf, size_t size)
{
	const struct client *c = client_of(t);

	if (c->due != NULL)
		snprintf(buf, size, "%s to confirm %s, for %s", c->line,
		    rfc2217_due_name(c), client_name(c));
	else
		snprintf(buf, size,
		    "what %s sent before a command to be written to %s",
		    client_name(c), c->line[0] != '\0' ? c->line : "the line");
}

/* Whether a command must wait for the data before it. */
static bool
must_wait(struct client *c, bool after_data)
{
	struct endpoint *line = client_line(c);
	const struct link *link = c->telnet.filter.link;

	if (line == NULL)
		return false;
	if (after_data ||
	    (link->rx_bytes != c->rx_bytes && !line_written(line, &c->wait)))
		return true;
	c->rx_bytes = link->rx_bytes;
	c->wait.started = false;
	return false;
}

static bool
on_subnegotiation(struct client *c, bool after_data)
{
	const struct telnet *telnet = &c->telnet.telnet;
	size_t len = telnet->sub_len - 2;
	uint8_t value[TELNET_SUB_MAX] = { 0 }, command;

	if (!c->server->com_port || telnet->sub[0] != TELNET_COM_PORT)
		return true;
	if (c->due != NULL)
		return rfc2217_answer_due(c);
	command = telnet->sub[1];
	if (telnet->sub_len < 2 || command >= NELEM(commands) ||
	    len < commands[command].min || len > commands[command].max) {
		c->server->ep->bad_commands++;
		return true;
	}
	memcpy(value, telnet->sub + 2, len);
	if (commands[command].waits && !asks(command, value, len) &&
	    must_wait(c, after_data))
		return false;
	commands[command].run(c, value, len);
	return c->due == NULL;
}

/* The break of telnet has no length of its own. */
static bool
on_telnet_break(struct client *c, bool after_data)
{
	struct endpoint *line = client_line(c);
	int r;

	if (line == NULL)
		return true;
	if (must_wait(c, after_data))
		return false;
	if (!client_may(c, DENY_BREAK))
		return true;
	r = endpoint_break(line, TELNET_BREAK_NS);
	if (r < 0 && r != -EBUSY)
		client_failed(c, "a break", strerror(-r));
	return true;
}

static bool
on_event(struct telnet_filter *t, enum telnet_event event, bool after_data)
{
	static const char alive[] = "\r\n[yes]\r\n";
	struct client *c = client_of(t);

	switch (event) {
	case TELNET_SUBNEGOTIATION:
		return on_subnegotiation(c, after_data);
	case TELNET_OPTION:
		if (t->telnet.option == TELNET_COM_PORT && !c->modem_known &&
		    (telnet_has(&t->telnet, TELNET_COM_PORT, true) ||
			telnet_has(&t->telnet, TELNET_COM_PORT, false))) {
			client_tell_modem(c);
			rfc2217_update_polling(c->server);
		}
		return true;
	case TELNET_COMMAND:
		if (t->telnet.command == TELNET_BRK)
			return on_telnet_break(c, after_data);
		if (t->telnet.command == TELNET_AYT)
			filter_command(&t->filter, (const uint8_t *)alive,
			    sizeof(alive) - 1);
		return true;
	default:
		return true;
	}
}

/* --- clients --------------------------------------------------------------- */

static void
save_client(const struct telnet_filter *t, struct pack *p)
{
	const struct client *c = client_of(t);

	pack_string(p, c->line);
	pack_number(p, c->modem_mask);
	pack_number(p, c->line_mask);
	pack_number(p, c->modem);
	pack_number(p, c->modem_known);
}

static void
restore_client(struct telnet_filter *t, struct unpack *u)
{
	struct client *c = client_of(t);
	struct endpoint *line;
	char name[sizeof(c->line)];

	unpack_string(u, name, sizeof(name));
	c->modem_mask = (uint8_t)unpack_number_to(u, UINT8_MAX);
	c->line_mask = (uint8_t)unpack_number_to(u, UINT8_MAX);
	c->modem = (uint8_t)unpack_number_to(u, UINT8_MAX);
	c->modem_known = unpack_bool(u);
	if (u->failed || name[0] == '\0')
		return;
	line = client_line(c);
	if (line != NULL)
		client_know_errors(c, line);
	rfc2217_update_polling(c->server);
}

static void
free_client(struct telnet_filter *t)
{
	struct client *c = client_of(t);

	TAILQ_REMOVE(&c->server->clients, c, entry);
	client_release_line(c);
	rfc2217_update_polling(c->server);
	free(c);
}

#define COMMON_OPTIONS                                \
	{ TELNET_BINARY, true, true, true, true },    \
	    { TELNET_SGA, true, true, true, true },   \
	{                                             \
		TELNET_ECHO, true, false, true, false \
	}

static const struct telnet_option telnet_options[] = { COMMON_OPTIONS };
static const struct telnet_option com_port_options[] = {
	{ TELNET_COM_PORT, true, true, false, true }, COMMON_OPTIONS
};

#define HANDLER(table)                                                         \
	{                                                                      \
		.options = table, .noptions = NELEM(table), .event = on_event, \
		.label = wait_label, .save = save_client,                      \
		.restore = restore_client, .free = free_client                 \
	}

static const struct telnet_handler telnet_handler = HANDLER(telnet_options);
static const struct telnet_handler com_port_handler = HANDLER(com_port_options);

int
rfc2217_attach(struct rfc2217 *server, struct link *link)
{
	struct client *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return -ENOMEM;
	c->server = server;
	c->modem_mask = server->com_port ? MODEM_MASK_DEFAULT : 0;
	TAILQ_INSERT_TAIL(&server->clients, c, entry);
	telnet_attach(link, &c->telnet,
	    server->com_port ? &com_port_handler : &telnet_handler);
	return 0;
}

int
rfc2217_new(struct endpoint *ep, const struct rfc2217_conf *conf, bool com_port,
    struct rfc2217 **ret)
{
	struct rfc2217 *server = calloc(1, sizeof(*server));

	if (server == NULL)
		return -ENOMEM;
	server->ep = ep;
	server->conf = conf;
	server->com_port = com_port;
	server->timer_fd = -1;
	server->imagined = TIOCM_DTR | TIOCM_RTS;
	TAILQ_INIT(&server->clients);
	*ret = server;
	return 0;
}

void
rfc2217_free(struct rfc2217 *server)
{
	if (server == NULL)
		return;
	rfc2217_stop_polling(server);
	free(server);
}
