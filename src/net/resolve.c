/*
 * resolve: looks up host names with evdns, which uses /etc/hosts and the name servers.
 *
 * evdns may call back from inside evdns_getaddrinfo(), and calls back once more after a
 * request is cancelled; until then neither the request nor its evdns_base may be freed.
 * Therefore the callback only records the answer and arms a timer with a zero timeout,
 * which reports the answer and frees everything.  A cancelled request stays allocated
 * until evdns has called back.
 */
#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>

#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>

#include "resolve.h"

struct resolve {
	struct evdns_base *dns;
	struct evdns_getaddrinfo_request *question; /* NULL: completed */
	struct event *timer; /* timeout, or delivery of the answer */
	int result;
	struct evutil_addrinfo *found;
	resolve_done done; /* NULL: already called, or cancelled */
	void *arg;
};

static void
resolve_free(struct resolve *r)
{
	if (r->dns != NULL)
		evdns_base_free(r->dns, 0);
	if (r->timer != NULL)
		event_free(r->timer);
	if (r->found != NULL)
		evutil_freeaddrinfo(r->found);
	free(r);
}

static void
tell(struct resolve *r, const char *why)
{
	resolve_done done = r->done;
	struct evutil_addrinfo *found = r->found;

	if (done == NULL)
		return;
	r->done = NULL;
	r->found = NULL;
	done(r->arg, found, why);
}

static void
on_found(int result, struct evutil_addrinfo *found, void *arg)
{
	static const struct timeval next_turn = { 0, 0 };
	struct resolve *r = arg;

	r->question = NULL;
	r->result = result;
	r->found = found;
	event_add(r->timer, &next_turn);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct resolve *r = arg;

	(void)fd, (void)what;
	if (r->question != NULL) {
		evdns_getaddrinfo_cancel(r->question);
		tell(r, "no answer from the name servers");
		return;
	}
	if (r->result == EVUTIL_EAI_NONAME || r->result == EVUTIL_EAI_NODATA)
		tell(r, "there is no host of that name");
	else
		tell(r, evutil_gai_strerror(r->result));
	resolve_free(r);
}

void
resolve_cancel(struct resolve *r)
{
	if (r == NULL)
		return;
	r->done = NULL;
	if (r->question == NULL)
		return;
	event_del(r->timer);
	evdns_getaddrinfo_cancel(r->question);
}

int
resolve_start(struct event_base *base, const char *host, const char *port,
    uint64_t timeout_ns, resolve_done done, void *arg, struct resolve **ret)
{
	const struct evutil_addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = EVUTIL_AI_ADDRCONFIG };
	const struct timeval tv = to_timeval(timeout_ns);
	struct resolve *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return -ENOMEM;
	r->done = done;
	r->arg = arg;
	r->dns = evdns_base_new(base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	r->timer = evtimer_new(base, on_timer, r);
	if (r->dns == NULL || r->timer == NULL ||
	    event_add(r->timer, &tv) < 0) {
		resolve_free(r);
		return -ENOMEM;
	}
	/* If the file does not exist, evdns uses the name server of this machine. */
	evdns_base_resolv_conf_parse(
	    r->dns, DNS_OPTIONS_ALL, "/etc/resolv.conf");
	r->question =
	    evdns_getaddrinfo(r->dns, host, port, &hints, on_found, r);
	*ret = r;
	return 0;
}
