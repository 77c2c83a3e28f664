/*
 * doctor_service: what the service may do, and what it needs of the system.
 */
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor_check.h"
#include "doctor_system.h"

/* Less is as good as nothing. */
#define FREE_MIN (1ULL << 20)

/* --- the network ------------------------------------------------------------ */

/* Whether the unit keeps the service from sockets of the network. */
static bool
has_no_network(const json_t *service)
{
	const char *families = member_text(service, "RestrictAddressFamilies");

	if (strcmp(member_text(service, "PrivateNetwork"), "yes") == 0)
		return true;
	return *families != '\0' && *families != '~' &&
	    strstr(families, "AF_INET") == NULL;
}

/* "[::]:5011", "*:5011" and "5011" are the same port. */
static const char *
port_of(const char *address)
{
	const char *colon = strrchr(address, ':');

	return colon != NULL ? colon + 1 : address;
}

static bool
is_unix(const char *address)
{
	return *address == '/' || strncmp(address, "unix:", 5) == 0;
}

static const char *
unix_path(const char *address)
{
	return strncmp(address, "unix:", 5) == 0 ? address + 5 : address;
}

/* Whether the address, "[::]:5011", "*:5011" or "5011", is that of all interfaces. */
static bool
is_wildcard(const char *address)
{
	return strrchr(address, ':') == NULL ||
	    strncmp(address, "*:", 2) == 0 ||
	    strncmp(address, "[::]:", 5) == 0 ||
	    strncmp(address, "0.0.0.0:", 8) == 0;
}

/* Whether a socket of systemd, "ADDRESS (Stream)", has the port of a section. */
static bool
same_port(const char *inherited, const char *listen)
{
	char address[PATH_MAX];

	snprintf(address, sizeof(address), "%.*s", (int)strcspn(inherited, " "),
	    inherited);
	return !is_unix(address) && !is_unix(listen) &&
	    strcmp(port_of(address), port_of(listen)) == 0;
}

/* Whether a socket of systemd is that of a section. */
static bool
same_address(const char *inherited, const char *listen)
{
	char address[PATH_MAX];

	snprintf(address, sizeof(address), "%.*s", (int)strcspn(inherited, " "),
	    inherited);
	if (is_unix(address) || is_unix(listen))
		return strcmp(unix_path(address), unix_path(listen)) == 0;
	if (!same_port(inherited, listen))
		return false;
	return is_wildcard(address) || strcmp(address, listen) == 0 ||
	    (strncmp(listen, "localhost:", 10) == 0 &&
		(strncmp(address, "127.", 4) == 0 ||
		    strncmp(address, "[::1]", 5) == 0));
}

/* Whether the configuration has a section of that name that listens. */
static bool
is_listening(const struct doctor *d, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/listen", name);
	return json_object_get(
		   json_object_get(d->facts.config, "keys"), path) != NULL;
}

/*
 * What the socket units of the service listen on, one a line; the caller frees it.  A unit
 * for the section of a name is "=NAME".
 */
static char *
inherited_sockets(const struct doctor *d)
{
	const char *rest = member_text(d->service, "TriggeredBy"), *word, *name;
	char *all = strdup(""), *joined, unit[128];
	json_t *socket;
	size_t len;
	bool named;

	while (all != NULL && (word = list_word(&rest, &len)) != NULL) {
		snprintf(unit, sizeof(unit), "%.*s", (int)len, word);
		if (strstr(unit, ".socket") == NULL ||
		    (socket = system_properties(
			 unit, "Listen,FileDescriptorName")) == NULL)
			continue;
		name = member_text(socket, "FileDescriptorName");
		named = is_listening(d, name);
		if (asprintf(&joined, "%s%s%s\n", all, named ? "=" : "",
			named ? name : member_text(socket, "Listen")) >= 0) {
			free(all);
			all = joined;
		}
		json_decref(socket);
	}
	return all;
}

