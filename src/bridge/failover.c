/*
 * failover: which of its sources, or destinations, a route with `prefer` uses.
 *
 * look() is the only function that decides; it is called when something may have changed,
 * finds out which members are live, and sets the timer to the time at which that may
 * change again without a further event.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "failover.h"
#include "log.h"
#include "taken.h"
#include "warning.h"

/* The number of looks at a destination within fail_after. */
#define LOOKS 4

struct member {
	/*
	 * The last sign of life.  Of a source: when a frame came from it.  Of a destination:
	 * when no output was pending, or some of it was accepted.
	 */
	uint64_t done_ns;
	uint64_t live_ns; /* it is live since then; 0: it is not */
	/* Of a destination, at the last look: */
	uint64_t taken; /* bytes */
	bool owed;	/* something waits */
};

struct failover {
	LIST_ENTRY(failover) entry;
	struct bridge *bridge;
	struct route *route;
	struct event *event;
	struct task task;
	uint64_t began_ns;
	uint64_t timer_at; /* 0: not set */
	struct member member[];
};

static struct node *
node_of(const struct failover *f, unsigned i)
{
	return f->bridge->node[f->route->choice->member[i]];
}

static const char *
name_of(const struct failover *f, unsigned i)
{
	return node_of(f, i)->endpoint->conf->name;
}

/* --- which are live -------------------------------------------------------- */

/* Whether the source is not read because a destination has no room. */
static bool
is_held_back(const struct node *node)
{
	const struct port *port;

	TAILQ_FOREACH(port, &node->ports, entry)
		if (port->blocked_by != NULL)
			return true;
	return false;
}

static bool
is_live_source(struct failover *f, unsigned i, uint64_t now)
{
	struct member *m = &f->member[i];

	if (m->live_ns != 0 && is_held_back(node_of(f, i)))
		m->done_ns = now;
	return m->done_ns != 0 &&
	    now - m->done_ns < route_fail_after(f->route->conf);
}

/*
 * Whether the port can be written to; adds what its receiver has taken and how long it
 * may hide that.
 */
static bool
look_at_port(const struct port *port, struct member *m, uint64_t *taken,
    uint64_t *ret_delay)
{
	struct taken t;

	if (!port_open(port) || port->closing || port->link->receive_only)
		return false;
	link_taken(port->link, &t);
	*taken += t.bytes;
	*ret_delay = MAX(*ret_delay, t.delay_ns);
	m->owed |= port_owes(port) || t.bytes != port->link->tx_bytes;
	return true;
}

/* At the start the first one has some time to be opened. */
static bool
is_opening(const struct failover *f, unsigned i, uint64_t now)
{
	enum endpoint_state state = node_of(f, i)->endpoint->state;

	return i == 0 &&
	    (state == ENDPOINT_CLOSED || state == ENDPOINT_OPENING) &&
	    now - f->began_ns < route_fail_after(f->route->conf);
}

static bool
is_live_destination(struct failover *f, unsigned i, uint64_t now)
{
	const struct node *node = node_of(f, i);
	struct member *m = &f->member[i];
	uint64_t taken = 0, delay = 0;
	const struct port *port;
	bool open = false;

	m->owed = false;
	TAILQ_FOREACH(port, &node->ports, entry)
		open |= look_at_port(port, m, &taken, &delay);
	if (!m->owed || taken != m->taken)
		m->done_ns = now;
	m->taken = taken;
	if (!open)
		return is_opening(f, i, now);
	return now - m->done_ns < route_fail_after(f->route->conf) + delay;
}

