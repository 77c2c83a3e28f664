/*
 * serial_remote: serial ports of other machines, by telnet and RFC 2217.
 *
 *	connecting -> agreeing (COM-PORT-OPTION, then the settings) -> up
 *
 * While it is agreed, the telnet codec is used without a link, and data is discarded: it
 * was received with other settings.  Then the connection becomes the link, whose filter
 * takes over the codec and what was not decoded yet.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <event2/event.h>

#include "connector.h"
#include "keepalive.h"
#include "log.h"
#include "rfc2217.h"
#include "rfc2217_client.h"
#include "sandbox.h"
#include "serial_line.h"
#include "telnet_filter.h"

/* An answer to a setting is not waited for longer. */
#define SETTLE_NS (3 * NSEC_PER_SEC)
#define READ_SIZE 4096

struct remote_filter;

struct remote {
	struct serial serial;
	struct connector connector;
	struct rfc2217_client client;
	struct remote_filter *filter; /* while it is up */
	bool restored;		      /* by the filter */
	uint64_t asked_ns;	      /* the last setting */
	/* While it is agreed: */
	int fd; /* -1: it is not */
	bool agreed;
	struct telnet telnet;
	struct event *readable, *writable, *timer;
	struct task task;
	uint64_t until_ns;
	uint8_t in[READ_SIZE];
	size_t in_at, in_len; /* not decoded yet */
	uint8_t out[FILTER_REST_MAX];
	size_t out_len;
};

struct remote_filter {
	struct telnet_filter telnet;
	struct remote *remote; /* NULL: closed */
};

static const struct telnet_option options[] = {
	{ TELNET_COM_PORT, true, true, true, false },
	{ TELNET_BINARY, true, true, true, true },
	{ TELNET_SGA, true, true, true, true },
	{ TELNET_ECHO, false, true, false, false },
};

static struct remote *
remote_of(const struct serial *s)
{
	return CONTAINER_OF(s, struct remote, serial);
}

static const struct serial_conf *
conf_of(const struct remote *r)
{
	return r->serial.ep->conf->type_conf;
}

/* --- commands -------------------------------------------------------------- */

static void
flush(struct remote *r)
{
	ssize_t n;

	if (r->out_len == 0)
		return;
	n = write(r->fd, r->out, r->out_len);
	if (n > 0) {
		r->out_len -= (size_t)n;
		memmove(r->out, r->out + n, r->out_len);
	}
	/* An error is reported by reading, too. */
	if (r->out_len > 0)
		event_add(r->writable, NULL);
}

/* While it is agreed: sends a command of telnet. */
static void
put(void *arg, const uint8_t *data, size_t len)
{
	struct remote *r = arg;

	if (len > sizeof(r->out) - r->out_len)
		return;
	memcpy(r->out + r->out_len, data, len);
	r->out_len += len;
}

static bool
send_sub(void *arg, const uint8_t *data, size_t len)
{
	uint8_t sub[TELNET_SUB_SIZE(UINT8_MAX)];
	struct remote *r = arg;

	if (r->filter != NULL)
		return telnet_filter_sub(
		    &r->filter->telnet, TELNET_COM_PORT, data, len);
	put(r, sub, telnet_sub(sub, TELNET_COM_PORT, data, len));
	return true;
}

static void
say_difference(struct remote *r)
{
	char words[256];

	rfc2217_client_difference(&r->client, words, sizeof(words));
	if (words[0] != '\0')
		log_to(LOG_WARNING, ABOUT_ENDPOINT, r->serial.ep->conf->name,
		    "the other machine does not do as it was asked: %s", words);
}

/* Asks for all settings, and to be told of modem lines and errors. */
static int
ask_all(struct remote *r)
{
	int n = rfc2217_client_set(&r->client, &conf_of(r)->now, true);

	r->asked_ns = now_ns();
	return n < 0 ? n : rfc2217_client_watch(&r->client);
}

