/*
 * ports: opens and closes control ports at a reload.
 *
 * A reload opens new ports before it closes old ones, so that it is refused if a port
 * cannot be opened.  If an old port listens on the address of a new one, the new one can
 * only be opened after the old one is closed.  A port that cannot be opened then, or
 * after a handover, when it is too late to refuse anything, is retried periodically.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "address.h"
#include "ports.h"
#include "log.h"
#include "session.h"

/* The interval at which opening a port is retried. */
static const struct timeval retry_time = { .tv_sec = 1 };

struct port_set {
	struct control **port; /* NULL: not open yet */
	unsigned n;
};

static struct bridge *bridge;
static const struct daemon_hooks *hooks;
static const struct control_ops *http; /* those of [http] */
static struct port_set used, prepared;
static struct config *config; /* the configuration of the ports in use */
/* The ports that were committed, but are not in use yet. */
static struct {
	struct port_set set;
	struct config *config;
} next;
static struct event *retry; /* set while a port in use is not open */
static struct task retry_task;

static struct control *
same_port(const struct port_set *set, const struct control_conf *c)
{
	for (unsigned i = 0; i < set->n; i++)
		if (set->port[i] != NULL &&
		    c->http == control_config(set->port[i])->http &&
		    strcmp(c->name, control_config(set->port[i])->name) == 0 &&
		    strcmp(c->text, control_config(set->port[i])->text) == 0)
			return set->port[i];
	return NULL;
}

static bool
holds(const struct port_set *set, const struct control *port)
{
	for (unsigned i = 0; i < set->n; i++)
		if (set->port[i] == port)
			return true;
	return false;
}

/* Empties the set, and closes the ports that are in none of the others. */
static void
close_set(struct port_set *set)
{
	struct port_set old = *set;

	memset(set, 0, sizeof(*set));
	for (unsigned i = 0; i < old.n; i++)
		if (old.port[i] != NULL && !holds(&used, old.port[i]) &&
		    !holds(&next.set, old.port[i]) &&
		    !holds(&prepared, old.port[i]))
			control_free(old.port[i]);
	free(old.port);
}

/*
 * Whether the daemon itself listens on that address, with a port or endpoint that a new
 * configuration may close.
 */
static bool
is_ours(const char *listen)
{
	const char *other;

	for (unsigned i = 0; i < used.n; i++)
		if (used.port[i] != NULL &&
		    strcmp(control_config(used.port[i])->listen, listen) == 0)
			return true;
	for (unsigned i = 0; i < bridge->nnodes; i++) {
		other = endpoint_named(
		    bridge->node[i]->endpoint->conf, NAMES_ADDRESS);
		if (other != NULL && strcmp(other, listen) == 0)
			return true;
	}
	return false;
}

/* Whether a control port that this configuration closes uses the address. */
static bool
is_in_the_way(const struct config *c, const char *listen)
{
	for (unsigned i = 0; i < used.n; i++) {
		struct control *port = used.port[i];
		bool stays = false;

		for (unsigned j = 0; port != NULL && j < c->ncontrols; j++)
			stays |= same_port(&used, c->controls[j]) == port;
		if (port != NULL && !stays &&
		    address_collides(control_config(port)->listen, listen))
			return true;
	}
	return false;
}

static int
open_port(struct control_conf *c, struct control **ret, struct error *err)
{
	char where[2 * ENDPOINT_NAME_MAX];
	struct error why;
	int r = control_new(
	    bridge, c, c->http ? http : &session_ops, hooks, ret, &why);

	if (r < 0)
		error_set(err, "%s: %s",
		    control_conf_where(c, where, sizeof(where)), why.text);
	return r;
}

int
control_ports_prepare(const struct config *c, struct error *err)
{
	struct port_set *set = &prepared;
	int r = 0;

	set->port = calloc(c->ncontrols + 1, sizeof(*set->port));
	if (set->port == NULL)
		return error_fail(err, -ENOMEM, "out of memory");
	set->n = c->ncontrols;
	for (unsigned i = 0; i < set->n && r == 0; i++) {
		struct control_conf *port = c->controls[i];

		if ((set->port[i] = same_port(&used, port)) == NULL)
			set->port[i] = same_port(&next.set, port);
		if (set->port[i] == NULL && !is_ours(port->listen))
			r = open_port(port, &set->port[i], err);
		if (r == -EADDRINUSE && is_in_the_way(c, port->listen)) {
			error_clear(err);
			r = 0;
		}
	}
	if (r < 0)
		control_ports_drop();
	return r;
}

