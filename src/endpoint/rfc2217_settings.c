/*
 * rfc2217_settings: commands of RFC 2217 that change the line: settings, signals, break.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "rfc2217.h"
#include "rfc2217_session.h"

/* --- settings ---------------------------------------------------------------- */

/* A setting of the line, as its number in RFC 2217. */
struct setting {
	uint8_t command;
	const char *name;
	unsigned deny;
	uint32_t (*get)(const struct line_settings *);
	/* False: there is no such value. */
	bool (*set)(struct line_settings *, uint32_t value);
};

static uint32_t
get_baud(const struct line_settings *s)
{
	return (uint32_t)s->baud;
}

static bool
set_baud(struct line_settings *s, uint32_t value)
{
	s->baud = value;
	return true;
}

static uint32_t
get_bits(const struct line_settings *s)
{
	return (uint32_t)s->mode.bits;
}

static bool
set_bits(struct line_settings *s, uint32_t value)
{
	s->mode.bits = (int)value;
	return value >= 5 && value <= 8;
}

/* In the order of RFC2217_PARITY_NONE, ... */
static const char parities[] = "NOEMS";

static uint32_t
get_parity(const struct line_settings *s)
{
	const char *p = strchr(parities, s->mode.parity);

	return p != NULL ? (uint32_t)(p - parities) + 1 : 0;
}

static bool
set_parity(struct line_settings *s, uint32_t value)
{
	if (value < RFC2217_PARITY_NONE || value > RFC2217_PARITY_SPACE)
		return false;
	s->mode.parity = parities[value - 1];
	return true;
}

/* With 5 bits, what is set as 2 stop bits are 1.5. */
static uint32_t
get_stop(const struct line_settings *s)
{
	if (s->mode.stop == 1)
		return RFC2217_STOP_1;
	return s->mode.bits == 5 ? RFC2217_STOP_1_5 : RFC2217_STOP_2;
}

static bool
set_stop(struct line_settings *s, uint32_t value)
{
	s->mode.stop = value == RFC2217_STOP_1 ? 1 : 2;
	return value <= RFC2217_STOP_2 ||
	    (value == RFC2217_STOP_1_5 && s->mode.bits == 5);
}

static const uint8_t flow_out[] = {
	[FLOW_NONE] = RFC2217_FLOW_NONE,
	[FLOW_XONXOFF] = RFC2217_FLOW_XONXOFF,
	[FLOW_RTSCTS] = RFC2217_FLOW_HARDWARE,
	[FLOW_DTRDSR] = RFC2217_FLOW_DSR,
}, flow_in[] = {
	[FLOW_NONE] = RFC2217_FLOW_IN_NONE,
	[FLOW_XONXOFF] = RFC2217_FLOW_IN_XONXOFF,
	[FLOW_RTSCTS] = RFC2217_FLOW_IN_HARDWARE,
	[FLOW_DTRDSR] = RFC2217_FLOW_IN_DTR,
};

static uint32_t
get_flow_out(const struct line_settings *s)
{
	return flow_out[s->flow];
}

static uint32_t
get_flow_in(const struct line_settings *s)
{
	return flow_in[s->flow];
}

/* Flow control is that of both directions: each of the numbers sets both. */
static bool
set_flow(struct line_settings *s, uint32_t value)
{
	for (size_t i = 0; i < NELEM(flow_out); i++)
		if (flow_out[i] == value || flow_in[i] == value) {
			s->flow = (int)i;
			return true;
		}
	return false;
}

static const struct setting settings[] = {
	{ RFC2217_BAUD, "the speed", DENY_BAUD, get_baud, set_baud },
	{ RFC2217_DATASIZE, "data bits", DENY_MODE, get_bits, set_bits },
	{ RFC2217_PARITY, "parity", DENY_MODE, get_parity, set_parity },
	{ RFC2217_STOPSIZE, "stop bits", DENY_MODE, get_stop, set_stop },
}, setting_flow_out = { RFC2217_CONTROL, "flow control", DENY_FLOW,
	get_flow_out, set_flow },
   setting_flow_in = { RFC2217_CONTROL, "flow control", DENY_FLOW, get_flow_in,
	set_flow };

/* Changes a setting of the line. */
static void
change_setting(struct client *c, struct endpoint *line,
    const struct setting *setting, uint32_t value)
{
	struct line_settings now;
	struct error err = { "" };
	int r;

	if (!client_may(c, setting->deny))
		return;
	if ((r = line_control_of(line)->get(line, &now)) < 0)
		error_set(&err, "%s", strerror(-r));
	else if (setting->get(&now) == value)
		return;
	else if (!setting->set(&now, value))
		error_set(&err, "there is no value %u for it", value);
	else
		line_control_of(line)->set(line, &now, &err);
	if (err.text[0] != '\0')
		client_failed(c, setting->name, err.text);
}

/* Whether the line of another machine has not answered yet. */
static bool
is_unsettled(const struct endpoint *line)
{
	return line != NULL && line_control_of(line)->settled != NULL &&
	    !line_control_of(line)->settled(line);
}

/* Answers with what the line does now. */
static void
answer_setting(struct client *c, const struct setting *setting, uint32_t value)
{
	struct endpoint *line = client_line(c);
	struct line_settings now;
	uint32_t result = 0, net;

	if (line != NULL && line_control_of(line)->get(line, &now) == 0)
		result = setting->get(&now);
	/* With 5 data bits, 2 and 1.5 stop bits are the same. */
	if (setting->command == RFC2217_STOPSIZE && value == RFC2217_STOP_2 &&
	    result == RFC2217_STOP_1_5)
		result = value;
	net = htonl(result);
	if (setting->command == RFC2217_BAUD)
		client_answer(
		    c, RFC2217_BAUD, (const uint8_t *)&net, sizeof(net));
	else
		client_answer_byte(c, setting->command, (uint8_t)result);
}

