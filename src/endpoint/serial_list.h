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
/* A serial port; what is not known is "". */
struct serial_info {
	char path[256]; /* "/dev/ttyUSB0" */
	char description[256];
	char usb[16]; /* "2341:0043" */
	char serial[128];
	char by_id[512]; /* its path in /dev/serial/by-id */
	char driver[64];
};

/*
 * Calls each for all ports, ordered by name; strings have no control characters.  Opens
 * some of them, so it must not be called from the event loop.
 */
void serial_list_each(
    void (*each)(void *arg, const struct serial_info *info), void *arg);
/*
 * Prints a table of all ports and their details to standard output.  Opens some of
 * them, so it must not be called from the event loop.  -errno.
 */
int serial_list_ports(bool json);

#endif