/* The socket, up to the end of its line, that a section could use; NULL if there is none. */
static const char *
find_inherited(const char *sockets, const char *listen,
    bool (*same)(const char *inherited, const char *listen))
{
	const char *line;

	for (line = sockets; *line != '\0'; line = strchr(line, '\n') + 1)
		if (*line != '=' && same(line, listen))
			return line;
	return NULL;
}

static bool
is_inherited(const char *sockets, const char *name, const char *listen)
{
	char line[128];
	const char *found;

	snprintf(line, sizeof(line), "=%.100s\n", name);
	found = strstr(sockets, line);
	return (found != NULL && (found == sockets || found[-1] == '\n')) ||
	    find_inherited(sockets, listen, same_address) != NULL;
}

static bool
is_client(const struct facts *f, const char *name, const char *value)
{
	static const char *const types[] = { "tcp-client", "udp", "mqtt" };

	for (size_t i = 0; i < NELEM(types); i++)
		if (fact_is(f, name, "type", types[i]))
			return true;
	return strncmp(value, "rfc2217:", 8) == 0;
}

static void
found_client(struct doctor *d, const char *name)
{
	static const char drop_in[] =
	    "/usr/share/doc/ttybridge/examples/network.conf";
	static const char local[] =
	    "/usr/local/share/doc/ttybridge/examples/network.conf";
	char where[DOCTOR_TEXT_MAX], remedy[DOCTOR_TEXT_MAX];

	fact_where(&d->facts, name, where, sizeof(where));
	format_text(remedy, sizeof(remedy),
	    "sudo install -D -m 644 -t /etc/systemd/system/%s.d %s && sudo"
	    " systemctl daemon-reload && %s",
	    d->unit, access(local, F_OK) == 0 ? local : drop_in, d->restart);
	report_finding(&d->report, name, where, remedy,
	    "%s needs the network, which %s has not (PrivateNetwork=,"
	    " RestrictAddressFamilies=)",
	    name, d->unit);
}

static void
found_server(
    struct doctor *d, const char *name, const char *listen, const char *sockets)
{
	const char *other = find_inherited(sockets, listen, same_port);
	char where[DOCTOR_TEXT_MAX], remedy[DOCTOR_TEXT_MAX],
	    instead[DOCTOR_TEXT_MAX] = "";

	fact_where(&d->facts, name, where, sizeof(where));
	/* systemd takes no '*'. */
	format_text(remedy, sizeof(remedy),
	    "sudo systemctl edit ttybridge.socket   # [Socket]"
	    " ListenStream=%s; then stop it, and %s",
	    strncmp(listen, "*:", 2) == 0 ? listen + 2 : listen, d->restart);
	if (other != NULL)
		format_text(instead, sizeof(instead),
		    "; the inherited socket %.*s does not serve it",
		    (int)strcspn(other, " \n"), other);
	report_finding(&d->report, name, where, remedy,
	    "%s listens on %s, and %s has neither a network nor that address"
	    " in its socket unit%s",
	    name, listen, d->unit, instead);
}

/* Calls each() for all sections with an address: endpoints, control ports, web servers. */
static void
each_address(struct doctor *d, const char *key, const char *arg,
    void (*each)(
	struct doctor *, const char *name, const char *value, const char *arg))
{
	const json_t *keys = json_object_get(d->facts.config, "keys"), *value;
	const char *path, *slash;
	char name[80];

	json_object_foreach((json_t *)(uintptr_t)keys, path, value)
	{
		slash = strrchr(path, '/');
		if (slash == NULL || strcmp(slash + 1, key) != 0 ||
		    !json_is_string(value))
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)(slash - path), path);
		each(d, name, json_string_value(value), arg);
	}
}

static void
check_client(
    struct doctor *d, const char *name, const char *value, const char *sockets)
{
	(void)sockets;
	if (is_client(&d->facts, name, value) &&
	    !report_has(&d->report, d->report.check, name))
		found_client(d, name);
}

