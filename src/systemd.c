/*
 * systemd: what the service manager is told, with sd_notify().
 *
 * The watchdog is fed by a timer of the loop at half its period: a loop that hangs
 * in a callback misses it, and the service is started again.
 */
#include <errno.h>
#include <stdarg.h>

#include <event2/event.h>
#include <systemd/sd-daemon.h>

#include "stats.h"
#include "systemd.h"

static struct event *watchdog_event;
static struct task watchdog_task;
static uint64_t watchdog_usec; /* between two feedings */

static void
on_watchdog(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	task_begin(&watchdog_task);
	sd_notify(0, "WATCHDOG=1");
	task_end(&watchdog_task);
}

static void
watchdog_label(const struct task *task, char *buf, size_t size)
{
	char text[24];

	(void)task;
	snprintf(buf, size, "the time to feed systemd's watchdog, every %s",
	    format_time(watchdog_usec * NSEC_PER_USEC, text, sizeof(text)));
}

int
systemd_start(struct event_base *base)
{
	struct timeval half;
	uint64_t usec = 0;
	int r = sd_watchdog_enabled(0, &usec);

	if (r < 0)
		return r;
	if (r == 0 || usec == 0)
		return 0;
	watchdog_usec = MAX(usec / 2, (uint64_t)1);
	half.tv_sec = (time_t)(watchdog_usec / 1000000);
	half.tv_usec = (suseconds_t)(watchdog_usec % 1000000);
	watchdog_event = event_new(base, -1, EV_PERSIST, on_watchdog, NULL);
	if (watchdog_event == NULL || event_add(watchdog_event, &half) < 0) {
		systemd_stop();
		return -ENOMEM;
	}
	task_add(&watchdog_task, NULL, watchdog_label, "systemd.watchdog");
	TASK_WAIT(&watchdog_task);
	return 0;
}

void
systemd_stop(void)
{
	if (watchdog_event == NULL)
		return;
	task_remove(&watchdog_task);
	event_free(watchdog_event);
	watchdog_event = NULL;
}

void
systemd_ready(void)
{
	sd_notify(0, "READY=1");
}

void
systemd_status(const char *fmt, ...)
{
	char raw[256], text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	/* A newline would begin another assignment. */
	printable(raw, text, sizeof(text));
	sd_notifyf(0, "STATUS=%s", text);
}

void
systemd_reloading(void)
{
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
	    (unsigned long long)(now_ns() / NSEC_PER_USEC));
}

void
systemd_stopping(uint64_t timeout_ns)
{
	/* A second more, for what comes after the queues are written. */
	sd_notifyf(0, "STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=%llu",
	    (unsigned long long)(timeout_ns / NSEC_PER_USEC + 1000000));
}
