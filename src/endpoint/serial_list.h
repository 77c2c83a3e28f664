/*
 * serial_list: the serial ports of this machine.
 */
#ifndef SERIAL_LIST_H
#define SERIAL_LIST_H

#include "util.h"

struct usb_id {
	unsigned vid, pid;
	char serial[64]; /* "": any */
};

/* "2341:0043" or "2341:0043:SERIAL"; -EINVAL. */
int usb_id_parse(const char *s, struct usb_id *ret);
/*
 * The device of that identity, "/dev/ttyACM0", by sysfs (mounted at that path)
 * alone: no port is opened.  Of several, the one with the lowest number.
 * -ENOENT.
 */
int serial_list_find_usb(
    const char *sysfs, const struct usb_id *id, char *path, size_t size);
/*
 * Prints a table of all ports, with what is known of each, to standard output.
 * Opens some of them: not for the loop.  -errno.
 */
int serial_list_ports(bool json);

#endif
