/*
 * rfc2217_server: executes the commands of RFC 2217.
 *
 * Commands are executed in their order, and a command that changes the line at its place
 * between the data: it waits until the data before it was written to the line, unless that
 * makes no progress for a while, and the data after it waits for the command.  Every
 * command is answered with what the line does after it.
 *
 * Modem lines and counts of errors are polled while a client has asked to be told of
 * their changes.  The timer is a descriptor, because a timer of libevent costs time in each
 * pass of the loop while it is set.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "line_control.h"
#include "line_use.h"
#include "link.h"
#include "log.h"
#include "permission_stub.h"
#include "rfc2217.h"
#include "rfc2217_server.h"
#include "telnet_filter.h"

#define TELNET_BREAK_NS (250 * NSEC_PER_MSEC)
#define MODEM_MASK_DEFAULT 0xff
#define LINE_MASK_POSSIBLE                                                 \
	(RFC2217_LINE_BREAK | RFC2217_LINE_FRAMING | RFC2217_LINE_PARITY | \
	    RFC2217_LINE_OVERRUN)
#define SIGNATURE_MAX 128

struct client {
	struct telnet_filter telnet;
	struct rfc2217 *server;
	TAILQ_ENTRY(client) entry;
	/* The line that it uses, "": none, and the number of that use. */
	char line[ENDPOINT_NAME_MAX + 1];
	uint64_t use;
	uint8_t modem_mask, line_mask;
	uint8_t modem; /* the levels that it knows */
	bool modem_known;
	struct line_errors errors; /* the counts that it knows */
	struct line_wait wait;	   /* of a command for the data before it */
};
TAILQ_HEAD(client_list, client);

struct rfc2217 {
	struct endpoint *ep;
	const struct rfc2217_conf *conf;
	bool com_port;
	struct client_list clients;
	int timer_fd; /* -1: nothing is polled */
	struct event *timer;
	struct task task;
	/* Of a line without modem lines: what was asked for last. */
	unsigned imagined;
	struct log_limit limit;
};

static struct client *
client_of(const struct telnet_filter *t)
{
	return CONTAINER_OF(t, struct client, telnet);
}

static const char *
client_name(const struct client *c)
{
	return c->telnet.filter.link->name;
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

/* --- the line -------------------------------------------------------------- */

static struct endpoint *
find_line(const struct rfc2217 *server, const char *name)
{
	return server->ep->owner->line(server->ep, name);
}

static void
release_line(struct client *c)
{
	struct endpoint *line;

	if (c->line[0] == '\0')
		return;
	line = find_line(c->server, c->line);
	c->line[0] = '\0';
	if (line != NULL)
		line_use_end(line, c->use);
}

/* The line of the client, NULL: there is none. */
static struct endpoint *
use_line(struct client *c)
{
	struct endpoint *line = find_line(c->server, c->server->conf->line);

	if (line != NULL && strcmp(c->line, line->conf->name) == 0 &&
	    line_use_is(line, c->use))
		return line;
	release_line(c);
	if (line == NULL || (c->use = line_use_begin(line)) == 0)
		return NULL;
	snprintf(c->line, sizeof(c->line), "%s", line->conf->name);
	return line;
}

static const struct line_ops *
control_of(const struct endpoint *line)
{
	return line->conf->ops->control;
}

static void
failed(struct client *c, const char *what, const char *why)
{
	log_limited(&c->server->limit, LOG_WARNING, ABOUT_ENDPOINT,
	    client_name(c), "cannot set %s: %s", what, why);
}

/* Whether the client may change that. */
static bool
permitted(struct client *c, unsigned what)
{
	return (c->server->conf->deny & what) == 0 &&
	    link_may_write(c->telnet.filter.link);
}

/* --- settings ---------------------------------------------------------------- */

static void
answer(struct client *c, uint8_t command, const uint8_t *value, size_t len)
{
	uint8_t data[1 + SIGNATURE_MAX];

	data[0] = command + RFC2217_SERVER;
	if (len > 0)
		memcpy(data + 1, value, len);
	telnet_filter_sub(&c->telnet, TELNET_COM_PORT, data, 1 + len);
}

static void
answer_byte(struct client *c, uint8_t command, uint8_t value)
{
	answer(c, command, &value, 1);
}

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

	if (!permitted(c, setting->deny))
		return;
	if ((r = control_of(line)->get(line, &now)) < 0)
		error_set(&err, "%s", strerror(-r));
	else if (setting->get(&now) == value)
		return;
	else if (!setting->set(&now, value))
		error_set(&err, "there is no value %u for it", value);
	else
		control_of(line)->set(line, &now, &err);
	if (err.text[0] != '\0')
		failed(c, setting->name, err.text);
}