static void
find_live(struct failover *f, uint64_t now)
{
	const struct choice *choice = f->route->choice;
	struct member *m;
	bool live;

	for (unsigned i = 0; i < choice->n; i++) {
		m = &f->member[i];
		live = choice->of_sources ? is_live_source(f, i, now)
					  : is_live_destination(f, i, now);
		if (!live)
			m->live_ns = 0;
		else if (m->live_ns == 0)
			m->live_ns = now;
	}
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

/* Why a member is not live, as the end of a sentence about it. */
static const char *
reason(const struct failover *f, unsigned i, char *buf, size_t size)
{
	const struct route_conf *conf = f->route->conf;
	const struct endpoint *ep = node_of(f, i)->endpoint;
	char time[24];

	format_time(route_fail_after(conf), time, sizeof(time));
	if (conf->prefer == PREFER_FROM)
		snprintf(buf, size, "has sent no frame%s within %s",
		    conf->live_match != NULL ? " that matches 'live_match'"
					     : "",
		    time);
	else if (ep->paused)
		snprintf(buf, size, "is paused");
	else if (ep->state != ENDPOINT_UP)
		snprintf(buf, size, "is not up");
	else if (f->member[i].owed)
		snprintf(buf, size, "has taken nothing within %s", time);
	else
		snprintf(buf, size, "has no peer");
	return buf;
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
		    name_of(f, old), reason(f, old, why, sizeof(why)));
	if (!choice->of_sources)
		release_sources(node_of(f, old));
}

