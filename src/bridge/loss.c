/*
 * loss: messages about frames that are dropped and input that is discarded: to the log, at
 * log level debug, and to taps.
 *
 * The first one of each endpoint and reason is logged immediately, the number of further
 * ones once a minute.  After a minute without any, the next one is logged immediately
 * again.  Taps are notified in the same way, with seconds instead of minutes.
 */
#include <inttypes.h>
#include <stdlib.h>

#include <event2/event.h>

#include "forward.h"
#include "log.h"

#define REASONS (DROP_REASONS + BAD_REASONS)

struct node_losses {
	/* The value of each counter when it was last logged; 0: not logged. */
	uint64_t told[REASONS];
	/* The losses of this second, the first of which the taps know. */
	uint64_t recent[REASONS];
};

struct losses {
	struct event *timer; /* fires every minute, while something is lost */
	struct task task;
	struct event *second; /* fires every second, while taps want to know */
	struct task second_task;
};

static uint64_t
count_of(const struct traffic *t, unsigned reason)
{
	return reason < DROP_REASONS ? t->dropped[reason]
				     : t->bad[reason - DROP_REASONS];
}

static const char *
reason_name(unsigned reason)
{
	return reason < DROP_REASONS ? drop_reason_names[reason]
				     : bad_reason_names[reason - DROP_REASONS];
}

/* Logs the losses since the last call; returns whether there were any. */
static bool
count_node(struct node *node)
{
	const char *name = node->endpoint->conf->name;
	struct traffic t;
	bool any = false;
	uint64_t n;

	if (node->losses == NULL)
		return false;
	node_traffic(node, &t);
	for (unsigned i = 0; i < REASONS; i++) {
		uint64_t *told = &node->losses->told[i];

		n = *told == 0 ? 0 : count_of(&t, i) - *told;
		*told = n == 0 ? 0 : count_of(&t, i);
		any |= n > 0;
		if (n > 0 && i < DROP_REASONS)
			log_to(LOG_DEBUG, ABOUT_ENDPOINT, name,
			    "%" PRIu64 " more frame%s dropped within a minute:"
			    " %s",
			    n, n == 1 ? "" : "s", drop_reason_names[i]);
		else if (n > 0)
			log_to(LOG_DEBUG, ABOUT_ENDPOINT, name,
			    "input discarded %" PRIu64 " more time%s within a"
			    " minute: %s",
			    n, n == 1 ? "" : "s",
			    bad_reason_names[i - DROP_REASONS]);
	}
	return any;
}

bool
losses_count(struct bridge *b)
{
	bool any = false;

	for (unsigned i = 0; i < b->nnodes; i++)
		any |= count_node(b->node[i]);
	return any;
}

/* --- times ------------------------------------------------------------------ */

static void
timer_label(const struct task *task, char *buf, size_t size)
{
	const struct losses *l = task->arg;

	snprintf(buf, size, "the end of a %s, to report what was dropped in it",
	    task == &l->task ? "minute" : "second");
}

static void
arm(struct event *timer, struct task *task, time_t seconds)
{
	const struct timeval tv = { .tv_sec = seconds };

	if (event_pending(timer, EV_TIMEOUT, NULL))
		return;
	event_add(timer, &tv);
	TASK_WAIT(task);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct bridge *b = arg;
	struct losses *l = b->losses;

	(void)fd, (void)what;
	task_begin(&l->task);
	TASK_SET(&l->task, TASK_IDLE);
	if (losses_count(b))
		arm(l->timer, &l->task, 60);
	task_end(&l->task);
}

/* Notifies the taps of the number of losses of a node; returns whether there were any. */
static bool
tell_recent(struct node *node, bool tapped)
{
	bool any = false;

	for (unsigned i = 0; node->losses != NULL && i < REASONS; i++) {
		uint64_t *recent = &node->losses->recent[i];

		if (tapped && *recent > 1)
			taps_lost(node, reason_name(i), *recent - 1, false,
			    i >= DROP_REASONS);
		*recent = tapped && *recent > 1;
		any |= *recent > 0;
	}
	return any;
}

