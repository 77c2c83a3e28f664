/*
 * control: the control ports.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"

void
control_count(struct control *c)
{
	listener_set_clients(c->listener, c->nsessions + c->handshakes.n);
}

static bool
out_of_memory(struct control *c, const char *peer)
{
	log_limited(&c->refused, LOG_ERR, ABOUT_CONTROL, c->conf.name,
	    "%s refused: out of memory", peer);
	return false;
}

static bool
on_accept(void *arg, int fd, const char *peer)
{
	struct control *c = arg;
	int r;

	if (c->conf.context == NULL)
		r = c->ops->session_new(c, fd, NULL, peer);
	else {
		r = handshake_start(&c->handshakes, c->conf.context, fd, NULL,
		    peer, c->conf.tls.handshake_timeout);
		control_count(c);
	}
	return r == 0 || out_of_memory(c, peer);
}

static void
on_handshake(
    void *arg, struct tls_session *session, const char *peer, const char *why)
{
	struct control *c = arg;

	if (session == NULL)
		log_limited(&c->refused, LOG_WARNING, ABOUT_CONTROL,
		    c->conf.name, "TLS handshake of %s failed: %s", peer, why);
	else if (c->ops->session_new(c, session->fd, session, peer) < 0)
		out_of_memory(c, peer);
	control_count(c);
}

/* Copies a string, which may be NULL; false: out of memory. */
static bool
copy_string(char **to, const char *from)
{
	*to = from != NULL ? strdup(from) : NULL;
	return from == NULL || *to != NULL;
}

/* The files are read already; the context of TLS and the token are taken over. */
static int
copy_conf(struct control_conf *to, struct control_conf *from)
{
	bool good;

	*to = *from;
	from->context = NULL;
	from->token = NULL;
	to->tls.cert = to->tls.key = to->tls.ca = NULL;
	good = copy_string(&to->name, from->name);
	good &= copy_string(&to->text, from->text);
	good &= copy_string(&to->listen, from->listen);
	good &= copy_string(&to->allow, from->allow);
	good &= copy_string(&to->group, from->group);
	good &= copy_string(&to->full, from->full);
	good &= copy_string(&to->hosts, from->hosts);
	good &= copy_string(&to->token_file, from->token_file);
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
		.make_room = c->ops->make_room,
		.full = c->full,
	};
	int r;

	if ((r = address_parse(c->conf.listen, &l.address, err)) < 0)
		return r;
	if (c->conf.allow != NULL &&
	    (r = networks_parse(c->conf.allow, &c->allow, err)) < 0)
		return r;
	l.allow = c->allow;
	keep_name(keep, sizeof(keep), c->conf.type, c->conf.name, c->conf.text,
	    c->conf.http ? " http" : " control");
	snprintf(c->full, sizeof(c->full), "%s (max %u)\n", c->ops->full,
	    l.max_clients);
	r = listener_new(c->bridge->base, &l, on_accept, c, &c->listener, err);
	if (r == 0 && c->ops->opened != NULL)
		r = c->ops->opened(c);
	c->opened = r == 0;
	return r;
}

int
control_new(struct bridge *b, struct control_conf *conf,
    const struct control_ops *ops, const struct daemon_hooks *hooks,
    struct control **ret, struct error *err)
{
	struct control *c = calloc(1, sizeof(*c));
	int r;

	error_set(err, "out of memory");
	if (c == NULL)
		return -ENOMEM;
	TAILQ_INIT(&c->sessions);
	handshakes_init(&c->handshakes);
	c->handshakes.base = b->base;
	c->handshakes.about = ABOUT_CONTROL;
	c->handshakes.done = on_handshake;
	c->handshakes.arg = c;
	c->ops = ops;
	c->bridge = b;
	c->hooks = hooks;
	if ((r = copy_conf(&c->conf, conf)) < 0 ||
	    (r = open_port(c, err)) < 0) {
		/* The caller may try again. */
		conf->context = c->conf.context;
		conf->token = c->conf.token;
		c->conf.context = NULL;
		c->conf.token = NULL;
		control_free(c);
		return r;
	}
	c->handshakes.name = c->conf.name;
	log_to(LOG_INFO, ABOUT_CONTROL, c->conf.name,
	    "listens on %s (access = %s)%s", listener_address(c->listener),
	    c->conf.access == ACCESS_FULL ? "full" : "read",
	    c->conf.context != NULL ? " with TLS" : "");
	*ret = c;
	return 0;
}

void
control_free(struct control *c)
{
	if (c == NULL)
		return;
	c->ops->end_all(c);
	if (c->opened && c->ops->closed != NULL)
		c->ops->closed(c);
	handshakes_cancel(&c->handshakes);
	listener_free(c->listener);
	networks_free(c->allow);
	tls_context_free(c->conf.context);
	free(c->conf.full);
	free(c->conf.hosts);
	free(c->conf.token_file);
	free(c->conf.token);
	free(c->conf.name);
	free(c->conf.text);
	free(c->conf.listen);
	free(c->conf.allow);
	free(c->conf.group);
	free(c);
}

void
control_follow(struct control *c, struct control_conf *conf)
{
	struct tls_context *old = c->conf.context;
	char *token = c->conf.token;

	if (conf->context != NULL) {
		c->conf.context = conf->context;
		conf->context = old;
	}
	if (conf->token != NULL) {
		c->conf.token = conf->token;
		conf->token = token;
	}
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
