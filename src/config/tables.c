/*
 * tables: the keys of the sections [daemon], [control] and [http], and the key that
 * selects the framing of an endpoint.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "hint.h"
#include "section_reader.h"
#include "log.h"

#define TOKEN_MIN 16
#define TOKEN_MAX 512

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
	    .help =
		"the directory of spools, of captures that are given without"
		" one, and of what [mqtt] endpoints keep;"
		" $STATE_DIRECTORY if that is set" },
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

const struct key http_keys[] = {
	{ .name = "listen",
	    .type = KEY_STRING,
	    .offset = CONTROL(listen),
	    .help = "where: 127.0.0.1:9110" },
	{ .name = "access",
	    .type = KEY_WORD,
	    .def = "read",
	    .offset = CONTROL(access),
	    .words = access_words,
	    .help = "whether clients may change anything; full needs"
		    " token_file" },
	{ .name = "token_file",
	    .type = KEY_STRING,
	    .offset = CONTROL(token_file),
	    .min = 1,
	    .help = "a file with the token that requests have to carry" },
	{ .name = "host",
	    .type = KEY_STRING,
	    .offset = CONTROL(hosts),
	    .min = 1,
	    .help = "names of this machine in addresses of pages, besides"
		    " localhost and IP addresses" },
	{ .name = "allow",
	    .type = KEY_CUSTOM,
	    .offset = CONTROL(allow),
	    .parse = parse_allow,
	    .help = "networks that may connect, besides this machine" },
	{ .name = "max_clients",
	    .type = KEY_NUMBER,
	    .def = "128",
	    .offset = CONTROL(max_clients),
	    .min = 1,
	    .max = 1024,
	    .help = "connections at a time" },
	{ .name = "request_timeout",
	    .type = KEY_TIME,
	    .def = "30s",
	    .offset = CONTROL(request_timeout),
	    .min = 100 * NSEC_PER_MSEC,
	    .max = 3600 * NSEC_PER_SEC,
	    .help = "how long a request may take to arrive, and its reply to"
		    " be taken" },
	TLS_KEY_ON(struct control_conf),
	TLS_KEY_CERT(struct control_conf),
	TLS_KEY_KEY(struct control_conf),
	TLS_KEY_CA_SERVER(struct control_conf),
	TLS_KEY_TIMEOUT(struct control_conf),
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

const struct key *
control_conf_keys(const struct control_conf *conf)
{
	return conf->http ? http_keys : control_keys;
}

/* The text of a file of at most one line; the length or -errno, -EFBIG if there is more. */
static ssize_t
read_token(struct control_conf *conf, char *text, size_t size)
{
	int fd = open(
	    conf->token_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, size);
	if (n < 0)
		n = -errno;
	if (fstat(fd, &st) == 0)
		conf->token_is_public = (st.st_mode & 077) != 0;
	close(fd);
	if (n == (ssize_t)size)
		return -EFBIG;
	while (n > 0 && strchr("\r\n", text[n - 1]) != NULL)
		n--;
	return n;
}

int
control_conf_load(struct control_conf *conf, struct error *err)
{
	char text[TOKEN_MAX + 3];
	ssize_t n;

	if (conf->token_file == NULL)
		return 0;
	n = read_token(conf, text, sizeof(text) - 1);
	if (n < 0 && n != -EFBIG)
		return error_fail(err, (int)n, "'token_file': %.200s: %s",
		    conf->token_file, strerror((int)-n));
	text[MAX(n, (ssize_t)0)] = '\0';
	for (ssize_t i = 0; i < n; i++)
		if (text[i] <= ' ' || text[i] >= 0x7f)
			n = 0;
	if (n < TOKEN_MIN || n > TOKEN_MAX)
		return error_fail(err, -EINVAL,
		    "'token_file': %.200s is not one line of %d to %d printable"
		    " characters without blanks, such as `openssl rand -hex 32`"
		    " makes",
		    conf->token_file, TOKEN_MIN, TOKEN_MAX);
	return replace_string(&conf->token, text);
}

const char *
control_conf_where(const struct control_conf *conf, char *buf, size_t size)
{
	if (strcmp(conf->type, conf->name) == 0)
		snprintf(buf, size, "[%s]", conf->type);
	else
		snprintf(buf, size, "[%s %s]", conf->type, conf->name);
	return buf;
}

void
control_conf_free(struct control_conf *conf)
{
	if (conf == NULL)
		return;
	key_free(control_conf_keys(conf), conf);
	if (conf->token != NULL)
		explicit_bzero(conf->token, strlen(conf->token));
	free(conf->token);
	tls_context_free(conf->context);
	free(conf->allow);
	free(conf->name);
	free(conf->text);
	free(conf);
}
