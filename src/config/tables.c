/*
 * tables: the keys of the sections [daemon] and [control], and the key that
 * selects the framing of an endpoint.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "hint.h"
#include "section_reader.h"
#include "log.h"

static const char *const access_words[] = {
	[ACCESS_READ] = "read",
	[ACCESS_FULL] = "full",
	NULL,
};

static int
parse_allow(void *field, const char *value, struct error *err)
{
	struct networks *networks;
	int r = networks_parse(value, &networks, err);

	if (r != 0)
		return r;
	networks_free(networks);
	return replace_string(field, value);
}

static int
parse_framing(void *field, const char *value, struct error *err)
{
	const struct framing **rule = field;
	const char *near;
	char quote[40];

	if (framing_find(value) != NULL) {
		*rule = framing_find(value);
		return 0;
	}
	error_set(err, "'%s' is not a framing",
	    config_quote(value, quote, sizeof(quote)));
	near = hint_framing(value);
	error_append_meant(err, near);
	if (near == NULL)
		error_append(err, "; ttybridged --list-framings names them");
	return -EINVAL;
}

#define DAEMON(member) offsetof(struct daemon_conf, member)
#define CONTROL(member) offsetof(struct control_conf, member)

const struct key daemon_keys[] = {
	{ .name = "name",
	    .type = KEY_STRING,
	    .def = "ttybridge",
	    .offset = DAEMON(name),
	    .help = "what it calls itself" },
	{ .name = "log_level",
	    .type = KEY_WORD,
	    .def = "info",
	    .offset = DAEMON(log_level),
	    .words = log_level_words,
	    .help = "the least important messages that are logged" },
	{ .name = "drain_timeout",
	    .type = KEY_TIME,
	    .def = "2s",
	    .offset = DAEMON(drain_timeout),
	    .max = 3600 * NSEC_PER_SEC,
	    .help = "how long queues are written out when it stops" },
	{ .name = "state_dir",
	    .type = KEY_STRING,
	    .def = "/var/lib/ttybridge",
	    .offset = DAEMON(state_dir),
	    .help = "the directory for captures that are given without one" },
	{ .name = NULL },
};

const struct key control_keys[] = {
	{ .name = "listen",
	    .type = KEY_STRING,
	    .offset = CONTROL(listen),
	    .help =
		"where: 127.0.0.1:5010, or unix:/run/ttybridge/control.sock" },
	{ .name = "access",
	    .type = KEY_WORD,
	    .offset = CONTROL(access),
	    .words = access_words,
	    .help = "whether clients may change anything; read on TCP and full"
		    " on a Unix socket unless it is given" },
	{ .name = "allow",
	    .type = KEY_CUSTOM,
	    .offset = CONTROL(allow),
	    .parse = parse_allow,
	    .help = "networks that may connect, besides this machine" },
	{ .name = "mode",
	    .type = KEY_MODE,
	    .offset = CONTROL(mode),
	    .help = "of the Unix socket, in octal" },
	{ .name = "group",
	    .type = KEY_STRING,
	    .offset = CONTROL(group),
	    .help = "of the Unix socket" },
	{ .name = "max_clients",
	    .type = KEY_NUMBER,
	    .def = "16",
	    .offset = CONTROL(max_clients),
	    .min = 1,
	    .max = 1024,
	    .help = "at a time" },
	TLS_KEY_ON(struct control_conf),
	TLS_KEY_CERT(struct control_conf),
	TLS_KEY_KEY(struct control_conf),
	TLS_KEY_CA_SERVER(struct control_conf),
	TLS_KEY_TIMEOUT(struct control_conf),
	{ .name = "full",
	    .type = KEY_STRING,
	    .offset = CONTROL(full),
	    .min = 1,
	    .help = "names of the certificates whose clients may change"
		    " anything" },
	{ .name = "stall_timeout",
	    .type = KEY_TIME,
	    .def = "10s",
	    .offset = CONTROL(stall_timeout),
	    .help = "a client that takes nothing of what it watches for that"
		    " long is closed" },
	{ .name = NULL },
};

const struct key framing_key[] = {
	{ .name = "framing",
	    .type = KEY_CUSTOM,
	    .def = "raw",
	    .offset = offsetof(struct framing_conf, rule),
	    .parse = parse_framing,
	    .help = "the rule that cuts bytes into frames" },
	{ .name = NULL },
};

void
control_conf_free(struct control_conf *conf)
{
	if (conf == NULL)
		return;
	key_free(control_keys, conf);
	tls_context_free(conf->context);
	free(conf->allow);
	free(conf->name);
	free(conf->text);
	free(conf);
}
