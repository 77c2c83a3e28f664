/*
 * rfc2217_client: a serial line of another machine, as far as RFC 2217 tells about it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "rfc2217.h"
#include "rfc2217_client.h"

/* A line that is opened has both. */
#define SIGNALS_FIRST (TIOCM_DTR | TIOCM_RTS)
#define MODEM_MASK 0xff
#define LINE_MASK                                                          \
	(RFC2217_LINE_BREAK | RFC2217_LINE_FRAMING | RFC2217_LINE_PARITY | \
	    RFC2217_LINE_OVERRUN)
/* What the values of settings can be. */
#define BITS_MIN 5
#define BITS_MAX 8
#define BAUD_MAX UINT32_MAX

static const char parities[] = {
	[RFC2217_PARITY_NONE] = 'N',
	[RFC2217_PARITY_ODD] = 'O',
	[RFC2217_PARITY_EVEN] = 'E',
	[RFC2217_PARITY_MARK] = 'M',
	[RFC2217_PARITY_SPACE] = 'S',
};

static const uint8_t flows[] = {
	[FLOW_NONE] = RFC2217_FLOW_NONE,
	[FLOW_RTSCTS] = RFC2217_FLOW_HARDWARE,
	[FLOW_XONXOFF] = RFC2217_FLOW_XONXOFF,
	[FLOW_DTRDSR] = RFC2217_FLOW_DSR,
};

void
rfc2217_client_init(struct rfc2217_client *c,
    bool (*send)(void *, const uint8_t *, size_t), void *arg)
{
	const struct line_settings first = { 9600, { 8, 'N', 1 }, FLOW_NONE };

	memset(c, 0, sizeof(*c));
	c->send = send;
	c->arg = arg;
	c->asked = c->told = first;
	c->signals = SIGNALS_FIRST;
}

static int
send_byte(const struct rfc2217_client *c, uint8_t command, uint8_t value)
{
	const uint8_t data[] = { command, value };

	return c->send(c->arg, data, sizeof(data)) ? 0 : -ENOBUFS;
}

/* --- settings -------------------------------------------------------------- */

static uint8_t
bits_value(const struct line_settings *line)
{
	return (uint8_t)line->mode.bits;
}

static bool
bits_told(struct line_settings *line, uint8_t value)
{
	if (value < BITS_MIN || value > BITS_MAX)
		return false;
	line->mode.bits = value;
	return true;
}

static uint8_t
parity_value(const struct line_settings *line)
{
	for (uint8_t i = RFC2217_PARITY_NONE; i < NELEM(parities); i++)
		if (parities[i] == line->mode.parity)
			return i;
	return RFC2217_PARITY_NONE;
}

static bool
parity_told(struct line_settings *line, uint8_t value)
{
	if (value < RFC2217_PARITY_NONE || value >= NELEM(parities))
		return false;
	line->mode.parity = parities[value];
	return true;
}

static uint8_t
stop_value(const struct line_settings *line)
{
	return line->mode.stop == 2 ? RFC2217_STOP_2 : RFC2217_STOP_1;
}

/* One and a half bits are what a UART makes of two with five data bits. */
static bool
stop_told(struct line_settings *line, uint8_t value)
{
	if (value < RFC2217_STOP_1 || value > RFC2217_STOP_1_5)
		return false;
	line->mode.stop = value == RFC2217_STOP_1 ? 1 : 2;
	return true;
}

static uint8_t
flow_value(const struct line_settings *line)
{
	return flows[line->flow];
}

static bool
flow_told(struct line_settings *line, uint8_t value)
{
	for (size_t i = 0; i < NELEM(flows); i++) {
		if (flows[i] != value)
			continue;
		line->flow = (int)i;
		return true;
	}
	return false;
}