static int
remote_apply_signals(struct serial *s, struct error *err)
{
	struct remote *r = remote_of(s);
	const struct serial_conf *conf = conf_of(r);
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

/* A subnegotiation was received. */
static void
handle_sub(struct remote *r, const uint8_t *sub, size_t len)
{
	bool settled = rfc2217_client_settled(&r->client);

	if (len < 1 || sub[0] != TELNET_COM_PORT)
		return;
	if (!rfc2217_client_receive(&r->client, sub + 1, len - 1))
		r->serial.ep->bad_commands++;
	if (!settled && rfc2217_client_settled(&r->client))
		say_difference(r);
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
	if (event == TELNET_OPTION && t->telnet.option == TELNET_COM_PORT &&
	    t->telnet.option_us &&
	    !telnet_has(&t->telnet, TELNET_COM_PORT, true))
		endpoint_lost(
		    r->serial.ep, "the other machine has ended RFC 2217");
	else if (event == TELNET_SUBNEGOTIATION)
		handle_sub(r, t->telnet.sub, t->telnet.sub_len);
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
}

static void
filter_free(struct telnet_filter *t)
{
	remote_of_filter(t)->filter = NULL;
	free(CONTAINER_OF(t, struct remote_filter, telnet));
}

static const struct telnet_handler handler = {
	.options = options,
	.noptions = NELEM(options),
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
	telnet_attach_agreed(link, &filter->telnet, &handler, &r->telnet);
	filter->telnet.filter.suspended = r->client.suspended;
	filter_command(&filter->telnet.filter, r->out, r->out_len);
	return filter_received(
	    &filter->telnet.filter, r->in + r->in_at, r->in_len - r->in_at);
}

/* --- until it is up ----------------------------------------------------------- */

static void
end_agreement(struct remote *r)
{
	struct event **events[] = { &r->readable, &r->writable, &r->timer };

	for (size_t i = 0; i < NELEM(events); i++) {
		if (*events[i] != NULL)
			event_free(*events[i]);
		*events[i] = NULL;
	}
	task_remove(&r->task);
	r->fd = -1;
}

/* The connection is used from now on. */
static int
come_up(struct remote *r, int fd)
{
	struct endpoint *ep = r->serial.ep;
	int n;

	serial_set_address(ep);
	link_keep(&ep->link, fd);
	if ((n = endpoint_up(ep, fd, true)) == 0)
		link_keepalive(&ep->link, conf_of(r)->tcp.keepalive);
	return n;
}

static void
fail(struct remote *r, const char *why)
{
	struct endpoint *ep = r->serial.ep;
	int fd = r->fd;

	end_agreement(r);
	close(fd);
	endpoint_lost(ep, why);
}

static void
agreed(struct remote *r)
{
	struct endpoint *ep = r->serial.ep;
	struct error err;
	int fd = r->fd;

	/* They may have changed meanwhile. */
	rfc2217_client_set(&r->client, &conf_of(r)->now, false);
	r->asked_ns = now_ns();
	remote_apply_signals(&r->serial, &err);
	end_agreement(r);
	if (come_up(r, fd) < 0)
		endpoint_lost(ep, "out of memory");
}

/* Handles an event of telnet; returns whether all is agreed. */
static bool
handle(struct remote *r, enum telnet_event event)
{
	if (event == TELNET_SUBNEGOTIATION)
		handle_sub(r, r->telnet.sub, r->telnet.sub_len);
	if (!r->agreed && telnet_has(&r->telnet, TELNET_COM_PORT, true)) {
		r->agreed = true;
		ask_all(r);
		return false;
	}
	return r->agreed && rfc2217_client_settled(&r->client);
}

/* The other side does not want COM-PORT-OPTION. */
static bool
is_refused(const struct remote *r, enum telnet_event event)
{
	return event == TELNET_OPTION && r->telnet.option == TELNET_COM_PORT &&
	    r->telnet.option_us &&
	    !telnet_has(&r->telnet, TELNET_COM_PORT, true);
}

/* Decodes what was read; returns false when the agreement has ended. */
static bool
decode(struct remote *r)
{
	uint8_t waste[READ_SIZE];
	enum telnet_event event;
	size_t used;

	while (r->in_at < r->in_len) {
		telnet_decode(&r->telnet, waste, r->in + r->in_at,
		    r->in_len - r->in_at, &used, &event);
		r->in_at += used;
		if (is_refused(r, event)) {
			fail(r,
			    "the other machine does not control a serial"
			    " port (it refuses RFC 2217)");
			return false;
		}
		if (event != TELNET_NOTHING && handle(r, event)) {
			agreed(r);
			return false;
		}
	}
	return true;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct remote *r = arg;
	char why[NETWORK_ERROR_MAX];
	ssize_t n;

	(void)what;
	task_begin(&r->task);
	n = read(fd, r->in, sizeof(r->in));
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		task_end(&r->task);
		return;
	}
	if (n <= 0) {
		fail(r,
		    n == 0 ? "the other machine has closed the connection"
			   : network_error(errno, why, sizeof(why)));
		return;
	}
	r->in_at = 0;
	r->in_len = (size_t)n;
	if (!decode(r))
		return;
	flush(r);
	TASK_WAIT(&r->task);
	task_end(&r->task);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct remote *r = arg;

	(void)fd, (void)what;
	task_begin(&r->task);
	flush(r);
	task_end(&r->task);
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct remote *r = arg;
	char why[ERROR_MAX], awaited[128];

	(void)fd, (void)what;
	task_begin(&r->task);
	rfc2217_client_awaited(&r->client, awaited, sizeof(awaited));
	if (!r->agreed)
		snprintf(why, sizeof(why),
		    "the other machine does not answer (does it do RFC 2217?)");
	else
		snprintf(why, sizeof(why),
		    "the other machine does not confirm %s", awaited);
	fail(r, why);
}