static void
do_setting(struct client *c, const struct setting *setting, uint32_t value,
    bool change)
{
	struct endpoint *line = use_line(c);
	struct line_settings now;
	uint32_t result = 0, net;

	if (line != NULL && change)
		change_setting(c, line, setting, value);
	if (line != NULL && control_of(line)->get(line, &now) == 0)
		result = setting->get(&now);
	/* With 5 data bits, 2 and 1.5 stop bits are the same. */
	if (setting->command == RFC2217_STOPSIZE && value == RFC2217_STOP_2 &&
	    result == RFC2217_STOP_1_5)
		result = value;
	net = htonl(result);
	if (setting->command == RFC2217_BAUD)
		answer(c, RFC2217_BAUD, (const uint8_t *)&net, sizeof(net));
	else
		answer_byte(c, setting->command, (uint8_t)result);
}

static void
on_setting(struct client *c, const uint8_t *value, size_t len)
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
	int r = line != NULL ? control_of(line)->signals(line, ret) : -ENODEV;

	if (r < 0)
		*ret = r == -ENOTCONN || r == -ENODEV ? 0 : c->server->imagined;
	return r;
}

static void
change_signal(struct client *c, struct endpoint *line, unsigned bit, bool on)
{
	unsigned now;
	int r;

	if (!permitted(c, bit == TIOCM_DTR ? DENY_DTR : DENY_RTS))
		return;
	r = control_of(line)->set_signals(line, bit, on ? bit : 0);
	if (r == 0)
		return;
	if (r != -ENOTCONN && get_signals(c, line, &now) < 0) {
		c->server->imagined &= ~bit;
		c->server->imagined |= on ? bit : 0;
		return;
	}
	failed(c, bit == TIOCM_DTR ? "DTR" : "RTS", strerror(-r));
}

/* The values of RFC2217_CONTROL of a signal: those to ask, set and clear it. */
static void
do_signal(struct client *c, uint8_t value, unsigned bit, uint8_t ask)
{
	struct endpoint *line = use_line(c);
	unsigned now;

	if (value != ask && line != NULL)
		change_signal(c, line, bit, value == ask + 1);
	get_signals(c, line, &now);
	answer_byte(c, RFC2217_CONTROL, now & bit ? ask + 1 : ask + 2);
}

static void
do_break(struct client *c, uint8_t value)
{
	struct endpoint *line = use_line(c);
	bool on = value == RFC2217_BREAK_ON;
	int r;

	if (value != RFC2217_BREAK_ASK && line != NULL &&
	    permitted(c, DENY_BREAK)) {
		r = control_of(line)->set_break(line, on);
		if (r < 0)
			failed(c, "a break", strerror(-r));
		else
			line_use_break(line, on);
	}
	on = line != NULL && line_in_break(line);
	answer_byte(
	    c, RFC2217_CONTROL, on ? RFC2217_BREAK_ON : RFC2217_BREAK_OFF);
}

static void
on_control(struct client *c, const uint8_t *value, size_t len)
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

