/*
 * events: callbacks of the timers of ports and of the endpoints; creates and frees ports.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "ack.h"
#include "demand.h"
#include "batch.h"
#include "exchange.h"
#include "failover.h"
#include "history.h"
#include "restore.h"
#include "link.h"
#include "log.h"
#include "node_warnings.h"
#include "pace.h"
#include "port_spool.h"
#include "record.h"
#include "silence.h"

/* --- timers --------------------------------------------------------------- */

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
 * Timeouts of the line count only while the line is read: the rest of a frame may be in
 * the kernel's buffer.
 */
static void
line_due(struct port *port, uint64_t now)
{
	bool silent = due(&port->silence_at, now),
	     old = due(&port->age_at, now);

	if (!port->link->reading && !port->link->read_eof)
		return;
	if (silent)
		port_silent(port);
	if (old && port->held_len > 0)
		age_due(port);
}

/* Handles the times of a port that have passed. */
static void
port_due(struct port *port, uint64_t now)
{
	line_due(port, now);
	if (due(&port->stall_at, now))
		port_stall_due(port, now);
	if (due(&port->linger_at, now))
		port_linger_due(port, now);
	if (due(&port->gap_at, now))
		port_flush(port);
	if (due(&port->turn_at, now))
		port_release(port);
	if (due(&port->pace_at, now) && port_pace_due(port, now))
		port_flush(port);
}

/* --- creating and freeing ports ------------------------------------------- */

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
	port->due = port_due;
	port->least_read = port->conf->ops->confirms ? TURN_BYTES : SMALL_REST;
	link->port = port;
	TAILQ_INIT(&port->waiters);
	port->fair = node->nsources > 1;
	queue_init(&port->queue, node->endpoint->conf->queue);
	port_keep_queue(port);
	port_set_pace(port);
	port_start_decoder(port);
	if (port->conf->ops->confirms && ack_new(port) < 0) {
		link->port = NULL;
		queue_free(&port->queue);
		free(port);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&node->ports, port, entry);
	return port;
}

void
port_renumber(struct port *port, const unsigned *number, unsigned n)
{
	struct in_flight *h = &port->in_flight;

	latest_forget(port);
	queue_renumber(&port->queue, number, n);
	if (port->spool != NULL)
		queue_renumber(&port->spool->pending, number, n);
	h->route = h->route < n ? number[h->route] : ROUTE_NONE;
}

void
port_drop_waiting(struct port *port)
{
	struct queued q;

	ack_forget(port);
	while (queue_head(&port->queue, &q)) {
		port_drop(port, DROP_CLOSED, q.payload, q.len);
		queue_pop(&port->queue);
	}
	if (port->in_flight.waits)
		port_drop_in_flight(port, DROP_CLOSED);
	in_flight_clear(&port->in_flight);
}

void
port_free(struct port *port)
{
	if (port == NULL)
		return;
	port_spool_end(port);
	port_drop_waiting(port);
	traffic_add(&port->node->retired, &port->traffic);
	cursors_leave_port(port->node->bridge, port);
	TAILQ_REMOVE(&port->node->ports, port, entry);
	port_stop_waiting(port);
	port_release(port);
	if (port->timer != NULL) {
		precise_stop(&port->precise);
		task_remove_why(&port->timer_task, "disconnected");
		event_free(port->timer);
	}
	port->link->port = NULL;
	queue_free(&port->queue);
	latest_forget(port);
	ack_free(port);
	port_echo_free(port);
	port_record_end(port);
	free(port->restored_link);
	free(port->held);
	free(port);
}

/* --- callbacks of the endpoints ------------------------------------------- */

/*
 * Drops a frame that cannot be completed; left: the number of its bytes that were not
 * written.
 */
static void
in_flight_cut(struct port *port, size_t left)
{
	port->traffic.tx_bytes -= left;
	port_drop_in_flight(port, DROP_CUT);
}

/*
 * A frame is partially written to a device that still exists: keeps the rest until the
 * device is open again, because otherwise the next frame would be appended to the partial
 * one.
 */
static bool
keep_rest(struct port *port, size_t left)
{
	struct in_flight *h = &port->in_flight;

	if (!link_device(port->link, &h->device) ||
	    (h->rest = malloc(left)) == NULL)
		return false;
	h->rest_len = link_unwritten(port->link, h->rest, left);
	return true;
}

/*
 * The link of a frame in flight is lost: the frame is completed or sent again later, or
 * dropped.
 */