static void
do_setting(struct client *c, const struct setting *setting, uint32_t value,
    bool change)
{
	struct endpoint *line = client_line(c);

	if (line != NULL && change)
		change_setting(c, line, setting, value);
	if (is_unsettled(line)) {
		c->due = setting;
		c->due_value = value;
	} else
		answer_setting(c, setting, value);
}

bool
rfc2217_answer_due(struct client *c)
{
	const struct setting *setting = c->due;

	if (is_unsettled(client_line(c)))
		return false;
	c->due = NULL;
	answer_setting(c, setting, c->due_value);
	return true;
}

const char *
rfc2217_due_name(const struct client *c)
{
	return c->due->name;
}

void
rfc2217_setting(struct client *c, const uint8_t *value, size_t len)
{
	const struct setting *setting = settings;
	uint32_t number = value[0];

	while (setting->command != c->telnet.telnet.sub[1])
		setting++;
	if (len == sizeof(number)) {
		memcpy(&number, value, sizeof(number));
		number = ntohl(number);
	}
	do_setting(c, setting, number, number != RFC2217_ASK);
}

/* --- signals and break -------------------------------------------------------- */

/* The modem lines; of a line that has none, DTR and RTS as they were set. */
static int
get_signals(struct client *c, const struct endpoint *line, unsigned *ret)
{
	int r =
	    line != NULL ? line_control_of(line)->signals(line, ret) : -ENODEV;

	if (r < 0)
		*ret = r == -ENOTCONN || r == -ENODEV ? 0 : c->server->imagined;
	return r;
}

static void
change_signal(struct client *c, struct endpoint *line, unsigned bit, bool on)
{
	unsigned now;
	int r;

	if (!client_may(c, bit == TIOCM_DTR ? DENY_DTR : DENY_RTS))
		return;
	r = line_control_of(line)->set_signals(line, bit, on ? bit : 0);
	if (r == 0)
		return;
	if (r != -ENOTCONN && get_signals(c, line, &now) < 0) {
		c->server->imagined &= ~bit;
		c->server->imagined |= on ? bit : 0;
		return;
	}
	client_failed(c, bit == TIOCM_DTR ? "DTR" : "RTS", strerror(-r));
}

/* The values of RFC2217_CONTROL of a signal: those to ask, set and clear it. */
static void
do_signal(struct client *c, uint8_t value, unsigned bit, uint8_t ask)
{
	struct endpoint *line = client_line(c);
	unsigned now;

	if (value != ask && line != NULL)
		change_signal(c, line, bit, value == ask + 1);
	get_signals(c, line, &now);
	client_answer_byte(c, RFC2217_CONTROL, now & bit ? ask + 1 : ask + 2);
}

static void
do_break(struct client *c, uint8_t value)
{
	struct endpoint *line = client_line(c);
	bool on = value == RFC2217_BREAK_ON;
	int r;

	if (value != RFC2217_BREAK_ASK && line != NULL &&
	    client_may(c, DENY_BREAK)) {
		r = line_control_of(line)->set_break(line, on);
		if (r < 0)
			client_failed(c, "a break", strerror(-r));
	}
	on = line != NULL && line_control_of(line)->in_break(line);
	client_answer_byte(
	    c, RFC2217_CONTROL, on ? RFC2217_BREAK_ON : RFC2217_BREAK_OFF);
}

void
rfc2217_control(struct client *c, const uint8_t *value, size_t len)
{
	uint8_t v = value[0];

	(void)len;
	if (v >= RFC2217_DTR_ASK && v <= RFC2217_DTR_OFF)
		do_signal(c, v, TIOCM_DTR, RFC2217_DTR_ASK);
	else if (v >= RFC2217_RTS_ASK && v <= RFC2217_RTS_OFF)
		do_signal(c, v, TIOCM_RTS, RFC2217_RTS_ASK);
	else if (v >= RFC2217_BREAK_ASK && v <= RFC2217_BREAK_OFF)
		do_break(c, v);
	else if ((v >= RFC2217_FLOW_IN_ASK && v <= RFC2217_FLOW_IN_HARDWARE) ||
	    v == RFC2217_FLOW_IN_DTR)
		do_setting(c, &setting_flow_in, v, v != RFC2217_FLOW_IN_ASK);
	else
		do_setting(c, &setting_flow_out, v, v != RFC2217_FLOW_ASK);
}

/*
 * Discards output only, and only for the only client: pyserial has everything discarded
 * whenever it opens a port.  Input is passed on as it arrives, so that the port has little
 * of it, and it belongs to all clients.  What is not discarded for these reasons, or
 * because it is denied, is answered as done: otherwise pyserial could not open the port.
 */
void
rfc2217_purge(struct client *c, const uint8_t *value, size_t len)
{
	struct endpoint *line = client_line(c);
	uint8_t v = value[0];
	int r = 0;

	(void)len;
	if (v < RFC2217_PURGE_RX || v > RFC2217_PURGE_BOTH)
		v = 0;
	else if (line != NULL && v != RFC2217_PURGE_RX &&
	    c->server->ep->nlinks == 1 && client_may(c, DENY_PURGE))
		r = line_control_of(line)->purge(line, false, true);
	if (r < 0)
		log_limited(&c->server->limit, LOG_WARNING, ABOUT_ENDPOINT,
		    client_name(c), "cannot discard data: %s", strerror(-r));
	client_answer_byte(c, RFC2217_PURGE, r < 0 ? 0 : v);
}
