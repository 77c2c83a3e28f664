/*
 * tcp_client: tcp-client, an endpoint that connects.
 *
 * Host names are resolved without blocking the loop.  Then the addresses are tried in
 * order until a connection succeeds.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/util.h>

#include "address.h"
#include "endpoint.h"
#include "resolve.h"
#include "sandbox.h"
#include "tcp_conf.h"

struct client_conf {
	char *connect;
	uint64_t connect_timeout; /* ns */
	struct tcp_conf tcp;
	char *on_open, *on_close;
};

#define OFFSET(member) offsetof(struct client_conf, member)

struct client {
	struct endpoint *ep;
	struct resolve *resolve; /* while a name is being resolved */
	struct evutil_addrinfo *found, *next;
	int fd; /* the socket that is connecting, or -1 */
	struct event *event, *timer;
	uint64_t until_ns;
	struct task task, timeout;
};

static const struct key tcp_client_keys[] = {
	{ .name = "connect",
	    .type = KEY_STRING,
	    .offset = OFFSET(connect),
	    .min = 1,
	    .help = "HOST:PORT to connect to" },
	TCP_KEY_PROTOCOL(struct client_conf),
	TCP_KEY_KEEPALIVE(struct client_conf),
	{ .name = "connect_timeout",
	    .type = KEY_TIME,
	    .def = "10s",
	    .offset = OFFSET(connect_timeout),
	    .in_place = true,
	    .min = NSEC_PER_MSEC,
	    .max = 3600 * NSEC_PER_SEC,
	    .help = "how long an answer may take" },
	ENDPOINT_KEY_ON_OPEN(struct client_conf),
	ENDPOINT_KEY_ON_CLOSE(struct client_conf),
	{ .name = NULL },
};

static void try_next(struct client *, int);

static void
client_label(const struct task *task, char *buf, size_t size)
{
	const struct client *c = task->arg;

	snprintf(buf, size, "%s %s",
	    c->resolve != NULL ? "the address of" : "an answer from",
	    c->ep->address);
}

static void
timeout_label(const struct task *task, char *buf, size_t size)
{
	const struct client *c = task->arg;
	uint64_t now = now_ns();
	char left[24];

	format_time(
	    c->until_ns > now ? c->until_ns - now : 0, left, sizeof(left));
	snprintf(
	    buf, size, "%s to pass, for %s to answer", left, c->ep->address);
}

static void
forget(struct client *c)
{
	resolve_cancel(c->resolve);
	c->resolve = NULL;
	if (c->event != NULL)
		event_free(c->event);
	if (c->timer != NULL)
		event_free(c->timer);
	c->event = c->timer = NULL;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	if (c->found != NULL)
		evutil_freeaddrinfo(c->found);
	c->found = c->next = NULL;
	task_remove(&c->task);
	task_remove(&c->timeout);
}

static void
failed(struct client *c, const char *why)
{
	struct endpoint *ep = c->ep;
	char text[NETWORK_ERROR_MAX];

	snprintf(text, sizeof(text), "%s", why);
	forget(c);
	endpoint_lost(ep, text);
}

static void
connected(struct client *c)
{
	struct endpoint *ep = c->ep;
	const struct client_conf *conf = ep->conf->type_conf;
	const int on = 1;
	int fd = c->fd;

	c->fd = -1;
	forget(c);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	link_keep(&ep->link, fd);
	if (endpoint_up(ep, fd, true) < 0) {
		close(fd);
		endpoint_lost(ep, "out of memory");
	} else
		link_keepalive(&ep->link, conf->tcp.keepalive);
}

/*
 * Without a server on a port in the ephemeral port range, a socket may connect to
 * itself; the server could then not bind the port.
 */
static bool
is_self(int fd)
{
	struct sockaddr_storage here = { 0 }, there = { 0 };
	socklen_t n = sizeof(here), m = sizeof(there);

	return getsockname(fd, (struct sockaddr *)&here, &n) == 0 &&
	    getpeername(fd, (struct sockaddr *)&there, &m) == 0 && n == m &&
	    memcmp(&here, &there, n) == 0;
}

static void
on_answer(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	struct endpoint *ep = c->ep;
	socklen_t len = sizeof(int);
	int e = 0;

	(void)what;
	task_begin(&c->task);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len);
	if (e == 0 && is_self(fd))
		e = ECONNREFUSED;
	if (e == 0)
		connected(c);
	else
		try_next(c, e);
	if (ep->impl != NULL)
		task_end(&c->task);
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	struct endpoint *ep = c->ep;

	(void)fd, (void)what;
	task_begin(&c->timeout);
	try_next(c, ETIMEDOUT);
	if (ep->impl != NULL)
		task_end(&c->timeout);
}

/* A connection is being established: waits for the result or the timeout. */
static int
await_answer(struct client *c)
{
	const struct client_conf *conf = c->ep->conf->type_conf;
	struct event_base *base = c->ep->base;
	uint64_t ns = conf->connect_timeout;
	const struct timeval tv = to_timeval(ns);

	if (c->timer == NULL)
		c->timer = evtimer_new(base, on_timeout, c);
	c->event = event_new(base, c->fd, EV_WRITE, on_answer, c);
	if (c->event == NULL || c->timer == NULL ||
	    event_add(c->event, NULL) < 0 || event_add(c->timer, &tv) < 0)
		return -ENOMEM;
	c->until_ns = now_ns() + ns;
	TASK_WAIT(&c->task);
	TASK_WAIT(&c->timeout);
	return 0;
}

