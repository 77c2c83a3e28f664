/*
 * connector: connects to HOST:PORT without blocking the event loop.
 *
 * Host names are resolved first.  Then the addresses are tried in order until a connection
 * succeeds.
 */
#ifndef CONNECTOR_H
#define CONNECTOR_H

#include "stats.h"

struct event;
struct event_base;
struct evutil_addrinfo;
struct resolve;

#define CONNECTOR_HOST_MAX 256

struct connector {
	/* Set by the caller before connector_start(); address is HOST:PORT, name that of
	 * the endpoint. */
	struct event_base *base;
	const char *name, *address;
	uint64_t timeout_ns; /* for the lookup, and for each address */
	/*
	 * Called once, unless connector_cancel() is: with a connected socket
	 * (non-blocking, close-on-exec, TCP_NODELAY), or with -1 and the reason.  May free
	 * the connector.
	 */
	void (*done)(void *arg, int fd, const char *why);
	void *arg;
	/* Private. */
	struct resolve *resolve; /* while a name is being resolved */
	struct evutil_addrinfo *found, *next;
	int fd; /* the socket that is connecting, or -1 */
	struct event *event, *timer;
	uint64_t until_ns;
	struct task task, timeout;
};

/* Whether it is HOST:PORT. */
bool connector_is_address(const char *s);
/* Splits HOST:PORT; *port points into s.  -EINVAL. */
int connector_split(const char *s, char *host, size_t size, const char **port);
/* Starts connecting; done may be called from inside.  On -errno it is not called.
 * -EAGAIN: too many names are being looked up. */
int connector_start(struct connector *c);
/* No effect if nothing was started, or done was called; the struct must be zeroed or have
 * been started. */
void connector_cancel(struct connector *c);

#endif
