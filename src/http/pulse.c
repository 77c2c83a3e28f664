/*
 * pulse: a timer that fires once a second while there is a web server.
 */
#include <errno.h>

#include <event2/event.h>

#include "pulse.h"

static struct event *timer;
static struct task task;
static unsigned holders;
static uint64_t due_ns, lag_ns, lag_max_ns;
static void (*call)(void);

static void
pulse_label(const struct task *t, char *buf, size_t size)
{
	char lag[32];

	(void)t;
	snprintf(buf, size,
	    "the next second, to measure how late that is (the last one was "
	    "%s late)",
	    format_time(lag_ns, lag, sizeof(lag)));
}

/* Seconds that were missed are not made up for. */
static void
arm(uint64_t now)
{
	struct timeval tv;

	due_ns += NSEC_PER_SEC;
	if (due_ns <= now)
		due_ns = now + NSEC_PER_SEC;
	tv = to_timeval(due_ns - now);
	evtimer_add(timer, &tv);
	TASK_WAIT(&task);
}

static void
on_second(evutil_socket_t fd, short what, void *arg)
{
	uint64_t now = now_ns();

	(void)fd, (void)what, (void)arg;
	task_begin(&task);
	lag_ns = now > due_ns ? now - due_ns : 0;
	lag_max_ns = MAX(lag_max_ns, lag_ns);
	arm(now);
	if (call != NULL)
		call();
	task_end(&task);
}

int
pulse_hold(struct event_base *base)
{
	if (holders == 0) {
		if ((timer = evtimer_new(base, on_second, NULL)) == NULL)
			return -ENOMEM;
		task_add(&task, NULL, pulse_label, "http.pulse");
		due_ns = now_ns();
		arm(due_ns);
	}
	holders++;
	return 0;
}

void
pulse_release(void)
{
	if (--holders > 0)
		return;
	task_remove(&task);
	event_free(timer);
	timer = NULL;
}

uint64_t
pulse_lag(void)
{
	return lag_ns;
}

uint64_t
pulse_lag_max(void)
{
	return lag_max_ns;
}

void
pulse_call(void (*each_second)(void))
{
	call = each_second;
}
