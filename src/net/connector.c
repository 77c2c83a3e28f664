/*
 * connector: connects to HOST:PORT without blocking the event loop.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/util.h>

#include "address.h"
#include "connector.h"
#include "resolve.h"
#include "sandbox.h"

/* --- tasks ---------------------------------------------------------------- */

static void
connect_label(const struct task *task, char *buf, size_t size)
{
	const struct connector *c = task->arg;

	snprintf(buf, size, "%s %s",
	    c->resolve != NULL ? "the address of" : "an answer from",
	    c->address);
}

static void
timeout_label(const struct task *task, char *buf, size_t size)
{
	const struct connector *c = task->arg;
	char left[24];

	snprintf(buf, size, "%s to pass, for %s to answer",
	    format_time_left(c->until_ns, left, sizeof(left)), c->address);
}

/* --- the addresses --------------------------------------------------------- */

static void
connector_release(struct connector *c, const char *why)
{
	if (c->task.label == NULL)
		return;
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
	task_remove_why(&c->task, why);
	task_remove_why(&c->timeout, why);
}

void
connector_cancel(struct connector *c)
{
	connector_release(c, "cancelled");
}

static void
failed(struct connector *c, const char *why)
{
	char text[NETWORK_ERROR_MAX];

	snprintf(text, sizeof(text), "%s", why);
	connector_release(c, text);
	c->done(c->arg, -1, text);
}

static void
connected(struct connector *c)
{
	const int on = 1;
	int fd = c->fd;

	c->fd = -1;
	connector_release(c, "connected");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	c->done(c->arg, fd, NULL);
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

static void on_answer(evutil_socket_t fd, short what, void *arg);
static void on_timeout(evutil_socket_t fd, short what, void *arg);

/* A connection is being established: waits for the result or the timeout. */
static int
await_answer(struct connector *c)
{
	const struct timeval tv = to_timeval(c->timeout_ns);

	if (c->timer == NULL)
		c->timer = evtimer_new(c->base, on_timeout, c);
	c->event = event_new(c->base, c->fd, EV_WRITE, on_answer, c);
	if (c->event == NULL || c->timer == NULL ||
	    event_add(c->event, NULL) < 0 || event_add(c->timer, &tv) < 0)
		return -ENOMEM;
	c->until_ns = now_ns() + c->timeout_ns;
	TASK_WAIT(&c->task);
	TASK_WAIT(&c->timeout);
	return 0;
}

/* Starts connecting to the next address; e is the error of the previous one.  Returns
 * false if there is none any more, which was reported. */
static bool
try_next(struct connector *c, int e)
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
			return true;
		e = ENOMEM;
		break;
	}
	failed(c, network_error(e, why, sizeof(why)));
	return false;
}

static void
on_answer(evutil_socket_t fd, short what, void *arg)
{
	struct connector *c = arg;
	socklen_t len = sizeof(int);
	int e = 0;

	(void)what;
	task_begin(&c->task);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len);
	if (e == 0 && is_self(fd))
		e = ECONNREFUSED;
	if (e == 0)
		connected(c);
	else if (try_next(c, e))
		task_end(&c->task);
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct connector *c = arg;

	(void)fd, (void)what;
	task_begin(&c->timeout);
	if (try_next(c, ETIMEDOUT))
		task_end(&c->timeout);
}

static void
on_found(void *arg, struct evutil_addrinfo *found, const char *why)
{
	struct connector *c = arg;

	task_begin(&c->task);
	c->resolve = NULL;
	c->found = c->next = found;
	if (found == NULL)
		failed(c, why);
	else if (try_next(c, EADDRNOTAVAIL))
		task_end(&c->task);
}

/* --- for the caller -------------------------------------------------------- */

int
connector_split(const char *s, char *host, size_t size, const char **port)
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

bool
connector_is_address(const char *s)
{
	char host[CONNECTOR_HOST_MAX];
	const char *port;
	uint64_t n;

	return connector_split(s, host, sizeof(host), &port) == 0 &&
	    strchr(host, '/') == NULL && parse_number(port, 1, 65535, &n) == 0;
}

int
connector_start(struct connector *c)
{
	const struct evutil_addrinfo numeric = { .ai_socktype = SOCK_STREAM,
		.ai_flags = EVUTIL_AI_NUMERICHOST };
	char host[CONNECTOR_HOST_MAX];
	const char *port;
	int r;

	if (connector_split(c->address, host, sizeof(host), &port) < 0)
		return -EINVAL;
	c->fd = -1;
	task_add(&c->task, c, connect_label, "%s.connect", c->name);
	task_add(&c->timeout, c, timeout_label, "%s.timeout", c->name);
	if (evutil_getaddrinfo(host, port, &numeric, &c->found) == 0) {
		c->next = c->found;
		try_next(c, EADDRNOTAVAIL);
		return 0;
	}
	c->found = NULL;
	TASK_WAIT(&c->task);
	r = resolve_start(
	    c->base, host, port, c->timeout_ns, on_found, c, &c->resolve);
	if (r < 0)
		connector_cancel(c);
	return r;
}
