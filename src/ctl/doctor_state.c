/*
 * doctor_state: what the daemon says about itself, its endpoints and its warnings.
 */
#include <sys/stat.h>

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "doctor_check.h"
#include "doctor_system.h"

/* --- the daemon ------------------------------------------------------------- */

static void
user_name(char *buf, size_t size)
{
	const struct passwd *pw = getpwuid(getuid());

	if (pw != NULL)
		snprintf(buf, size, "%s", pw->pw_name);
	else
		snprintf(buf, size, "%u", (unsigned)getuid());
}

/* The user may not use the socket. */
static void
found_locked(struct doctor *d, const char *address)
{
	const char *path =
	    strncmp(address, "unix:", 5) == 0 ? address + 5 : address;
	const struct group *gr = NULL;
	char remedy[DOCTOR_TEXT_MAX], user[64];
	struct stat st;

	user_name(user, sizeof(user));
	if (stat(path, &st) == 0 && (st.st_mode & 0020) != 0)
		gr = getgrgid(st.st_gid);
	if (gr != NULL && st.st_gid != 0)
		format_text(remedy, sizeof(remedy),
		    "sudo usermod -aG %s %s   # then log in again", gr->gr_name,
		    user);
	else
		format_text(remedy, sizeof(remedy), "sudo ttybridgectl doctor");
	report_finding(&d->report, "daemon", path, remedy,
	    "the user %s may not use the control port of the daemon: %s", user,
	    d->facts.why.text);
}

/* There is no control port: that is a fault if the daemon runs. */
static void
not_asked(struct doctor *d)
{
	const struct facts *f = &d->facts;
	char remedy[DOCTOR_TEXT_MAX];
	bool faulty = json_object_get(f->config, "faults") != NULL;
	pid_t pid = system_process_with(f->path);

	if (pid == 0) {
		report_not_checked(&d->report,
		    faulty
			? "the configuration has a fault, and no [control]"
			  " section that could be read"
			: "the configuration has no [control] section, so that"
			  " the daemon cannot be asked");
		return;
	}
	format_text(remedy, sizeof(remedy),
	    "printf '[control]\\nlisten = %s\\n' | sudo tee -a %s && kill -HUP"
	    " %d",
	    *d->unit != '\0' ? "unix:/run/ttybridge/control.sock"
			     : "127.0.0.1:5010",
	    f->path, (int)pid);
	report_finding(&d->report, "daemon", f->path, remedy,
	    "the daemon runs as process %d, and cannot be asked: its"
	    " configuration has no [control] section",
	    (int)pid);
}

void
check_daemon(struct doctor *d)
{
	const struct facts *f = &d->facts;
	const json_t *controls = json_object_get(f->config, "controls");
	const char *address =
	    member_text(json_array_get(controls, 0), "listen");
	char start[DOCTOR_TEXT_MAX], where[DOCTOR_TEXT_MAX];
	pid_t pid;

	if (f->running)
		return;
	if (*address == '\0') {
		not_asked(d);
		return;
	}
	if (strstr(f->why.text, strerror(EACCES)) != NULL) {
		found_locked(d, address);
		return;
	}
	if (strstr(f->why.text, "no reply") != NULL)
		format_text(start, sizeof(start),
		    "ps -C ttybridged -o pid,stat,time,wchan:20,args   # what"
		    " it does");
	else if ((pid = system_process_with(f->path)) != 0)
		format_text(start, sizeof(start),
		    "kill -HUP %d   # it runs with an older file; its log says"
		    " why a reload failed",
		    (int)pid);
	else if (*d->unit != '\0')
		format_text(start, sizeof(start),
		    "sudo systemctl restart %s; journalctl -eu %s", d->unit,
		    d->unit);
	else
		format_text(start, sizeof(start), "ttybridged -c %s", f->path);
	fact_where(f, member_text(json_array_get(controls, 0), "name"), where,
	    sizeof(where));
	report_finding(&d->report, "daemon", where, start,
	    "the daemon does not answer: %.*s", (int)strcspn(f->why.text, ";"),
	    f->why.text);
}

/* --- brokers ---------------------------------------------------------------- */

static void
found_refusal(struct doctor *d, const char *name, const char *error)
{
	const struct facts *f = &d->facts;
	char where[DOCTOR_TEXT_MAX], remedy[DOCTOR_TEXT_MAX], broker[256];

	fact_where(f, name, where, sizeof(where));
	fact_text(f, name, "broker", broker, sizeof(broker));
	if (strstr(error, "refused it") != NULL)
		format_text(remedy, sizeof(remedy),
		    "sudoedit %s && %s   # user, password_file, client_id",
		    f->path, d->reload);
	else
		format_text(remedy, sizeof(remedy),
		    "nc -vz %.*s %s   # is it reachable, and does it run?",
		    (int)strcspn(broker, ":"), broker,
		    strrchr(broker, ':') != NULL ? strrchr(broker, ':') + 1
						 : "1883");
	report_finding(&d->report, name, where, remedy, "%s: broker %s: %s",
	    name, broker, error);
}

