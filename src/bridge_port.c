/*
 * bridge_port: the state of ports: what is read, who is held back, what the clock
 * has to say, and what the endpoints tell.
 *
 * port_update() derives from the state what is read; nothing else does.  A port has
 * one timer for four times: a stall, a silence that ends a frame, a partial frame that
 * grows too old, and the end of a peer that sends no more.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "bridge_exchange.h"
#include "bridge_heritage.h"
#include "endpoint_link.h"
#include "log.h"

/* --- timer --------------------------------------------------------------- */

static uint64_t
earliest(const struct port *port)
{
	const uint64_t at[] = { port->stall_at, port->silence_at, port->age_at,
		port->linger_at, port->gap_at, port->turn_at };
	uint64_t first = 0;

	for (size_t i = 0; i < NELEM(at); i++)
		if (at[i] != 0 && (first == 0 || at[i] < first))
			first = at[i];
	return first;
}

static void
timer_label(const struct task *task, char *buf, size_t size)
{
	const struct port *port = task->arg;
	uint64_t at = earliest(port);
	const char *name = port->link->name;

	if (at == 0)
		snprintf(buf, size, "nothing: the time of %s is over", name);
	else if (at == port->stall_at)
		snprintf(buf, size,
		    port->stalled
			? "%s to take something: it is stalled"
			: "%s to take something before it counts as stalled",
		    name);
	else if (at == port->silence_at)
		snprintf(buf, size, "a silence of %s to end a frame", name);
	else if (at == port->age_at)
		snprintf(buf, size,
		    "the rest of a frame from %s, before it is"
		    " too old",
		    name);
	else if (at == port->turn_at)
		snprintf(buf, size, "the next turn of the sources of %s", name);
	else if (at == port->gap_at)
		snprintf(buf, size, "the silence behind a frame to %s", name);
	else
		snprintf(
		    buf, size, "what %s is still owed; it sends no more", name);
}

static void on_timer(evutil_socket_t, short, void *);

/* Sets the timer to the earliest time; one that is set earlier may fire in vain. */
static void
port_arm(struct port *port)
{
	uint64_t at = earliest(port), now, wait;
	struct timeval tv;

	if (at == 0 || (port->timer_at != 0 && port->timer_at <= at))
		return;
	if (port->timer == NULL) {
		port->timer =
		    evtimer_new(port->node->bridge->base, on_timer, port);
		if (port->timer == NULL)
			return;
		task_add(&port->timer_task, port, timer_label, "%s.timer",
		    port->link->name);
	}
	now = now_ns();
	wait = at > now ? at - now : 0;
	tv.tv_sec = (time_t)(wait / NSEC_PER_SEC);
	tv.tv_usec =
	    (suseconds_t)(wait % NSEC_PER_SEC / NSEC_PER_USEC) + (wait > 0);
	event_add(port->timer, &tv);
	port->timer_at = at;
	/* Where silence matters, the timer may be set to an earlier time before it. */
	if (framing_silence(&port->conf->framing) != 0)
		precise_set(&port->precise, port->timer, at);
	TASK_WAIT(&port->timer_task);
}

static bool
due(uint64_t *at, uint64_t now)
{
	if (*at == 0 || *at > now)
		return false;
	*at = 0;
	return true;
}

static void
age_due(struct port *port)
{
	port_timeout(port);
	port->silence_at = 0;
}

/*
 * What the time on the line has to say counts only while the line is read: the rest of
 * a frame may be waiting in the kernel.
 */
static void
line_due(struct port *port, uint64_t now)
{
	bool silent = due(&port->silence_at, now),
	     old = due(&port->age_at, now);

	if (!port->link->reading && !port->link->ended)
		return;
	if (silent)
		port_silent(port);
	if (old && port->held_len > 0)
		age_due(port);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct port *port = arg;
	uint64_t now;

	(void)fd, (void)what;
	now = task_begin(&port->timer_task);
	TASK_SET(&port->timer_task, TASK_IDLE);
	precise_stop(&port->precise);
	port->timer_at = 0;
	line_due(port, now);
	if (due(&port->stall_at, now))
		port_stall_due(port, now);
	if (due(&port->linger_at, now))
		port_linger_due(port, now);
	if (due(&port->gap_at, now))
		port_flush(port);
	if (due(&port->turn_at, now))
		port_release(port);
	port_arm(port);
	task_end(&port->timer_task);
}

void
port_age(struct port *port, uint64_t now, bool consumed)
{
	const struct framing_conf *framing = port->decoder.conf;
	uint64_t timeout = port->conf->frame_timeout;
	uint64_t silence;

	silence = framing->rule->silent != NULL ? framing_silence(framing) : 0;
	if (silence == 0 && timeout == 0)
		return;
	port->silence_at =
	    port->held_len > 0 && silence != 0 ? now + silence : 0;
	if (port->held_len == 0 || timeout == 0)
		port->age_at = 0;
	else if (port->age_at == 0 || consumed)
		port->age_at = now + timeout;
	port_arm(port);
}