static void
in_flight_lost(struct port *port)
{
	struct in_flight *h = &port->in_flight;
	size_t left = link_pending(port->link);

	if (!h->waits || h->wire == 0) {
		/* See port_say(). */
		port->traffic.tx_bytes -= left;
		return;
	}
	if (left == 0) {
		port_in_flight_done(port);
	} else if (!h->partial && left >= h->wire && h->payload != NULL) {
		port->traffic.tx_bytes -= left;
		h->wire = 0;
	} else if (!keep_rest(port, left))
		in_flight_cut(port, left);
}

/* The link is up: sends the rest of the frame first, if it is the same device. */
static void
give_rest(struct port *port)
{
	struct in_flight *h = &port->in_flight;
	struct link *link = port->link;
	struct device_id now;

	if (h->rest == NULL)
		return;
	if (!link_device(link, &now) ||
	    memcmp(&now, &h->device, sizeof(now)) != 0 ||
	    link_hand(link, h->rest, h->rest_len) < 0) {
		in_flight_cut(port, h->rest_len);
		return;
	}
	link->tx_bytes -= h->rest_len; /* it was counted before */
	free(h->rest);
	h->rest = NULL;
}

/*
 * Writes the text of that key.  It is not a frame.  The part that the kernel does not
 * accept is left to the bufferevent, before all frames.
 */
static void
port_say(struct port *port, enum key_names what)
{
	const char *text = endpoint_named(port->conf, what);
	uint8_t bytes[KEY_TEXT_MAX];
	struct link *link = port->link;
	size_t len;
	ssize_t n = 0;

	if (text == NULL || link->receive_only)
		return;
	len = (size_t)unescape(text, bytes, sizeof(bytes));
	/* There is no time for the pace of what is written last. */
	if ((!port_paced(port) || what == NAMES_CLOSING) &&
	    (n = link_write(link, bytes, len)) < 0)
		return;
	if ((size_t)n < len &&
	    link_hand(link, bytes + n, len - (size_t)n) < 0) {
		link_close(link, "out of memory");
		return;
	}
	if (is_tapped(port->node->bridge, TAPPED_BYTES))
		taps_bytes(port, true, bytes, len);
	COUNT(port, tx_bytes, len);
	if (port->conf->echo)
		port_echo_sent(port, bytes, len);
	port_gap(port, now_ns(), len);
}

void
port_say_last(struct port *port)
{
	struct link *link = port->link;

	/* It does not belong into the middle of a frame. */
	if (port->said_last || !link->up || link->unwritable ||
	    link_pending(link) > 0)
		return;
	port->said_last = true;
	port_say(port, NAMES_CLOSING);
}

static void
on_closing(struct link *link)
{
	port_say_last(link->port);
}

static int
on_up(struct link *link)
{
	struct node *node = link->endpoint->node;
	struct port *port = link->port;
	bool made = port == NULL;

	if (made && (port = port_new(node, link)) == NULL)
		return -ENOMEM;
	if (node->bridge->stopping)
		link_close_read(link);
	port_restore(port);
	give_rest(port);
	port->said_last = false;
	node_silence_up(node);
	if (!link->adopted)
		port_say(port, NAMES_OPENING);
	if (made && !link->adopted)
		history_replay(port);
	port->progress_ns = now_ns();
	port_flush(port);
	port_pace_begin(port);
	port_update(port);
	demand_note(node->bridge);
	failovers_look(node);
	return 0;
}

/* Forwards what the link has received: of a message transport, all messages. */
static void
read_rest(struct port *port)
{
	uint64_t before;

	do {
		before = port->traffic.rx_bytes;
		port_input(port);
	} while (port->ack != NULL && port->traffic.rx_bytes != before);
}

static void
on_down(struct link *link, const char *why)
{
	struct node *node = link->endpoint->node;
	struct port *port = link->port;

	(void)why;
	if (port == NULL)
		return;
	demand_note(port->node->bridge);
	read_rest(port);
	if (port->held_len > 0) {
		COUNT(port, bad[BAD_MALFORMED], 1);
		COUNT(port, bad_bytes[BAD_MALFORMED], port->held_len);
		loss_discarded(port->node, BAD_MALFORMED, port->held_len);
		if (is_tapped(port->node->bridge, TAPPED_BAD))
			taps_bad(port, BAD_MALFORMED, port->held,
			    port->held_len, false);
		port->held_len = 0;
	}
	in_flight_lost(port);
	port_echo_forget(port);
	exchange_forget(port->node->bridge, port);
	port->backlog = port->stalled = port->closing = false;
	port_stop_waiting(port);
	port->silence_at = port->age_at = port->linger_at = port->gap_at = 0;
	port->stall_at = port->turn_at = port->pace_at = 0;
	if (port->ack != NULL)
		ack_lost(port);
	if (link->endpoint->conf->ops->several)
		port_free(port);
	else {
		port_spool_down(port);
		port_release(port);
	}
	failovers_look(node);
}