void
control_ports_drop(void)
{
	close_set(&prepared);
}

void
control_ports_commit(struct config *c)
{
	struct port_set old = next.set;

	next.set = prepared;
	memset(&prepared, 0, sizeof(prepared));
	close_set(&old);
	config_free(next.config);
	next.config = c;
}

static void
retry_label(const struct task *task, char *buf, size_t size)
{
	char where[128];

	(void)task;
	for (unsigned i = 0; i < used.n; i++)
		if (used.port[i] == NULL) {
			snprintf(buf, size, "%s to be free for %s",
			    config->controls[i]->listen,
			    control_conf_where(
				config->controls[i], where, sizeof(where)));
			return;
		}
	snprintf(buf, size, "nothing: all control ports are open");
}

/*
 * Opens the ports in use that are not open; -errno with the message of the last that
 * fails.
 */
static int
open_missing(bool quiet, struct error *err)
{
	int r = 0, e;

	for (unsigned i = 0; i < used.n; i++) {
		struct control_conf *c = config->controls[i];

		if (used.port[i] != NULL ||
		    (e = open_port(c, &used.port[i], err)) == 0)
			continue;
		if (!quiet)
			log_to(LOG_ERR, ABOUT_CONTROL, c->name,
			    "%s; it is tried again", err->text);
		r = e;
	}
	return r;
}

static void on_retry(evutil_socket_t, short, void *);

static void
retry_later(void)
{
	if (retry == NULL &&
	    (retry = evtimer_new(bridge->base, on_retry, NULL)) == NULL)
		return;
	if (retry_task.label == NULL)
		task_add(&retry_task, NULL, retry_label, "daemon.controls");
	evtimer_add(retry, &retry_time);
	TASK_WAIT(&retry_task);
}

static void
retry_no_more(void)
{
	if (retry != NULL)
		evtimer_del(retry);
	task_remove_why(&retry_task, "all are open");
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct error err;

	(void)fd, (void)what, (void)arg;
	task_begin(&retry_task);
	TASK_SET(&retry_task, TASK_IDLE);
	if (open_missing(true, &err) < 0)
		retry_later();
	task_end(&retry_task);
	if (!evtimer_pending(retry, NULL))
		retry_no_more();
}

int
control_ports_change(struct error *err)
{
	struct port_set old = used;
	int r;

	if (next.config == NULL)
		return 0;
	used = next.set;
	memset(&next.set, 0, sizeof(next.set));
	config_free(config);
	config = next.config;
	next.config = NULL;
	for (unsigned i = 0; i < used.n; i++)
		if (used.port[i] != NULL)
			control_follow(used.port[i], config->controls[i]);
	close_set(&old);
	retry_no_more();
	if ((r = open_missing(false, err)) < 0)
		retry_later();
	return r;
}

/* Takes over the ports of a configuration, none of which is open yet, as those in use. */
static int
take_controls(struct config *c, struct error *err)
{
	config = calloc(1, sizeof(*config));
	used.port = calloc(c->ncontrols + 1, sizeof(*used.port));
	if (config == NULL || used.port == NULL)
		return error_fail(err, -ENOMEM, "out of memory");
	used.n = config->ncontrols = c->ncontrols;
	config->controls = c->controls;
	c->controls = NULL;
	c->ncontrols = 0;
	return 0;
}

int
control_ports_open(struct bridge *b, const struct daemon_hooks *h,
    const struct control_ops *http_ops, struct config *c, bool must,
    struct error *err)
{
	int r;

	bridge = b;
	hooks = h;
	http = http_ops;
	if ((r = take_controls(c, err)) < 0)
		return r;
	if ((r = open_missing(must, err)) < 0 && !must) {
		retry_later();
		r = 0;
	}
	return r;
}

void
control_ports_each(void (*each)(const struct control *c, void *arg), void *arg)
{
	for (unsigned i = 0; i < used.n; i++)
		if (used.port[i] != NULL)
			each(used.port[i], arg);
}

void
control_ports_free(void)
{
	close_set(&prepared);
	close_set(&next.set);
	close_set(&used);
	retry_no_more();
	if (retry != NULL)
		event_free(retry);
	retry = NULL;
	config_free(next.config);
	config_free(config);
	config = next.config = NULL;
}
