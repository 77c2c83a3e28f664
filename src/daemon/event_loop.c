/*
 * event_loop: the event base of the daemon.
 */
#include <errno.h>
#include <stdlib.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "event_loop.h"
#include "log.h"
#include "util.h"

/* More timers than are ever set at a time, except with thousands of connections. */
#define TIMERS 1024

static void
on_nothing(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
}

/*
 * The event loop keeps its timers in an array that grows and never shrinks.  Reserving
 * more entries than will be used ensures that setting a timer later cannot fail.
 */
static int
reserve_timers(struct event_base *base)
{
	static const struct timeval far = { .tv_sec = 3600 };
	struct event *timer = calloc(TIMERS, sizeof(*timer));
	unsigned n = 0;

	while (timer != NULL && n < TIMERS &&
	    evtimer_assign(&timer[n], base, on_nothing, NULL) == 0 &&
	    evtimer_add(&timer[n], &far) == 0)
		n++;
	for (unsigned i = 0; i < n; i++)
		evtimer_del(&timer[i]);
	free(timer);
	return n == TIMERS ? 0 : -ENOMEM;
}

static void
on_libevent(int severity, const char *text)
{
	static const int level[] = {
		[EVENT_LOG_DEBUG] = LOG_DEBUG,
		[EVENT_LOG_MSG] = LOG_INFO,
		[EVENT_LOG_WARN] = LOG_WARNING,
		[EVENT_LOG_ERR] = LOG_ERR,
	};

	log_at(level[severity], "libevent: %s", text);
}

struct event_base *
event_loop_new(void)
{
	struct event_config *ec = event_config_new();
	struct event_base *made;

	event_set_log_callback(on_libevent);
	if (ec == NULL)
		return NULL;
	event_config_set_flag(
	    ec, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_NO_CACHE_TIME);
	made = event_base_new_with_config(ec);
	event_config_free(ec);
	if (made != NULL && reserve_timers(made) < 0) {
		event_base_free(made);
		return NULL;
	}
	return made;
}
