/*
 * serial: serial ports.
 *
 * What depends on where the port is, is done by its serial_line_ops.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <event2/event.h>

#include "log.h"
#include "serial.h"
#include "serial_line.h"
#include "serial_reset.h"

static int
serial_check(struct endpoint_conf *conf, struct error *err)
{
	const struct serial_conf *serial = conf->type_conf;

	serial_use_settings(conf, &serial->line);
	conf->demand = serial->open == OPEN_DEMAND;
	return serial_check_keys(serial, err);
}

/* --- break --------------------------------------------------------------- */

static void
break_stop(struct serial *s)
{
	if (s->breaking)
		s->ops->set_break(s, false);
	s->breaking = false;
	if (s->break_end == NULL)
		return;
	s->ops->set_break(s, false);
	event_free(s->break_end);
	s->break_end = NULL;
	task_remove_why(&s->break_task, "the break has ended");
}

static void
on_break_end(evutil_socket_t fd, short what, void *arg)
{
	struct serial *s = arg;

	(void)fd, (void)what;
	task_begin(&s->break_task);
	break_stop(s);
}

static void
break_cancel(struct task *task)
{
	break_stop(task->arg);
}

static void
break_label(const struct task *task, char *buf, size_t size)
{
	const struct serial *s = task->arg;
	char length[24];

	snprintf(buf, size, "the end of a break of %s on %s",
	    format_time(s->break_ns, length, sizeof(length)), s->ep->address);
}

static int
serial_send_break(struct endpoint *ep, uint64_t ns)
{
	struct serial *s = serial_open_line(ep);
	struct timeval tv = to_timeval(ns);
	int r;

	if (s == NULL)
		return -ENOTCONN;
	if (s->break_end != NULL || s->breaking)
		return -EBUSY;
	s->break_end = evtimer_new(ep->base, on_break_end, s);
	if (s->break_end == NULL)
		return -ENOMEM;
	r = s->ops->set_break(s, true);
	if (r == 0 && event_add(s->break_end, &tv) < 0) {
		s->ops->set_break(s, false);
		r = -ENOMEM;
	}
	if (r < 0) {
		event_free(s->break_end);
		s->break_end = NULL;
		return r;
	}
	s->break_ns = ns;
	task_add(&s->break_task, s, break_label, "%s.break", ep->conf->name);
	s->break_task.cancel = break_cancel;
	TASK_WAIT(&s->break_task);
	return 0;
}

static int
serial_reset(struct endpoint *ep, const char *sequence, struct error *err)
{
	struct serial *s = serial_open_line(ep);

	if (s == NULL)
		return error_fail(err, -ENOTCONN, "the port is not open");
	return serial_reset_start(s, sequence, err);
}

static void
serial_end_signals(struct endpoint *ep)
{
	struct serial *s = serial_open_line(ep);

	if (s == NULL)
		return;
	break_stop(s);
	serial_reset_stop(s);
}

/* --- open and close ------------------------------------------------------ */

static void
serial_close(struct endpoint *ep)
{
	struct serial *s = ep->impl;

	if (s == NULL)
		return;
	break_stop(s);
	serial_reset_stop(s);
	s->ops->close(s);
	free(s);
	ep->impl = NULL;
}

static int
serial_open(struct endpoint *ep)
{
	const struct serial_line_ops *ops =
	    serial_remote_address(ep->conf->type_conf) != NULL ? &serial_remote
							       : &serial_local;
	struct serial *s;
	int r;

	serial_set_address(ep);
	if ((s = calloc(1, ops->size)) == NULL)
		return -ENOMEM;
	s->ep = ep;
	s->ops = ops;
	ep->impl = s;
	if ((r = ops->open(s)) < 0)
		serial_close(ep);
	return r;
}

static int
serial_attach(struct link *link)
{
	struct serial *s = link->endpoint->impl;

	return s->ops->attach != NULL ? s->ops->attach(s, link) : 0;
}

/* --- changes while it runs ----------------------------------------------- */

/* Changes the settings of the line, now or when it is opened. */
static int
change_line(
    struct endpoint *ep, const struct line_settings *line, struct error *err)
{
	struct serial *s = serial_open_line(ep);
	int r;

	if (s != NULL && (r = s->ops->set(s, line, err)) < 0)
		return r;
	serial_use_settings(ep->conf, line);
	serial_set_address(ep);
	return 0;
}

/* Keys of the line have changed.  If that fails, the line has the new settings when it is
 * opened again. */
static int
apply_line(struct endpoint *ep, struct error *err)
{
	const struct serial_conf *conf = ep->conf->type_conf;
	int r = change_line(ep, &conf->line, err);

	if (r < 0)
		serial_use_settings(ep->conf, &conf->line);
	return r;
}

static int
apply_hangup(struct serial *s, struct error *err)
{
	const struct serial_conf *conf = s->ep->conf->type_conf;

	return s->ops->set(s, &conf->now, err);
}

static int
apply_signals(struct serial *s, struct error *err)
{
	return s->ops->apply_signals(s, err);
}

static int
apply_rs485(struct serial *s, struct error *err)
{
	return s->ops->apply_rs485 != NULL ? s->ops->apply_rs485(s, err) : 0;
}

static int
apply_low_latency(struct serial *s, struct error *err)
{
	return s->ops->apply_low_latency != NULL
	    ? s->ops->apply_low_latency(s, err)
	    : 0;
}

/* A port of this machine has no connection. */
static int
apply_keepalive(struct serial *s, struct error *err)
{
	const struct serial_conf *conf = s->ep->conf->type_conf;

	(void)err;
	if (serial_remote_address(conf) != NULL)
		link_keepalive(&s->ep->link, conf->tcp.keepalive);
	return 0;
}

