/*
 * precise: makes libevent timers fire on time.
 *
 * The timerfd is set to the earliest time of all timers, or to an earlier time of a
 * timer that was stopped; it then fires without effect.
 */
#include <sys/timerfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "precise.h"
#include "stats.h"

TAILQ_HEAD(precise_list, precise);

static struct precise_list all = TAILQ_HEAD_INITIALIZER(all);
static struct event *event; /* NULL: not used yet */
static struct task task;
static uint64_t set_to; /* ns, 0: not set */

static void
label(const struct task *t, char *buf, size_t size)
{
	(void)t;
	snprintf(buf, size, "the next silence that ends a frame");
}

static void
set_clock(uint64_t at)
{
	const struct itimerspec when = {
		.it_value.tv_sec = (time_t)(at / NSEC_PER_SEC),
		.it_value.tv_nsec = (long)(at % NSEC_PER_SEC),
	};

	if (timerfd_settime(
		event_get_fd(event), TFD_TIMER_ABSTIME, &when, NULL) == 0)
		set_to = at;
}

static void
on_clock(evutil_socket_t fd, short what, void *arg)
{
	struct precise *p, *next;
	uint64_t now = task_begin(&task), earliest = 0;

	(void)fd, (void)what, (void)arg;
	set_to = 0;
	for (p = TAILQ_FIRST(&all); p != NULL; p = next) {
		next = TAILQ_NEXT(p, entry);
		if (p->at <= now) {
			precise_stop(p);
			event_del(p->timer);
			event_active(p->timer, EV_TIMEOUT, 1);
		} else if (earliest == 0 || p->at < earliest)
			earliest = p->at;
	}
	if (earliest != 0)
		set_clock(earliest);
	task_end(&task);
}

/* The event is edge-triggered, so that the expiration count need not be read. */
static bool
make_clock(struct event_base *base)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

	if (fd < 0)
		return false;
	event =
	    event_new(base, fd, EV_READ | EV_ET | EV_PERSIST, on_clock, NULL);
	if (event == NULL || event_add(event, NULL) < 0) {
		if (event != NULL)
			event_free(event);
		event = NULL;
		close(fd);
		return false;
	}
	task_add(&task, NULL, label, "daemon.silence");
	TASK_WAIT(&task);
	return true;
}

void
precise_set(struct precise *p, struct event *timer, uint64_t at)
{
	if (event == NULL && !make_clock(event_get_base(timer)))
		return;
	if (p->at == 0)
		TAILQ_INSERT_TAIL(&all, p, entry);
	p->timer = timer;
	p->at = at;
	if (set_to == 0 || at < set_to)
		set_clock(at);
}

void
precise_stop(struct precise *p)
{
	if (p->at != 0)
		TAILQ_REMOVE(&all, p, entry);
	p->at = 0;
}

void
precise_free(void)
{
	if (event == NULL)
		return;
	close(event_get_fd(event));
	event_free(event);
	task_remove(&task);
	event = NULL;
	set_to = 0;
}