static void
agree_label(const struct task *task, char *buf, size_t size)
{
	const struct remote *r = task->arg;
	uint64_t now = now_ns();
	char left[24], awaited[128];

	rfc2217_client_awaited(&r->client, awaited, sizeof(awaited));
	format_time(
	    r->until_ns > now ? r->until_ns - now : 0, left, sizeof(left));
	snprintf(buf, size, "%s to %s%s (for %s)", r->connector.address,
	    r->agreed ? "confirm " : "agree to RFC 2217",
	    r->agreed ? awaited : "", left);
}

static int
start_agreement(struct remote *r, int fd)
{
	struct endpoint *ep = r->serial.ep;
	uint64_t ns = conf_of(r)->connect_timeout;
	const struct timeval tv = to_timeval(ns);

	r->fd = fd;
	r->readable =
	    event_new(ep->base, fd, EV_READ | EV_PERSIST, on_readable, r);
	r->writable = event_new(ep->base, fd, EV_WRITE, on_writable, r);
	r->timer = evtimer_new(ep->base, on_timeout, r);
	if (r->readable == NULL || r->writable == NULL || r->timer == NULL ||
	    event_add(r->readable, NULL) < 0 || event_add(r->timer, &tv) < 0)
		return -ENOMEM;
	r->until_ns = now_ns() + ns;
	task_add(&r->task, r, agree_label, "%s.agree", ep->conf->name);
	TASK_WAIT(&r->task);
	telnet_init(&r->telnet, options, NELEM(options), put, r);
	telnet_offer(&r->telnet);
	flush(r);
	return 0;
}

static void
on_connected(void *arg, int fd, const char *why)
{
	struct remote *r = arg;

	if (fd < 0)
		endpoint_lost(r->serial.ep, why);
	else if (start_agreement(r, fd) < 0)
		fail(r, "out of memory");
}

/* Continues a connection of the previous process. */
static int
continue_with(struct remote *r, int fd)
{
	const struct serial_conf *conf = conf_of(r);
	int n = come_up(r, fd);

	if (n < 0)
		return n;
	if (!r->restored)
		ask_all(r);
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
	const struct serial_conf *conf = conf_of(r);
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
	int fd = r->fd;

	connector_cancel(&r->connector);
	end_agreement(r);
	if (fd >= 0)
		close(fd);
}

static bool
remote_is_open(const struct serial *s)
{
	return remote_of(s)->filter != NULL;
}

static const char *
remote_path(const struct serial *s)
{
	return conf_of(remote_of(s))->device;
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
