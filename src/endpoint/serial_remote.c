/*
 * serial_remote: serial ports of other machines, by telnet and RFC 2217.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>

#include "keepalive.h"
#include "log.h"
#include "rfc2217.h"
#include "serial_remote.h"

/* An answer to a setting is not waited for longer. */
#define SETTLE_NS (3 * NSEC_PER_SEC)

struct remote_filter {
	struct telnet_filter telnet;
	struct remote *remote; /* NULL: closed */
};

static struct remote *
remote_of(const struct serial *s)
{
	return CONTAINER_OF(s, struct remote, serial);
}

/* --- commands -------------------------------------------------------------- */

static bool
send_sub(void *arg, const uint8_t *data, size_t len)
{
	uint8_t sub[TELNET_SUB_SIZE(UINT8_MAX)];
	struct remote *r = arg;

	if (r->filter != NULL)
		return telnet_filter_sub(
		    &r->filter->telnet, TELNET_COM_PORT, data, len);
	agreement_send(r, sub, telnet_sub(sub, TELNET_COM_PORT, data, len));
	return true;
}

static int
remote_apply_signals(struct serial *s, struct error *err)
{
	struct remote *r = remote_of(s);
	const struct serial_conf *conf = remote_conf(r);
	const struct {
		unsigned signal;
		int how;
	} lines[] = { { TIOCM_DTR, conf->dtr.line }, { TIOCM_RTS, conf->rts } };
	int n = 0;

	for (int i = 0; n == 0 && i < 2; i++) {
		int j = i ^ conf->dtr.after_rts;

		if (lines[j].how != LINE_KEEP)
			n = rfc2217_client_signals(&r->client, lines[j].signal,
			    lines[j].how == LINE_ON ? lines[j].signal : 0);
	}
	if (n < 0)
		error_set(err, "the other machine does not read its commands");
	return n;
}

/* --- the filter of the link -------------------------------------------------- */

static struct remote *
remote_of_filter(const struct telnet_filter *t)
{
	return CONTAINER_OF(t, struct remote_filter, telnet)->remote;
}

static bool
filter_event(struct telnet_filter *t, enum telnet_event event, bool after_data)
{
	struct remote *r = remote_of_filter(t);
	bool suspended = r->client.suspended;

	(void)after_data;
	if (remote_is_refused(&t->telnet, event))
		endpoint_lost(
		    r->serial.ep, "the other machine has ended RFC 2217");
	else if (event == TELNET_SUBNEGOTIATION)
		remote_handle_sub(r, t->telnet.sub, t->telnet.sub_len);
	if (r->client.suspended != suspended)
		filter_suspend(&t->filter, r->client.suspended);
	return true;
}

static void
filter_save(const struct telnet_filter *t, struct pack *p)
{
	rfc2217_client_save(&remote_of_filter(t)->client, p);
}

static void
filter_restore(struct telnet_filter *t, struct unpack *u)
{
	struct remote *r = remote_of_filter(t);

	rfc2217_client_restore(&r->client, u);
	r->restored = !u->failed;
	if (r->restored)
		serial_set_address(r->serial.ep);
}

static void
filter_free(struct telnet_filter *t)
{
	remote_of_filter(t)->filter = NULL;
	free(CONTAINER_OF(t, struct remote_filter, telnet));
}

static const struct telnet_handler handler = {
	.options = remote_options,
	.noptions = REMOTE_OPTIONS,
	.event = filter_event,
	.save = filter_save,
	.restore = filter_restore,
	.free = filter_free,
};

static int
remote_attach(struct serial *s, struct link *link)
{
	struct remote *r = remote_of(s);
	struct remote_filter *filter = calloc(1, sizeof(*filter));

	if (filter == NULL)
		return -ENOMEM;
	filter->remote = r;
	r->filter = filter;
	if (link->adopted) {
		telnet_attach(link, &filter->telnet, &handler);
		return 0;
	}
	serial_set_address(s->ep);
	telnet_attach_agreed(link, &filter->telnet, &handler, &r->telnet);
	filter->telnet.filter.suspended = r->client.suspended;
	filter_command(&filter->telnet.filter, r->out, r->out_len);
	return filter_received(
	    &filter->telnet.filter, r->in + r->in_at, r->in_len - r->in_at);
}

/* --- open and close ---------------------------------------------------------- */

/* The connection is used from now on. */
static int
come_up(struct remote *r, int fd)
{
	struct endpoint *ep = r->serial.ep;
	int n;

	serial_set_address(ep);
	link_keep(&ep->link, fd);
	if ((n = endpoint_up(ep, fd, true)) == 0)
		link_keepalive(&ep->link, remote_conf(r)->tcp.keepalive);
	return n;
}

