/*
 * resolve: looks up host names as the system does (nsswitch.conf), so that names of
 * multicast DNS or of a directory service are found, too.
 *
 * getaddrinfo() blocks and cannot be cancelled, so it runs in a thread.  A lookup that was
 * cancelled, or whose time is over, ends and is freed when getaddrinfo() returns.
 */
#include <sys/queue.h>
#include <sys/socket.h>

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <event2/util.h>

#include "resolve.h"
#include "worker.h"

/* The maximum number of lookups at a time, including those that were cancelled. */
#define LOOKUPS_MAX 64

struct resolve {
	LIST_ENTRY(resolve) entry;
	struct worker worker;
	struct event *timer;
	char host[256], port[8];
	int result, error;
	struct addrinfo *found;
	resolve_done done; /* NULL: already called, or cancelled */
	void *arg;
};

/* All that have not ended, including those. */
static LIST_HEAD(, resolve) lookups = LIST_HEAD_INITIALIZER(lookups);
static unsigned nlookups;

static void
resolve_free(struct resolve *r)
{
	if (r->timer != NULL)
		event_free(r->timer);
	if (r->found != NULL)
		freeaddrinfo(r->found);
	free(r);
}

static void
tell(struct resolve *r, const char *why)
{
	resolve_done done = r->done;
	struct addrinfo *found = r->found;

	if (done == NULL)
		return;
	r->done = NULL;
	r->found = NULL;
	done(r->arg, found, why);
}

/*
 * In the thread.  AI_ADDRCONFIG is not set: it would leave out 127.0.0.1 where no other
 * address of IPv4 is configured.
 */
static void
look_up(void *arg)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct resolve *r = arg;

	r->result = getaddrinfo(r->host, r->port, &hints, &r->found);
	r->error = errno;
}

static const char *
reason(const struct resolve *r)
{
	switch (r->result) {
	case 0:
		return "";
	case EAI_NONAME:
	case EAI_NODATA:
		return "there is no host of that name";
	case EAI_SYSTEM:
		return strerror(r->error);
	default:
		return gai_strerror(r->result);
	}
}

static void
looked_up(void *arg)
{
	struct resolve *r = arg;

	LIST_REMOVE(r, entry);
	nlookups--;
	if (r->result != 0)
		r->found = NULL;
	tell(r, reason(r));
	resolve_free(r);
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	tell(arg, "no answer from the name service");
}

void
resolve_cancel(struct resolve *r)
{
	if (r == NULL)
		return;
	r->done = NULL;
	event_del(r->timer);
}

int
resolve_start(struct event_base *base, const char *host, const char *port,
    uint64_t timeout_ns, resolve_done done, void *arg, struct resolve **ret)
{
	const struct timeval tv = to_timeval(timeout_ns);
	struct resolve *r;
	int e;

	if (nlookups == LOOKUPS_MAX)
		return -EAGAIN;
	if ((r = calloc(1, sizeof(*r))) == NULL)
		return -ENOMEM;
	snprintf(r->host, sizeof(r->host), "%s", host);
	snprintf(r->port, sizeof(r->port), "%s", port);
	r->done = done;
	r->arg = arg;
	r->worker.run = look_up;
	r->worker.done = looked_up;
	r->worker.arg = r;
	r->timer = evtimer_new(base, on_timeout, r);
	e = r->timer == NULL || event_add(r->timer, &tv) < 0
	    ? -ENOMEM
	    : worker_start(&r->worker, base);
	if (e < 0) {
		resolve_free(r);
		return e;
	}
	LIST_INSERT_HEAD(&lookups, r, entry);
	nlookups++;
	*ret = r;
	return 0;
}
