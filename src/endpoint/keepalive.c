/*
 * keepalive: detects that the peer of a TCP connection has disappeared.
 *
 * The kernel probes a connection only while it is idle.  Data that is not acknowledged
 * is sent again for about a quarter of an hour instead.  TCP_USER_TIMEOUT would shorten
 * that, but it also ends the connection of a peer that answers all the time that its
 * receive window is closed, because it does not read.
 *
 * Therefore a timer looks at all connections with keepalive.  A peer owes an
 * acknowledgement while data or a probe of its window is unacknowledged.  It is lost
 * when it owes one for its time and nothing was received from it meanwhile.  The time
 * starts when the timer first finds that it owes one, not with its last
 * acknowledgement: the kernel probes a closed window at intervals of up to two minutes,
 * and between two probes the peer owes nothing.
 *
 * The timer is a descriptor, because a timer of libevent costs time in each pass of the
 * loop while it is set.
 */
#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "keepalive.h"
#include "tcp.h"

#define DEFAULT_NS (30 * NSEC_PER_SEC)
#define MAX_NS (12 * 3600 * NSEC_PER_SEC)
/* The number of looks within the time. */
#define LOOKS 4

static struct link_list links = TAILQ_HEAD_INITIALIZER(links);
static unsigned nlinks;
static struct event *timer; /* NULL while there are no links */
static int timer_fd = -1;
static struct task task;
static uint64_t interval_ns;

int
keepalive_parse(void *field, const char *value, struct error *err)
{
	uint64_t *ret = field, ns;
	bool on;

	if (parse_bool(value, &on) == 0)
		ns = on ? DEFAULT_NS : 0;
	else if (parse_time(value, &ns) < 0 ||
	    (ns != 0 && (ns < TCP_KEEPALIVE_MIN || ns > MAX_NS)))
		return error_fail(err, -EINVAL,
		    "'%s' is not yes, no or a time from 2s to 12h", value);
	*ret = ns;
	return 0;
}

void
keepalive_print(const void *field, char *buf, size_t size)
{
	static const struct key time = { .type = KEY_TIME };

	if (*(const uint64_t *)field == 0)
		snprintf(buf, size, "no");
	else
		key_print(&time, field, buf, size);
}

/* --- the timer ------------------------------------------------------------ */

static void
label(const struct task *t, char *buf, size_t size)
{
	(void)t;
	snprintf(buf, size,
	    "the next look whether %u TCP peer%s acknowledge%s what was sent",
	    nlinks, nlinks == 1 ? "" : "s", nlinks == 1 ? "s" : "");
}

static void
check(struct link *link, uint64_t now)
{
	struct keepalive *k = &link->keepalive;
	char why[LINK_WHY_MAX];
	uint64_t silent;

	if (!link->up || !tcp_unacknowledged(link->fd, &silent)) {
		k->asked_ns = 0;
		return;
	}
	if (k->asked_ns == 0)
		k->asked_ns = now;
	if (MIN(now - k->asked_ns, silent) >= k->ns)
		link_lose(link, LINK_LOST,
		    link_reason(link, ETIMEDOUT, why, sizeof(why)));
}

static void
set_interval(void)
{
	const struct link *link;
	uint64_t shortest = UINT64_MAX;
	struct itimerspec every = { .it_value.tv_nsec = 0 };

	TAILQ_FOREACH(link, &links, keepalive.entry)
		shortest = MIN(shortest, link->keepalive.ns);
	if (shortest / LOOKS == interval_ns)
		return;
	interval_ns = shortest / LOOKS;
	every.it_value.tv_sec = (time_t)(interval_ns / NSEC_PER_SEC);
	every.it_value.tv_nsec = (long)(interval_ns % NSEC_PER_SEC);
	every.it_interval = every.it_value;
	timerfd_settime(timer_fd, 0, &every, NULL);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	uint64_t now = task_begin(&task);
	struct link *link;
	uint64_t times;

	(void)what, (void)arg;
	(void)!read(fd, &times, sizeof(times));
	TAILQ_FOREACH(link, &links, keepalive.entry)
		check(link, now);
	set_interval();
	TASK_WAIT(&task);
	task_end(&task);
}

static void
stop_timer(void)
{
	if (timer != NULL)
		event_free(timer);
	timer = NULL;
	if (timer_fd >= 0)
		close(timer_fd);
	timer_fd = -1;
	interval_ns = 0;
	task_remove_why(&task, "no connection is watched");
}

static int
start_timer(struct event_base *base)
{
	if (timer != NULL)
		return 0;
	timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (timer_fd < 0)
		return -errno;
	timer = event_new(base, timer_fd, EV_READ | EV_PERSIST, on_timer, NULL);
	if (timer == NULL || event_add(timer, NULL) < 0) {
		stop_timer();
		return -ENOMEM;
	}
	task_add(&task, NULL, label, "daemon.keepalive");
	TASK_WAIT(&task);
	return 0;
}

/* --- links ---------------------------------------------------------------- */

void
link_keepalive(struct link *link, uint64_t ns)
{
	bool was = link->keepalive.ns != 0;

	if (link->bev == NULL || (ns == 0 && !was && !link->adopted))
		return;
	link_keepalive_stop(link);
	tcp_keepalive(link->fd, ns);
	if (ns == 0 || start_timer(link->endpoint->base) < 0)
		return;
	link->keepalive.ns = ns;
	link->keepalive.asked_ns = 0;
	TAILQ_INSERT_TAIL(&links, link, keepalive.entry);
	nlinks++;
	set_interval();
}

void
link_keepalive_stop(struct link *link)
{
	if (link->keepalive.ns == 0)
		return;
	link->keepalive.ns = 0;
	TAILQ_REMOVE(&links, link, keepalive.entry);
	if (--nlinks == 0)
		stop_timer();
}
