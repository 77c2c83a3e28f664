/*
 * failover: which member of a failover is used.
 *
 * failover_look() is the only function that decides; it is called when something may have
 * changed, finds out which members are live, and sets the timer to the time at which that
 * may change again without a further event.
 */
#include <event2/event.h>

#include "failover_parts.h"
#include "log.h"
#include "warning.h"

static const char *
name_of(const struct failover *f, unsigned i)
{
	return failover_node(f, i)->endpoint->conf->name;
}

/* --- the choice ------------------------------------------------------------ */

static unsigned
choose(const struct failover *f, uint64_t now)
{
	const struct choice *choice = f->route->choice;
	uint64_t after = route_recover_after(f->route->conf);
	bool failed = f->member[choice->used].live_ns == 0;
	const struct member *m;

	for (unsigned i = 0; i < choice->n; i++) {
		m = &f->member[i];
		if (i == choice->used ? !failed
				      : m->live_ns != 0 &&
			    (failed ||
				(i < choice->used &&
				    now - m->live_ns >= after)))
			return i;
	}
	return choice->used;
}

/* Those that waited for room at a destination may go on if it is not used any more. */
static void
release_sources(struct node *node)
{
	struct port *port, *from;
	unsigned n;

	TAILQ_FOREACH(port, &node->ports, entry) {
		n = 0;
		TAILQ_FOREACH(from, &port->waiters, waiting)
			n++;
		/* One may wait for it again, because of another route. */
		while (
		    n-- > 0 && (from = TAILQ_FIRST(&port->waiters)) != NULL) {
			port_stop_waiting(from);
			port_update(from);
		}
	}
}

static void
use(struct failover *f, unsigned i)
{
	struct choice *choice = f->route->choice;
	unsigned old = choice->used;
	char why[96];

	choice->used = i;
	f->route->switches++;
	if (i < old)
		log_to(LOG_NOTICE, ABOUT_ROUTE, f->route->name,
		    "%s is used again, instead of %s", name_of(f, i),
		    name_of(f, old));
	else
		log_to(LOG_WARNING, ABOUT_ROUTE, f->route->name,
		    "%s is used instead of %s, which %s", name_of(f, i),
		    name_of(f, old), failover_reason(f, old, why, sizeof(why)));
	if (!choice->of_sources)
		release_sources(failover_node(f, old));
}

/*
 * A warning is in force while the first one is not used, or is not live.  Its text follows;
 * it is logged only if it begins without a switch, which is logged.
 */
static void
warn(struct failover *f, bool switched)
{
	struct warning **warnings = &f->task.warnings;
	unsigned used = f->route->choice->used;
	enum warning_log log = switched ? WARNING_QUIET : WARNING_LOGGED;
	char why[96];

	if (f->member[used].live_ns == 0)
		warning_put(warnings, f->task.name, WARNING_FAILOVER, log,
		    "%s is used, although it %s; none of the others is live",
		    name_of(f, used),
		    failover_reason(f, used, why, sizeof(why)));
	else if (used == 0)
		warning_clear(warnings, WARNING_FAILOVER);
	else if (f->member[0].live_ns != 0)
		warning_put(warnings, f->task.name, WARNING_FAILOVER, log,
		    "%s is used instead of %s, which is not live for long "
		    "enough"
		    " yet",
		    name_of(f, used), name_of(f, 0));
	else
		warning_put(warnings, f->task.name, WARNING_FAILOVER, log,
		    "%s is used instead of %s, which %s", name_of(f, used),
		    name_of(f, 0), failover_reason(f, 0, why, sizeof(why)));
}

/* --- the timer ------------------------------------------------------------- */

static void
earlier(uint64_t *at, uint64_t time)
{
	if (*at == 0 || time < *at)
		*at = time;
}

/* The next time at which time alone may change something, 0: none. */
static uint64_t
next_look(const struct failover *f, uint64_t now)
{
	const struct choice *choice = f->route->choice;
	const struct route_conf *conf = f->route->conf;
	uint64_t at = f->measure_at;

	for (unsigned i = 0; i < choice->n; i++) {
		const struct member *m = &f->member[i];

		if (i < choice->used && m->live_ns != 0)
			earlier(&at, m->live_ns + route_recover_after(conf));
		if (choice->of_sources && m->live_ns != 0 && i <= choice->used)
			earlier(&at, m->done_ns + route_fail_after(conf));
		if (!choice->of_sources && failover_is_opening(f, i, now))
			earlier(&at, f->began_ns + route_fail_after(conf));
	}
	return at;
}

static void
arm(struct failover *f, uint64_t at)
{
	uint64_t now = now_ns();
	struct timeval tv;

	if (at == 0) {
		event_del(f->event);
		TASK_SET(&f->task, TASK_IDLE);
	} else {
		tv = to_timeval(at > now ? at - now : 0);
		event_add(f->event, &tv);
		TASK_WAIT(&f->task);
	}
	f->timer_at = at;
}

void
failover_look_at(struct failover *f, uint64_t at)
{
	if (f->timer_at == 0 || at < f->timer_at)
		arm(f, at);
}

void
failover_look(struct failover *f, uint64_t now)
{
	unsigned i, used = f->route->choice->used;

	if (f->bridge->stopping)
		return;
	failover_find_live(f, now);
	if ((i = choose(f, now)) != used)
		use(f, i);
	warn(f, i != used);
	arm(f, next_look(f, now));
}

void
failover_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct failover *f = arg;
	uint64_t now = task_begin(&f->task);

	(void)fd, (void)what;
	TASK_SET(&f->task, TASK_IDLE);
	f->timer_at = 0;
	failover_look(f, now);
	task_end(&f->task);
}

void
failover_label(const struct task *task, char *buf, size_t size)
{
	const struct failover *f = task->arg;
	const struct choice *choice = f->route->choice;
	unsigned used = choice->used;

	if (f->member[used].live_ns == 0)
		snprintf(buf, size, "one of %s to be live, which %s is not",
		    choice->of_sources ? f->route->from : f->route->to,
		    name_of(f, used));
	else if (used != 0)
		snprintf(buf, size, "%s to be live for long enough: %s is used",
		    name_of(f, 0), name_of(f, used));
	else
		snprintf(buf, size, "the time when %s, which is used, may fail",
		    name_of(f, 0));
}
