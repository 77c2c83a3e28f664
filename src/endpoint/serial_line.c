/*
 * serial_line: what is the same for all serial ports, wherever they are.
 */
#include "serial_line.h"

struct serial *
serial_open_line(const struct endpoint *ep)
{
	struct serial *s = ep->impl;

	return s != NULL && s->ops->is_open(s) ? s : NULL;
}

void
serial_use_settings(
    struct endpoint_conf *conf, const struct line_settings *line)
{
	struct serial_conf *serial = conf->type_conf;
	const struct serial_mode *mode = &line->mode;

	serial->now = *line;
	conf->framing.baud = line->baud;
	conf->framing.char_bits =
	    (unsigned)(1 + mode->bits + mode->stop + (mode->parity != 'N'));
}

void
serial_set_address(struct endpoint *ep)
{
	const struct serial_conf *conf = ep->conf->type_conf;
	const struct serial *s = serial_open_line(ep);
	struct line_settings line = conf->now;
	char usb[96], mode[8];
	const char *where = conf->device;

	if (s != NULL)
		s->ops->get(s, &line);
	if (conf->device == NULL) {
		if (s != NULL)
			where = s->ops->path(s);
		else {
			snprintf(usb, sizeof(usb), "usb %s", conf->usb);
			where = usb;
		}
	}
	serial_print_mode(&line.mode, mode, sizeof(mode));
	snprintf(ep->address, sizeof(ep->address), "%s %llu %s", where,
	    (unsigned long long)line.baud, mode);
	snprintf(ep->link.address, sizeof(ep->link.address), "%s", ep->address);
}
