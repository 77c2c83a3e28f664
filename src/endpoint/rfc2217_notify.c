/*
 * rfc2217_notify: tells clients of an RFC 2217 server of changes of modem lines and of
 * errors on the line.
 *
 * Both are polled while a client has asked to be told.  The timer is a descriptor, because
 * a timer of libevent costs time in each pass of the loop while it is set.
 */
#include <string.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "rfc2217.h"
#include "rfc2217_session.h"

#define LINE_MASK_POSSIBLE                                                 \
	(RFC2217_LINE_BREAK | RFC2217_LINE_FRAMING | RFC2217_LINE_PARITY | \
	    RFC2217_LINE_OVERRUN)

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
	client_answer_byte(c, RFC2217_MODEM_STATE, state & c->modem_mask);
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
	client_answer_byte(
	    c, RFC2217_LINE_STATE, always ? state : state & c->line_mask);
}

static void
get_errors(const struct endpoint *line, struct line_errors *ret)
{
	const struct endpoint_ops *ops = line->conf->ops;

	if (ops->line_errors == NULL || ops->line_errors(line, ret) < 0)
		memset(ret, 0, sizeof(*ret));
}

void
client_know_errors(struct client *c, const struct endpoint *line)
{
	get_errors(line, &c->errors);
}

static bool
is_told(const struct client *c)
{
	return c->line[0] != '\0' && (c->modem_mask | c->line_mask) != 0;
}

static void
poll_line(struct rfc2217 *server)
{
	struct endpoint *line = rfc2217_line(server, server->conf->line);
	struct line_errors errors = { 0 };
	struct client *c;
	unsigned signals;
	bool modem;

	if (line == NULL || line->state != ENDPOINT_UP)
		return;
	modem = line_control_of(line)->signals(line, &signals) == 0;
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

void
rfc2217_stop_polling(struct rfc2217 *server)
{
	if (server->timer_fd < 0)
		return;
	if (server->timer != NULL)
		event_free(server->timer);
	server->timer = NULL;
	close(server->timer_fd);
	server->timer_fd = -1;
	task_remove_why(&server->task, "no client wants it");
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
		rfc2217_stop_polling(server);
}

void
rfc2217_update_polling(struct rfc2217 *server)
{
	const struct client *c;

	TAILQ_FOREACH(c, &server->clients, entry)
		if (is_told(c)) {
			start_polling(server);
			return;
		}
	rfc2217_stop_polling(server);
}

void
client_tell_modem(struct client *c)
{
	struct endpoint *line = client_line(c);
	unsigned signals = 0;

	if (line == NULL)
		return;
	line_control_of(line)->signals(line, &signals);
	tell_modem(c, modem_levels(signals), true);
}

void
rfc2217_modem_state(struct client *c, const uint8_t *value, size_t len)
{
	(void)value, (void)len;
	client_tell_modem(c);
}

void
rfc2217_line_state(struct client *c, const uint8_t *value, size_t len)
{
	struct endpoint *line = client_line(c);
	struct line_errors errors = { 0 };

	(void)value, (void)len;
	if (line != NULL)
		get_errors(line, &errors);
	tell_line(c, &errors, true);
}

void
rfc2217_modem_mask(struct client *c, const uint8_t *value, size_t len)
{
	(void)len;
	c->modem_mask = value[0];
	client_answer_byte(c, RFC2217_MODEM_MASK, c->modem_mask);
	rfc2217_update_polling(c->server);
}

void
rfc2217_line_mask(struct client *c, const uint8_t *value, size_t len)
{
	struct endpoint *line = client_line(c);

	(void)len;
	if (c->line_mask == 0 && line != NULL)
		client_know_errors(c, line);
	c->line_mask = value[0] & LINE_MASK_POSSIBLE;
	client_answer_byte(c, RFC2217_LINE_MASK, c->line_mask);
	rfc2217_update_polling(c->server);
}