static void
on_purge(struct client *c, const uint8_t *value, size_t len)
{
	struct endpoint *line = use_line(c);
	uint8_t v = value[0], done = 0;
	int r;

	(void)len;
	if (line != NULL && v >= RFC2217_PURGE_RX && v <= RFC2217_PURGE_BOTH &&
	    permitted(c, DENY_PURGE)) {
		r = control_of(line)->purge(
		    line, v != RFC2217_PURGE_TX, v != RFC2217_PURGE_RX);
		if (r == 0)
			done = v;
		else
			log_limited(&c->server->limit, LOG_WARNING,
			    ABOUT_ENDPOINT, client_name(c),
			    "cannot discard data: %s", strerror(-r));
	}
	answer_byte(c, RFC2217_PURGE, done);
}

/* --- notifications ---------------------------------------------------------- */

static uint8_t
modem_levels(unsigned signals)
{
	static const struct {
		unsigned signal;
		uint8_t bit;
	} bits[] = { { TIOCM_CAR, RFC2217_MODEM_CD },
		{ TIOCM_RNG, RFC2217_MODEM_RI },
		{ TIOCM_DSR, RFC2217_MODEM_DSR },
		{ TIOCM_CTS, RFC2217_MODEM_CTS } };
	uint8_t levels = 0;

	for (size_t i = 0; i < NELEM(bits); i++)
		if (signals & bits[i].signal)
			levels |= bits[i].bit;
	return levels;
}

/* The state of the modem lines after that of `before`: levels and changes. */
static uint8_t
modem_state(uint8_t before, uint8_t levels)
{
	uint8_t changed = before ^ levels;

	/* A change of RI counts when it ends. */
	changed &= ~(levels & RFC2217_MODEM_RI);
	return levels | changed >> 4;
}

/* Tells the client the state of the modem lines, if it has changed, or always. */
static void
tell_modem(struct client *c, uint8_t levels, bool always)
{
	uint8_t before = c->modem_known ? c->modem : levels;
	uint8_t state = modem_state(before, levels);
	uint8_t changed = (before ^ levels) | (state & 0x0f);

	if (!always && (changed & c->modem_mask) == 0) {
		c->modem = levels;
		return;
	}
	/* What does not find room now is told at the next poll. */
	if (!filter_has_room(&c->telnet.filter))
		return;
	c->modem = levels;
	c->modem_known = true;
	answer_byte(c, RFC2217_MODEM_STATE, state & c->modem_mask);
}

static uint8_t
line_state(const struct line_errors *before, const struct line_errors *now)
{
	uint8_t state = 0;

	if (now->breaks != before->breaks)
		state |= RFC2217_LINE_BREAK;
	if (now->frame != before->frame)
		state |= RFC2217_LINE_FRAMING;
	if (now->parity != before->parity)
		state |= RFC2217_LINE_PARITY;
	if (now->overrun != before->overrun)
		state |= RFC2217_LINE_OVERRUN;
	return state;
}

static void
tell_line(struct client *c, const struct line_errors *errors, bool always)
{
	uint8_t state = line_state(&c->errors, errors);

	if ((!always && (state & c->line_mask) == 0) ||
	    !filter_has_room(&c->telnet.filter))
		return;
	c->errors = *errors;
	answer_byte(
	    c, RFC2217_LINE_STATE, always ? state : state & c->line_mask);
}

static void
get_errors(const struct endpoint *line, struct line_errors *ret)
{
	const struct endpoint_ops *ops = line->conf->ops;

	if (ops->line_errors == NULL || ops->line_errors(line, ret) < 0)
		memset(ret, 0, sizeof(*ret));
}

static bool
is_told(const struct client *c)
{
	return c->line[0] != '\0' && (c->modem_mask | c->line_mask) != 0;
}