/* Starts connecting to the next address; e is the error of the previous one. */
static void
try_next(struct client *c, int e)
{
	const struct evutil_addrinfo *ai;
	char why[NETWORK_ERROR_MAX];

	while ((ai = c->next) != NULL) {
		c->next = ai->ai_next;
		if (c->event != NULL)
			event_free(c->event);
		c->event = NULL;
		if (c->fd >= 0)
			close(c->fd);
		c->fd = socket(ai->ai_family,
		    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (c->fd < 0 ||
		    (connect(c->fd, ai->ai_addr, ai->ai_addrlen) < 0 &&
			errno != EINPROGRESS)) {
			e = errno;
			continue;
		}
		if (await_answer(c) == 0)
			return;
		e = ENOMEM;
		break;
	}
	failed(c, network_error(e, why, sizeof(why)));
}

static void
on_found(void *arg, struct evutil_addrinfo *found, const char *why)
{
	struct client *c = arg;
	struct endpoint *ep = c->ep;

	task_begin(&c->task);
	c->resolve = NULL;
	c->found = c->next = found;
	if (found != NULL)
		try_next(c, EADDRNOTAVAIL);
	else
		failed(c, why);
	if (ep->impl != NULL)
		task_end(&c->task);
}

/* Splits "HOST:PORT". */
static int
split(const char *s, char *host, size_t size, const char **port)
{
	const char *colon = strrchr(s, ':');
	size_t len;

	if (colon == NULL || colon == s || colon[1] == '\0')
		return -EINVAL;
	len = (size_t)(colon - s);
	if (*s == '[' && colon[-1] == ']') {
		s++;
		len -= 2;
	}
	if (len == 0 || len >= size)
		return -EINVAL;
	memcpy(host, s, len);
	host[len] = '\0';
	*port = colon + 1;
	return 0;
}

static void
client_close(struct endpoint *ep)
{
	struct client *c = ep->impl;

	if (c == NULL)
		return;
	ep->impl = NULL;
	forget(c);
	free(c);
}

static int
client_open(struct endpoint *ep)
{
	const struct evutil_addrinfo numeric = { .ai_socktype = SOCK_STREAM,
		.ai_flags = EVUTIL_AI_NUMERICHOST };
	const struct client_conf *conf = ep->conf->type_conf;
	struct client *c = ep->impl;
	char host[256];
	const char *port;
	int r;

	snprintf(ep->address, sizeof(ep->address), "%s", conf->connect);
	if (split(conf->connect, host, sizeof(host), &port) < 0)
		return -EINVAL;
	if (c == NULL && (c = calloc(1, sizeof(*c))) == NULL)
		return -ENOMEM;
	ep->impl = c;
	c->ep = ep;
	c->fd = -1;
	if ((c->fd = endpoint_take(ep)) >= 0) {
		connected(c);
		return 0;
	}
	c->fd = -1;
	task_add(&c->task, c, client_label, "%s.connect", ep->conf->name);
	task_add(&c->timeout, c, timeout_label, "%s.timeout", ep->conf->name);
	if (evutil_getaddrinfo(host, port, &numeric, &c->found) == 0) {
		c->next = c->found;
		try_next(c, EADDRNOTAVAIL);
		return 0;
	}
	c->found = NULL;
	TASK_WAIT(&c->task);
	r = resolve_start(ep->base, host, port, conf->connect_timeout, on_found,
	    c, &c->resolve);
	if (r == -EAGAIN)
		error_set(&ep->error, "too many names are being looked up");
	return r;
}

static int
client_apply(struct endpoint *ep, const struct key *key)
{
	const struct client_conf *conf = ep->conf->type_conf;

	if (strcmp(key->name, "keepalive") == 0)
		link_keepalive(&ep->link, conf->tcp.keepalive);
	return 0;
}

static int
client_check(struct endpoint_conf *conf, struct error *err)
{
	const struct client_conf *client = conf->type_conf;
	char host[256];
	const char *port;
	uint64_t n;

	if (client->connect == NULL)
		return error_fail(
		    err, -EINVAL, "'connect = HOST:PORT' is missing");
	if (split(client->connect, host, sizeof(host), &port) == 0 &&
	    parse_number(port, 1, 65535, &n) == 0)
		return 0;
	return error_fail(err, -EINVAL,
	    "'connect' is '%s', and not HOST:PORT, such as"
	    " 192.168.1.7:5011",
	    client->connect);
}

const struct endpoint_ops endpoint_tcp_client = {
	.type = "tcp-client",
	.keys = tcp_client_keys,
	.conf_size = sizeof(struct client_conf),
	.main_key = "connect",
	.check = client_check,
	.open = client_open,
	.close = client_close,
	.apply = client_apply,
};
