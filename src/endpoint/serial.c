/*
 * serial: serial ports, and the slaves of pseudo-terminals of other programs.
 *
 * The kernel raises DTR and RTS when a port is opened; no setting can prevent that.
 * The levels that a section configures are set right after that.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "serial.h"
#include "log.h"
#include "serial_list.h"
#include "serial_port.h"
#include "serial_tty.h"

struct serial {
	struct endpoint *ep;
	struct serial_port port;
	struct event *break_end;
	struct task break_task;
	uint64_t break_ns; /* length of the break */
};

/* --- keys ---------------------------------------------------------------- */

static int
parse_mode(void *field, const char *value, struct error *err)
{
	struct serial_mode *mode = field;
	const char *parities = "NEOMSneoms", *p;

	if (strlen(value) != 3 || value[0] < '5' || value[0] > '8' ||
	    (p = strchr(parities, value[1])) == NULL ||
	    (value[2] != '1' && value[2] != '2'))
		return error_fail(err, -EINVAL,
		    "'%s' is not a mode; data bits 5 to 8, parity N, E, O, M or"
		    " S, and stop bits 1 or 2, such as 8N1",
		    value);
	mode->bits = value[0] - '0';
	mode->parity = parities[(p - parities) % 5];
	mode->stop = value[2] - '0';
	return 0;
}

static void
print_mode(const void *field, char *buf, size_t size)
{
	const struct serial_mode *mode = field;

	snprintf(buf, size, "%d%c%d", mode->bits, mode->parity, mode->stop);
}

static const char *const signal_words[] = {
	[LINE_KEEP] = "keep",
	[LINE_ON] = "on",
	[LINE_OFF] = "off",
	NULL,
};

static int
parse_signal(int *line, const char *value, struct error *err)
{
	bool on;

	if (strcmp(value, "keep") == 0) {
		*line = LINE_KEEP;
		return 0;
	}
	if (parse_bool(value, &on) == 0) {
		*line = on ? LINE_ON : LINE_OFF;
		return 0;
	}
	error_set(err, "'%s' is not on, off or keep", value);
	error_append_meant(err, nearest(value, signal_words));
	return -EINVAL;
}

static void
print_signal(const void *field, char *buf, size_t size)
{
	snprintf(buf, size, "%s", signal_words[*(const int *)field]);
}

/* The signal that is given first in the section is set first. */
static int
parse_dtr(void *field, const char *value, struct error *err)
{
	struct serial_conf *conf = CONTAINER_OF(field, struct serial_conf, dtr);

	if (conf->rts == LINE_KEEP)
		conf->line_order = 0;
	return parse_signal(&conf->dtr, value, err);
}

static int
parse_rts(void *field, const char *value, struct error *err)
{
	struct serial_conf *conf = CONTAINER_OF(field, struct serial_conf, rts);

	if (conf->dtr == LINE_KEEP)
		conf->line_order = 1;
	return parse_signal(&conf->rts, value, err);
}

static const char *const flow_words[] = {
	[FLOW_NONE] = "none",
	[FLOW_RTSCTS] = "rtscts",
	[FLOW_XONXOFF] = "xonxoff",
	[FLOW_DTRDSR] = "dtrdsr",
	NULL,
};

#define OFFSET(member) offsetof(struct serial_conf, member)

