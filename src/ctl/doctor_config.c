/*
 * doctor_config: checks of the configuration, and of the program that uses it.
 *
 * The warnings of `ttybridged --check` are texts, of which some belong to other checks than
 * that of the configuration.
 */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "doctor_check.h"
#include "doctor_system.h"

#define DAY (24 * 3600.0)

static const char of_framing[] = "boundaries of messages are lost";
static const char of_certificate[] = "the certificate ";
/* One that has expired is a fault. */
static const char of_expiry[] = "expired on";

void
doctor_set(const struct doctor *d, const char *name, const char *key,
    const char *value, const char *comment, char *buf, size_t size)
{
	const struct facts *f = &d->facts;
	char where[DOCTOR_TEXT_MAX];

	if (!f->read_only)
		format_text(
		    buf, size, "%s set %s/%s %s", f->command, name, key, value);
	else
		format_text(buf, size, "sudoedit %s && %s   # %s = %s in %s",
		    f->path, d->reload, key, value,
		    fact_where(f, name, where, sizeof(where)));
	if (comment != NULL)
		append(
		    buf, size, "%s%s", f->read_only ? "; " : "   # ", comment);
}

/* --- faults and warnings ---------------------------------------------------- */

/* The place "FILE:LINE", and what follows it without "warning: ". */
static const char *
split_warning(const char *text, char *place, size_t size)
{
	static const char word[] = "warning: ";
	const char *end = strstr(text, ": ");

	if (end == NULL) {
		snprintf(place, size, "the configuration");
		return text;
	}
	snprintf(place, size, "%.*s", (int)(end - text), text);
	end += 2;
	return strncmp(end, word, strlen(word)) == 0 ? end + strlen(word) : end;
}

/* The name in "[TYPE NAME]" at the beginning, else the place. */
static void
section_name(const char *text, const char *place, char *buf, size_t size)
{
	const char *blank = strchr(text, ' '), *end = strchr(text, ']');

	if (*text == '[' && end != NULL && blank != NULL && blank < end)
		snprintf(buf, size, "%.*s", (int)(end - blank - 1), blank + 1);
	else
		snprintf(buf, size, "%s", place);
}

static void
edit_command(const struct doctor *d, const char *place, char *buf, size_t size)
{
	const char *colon = strrchr(place, ':');

	format_text(buf, size, "sudoedit %s", d->facts.path);
	if (colon != NULL && colon[1] != '\0')
		append(buf, size, "   # line %s", colon + 1);
}

/* Whether it belongs to another check than that of the configuration. */
static bool
is_of_other(const char *text)
{
	return strstr(text, of_framing) != NULL ||
	    strstr(text, of_certificate) != NULL ||
	    (strstr(text, "'tls_cert'") != NULL &&
		strstr(text, of_expiry) != NULL);
}

/* Calls found() for each fault or warning that has the text in it. */
static void
each_text(struct doctor *d, const char *list, const char *part,
    void (*found)(
	struct doctor *, const char *name, const char *place, const char *text))
{
	const json_t *each;
	char place[PATH_MAX], name[PATH_MAX];
	const char *text;
	size_t i;

	json_array_foreach(json_object_get(d->facts.config, list), i, each)
	{
		text = split_warning(
		    json_string_value(each), place, sizeof(place));
		if (strstr(text, part) == NULL)
			continue;
		section_name(text, place, name, sizeof(name));
		found(d, name, place, text);
	}
}

/* A file of a section may be for the daemon alone. */
static bool
is_unreadable(const char *text)
{
	return geteuid() != 0 && strstr(text, strerror(EACCES)) != NULL;
}

static void
found_text(
    struct doctor *d, const char *name, const char *place, const char *text)
{
	char edit[DOCTOR_TEXT_MAX];

	(void)name;
	if (is_of_other(text))
		return;
	if (is_unreadable(text)) {
		report_not_checked(&d->report,
		    "%s: run it as root: sudo %s doctor", text,
		    d->facts.command);
		return;
	}
	edit_command(d, place, edit, sizeof(edit));
	report_finding(&d->report, text, place, edit, "%s", text);
}

void
check_configuration(struct doctor *d)
{
	if (d->facts.config == NULL)
		report_not_checked(&d->report,
		    *d->facts.path != '\0'
			? "the program ttybridged cannot be run"
			: "no file of the configuration is known or readable");
	each_text(d, "faults", "", found_text);
	each_text(d, "warnings", "", found_text);
}

static void
found_framing(
    struct doctor *d, const char *name, const char *place, const char *text)
{
	char edit[DOCTOR_TEXT_MAX];

	edit_command(d, place, edit, sizeof(edit));
	report_finding(&d->report, name, place, edit, "%s", text);
}

/* The name of the endpoint that a task serves: "b.read" is of b. */
static void
endpoint_of_task(const char *task, char *buf, size_t size)
{
	const char *dot = strrchr(task, '.');

	snprintf(buf, size, "%.*s",
	    dot != NULL ? (int)(dot - task) : (int)strlen(task), task);
}