static void
on_readable(struct link *link)
{
	struct port *port = link->port;

	port_input(port);
	if (link->read_eof) {
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
on_delivered(struct link *link, unsigned id, int code)
{
	struct port *port = link->port;

	if (port != NULL && port->ack != NULL)
		ack_delivered(port, id, code);
}

static void
on_cut(struct link *link)
{
	in_flight_lost(link->port);
}

static void
on_state(struct endpoint *ep)
{
	struct node *node = ep->node;
	struct port *port;

	TAILQ_FOREACH(port, &node->ports, entry) {
		port_set_pace(port);
		port_pace_begin(port);
		if (port->full)
			port_release(port);
	}
	failovers_look(node);
	node_warnings_note(node);
	/* Its keys may have changed. */
	node_record(node);
	taps_state(node);
	node_silence(node);
	if (node->bridge->changed != NULL)
		node->bridge->changed(node->bridge);
}

/* The noun for a frame of this framing. */
static const char *
noun(const struct framing_conf *conf, char *buf, size_t size)
{
	if (conf->rule->noun != NULL)
		return conf->rule->noun;
	snprintf(buf, size, "a frame (%s)", conf->rule->name);
	return buf;
}

/* ", 247 bytes so far"; "" between frames. */
static const char *
held_text(const struct port *port, char *buf, size_t size)
{
	buf[0] = '\0';
	if (port->held_len > 0)
		snprintf(buf, size, ", %zu byte%s so far", port->held_len,
		    port->held_len == 1 ? "" : "s");
	return buf;
}

static void
read_label(const struct port *port, char *buf, size_t size)
{
	const struct link *link = port->link;
	const struct endpoint_conf *conf = port->conf;
	char what[48], held[40];

	if (link->read_eof)
		snprintf(buf, size, "nothing: %s (%s) sends no more",
		    link->name, link->address);
	else if (port->blocked_by != NULL)
		snprintf(buf, size,
		    "room in %s's queue, before %s (%s) is read"
		    " on",
		    port->blocked_by->link->name, link->name, link->address);
	else if (port->node->endpoint->paused)
		snprintf(buf, size, "to be resumed: %s (%s) was paused by hand",
		    link->name, link->address);
	else
		snprintf(buf, size, "%s from %s (%s%s)",
		    noun(&conf->framing, what, sizeof(what)), link->name,
		    link->address, held_text(port, held, sizeof(held)));
}

static void
write_label(const struct port *port, char *buf, size_t size)
{
	const struct link *link = port->link;
	size_t frames, queued;
	char bytes[24];

	if (port->ack != NULL) {
		ack_label(port, buf, size);
		return;
	}
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

static struct endpoint *
on_line(struct endpoint *ep, const char *name)
{
	struct node *node = ep->node, *to;
	const struct bridge *b = node->bridge;
	const struct route_source *s = &b->routes->source[node->number];
	struct endpoint *line = NULL;

	if (name != NULL) {
		to = node_find(b->node, b->nnodes, name);
		return to != NULL && to->endpoint->conf->ops->control != NULL
		    ? to->endpoint
		    : NULL;
	}
	for (unsigned i = 0; i < s->ntargets; i++) {
		to = b->node[s->targets[i].to];
		if (to->endpoint->conf->ops->control == NULL)
			continue;
		if (line != NULL)
			return NULL;
		line = to->endpoint;
	}
	return line;
}

static void
on_progress(
    const struct endpoint *ep, uint64_t *ret_done, uint64_t *ret_waiting)
{
	const struct node *node = ep->node;
	const struct port *port = TAILQ_FIRST(&node->ports);

	*ret_done = *ret_waiting = 0;
	if (port == NULL)
		return;
	*ret_done = port->traffic.tx_frames + traffic_dropped(&port->traffic);
	*ret_waiting = port->queue.frames + port->in_flight.waits;
}

const struct endpoint_owner bridge_owner = {
	.up = on_up,
	.down = on_down,
	.readable = on_readable,
	.writable = on_writable,
	.delivered = on_delivered,
	.closing = on_closing,
	.cut = on_cut,
	.label = on_label,
	.state = on_state,
	.line = on_line,
	.progress = on_progress,
};