/* A warning is in force while the first one is not used, or is not live. */
static void
warn(struct failover *f)
{
	struct warning **warnings = &f->task.warnings;
	unsigned used = f->route->choice->used;
	char why[96];

	if (f->member[used].live_ns == 0)
		warning_set(warnings, f->task.name, WARNING_FAILOVER, 0,
		    "%s is used, although it %s; none of the others is live",
		    name_of(f, used), reason(f, used, why, sizeof(why)));
	else if (used == 0)
		warning_clear(warnings, WARNING_FAILOVER);
	else if (f->member[0].live_ns != 0)
		warning_set(warnings, f->task.name, WARNING_FAILOVER, 0,
		    "%s is used instead of %s, which is not live for long "
		    "enough"
		    " yet",
		    name_of(f, used), name_of(f, 0));
	else
		warning_set(warnings, f->task.name, WARNING_FAILOVER, 0,
		    "%s is used instead of %s, which %s", name_of(f, used),
		    name_of(f, 0), reason(f, 0, why, sizeof(why)));
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
	uint64_t at = 0, look = now + route_fail_after(conf) / LOOKS;

	for (unsigned i = 0; i < choice->n; i++) {
		const struct member *m = &f->member[i];

		if (i < choice->used && m->live_ns != 0)
			earlier(&at, m->live_ns + route_recover_after(conf));
		if (choice->of_sources && m->live_ns != 0 && i <= choice->used)
			earlier(&at, m->done_ns + route_fail_after(conf));
		if (!choice->of_sources && m->owed)
			earlier(&at, look);
		if (!choice->of_sources && is_opening(f, i, now))
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

static void
look(struct failover *f, uint64_t now)
{
	unsigned i;

	if (f->bridge->stopping)
		return;
	find_live(f, now);
	if ((i = choose(f, now)) != f->route->choice->used)
		use(f, i);
	warn(f);
	arm(f, next_look(f, now));
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct failover *f = arg;
	uint64_t now = task_begin(&f->task);

	(void)fd, (void)what;
	TASK_SET(&f->task, TASK_IDLE);
	f->timer_at = 0;
	look(f, now);
	task_end(&f->task);
}

static void
label(const struct task *task, char *buf, size_t size)
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

/* --- what happens ---------------------------------------------------------- */

/* Whether one of the frames shows that its source is live. */
static bool
shows_life(const struct failover *f, const struct batch *batch,
    const struct route_target *target)
{
	struct route *route = f->route;
	const struct item *item;
	int found;

	if (route->live_match == NULL)
		return batch->n > 0;
	for (unsigned i = batch->n; i > 0; i--) {
		item = &batch->item[i - 1];
		found = expression_find(route->live_match, item->payload,
		    item->len, target->work, target->spent);
		if (found == 1)
			return true;
		route->too_long += found < 0;
	}
	return false;
}

static void
hear_source(struct failover *f, unsigned i, uint64_t now)
{
	struct member *m = &f->member[i];
	bool fresh = m->live_ns == 0 ||
	    now - m->done_ns >= route_fail_after(f->route->conf);

	m->done_ns = now;
	if (!fresh)
		return;
	m->live_ns = now;
	look(f, now);
}

/* Frames are about to be written: looks whether they are taken. */
static void
hear_for_destinations(struct failover *f, uint64_t now)
{
	if (f->timer_at == 0)
		arm(f, now + route_fail_after(f->route->conf) / LOOKS);
}

void
failovers_hear(const struct batch *batch, const struct route_target *target)
{
	struct bridge *b = batch->from->node->bridge;
	struct failover *f;
	uint64_t now = task_now();

	LIST_FOREACH(f, &b->failovers, entry)
	{
		const struct choice *choice = f->route->choice;

		if (!choice->of_sources) {
			hear_for_destinations(f, now);
			continue;
		}
		for (unsigned i = 0; i < choice->n; i++)
			if (choice->member[i] == target->from &&
			    shows_life(f, batch, target))
				hear_source(f, i, now);
	}
}

void
failovers_look(struct bridge *b)
{
	struct failover *f;
	uint64_t now = now_ns();

	LIST_FOREACH(f, &b->failovers, entry)
	if (!f->route->choice->of_sources)
		look(f, now);
}

/* --- creating and replacing them ------------------------------------------- */

static void
failover_free(struct failover *f)
{
	task_remove_why(&f->task, "the route was changed or removed");
	event_free(f->event);
	free(f);
}

void
failovers_free(struct failover_list *list)
{
	struct failover *f;

	while ((f = LIST_FIRST(list)) != NULL) {
		LIST_REMOVE(f, entry);
		failover_free(f);
	}
}

int
failovers_add(struct failover_list *list, struct bridge *b, struct route *route)
{
	struct failover *f;

	if (route->choice == NULL)
		return 0;
	f = calloc(1, sizeof(*f) + route->choice->n * sizeof(*f->member));
	if (f == NULL)
		return -ENOMEM;
	f->bridge = b;
	f->route = route;
	if ((f->event = evtimer_new(b->base, on_event, f)) == NULL) {
		free(f);
		return -ENOMEM;
	}
	LIST_INSERT_HEAD(list, f, entry);
	return 0;
}

/* Whether both are of the same route, with the same members. */
static bool
continues(
    const struct failover *new, const struct failover *old, const unsigned *was)
{
	const struct choice *a = new->route->choice, *b = old->route->choice;

	if (strcmp(new->route->name, old->route->name) != 0 ||
	    a->of_sources != b->of_sources || a->n != b->n)
		return false;
	for (unsigned i = 0; i < a->n; i++)
		if (was[a->member[i]] != b->member[i])
			return false;
	return true;
}

/* The old one is used for the new route; or the new one, which begins now. */
static struct failover *
take_over(struct failover *new, struct failover_list *all, const unsigned *was)
{
	struct failover *old;

	LIST_FOREACH(old, all, entry)
	{
		if (!continues(new, old, was))
			continue;
		LIST_REMOVE(old, entry);
		new->route->choice->used = old->route->choice->used;
		old->route = new->route;
		event_free(new->event);
		free(new);
		return old;
	}
	task_add(&new->task, new, label, "%s.failover", new->route->name);
	new->task.event = new->event;
	TASK_SET(&new->task, TASK_IDLE);
	new->began_ns = now_ns();
	new->member[0].done_ns = new->member[0].live_ns = new->began_ns;
	return new;
}

void
failovers_use(struct bridge *b, struct failover_list *list, const unsigned *was)
{
	struct failover_list next = LIST_HEAD_INITIALIZER(next);
	struct failover *f;

	while ((f = LIST_FIRST(list)) != NULL) {
		LIST_REMOVE(f, entry);
		f = take_over(f, &b->failovers, was);
		LIST_INSERT_HEAD(&next, f, entry);
	}
	failovers_free(&b->failovers);
	while ((f = LIST_FIRST(&next)) != NULL) {
		LIST_REMOVE(f, entry);
		LIST_INSERT_HEAD(&b->failovers, f, entry);
		arm(f, next_look(f, now_ns()));
	}
}

void
failover_restore(struct bridge *b, struct route *route, unsigned used)
{
	uint64_t now = now_ns();
	struct failover *f;

	LIST_FOREACH(f, &b->failovers, entry)
	{
		if (f->route != route || used >= route->choice->n)
			continue;
		route->choice->used = used;
		f->member[0].live_ns = f->member[0].done_ns = 0;
		f->member[used].live_ns = f->member[used].done_ns = now;
		arm(f, now + route_fail_after(route->conf));
	}
}
