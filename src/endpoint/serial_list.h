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
 * Finds the device with that USB identity, such as "/dev/ttyACM0", from sysfs (mounted
 * at that path) alone; no port is opened.  If there are several, returns the one with
 * the lowest number.  -ENOENT.
 */
int serial_list_find_usb(
    const char *sysfs, const struct usb_id *id, char *path, size_t size);
/*
 * Prints a table of all ports and their details to standard output.  Opens some of
 * them, so it must not be called from the event loop.  -errno.
 */
int serial_list_ports(bool json);

#endif
