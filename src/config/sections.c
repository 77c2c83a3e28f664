/*
 * sections: converts sections of keys and values to checked structs.
 *
 * The keys that are valid for an endpoint depend on its 'framing', which may be anywhere
 * in the section: it is looked up before the other keys are read.
 */
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "hint.h"
#include "section_reader.h"

#define CONTROLS_MAX 64
#define LOST_NAMES_MAX 4096
#define NEEDS_ALLOW                                              \
	"'listen' is not a loopback address, and 'allow' is"     \
	" missing: add 'allow', such as allow = 192.168.1.0/24," \
	" or listen on 127.0.0.1"
#define SILENCE_WARNING (300 * NSEC_PER_SEC)
#define STALL_TIMEOUT NSEC_PER_SEC /* of endpoints with several peers */

/* --- sections ------------------------------------------------------------ */

static int
read_daemon(struct config *c, struct reading *rd)
{
	const struct config_section *s = rd->section;

	if (s->name != NULL)
		fault_add(rd->faults, rd->file, s->line,
		    "%s: [daemon] takes no name", rd->where);
	if (c->daemon.line != 0)
		fault_add(rd->faults, rd->file, s->line,
		    "duplicate section [daemon], first in line %d",
		    c->daemon.line);
	else
		c->daemon.line = s->line;
	reading_add(rd, daemon_keys, &c->daemon);
	return reading_keys(rd);
}

/*
 * Checks that the group exists, because otherwise opening would fail later.  This can run
 * in a thread, so getgrnam() cannot be used; if the buffer is too small for the members,
 * the group exists.
 */
static void
check_group(struct reading *rd, const char *group)
{
	struct error err;
	struct group result, *found = NULL;
	char quote[40], members[4096];
	int r;

	if (group == NULL)
		return;
	r = getgrnam_r(group, &result, members, sizeof(members), &found);
	if (found != NULL || (r != 0 && r != ENOENT && r != ESRCH))
		return;
	error_set(&err,
	    "'group': there is no group '%s'; `getent group` lists them",
	    config_quote(group, quote, sizeof(quote)));
	reading_failed(rd, err.text);
}

/* With TLS, access is full for the names in 'full' only. */
static void
check_control_tls(struct reading *rd, struct control_conf *conf, bool is_unix)
{
	struct error err;

	if (is_unix && conf->tls.on)
		reading_failed(rd, "'tls' is for TCP");
	else if (conf->full != NULL && conf->tls.ca == NULL)
		reading_failed(rd,
		    "'full' needs 'tls_ca', the CA of the clients'"
		    " certificates, and tls = yes");
	else if (conf->tls.on && conf->access == ACCESS_FULL)
		reading_failed(rd,
		    "access = full is for ports without TLS; write full ="
		    " NAME with the names of certificates");
	else if (tls_check(&conf->tls, true, &err) < 0 ||
	    tls_load(&conf->tls, true, &conf->context, &err) < 0)
		reading_failed(rd, err.text);
}

static void
check_control(struct reading *rd, struct control_conf *conf)
{
	struct address address;
	bool is_unix;
	struct error err;

	if (conf->listen == NULL) {
		reading_failed(
		    rd, "needs 'listen', such as listen = 127.0.0.1:5010");
		return;
	}
	if (address_parse(conf->listen, &address, &err) != 0) {
		struct error why;

		error_set(&why, "'listen': %.400s", err.text);
		reading_failed(rd, why.text);
		return;
	}
	is_unix = address.ss.ss_family == AF_UNIX;
	check_control_tls(rd, conf, is_unix);
	if (conf->access == ACCESS_DEFAULT)
		conf->access = is_unix ? ACCESS_FULL : ACCESS_READ;
	if (is_unix && conf->allow != NULL)
		reading_failed(rd,
		    "'allow' is for TCP; who may open a Unix socket"
		    " is said by mode and group");
	if (!is_unix && conf->mode != 0)
		reading_failed(rd, "'mode' is for a Unix socket");
	if (!is_unix && conf->group != NULL)
		reading_failed(rd, "'group' is for a Unix socket");
	else
		check_group(rd, conf->group);
	if (!is_unix && conf->allow == NULL &&
	    !address_is_loopback((struct sockaddr *)&address.ss))
		reading_failed(rd, NEEDS_ALLOW);
}

