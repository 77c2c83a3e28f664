/*
 * doctor_device: who may use the serial devices, who does, and how they are set.
 */
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor_check.h"
#include "doctor_system.h"
#include "holder.h"

#define GROUPS_MAX 256

bool
doctor_device(const struct doctor *d, const char *name, char *buf, size_t size)
{
	if (!fact_is(&d->facts, name, "type", "serial"))
		return false;
	fact_text(&d->facts, name, "device", buf, size);
	/* Of a port that is known by its USB numbers: "/dev/ttyUSB0 9600 8N1". */
	if (*buf == '\0') {
		fact_text(&d->facts, name, "address", buf, size);
		buf[strcspn(buf, " ")] = '\0';
	}
	return *buf == '/';
}

/* --- permissions ------------------------------------------------------------ */

struct user {
	char name[64];
	uid_t uid;
	gid_t groups[GROUPS_MAX];
	int ngroups;
};

static void
add_group(struct user *u, const char *name)
{
	const struct group *gr = getgrnam(name);

	if (gr != NULL && u->ngroups < GROUPS_MAX)
		u->groups[u->ngroups++] = gr->gr_gid;
}

static bool
named_user(struct user *u, const struct passwd *pw)
{
	if (pw == NULL)
		return false;
	snprintf(u->name, sizeof(u->name), "%s", pw->pw_name);
	u->uid = pw->pw_uid;
	u->ngroups = GROUPS_MAX;
	if (getgrouplist(pw->pw_name, pw->pw_gid, u->groups, &u->ngroups) < 0)
		u->ngroups = 0;
	return true;
}

/* The user of the service, with the groups that its unit adds. */
static bool
service_user(const struct doctor *d, struct user *u)
{
	char list[256];
	const char *word, *rest = list;
	size_t len;

	if (!named_user(u, getpwnam(member_text(d->service, "User"))))
		return false;
	snprintf(list, sizeof(list), "%s %s", member_text(d->service, "Group"),
	    member_text(d->service, "SupplementaryGroups"));
	while ((word = list_word(&rest, &len)) != NULL) {
		char name[64];

		snprintf(name, sizeof(name), "%.*s", (int)len, word);
		add_group(u, name);
	}
	return true;
}

/* The numbers after a word of /proc/PID/status. */
static int
status_numbers(const char *text, const char *word, gid_t *ret, int max)
{
	const char *at = strstr(text, word);
	char *end;
	int n = 0;

	if (at == NULL)
		return 0;
	for (at += strlen(word); n < max; at = end) {
		at += strspn(at, " \t");
		if (*at == '\n' || *at == '\0')
			break;
		ret[n++] = (gid_t)strtoul(at, &end, 10);
		if (end == at)
			break;
	}
	return n;
}

static bool
process_user(pid_t pid, struct user *u)
{
	char path[64], text[8192];
	const struct passwd *pw;
	gid_t ids[4];
	int n;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (system_read(path, text, sizeof(text)) <= 0 ||
	    status_numbers(text, "\nUid:", ids, 4) != 4)
		return false;
	u->uid = (uid_t)ids[1];
	n = status_numbers(text, "\nGid:", ids, 4);
	u->ngroups =
	    status_numbers(text, "\nGroups:", u->groups, GROUPS_MAX - 1);
	if (n == 4)
		u->groups[u->ngroups++] = ids[1];
	pw = getpwuid(u->uid);
	if (pw != NULL)
		snprintf(u->name, sizeof(u->name), "%s", pw->pw_name);
	else
		snprintf(u->name, sizeof(u->name), "%u", (unsigned)u->uid);
	return true;
}

/* Who the daemon is, or would be. */
static bool
daemon_user(const struct doctor *d, struct user *u)
{
	memset(u, 0, sizeof(*u));
	if (d->facts.local)
		return process_user(d->facts.pid, u);
	if (d->service != NULL)
		return service_user(d, u);
	return named_user(u, getpwuid(geteuid()));
}

