/*
 * control: the control ports.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session.h"

static bool
on_accept(void *arg, int fd, const char *peer)
{
	struct control *c = arg;

	if (session_new(c, fd, peer) < 0) {
		log_limited(&c->refused, LOG_ERR, ABOUT_CONTROL, c->conf.name,
		    "%s refused: out of memory", peer);
		return false;
	}
	return true;
}

/* Copies a string, which may be NULL; false: out of memory. */
static bool
copy_string(char **to, const char *from)
{
	*to = from != NULL ? strdup(from) : NULL;
	return from == NULL || *to != NULL;
}

static int
copy_conf(struct control_conf *to, const struct control_conf *from)
{
	bool good;

	*to = *from;
	good = copy_string(&to->name, from->name);
	good &= copy_string(&to->text, from->text);
	good &= copy_string(&to->listen, from->listen);
	good &= copy_string(&to->allow, from->allow);
	good &= copy_string(&to->group, from->group);
	return good ? 0 : -ENOMEM;
}

static int
open_port(struct control *c, struct error *err)
{
	char keep[KEEP_NAME_MAX];
	struct listener_conf l = {
		.name = c->conf.name,
		.keep = keep,
		.about = ABOUT_CONTROL,
		.max_clients = (unsigned)c->conf.max_clients,
		.mode = c->conf.mode != 0 ? (int)c->conf.mode : -1,
		.group = c->conf.group,
		.full = c->full,
	};
	int r;

	if ((r = address_parse(c->conf.listen, &l.address, err)) < 0)
		return r;
	if (c->conf.allow != NULL &&
	    (r = networks_parse(c->conf.allow, &c->allow, err)) < 0)
		return r;
	l.allow = c->allow;
	keep_name(keep, sizeof(keep), "control", c->conf.name, c->conf.text,
	    " control");
	snprintf(c->full, sizeof(c->full), "ERR too many clients (max %u)\n",
	    l.max_clients);
	return listener_new(
	    c->bridge->base, &l, on_accept, c, &c->listener, err);
}

int
control_new(struct bridge *b, const struct control_conf *conf,
    const struct daemon_hooks *hooks, struct control **ret, struct error *err)
{
	struct control *c = calloc(1, sizeof(*c));
	int r;

	error_set(err, "out of memory");
	if (c == NULL)
		return -ENOMEM;
	TAILQ_INIT(&c->sessions);
	c->bridge = b;
	c->hooks = hooks;
	if ((r = copy_conf(&c->conf, conf)) < 0 ||
	    (r = open_port(c, err)) < 0) {
		control_free(c);
		return r;
	}
	log_to(LOG_INFO, ABOUT_CONTROL, c->conf.name,
	    "listens on %s (access = %s)", listener_address(c->listener),
	    c->conf.access == ACCESS_FULL ? "full" : "read");
	*ret = c;
	return 0;
}

void
control_free(struct control *c)
{
	struct session *s;

	if (c == NULL)
		return;
	while ((s = TAILQ_FIRST(&c->sessions)) != NULL) {
		replies_last(s);
		session_free(s);
	}
	listener_free(c->listener);
	networks_free(c->allow);
	free(c->conf.name);
	free(c->conf.text);
	free(c->conf.listen);
	free(c->conf.allow);
	free(c->conf.group);
	free(c);
}

const struct control_conf *
control_config(const struct control *c)
{
	return &c->conf;
}

unsigned
control_sessions(const struct control *c)
{
	return c->nsessions;
}
