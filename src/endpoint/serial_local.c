/*
 * serial_local: serial ports of this machine, and the slaves of pseudo-terminals of other
 * programs.
 *
 * The kernel raises DTR and RTS when a port is opened; no setting can prevent that.
 * The levels that a section configures are set right after that.
 */
#include <errno.h>
#include <string.h>

#include "log.h"
#include "serial.h"
#include "serial_line.h"
#include "serial_port.h"
#include "serial_tty.h"

struct local {
	struct serial serial;
	struct serial_port port;
};

static struct local *
local_of(const struct serial *s)
{
	return CONTAINER_OF(s, struct local, serial);
}

static int
fd_of(const struct serial *s)
{
	return local_of(s)->port.fd;
}

static const struct serial_conf *
conf_of(const struct serial *s)
{
	return s->ep->conf->type_conf;
}

/* --- open and close ------------------------------------------------------ */

/* Takes the open port of the previous process, or opens the port. */
static int
local_get(struct endpoint *ep, struct serial_port *port)
{
	const struct serial_conf *conf = ep->conf->type_conf;
	int fd = endpoint_take(ep);

	ep->link.adopted =
	    fd >= 0 && serial_port_adopt(port, fd, conf->exclusive) == 0;
	return ep->link.adopted
	    ? 0
	    : serial_port_open(port, conf->exclusive, &ep->error);
}

static int
local_open(struct serial *s)
{
	struct endpoint *ep = s->ep;
	struct serial_port *port = &local_of(s)->port;
	const struct serial_conf *conf = ep->conf->type_conf;
	const char *name = ep->conf->name;
	struct error *err = &ep->error;
	int r;

	port->fd = -1;
	r = serial_port_find(conf, port->path, sizeof(port->path), err);
	if (r == 0)
		r = local_get(ep, port);
	if (r == 0)
		r = serial_port_configure(port, name, conf, err);
	if (r < 0)
		return r;
	serial_set_address(ep);
	if (conf->device != NULL && strcmp(port->path, conf->device) != 0)
		log_to(LOG_INFO, ABOUT_ENDPOINT, name, "%s is %s", conf->device,
		    port->path);
	link_keep(&ep->link, port->fd);
	return endpoint_up(ep, port->fd, false);
}

static void
local_close(struct serial *s)
{
	serial_port_close(&local_of(s)->port, s->ep->base, s->ep->conf->name);
}

static bool
local_is_open(const struct serial *s)
{
	return fd_of(s) >= 0;
}

static const char *
local_path(const struct serial *s)
{
	return local_of(s)->port.path;
}

void
serial_let_go(int fd, struct event_base *base, const char *name)
{
	serial_port_let_go(fd, base, name);
}

void
serial_finish(void)
{
	serial_port_finish();
}

/* --- the line ------------------------------------------------------------ */

static int
local_get_line(const struct serial *s, struct line_settings *ret)
{
	return serial_tty_settings(fd_of(s), ret);
}

static int
set_line(struct serial *s, const struct line_settings *line, struct error *err)
{
	return serial_tty_line(fd_of(s), s->ep->conf->name, line,
	    conf_of(s)->hangup_on_close, true, err);
}

/* What the driver has refused before stays as it is, unless another value is asked for. */
static void
keep_refused(const struct serial *s, struct line_settings *line)
{
	const struct line_settings *asked = &conf_of(s)->now;
	struct line_settings has;

	if (serial_tty_settings(fd_of(s), &has) < 0)
		return;
	if (line->baud == asked->baud)
		line->baud = has.baud;
	if (line->mode.bits == asked->mode.bits &&
	    line->mode.parity == asked->mode.parity &&
	    line->mode.stop == asked->mode.stop)
		line->mode = has.mode;
	if (line->flow == asked->flow)
		line->flow = has.flow;
}

static int
local_set_line(
    struct serial *s, const struct line_settings *line, struct error *err)
{
	struct line_settings possible = *line;
	int r = set_line(s, line, err);

	if (r == -EOPNOTSUPP) {
		error_clear(err);
		keep_refused(s, &possible);
		r = set_line(s, &possible, err);
	}
	if (r == 0)
		local_of(s)->port.baud = possible.baud;
	return r;
}

static int
local_set_signals(struct serial *s, unsigned mask, unsigned levels)
{
	return serial_tty_set_signals(fd_of(s), mask, levels);
}

static int
local_signals(const struct serial *s, unsigned *ret)
{
	return serial_tty_get_signals(fd_of(s), ret);
}

static int
local_set_break(struct serial *s, bool on)
{
	return serial_tty_break(fd_of(s), on);
}

static int
local_purge(struct serial *s, bool input, bool output)
{
	return serial_tty_purge(fd_of(s), input, output);
}

static int
local_apply_signals(struct serial *s, struct error *err)
{
	return serial_tty_signals(fd_of(s), conf_of(s), err);
}

static int
local_apply_rs485(struct serial *s, struct error *err)
{
	const struct serial_conf *conf = conf_of(s);
	int r = serial_tty_rs485(fd_of(s), s->ep->conf->name, conf, err);

	if (r == 0)
		local_of(s)->port.rs485 = conf->rs485;
	return r;
}

static int
local_apply_low_latency(struct serial *s, struct error *err)
{
	const struct serial_conf *conf = conf_of(s);
	int r = serial_tty_low_latency(fd_of(s), conf->low_latency, err);

	if (r == 0)
		local_of(s)->port.low_latency = conf->low_latency;
	return r;
}

static int
local_line_errors(const struct serial *s, struct line_errors *ret)
{
	return serial_tty_errors(fd_of(s), ret);
}

static unsigned
local_unsent(const struct serial *s)
{
	return serial_tty_unsent(fd_of(s));
}

const struct serial_line_ops serial_local = {
	.size = sizeof(struct local),
	.open = local_open,
	.close = local_close,
	.is_open = local_is_open,
	.path = local_path,
	.get = local_get_line,
	.set = local_set_line,
	.set_signals = local_set_signals,
	.signals = local_signals,
	.set_break = local_set_break,
	.purge = local_purge,
	.apply_signals = local_apply_signals,
	.apply_rs485 = local_apply_rs485,
	.apply_low_latency = local_apply_low_latency,
	.line_errors = local_line_errors,
	.unsent = local_unsent,
};