static bool
may_use(const struct user *u, const char *path, const struct stat *st)
{
	if (u->uid == 0 ||
	    getxattr(path, "system.posix_acl_access", NULL, 0) > 0)
		return true;
	if (u->uid == st->st_uid)
		return (st->st_mode & 0600) == 0600;
	for (int i = 0; i < u->ngroups; i++)
		if (u->groups[i] == st->st_gid)
			return (st->st_mode & 0060) == 0060;
	return (st->st_mode & 0006) == 0006;
}

static void
found_permission(struct doctor *d, const struct user *u, const char *name,
    const char *device, const struct stat *st)
{
	const struct group *gr = getgrgid(st->st_gid);
	char where[DOCTOR_TEXT_MAX], remedy[DOCTOR_TEXT_MAX], real[PATH_MAX];

	if (realpath(device, real) == NULL)
		snprintf(real, sizeof(real), "%s", device);
	fact_where(&d->facts, name, where, sizeof(where));
	if ((st->st_mode & 0060) == 0060 && gr != NULL && st->st_gid != 0)
		format_text(remedy, sizeof(remedy),
		    "sudo usermod -aG %s %s && %s%s", gr->gr_name, u->name,
		    d->restart,
		    *d->unit == '\0' ? "   # after a new login" : "");
	else
		format_text(remedy, sizeof(remedy),
		    "sudo chgrp dialout %s && sudo chmod 660 %s   # a udev"
		    " rule keeps it so",
		    real, real);
	report_finding(&d->report, name, where, remedy,
	    "%s: the user %s may not use %s, which has mode %04o, user %u and"
	    " group %s",
	    name, u->name, device, (unsigned)st->st_mode & 07777,
	    (unsigned)st->st_uid, gr != NULL ? gr->gr_name : "?");
}

/* The driver of a device, as DeviceAllow= names it. */
static void
driver_name(const struct stat *st, char *buf, size_t size)
{
	char text[8192], name[64], *line, *at = text;
	unsigned number;

	snprintf(buf, size, "char-DRIVER");
	if (system_read("/proc/devices", text, sizeof(text)) <= 0)
		return;
	while ((line = strsep(&at, "\n")) != NULL) {
		if (strcmp(line, "Block devices:") == 0)
			return;
		if (sscanf(line, " %u %63s", &number, name) == 2 &&
		    number == major(st->st_rdev)) {
			snprintf(buf, size, "char-%s", name);
			return;
		}
	}
}

/* The unit keeps the service from a device that its user may use. */
static void
found_not_allowed(struct doctor *d, const char *name, const char *device,
    const struct stat *st)
{
	char where[DOCTOR_TEXT_MAX], remedy[DOCTOR_TEXT_MAX], driver[80];

	driver_name(st, driver, sizeof(driver));
	fact_where(&d->facts, name, where, sizeof(where));
	format_text(remedy, sizeof(remedy),
	    "sudo systemctl edit %s   # [Service] DeviceAllow=%s rw",
	    *d->unit != '\0' ? d->unit : "ttybridge", driver);
	report_finding(&d->report, name, where, remedy,
	    "%s: the service may not use %s: its DeviceAllow= does not name %s",
	    name, device, driver);
}

static void
check_device(struct doctor *d, const struct user *u, const char *name,
    const char *device)
{
	char error[512];
	struct stat st;

	if (stat(device, &st) < 0 || !S_ISCHR(st.st_mode) ||
	    fact_is(&d->facts, name, "state", "up"))
		return;
	fact_text(&d->facts, name, "error", error, sizeof(error));
	if (strncmp(error, "not permitted", 13) == 0)
		found_not_allowed(d, name, device, &st);
	else if (strncmp(error, "permission denied", 17) == 0 ||
	    !may_use(u, device, &st))
		found_permission(d, u, name, device, &st);
}