static const struct key serial_keys[] = {
	{ .name = "device",
	    .type = KEY_STRING,
	    .offset = OFFSET(device),
	    .names = NAMES_DEVICE,
	    .help = "the path of the port; /dev/serial/by-id/... stays the"
		    " same when it is plugged in elsewhere" },
	{ .name = "usb",
	    .type = KEY_STRING,
	    .offset = OFFSET(usb),
	    .names = NAMES_USB,
	    .help = "VID:PID or VID:PID:SERIAL of a USB port, instead of"
		    " device" },
	{ .name = "baud",
	    .type = KEY_NUMBER,
	    .offset = OFFSET(baud),
	    .in_place = true,
	    .def = "9600",
	    .min = 1,
	    .max = 100000000,
	    .help = "speed of the line, any rate the driver can do" },
	{ .name = "mode",
	    .type = KEY_CUSTOM,
	    .offset = OFFSET(mode),
	    .in_place = true,
	    .def = "8N1",
	    .parse = parse_mode,
	    .print = print_mode,
	    .help = "data bits 5 to 8, parity N, E, O, M or S, stop bits 1"
		    " or 2" },
	{ .name = "flow",
	    .type = KEY_WORD,
	    .offset = OFFSET(flow),
	    .in_place = true,
	    .def = "none",
	    .words = flow_words,
	    .help = "flow control on the line; Linux has no driver for"
		    " dtrdsr" },
	{ .name = "dtr",
	    .type = KEY_CUSTOM,
	    .offset = OFFSET(dtr),
	    .in_place = true,
	    .def = "keep",
	    .parse = parse_dtr,
	    .print = print_signal,
	    .help = "on, off, or keep: as the kernel leaves it, which raises"
		    " it whenever a port is opened" },
	{ .name = "rts",
	    .type = KEY_CUSTOM,
	    .offset = OFFSET(rts),
	    .in_place = true,
	    .def = "keep",
	    .parse = parse_rts,
	    .print = print_signal,
	    .help = "as dtr; of the two, the one that stands first is set"
		    " first" },
	{ .name = "hangup_on_close",
	    .type = KEY_BOOL,
	    .offset = OFFSET(hangup_on_close),
	    .in_place = true,
	    .def = "no",
	    .help = "drop DTR and RTS when the port is closed (that resets"
		    " many boards at the next open)" },
	{ .name = "exclusive",
	    .type = KEY_BOOL,
	    .offset = OFFSET(exclusive),
	    .def = "yes",
	    .help = "keep other programs away, and respect theirs" },
	{ .name = "low_latency",
	    .type = KEY_BOOL,
	    .offset = OFFSET(low_latency),
	    .in_place = true,
	    .def = "no",
	    .help = "ask the driver not to gather bytes" },
	{ .name = "rs485",
	    .type = KEY_BOOL,
	    .offset = OFFSET(rs485),
	    .in_place = true,
	    .def = "no",
	    .help = "the driver switches the transmitter with RTS" },
	{ .name = "rs485_rts_on_send",
	    .type = KEY_BOOL,
	    .offset = OFFSET(rs485_rts_on_send),
	    .in_place = true,
	    .def = "yes",
	    .help = "level of RTS while sending" },
	{ .name = "rs485_rts_after_send",
	    .type = KEY_BOOL,
	    .offset = OFFSET(rs485_rts_after_send),
	    .in_place = true,
	    .def = "no",
	    .help = "level of RTS after it" },
	{ .name = "rs485_rx_during_tx",
	    .type = KEY_BOOL,
	    .offset = OFFSET(rs485_rx_during_tx),
	    .in_place = true,
	    .def = "no",
	    .help = "receive what is sent, too" },
	{ .name = "rs485_delay_before",
	    .type = KEY_TIME,
	    .offset = OFFSET(rs485_delay_before),
	    .in_place = true,
	    .def = "0",
	    .max = 100 * NSEC_PER_MSEC,
	    .help = "from RTS to the first bit, in whole ms" },
	{ .name = "rs485_delay_after",
	    .type = KEY_TIME,
	    .offset = OFFSET(rs485_delay_after),
	    .in_place = true,
	    .def = "0",
	    .max = 100 * NSEC_PER_MSEC,
	    .help = "from the last bit to RTS, in whole ms" },
	ENDPOINT_KEY_ON_OPEN(struct serial_conf),
	ENDPOINT_KEY_ON_CLOSE(struct serial_conf),
	{ .name = NULL },
};

/* Sets the parameters of the line that the framing needs. */
static void
describe_line(struct endpoint_conf *conf)
{
	const struct serial_conf *serial = conf->type_conf;
	const struct serial_mode *mode = &serial->mode;

	conf->framing.baud = serial->baud;
	conf->framing.char_bits =
	    (unsigned)(1 + mode->bits + mode->stop + (mode->parity != 'N'));
}