static const struct {
	const char *name;
	uint8_t command;
	/* Of settings with a value of one byte; told returns false if it is none. */
	uint8_t (*value)(const struct line_settings *);
	bool (*told)(struct line_settings *, uint8_t value);
} settings[SETTINGS] = {
	[SETTING_BAUD] = { "baud", RFC2217_BAUD, NULL, NULL },
	[SETTING_BITS] = { "data bits", RFC2217_DATASIZE, bits_value,
	    bits_told },
	[SETTING_PARITY] = { "parity", RFC2217_PARITY, parity_value,
	    parity_told },
	[SETTING_STOP] = { "stop bits", RFC2217_STOPSIZE, stop_value,
	    stop_told },
	[SETTING_FLOW] = { "flow control", RFC2217_CONTROL, flow_value,
	    flow_told },
};

static bool
differs(const struct line_settings *a, const struct line_settings *b,
    enum rfc2217_setting i)
{
	return i == SETTING_BAUD ? a->baud != b->baud
				 : settings[i].value(a) != settings[i].value(b);
}

static int
ask(struct rfc2217_client *c, enum rfc2217_setting i)
{
	uint8_t data[5] = { RFC2217_BAUD };
	uint32_t n = htonl((uint32_t)MIN(c->asked.baud, BAUD_MAX));
	int r = 0;

	if (i == SETTING_BAUD) {
		memcpy(data + 1, &n, sizeof(n));
		r = c->send(c->arg, data, sizeof(data)) ? 0 : -ENOBUFS;
	} else
		r = send_byte(
		    c, settings[i].command, settings[i].value(&c->asked));
	/* DSR is for output alone; the other values are for both directions. */
	if (r == 0 && i == SETTING_FLOW && c->asked.flow == FLOW_DTRDSR)
		r = send_byte(c, RFC2217_CONTROL, RFC2217_FLOW_IN_DTR);
	if (r == 0)
		c->awaited[i]++;
	return r;
}

int
rfc2217_client_set(
    struct rfc2217_client *c, const struct line_settings *line, bool all)
{
	const struct line_settings before = c->asked;
	int r;

	c->asked = *line;
	for (enum rfc2217_setting i = 0; i < SETTINGS; i++) {
		if (!all && !differs(line, &before, i))
			continue;
		if ((r = ask(c, i)) < 0)
			return r;
	}
	return 0;
}

static bool
setting_told(struct rfc2217_client *c, enum rfc2217_setting i,
    const uint8_t *value, size_t len)
{
	uint32_t n;

	if (i == SETTING_BAUD) {
		if (len < sizeof(n))
			return false;
		memcpy(&n, value, sizeof(n));
		if (n == 0)
			return false;
		c->told.baud = ntohl(n);
	} else if (len < 1 || !settings[i].told(&c->told, *value))
		return false;
	if (c->awaited[i] > 0)
		c->awaited[i]--;
	return true;
}

bool
rfc2217_client_settled(const struct rfc2217_client *c)
{
	for (size_t i = 0; i < SETTINGS; i++)
		if (c->awaited[i] > 0)
			return false;
	return true;
}

void
rfc2217_client_get(const struct rfc2217_client *c, struct line_settings *ret)
{
	const unsigned *awaited = c->awaited;

	*ret = c->told;
	if (awaited[SETTING_BAUD] > 0)
		ret->baud = c->asked.baud;
	if (awaited[SETTING_BITS] > 0)
		ret->mode.bits = c->asked.mode.bits;
	if (awaited[SETTING_PARITY] > 0)
		ret->mode.parity = c->asked.mode.parity;
	if (awaited[SETTING_STOP] > 0)
		ret->mode.stop = c->asked.mode.stop;
	if (awaited[SETTING_FLOW] > 0)
		ret->flow = c->asked.flow;
}

void
rfc2217_client_awaited(const struct rfc2217_client *c, char *buf, size_t size)
{
	buf[0] = '\0';
	for (size_t i = 0; i < SETTINGS; i++)
		if (c->awaited[i] > 0)
			append(buf, size, "%s%s", buf[0] != '\0' ? ", " : "",
			    settings[i].name);
}