void
check_permission(struct doctor *d)
{
	char device[PATH_MAX];
	const json_t *each;
	struct user user;
	size_t i;

	if (!daemon_user(d, &user)) {
		report_not_checked(
		    &d->report, "the user of the daemon is not known");
		return;
	}
	json_array_foreach(d->facts.endpoints, i, each)
	{
		const char *name = member_text(each, "name");

		if (doctor_device(d, name, device, sizeof(device)))
			check_device(d, &user, name, device);
	}
}

/* --- other programs --------------------------------------------------------- */

/* Programs that open ports by themselves, and the command that stops that. */
static const struct program {
	const char *name, *what, *command;
	bool instance; /* the command ends with the name of the device */
} programs[] = {
	{ "ModemManager", "which tries ports for modems",
	    "sudo systemctl disable --now ModemManager.service", false },
	{ "brltty", "which tries ports for braille displays",
	    "sudo systemctl mask --now brltty.service brltty-udev.service",
	    false },
	{ "agetty", "which offers a login there",
	    "sudo systemctl disable --now serial-getty@", true },
	{ "getty", "which offers a login there",
	    "sudo systemctl disable --now serial-getty@", true },
	{ "gpsd", "which reads GNSS receivers",
	    "sudo systemctl disable --now gpsd.socket gpsd.service", false },
};

/* who: "ModemManager (pid 812)"; NULL: any other program. */
static const struct program *
find_program(const char *who)
{
	for (size_t i = 0; i < NELEM(programs); i++) {
		size_t len = strlen(programs[i].name);

		if (strncmp(who, programs[i].name, len) == 0 && who[len] == ' ')
			return &programs[i];
	}
	return NULL;
}

static void
found_holder(struct doctor *d, const char *name, const char *device, pid_t pid)
{
	char who[96], real[PATH_MAX], where[DOCTOR_TEXT_MAX],
	    remedy[DOCTOR_TEXT_MAX];
	const struct program *p;

	holder_name(pid, who, sizeof(who));
	p = find_program(who);
	if (system_device(device, real, sizeof(real)) < 0)
		snprintf(real, sizeof(real), "%s", device);
	if (p == NULL)
		format_text(remedy, sizeof(remedy), "sudo kill %d", (int)pid);
	else if (p->instance)
		format_text(remedy, sizeof(remedy), "%s%s.service", p->command,
		    strncmp(real, "/dev/", 5) == 0 ? real + 5 : real);
	else
		format_text(remedy, sizeof(remedy), "%s", p->command);
	fact_where(&d->facts, name, where, sizeof(where));
	report_finding(&d->report, name, where, remedy,
	    "%s: %s is held by %s%s%s", name, device, who,
	    p != NULL ? ", " : "", p != NULL ? p->what : "");
}

/* What the daemon says, if the process itself cannot be found. */
static void
found_lock(struct doctor *d, const char *name, const char *device)
{
	char error[512], where[DOCTOR_TEXT_MAX], remedy[DOCTOR_TEXT_MAX];

	fact_text(&d->facts, name, "error", error, sizeof(error));
	if (strstr(error, "held by ") == NULL ||
	    strstr(error, "another endpoint") != NULL)
		return;
	fact_where(&d->facts, name, where, sizeof(where));
	format_text(remedy, sizeof(remedy), "sudo fuser -v %s", device);
	report_finding(&d->report, name, where, remedy, "%s: %s is %s", name,
	    device, error);
}

/* The serial endpoints and their devices. */
struct devices {
	struct doctor *d;
	const char **names;
	const char **paths;
	size_t n;
};

/* The service manager has a copy of what the daemon has open, in its descriptor store. */
static bool
is_of_daemon(const struct doctor *d, pid_t pid)
{
	char who[96];

	holder_name(pid, who, sizeof(who));
	return strncmp(who, "systemd ", 8) == 0 ||
	    (!d->facts.running && strncmp(who, "ttybridged ", 11) == 0);
}

static void
found_process(size_t index, pid_t pid, void *arg)
{
	struct devices *all = arg;

	if (!is_of_daemon(all->d, pid))
		found_holder(all->d, all->names[index], all->paths[index], pid);
}

