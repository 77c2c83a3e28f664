/*
 * value_daemon: the attributes of the daemon itself.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "call.h"
#include "value.h"
#include "config.h"
#include "log.h"

/* The start time of the process, in clock ticks since boot: field 22. */
static uint64_t
start_ticks(void)
{
	char text[1024], *p = NULL;
	unsigned long long ticks = 0;
	FILE *f = fopen("/proc/self/stat", "re");

	if (f == NULL)
		return 0;
	if (fgets(text, sizeof(text), f) != NULL)
		p = strrchr(text, ')');
	fclose(f);
	for (int i = 2; p != NULL && i < 22; i++)
		p = strchr(p + 1, ' ');
	if (p != NULL)
		ticks = strtoull(p, NULL, 10);
	return ticks;
}

uint64_t
attribute_uptime(void)
{
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK), start, now;
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	now = (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
	start = start_ticks() * (NSEC_PER_SEC / hz);
	return start != 0 && now > start ? now - start : 0;
}

/* Resident memory in bytes, 0 if it is not known. */
static uint64_t
resident(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long long pages = 0;

	if (f == NULL)
		return 0;
	if (fscanf(f, "%*u %llu", &pages) != 1)
		pages = 0;
	fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

enum daemon_value {
	DAEMON_NAME,
	DAEMON_VERSION,
	DAEMON_LOG_LEVEL,
	DAEMON_UPTIME,
	DAEMON_PID,
	DAEMON_WAITS,
	DAEMON_EVENTS,
	DAEMON_ENDPOINTS,
	DAEMON_UP,
	DAEMON_MEMORY,
	DAEMON_CONFIG,
	DAEMON_CONFIG_TIME,
	DAEMON_UNCLAIMED
};

static int
count_event(const struct event_base *base, const struct event *ev, void *arg)
{
	(void)base;
	if (event_get_fd(ev) >= 0 || event_pending(ev, EV_TIMEOUT, NULL))
		(*(uint64_t *)arg)++;
	return 0;
}

/*
 * The links of UDP peers have no descriptor, so that the loop does not visit the events
 * with which they wait for a datagram.
 */
static uint64_t
count_events_of_links(const struct node *node)
{
	const struct port *port;
	uint64_t n = 0;

	TAILQ_FOREACH(port, &node->ports, entry) {
		const struct link *link = port->link;

		n += link->fd < 0 && link->readable != NULL &&
		    event_pending(link->readable, EV_READ, NULL);
	}
	return n;
}

/*
 * Counts the events that are added to libevent; one with a descriptor and a timeout
 * counts once.
 */
static uint64_t
count_events(const struct bridge *b)
{
	uint64_t n = 0;

	event_base_foreach_event(b->base, count_event, &n);
	for (unsigned i = 0; i < b->nnodes; i++)
		n += count_events_of_links(b->node[i]);
	return n;
}

static uint64_t
daemon_number(const struct call *call, enum daemon_value value)
{
	switch (value) {
	case DAEMON_PID:
		return (uint64_t)getpid();
	case DAEMON_WAITS:
		return task_waiting();
	case DAEMON_EVENTS:
		return count_events(call->bridge);
	case DAEMON_ENDPOINTS:
		return call->bridge->nnodes;
	case DAEMON_UP:
		return bridge_up(call->bridge);
	default:
		return resident();
	}
}

static const char *
daemon_name(const struct call *call)
{
	const struct daemon_hooks *hooks = call->client->hooks;
	const char *name = NULL;

	if (hooks != NULL && hooks->daemon != NULL)
		name = hooks->daemon()->name;
	return name != NULL ? name : "ttybridged";
}

/* The path of the file of its configuration, as it can be given to other programs. */
static bool
print_file(const struct daemon_conf *conf, char *buf, size_t size)
{
	char path[PATH_MAX];

	if (conf->file == NULL)
		return false;
	snprintf(buf, size, "%s",
	    realpath(conf->file, path) != NULL ? path : conf->file);
	return true;
}

/* What the main program knows, if the commands are run by it. */
static bool
print_hooks(const void *object, size_t at, char *buf, size_t size)
{
	const struct daemon_hooks *hooks =
	    ((const struct call *)object)->client->hooks;
	const struct daemon_conf *conf;

	if (hooks == NULL)
		return false;
	if (at == DAEMON_UNCLAIMED) {
		if (hooks->unclaimed == NULL)
			return false;
		snprintf(buf, size, "%s", hooks->unclaimed());
		return true;
	}
	if (hooks->daemon == NULL)
		return false;
	conf = hooks->daemon();
	if (at == DAEMON_CONFIG)
		return print_file(conf, buf, size);
	snprintf(buf, size, "%lld.%06ld", (long long)conf->written.tv_sec,
	    conf->written.tv_nsec / 1000);
	return conf->file != NULL;
}

static bool
print_daemon(const void *object, size_t at, char *buf, size_t size)
{
	const struct call *call = object;
	uint64_t n;

	switch (at) {
	case DAEMON_NAME:
		snprintf(buf, size, "%s", daemon_name(call));
		return true;
	case DAEMON_VERSION:
		snprintf(buf, size, "%s", VERSION);
		return true;
	case DAEMON_LOG_LEVEL:
		snprintf(buf, size, "%s", log_level_name(log_level()));
		return true;
	case DAEMON_UPTIME:
		print_seconds(attribute_uptime(), 2, buf, size);
		return true;
	default:
		n = daemon_number(call, (enum daemon_value)at);
		print_number(n, buf, size);
		return at != DAEMON_MEMORY || n != 0;
	}
}

const struct row daemon_rows[] = {
	{ "name", print_daemon, DAEMON_NAME },
	{ "version", print_daemon, DAEMON_VERSION },
	{ "log_level", print_daemon, DAEMON_LOG_LEVEL },
	{ "pid", print_daemon, DAEMON_PID },
	{ "uptime", print_daemon, DAEMON_UPTIME },
	{ "endpoints", print_daemon, DAEMON_ENDPOINTS },
	{ "up", print_daemon, DAEMON_UP },
	{ "waits", print_daemon, DAEMON_WAITS },
	{ "events", print_daemon, DAEMON_EVENTS },
	{ "memory", print_daemon, DAEMON_MEMORY },
	{ "config", print_hooks, DAEMON_CONFIG },
	{ "config_time", print_hooks, DAEMON_CONFIG_TIME },
	{ "unclaimed", print_hooks, DAEMON_UNCLAIMED },
	{ .name = NULL },
};

const struct row top_rows[] = { { "log_level", print_daemon, DAEMON_LOG_LEVEL },
	{ .name = NULL } };