static void
found_refused_messages(struct doctor *d, const char *name, double n)
{
	const struct facts *f = &d->facts;
	char where[DOCTOR_TEXT_MAX], remedy[DOCTOR_TEXT_MAX], topic[256];

	fact_where(f, name, where, sizeof(where));
	fact_text(f, name, "publish", topic, sizeof(topic));
	format_text(remedy, sizeof(remedy),
	    "%s get %s/publish   # the broker must let this user publish it",
	    f->command, name);
	report_finding(&d->report, name, where, remedy,
	    "%s: the broker has refused %.0f messages to %s", name, n, topic);
}

void
check_broker(struct doctor *d)
{
	const struct facts *f = &d->facts;
	const json_t *each;
	char error[512];
	double refused;
	size_t i;

	json_array_foreach(f->endpoints, i, each)
	{
		const char *name = member_text(each, "name");

		if (!fact_is(f, name, "type", "mqtt"))
			continue;
		fact_text(f, name, "error", error, sizeof(error));
		refused = fact_number(f, name, "dropped_refused");
		if (!fact_is(f, name, "state", "up") && *error != '\0')
			found_refusal(d, name, error);
		else if (refused > 0)
			found_refused_messages(d, name, refused);
	}
}

/* --- warnings that no other check is about ----------------------------------- */

/* command: what shows more of it, %s: the name. */
static const struct {
	const char *warning;
	bool hint; /* a busy machine causes it, too */
	const char *command, *comment;
} commands[] = {
	{ "flapping", false, "ended", "why it was lost each time" },
	{ "failover", false, "endpoints", "why the first one is not used" },
	{ "no-spool", false, "spool", "then the directory, and its disk" },
	{ "no-log", false, "endpoints", "then the directory, and its disk" },
	{ "no-event", false, "ps", "a fault of the daemon: report it" },
	{ "held-loop", true, "stalls", "what takes so long" },
	{ "not-served", true, "stalls", "what takes so long" },
};

static void
found_named(struct doctor *d, const json_t *warning, size_t i)
{
	const struct facts *f = &d->facts;
	const char *task = member_text(warning, "task"),
		   *text = member_text(warning, "text");
	char remedy[DOCTOR_TEXT_MAX], where[DOCTOR_TEXT_MAX], name[80];
	const char *dot = strrchr(task, '.');

	snprintf(name, sizeof(name), "%.*s",
	    dot != NULL ? (int)MIN(dot - task, 70L) : 70, task);
	fact_where(f, name, where, sizeof(where));
	format_text(remedy, sizeof(remedy), "%s %s   # %s", f->command,
	    commands[i].command, commands[i].comment);
	if (commands[i].hint)
		report_hint(
		    &d->report, task, task, remedy, "%s: %s", task, text);
	else
		report_finding(&d->report, task, where, remedy, "%s: %s: %s",
		    name, commands[i].warning, text);
}

void
check_warnings(struct doctor *d)
{
	const json_t *each;
	size_t i;

	json_array_foreach(d->facts.warnings, i, each)
	{
		const char *warning = member_text(each, "warning");

		for (size_t j = 0; j < NELEM(commands); j++)
			if (strcmp(warning, commands[j].warning) == 0)
				found_named(d, each, j);
	}
}

/* --- endpoints that are not up ----------------------------------------------- */

/* The last check: others know more about the reason. */
void
check_down(struct doctor *d)
{
	const struct facts *f = &d->facts;
	char where[DOCTOR_TEXT_MAX], remedy[DOCTOR_TEXT_MAX], device[PATH_MAX];
	const json_t *each;
	size_t i;

	json_array_foreach(f->endpoints, i, each)
	{
		const char *name = member_text(each, "name");
		const char *reason = member_text(each, "reason");

		if (strcmp(member_text(each, "state"), "lost") != 0 ||
		    fact_up(f, name) || report_has(&d->report, NULL, name))
			continue;
		fact_where(f, name, where, sizeof(where));
		if (doctor_device(d, name, device, sizeof(device)))
			format_text(remedy, sizeof(remedy),
			    "ttybridged --list-ports   # is %s there?", device);
		else
			format_text(remedy, sizeof(remedy),
			    "%s where %s.reopen", f->command, name);
		report_finding(&d->report, name, where, remedy,
		    "%s is not up: %s", name,
		    *reason != '\0' ? reason : "the reason is not known");
	}
}