static void
collect_devices(struct devices *all)
{
	char device[PATH_MAX], *copy;
	const json_t *each;
	size_t i;

	json_array_foreach(all->d->facts.endpoints, i, each)
	{
		const char *name = member_text(each, "name");

		if (!doctor_device(all->d, name, device, sizeof(device)) ||
		    (copy = strdup(device)) == NULL)
			continue;
		all->names[all->n] = name;
		all->paths[all->n++] = copy;
	}
}

void
check_holder(struct doctor *d)
{
	size_t n = json_array_size(d->facts.endpoints);
	struct devices all = { d, calloc(n + 1, sizeof(*all.names)),
		calloc(n + 1, sizeof(*all.paths)), 0 };

	if (all.names != NULL && all.paths != NULL)
		collect_devices(&all);
	if (all.n > 0 &&
	    !holders_of_devices(
		all.paths, all.n, d->facts.pid, found_process, &all))
		report_not_checked(&d->report,
		    "the files of other users' processes are hidden: run it as"
		    " root: sudo %s doctor",
		    d->facts.command);
	for (size_t i = 0; i < all.n; i++) {
		if (!report_has(&d->report, d->report.check, all.names[i]))
			found_lock(d, all.names[i], all.paths[i]);
		free((char *)(uintptr_t)all.paths[i]);
	}
	free(all.names);
	free(all.paths);
}

/* --- the latency timer ------------------------------------------------------ */

/* Whether its framing measures silences, which the timer makes longer or shorter. */
static bool
needs_silences(const struct facts *f, const char *name)
{
	static const char *const framings[] = { "idle", "modbus-rtu" };
	char idle[64], flush[64];

	for (size_t i = 0; i < NELEM(framings); i++)
		if (fact_is(f, name, "framing", framings[i]))
			return true;
	fact_text(f, name, "idle", idle, sizeof(idle));
	fact_text(f, name, "flush", flush, sizeof(flush));
	return (*idle != '\0' && strcmp(idle, "none") != 0) ||
	    (*flush != '\0' && strcmp(flush, "none") != 0);
}

static void
found_latency(struct doctor *d, const char *name, const char *tty, int ms)
{
	char where[DOCTOR_TEXT_MAX], remedy[DOCTOR_TEXT_MAX];

	fact_where(&d->facts, name, where, sizeof(where));
	if (d->facts.running)
		doctor_set(d, name, "low_latency", "yes",
		    d->facts.read_only ? NULL : "and in its section", remedy,
		    sizeof(remedy));
	else
		format_text(remedy, sizeof(remedy),
		    "echo 1 | sudo tee"
		    " /sys/class/tty/%s/device/latency_timer",
		    tty);
	if (needs_silences(&d->facts, name))
		report_finding(&d->report, name, where, remedy,
		    "%s: the adapter gathers bytes for %d ms (latency_timer of"
		    " %s), so that the silences between frames are not seen"
		    " as they are",
		    name, ms, tty);
	else
		report_hint(&d->report, name, where, remedy,
		    "%s: the adapter gathers bytes for up to %d ms"
		    " (latency_timer of %s)",
		    name, ms, tty);
}

void
check_latency(struct doctor *d)
{
	char device[PATH_MAX], real[PATH_MAX], path[2 * PATH_MAX], text[32];
	const json_t *each;
	size_t i;

	json_array_foreach(d->facts.endpoints, i, each)
	{
		const char *name = member_text(each, "name");
		const char *tty;

		if (!doctor_device(d, name, device, sizeof(device)) ||
		    system_device(device, real, sizeof(real)) < 0 ||
		    strncmp(real, "/dev/", 5) != 0)
			continue;
		tty = real + 5;
		snprintf(path, sizeof(path),
		    "/sys/class/tty/%s/device/latency_timer", tty);
		if (system_read(path, text, sizeof(text)) > 0 && atoi(text) > 2)
			found_latency(d, name, tty, atoi(text));
	}
}
