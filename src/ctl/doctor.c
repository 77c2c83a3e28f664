/*
 * doctor: looks for what is wrong with the configuration, the daemon and the system.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"
#include "doctor_check.h"
#include "doctor_system.h"

#define USAGE "doctor [-j] [-c FILE]"

/* What a check needs. */
enum {
	CONFIG = 1, /* a configuration without faults */
	DAEMON = 2, /* that it answers */
	HERE = 4,   /* that it is, or would be, on this machine */
};

static const struct check {
	const char *name;
	unsigned needs;
	void (*run)(struct doctor *);
} checks[] = {
	{ "configuration", 0, check_configuration },
	{ "daemon", 0, check_daemon },
	{ "version", DAEMON, check_version },
	{ "not-reloaded", DAEMON | HERE, check_stale },
	{ "permission", HERE, check_permission },
	{ "held-device", HERE, check_holder },
	{ "usb", HERE, check_usb },
	{ "latency", HERE, check_latency },
	{ "loop", 0, check_loop },
	{ "framing", 0, check_framing },
	{ "bad-frames", DAEMON, check_bad_frames },
	{ "silence", DAEMON, check_silence },
	{ "cts", DAEMON, check_cts },
	{ "stuck", DAEMON, check_stuck },
	{ "drops", DAEMON, check_drops },
	{ "filter", DAEMON, check_filters },
	{ "certificate", 0, check_certificates },
	{ "broker", DAEMON, check_broker },
	{ "disk", HERE, check_disk },
	{ "network", HERE | CONFIG, check_network },
	{ "sockets", HERE, check_sockets },
	{ "clock", HERE, check_clock },
	{ "warnings", DAEMON, check_warnings },
	{ "endpoints", DAEMON, check_down },
};

/* --- the service ------------------------------------------------------------ */

/* The unit that uses a configuration in the directory of the service. */
static void
unit_of_config(struct doctor *d)
{
	static const char directory[] = SYSCONFDIR "/ttybridge/";
	const char *name = d->facts.path + strlen(directory);
	size_t len = strlen(name);

	if (strncmp(d->facts.path, directory, strlen(directory)) != 0 ||
	    len < 6 || strcmp(name + len - 5, ".conf") != 0)
		return;
	if (strcmp(name, "ttybridge.conf") == 0)
		snprintf(d->unit, sizeof(d->unit), "ttybridge.service");
	else
		snprintf(d->unit, sizeof(d->unit), "ttybridge@%.*s.service",
		    (int)MIN(len - 5, (size_t)90), name);
}

/* Whether it is the unit of the daemon, or a unit at all. */
static bool
is_its_unit(const struct doctor *d)
{
	if (d->facts.running)
		return atoi(member_text(d->service, "MainPID")) == d->facts.pid;
	return strcmp(member_text(d->service, "LoadState"), "loaded") == 0;
}

static void
find_service(struct doctor *d)
{
	if (!system_has_systemd())
		return;
	if (d->facts.local)
		system_unit(d->facts.pid, d->unit, sizeof(d->unit));
	else if (!d->facts.running)
		unit_of_config(d);
	if (*d->unit == '\0')
		return;
	d->service = system_properties(d->unit,
	    "LoadState,MainPID,User,Group,SupplementaryGroups,PrivateNetwork,"
	    "RestrictAddressFamilies,TriggeredBy");
	if (d->service != NULL && !is_its_unit(d)) {
		json_decref(d->service);
		d->service = NULL;
		*d->unit = '\0';
	}
}

static void
set_commands(struct doctor *d)
{
	const struct facts *f = &d->facts;

	if (*d->unit != '\0') {
		snprintf(d->restart, sizeof(d->restart),
		    "sudo systemctl restart %s", d->unit);
		snprintf(d->reload, sizeof(d->reload),
		    "sudo systemctl reload %s", d->unit);
		return;
	}
	/* SIGUSR2: it executes its program again, without a loss. */
	if (f->local)
		snprintf(d->restart, sizeof(d->restart), "kill -USR2 %d",
		    (int)f->pid);
	else
		snprintf(d->restart, sizeof(d->restart),
		    "sudo systemctl restart ttybridge");
	if (f->read_only && f->local)
		snprintf(
		    d->reload, sizeof(d->reload), "kill -HUP %d", (int)f->pid);
	else
		snprintf(d->reload, sizeof(d->reload), "%s reload", f->command);
}

/* --- running the checks ----------------------------------------------------- */

/* Why a check cannot be made; NULL: it can. */
static const char *
obstacle(const struct doctor *d, unsigned needs)
{
	const struct facts *f = &d->facts;

	if ((needs & DAEMON) != 0 && !f->running)
		return "the daemon does not answer";
	if ((needs & HERE) != 0 && f->running && !f->local)
		return "the daemon is on another machine, or its process is"
		       " hidden: run it there, as root";
	if ((needs & CONFIG) != 0 && json_object_get(f->config, "keys") == NULL)
		return f->config == NULL ? "there is no configuration"
					 : "the configuration has a fault";
	return NULL;
}

static void
run_checks(struct doctor *d)
{
	const char *why;

	for (size_t i = 0; i < NELEM(checks) && connection_stop == 0; i++) {
		d->report.check = checks[i].name;
		d->report.checks++;
		if ((why = obstacle(d, checks[i].needs)) != NULL)
			report_not_checked(&d->report, "%s", why);
		else
			checks[i].run(d);
	}
}

static int
examine(struct ctl *ctl, const char *config)
{
	static struct doctor d;
	struct error err;
	int r, status;

	memset(&d, 0, sizeof(d));
	if ((r = facts_collect(&d.facts, ctl, config, &err)) < 0) {
		facts_free(&d.facts);
		if (r != -EINTR)
			ctl_fail("%s", err.text);
		return EXIT_USAGE;
	}
	if (report_init(&d.report) < 0) {
		facts_free(&d.facts);
		ctl_fail("out of memory");
		return EXIT_USAGE;
	}
	find_service(&d);
	set_commands(&d);
	run_checks(&d);
	status =
	    ctl->json ? report_print_json(&d.report) : report_print(&d.report);
	report_free(&d.report);
	json_decref(d.service);
	facts_free(&d.facts);
	return status;
}

int
doctor_main(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "config", required_argument, NULL, 'c' }, { NULL, 0, NULL, 0 }
	};
	const char *config = NULL;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "+jc:", options, NULL)) != -1) {
		if (c == 'j')
			ctl->json = true;
		else if (c == 'c')
			config = optarg;
		else
			return ctl_usage(
			    USAGE, "'%s' is no option of it", argv[optind - 1]);
	}
	if (optind < argc)
		return ctl_usage(USAGE, "'%s' is too much", argv[optind]);
	return examine(ctl, config);
}
