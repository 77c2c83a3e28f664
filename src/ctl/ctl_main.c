/*
 * ctl_main: the command line of ttybridgectl.
 *
 * The commands of the daemon are not known here: each is passed on, and the daemon says
 * what is wrong with it.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "ctl.h"
#include "doctor.h"
#include "extcap.h"
#include "live.h"
#include "replay.h"
#include "top.h"

#define TIMEOUT_MAX (24 * 3600 * NSEC_PER_SEC)

/* The commands that the daemon does not have. */
static const struct own {
	const char *name;
	const char *word; /* that has to follow it; NULL: none */
	const char *usage;
	const char *help;
	int (*run)(struct ctl *, int, char **);
	bool json; /* it has JSON to print, and options of ttybridgectl */
} own[] = {
	{ "attach", NULL, "attach [-r] NAME", "a terminal on an endpoint",
	    .run = attach_main },
	{ "capture", "-", "capture - [-a] [NAME ...]",
	    "frames as they pass, to a pipe, for Wireshark", .run = live_main },
	{ "doctor", NULL, "doctor [-j] [-c FILE]",
	    "what is wrong here, and what to do", .run = doctor_main,
	    .json = true },
	{ "replay", NULL,
	    "replay FILE --to NAME [--from NAME] [--speed FACTOR]",
	    "sends the frames of a capture", .run = replay_main },
	{ "top", NULL, "top [-d SECONDS]",
	    "endpoints, routes and tasks on the whole screen",
	    .run = top_main },
	{ 0 },
};

static const struct option_row {
	struct option option;
	const char *usage;
	const char *help;
} rows[] = {
	{ { "config", required_argument, NULL, 'c' }, "-c, --config FILE",
	    "the configuration of the daemon" },
	{ { "socket", required_argument, NULL, 's' }, "-s, --socket PATH",
	    "the Unix socket of its control port" },
	{ { "host", required_argument, NULL, 'H' }, "-H, --host HOST:PORT",
	    "its control port on TCP" },
	{ { "timeout", required_argument, NULL, 't' }, "-t, --timeout TIME",
	    "how long to wait for a reply; 10s" },
	{ { "tls", no_argument, NULL, 'T' }, "    --tls",
	    "encrypt the connection" },
	{ { "ca", required_argument, NULL, 'A' }, "    --ca FILE",
	    "trust these CA certificates, not the system's" },
	{ { "cert", required_argument, NULL, 'C' }, "    --cert FILE",
	    "show this certificate" },
	{ { "key", required_argument, NULL, 'K' }, "    --key FILE",
	    "the private key of the certificate" },
	{ { "json", no_argument, NULL, 'j' }, "-j, --json", "replies in JSON" },
	{ { "list-commands", no_argument, NULL, 'L' }, "    --list-commands",
	    "the commands that are not the daemon's" },
	{ { "help", no_argument, NULL, 'h' }, "-h, --help", "this text" },
	{ { "version", no_argument, NULL, 'V' }, "-V, --version",
	    "the version" },
};

static const char usage_text[] =
    "usage: ttybridgectl [-j] [-c FILE | -s PATH | -H HOST:PORT] [--tls ...]\n"
    "                    [-t TIME] COMMAND ...\n"
    "       ttybridgectl --list-commands | --help | --version\n";

/* --- options ------------------------------------------------------------------ */

static int
print_help(void)
{
	printf("%s\n", usage_text);
	for (size_t i = 0; i < NELEM(rows); i++)
		printf("  %-24s  %s\n", rows[i].usage, rows[i].help);
	printf("Commands, besides those of the daemon (ttybridgectl help):\n");
	for (const struct own *o = own; o->name != NULL; o++)
		printf("  %-24s  %s\n", o->name, o->help);
	printf("See ttybridgectl(1) and ttybridge-control(7).\n");
	return EXIT_SUCCESS;
}

static int
list_commands(void)
{
	for (size_t i = 0; i < NELEM(rows); i++)
		printf("%-52s  %s\n",
		    rows[i].usage + strspn(rows[i].usage, " "), rows[i].help);
	for (const struct own *o = own; o->name != NULL; o++)
		printf("%-52s  %s\n", o->usage, o->help);
	return EXIT_SUCCESS;
}

static int
wrong(const char *text)
{
	fprintf(stderr, "ttybridgectl: %s\n%s", text, usage_text);
	return EXIT_USAGE;
}

/* Returns the exit status, or -1 to continue. */
static int
set_timeout(struct where *where, const char *text)
{
	char fault[128];
	uint64_t ns;

	if (parse_time(text, &ns) < 0 || ns > TIMEOUT_MAX) {
		snprintf(fault, sizeof(fault),
		    "'%.40s' is not a time; write 10s, or none", text);
		return wrong(fault);
	}
	where->timeout_ms =
	    ns == 0 ? -1 : (int)MAX(ns / NSEC_PER_MSEC, (uint64_t)1);
	return -1;
}

