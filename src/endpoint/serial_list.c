/*
 * serial_list: the serial ports of this machine: a table for the user, and a look-up by
 * USB identity for the daemon.
 *
 * Both read the names from sysfs.  sp_list_ports() would open ports to check whether
 * they exist, which disturbs ports in use, and since libserialport 0.1.2 it fails as a
 * whole when one port has no node in /dev, as in a container.  The details of each port
 * come from libserialport.
 */
#include <sys/ioctl.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/serial.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <libserialport.h>

#include "output.h"
#include "serial_list.h"

#define BY_ID "/dev/serial/by-id"
#define SYS_TTY "/sys/class/tty"

/*
 * The USB device of a port is the parent of its interface, a few levels up, with or
 * without a usb-serial port in between.
 */
#define USB_DEPTH 5

/* --- look-up ------------------------------------------------------------- */

int
usb_id_parse(const char *s, struct usb_id *ret)
{
	struct usb_id id = { 0 };
	int n = 0;

	if (strspn(s, "0123456789abcdefABCDEF") != 4 || s[4] != ':' ||
	    strspn(s + 5, "0123456789abcdefABCDEF") != 4 ||
	    sscanf(s, "%4x:%4x%n", &id.vid, &id.pid, &n) != 2 || n != 9)
		return -EINVAL;
	if (s[9] == ':') {
		if (s[10] == '\0' || strlen(s + 10) >= sizeof(id.serial))
			return -EINVAL;
		snprintf(id.serial, sizeof(id.serial), "%s", s + 10);
	} else if (s[9] != '\0')
		return -EINVAL;
	*ret = id;
	return 0;
}

/* Reads the first line of a sysfs file; false when there is none. */
static bool
read_attribute(const char *dir, const char *name, char *buf, size_t size)
{
	char path[PATH_MAX];
	FILE *f;
	bool ok;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if ((f = fopen(path, "re")) == NULL)
		return false;
	ok = fgets(buf, (int)size, f) != NULL;
	fclose(f);
	if (ok)
		buf[strcspn(buf, "\n")] = '\0';
	return ok;
}

static bool
usb_device_is(const char *dir, const struct usb_id *id)
{
	char text[64];

	if (!read_attribute(dir, "idVendor", text, sizeof(text)) ||
	    strtoul(text, NULL, 16) != id->vid ||
	    !read_attribute(dir, "idProduct", text, sizeof(text)) ||
	    strtoul(text, NULL, 16) != id->pid)
		return false;
	return id->serial[0] == '\0' ||
	    (read_attribute(dir, "serial", text, sizeof(text)) &&
		strcmp(text, id->serial) == 0);
}

/* Whether the port belongs to that USB device. */
static bool
port_is(const char *sysfs, const char *name, const struct usb_id *id)
{
	char link[PATH_MAX], dir[PATH_MAX], *slash;

	snprintf(link, sizeof(link), "%s/class/tty/%s/device", sysfs, name);
	if (realpath(link, dir) == NULL)
		return false;
	for (int i = 0; i < USB_DEPTH; i++) {
		if (usb_device_is(dir, id))
			return true;
		if ((slash = strrchr(dir, '/')) == NULL)
			return false;
		*slash = '\0';
	}
	return false;
}

int
serial_list_find_usb(
    const char *sysfs, const struct usb_id *id, char *path, size_t size)
{
	char dir[PATH_MAX], best[NAME_MAX + 1] = "";
	struct dirent *d;
	DIR *ttys;

	snprintf(dir, sizeof(dir), "%s/class/tty", sysfs);
	if ((ttys = opendir(dir)) == NULL)
		return -ENOENT;
	while ((d = readdir(ttys)) != NULL)
		if (d->d_name[0] != '.' &&
		    (best[0] == '\0' || strverscmp(d->d_name, best) < 0) &&
		    port_is(sysfs, d->d_name, id))
			snprintf(best, sizeof(best), "%s", d->d_name);
	closedir(ttys);
	if (best[0] == '\0' || strlen(best) + sizeof("/dev/") > size)
		return -ENOENT;
	snprintf(path, size, "/dev/%s", best);
	return 0;
}

/* --- list ---------------------------------------------------------------- */

static void
find_by_id(const char *port, char *buf, size_t size)
{
	char path[PATH_MAX], real[PATH_MAX];
	struct dirent *d;
	DIR *dir;

	buf[0] = '\0';
	if ((dir = opendir(BY_ID)) == NULL)
		return;
	while (buf[0] == '\0' && (d = readdir(dir)) != NULL) {
		snprintf(path, sizeof(path), BY_ID "/%s", d->d_name);
		if (d->d_name[0] != '.' && realpath(path, real) != NULL &&
		    strcmp(real, port) == 0 && strlen(path) < size)
			memcpy(buf, path, strlen(path) + 1);
	}
	closedir(dir);
}

