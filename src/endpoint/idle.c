/*
 * idle: closes connections that are not used.
 *
 * An endpoint has one timer for all of its links, which runs while there are any.  It
 * compares the counters of each link with those of the time before, so that nothing has
 * to be done when data is read or written.
 */
#include <errno.h>

#include <event2/event.h>

#include "idle.h"
#include "link_filter.h"

/* The number of looks within the time. */
#define LOOKS 4

static void
label(const struct task *task, char *buf, size_t size)
{
	const struct idle_watch *w = task->arg;

	if (w->endpoint->nlinks == 0)
		snprintf(buf, size, "a client of %s", w->endpoint->conf->name);
	else
		snprintf(buf, size,
		    "the next look whether clients of %s are idle",
		    w->endpoint->conf->name);
}

static void
check(struct idle_watch *w, struct link *link, uint64_t now)
{
	uint64_t bytes = link->rx_bytes + link->tx_bytes - link_pending(link);
	uint64_t commands = link->filter != NULL ? link->filter->commands : 0;
	char why[LINK_WHY_MAX], time[24];

	if (link->idle.since_ns == 0)
		link->idle.since_ns = link->since_ns;
	if (link->idle.bytes != bytes + commands) {
		link->idle.bytes = bytes + commands;
		link->idle.since_ns = now;
	} else if (now - link->idle.since_ns >= w->ns) {
		w->endpoint->idle_closed++;
		snprintf(why, sizeof(why), "idle for %s",
		    format_time(w->ns, time, sizeof(time)));
		link_close(link, why);
	}
}

static void
arm(struct idle_watch *w)
{
	struct timeval tv =
	    to_timeval(MAX(w->ns / LOOKS, (uint64_t)NSEC_PER_MSEC));

	event_add(w->timer, &tv);
	TASK_WAIT(&w->task);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct idle_watch *w = arg;
	uint64_t now = task_begin(&w->task);
	struct link *link;

	(void)fd, (void)what;
	TASK_SET(&w->task, TASK_IDLE);
	TAILQ_FOREACH(link, &w->endpoint->links, entry)
		if (link->up)
			check(w, link, now);
	if (w->endpoint->nlinks > 0)
		arm(w);
	task_end(&w->task);
}

int
idle_watch_start(struct idle_watch *w, struct endpoint *ep, uint64_t ns)
{
	if (ns == 0)
		return 0;
	w->timer = evtimer_new(ep->base, on_timer, w);
	if (w->timer == NULL)
		return -ENOMEM;
	w->endpoint = ep;
	w->ns = ns;
	task_add(&w->task, w, label, "%s.idle", ep->conf->name);
	TASK_SET(&w->task, TASK_IDLE);
	return 0;
}

void
idle_watch_link(struct idle_watch *w)
{
	if (w->endpoint != NULL && !evtimer_pending(w->timer, NULL))
		arm(w);
}

void
idle_watch_stop(struct idle_watch *w)
{
	if (w->endpoint == NULL)
		return;
	event_free(w->timer);
	task_remove_why(&w->task, "closed");
	w->endpoint = NULL;
}
