/*
 * listener: accepts connections.
 *
 * When the process runs out of descriptors, accepting is suspended: the accept task
 * then waits for a timer instead of a connection.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/listener.h>

#include "listener_parts.h"

static const struct timeval rest_time = { .tv_sec = 1 };

static void
accept_label(const struct task *task, char *buf, size_t size)
{
	const struct listener *l = task->arg;
	bool local = l->conf.address.ss.ss_family == AF_UNIX;

	if (event_pending(l->rest, EV_TIMEOUT, NULL))
		snprintf(buf, size,
		    "a second to pass: no descriptors were left"
		    " for clients on %s",
		    l->address);
	else
		snprintf(buf, size, "a %s on %s (%u of %u)",
		    local ? "client" : "TCP client", l->address, l->clients,
		    l->conf.max_clients);
}

static int
open_spare(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void
on_rest_over(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	(void)fd, (void)what;
	task_begin(&l->task);
	if (l->spare < 0)
		l->spare = open_spare();
	if (evconnlistener_enable(l->ev) < 0)
		evtimer_add(l->rest, &rest_time);
	TASK_WAIT(&l->task);
	task_end(&l->task);
}

/* Accepts and closes the first pending connection, so that the client is not left
 * waiting. */
static void
turn_away(struct listener *l)
{
	int fd;

	if (l->spare < 0)
		return;
	close(l->spare);
	fd = accept(evconnlistener_get_fd(l->ev), NULL, NULL);
	if (fd >= 0)
		close(fd);
	l->spare = open_spare();
}

static void
on_error(struct evconnlistener *ev, void *arg)
{
	struct listener *l = arg;
	int e = errno;

	task_begin(&l->task);
	log_limited(&l->limit, LOG_ERR, l->conf.about, l->conf.name,
	    "cannot accept a client: %s", strerror(e));
	if (e == EMFILE || e == ENFILE)
		turn_away(l);
	evconnlistener_disable(ev);
	evtimer_add(l->rest, &rest_time);
	TASK_WAIT(&l->task);
	task_end(&l->task);
}

static bool
welcome(struct listener *l, int fd, const struct sockaddr *sa, const char *peer)
{
	if (!address_is_loopback(sa) && !networks_hold(l->conf.allow, sa)) {
		log_limited(&l->limit, LOG_WARNING, l->conf.about, l->conf.name,
		    "%s refused: it is not among those of 'allow'", peer);
		return false;
	}
	if (l->clients >= l->conf.max_clients &&
	    (l->conf.make_room == NULL || !l->conf.make_room(l->arg))) {
		log_limited(&l->limit, LOG_WARNING, l->conf.about, l->conf.name,
		    "%s refused: max_clients = %u are connected already", peer,
		    l->conf.max_clients);
		if (l->conf.full != NULL)
			send(fd, l->conf.full, strlen(l->conf.full),
			    MSG_DONTWAIT | MSG_NOSIGNAL);
		return false;
	}
	return true;
}

static void
on_accept(struct evconnlistener *ev, evutil_socket_t fd, struct sockaddr *sa,
    int len, void *arg)
{
	struct listener *l = arg;
	char peer[ADDRESS_TEXT_MAX];
	int on = 1;

	(void)ev;
	task_begin(&l->task);
	address_format(sa, (socklen_t)len, peer, sizeof(peer));
	if (!welcome(l, fd, sa, peer)) {
		if (l->conf.refused != NULL)
			(*l->conf.refused)++;
		close(fd);
	} else {
		if (sa->sa_family != AF_UNIX)
			setsockopt(
			    fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		l->accept(l->arg, fd, peer);
	}
	task_end(&l->task);
}

static int
open_listener(struct listener *l, struct event_base *base, struct error *err)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int fd, r = 0;

	if ((fd = listener_socket(l, err)) < 0)
		return fd;
	if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0)
		address_format((struct sockaddr *)&ss, len, l->address,
		    sizeof(l->address));
	l->rest = evtimer_new(base, on_rest_over, l);
	l->ev = evconnlistener_new(base, on_accept, l,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (l->ev == NULL || l->rest == NULL) {
		if (l->ev == NULL)
			close(fd);
		return error_fail(err, -ENOMEM, "out of memory");
	}
	evconnlistener_set_error_cb(l->ev, on_error);
	/* evconnlistener_new() does not report whether its event could be added. */
	if (evconnlistener_enable(l->ev) < 0) {
		r = -errno;
		error_set(
		    err, "cannot listen on %s: %s", l->address, strerror(-r));
	}
	return r;
}

int
listener_new(struct event_base *base, const struct listener_conf *conf,
    listener_accept accept_cb, void *arg, struct listener **ret,
    struct error *err)
{
	struct listener *l = calloc(1, sizeof(*l));
	int r;

	if (l == NULL)
		return error_fail(err, -ENOMEM, "out of memory");
	l->conf = *conf;
	l->accept = accept_cb;
	l->arg = arg;
	l->spare = open_spare();
	address_format((const struct sockaddr *)&conf->address.ss,
	    conf->address.len, l->address, sizeof(l->address));
	if ((r = open_listener(l, base, err)) < 0) {
		listener_free(l);
		return r;
	}
	l->conf.keep = l->conf.group = NULL;
	task_add(&l->task, l, accept_label, "%s.accept", conf->name);
	TASK_WAIT(&l->task);
	*ret = l;
	return 0;
}

void
listener_set_limits(
    struct listener *l, unsigned max_clients, const struct networks *allow)
{
	l->conf.max_clients = max_clients;
	l->conf.allow = allow;
}

void
listener_set_clients(struct listener *l, unsigned clients)
{
	l->clients = clients;
}

const char *
listener_address(const struct listener *l)
{
	return l->address;
}

bool
listener_adopted(const struct listener *l)
{
	return l->adopted;
}

void
listener_free(struct listener *l)
{
	if (l == NULL)
		return;
	listener_release(l);
	if (l->ev != NULL)
		evconnlistener_free(l->ev);
	if (l->rest != NULL)
		event_free(l->rest);
	if (l->spare >= 0)
		close(l->spare);
	task_remove_why(&l->task, "closed");
	free(l);
}
