/*
 * worker: a thread that signals its end to the loop through an eventfd.
 */
#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "worker.h"

static void *
work(void *arg)
{
	struct worker *w = arg;
	uint64_t one = 1;

	w->run(w->arg);
	(void)!write(w->fd, &one, sizeof(one));
	return NULL;
}

static void
clean_up(struct worker *w)
{
	if (w->event != NULL)
		event_free(w->event);
	if (w->fd >= 0)
		close(w->fd);
	w->event = NULL;
	w->fd = -1;
}

void
worker_wait(struct worker *w)
{
	if (!w->busy)
		return;
	pthread_join(w->thread, NULL);
	clean_up(w);
	w->busy = false;
	w->done(w->arg);
}

static void
on_done(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	worker_wait(arg);
}

int
worker_start(struct worker *w, struct event_base *base)
{
	int r;

	w->event = NULL;
	if ((w->fd = eventfd(0, EFD_CLOEXEC)) < 0)
		return -errno;
	w->event = event_new(base, w->fd, EV_READ, on_done, w);
	if (w->event == NULL || event_add(w->event, NULL) < 0)
		r = -ENOMEM;
	else
		r = -pthread_create(&w->thread, NULL, work, w);
	w->busy = r == 0;
	if (r < 0)
		clean_up(w);
	return r;
}