static void
on_second(evutil_socket_t fd, short what, void *arg)
{
	struct bridge *b = arg;
	struct losses *l = b->losses;
	bool any = false;

	(void)fd, (void)what;
	task_begin(&l->second_task);
	TASK_SET(&l->second_task, TASK_IDLE);
	for (unsigned i = 0; i < b->nnodes; i++)
		any |= tell_recent(b->node[i], is_tapped(b, TAPPED_LOST));
	if (any)
		arm(l->second, &l->second_task, 1);
	task_end(&l->second_task);
}

/* The timers; NULL: out of memory. */
static struct losses *
get_losses(struct bridge *b)
{
	struct losses *l = b->losses;

	if (l != NULL)
		return l;
	if ((l = calloc(1, sizeof(*l))) == NULL)
		return NULL;
	l->timer = evtimer_new(b->base, on_timer, b);
	l->second = evtimer_new(b->base, on_second, b);
	if (l->timer == NULL || l->second == NULL) {
		if (l->timer != NULL)
			event_free(l->timer);
		free(l);
		return NULL;
	}
	task_add(&l->task, l, timer_label, "losses.timer");
	task_add(&l->second_task, l, timer_label, "losses.second");
	b->losses = l;
	return l;
}

/* Without memory only the first loss is logged. */
static void
start_timer(struct bridge *b)
{
	struct losses *l = get_losses(b);

	if (l != NULL)
		arm(l->timer, &l->task, 60);
}

/* --- losses ----------------------------------------------------------------- */

/* Without memory no tap is notified. */
static void
tell_taps(struct node *node, unsigned reason, uint64_t n)
{
	struct losses *l = get_losses(node->bridge);
	uint64_t *recent;

	if (node->losses == NULL)
		node->losses = calloc(1, sizeof(*node->losses));
	if (l == NULL || node->losses == NULL)
		return;
	recent = &node->losses->recent[reason];
	if (*recent == 0)
		taps_lost(
		    node, reason_name(reason), 1, true, reason >= DROP_REASONS);
	*recent += n;
	arm(l->second, &l->second_task, 1);
}

/* Whether it is the first loss; the counters include the n frames already. */
static bool
is_first(struct node *node, unsigned reason, uint64_t n)
{
	struct traffic t;

	if (node->losses == NULL)
		node->losses = calloc(1, sizeof(*node->losses));
	if (node->losses == NULL || node->losses->told[reason] != 0)
		return false;
	node_traffic(node, &t);
	node->losses->told[reason] = count_of(&t, reason) - n + 1;
	start_timer(node->bridge);
	return true;
}

void
loss_dropped(struct node *node, enum drop_reason reason, uint64_t n, size_t len)
{
	if (is_tapped(node->bridge, TAPPED_LOST))
		tell_taps(node, reason, n);
	if (log_level() >= LOG_DEBUG && is_first(node, reason, n))
		log_to(LOG_DEBUG, ABOUT_ENDPOINT, node->endpoint->conf->name,
		    "a frame of %zu bytes was dropped: %s", len,
		    drop_reason_names[reason]);
}

void
loss_discarded(struct node *node, enum bad_reason reason, size_t len)
{
	if (is_tapped(node->bridge, TAPPED_LOST))
		tell_taps(node, DROP_REASONS + reason, 1);
	if (log_level() >= LOG_DEBUG &&
	    is_first(node, DROP_REASONS + reason, 1))
		log_to(LOG_DEBUG, ABOUT_ENDPOINT, node->endpoint->conf->name,
		    "%zu byte%s discarded: %s", len, len == 1 ? "" : "s",
		    bad_reason_names[reason]);
}

void
losses_free(struct bridge *b)
{
	if (b->losses == NULL)
		return;
	event_free(b->losses->timer);
	event_free(b->losses->second);
	task_remove(&b->losses->task);
	task_remove(&b->losses->second_task);
	free(b->losses);
	b->losses = NULL;
}

void
port_drop(struct port *port, enum drop_reason reason, const uint8_t *payload,
    size_t len)
{
	COUNT(port, dropped[reason], 1);
	COUNT(port, dropped_bytes, len);
	loss_dropped(port->node, reason, 1, len);
	if (payload != NULL && is_watched(port))
		taps_drop(port, reason, payload, len);
}

void
port_drop_in_flight(struct port *port, enum drop_reason reason)
{
	port_drop(port, reason, port->in_flight.payload, port->in_flight.len);
	in_flight_clear(&port->in_flight);
}