void
rfc2217_client_difference(
    const struct rfc2217_client *c, char *buf, size_t size)
{
	const struct line_settings *asked = &c->asked, *told = &c->told;
	const struct serial_mode *a = &asked->mode, *t = &told->mode;

	buf[0] = '\0';
	if (!line_baud_matches(asked->baud, told->baud))
		append(buf, size, "its line runs at %llu baud instead of %llu",
		    (unsigned long long)told->baud,
		    (unsigned long long)asked->baud);
	if (differs(asked, told, SETTING_BITS) ||
	    differs(asked, told, SETTING_PARITY) ||
	    differs(asked, told, SETTING_STOP))
		append(buf, size, "%sits mode is %d%c%d instead of %d%c%d",
		    buf[0] != '\0' ? "; " : "", t->bits, t->parity, t->stop,
		    a->bits, a->parity, a->stop);
	if (asked->flow != told->flow)
		append(buf, size, "%sit does not do that flow control",
		    buf[0] != '\0' ? "; " : "");
}

/* --- signals --------------------------------------------------------------- */

int
rfc2217_client_signals(struct rfc2217_client *c, unsigned mask, unsigned levels)
{
	int r = 0;

	/* Two commands cannot be executed at the same time.  On the way from reset to
	 * bootloader, DTR must be on before RTS is off (serial_reset.c). */
	if (mask & TIOCM_DTR)
		r = send_byte(c, RFC2217_CONTROL,
		    levels & TIOCM_DTR ? RFC2217_DTR_ON : RFC2217_DTR_OFF);
	if (r == 0 && mask & TIOCM_RTS)
		r = send_byte(c, RFC2217_CONTROL,
		    levels & TIOCM_RTS ? RFC2217_RTS_ON : RFC2217_RTS_OFF);
	if (r == 0)
		c->signals = (c->signals & ~mask) | (levels & mask);
	return r;
}

int
rfc2217_client_break(struct rfc2217_client *c, bool on)
{
	return send_byte(
	    c, RFC2217_CONTROL, on ? RFC2217_BREAK_ON : RFC2217_BREAK_OFF);
}

int
rfc2217_client_purge(struct rfc2217_client *c, bool input, bool output)
{
	if (!input && !output)
		return 0;
	return send_byte(c, RFC2217_PURGE,
	    input && output ? RFC2217_PURGE_BOTH
		: input	    ? RFC2217_PURGE_RX
			    : RFC2217_PURGE_TX);
}

int
rfc2217_client_watch(struct rfc2217_client *c)
{
	int r = send_byte(c, RFC2217_LINE_MASK, LINE_MASK);

	return r < 0 ? r : send_byte(c, RFC2217_MODEM_MASK, MODEM_MASK);
}

static bool
modem_told(struct rfc2217_client *c, const uint8_t *value, size_t len)
{
	static const struct {
		uint8_t bit;
		unsigned signal;
	} lines[] = { { RFC2217_MODEM_CD, TIOCM_CAR },
		{ RFC2217_MODEM_RI, TIOCM_RNG },
		{ RFC2217_MODEM_DSR, TIOCM_DSR },
		{ RFC2217_MODEM_CTS, TIOCM_CTS } };

	if (len < 1)
		return false;
	for (size_t i = 0; i < NELEM(lines); i++) {
		c->signals &= ~lines[i].signal;
		if (*value & lines[i].bit)
			c->signals |= lines[i].signal;
	}
	return true;
}

static bool
errors_told(struct rfc2217_client *c, const uint8_t *value, size_t len)
{
	if (len < 1)
		return false;
	c->errors.breaks += (*value & RFC2217_LINE_BREAK) != 0;
	c->errors.frame += (*value & RFC2217_LINE_FRAMING) != 0;
	c->errors.parity += (*value & RFC2217_LINE_PARITY) != 0;
	c->errors.overrun += (*value & RFC2217_LINE_OVERRUN) != 0;
	return true;
}