/* The key is read when it is needed. */
static int
apply_nothing(struct serial *s, struct error *err)
{
	(void)s, (void)err;
	return 0;
}

static const struct {
	const char *prefix;
	/* NULL: one of the settings of the line. */
	int (*apply)(struct serial *, struct error *);
} changes[] = {
	{ "baud", NULL },
	{ "mode", NULL },
	{ "flow", NULL },
	{ "hangup_on_close", apply_hangup },
	{ "dtr", apply_signals },
	{ "rts", apply_signals },
	{ "reset", apply_nothing },
	{ "low_latency", apply_low_latency },
	{ "rs485", apply_rs485 },
	{ "keepalive", apply_keepalive },
};

/* Logs what the line does otherwise, although the change has succeeded. */
static void
say_difference(const struct endpoint *ep, struct error *err)
{
	if (error_is_set(err))
		log_to(LOG_WARNING, ABOUT_ENDPOINT, ep->conf->name, "%s",
		    err->text);
	error_clear(err);
}

static int
serial_apply(struct endpoint *ep, const struct key *key)
{
	const struct serial_conf *conf = ep->conf->type_conf;
	struct serial *s = serial_open_line(ep);
	struct error *err = &ep->error;
	int r;

	for (size_t i = 0; i < NELEM(changes); i++) {
		if (strncmp(key->name, changes[i].prefix,
			strlen(changes[i].prefix)) != 0)
			continue;
		if ((r = serial_check_keys(conf, err)) < 0)
			return r;
		if (changes[i].apply == NULL)
			r = apply_line(ep, err);
		else
			r = s != NULL ? changes[i].apply(s, err) : 0;
		if (r == 0 && s != NULL)
			say_difference(ep, err);
		return r;
	}
	return 0;
}

/* --- line control --------------------------------------------------------- */

static int
line_get(const struct endpoint *ep, struct line_settings *ret)
{
	const struct serial_conf *conf = ep->conf->type_conf;
	const struct serial *s = serial_open_line(ep);

	*ret = conf->now;
	return s != NULL ? s->ops->get(s, ret) : 0;
}

static void
line_section(const struct endpoint *ep, struct line_settings *ret,
    unsigned *ret_mask, unsigned *ret_levels)
{
	const struct serial_conf *conf = ep->conf->type_conf;

	*ret = conf->line;
	*ret_mask = (conf->dtr.line != LINE_KEEP ? TIOCM_DTR : 0) |
	    (conf->rts != LINE_KEEP ? TIOCM_RTS : 0);
	*ret_levels = (conf->dtr.line == LINE_ON ? TIOCM_DTR : 0) |
	    (conf->rts == LINE_ON ? TIOCM_RTS : 0);
}

static bool
line_settled(const struct endpoint *ep)
{
	const struct serial *s = serial_open_line(ep);

	return s == NULL || s->ops->settled == NULL || s->ops->settled(s);
}

static int
line_set_signals(struct endpoint *ep, unsigned mask, unsigned levels)
{
	struct serial *s = serial_open_line(ep);

	return s != NULL ? s->ops->set_signals(s, mask, levels) : -ENOTCONN;
}

static int
line_signals(const struct endpoint *ep, unsigned *ret)
{
	const struct serial *s = serial_open_line(ep);

	return s != NULL ? s->ops->signals(s, ret) : -ENOTCONN;
}

static int
line_set_break(struct endpoint *ep, bool on)
{
	struct serial *s = serial_open_line(ep);
	int r;

	if (s == NULL)
		return -ENOTCONN;
	break_stop(s);
	if ((r = s->ops->set_break(s, on)) < 0)
		return r;
	s->breaking = on;
	return 0;
}

static bool
line_in_break(const struct endpoint *ep)
{
	const struct serial *s = serial_open_line(ep);

	return s != NULL && s->breaking;
}

static int
line_purge(struct endpoint *ep, bool input, bool output)
{
	struct serial *s = serial_open_line(ep);

	return s != NULL ? s->ops->purge(s, input, output) : -ENOTCONN;
}

static const struct line_ops serial_control = {
	.get = line_get,
	.section = line_section,
	.set = change_line,
	.settled = line_settled,
	.set_signals = line_set_signals,
	.signals = line_signals,
	.set_break = line_set_break,
	.in_break = line_in_break,
	.purge = line_purge,
};

/* --- what the driver counts ------------------------------------------------ */

static int
serial_line_errors(const struct endpoint *ep, struct line_errors *ret)
{
	const struct serial *s = serial_open_line(ep);

	return s != NULL ? s->ops->line_errors(s, ret) : -ENOTCONN;
}

static unsigned
serial_unsent(const struct endpoint *ep)
{
	const struct serial *s = serial_open_line(ep);

	return s != NULL && s->ops->unsent != NULL ? s->ops->unsent(s) : 0;
}

const struct endpoint_ops endpoint_serial = {
	.type = "serial",
	.keys = serial_keys,
	.conf_size = sizeof(struct serial_conf),
	.main_key = "device",
	.line = true,
	.terminal = true,
	.check = serial_check,
	.warn = serial_warn,
	.open = serial_open,
	.close = serial_close,
	.attach = serial_attach,
	.apply = serial_apply,
	.control = &serial_control,
	.send_break = serial_send_break,
	.reset = serial_reset,
	.end_signals = serial_end_signals,
	.line_errors = serial_line_errors,
	.unsent = serial_unsent,
};