static int
serial_check(struct endpoint_conf *conf, struct error *err)
{
	const struct serial_conf *serial = conf->type_conf;
	struct usb_id id;

	describe_line(conf);
	if (serial->device == NULL && serial->usb == NULL)
		error_set(err, "'device' is missing (or 'usb')");
	else if (serial->device != NULL && serial->usb != NULL)
		error_set(err, "'device' and 'usb' exclude each other");
	else if (serial->device != NULL && serial->device[0] != '/')
		error_set(err,
		    strncmp(serial->device, "tty", 3) == 0
			? "device '%s' is not a path; did you mean '/dev/%s'?"
			: "device '%s' is not a path; ttybridged --list-ports"
			  " lists the devices",
		    serial->device, serial->device);
	else if (serial->usb != NULL && usb_id_parse(serial->usb, &id) < 0)
		error_set(err,
		    "usb '%s' is not VID:PID or"
		    " VID:PID:SERIAL, such as 2341:0043",
		    serial->usb);
	else if (serial->rs485 && serial->flow == FLOW_RTSCTS)
		error_set(err,
		    "rs485 and flow = rtscts exclude each"
		    " other: both use RTS");
	else if (serial->rs485 && serial->rts != LINE_KEEP)
		error_set(err,
		    "rs485 and rts exclude each other: the"
		    " driver moves RTS");
	else if (serial->rs485_delay_before % NSEC_PER_MSEC != 0 ||
	    serial->rs485_delay_after % NSEC_PER_MSEC != 0)
		error_set(err, "RS-485 delays are in whole milliseconds");
	else
		return 0;
	return -EINVAL;
}

static void
serial_warn(const struct endpoint_conf *conf, struct error *err)
{
	const struct serial_conf *serial = conf->type_conf;

	if (serial->flow == FLOW_DTRDSR)
		error_set(err,
		    "Linux has no DTR/DSR flow control, so the port"
		    " cannot be opened; write flow = rtscts, xonxoff or none");
}

/* --- break --------------------------------------------------------------- */

