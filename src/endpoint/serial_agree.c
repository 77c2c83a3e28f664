/*
 * serial_agree: a connection to a serial port of another machine until it is agreed what
 * the port does.
 *
 * Data is discarded until then: it was received with other settings.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "log.h"
#include "sandbox.h"
#include "serial_remote.h"

const struct telnet_option remote_options[REMOTE_OPTIONS] = {
	{ TELNET_COM_PORT, true, true, true, false },
	{ TELNET_BINARY, true, true, true, true },
	{ TELNET_SGA, true, true, true, true },
	{ TELNET_ECHO, false, true, false, false },
};

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

void
agreement_send(struct remote *r, const uint8_t *data, size_t len)
{
	if (len > sizeof(r->out) - r->out_len)
		return;
	memcpy(r->out + r->out_len, data, len);
	r->out_len += len;
}

static void
put(void *arg, const uint8_t *data, size_t len)
{
	agreement_send(arg, data, len);
}

/* --- the settings -------------------------------------------------------------- */

/* Logs what the line does otherwise than asked, if that has changed. */
static void
say_difference(struct remote *r)
{
	char words[sizeof(r->said)];

	rfc2217_client_difference(&r->client, words, sizeof(words));
	if (strcmp(words, r->said) == 0)
		return;
	snprintf(r->said, sizeof(r->said), "%s", words);
	if (words[0] != '\0')
		log_to(LOG_WARNING, ABOUT_ENDPOINT, r->serial.ep->conf->name,
		    "the other machine does not do as it was asked: %s", words);
}

int
remote_ask_all(struct remote *r)
{
	int n = rfc2217_client_set(&r->client, &remote_conf(r)->now, true);

	r->asked_ns = now_ns();
	return n < 0 ? n : rfc2217_client_watch(&r->client);
}

void
remote_handle_sub(struct remote *r, const uint8_t *sub, size_t len)
{
	bool settled = rfc2217_client_settled(&r->client);

	if (len < 1 || sub[0] != TELNET_COM_PORT)
		return;
	if (!rfc2217_client_receive(&r->client, sub + 1, len - 1))
		r->serial.ep->bad_commands++;
	if (settled || !rfc2217_client_settled(&r->client))
		return;
	serial_set_address(r->serial.ep);
	say_difference(r);
}

/* --- its end ------------------------------------------------------------------ */

/* Leaves the descriptor open, and returns it. */
static int
end(struct remote *r)
{
	struct event **events[] = { &r->readable, &r->writable, &r->timer };
	int fd = r->fd;

	for (size_t i = 0; i < NELEM(events); i++) {
		if (*events[i] != NULL)
			event_free(*events[i]);
		*events[i] = NULL;
	}
	task_remove_why(&r->task, "the agreement has ended");
	r->fd = -1;
	return fd;
}

static void
fail(struct remote *r, const char *why)
{
	close(end(r));
	endpoint_lost(r->serial.ep, why);
}

/* --- events --------------------------------------------------------------------- */

/* Handles an event of telnet; returns whether all is agreed. */
static bool
handle(struct remote *r, enum telnet_event event)
{
	if (event == TELNET_SUBNEGOTIATION)
		remote_handle_sub(r, r->telnet.sub, r->telnet.sub_len);
	if (!r->agreed && telnet_has(&r->telnet, TELNET_COM_PORT, true)) {
		r->agreed = true;
		remote_ask_all(r);
		return false;
	}
	return r->agreed && rfc2217_client_settled(&r->client);
}

/* Decodes what was read; returns false when the agreement has ended. */
static bool
decode(struct remote *r)
{
	uint8_t waste[REMOTE_READ_SIZE];
	enum telnet_event event;
	size_t used;

	while (r->in_at < r->in_len) {
		telnet_decode(&r->telnet, waste, r->in + r->in_at,
		    r->in_len - r->in_at, &used, &event);
		r->in_at += used;
		if (remote_is_refused(&r->telnet, event)) {
			fail(r,
			    "the other machine does not control a serial"
			    " port (it refuses RFC 2217)");
			return false;
		}
		if (event != TELNET_NOTHING && handle(r, event)) {
			r->on_agreed(r, end(r));
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

static bool
add_events(struct remote *r)
{
	struct event_base *base = r->serial.ep->base;
	uint64_t ns = remote_conf(r)->connect_timeout;
	const struct timeval tv = to_timeval(ns);

	r->readable =
	    event_new(base, r->fd, EV_READ | EV_PERSIST, on_readable, r);
	r->writable = event_new(base, r->fd, EV_WRITE, on_writable, r);
	r->timer = evtimer_new(base, on_timeout, r);
	r->until_ns = now_ns() + ns;
	return r->readable != NULL && r->writable != NULL && r->timer != NULL &&
	    event_add(r->readable, NULL) == 0 && event_add(r->timer, &tv) == 0;
}

void
agreement_start(struct remote *r, int fd, void (*done)(struct remote *, int fd))
{
	r->fd = fd;
	r->on_agreed = done;
	if (!add_events(r)) {
		fail(r, "out of memory");
		return;
	}
	task_add(
	    &r->task, r, agree_label, "%s.agree", r->serial.ep->conf->name);
	TASK_WAIT(&r->task);
	telnet_init(&r->telnet, remote_options, REMOTE_OPTIONS, put, r);
	telnet_offer(&r->telnet);
	flush(r);
}

void
agreement_cancel(struct remote *r)
{
	int fd = end(r);

	if (fd >= 0)
		close(fd);
}
