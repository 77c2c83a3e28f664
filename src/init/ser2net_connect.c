/*
 * ser2net_connect: converts a connection.
 *
 * It becomes a block: the server, the serial port unless an earlier connection has it, and
 * the route between them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gensio.h"
#include "ser2net_options.h"

/* A connection that is being converted. */
struct conversion {
	struct ser2net *s;
	const struct ser2net_connection *c;
	struct ser2net_end server, device;
	bool not_to_client, not_to_device;
	bool nomem;
};

/* --- options ------------------------------------------------------------- */

static bool
is_server(const struct ser2net_end *end)
{
	return strcmp(end->type, "tcp-server") == 0 ||
	    strcmp(end->type, "unix-server") == 0;
}

/* Options that are empty or switched off have no effect. */
static void
lose(struct conversion *v, const struct setting *o, const char *why)
{
	char what[128];

	if (*o->value == '\0' || strcasecmp(o->value, "false") == 0 ||
	    strcasecmp(o->value, "off") == 0 || strcasecmp(o->value, "no") == 0)
		return;
	snprintf(what, sizeof(what), "%s: %s", o->name, o->value);
	draft_lost(v->s->draft, o->line, what, "%s", why);
}

/* Text that is a value of that key. */
static void
convert_text(struct conversion *v, const struct setting *o,
    struct ser2net_end *end, const char *key)
{
	char *text;

	if (*o->value == '\0')
		return;
	text = ser2net_text(v->s->draft, o, v->c, &v->device);
	if (text == NULL)
		v->nomem = true;
	else if (*text != '\0')
		settings_set(&end->keys, o->line, key, text);
	free(text);
}

static void
convert_device_text(
    struct conversion *v, const struct setting *o, const char *key)
{
	if (strcmp(v->device.type, "serial") == 0 ||
	    strcmp(v->device.type, "tcp-client") == 0)
		convert_text(v, o, &v->device, key);
	else
		lose(v, o, "the section has no such key");
}

static void
convert_server_option(
    struct conversion *v, const struct setting *o, enum kind kind)
{
	if (kind == FLAG_TAKEOVER && !gensio_is_true(o->value))
		return;
	if (!is_server(&v->server))
		lose(v, o, "the section has no such key");
	else if (kind == FLAG_TAKEOVER)
		settings_set(&v->server.keys, o->line, "takeover", "yes");
	else if (kind == NUMBER_CLIENTS)
		settings_set(&v->server.keys, o->line, "max_clients", o->value);
	else
		convert_text(v, o, &v->server, "greeting");
}

static void
convert_option(struct conversion *v, const struct setting *o)
{
	const struct option *option = ser2net_option(o->name);

	switch (option == NULL ? LOST : option->kind) {
	case FLAG_TAKEOVER:
	case NUMBER_CLIENTS:
	case TEXT_GREETING:
		convert_server_option(v, o, option->kind);
		break;
	case TEXT_OPEN:
		convert_device_text(v, o, "on_open");
		break;
	case TEXT_CLOSE:
		convert_device_text(v, o, "on_close");
		break;
	case ADDRESSES: /* it belongs to the address */
	case KEPT:
		break;
	case FLAG_NOT_TO_CLIENT:
		v->not_to_client = gensio_is_true(o->value);
		break;
	case FLAG_NOT_TO_DEVICE:
		v->not_to_device = gensio_is_true(o->value);
		break;
	case LOST_FLAG:
		if (!gensio_is_true(o->value))
			break;
		/* FALLTHROUGH */
	case LOST:
		lose(v, o,
		    option != NULL ? option->why : "this option is not known");
		break;
	}
}

static void
convert_timeout(struct conversion *v)
{
	const struct setting *timeout = &v->c->timeout;

	if (timeout->value == NULL || strcmp(timeout->value, "0") == 0)
		return;
	if (is_server(&v->server))
		settings_addf(&v->server.keys, timeout->line, "idle_timeout",
		    "%ss", timeout->value);
	else
		lose(v, timeout,
		    "a peer of a udp section is forgotten after a minute");
}

static void
convert_options(struct conversion *v)
{
	if (is_server(&v->server))
		settings_add(&v->server.keys, v->c->line, "max_clients", "1");
	for (const struct option *known = ser2net_options; known->kind < KEPT;
	     known++) {
		const struct setting *found =
		    ser2net_find_default(v->s, "ser2net", known->name);
		struct setting o = { .name = (char *)known->name };

		if (found == NULL ||
		    settings_find(&v->c->options, o.name) != NULL)
			continue;
		o.value = found->value;
		o.line = found->line;
		convert_option(v, &o);
	}
	for (unsigned i = 0; i < v->c->options.n; i++)
		convert_option(v, &v->c->options.at[i]);
	convert_timeout(v);
}

/* --- sections ------------------------------------------------------------ */

static struct ser2net_device *
find_device(const struct ser2net *s, const struct ser2net_end *end)
{
	const char *device = settings_value(&end->keys, "device");

	for (struct ser2net_device *d = s->devices; d != NULL; d = d->next)
		if (device != NULL &&
		    strcmp(settings_value(&d->keys, "device"), device) == 0)
			return d;
	return NULL;
}