/* All is agreed. */
static void
on_agreed(struct remote *r, int fd)
{
	struct endpoint *ep = r->serial.ep;
	struct error err;

	/* They may have changed meanwhile. */
	rfc2217_client_set(&r->client, &remote_conf(r)->now, false);
	r->asked_ns = now_ns();
	remote_apply_signals(&r->serial, &err);
	if (come_up(r, fd) < 0)
		endpoint_lost(ep, "out of memory");
}

static void
on_connected(void *arg, int fd, const char *why)
{
	struct remote *r = arg;

	if (fd < 0)
		endpoint_lost(r->serial.ep, why);
	else
		agreement_start(r, fd, on_agreed);
}

/* Continues a connection of the previous process. */
static int
continue_with(struct remote *r, int fd)
{
	const struct serial_conf *conf = remote_conf(r);
	int n = come_up(r, fd);

	if (n < 0)
		return n;
	if (!r->restored)
		remote_ask_all(r);
	else
		rfc2217_client_set(&r->client, &conf->now, false);
	if (r->filter != NULL)
		filter_suspend(&r->filter->telnet.filter, r->client.suspended);
	return 0;
}

static int
remote_open(struct serial *s)
{
	struct remote *r = remote_of(s);
	struct endpoint *ep = s->ep;
	const struct serial_conf *conf = remote_conf(r);
	int n, fd;

	r->fd = -1;
	rfc2217_client_init(&r->client, send_sub, r);
	r->connector.base = ep->base;
	r->connector.name = ep->conf->name;
	r->connector.address = serial_remote_address(conf);
	r->connector.timeout_ns = conf->connect_timeout;
	r->connector.done = on_connected;
	r->connector.arg = r;
	if ((fd = endpoint_take(ep)) >= 0)
		return continue_with(r, fd);
	if ((n = connector_start(&r->connector)) == -EAGAIN)
		error_set(&ep->error, "too many names are being looked up");
	return n;
}

static void
remote_close(struct serial *s)
{
	struct remote *r = remote_of(s);

	connector_cancel(&r->connector);
	agreement_cancel(r);
}

static bool
remote_is_open(const struct serial *s)
{
	return remote_of(s)->filter != NULL;
}

static const char *
remote_path(const struct serial *s)
{
	return remote_conf(remote_of(s))->device;
}

/* --- the line ------------------------------------------------------------ */

static int
remote_get(const struct serial *s, struct line_settings *ret)
{
	rfc2217_client_get(&remote_of(s)->client, ret);
	return 0;
}

static int
remote_set(
    struct serial *s, const struct line_settings *line, struct error *err)
{
	struct remote *r = remote_of(s);
	int n = rfc2217_client_set(&r->client, line, false);

	r->asked_ns = now_ns();
	if (n < 0)
		error_set(err, "the other machine does not read its commands");
	return n;
}

static bool
remote_settled(const struct serial *s)
{
	const struct remote *r = remote_of(s);

	return rfc2217_client_settled(&r->client) ||
	    now_ns() - r->asked_ns >= SETTLE_NS;
}

static int
remote_set_signals(struct serial *s, unsigned mask, unsigned levels)
{
	return rfc2217_client_signals(&remote_of(s)->client, mask, levels);
}

static int
remote_signals(const struct serial *s, unsigned *ret)
{
	*ret = remote_of(s)->client.signals;
	return 0;
}

static int
remote_set_break(struct serial *s, bool on)
{
	return rfc2217_client_break(&remote_of(s)->client, on);
}

static int
remote_purge(struct serial *s, bool input, bool output)
{
	return rfc2217_client_purge(&remote_of(s)->client, input, output);
}

static int
remote_line_errors(const struct serial *s, struct line_errors *ret)
{
	*ret = remote_of(s)->client.errors;
	return 0;
}

const struct serial_line_ops serial_remote = {
	.size = sizeof(struct remote),
	.open = remote_open,
	.close = remote_close,
	.attach = remote_attach,
	.is_open = remote_is_open,
	.path = remote_path,
	.get = remote_get,
	.set = remote_set,
	.settled = remote_settled,
	.set_signals = remote_set_signals,
	.signals = remote_signals,
	.set_break = remote_set_break,
	.purge = remote_purge,
	.apply_signals = remote_apply_signals,
	.line_errors = remote_line_errors,
};