void
port_gap(struct port *port, uint64_t now, size_t len)
{
	uint64_t gap = framing_gap(&port->conf->framing, len);

	if (gap == 0)
		return;
	port->gap_at = now + gap;
	port_arm(port);
}

/* --- what is read -------------------------------------------------------- */

/* The queue is full and pauses others, as long as its receiver takes something. */
static void
watch_stall(struct port *port)
{
	port_suspect(port, task_now());
	port_arm(port);
}

void
port_await_input(struct port *port)
{
	bool read = port->link->up && !port->node->endpoint->paused &&
	    !port->node->bridge->stopping;

	if (read && !port->link->reading)
		port_age(port, task_now(), true);
	link_set_reading(port->link, read);
}

void
port_update(struct port *port)
{
	struct port *by;
	bool can = port->link->up && !port->node->endpoint->paused;
	bool room = port_room(port, &by) > 0;
	bool read = can && room && !port->node->bridge->stopping;

	if (can && !room) {
		waiter_join(port, by);
		watch_stall(port->by);
	} else if (!port->turn || !can)
		waiter_leave(port);
	read &= !port->turn;
	if (read && !port->link->reading)
		port_age(port, task_now(), true);
	link_set_reading(port->link, read);
	if (can && room && (port->backlog || port->turn))
		link_poke(port->link, EV_READ);
}

void
port_next_turn(struct port *port)
{
	port->turn_at = now_ns();
	port_arm(port);
}

/* --- ports come and go --------------------------------------------------- */

void
port_keep_queue(struct port *port)
{
	char name[KEEP_NAME_MAX];

	link_queue_name(port->link, name, sizeof(name));
	queue_keep(&port->queue, name);
}

struct port *
port_new(struct node *node, struct link *link)
{
	struct port *port = zalloc_lines(sizeof(*port));

	if (port == NULL)
		return NULL;
	port->node = node;
	port->link = link;
	port->conf = node->endpoint->conf;
	link->port = port;
	TAILQ_INIT(&port->waiters);
	port->fair = node->nsources > 1;
	queue_init(&port->queue, node->endpoint->conf->queue);
	port_keep_queue(port);
	framing_start(&port->decoder, &node->endpoint->conf->framing);
	TAILQ_INSERT_TAIL(&node->ports, port, entry);
	return port;
}

static void
handed_clear(struct handed *h)
{
	free(h->payload);
	free(h->rest);
	memset(h, 0, sizeof(*h));
}

void
port_drop_waiting(struct port *port)
{
	struct queued q;

	while (queue_head(&port->queue, &q)) {
		port_drop(port, DROP_CLOSED, q.len);
		queue_pop(&port->queue);
	}
	if (port->handed.waits)
		port_drop(port, DROP_CLOSED, port->handed.len);
	handed_clear(&port->handed);
}

void
port_free(struct port *port)
{
	if (port == NULL)
		return;
	port_drop_waiting(port);
	traffic_add(&port->node->gone, &port->traffic);
	cursors_leave_port(port->node->bridge, port);
	TAILQ_REMOVE(&port->node->ports, port, entry);
	waiter_leave(port);
	port_release(port);
	if (port->timer != NULL) {
		precise_stop(&port->precise);
		task_remove(&port->timer_task);
		event_free(port->timer);
	}
	port->link->port = NULL;
	queue_free(&port->queue);
	latest_forget(port);
	heir_free(port->heir);
	free(port->held);
	free(port);
}

/* --- what the endpoints tell --------------------------------------------- */

/* The frame cannot be completed; left: the number of its bytes that were not written. */
static void
handed_cut(struct port *port, size_t left)
{
	port->traffic.tx_bytes -= left;
	port_drop(port, DROP_CUT, port->handed.len);
	handed_clear(&port->handed);
}

/* A frame is partially written to a line that still exists: keeps the rest until the line
 * is open again, because otherwise the next frame would be appended to that part. */
static bool
keep_rest(struct port *port, size_t left)
{
	struct handed *h = &port->handed;

	if (!link_device(port->link, &h->device) ||
	    (h->rest = malloc(left)) == NULL)
		return false;
	h->rest_len = link_unwritten(port->link, h->rest, left);
	return true;
}

/* The frame that was being written: completed or sent again later, or cut. */
static void
handed_lost(struct port *port)
{
	struct handed *h = &port->handed;
	size_t left = link_handed(port->link);

	if (!h->waits || h->wire == 0)
		return;
	if (left == 0) {
		port_handed_out(port);
	} else if (!h->partial && left == h->wire && h->payload != NULL) {
		port->traffic.tx_bytes -= left;
		h->wire = 0;
	} else if (!keep_rest(port, left))
		handed_cut(port, left);
}