/* Remembers the port for later connections; takes its keys. */
static void
add_device(struct conversion *v, const char *name, struct block *section)
{
	struct ser2net_device *d = calloc(1, sizeof(*d));

	if (d == NULL) {
		v->nomem = true;
		return;
	}
	snprintf(d->name, sizeof(d->name), "%s", name);
	d->section = section;
	d->keys = v->device.keys;
	memset(&v->device.keys, 0, sizeof(v->device.keys));
	d->next = v->s->devices;
	v->s->devices = d;
}

/* Writes the section of the device, unless there is one; false if it is another one. */
static bool
write_device(struct conversion *v, char name[DRAFT_NAME_MAX])
{
	const struct ser2net_device *known = find_device(v->s, &v->device);
	struct draft *d = v->s->draft;
	bool serial = strcmp(v->device.type, "serial") == 0;

	if (known == NULL) {
		draft_name(d, v->device.name, name);
		if (serial && !v->c->disabled) {
			add_device(v, name,
			    draft_shared(
				d, v->device.type, name, &v->device.keys));
			return true;
		}
		draft_section(d, v->device.type, name);
		draft_keys(d, &v->device.keys);
		return true;
	}
	snprintf(name, DRAFT_NAME_MAX, "%s", known->name);
	if (settings_equal(&known->keys, &v->device.keys)) {
		draft_comment(d,
		    "The port is [serial %s].  Its clients may be connected at"
		    " the same time as these.",
		    name);
		draft_share(d, known->section);
		return true;
	}
	draft_section(d, v->device.type, draft_name(d, v->device.name, name));
	draft_keys(d, &v->device.keys);
	draft_leave_out(d, v->c->name,
	    "[serial %s] has the same device with other settings; to use"
	    " these instead, leave out that section and the routes with its"
	    " name; clients of a section with protocol = rfc2217 can change"
	    " settings",
	    known->name);
	return false;
}

/* Whether the server is a connection that is always there, and so the port has to be. */
static void
keep_open(struct conversion *v)
{
	if (strcmp(v->server.type, "tcp-client") == 0 &&
	    settings_find(&v->device.keys, "open") != NULL)
		settings_set(&v->device.keys, v->c->line, "open", "always");
}

static void
write_route(struct conversion *v, const char *server, const char *device)
{
	struct draft *d = v->s->draft;

	draft_section(d, "route", server);
	if (!v->not_to_client && !v->not_to_device) {
		draft_key(d, "between", "%s %s", server, device);
		return;
	}
	draft_key(d, "from", "%s", v->not_to_client ? server : device);
	draft_key(d, "to", "%s", v->not_to_client ? device : server);
}

static void
write_sections(struct conversion *v)
{
	char server[DRAFT_NAME_MAX], device[DRAFT_NAME_MAX];
	struct draft *d = v->s->draft;

	if (v->not_to_client && v->not_to_device)
		draft_leave_out(
		    d, v->c->name, "nothing would pass in either direction");
	draft_section(d, v->server.type, draft_name(d, v->server.name, server));
	draft_keys(d, &v->server.keys);
	write_device(v, device);
	write_route(v, server, device);
}

/* Both sides could be read. */
static void
convert(struct conversion *v)
{
	convert_options(v);
	keep_open(v);
	if (v->c->disabled) {
		draft_comment(v->s->draft, "It is disabled.");
		draft_disable(v->s->draft);
	}
	write_sections(v);
}

static bool
is_given(struct ser2net *s, const struct ser2net_connection *c,
    const struct setting *end)
{
	if (end->value != NULL && *end->value != '\0')
		return true;
	draft_leave_out(s->draft, c->name, "it has no %s", end->name);
	return false;
}

int
ser2net_connect(struct ser2net *s, const struct ser2net_connection *c)
{
	struct conversion v = { .s = s, .c = c };
	int r = 0;

	s->connections++;
	draft_block(s->draft, c->line);
	draft_comment(s->draft, "Connection %s, line %d.", c->name, c->line);
	if (is_given(s, c, &c->accepter) && is_given(s, c, &c->connector)) {
		r = ser2net_accepter(s, c, &v.server);
		if (r == 0)
			r = ser2net_connector(s, c, &v.device);
		if (r == 0 && v.server.type != NULL && v.device.type != NULL)
			convert(&v);
		else if (r == 0) {
			draft_leave_out(s->draft, c->name,
			    "the connection cannot be converted");
			draft_comment(
			    s->draft, "accepter: %s", c->accepter.value);
			draft_comment(
			    s->draft, "connector: %s", c->connector.value);
		}
	}
	if (v.nomem || v.server.keys.nomem || v.device.keys.nomem)
		r = -ENOMEM;
	settings_free(&v.server.keys);
	settings_free(&v.device.keys);
	return r;
}

void
ser2net_connection_free(struct ser2net_connection *c)
{
	free(c->name);
	free(c->port);
	free(c->accepter.value);
	free(c->connector.value);
	free(c->timeout.value);
	settings_free(&c->options);
	memset(c, 0, sizeof(*c));
}