static void
check_server(
    struct doctor *d, const char *name, const char *value, const char *sockets)
{
	if (!is_client(&d->facts, name, value) && !is_unix(value) &&
	    !is_inherited(sockets, name, value))
		found_server(d, name, value, sockets);
}

void
check_network(struct doctor *d)
{
	static const char *const keys[] = { "connect", "send_to", "broker",
		"device", "listen" };
	char *sockets;

	if (*d->unit == '\0')
		return;
	if (d->service == NULL) {
		report_not_checked(
		    &d->report, "systemctl show %s has failed", d->unit);
		return;
	}
	if (!has_no_network(d->service) ||
	    (sockets = inherited_sockets(d)) == NULL)
		return;
	for (size_t i = 0; i < NELEM(keys); i++)
		each_address(d, keys[i], sockets, check_client);
	each_address(d, "listen", sockets, check_server);
	free(sockets);
}

/* --- inherited sockets ------------------------------------------------------ */

static void
found_unclaimed(struct doctor *d, const char *socket)
{
	char remedy[DOCTOR_TEXT_MAX];

	format_text(remedy, sizeof(remedy),
	    "sudo systemctl edit --full ttybridge.socket   # or add 'listen ="
	    " %.*s' to a section",
	    (int)MIN(strcspn(socket, " "), (size_t)100), socket);
	report_finding(&d->report, socket, "ttybridge.socket", remedy,
	    "no section has the inherited socket %s as 'listen': a client that"
	    " connects to it gets no answer",
	    socket);
}

/* Whether a section has the socket, or only its port, which check_network() tells of. */
static bool
is_claimed(const struct doctor *d, const char *socket)
{
	const json_t *keys = json_object_get(d->facts.config, "keys"), *value;
	const char *path, *slash;

	json_object_foreach((json_t *)(uintptr_t)keys, path, value)
	{
		slash = strrchr(path, '/');
		if (slash != NULL && strcmp(slash, "/listen") == 0 &&
		    json_is_string(value) &&
		    (same_address(socket, json_string_value(value)) ||
			same_port(socket, json_string_value(value))))
			return true;
	}
	return *socket == '=';
}

/* Whether the daemon has said so, "NAME (ADDRESS)", of an "ADDRESS (Stream)". */
static bool
is_known(const char *unclaimed, const char *socket)
{
	char address[160];

	snprintf(address, sizeof(address), "(%.*s)",
	    (int)MIN(strcspn(socket, " "), sizeof(address) - 3), socket);
	return strstr(unclaimed, address) != NULL;
}

/*
 * What the daemon says is exact, but only of the sockets that no section claimed when it was
 * started; of the others, addresses are compared.
 */
void
check_sockets(struct doctor *d)
{
	char text[512], known[512], *all, *at, *socket;
	const json_t *keys = json_object_get(d->facts.config, "keys");

	fact_text(&d->facts, "daemon", "unclaimed", text, sizeof(text));
	memcpy(known, text, sizeof(known));
	for (at = text; *text != '\0' && at != NULL;) {
		socket = at;
		if ((at = strstr(at, "), ")) != NULL) {
			at[1] = '\0';
			at += 3;
		}
		found_unclaimed(d, socket);
	}
	if (d->service == NULL || keys == NULL ||
	    (all = at = inherited_sockets(d)) == NULL)
		return;
	while ((socket = strsep(&at, "\n")) != NULL)
		if (*socket != '\0' && !is_claimed(d, socket) &&
		    !is_known(known, socket))
			found_unclaimed(d, socket);
	free(all);
}

/* --- disks ------------------------------------------------------------------ */

static void
check_space(
    struct doctor *d, const char *name, const char *directory, const char *what)
{
	char where[DOCTOR_TEXT_MAX], remedy[DOCTOR_TEXT_MAX], size[16];
	struct statvfs fs;
	uint64_t space;