/* The link is up: sends the rest first, if it is the same line. */
static void
give_rest(struct port *port)
{
	struct handed *h = &port->handed;
	struct link *link = port->link;
	struct device_id now;

	if (h->rest == NULL)
		return;
	if (!link_device(link, &now) ||
	    memcmp(&now, &h->device, sizeof(now)) != 0 ||
	    link_hand(link, h->rest, h->rest_len) < 0) {
		handed_cut(port, h->rest_len);
		return;
	}
	link->tx_bytes -= h->rest_len; /* counted before */
	free(h->rest);
	h->rest = NULL;
}

static int
on_up(struct link *link)
{
	struct node *node = link->endpoint->node;
	struct port *port = link->port;

	if (port == NULL && (port = port_new(node, link)) == NULL)
		return -ENOMEM;
	if (node->bridge->stopping)
		link_close_read(link);
	port_inherit(port);
	give_rest(port);
	port->progress_ns = now_ns();
	port_flush(port);
	port_update(port);
	return 0;
}

static void
on_down(struct link *link, const char *why)
{
	struct port *port = link->port;

	(void)why;
	if (port == NULL)
		return;
	port_input(port);
	if (port->held_len > 0) {
		COUNT(port, bad[BAD_MALFORMED], 1);
		COUNT(port, bad_bytes[BAD_MALFORMED], port->held_len);
		loss_discarded(port->node, BAD_MALFORMED, port->held_len);
		port->held_len = 0;
	}
	handed_lost(port);
	exchange_forget(port->node->bridge, port);
	port->backlog = port->stalled = port->closing = false;
	waiter_leave(port);
	port->silence_at = port->age_at = port->linger_at = port->gap_at = 0;
	port->stall_at = port->turn_at = 0;
	if (link->endpoint->conf->ops->several)
		port_free(port);
	else
		port_release(port);
}

static void
on_readable(struct link *link)
{
	struct port *port = link->port;

	port_input(port);
	if (link->ended) {
		port_ended(port, task_now());
		port_arm(port);
	}
}

static void
on_writable(struct link *link)
{
	port_flush(link->port);
}

static void
on_cut(struct link *link)
{
	handed_lost(link->port);
}

static void
on_state(struct endpoint *ep)
{
	struct node *node = ep->node;
	struct port *port;

	TAILQ_FOREACH(port, &node->ports, entry)
		if (port->full)
			port_release(port);
	if (node->bridge->changed != NULL)
		node->bridge->changed(node->bridge);
}

/* What frames of a framing are called. */
static const char *
noun(const struct framing_conf *conf, char *buf, size_t size)
{
	if (strcmp(conf->rule->name, "raw") == 0)
		return "bytes";
	if (strcmp(conf->rule->name, "line") == 0)
		return "a line";
	snprintf(buf, size, "a frame (%s)", conf->rule->name);
	return buf;
}

static void
read_label(const struct port *port, char *buf, size_t size)
{
	const struct link *link = port->link;
	const struct endpoint_conf *conf = port->conf;
	char what[48];

	if (link->ended)
		snprintf(buf, size, "nothing: %s (%s) sends no more",
		    link->name, link->address);
	else if (port->by != NULL)
		snprintf(buf, size,
		    "room in %s's queue, before %s (%s) is read"
		    " on",
		    port->by->link->name, link->name, link->address);
	else if (port->node->endpoint->paused)
		snprintf(buf, size, "to be resumed: %s (%s) was paused by hand",
		    link->name, link->address);
	else
		snprintf(buf, size, "%s from %s (%s)",
		    noun(&conf->framing, what, sizeof(what)), link->name,
		    link->address);
}

static void
write_label(const struct port *port, char *buf, size_t size)
{
	const struct link *link = port->link;
	size_t frames, queued;
	char bytes[24];

	port_queued(port, &queued, &frames);
	if (frames == 0) {
		snprintf(buf, size, "nothing: all is written to %s (%s)",
		    link->name, link->address);
		return;
	}
	format_size(queued, bytes, sizeof(bytes));
	snprintf(buf, size, "room in %s's output (%zu frame%s, %s queued%s)",
	    link->name, frames, frames == 1 ? "" : "s", bytes,
	    port->stalled ? ", stalled" : "");
}

static void
on_label(const struct link *link, bool writing, char *buf, size_t size)
{
	const struct port *port = link->port;

	if (port == NULL)
		snprintf(buf, size, "its port");
	else if (writing)
		write_label(port, buf, size);
	else
		read_label(port, buf, size);
	if (link->endpoint->conf->label != NULL)
		append(buf, size, " - %s", link->endpoint->conf->label);
}

const struct endpoint_owner bridge_owner = {
	.up = on_up,
	.down = on_down,
	.readable = on_readable,
	.writable = on_writable,
	.cut = on_cut,
	.label = on_label,
	.state = on_state,
};
