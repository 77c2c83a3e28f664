/*
 * systemd: notifications to the service manager, with sd_notify().
 *
 * A copy of each descriptor that is kept is put in its fd store, as long as that has
 * room; the last slot is reserved for the state that the bridge has in memory.  $FDSTORE,
 * the number of slots, is set by systemd 254 and later; with older versions the unit has
 * to set it.
 *
 * A timer of the event loop notifies the watchdog at half its period: if the loop hangs
 * in a callback, the notification is late, and the service is restarted.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/event.h>
#include <systemd/sd-daemon.h>

#include "fdstore.h"
#include "log.h"
#include "stats.h"
#include "systemd.h"

static struct event *watchdog_event;
static struct task watchdog_task;
static uint64_t watchdog_usec; /* half the period of the watchdog */
static uint64_t store_places, store_used;

/* The maximum time to wait until the manager has processed the messages. */
#define BARRIER_USEC 5000000

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
	/* A newline would start another assignment. */
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
	/* One second is added for the steps after the queues are written. */
	sd_notifyf(0, "STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=%llu",
	    (unsigned long long)(timeout_ns / NSEC_PER_USEC + 1000000));
}

/* --- descriptors ---------------------------------------------------------- */

void
systemd_listen(void (*take)(const char *name, int fd))
{
	const char *places = getenv("FDSTORE");
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names);

	store_places = 0;
	if (getenv("NOTIFY_SOCKET") != NULL && places != NULL)
		parse_number(places, 0, UINT32_MAX, &store_places);
	for (int i = 0; i < n; i++) {
		take(names[i], SD_LISTEN_FDS_START + i);
		free(names[i]);
	}
	free(names);
}

bool
systemd_store_there(void)
{
	return store_places > 1;
}

/*
 * FDPOLL=0: the master of a pty reports a hangup whenever no process has the slave open,
 * and the next process detects itself whether a connection was closed.
 */
int
systemd_store_add(const char *name, int fd, bool sure)
{
	char state[256];
	int r;

	snprintf(state, sizeof(state), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	r = sd_pid_notify_with_fds(0, 0, state, &fd, 1);
	if (r > 0 && sure)
		r = sd_notify_barrier(0, BARRIER_USEC);
	return r < 0 ? r : r == 0 ? -ENOTCONN : 0;
}

void
systemd_store_remove(const char *name)
{
	sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

void
systemd_store_settle(void)
{
	sd_notify_barrier(0, BARRIER_USEC);
}

static bool
keep_in_store(const struct kept *k)
{
	if (store_used + 1 >= store_places ||
	    systemd_store_add(k->name, k->fd, false) < 0)
		return false;
	store_used++;
	return true;
}

static void
remove_from_store(const struct kept *k)
{
	systemd_store_remove(k->name);
	if (k->fd >= 0)
		store_used--;
}

const struct keeper *
systemd_keeper(void)
{
	static const struct keeper keeper = {
		.add = keep_in_store,
		.remove = remove_from_store,
	};

	return systemd_store_there() ? &keeper : NULL;
}