static void
break_stop(struct serial *s)
{
	if (s->break_end == NULL)
		return;
	serial_tty_break(s->port.fd, false);
	event_free(s->break_end);
	s->break_end = NULL;
	task_remove(&s->break_task);
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
	struct serial *s = ep->impl;
	struct timeval tv = to_timeval(ns);
	int r;

	if (s == NULL || s->port.fd < 0)
		return -ENOTCONN;
	if (ns == 0) {
		break_stop(s);
		return 0;
	}
	if (s->break_end != NULL)
		return -EBUSY;
	s->break_end = evtimer_new(ep->base, on_break_end, s);
	if (s->break_end == NULL)
		return -ENOMEM;
	r = serial_tty_break(s->port.fd, true);
	if (r == 0 && event_add(s->break_end, &tv) < 0) {
		serial_tty_break(s->port.fd, false);
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

/* --- open and close ------------------------------------------------------ */

/* "/dev/ttyACM0 9600 8N1" */
static void
set_address(struct endpoint *ep)
{
	const struct serial_conf *conf = ep->conf->type_conf;
	const struct serial *s = ep->impl;
	char usb[96], mode[8];
	const char *where = conf->device;

	if (conf->device == NULL) {
		if (s != NULL && s->port.fd >= 0)
			where = s->port.path;
		else {
			snprintf(usb, sizeof(usb), "usb %s", conf->usb);
			where = usb;
		}
	}
	print_mode(&conf->mode, mode, sizeof(mode));
	snprintf(ep->address, sizeof(ep->address), "%s %llu %s", where,
	    (unsigned long long)conf->baud, mode);
	snprintf(ep->link.address, sizeof(ep->link.address), "%s", ep->address);
}

static void
serial_close(struct endpoint *ep)
{
	struct serial *s = ep->impl;

	if (s == NULL)
		return;
	break_stop(s);
	serial_port_close(&s->port, ep->base, ep->conf->name);
	free(s);
	ep->impl = NULL;
}

/* Takes the open port of the previous process, or opens the port. */
static int
serial_get(struct endpoint *ep, struct serial *s)
{
	const struct serial_conf *conf = ep->conf->type_conf;
	bool exclusive = conf->exclusive;
	int fd = endpoint_take(ep);

	ep->link.adopted =
	    fd >= 0 && serial_port_adopt(&s->port, fd, exclusive) == 0;
	return ep->link.adopted
	    ? 0
	    : serial_port_open(&s->port, exclusive, &ep->error);
}

static int
serial_open(struct endpoint *ep)
{
	const struct serial_conf *conf = ep->conf->type_conf;
	const char *name = ep->conf->name;
	struct error *err = &ep->error;
	struct serial *s;
	int r;

	set_address(ep);
	if ((s = calloc(1, sizeof(*s))) == NULL)
		return -ENOMEM;
	s->ep = ep;
	s->port.fd = -1;
	ep->impl = s;
	r = serial_port_find(conf, s->port.path, sizeof(s->port.path), err);
	if (r == 0)
		r = serial_get(ep, s);
	if (r == 0)
		r = serial_port_configure(&s->port, name, conf, err);
	if (r < 0) {
		serial_close(ep);
		return r;
	}
	set_address(ep);
	if (strcmp(s->port.path,
		conf->device != NULL ? conf->device : s->port.path) != 0)
		log_to(LOG_INFO, ABOUT_ENDPOINT, name, "%s is %s", conf->device,
		    s->port.path);
	link_keep(&ep->link, s->port.fd);
	return endpoint_up(ep, s->port.fd, false);
}

/* --- changes while it runs ----------------------------------------------- */

static int
apply_line(struct endpoint *ep, struct serial *s, struct error *err)
{
	const struct serial_conf *conf = ep->conf->type_conf;
	int r = serial_tty_line(s->port.fd, ep->conf->name, conf, true, err);

	if (r == 0) {
		s->port.baud = conf->baud;
		set_address(ep);
	}
	return r;
}

static int
apply_signals(struct endpoint *ep, struct serial *s, struct error *err)
{
	return serial_tty_signals(s->port.fd, ep->conf->type_conf, err);
}

static int
apply_rs485(struct endpoint *ep, struct serial *s, struct error *err)
{
	const struct serial_conf *conf = ep->conf->type_conf;
	int r = serial_tty_rs485(s->port.fd, ep->conf->name, conf, err);

	if (r == 0)
		s->port.rs485 = conf->rs485;
	return r;
}

static int
apply_low_latency(struct endpoint *ep, struct serial *s, struct error *err)
{
	const struct serial_conf *conf = ep->conf->type_conf;
	int r = serial_tty_low_latency(s->port.fd, conf->low_latency, err);

	if (r == 0)
		s->port.low_latency = conf->low_latency;
	return r;
}

static const struct {
	const char *prefix;
	int (*apply)(struct endpoint *, struct serial *, struct error *);
} changes[] = {
	{ "baud", apply_line },
	{ "mode", apply_line },
	{ "flow", apply_line },
	{ "hangup_on_close", apply_line },
	{ "dtr", apply_signals },
	{ "rts", apply_signals },
	{ "low_latency", apply_low_latency },
	{ "rs485", apply_rs485 },
};

static int
serial_apply(struct endpoint *ep, const struct key *key)
{
	struct serial *s = ep->impl;
	struct error *err = &ep->error;
	int r;

	for (size_t i = 0; i < NELEM(changes); i++) {
		if (strncmp(key->name, changes[i].prefix,
			strlen(changes[i].prefix)) != 0)
			continue;
		if ((r = serial_check(ep->conf, err)) < 0)
			return r;
		if (s == NULL || s->port.fd < 0) {
			set_address(ep);
			return 0;
		}
		return changes[i].apply(ep, s, err);
	}
	return 0;
}

static int
serial_line_errors(const struct endpoint *ep, struct line_errors *ret)
{
	const struct serial *s = ep->impl;

	if (s == NULL || s->port.fd < 0)
		return -ENOTCONN;
	return serial_tty_errors(s->port.fd, ret);
}

static unsigned
serial_unsent(const struct endpoint *ep)
{
	const struct serial *s = ep->impl;

	return s == NULL || s->port.fd < 0 ? 0 : serial_tty_unsent(s->port.fd);
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
	.apply = serial_apply,
	.send_break = serial_send_break,
	.line_errors = serial_line_errors,
	.unsent = serial_unsent,
};