static void
poll_line(struct rfc2217 *server)
{
	struct endpoint *line = find_line(server, server->conf->line);
	struct line_errors errors = { 0 };
	struct client *c;
	unsigned signals;
	bool modem;

	if (line == NULL || line->state != ENDPOINT_UP)
		return;
	modem = control_of(line)->signals(line, &signals) == 0;
	get_errors(line, &errors);
	TAILQ_FOREACH(c, &server->clients, entry) {
		if (!is_told(c) || !c->telnet.filter.link->up)
			continue;
		if (modem && c->modem_mask != 0)
			tell_modem(c, modem_levels(signals), !c->modem_known);
		if (c->line_mask != 0)
			tell_line(c, &errors, false);
	}
}

static void
poll_label(const struct task *task, char *buf, size_t size)
{
	const struct rfc2217 *server = task->arg;

	snprintf(buf, size,
	    "the next look at the modem lines for the clients of %s",
	    server->ep->conf->name);
}

static void
on_poll(evutil_socket_t fd, short what, void *arg)
{
	struct rfc2217 *server = arg;
	uint64_t times;

	(void)what;
	task_begin(&server->task);
	(void)!read(fd, &times, sizeof(times));
	poll_line(server);
	TASK_WAIT(&server->task);
	task_end(&server->task);
}

static void
stop_polling(struct rfc2217 *server)
{
	if (server->timer_fd < 0)
		return;
	if (server->timer != NULL)
		event_free(server->timer);
	server->timer = NULL;
	close(server->timer_fd);
	server->timer_fd = -1;
	task_remove(&server->task);
}

static void
start_polling(struct rfc2217 *server)
{
	uint64_t ns = server->conf->modem_poll;
	struct itimerspec every = { 0 };

	if (server->timer_fd >= 0)
		return;
	server->timer_fd =
	    timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (server->timer_fd < 0)
		return;
	every.it_interval.tv_sec = (time_t)(ns / NSEC_PER_SEC);
	every.it_interval.tv_nsec = (long)(ns % NSEC_PER_SEC);
	every.it_value = every.it_interval;
	timerfd_settime(server->timer_fd, 0, &every, NULL);
	task_add(&server->task, server, poll_label, "%s.modem",
	    server->ep->conf->name);
	TASK_WAIT(&server->task);
	server->timer = event_new(server->ep->base, server->timer_fd,
	    EV_READ | EV_PERSIST, on_poll, server);
	if (server->timer == NULL || event_add(server->timer, NULL) < 0)
		stop_polling(server);
}

/* Polls while a client is to be told of changes. */
static void
update_polling(struct rfc2217 *server)
{
	const struct client *c;

	TAILQ_FOREACH(c, &server->clients, entry)
		if (is_told(c)) {
			start_polling(server);
			return;
		}
	stop_polling(server);
}

/* The client has agreed to RFC 2217, or asks for the state of the modem lines. */
static void
tell_modem_now(struct client *c)
{
	struct endpoint *line = use_line(c);
	unsigned signals;

	if (line == NULL)
		return;
	get_signals(c, line, &signals);
	tell_modem(c, modem_levels(signals), true);
}

static void
on_modem_state(struct client *c, const uint8_t *value, size_t len)
{
	(void)value, (void)len;
	tell_modem_now(c);
}

static void
on_line_state(struct client *c, const uint8_t *value, size_t len)
{
	struct endpoint *line = use_line(c);
	struct line_errors errors = { 0 };

	(void)value, (void)len;
	if (line != NULL)
		get_errors(line, &errors);
	tell_line(c, &errors, true);
}

static void
on_modem_mask(struct client *c, const uint8_t *value, size_t len)
{
	(void)len;
	c->modem_mask = value[0];
	answer_byte(c, RFC2217_MODEM_MASK, c->modem_mask);
	update_polling(c->server);
}

static void
on_line_mask(struct client *c, const uint8_t *value, size_t len)
{
	struct endpoint *line = use_line(c);

	(void)len;
	if (c->line_mask == 0 && line != NULL)
		get_errors(line, &c->errors);
	c->line_mask = value[0] & LINE_MASK_POSSIBLE;
	answer_byte(c, RFC2217_LINE_MASK, c->line_mask);
	update_polling(c->server);
}