/* Returns the exit status, or -1 to continue. */
static int
take_option(struct ctl *ctl, int c)
{
	struct where *where = &ctl->where;

	switch (c) {
	case 'c':
		where->config = optarg;
		return -1;
	case 's':
		where->socket = optarg;
		return -1;
	case 'H':
		where->host = optarg;
		return -1;
	case 't':
		return set_timeout(where, optarg);
	case 'T':
		where->tls.on = true;
		return -1;
	case 'A':
		where->tls.ca = optarg;
		return -1;
	case 'C':
		where->tls.cert = optarg;
		return -1;
	case 'K':
		where->tls.key = optarg;
		return -1;
	case 'j':
		ctl->json = true;
		return -1;
	case 'L':
		return list_commands();
	case 'h':
		return print_help();
	case 'V':
		printf("ttybridgectl %s\n", VERSION);
		return EXIT_SUCCESS;
	default:
		fputs(usage_text, stderr);
		return EXIT_USAGE;
	}
}

/* Returns the exit status, or -1 to continue. */
static int
check_options(const struct where *where)
{
	const struct tls_conf *tls = &where->tls;

	if ((where->config != NULL) + (where->socket != NULL) +
		(where->host != NULL) >
	    1)
		return wrong(
		    "--config, --socket and --host exclude each other");
	if (tls->on && where->socket != NULL)
		return wrong("--tls is for --host HOST:PORT");
	if (!tls->on &&
	    (tls->ca != NULL || tls->cert != NULL || tls->key != NULL))
		return wrong("--ca, --cert and --key need --tls");
	if ((tls->cert == NULL) != (tls->key == NULL))
		return wrong("--cert and --key need each other");
	return -1;
}

static int
read_options(struct ctl *ctl, int argc, char **argv)
{
	struct option options[NELEM(rows) + 1] = { { 0 } };
	int c, status;

	for (size_t i = 0; i < NELEM(rows); i++)
		options[i] = rows[i].option;
	while (
	    (c = getopt_long(argc, argv, "+c:s:H:t:jhV", options, NULL)) != -1)
		if ((status = take_option(ctl, c)) >= 0)
			return status;
	if ((status = check_options(&ctl->where)) >= 0)
		return status;
	return optind == argc ? wrong("a command is missing") : -1;
}

/* NULL: it is one of the daemon. */
static const struct own *
find_own(int argc, char **argv)
{
	for (const struct own *o = own; o->name != NULL; o++)
		if (strcmp(argv[0], o->name) == 0 &&
		    (o->word == NULL ||
			(argc >= 2 && strcmp(argv[1], o->word) == 0)))
			return o;
	return NULL;
}

static int
run(struct ctl *ctl, int argc, char **argv)
{
	const struct own *o = find_own(argc, argv);

	if (o == NULL)
		return relay_main(ctl, argc, argv);
	if (ctl->json && !o->json)
		return ctl_usage(o->usage, "%s prints no JSON", o->name);
	optind = 0;
	return o->run(ctl, argc, argv);
}

/* Options of ttybridgectl that no command has; a text to be sent may look like one, too. */
static void
hint_at_options(int argc, char **argv)
{
	static const char *const names[] = { "-H", "--host", "--socket",
		"--config", "--timeout", "--tls", "--ca", "--cert", "--key",
		"-j", "--json" };
	const struct own *o = find_own(argc, argv);

	if (o != NULL && o->json)
		return;
	for (int i = 1; i < argc; i++)
		for (size_t j = 0; j < NELEM(names); j++)
			if (strcmp(argv[i], names[j]) == 0) {
				ctl_fail("%s has to stand before the command",
				    argv[i]);
				return;
			}
}

static bool
is_extcap(const char *program)
{
	const char *slash = strrchr(program, '/');

	return strcmp(slash != NULL ? slash + 1 : program, EXTCAP_PROGRAM) == 0;
}

int
main(int argc, char **argv)
{
	struct ctl ctl = { .where = { .tls.verify = true,
			       .timeout_ms = LOCATE_TIMEOUT_MS } };
	int status;

	if (is_extcap(argv[0]))
		return extcap_main(argc, argv);
	status = read_options(&ctl, argc, argv);
	if (status < 0) {
		argc -= optind;
		argv += optind;
		status = run(&ctl, argc, argv);
		if (status != EXIT_SUCCESS)
			hint_at_options(argc, argv);
	}
	connection_close(ctl.connection);
	target_free(&ctl.target);
	if (status == EXIT_SUCCESS && fflush(stdout) == EOF)
		status = ctl_fail("standard output: %s", strerror(errno));
	return status;
}