/* What a browser sends is compared without its port. */
static void
check_hosts(struct reading *rd, const char *hosts)
{
	static const char letters[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	const char *word;
	size_t len;

	while (hosts != NULL && (word = list_word(&hosts, &len)) != NULL)
		if (*word != '[' && strspn(word, letters) < len)
			reading_warned(rd, "host",
			    "has '%.*s', which matches no host; write the name"
			    " alone, such as gateway.lan",
			    (int)MIN(len, 64), word);
}

static void
check_http(struct reading *rd, struct control_conf *conf)
{
	struct address address;
	struct error err, why;

	if (conf->listen == NULL) {
		reading_failed(
		    rd, "needs 'listen', such as listen = 127.0.0.1:9110");
		return;
	}
	if (address_is_path(conf->listen)) {
		reading_failed(rd,
		    "'listen' is a path, and not a TCP address, such as"
		    " 127.0.0.1:9110");
		return;
	}
	if (address_parse_host_port(conf->listen, &address, &why) != 0) {
		error_set(&err, "'listen': %.400s", why.text);
		reading_failed(rd, err.text);
		return;
	}
	if (conf->allow == NULL &&
	    !address_is_loopback((struct sockaddr *)&address.ss))
		reading_failed(rd, NEEDS_ALLOW);
	check_hosts(rd, conf->hosts);
	if (conf->access == ACCESS_FULL && conf->token_file == NULL)
		reading_failed(rd,
		    "access = full needs 'token_file', a file with the token"
		    " that requests have to carry");
	if (tls_check(&conf->tls, true, &err) < 0 ||
	    tls_load(&conf->tls, true, &conf->context, &err) < 0 ||
	    control_conf_load(conf, &err) < 0)
		reading_failed(rd, err.text);
}

static int
read_control(struct config *c, struct reading *rd)
{
	struct control_conf *conf, **more;
	int r;

	if (!reading_room(rd, c->ncontrols, CONTROLS_MAX, "control ports"))
		return 0;
	more = reallocarray(c->controls, c->ncontrols + 1, sizeof(*more));
	if (more == NULL)
		return -ENOMEM;
	c->controls = more;
	conf = calloc(1, sizeof(*conf));
	if (conf == NULL)
		return -ENOMEM;
	c->controls[c->ncontrols++] = conf;
	conf->file = rd->file;
	conf->line = rd->section->line;
	conf->access = ACCESS_DEFAULT;
	conf->http = strcmp(rd->section->type, "http") == 0;
	conf->type = conf->http ? "http" : "control";
	r = reading_name(rd, conf->type, &conf->name, &conf->text);
	if (r == 0)
		r = key_defaults(control_conf_keys(conf), conf);
	if (r != 0)
		return r;
	reading_add(rd, control_conf_keys(conf), conf);
	r = reading_keys(rd);
	(conf->http ? check_http : check_control)(rd, conf);
	return r;
}

/* "route1", or the next number that is not used. */
static void
route_name(const struct config *c, char *name, size_t size)
{
	bool taken = true;

	for (unsigned n = c->nroutes + 1; taken; n++) {
		snprintf(name, size, "route%u", n);
		taken = false;
		for (unsigned i = 0; i < c->nroutes; i++)
			taken |= strcmp(c->routes[i]->name, name) == 0;
	}
}

static void
note_lines(const struct reading *rd, struct route_conf *conf)
{
	for (unsigned i = 0; i < rd->nseen; i++)
		conf->key_line[rd->seen_key[i] - route_keys] =
		    rd->seen[i]->line;
	conf->incomplete = rd->nbad > 0;
}

static int
read_route(struct config *c, struct reading *rd)
{
	struct route_conf *conf, **more;
	struct error err;
	char name[24];
	int r;

	if (!reading_room(rd, c->nroutes, CONFIG_MAX_ROUTES, "routes"))
		return 0;
	route_name(c, name, sizeof(name));
	more = reallocarray(c->routes, c->nroutes + 1, sizeof(*more));
	if (more == NULL)
		return -ENOMEM;
	c->routes = more;
	conf = calloc(1, sizeof(*conf));
	if (conf == NULL)
		return -ENOMEM;
	r = reading_name(rd, name, &conf->name, &conf->text);
	if (r != 0) {
		route_conf_free(conf);
		return r;
	}
	c->routes[c->nroutes++] = conf;
	conf->file = rd->file;
	conf->line = rd->section->line;
	reading_add(rd, route_keys, conf);
	r = reading_keys(rd);
	note_lines(rd, conf);
	if (r == 0 && route_conf_check(conf, &err) != 0)
		reading_failed(rd, err.text);
	return r;
}

/* Finds the framing first, because it determines which other keys are valid. */
static void
find_rule(struct reading *rd, struct framing_conf *conf)
{
	struct error err;

	rd->rule = conf->rule;
	for (unsigned i = 0; i < rd->section->n; i++) {
		const struct config_entry *e = &rd->section->entry[i];

		if (strcmp(e->key, framing_key[0].name) != 0)
			continue;
		conf->rule = NULL;
		key_parse(framing_key, conf, e->value, &err);
		rd->rule = conf->rule;
		return;
	}
}

/* An echo returns frames of any kind unchanged. */
static int
echo_defaults(struct framing_conf *conf)
{
	const struct key *size = conf->rule->keys == NULL
	    ? NULL
	    : key_find(conf->rule->keys, "length_size");
	struct error err;

	if (size == NULL)
		return 0;
	conf->max_frame = FRAMING_MAX_FRAME;
	return key_parse(size, conf, "4", &err);
}

static int
endpoint_defaults(struct endpoint_conf *conf, struct reading *rd)
{
	int r = key_defaults(endpoint_common_keys, conf);

	conf->stall_timeout = 0;
	if (conf->ops->several)
		conf->stall_timeout = STALL_TIMEOUT;
	/* The other side of these is a device, or a server that leads to one. */
	conf->silence_warning = 0;
	if (!conf->ops->several && !conf->ops->echo &&
	    conf->ops->hangup == NULL)
		conf->silence_warning = SILENCE_WARNING;
	if (r == 0 && conf->ops->keys != NULL)
		r = key_defaults(conf->ops->keys, conf->type_conf);
	framing_conf_init(&conf->framing);
	if (conf->ops->echo)
		rd->rule = conf->framing.rule = framing_find("length");
	find_rule(rd, &conf->framing);
	if (r == 0 && rd->rule != NULL && rd->rule->keys != NULL)
		r = key_defaults(rd->rule->keys, &conf->framing);
	if (r == 0 && conf->ops->echo && rd->rule != NULL)
		r = echo_defaults(&conf->framing);
	return r;
}

static void
check_endpoint(struct reading *rd, struct endpoint_conf *conf)
{
	struct error err;

	check_group(rd, endpoint_named(conf, NAMES_GROUP));
	if (endpoint_check_common(conf, &err) != 0)
		reading_failed(rd, err.text);
	if (conf->echo && (conf->ops->several || conf->ops->echo))
		reading_failed(rd,
		    "'echo' is for a single line, such as that of [serial] or"
		    " [tcp-client]");
	if (conf->spool != 0 && (conf->ops->several || conf->ops->echo))
		reading_failed(rd,
		    "'spool' is for an endpoint with a single link, such as"
		    " [serial], [tcp-client] or [unix-client]");
	if (conf->ops->check != NULL && conf->ops->check(conf, &err) != 0)
		reading_failed(rd, err.text);
	else if (conf->ops->load != NULL && conf->ops->load(conf, &err) != 0)
		reading_failed(rd, err.text);
	if (rd->rule != NULL && framing_check(&conf->framing, &err) != 0)
		reading_failed(rd, err.text);
}

static int
read_endpoint(
    struct config *c, struct reading *rd, const struct endpoint_ops *ops)
{
	struct endpoint_conf *conf, **more;
	int r;

	if (!reading_room(rd, c->nendpoints, CONFIG_MAX_ENDPOINTS, "endpoints"))
		return 0;
	more = reallocarray(c->endpoints, c->nendpoints + 1, sizeof(*more));
	if (more == NULL)
		return -ENOMEM;
	c->endpoints = more;
	conf = endpoint_conf_new(ops);
	if (conf == NULL)
		return -ENOMEM;
	c->endpoints[c->nendpoints++] = conf;
	conf->file = rd->file;
	conf->line = rd->section->line;
	rd->endpoint = true;
	r = reading_name(rd, NULL, &conf->name, &conf->text);
	if (r == 0)
		r = reading_wire(rd, conf->name, ops, &conf->wire);
	if (r == 0)
		r = endpoint_defaults(conf, rd);
	if (r != 0)
		return r;
	reading_add(rd, endpoint_common_keys, conf);
	reading_add(rd, ops->keys, conf->type_conf);
	reading_add(rd, framing_key, &conf->framing);
	reading_add(rd, framing_common_keys, &conf->framing);
	reading_add(
	    rd, rd->rule == NULL ? NULL : rd->rule->keys, &conf->framing);
	r = reading_keys(rd);
	if (r == 0) {
		check_endpoint(rd, conf);
		reading_unused(rd);
	}
	return r;
}

/* Appends which sections have that framing, if the type of a section is one. */
static void
say_framing(const char *type, struct error *err)
{
	const char *name = hint_framing(type);

	if (name == NULL)
		return;
	error_append(err,
	    "; a framing is not a type: write framing = %s in a %s", name,
	    framing_find(name)->number_size > 0
		? "[tcp-server NAME] or a [tcp-client NAME]"
		: "[serial NAME] or another endpoint");
}

static bool
needs_name(const char *type)
{
	return strcmp(type, "daemon") != 0 && strcmp(type, "control") != 0 &&
	    strcmp(type, "http") != 0;
}

static void
unknown_section(struct reading *rd)
{
	const char *words[32] = { "daemon", "control", "http", "route" }, *near;
	struct error meant = { "" };
	char quote[40];
	size_t n = 4;

	for (size_t i = 0; endpoint_types[i] != NULL && n < 31; i++)
		words[n++] = endpoint_types[i]->type;
	words[n] = NULL;
	if (faults_full(rd->faults))
		near = NULL;
	else if ((near = hint_type(rd->section->type, words)) == NULL)
		near = nearest(rd->section->type, words);
	if (near != NULL && rd->section->name == NULL && needs_name(near))
		error_append(&meant, "; did you mean [%s %s]?", near,
		    config_quote(rd->section->type, quote, sizeof(quote)));
	else
		error_append_meant(&meant, near);
	if (near == NULL && !faults_full(rd->faults))
		say_framing(rd->section->type, &meant);
	fault_add(rd->faults, rd->file, rd->section->line,
	    "unknown section type '%s' in %s%s",
	    config_quote(rd->section->type, quote, sizeof(quote)), rd->where,
	    meant.text);
}

/* The section may have been meant as an endpoint with that name. */
static int
lose_name(struct config *c, const char *name)
{
	size_t len = c->lost_names == NULL ? 0 : strlen(c->lost_names);
	char *names;

	if (len > LOST_NAMES_MAX)
		return 0;
	names = realloc(c->lost_names, len + strlen(name) + 2);
	if (names == NULL)
		return -ENOMEM;
	c->lost_names = names;
	sprintf(names + len, " %s", name);
	return 0;
}

int
config_section_read(struct config *c, const char *file,
    const struct config_section *s, struct faults *faults)
{
	const struct endpoint_ops *ops = endpoint_type(s->type);
	struct reading rd;

	reading_start(&rd, faults, file, s);
	if (ops != NULL)
		return read_endpoint(c, &rd, ops);
	if (strcmp(s->type, "daemon") == 0)
		return read_daemon(c, &rd);
	if (strcmp(s->type, "control") == 0 || strcmp(s->type, "http") == 0)
		return read_control(c, &rd);
	if (strcmp(s->type, "route") == 0)
		return read_route(c, &rd);
	c->lost++;
	unknown_section(&rd);
	return lose_name(c, s->name != NULL ? s->name : s->type);
}