/* --- commands -------------------------------------------------------------- */

static void
on_signature(struct client *c, const uint8_t *value, size_t len)
{
	char text[SIGNATURE_MAX];

	if (len > 0) {
		escape(value, len, text, sizeof(text));
		log_to(LOG_INFO, ABOUT_ENDPOINT, client_name(c), "is %s", text);
		return;
	}
	snprintf(text, sizeof(text), "ttybridge %s %s", VERSION,
	    c->server->ep->conf->name);
	answer(c, RFC2217_SIGNATURE, (const uint8_t *)text, strlen(text));
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

/* value has at least one byte, which is 0 if there is none. */
static const struct {
	size_t min, max; /* length of the value */
	bool waits;	 /* for the data before it, unless it asks */
	void (*run)(struct client *, const uint8_t *value, size_t len);
} commands[] = {
	[RFC2217_SIGNATURE] = { 0, TELNET_SUB_MAX, false, on_signature },
	[RFC2217_BAUD] = { 4, 4, true, on_setting },
	[RFC2217_DATASIZE] = { 1, 1, true, on_setting },
	[RFC2217_PARITY] = { 1, 1, true, on_setting },
	[RFC2217_STOPSIZE] = { 1, 1, true, on_setting },
	[RFC2217_CONTROL] = { 1, 1, true, on_control },
	[RFC2217_LINE_STATE] = { 0, 1, false, on_line_state },
	[RFC2217_MODEM_STATE] = { 0, 1, false, on_modem_state },
	[RFC2217_SUSPEND] = { 0, 1, false, on_suspend },
	[RFC2217_RESUME] = { 0, 1, false, on_resume },
	[RFC2217_LINE_MASK] = { 1, 1, false, on_line_mask },
	[RFC2217_MODEM_MASK] = { 1, 1, false, on_modem_mask },
	[RFC2217_PURGE] = { 1, 1, false, on_purge },
};

static void
wait_label(const struct telnet_filter *t, char *buf, size_t size)
{
	const struct client *c = client_of(t);

	snprintf(buf, size, "what %s sent before a command to be written to %s",
	    client_name(c), c->line[0] != '\0' ? c->line : "the line");
}

/* Whether a command must wait for the data before it. */
static bool
must_wait(struct client *c, bool after_data)
{
	struct endpoint *line = use_line(c);

	if (line == NULL)
		return false;
	if (after_data || !line_written(line, &c->wait))
		return true;
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
	command = telnet->sub[1];
	if (telnet->sub_len < 2 || command >= NELEM(commands) ||
	    len < commands[command].min || len > commands[command].max) {
		c->server->ep->bad_commands++;
		return true;
	}
	if (commands[command].waits && must_wait(c, after_data))
		return false;
	memcpy(value, telnet->sub + 2, len);
	commands[command].run(c, value, len);
	return true;
}

/* The break of telnet has no length of its own. */
static bool
on_telnet_break(struct client *c, bool after_data)
{
	struct endpoint *line = use_line(c);
	int r;

	if (line == NULL)
		return true;
	if (must_wait(c, after_data))
		return false;
	if (!permitted(c, DENY_BREAK))
		return true;
	r = endpoint_break(line, TELNET_BREAK_NS);
	if (r < 0 && r != -EBUSY)
		failed(c, "a break", strerror(-r));
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
			tell_modem_now(c);
			update_polling(c->server);
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
	line = use_line(c);
	if (line != NULL)
		get_errors(line, &c->errors);
	update_polling(c->server);
}

static void
free_client(struct telnet_filter *t)
{
	struct client *c = client_of(t);

	TAILQ_REMOVE(&c->server->clients, c, entry);
	release_line(c);
	update_polling(c->server);
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
	stop_polling(server);
	free(server);
}