static void
find_driver(const char *port, char *buf, size_t size)
{
	const char *name = strrchr(port, '/');
	char path[PATH_MAX], real[PATH_MAX];

	buf[0] = '\0';
	snprintf(path, sizeof(path), SYS_TTY "/%s/device/driver",
	    name != NULL ? name + 1 : port);
	if (realpath(path, real) != NULL)
		snprintf(buf, size, "%s", strrchr(real, '/') + 1);
}

/* Strings from devices may contain any characters, and may be missing. */
static void
copy_text(const char *text, char *buf, size_t size)
{
	if (text == NULL)
		buf[0] = '\0';
	else
		escape((const uint8_t *)text, strlen(text), buf, size);
}

static void
read_info(struct sp_port *port, struct serial_info *info)
{
	const char *name = sp_get_port_name(port);
	int vid, pid;

	memset(info, 0, sizeof(*info));
	copy_text(name, info->path, sizeof(info->path));
	copy_text(sp_get_port_description(port), info->description,
	    sizeof(info->description));
	if (sp_get_port_usb_vid_pid(port, &vid, &pid) == SP_OK)
		snprintf(info->usb, sizeof(info->usb), "%04x:%04x", vid, pid);
	copy_text(
	    sp_get_port_usb_serial(port), info->serial, sizeof(info->serial));
	find_by_id(name, info->by_id, sizeof(info->by_id));
	find_driver(name, info->driver, sizeof(info->driver));
}

static int
by_name(const struct dirent **a, const struct dirent **b)
{
	return strverscmp((*a)->d_name, (*b)->d_name);
}

/* The 8250 driver registers more ports than exist; a port has to be opened to find
 * out. */
static bool
is_unused_8250(const char *path)
{
	struct serial_struct ss;
	int fd = open(path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	bool unused;

	if (fd < 0)
		return errno != EACCES && errno != EPERM && errno != EBUSY;
	unused = ioctl(fd, TIOCGSERIAL, &ss) < 0 || ss.type == PORT_UNKNOWN;
	close(fd);
	return unused;
}

/* Whether a name in /sys/class/tty is a serial port and not a console or the like. */
static int
is_port(const struct dirent *d)
{
	char link[PATH_MAX], real[PATH_MAX], path[PATH_MAX];

	snprintf(link, sizeof(link), SYS_TTY "/%s", d->d_name);
	if (d->d_name[0] == '.' || realpath(link, real) == NULL ||
	    strstr(real, "/virtual/") != NULL)
		return 0;
	snprintf(path, sizeof(path), "/dev/%s", d->d_name);
	return strstr(real, "/serial8250/") == NULL || !is_unused_8250(path);
}

/* In a container, /dev may lack ports that /sys has: they are left out. */
static void
each_entry(const char *name,
    void (*each)(void *arg, const struct serial_info *info), void *arg)
{
	struct serial_info info;
	struct sp_port *port;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/dev/%s", name);
	if (access(path, F_OK) < 0 ||
	    sp_get_port_by_name(path, &port) != SP_OK) {
		fprintf(stderr, "%s is not listed: there is no %s here\n", name,
		    path);
		return;
	}
	read_info(port, &info);
	sp_free_port(port);
	each(arg, &info);
}

void
serial_list_each(
    void (*each)(void *arg, const struct serial_info *info), void *arg)
{
	struct dirent **entries;
	int n = scandir(SYS_TTY, &entries, is_port, by_name);

	for (int i = 0; i < n; i++) {
		each_entry(entries[i]->d_name, each, arg);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
}

/* A table that is being printed. */
struct listing {
	struct output *o;
	unsigned n;
};

static void
list_port(void *arg, const struct serial_info *info)
{
	struct listing *listing = arg;
	const char *cells[] = { info->path, info->description, info->usb,
		info->serial, info->by_id, info->driver };

	for (size_t i = 0; i < NELEM(cells); i++)
		output_cell(listing->o, "%s", cells[i]);
	listing->n++;
}

static int
print(struct output *o)
{
	struct evbuffer *buf = evbuffer_new();
	int r;

	if (buf == NULL)
		return -ENOMEM;
	r = output_finish(o, buf);
	while (r == 0 && evbuffer_get_length(buf) > 0)
		if (evbuffer_write(buf, STDOUT_FILENO) < 0)
			r = -errno;
	evbuffer_free(buf);
	return r;
}

int
serial_list_ports(bool json)
{
	static const char *const headings[] = {
		"PORT",
		"DESCRIPTION",
		"USB",
		"SERIAL",
		"BY-ID",
		"DRIVER",
		NULL,
	};
	struct listing listing = { .o = output_new(
				       json ? OUTPUT_JSON : OUTPUT_TEXT) };
	struct output *o = listing.o;
	int r;

	if (o == NULL)
		return -ENOMEM;
	output_table(o, headings);
	serial_list_each(list_port, &listing);
	r = print(o);
	if (listing.n == 0 && !json)
		fprintf(stderr, "no serial ports were found\n");
	output_free(o);
	return r;
}
