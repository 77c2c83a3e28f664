/*
 * main: the command line.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"
#include "describe.h"
#include "handover.h"
#include "init.h"
#include "listing.h"
#include "output.h"
#include "serial_list.h"
#include "util.h"

#define EXIT_RUN 1
#define EXIT_USAGE 2

static struct options options;

static const char usage_text[] =
    "usage: ttybridged [-c FILE] [-v] [ENDPOINT ENDPOINT ...]\n"
    "       ttybridged [-c FILE] --check [--json] [ENDPOINT ENDPOINT ...]\n"
    "       ttybridged [-c FILE] --init [--yes] [PROGRAM FILE]\n"
    "       ttybridged --list-ports [--json] | --list-framings | --list-keys\n"
    "       ttybridged --list-commands | --help | --version\n";

static const char help_text[] =
    "Joins serial devices: forwards framed messages between endpoints.\n"
    "  -c, --config FILE   the configuration (" CONFIG_DEFAULT_PATH ")\n"
    "  -v, --verbose       log everything\n"
    "      --check         read the configuration, print every fault, open"
    " nothing\n"
    "      --init          write a configuration for the ports found here,"
    " or from\n"
    "                      FILE of ser2net, mavlink-router, mbusd or kplex\n"
    "      --yes           with --init: ask nothing\n"
    "      --list-ports    the serial ports of this machine\n"
    "      --json          with --check or --list-ports: as JSON\n"
    "      --list-framings how byte streams can be cut into messages\n"
    "      --list-keys     the keys of the configuration, with their defaults\n"
    "      --list-commands the commands of a control port\n"
    "  -h, --help          this text\n"
    "  -V, --version       the version\n"
    "ENDPOINT is TYPE:ADDRESS[,KEY=VALUE...], and needs no file:\n"
    "  ttybridged serial:/dev/ttyACM0,baud=9600,framing=line \\\n"
    "             serial:/dev/ttyACM1,baud=115200,framing=line \\\n"
    "             control:127.0.0.1:5010 http:127.0.0.1:9110\n"
    "See ttybridged(8), ttybridge.conf(5), ttybridge-control(7),"
    " ttybridge-http(7).\n";

enum {
	OPT_CHECK = 256,
	OPT_LIST_PORTS,
	OPT_LIST_FRAMINGS,
	OPT_LIST_KEYS,
	OPT_LIST_COMMANDS,
	OPT_JSON,
	OPT_INIT,
	OPT_YES
};

static const struct option long_options[] = { { "config", required_argument,
						  NULL, 'c' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "list-ports", no_argument, NULL, OPT_LIST_PORTS },
	{ "list-framings", no_argument, NULL, OPT_LIST_FRAMINGS },
	{ "list-keys", no_argument, NULL, OPT_LIST_KEYS },
	{ "list-commands", no_argument, NULL, OPT_LIST_COMMANDS },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "init", no_argument, NULL, OPT_INIT },
	{ "yes", no_argument, NULL, OPT_YES },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' }, { NULL, 0, NULL, 0 } };

static const struct {
	int option;
	bool *on;
} switches[] = {
	{ OPT_CHECK, &options.check },
	{ OPT_LIST_PORTS, &options.list_ports },
	{ OPT_LIST_FRAMINGS, &options.list_framings },
	{ OPT_LIST_KEYS, &options.list_keys },
	{ OPT_LIST_COMMANDS, &options.list_commands },
	{ OPT_JSON, &options.json },
	{ OPT_INIT, &options.init },
	{ OPT_YES, &options.yes },
};

static const struct {
	const bool *on;
	void (*print)(void);
} listings[] = {
	{ &options.list_framings, list_framings },
	{ &options.list_keys, list_keys },
	{ &options.list_commands, list_commands },
};

static int
init(void)
{
	const struct init init = { .words = options.words,
		.nwords = options.nwords,
		.file = options.file,
		.yes = options.yes };

	return init_run(&init);
}

/* Sets the option that has no argument and no letter; returns false for others. */
static bool
set_switch(int c)
{
	for (size_t i = 0; i < NELEM(switches); i++)
		if (switches[i].option == c) {
			*switches[i].on = true;
			return true;
		}
	return false;
}

static int
usage_error(const char *why)
{
	if (why != NULL)
		fprintf(stderr, "ttybridged: %s\n", why);
	fputs(usage_text, stderr);
	return EXIT_USAGE;
}