static bool
control_told(struct rfc2217_client *c, const uint8_t *value, size_t len)
{
	if (len < 1)
		return false;
	switch (*value) {
	case RFC2217_DTR_ON:
		c->signals |= TIOCM_DTR;
		return true;
	case RFC2217_DTR_OFF:
		c->signals &= ~(unsigned)TIOCM_DTR;
		return true;
	case RFC2217_RTS_ON:
		c->signals |= TIOCM_RTS;
		return true;
	case RFC2217_RTS_OFF:
		c->signals &= ~(unsigned)TIOCM_RTS;
		return true;
	default:
		/* Answers to a break and about input only say nothing new. */
		return setting_told(c, SETTING_FLOW, value, len) ||
		    *value <= RFC2217_FLOW_DSR;
	}
}

/* --- all of them ------------------------------------------------------------ */

bool
rfc2217_client_receive(
    struct rfc2217_client *c, const uint8_t *data, size_t len)
{
	const uint8_t *value = data + 1;

	if (len == 0)
		return false;
	len--;
	switch (data[0] - RFC2217_SERVER) {
	case RFC2217_BAUD:
		return setting_told(c, SETTING_BAUD, value, len);
	case RFC2217_DATASIZE:
		return setting_told(c, SETTING_BITS, value, len);
	case RFC2217_PARITY:
		return setting_told(c, SETTING_PARITY, value, len);
	case RFC2217_STOPSIZE:
		return setting_told(c, SETTING_STOP, value, len);
	case RFC2217_CONTROL:
		return control_told(c, value, len);
	case RFC2217_LINE_STATE:
		return errors_told(c, value, len);
	case RFC2217_MODEM_STATE:
		return modem_told(c, value, len);
	case RFC2217_SUSPEND:
	case RFC2217_RESUME:
		c->suspended = data[0] == RFC2217_SERVER + RFC2217_SUSPEND;
		return true;
	case RFC2217_SIGNATURE:
	case RFC2217_LINE_MASK:
	case RFC2217_MODEM_MASK:
	case RFC2217_PURGE:
		return true;
	default:
		return false;
	}
}

/* --- for the next process ---------------------------------------------------- */

static void
save_line(const struct line_settings *line, struct pack *p)
{
	pack_number(p, line->baud);
	for (enum rfc2217_setting i = SETTING_BITS; i < SETTINGS; i++)
		pack_number(p, settings[i].value(line));
}

static void
restore_line(struct line_settings *line, struct unpack *u)
{
	line->baud = unpack_number_to(u, BAUD_MAX);
	if (line->baud == 0)
		u->failed = true;
	for (enum rfc2217_setting i = SETTING_BITS; i < SETTINGS; i++)
		if (!settings[i].told(
			line, (uint8_t)unpack_number_to(u, UINT8_MAX)))
			u->failed = true;
}

void
rfc2217_client_save(const struct rfc2217_client *c, struct pack *p)
{
	save_line(&c->asked, p);
	save_line(&c->told, p);
	for (size_t i = 0; i < SETTINGS; i++)
		pack_number(p, c->awaited[i]);
	pack_number(p, c->signals);
	pack_number(p, c->suspended);
	pack_number(p, c->errors.frame);
	pack_number(p, c->errors.parity);
	pack_number(p, c->errors.overrun);
	pack_number(p, c->errors.breaks);
}

void
rfc2217_client_restore(struct rfc2217_client *c, struct unpack *u)
{
	restore_line(&c->asked, u);
	restore_line(&c->told, u);
	for (size_t i = 0; i < SETTINGS; i++)
		c->awaited[i] = (unsigned)unpack_number_to(u, UINT32_MAX);
	c->signals = (unsigned)unpack_number_to(u, UINT32_MAX);
	c->suspended = unpack_bool(u);
	c->errors.frame = unpack_number(u);
	c->errors.parity = unpack_number(u);
	c->errors.overrun = unpack_number(u);
	c->errors.breaks = unpack_number(u);
}
