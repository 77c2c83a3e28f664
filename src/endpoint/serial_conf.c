/*
 * serial_conf: the keys of a serial port's section, and the checks of their values.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "connector.h"
#include "endpoint.h"
#include "serial_conf.h"
#include "serial_list.h"

#define REMOTE_SCHEME "rfc2217://"

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

void
serial_print_mode(const void *field, char *buf, size_t size)
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

/* The signal that is given first in the section is set first.  That is a part of the field
 * of dtr, so that a reload takes it over. */
static int
parse_dtr(void *field, const char *value, struct error *err)
{
	struct serial_conf *conf = CONTAINER_OF(field, struct serial_conf, dtr);

	if (conf->rts == LINE_KEEP)
		conf->dtr.after_rts = 0;
	return parse_signal(&conf->dtr.line, value, err);
}

static int
parse_rts(void *field, const char *value, struct error *err)
{
	struct serial_conf *conf = CONTAINER_OF(field, struct serial_conf, rts);

	if (conf->dtr.line == LINE_KEEP)
		conf->dtr.after_rts = 1;
	return parse_signal(&conf->rts, value, err);
}

static const char *const flow_words[] = {
	[FLOW_NONE] = "none",
	[FLOW_RTSCTS] = "rtscts",
	[FLOW_XONXOFF] = "xonxoff",
	[FLOW_DTRDSR] = "dtrdsr",
	NULL,
};

static const char *const open_words[] = {
	[OPEN_ALWAYS] = "always",
	[OPEN_DEMAND] = "demand",
	NULL,
};

const char *const serial_reset_words[] = {
	[RESET_NONE] = "none",
	[RESET_CLASSIC] = "classic",
	[RESET_ESP] = "esp",
	[RESET_UNO] = "uno",
	NULL,
};

#define OFFSET(member) offsetof(struct serial_conf, member)

const struct key serial_keys[] = {
	{ .name = "device",
	    .type = KEY_STRING,
	    .offset = OFFSET(device),
	    .names = NAMES_DEVICE,
	    .help = "the path of the port; /dev/serial/by-id/... stays the"
		    " same when it is plugged in elsewhere; or"
		    " rfc2217://HOST:PORT" },
	{ .name = "usb",
	    .type = KEY_STRING,
	    .offset = OFFSET(usb),
	    .names = NAMES_USB,
	    .help = "VID:PID or VID:PID:SERIAL of a USB port, instead of"
		    " device" },
	{ .name = "baud",
	    .type = KEY_NUMBER,
	    .offset = OFFSET(line.baud),
	    .in_place = true,
	    .def = "9600",
	    .min = 1,
	    .max = 100000000,
	    .help = "speed of the line, any rate the driver can do" },
	{ .name = "mode",
	    .type = KEY_CUSTOM,
	    .offset = OFFSET(line.mode),
	    .in_place = true,
	    .def = "8N1",
	    .size = sizeof(struct serial_mode),
	    .parse = parse_mode,
	    .print = serial_print_mode,
	    .help = "data bits 5 to 8, parity N, E, O, M or S, stop bits 1"
		    " or 2" },
	{ .name = "flow",
	    .type = KEY_WORD,
	    .offset = OFFSET(line.flow),
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
	    .size = sizeof(((struct serial_conf *)NULL)->dtr),
	    .parse = parse_dtr,
	    .print = print_signal,
	    .help = "on, off, or keep: as the kernel leaves it, which raises"
		    " it whenever a port is opened" },
	{ .name = "rts",
	    .type = KEY_CUSTOM,
	    .offset = OFFSET(rts),
	    .in_place = true,
	    .def = "keep",
	    .size = sizeof(int),
	    .parse = parse_rts,
	    .print = print_signal,
	    .help = "as dtr; of the two, the one that stands first is set"
		    " first" },
	{ .name = "open",
	    .type = KEY_WORD,
	    .offset = OFFSET(open),
	    .def = "always",
	    .words = open_words,
	    .help = "always, or demand: only while a client of its routes is"
		    " connected" },
	{ .name = "reset",
	    .type = KEY_WORD,
	    .offset = OFFSET(reset),
	    .in_place = true,
	    .def = "none",
	    .words = serial_reset_words,
	    .help = "what the command reset does: an ESP board starts its"
		    " bootloader (classic) or its program (esp), an Arduino is"
		    " reset (uno)" },
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
	TCP_KEY_CONNECT_TIMEOUT(struct serial_conf),
	TCP_KEY_KEEPALIVE(struct serial_conf),
	ENDPOINT_KEY_ON_OPEN(struct serial_conf),
	ENDPOINT_KEY_ON_CLOSE(struct serial_conf),
	{ .name = NULL },
};