void
check_framing(struct doctor *d)
{
	char name[64], where[DOCTOR_TEXT_MAX], remedy[DOCTOR_TEXT_MAX];
	const json_t *each;
	size_t i;

	each_text(d, "warnings", of_framing, found_framing);
	json_array_foreach(d->facts.warnings, i, each)
	{
		if (strcmp(member_text(each, "warning"), "mixed-framing") != 0)
			continue;
		endpoint_of_task(member_text(each, "task"), name, sizeof(name));
		if (report_has(&d->report, d->report.check, name))
			continue;
		fact_where(&d->facts, name, where, sizeof(where));
		if (*d->facts.path != '\0')
			format_text(remedy, sizeof(remedy),
			    "sudoedit %s   # set framing in [%s]",
			    d->facts.path, name);
		else
			format_text(remedy, sizeof(remedy),
			    "add ,framing=NAME to the argument; ttybridged"
			    " --list-framings lists them");
		report_finding(&d->report, name, where, remedy, "%s",
		    member_text(each, "text"));
	}
}

/* --- certificates ----------------------------------------------------------- */

/* "...: 'tls_cert': FILE: it expired on ...", or "the certificate ...: FILE". */
static void
certificate_command(const char *text, char *buf, size_t size)
{
	static const char key[] = "'tls_cert': ";
	const char *file = strstr(text, key);
	size_t len;

	if (file != NULL) {
		file += strlen(key);
		len = strcspn(file, ":");
	} else {
		file = strrchr(text, ' ');
		file = file != NULL ? file + 1 : text;
		len = strlen(file);
	}
	format_text(buf, size,
	    "openssl x509 -noout -dates -in %.*s   # renew it", (int)len, file);
}

static void
found_certificate(
    struct doctor *d, const char *name, const char *place, const char *text)
{
	char command[DOCTOR_TEXT_MAX];

	certificate_command(text, command, sizeof(command));
	report_finding(&d->report, name, place, command, "%s", text);
}

/* Those that the daemon uses may be older than those in the files. */
void
check_certificates(struct doctor *d)
{
	static const char attribute[] = "/tls_expires";
	char name[64], where[DOCTOR_TEXT_MAX];
	const char *path;
	json_t *value;

	each_text(d, "faults", of_expiry, found_certificate);
	each_text(d, "warnings", of_certificate, found_certificate);
	json_object_foreach(d->facts.now, path, value)
	{
		const char *slash = strstr(path, attribute);
		double left = json_number_value(value);

		if (slash == NULL || slash[strlen(attribute)] != '\0' ||
		    left > 30 * DAY)
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)(slash - path), path);
		if (report_has(&d->report, d->report.check, name))
			continue;
		fact_where(&d->facts, name, where, sizeof(where));
		if (left <= 0)
			report_finding(&d->report, name, where, d->reload,
			    "%s: the certificate that the daemon uses has"
			    " expired %d days ago; renew it, then reload",
			    name, (int)MIN(-left / DAY, INT_MAX));
		else
			report_finding(&d->report, name, where, d->reload,
			    "%s: the certificate that the daemon uses expires"
			    " in %d days; renew it, then reload",
			    name, (int)(left / DAY));
	}
}

/* --- what the daemon uses --------------------------------------------------- */

void
check_stale(struct doctor *d)
{
	char path[PATH_MAX], when[32], remedy[DOCTOR_TEXT_MAX];
	struct timespec written;
	double read, now;
	struct stat st;
	struct tm tm;

	fact_text(&d->facts, "daemon", "config", path, sizeof(path));
	read = fact_number(&d->facts, "daemon", "config_time");
	if (*path == '\0')
		return;
	if (stat(path, &st) < 0) {
		report_not_checked(&d->report, "%s: %s", path, strerror(errno));
		return;
	}
	written = st.st_mtim;
	now = (double)written.tv_sec + (double)written.tv_nsec / 1e9;
	if (fabs(now - read) < 0.01)
		return;
	localtime_r(&written.tv_sec, &tm);
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	if (json_object_get(d->facts.config, "faults") != NULL) {
		format_text(remedy, sizeof(remedy),
		    "sudoedit %s && %s   # the finding of 'configuration' says"
		    " what is wrong",
		    path, d->reload);
		report_finding(&d->report, path, path, remedy,
		    "the daemon runs with an older file: that of %s has a "
		    "fault,"
		    " and a reload of it fails",
		    when);
		return;
	}
	report_finding(&d->report, path, path, d->reload,
	    "the configuration was written at %s, and the daemon has not read"
	    " it since",
	    when);
}

void
check_version(struct doctor *d)
{
	char path[64], real[PATH_MAX], exe[PATH_MAX], where[DOCTOR_TEXT_MAX],
	    version[64];
	ssize_t n;

	snprintf(where, sizeof(where), "ttybridged, process %.0f",
	    member_number(d->facts.now, "daemon/pid"));
	fact_text(&d->facts, "daemon", "version", version, sizeof(version));
	if (strcmp(version, VERSION) != 0)
		report_finding(&d->report, "version", where, d->restart,
		    "the daemon that runs is version %s, and ttybridgectl is "
		    "%s",
		    version, VERSION);
	if (!d->facts.local)
		return;
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)d->facts.pid);
	n = readlink(
	    system_path(path, real, sizeof(real)), exe, sizeof(exe) - 1);
	if (n < 0) {
		report_not_checked(&d->report,
		    "%s: %s: run it as root: sudo %s doctor", path,
		    strerror(errno), d->facts.command);
		return;
	}
	exe[n] = '\0';
	if (strstr(exe, " (deleted)") != NULL)
		report_finding(&d->report, "version", where, d->restart,
		    "the program of the daemon was replaced since it was"
		    " started: %s",
		    exe);
}
