/*
 * doctor_usb: what the kernel has logged about the USB ports of serial devices.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "doctor_check.h"
#include "doctor_system.h"

/* What happened before that is not looked at. */
#define RECENT_USEC (24 * 3600 * 1000000ULL)
/* The kernel's buffer is rarely larger. */
#define LOG_MAX (8 << 20)
/* The longest record that /dev/kmsg returns. */
#define RECORD_MAX 8192

/* What counts as a sign of a bad cable, hub or supply. */
struct signs {
	unsigned resets, disconnects, errors;
};

/* --- the log ---------------------------------------------------------------- */

/* All of it, which the caller frees; NULL and *e: it cannot be read. */
static char *
read_log(int *e)
{
	char path[PATH_MAX], *text;
	size_t len = 0;
	ssize_t n;
	int fd = open(system_path("/dev/kmsg", path, sizeof(path)),
	    O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	*e = errno;
	if (fd < 0)
		return NULL;
	if ((text = malloc(LOG_MAX)) == NULL) {
		*e = ENOMEM;
		close(fd);
		return NULL;
	}
	/* EPIPE: records were overwritten meanwhile. */
	while (len + RECORD_MAX < LOG_MAX &&
	    ((n = read(fd, text + len, RECORD_MAX)) > 0 ||
		(n < 0 && (errno == EPIPE || errno == EINTR))))
		len += (size_t)MAX(n, (ssize_t)0);
	text[len] = '\0';
	close(fd);
	return text;
}

/* Calls each() for the messages of records "PRIORITY,NUMBER,USEC,FLAGS;MESSAGE". */
static void
each_message(const char *text, uint64_t since,
    void (*each)(const char *message, size_t len, void *arg), void *arg)
{
	const char *line, *end, *message;
	unsigned long long usec;

	for (line = text; *line != '\0'; line = end + (*end == '\n')) {
		end = line + strcspn(line, "\n");
		message = memchr(line, ';', (size_t)(end - line));
		if (message == NULL ||
		    sscanf(line, "%*u,%*u,%llu,", &usec) != 1 || usec < since)
			continue;
		message++;
		each(message, (size_t)(end - message), arg);
	}
}

static uint64_t
recent(void)
{
	uint64_t now = now_ns() / NSEC_PER_USEC;

	return now > RECENT_USEC ? now - RECENT_USEC : 0;
}

/* --- the device ------------------------------------------------------------- */

struct search {
	char tty[64];
	char usb[64]; /* "1-1.2", "": unknown */
	struct signs signs;
};

/* The USB device that the terminal belongs to, by its place in /sys. */
static void
find_in_sys(struct search *s)
{
	char path[PATH_MAX + 16], link[PATH_MAX], dir[PATH_MAX], *slash;

	snprintf(path, sizeof(path), "/sys/class/tty/%s/device", s->tty);
	if (realpath(system_path(path, link, sizeof(link)), dir) == NULL)
		return;
	while ((slash = strrchr(dir, '/')) != NULL && slash != dir) {
		snprintf(path, sizeof(path), "%.*s/idVendor",
		    (int)sizeof(path) - 16, dir);
		if (access(path, F_OK) == 0) {
			snprintf(s->usb, sizeof(s->usb), "%.60s", slash + 1);
			return;
		}
		*slash = '\0';
	}
}

/* "usb 1-1.2: FTDI ... now attached to ttyUSB0", "cdc_acm 1-1.2:1.0: ttyACM0: ...". */
static void
note_attached(const char *message, size_t len, void *arg)
{
	struct search *s = arg;
	char text[512], place[64], driver[32], *at;
	size_t name = strlen(s->tty);

	snprintf(
	    text, sizeof(text), "%.*s", (int)MIN(len, (size_t)500), message);
	at = strstr(text, s->tty);
	if (at == NULL || (at[name] != '\0' && at[name] != ':') ||
	    (strstr(text, "attached to") == NULL &&
		strstr(text, "ACM device") == NULL) ||
	    sscanf(text, "%31s %63[^: ]", driver, place) != 2)
		return;
	snprintf(s->usb, sizeof(s->usb), "%s", place);
}

static void
note_sign(const char *message, size_t len, void *arg)
{
	struct search *s = arg;
	char text[512], before[80];

	snprintf(
	    text, sizeof(text), "%.*s", (int)MIN(len, (size_t)500), message);
	snprintf(before, sizeof(before), "usb %s: ", s->usb);
	if (strncmp(text, before, strlen(before)) != 0)
		return;
	if (strstr(text, "USB disconnect") != NULL)
		s->signs.disconnects++;
	else if (strstr(text, ": reset ") != NULL &&
	    strstr(text, "USB device") != NULL)
		s->signs.resets++;
	else if (strstr(text, ", error -") != NULL)
		s->signs.errors++;
}

static void
found_signs(struct doctor *d, const char *name, const struct search *s)
{
	const struct signs *n = &s->signs;
	char where[DOCTOR_TEXT_MAX], remedy[DOCTOR_TEXT_MAX];

	fact_where(&d->facts, name, where, sizeof(where));
	format_text(remedy, sizeof(remedy),
	    "sudo dmesg -T | grep 'usb %s:'   # try another cable or hub",
	    s->usb);
	report_finding(&d->report, name, where, remedy,
	    "%s: the kernel has logged %u resets, %u disconnections and %u"
	    " errors of the USB device %s (%s) in the last day",
	    name, n->resets, n->disconnects, n->errors, s->usb, s->tty);
}

static void
check_one(
    struct doctor *d, const char *name, const char *device, const char *log)
{
	struct search s = { .usb = "" };
	char real[PATH_MAX];
	bool present = system_device(device, real, sizeof(real)) == 0;
	const char *path = present ? real : device;

	if (strncmp(path, "/dev/", 5) != 0 || strlen(path) > 60)
		return;
	snprintf(s.tty, sizeof(s.tty), "%.60s", path + 5);
	if (present)
		find_in_sys(&s);
	if (*s.usb == '\0')
		each_message(log, 0, note_attached, &s);
	if (*s.usb == '\0')
		return;
	each_message(log, recent(), note_sign, &s);
	/* A device may be unplugged, and plugged in again, once. */
	if (s.signs.resets + s.signs.errors > 0 || s.signs.disconnects > 1 ||
	    (s.signs.disconnects > 0 && !present))
		found_signs(d, name, &s);
}

/* A pseudo-terminal or a port on the board has nothing to do with USB. */
static bool
may_be_usb(const char *device)
{
	char real[PATH_MAX], path[2 * PATH_MAX], other[DOCTOR_TEXT_MAX];

	if (system_device(device, real, sizeof(real)) < 0)
		return strncmp(device, "/dev/ttyUSB", 11) == 0 ||
		    strncmp(device, "/dev/ttyACM", 11) == 0 ||
		    strncmp(device, "/dev/serial/", 12) == 0;
	if (strncmp(real, "/dev/", 5) != 0)
		return false;
	snprintf(path, sizeof(path), "/sys/class/tty/%s/device", real + 5);
	return access(system_path(path, other, sizeof(other)), F_OK) == 0 &&
	    strncmp(real, "/dev/ttyS", 9) != 0;
}

void
check_usb(struct doctor *d)
{
	char device[PATH_MAX], *log = NULL;
	const json_t *each;
	size_t i;
	int e = 0;

	json_array_foreach(d->facts.endpoints, i, each)
	{
		const char *name = member_text(each, "name");

		if (!doctor_device(d, name, device, sizeof(device)) ||
		    !may_be_usb(device))
			continue;
		if (log == NULL && (log = read_log(&e)) == NULL) {
			report_not_checked(&d->report,
			    "the kernel log: %s: run it as root: sudo %s"
			    " doctor",
			    strerror(e), d->facts.command);
			return;
		}
		check_one(d, name, device, log);
	}
	free(log);
}