bool
serial_reset_allowed(
    const struct serial_conf *serial, int kind, struct error *err)
{
	const char *other = serial->rs485      ? "rs485"
	    : serial->line.flow == FLOW_RTSCTS ? "flow = rtscts"
					       : NULL;

	if (kind == RESET_NONE || kind == RESET_UNO || other == NULL)
		return true;
	error_set(err, "reset = %s and %s exclude each other: both use RTS",
	    serial_reset_words[kind], other);
	return false;
}

const char *
serial_remote_address(const struct serial_conf *serial)
{
	const char *device = serial->device;

	return device != NULL &&
		strncmp(device, REMOTE_SCHEME, strlen(REMOTE_SCHEME)) == 0
	    ? device + strlen(REMOTE_SCHEME)
	    : NULL;
}

/* A device that is not a path. */
static int
check_device(const struct serial_conf *serial, struct error *err)
{
	const char *device = serial->device;
	const char *address = serial_remote_address(serial);
	const char *local = serial->rs485 ? "rs485"
	    : serial->low_latency	  ? "low_latency"
	    : serial->hangup_on_close	  ? "hangup_on_close"
					  : NULL;

	if (address != NULL && !connector_is_address(address))
		error_set(err,
		    "'device': '%s' is not " REMOTE_SCHEME
		    "HOST:PORT, such as " REMOTE_SCHEME "192.168.1.7:2217",
		    device);
	else if (address != NULL && local != NULL)
		error_set(err,
		    "%s is for the ports of this machine, and device '%s' is"
		    " on another one",
		    local, device);
	else if (address != NULL)
		return 0;
	else if (strstr(device, "://") != NULL)
		error_set(err,
		    "'device': '%s' is neither a path nor " REMOTE_SCHEME
		    "HOST:PORT; a TCP connection without RFC 2217 is a"
		    " [tcp-client]",
		    device);
	else
		error_set(err,
		    strncmp(device, "tty", 3) == 0
			? "'device': '%s' is not a path; did you mean "
			  "'/dev/%s'?"
			: "'device': '%s' is not a path; ttybridged "
			  "--list-ports"
			  " lists the devices",
		    device, device);
	return -EINVAL;
}

int
serial_check_keys(const struct serial_conf *serial, struct error *err)
{
	struct usb_id id;

	if (serial->device == NULL && serial->usb == NULL)
		error_set(err,
		    "needs 'device' or 'usb', such as device = /dev/ttyACM0");
	else if (serial->device != NULL && serial->usb != NULL)
		error_set(err, "'device' and 'usb' exclude each other");
	else if (serial->device != NULL && serial->device[0] != '/' &&
	    check_device(serial, err) < 0)
		return -EINVAL;
	else if (serial->usb != NULL && usb_id_parse(serial->usb, &id) < 0)
		error_set(err,
		    "'usb': '%s' is not VID:PID or"
		    " VID:PID:SERIAL, such as 2341:0043",
		    serial->usb);
	else if (serial->rs485 && serial->line.flow == FLOW_RTSCTS)
		error_set(err,
		    "'rs485' and flow = rtscts exclude each"
		    " other: both use RTS");
	else if (serial->rs485 && serial->rts != LINE_KEEP)
		error_set(err,
		    "'rs485' and 'rts' exclude each other: the"
		    " driver sets RTS");
	else if (!serial_reset_allowed(serial, serial->reset, err))
		return -EINVAL;
	else if (serial->rs485_delay_before % NSEC_PER_MSEC != 0 ||
	    serial->rs485_delay_after % NSEC_PER_MSEC != 0)
		error_set(err,
		    "'rs485_delay_before' and 'rs485_delay_after' are whole"
		    " milliseconds, such as 2ms");
	else
		return 0;
	return -EINVAL;
}

void
serial_warn(const struct endpoint_conf *conf, struct error *err)
{
	const struct serial_conf *serial = conf->type_conf;

	if (serial->line.flow == FLOW_DTRDSR &&
	    serial_remote_address(serial) == NULL)
		error_set(err,
		    "Linux has no DTR/DSR flow control, so the port"
		    " cannot be opened; write flow = rtscts, xonxoff or none");
}
