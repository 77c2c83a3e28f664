/*
 * extcap: the endpoints as interfaces in Wireshark.
 *
 * Wireshark runs each program in its extcap folder: to ask for its interfaces, their link
 * types and options, and to capture to a named pipe; see extcap(4).  This one is
 * ttybridgectl under another name.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "extcap.h"
#include "live.h"

/* The interface of all endpoints, and the beginning of the names of the others. */
#define ALL "ttybridge"
#define USAGE "is run by Wireshark; see ttybridgectl(1)"

static struct {
	struct ctl ctl;
	enum { NOTHING, INTERFACES, LINK_TYPES, CONFIG, CAPTURE } action;
	const char *interface, *fifo;
	bool bad; /* bad input, too */
} extcap = {
	.ctl.where = { .tls.verify = true, .timeout_ms = LOCATE_TIMEOUT_MS },
};

enum {
	OPT_INTERFACES = 256,
	OPT_LINK_TYPES,
	OPT_CONFIG,
	OPT_CAPTURE,
	OPT_INTERFACE,
	OPT_FIFO,
	OPT_SOCKET,
	OPT_HOST,
	OPT_BAD,
	OPT_IGNORED,
};

static const struct option options[] = {
	{ "extcap-interfaces", no_argument, NULL, OPT_INTERFACES },
	{ "extcap-dlts", no_argument, NULL, OPT_LINK_TYPES },
	{ "extcap-config", no_argument, NULL, OPT_CONFIG },
	{ "capture", no_argument, NULL, OPT_CAPTURE },
	{ "extcap-interface", required_argument, NULL, OPT_INTERFACE },
	{ "fifo", required_argument, NULL, OPT_FIFO },
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "host", required_argument, NULL, OPT_HOST },
	{ "bad", no_argument, NULL, OPT_BAD },
	{ "extcap-version", optional_argument, NULL, OPT_IGNORED },
	{ "extcap-capture-filter", required_argument, NULL, OPT_IGNORED },
	{ 0 },
};

/* Without a daemon there is one interface, in which its address can be entered. */
static int
print_interfaces(void)
{
	struct connection *c;
	struct error err;
	json_t *table = NULL, *row;
	const char *name;
	size_t i;

	printf("extcap {version=" VERSION "}{display=ttybridge}\n");
	printf("interface {value=" ALL "}{display=ttybridge: all endpoints}\n");
	if (locate(&extcap.ctl.where, &extcap.ctl.target, &c, &err) < 0)
		return EXIT_SUCCESS;
	extcap.ctl.connection = c;
	if (connection_query(c, "endpoints", &table, &err) < 0)
		return EXIT_SUCCESS;
	json_array_foreach(table, i,
	    row) if ((name = json_string_value(json_object_get(row, "name"))) !=
	    NULL)
	    printf("interface {value=" ALL ".%s}{display=ttybridge: %s}\n",
		name, name);
	json_decref(table);
	return EXIT_SUCCESS;
}

static int
print_config(void)
{
	printf("arg {number=0}{call=--socket}{display=Unix socket}"
	       "{tooltip=The control port of the daemon; empty: it is found in"
	       " its configuration}{type=string}\n"
	       "arg {number=1}{call=--host}{display=HOST:PORT}"
	       "{tooltip=The control port on TCP}{type=string}\n"
	       "arg {number=2}{call=--bad}{display=Bad input, too}"
	       "{tooltip=What is not a frame of the framing}{type=boolflag}\n");
	return EXIT_SUCCESS;
}

static int
capture(void)
{
	char *words[2];
	FILE *stream;
	int n = 0, r;

	if (extcap.fifo == NULL || extcap.interface == NULL)
		return ctl_fail(EXTCAP_PROGRAM " " USAGE);
	if ((stream = fopen(extcap.fifo, "we")) == NULL)
		return ctl_fail("%s: %s", extcap.fifo, strerror(errno));
	if (extcap.bad)
		words[n++] = (char *)"-a";
	if (strncmp(extcap.interface, ALL ".", strlen(ALL) + 1) == 0)
		words[n++] = (char *)extcap.interface + strlen(ALL) + 1;
	r = live_run(&extcap.ctl, stream, n, words);
	fclose(stream);
	return r;
}

/* Wireshark passes the value of an option that is empty, too. */
static const char *
value_or_null(const char *text)
{
	return *text != '\0' ? text : NULL;
}

static bool
take_option(int c)
{
	switch (c) {
	case OPT_INTERFACES:
	case OPT_LINK_TYPES:
	case OPT_CONFIG:
	case OPT_CAPTURE:
		extcap.action = INTERFACES + (unsigned)(c - OPT_INTERFACES);
		return true;
	case OPT_INTERFACE:
		extcap.interface = optarg;
		return true;
	case OPT_FIFO:
		extcap.fifo = optarg;
		return true;
	case OPT_SOCKET:
		extcap.ctl.where.socket = value_or_null(optarg);
		return true;
	case OPT_HOST:
		extcap.ctl.where.host = value_or_null(optarg);
		return true;
	case OPT_BAD:
		extcap.bad = true;
		return true;
	default:
		return c == OPT_IGNORED;
	}
}

static int
act(void)
{
	switch (extcap.action) {
	case INTERFACES:
		return print_interfaces();
	case LINK_TYPES:
		printf("dlt {number=252}{name=WIRESHARK_UPPER_PDU}"
		       "{display=Frames}\n");
		return EXIT_SUCCESS;
	case CONFIG:
		return print_config();
	case CAPTURE:
		return capture();
	default:
		ctl_fail(EXTCAP_PROGRAM " " USAGE);
		return EXIT_USAGE;
	}
}

int
extcap_main(int argc, char **argv)
{
	int c, r;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!take_option(c)) {
			ctl_fail("wrong option '%s': " EXTCAP_PROGRAM " " USAGE,
			    argv[optind - 1]);
			return EXIT_USAGE;
		}
	r = act();
	connection_close(extcap.ctl.connection);
	target_free(&extcap.ctl.target);
	return r;
}