	if (statvfs(directory, &fs) < 0) {
		/* What is not there has a warning of its own. */
		if (errno == EACCES)
			report_not_checked(&d->report,
			    "%s: %s: run it as root: sudo %s doctor", directory,
			    strerror(errno), d->facts.command);
		return;
	}
	space = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (space >= FREE_MIN && (fs.f_files == 0 || fs.f_favail > 0))
		return;
	fact_where(&d->facts, name, where, sizeof(where));
	format_text(remedy, sizeof(remedy),
	    "sudo du -xh %s | sort -h | tail   # then remove something",
	    directory);
	report_finding(&d->report, directory, where, remedy,
	    "the disk of %s, where %s has its %s, is full (%s left%s)",
	    directory, name, what, format_size(space, size, sizeof(size)),
	    space < FREE_MIN ? "" : ", and no inodes");
}

/* The directory of a file, which may be relative to that of the daemon. */
static void
directory_of(const struct doctor *d, const char *file, char *buf, size_t size)
{
	const char *end = strrchr(file, '/');

	buf[0] = '\0';
	if (*file != '/')
		snprintf(buf, size, "/proc/%d/cwd/", (int)d->facts.pid);
	append(
	    buf, size, "%.*s", end != NULL ? (int)(end - file) + 1 : 0, file);
	while (strlen(buf) > 1 && buf[strlen(buf) - 1] == '/')
		buf[strlen(buf) - 1] = '\0';
}

static bool
uses_spool(const struct facts *f, const char *name)
{
	char spool[32];

	fact_text(f, name, "spool", spool, sizeof(spool));
	return *spool != '\0' && strcmp(spool, "none") != 0 &&
	    strcmp(spool, "0") != 0;
}

static void
check_spool_directory(struct doctor *d, const char *name)
{
	const json_t *keys = json_object_get(d->facts.config, "keys");
	const char *state = member_text(keys, "daemon/state_dir");
	char path[PATH_MAX];
	struct stat st;

	if (*state == '\0')
		return;
	/* The spool may be a file system of its own. */
	snprintf(path, sizeof(path), "%.4000s/spool/%s", state, name);
	if (stat(path, &st) < 0 && errno != EACCES)
		snprintf(path, sizeof(path), "%s", state);
	check_space(d, name, path, "spool");
}

void
check_disk(struct doctor *d)
{
	const struct facts *f = &d->facts;
	char file[PATH_MAX], directory[PATH_MAX];
	const json_t *each;
	size_t i;

	json_array_foreach(f->endpoints, i, each)
	{
		const char *name = member_text(each, "name");

		if (uses_spool(f, name))
			check_spool_directory(d, name);
		fact_text(f, name, "log", file, sizeof(file));
		if (*file == '\0' || (*file != '/' && f->pid == 0))
			continue;
		directory_of(d, file, directory, sizeof(directory));
		check_space(d, name, directory, "log");
	}
}

/* --- the clock -------------------------------------------------------------- */

void
check_clock(struct doctor *d)
{
	const struct facts *f = &d->facts;
	struct timex tx = { .modes = 0 };
	const json_t *each;
	char where[DOCTOR_TEXT_MAX];
	int state = -1;
	size_t i;

	json_array_foreach(f->endpoints, i, each)
	{
		const char *name = member_text(each, "name");

		if (!uses_spool(f, name))
			continue;
		if (state < 0 && (state = adjtimex(&tx)) < 0) {
			report_not_checked(
			    &d->report, "adjtimex: %s", strerror(errno));
			return;
		}
		if (state != TIME_ERROR && (tx.status & STA_UNSYNC) == 0)
			return;
		fact_where(f, name, where, sizeof(where));
		report_finding(&d->report, "clock", where,
		    "sudo timedatectl set-ntp true && timedatectl",
		    "the clock is not synchronised, and the spool of %s"
		    " measures the age of frames by it",
		    name);
		return;
	}
}