/* Returns the exit status, or -1 to continue. */
static int
read_options(int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "c:vhV", long_options, NULL)) != -1)
		switch (c) {
		case 'c':
			options.file = optarg;
			break;
		case 'v':
			options.verbose = true;
			break;
		case 'h':
			printf("%s%s", usage_text, help_text);
			return EXIT_SUCCESS;
		case 'V':
			printf("ttybridged %s\n", VERSION);
			return EXIT_SUCCESS;
		default:
			if (!set_switch(c))
				return usage_error(NULL);
		}
	options.argv = argv;
	options.words = argv + optind;
	options.nwords = (unsigned)(argc - optind);
	if (options.json && !options.list_ports && !options.check)
		return usage_error("--json is only possible with --check or"
				   " --list-ports");
	if (options.yes && !options.init)
		return usage_error("--yes is only possible with --init");
	return -1;
}

static void
print_faults(const struct faults *faults)
{
	for (unsigned i = 0; i < faults->n; i++)
		fprintf(stderr, "%s\n", faults->text[i]);
}

static void
print_summary(const struct config *c)
{
	printf("%u endpoint%s, ", c->nendpoints, c->nendpoints == 1 ? "" : "s");
	if (c->nroutes == 0)
		printf("no routes\n");
	else
		printf("%u route%s\n", c->nroutes, c->nroutes == 1 ? "" : "s");
}

static int
print_checked(const struct config *c, const struct faults *faults)
{
	if (options.json)
		return describe_config(c, faults, false, options.verbose);
	print_faults(faults);
	print_summary(c);
	return 0;
}

/* The control ports of a faulty file are those of the daemon that runs with an older one. */
static void
describe_faults(const struct faults *faults)
{
	const char *file = options.file;
	struct config *c = NULL;

	if (file == NULL && options.nwords == 0)
		file = CONFIG_DEFAULT_PATH;
	if (file != NULL)
		config_read_controls(file, &c);
	describe_config(c, faults, true, false);
	config_free(c);
}

/* Returns status; another exit status if the output could not be printed. */
static int
printed(int status, int r)
{
	if (r == 0 && fflush(stdout) == EOF)
		r = -errno;
	if (r == 0)
		return status;
	fprintf(stderr, "ttybridged: standard output: %s\n", strerror(-r));
	return EXIT_RUN;
}

static void
refuse_configuration(const struct faults *faults)
{
	print_faults(faults);
	if (faults->n == 0)
		fprintf(stderr, "ttybridged: out of memory\n");
	if (options.file == NULL && options.nwords == 0 &&
	    access(CONFIG_DEFAULT_PATH, F_OK) < 0)
		fprintf(stderr,
		    "ttybridged: give a configuration with -c FILE, or"
		    " endpoints as arguments; see --help\n");
}

/*
 * The previous process checked the configuration before it executed this one.  If the
 * file has changed since then, wait for a valid one: to exit would close everything that
 * is open, and lose queued frames.  Returns false when the process is told to stop.
 */
static bool
await_configuration(struct config **ret, struct faults *faults)
{
	const struct timespec second = { .tv_sec = 1 };
	sigset_t end;

	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigaddset(&end, SIGINT);
	fprintf(stderr,
	    "ttybridged: waits for a configuration without a fault, as it has"
	    " taken over what is open\n");
	do {
		faults_free(faults);
		if (sigtimedwait(&end, NULL, &second) > 0)
			return false;
	} while (options_config(&options, ret, faults) < 0);
	return true;
}

int
main(int argc, char **argv)
{
	struct faults faults = { 0 };
	struct config *c;
	int status = read_options(argc, argv);

	if (status >= 0)
		return printed(status, 0);
	for (size_t i = 0; i < NELEM(listings); i++)
		if (*listings[i].on) {
			listings[i].print();
			return printed(EXIT_SUCCESS, 0);
		}
	if (options.init)
		return init();
	if (options.list_ports)
		return printed(EXIT_SUCCESS, serial_list_ports(options.json));
	if (options_config(&options, &c, &faults) < 0) {
		if (options.check && options.json)
			describe_faults(&faults);
		else
			refuse_configuration(&faults);
		if (!handover_waits() || !await_configuration(&c, &faults)) {
			faults_free(&faults);
			return EXIT_USAGE;
		}
	}
	if (options.check) {
		status = printed(EXIT_SUCCESS, print_checked(c, &faults));
		config_free(c);
	} else
		status = daemon_run(&options, c, &faults);
	faults_free(&faults);
	return status;
}
