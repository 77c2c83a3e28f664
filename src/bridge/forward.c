/*
 * forward: the data path, in the order in which data takes it.  Frames that a port cannot
 * accept now enter its queue in enqueue.c, and leave it in flush.c.
 *
 * A turn is one read callback.  The input is cut into a batch of frames that point into
 * it; the frames for each destination are encoded once, into one buffer (or, where the
 * destination has the same framing, are the input itself), and written with one system
 * call to each port that has nothing queued.  Only frames that a port cannot accept now
 * are copied, into its queue.
 *
 * Flow control: before frames are cut, port_room() determines how much every destination
 * can still accept.  If a queue with overflow = block has no room, the source is not read
 * until that queue is half empty and the source has its turn (port.c).
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "exchange.h"
#include "history.h"
#include "pace.h"

static void port_forward(struct batch *);

static inline void
tell_bytes(const struct port *port, bool out, const uint8_t *data, size_t len)
{
	if (taps_see_bytes)
		taps_bytes(port, out, data, len);
}

/* --- 1. input: from bytes to frames --------------------------------------- */

/* Keeps the bytes that were not decoded for the next turn. */
static void
port_keep(struct port *port, const uint8_t *in, size_t len)
{
	if (in == port->held) {
		port->held_len = len;
	} else if (port->held != NULL && in > port->held &&
	    in < port->held + port->held_size) {
		memmove(port->held, in, len);
		port->held_len = len;
	} else if (len > 0) {
		assert(len <= port->held_size);
		memcpy(port->held, in, len);
		port->held_len = len;
	} else
		port->held_len = 0;
	if (port->held_len == 0 && port->held_size > 4 * SMALL_REST) {
		free(port->held);
		port->held = NULL;
		port->held_size = 0;
	}
}

static int
port_reserve(struct port *port, size_t size)
{
	uint8_t *held;

	if (size <= port->held_size)
		return 0;
	size = (size + 255) & ~(size_t)255;
	if ((held = realloc(port->held, size)) == NULL)
		return -ENOMEM;
	port->held = held;
	port->held_size = size;
	return 0;
}

/*
 * Reads after the bytes that were kept: into the shared buffer, or, when many bytes are
 * kept, into the port's own.  While those kept may contain whole frames, nothing is read,
 * so that a port keeps at most one read and the beginning of a frame.  Returns the number
 * of bytes.
 */
static size_t
port_read(struct port *port, size_t room, uint8_t **ret)
{
	uint8_t *turn = port->node->bridge->read_buffer;
	size_t want = MIN(MAX(room, port->least_read), (size_t)TURN_BYTES);
	size_t n, held = port->held_len;

	if (port->backlog && port->link->up) {
		*ret = port->held;
		return held;
	}
	if (held > SMALL_REST) {
		*ret = port->held;
		if (port_reserve(port, held + SMALL_REST) < 0)
			return held;
		*ret = port->held;
		n = link_read(port->link, port->held + held, SMALL_REST, false);
		tell_bytes(port, false, port->held + held, n);
		if (port->local_echo != NULL)
			n = port_echo_remove(
			    port, port->held + held, n, SMALL_REST);
		COUNT(port, rx_bytes, n);
		return held + n;
	}
	*ret = turn;
	if (held > 0)
		memcpy(turn, port->held, held);
	n = link_read(port->link, turn + held, want,
	    port->node->read_until_full && !port->node->bridge->stopping);
	tell_bytes(port, false, turn + held, n);
	if (port->local_echo != NULL)
		n = port_echo_remove(
		    port, turn + held, n, SMALL_REST + TURN_BYTES - held);
	COUNT(port, rx_bytes, n);
	return held + n;
}

/* Whether there are frames in the batch, and they may be forwarded. */
static inline bool
port_permits(struct port *port, struct batch *batch, size_t used)
{
	if (port->refused_len > 0 && port_refuses(port, batch, used))
		return false;
	return batch->n > 0;
}

/* How many bytes of frames are cut at a time: one frame if only its beginning, or the
 * beginning of the input before it, was refused. */
static inline size_t
cut_size(const struct port *port, size_t len, size_t room)
{
	return port->refused_len > 0 && port->refused_len < len ? 1 : room;
}

static void
port_input_end(struct port *port, batch_end *end)
{
	struct batch *batch = port->node->bridge->batch;
	uint64_t now = task_now();
	size_t used, len = port->held_len;
	uint8_t *in = port->held;

	while (len > 0) {
		used = batch_cut_end(batch, port, end, in, len, now);
		if (used == 0)
			break;
		if (port_permits(port, batch, used))
			port_forward(batch);
		in += used;
		len -= used;
	}
	port_keep(port, in, len);
}

/* All input was decoded: what is kept is the rest of a datagram. */
static void
port_datagram_end(struct port *port)
{
	port_input_end(port, framing_datagram_end);
	framing_next_datagram(&port->decoder);
}

/*
 * Whether the turn may continue: its budget is not used up, or the link is lost, so that
 * there is no other turn.
 */
static bool
may_go_on(struct port *port)
{
	struct routes *routes = port->node->bridge->routes;

	if (port->decoder.work < TURN_WORK && routes->spent < EXPRESSION_WORK &&
	    !is_watched(port))
		return true;
	if (port->link->up)
		return false;
	port->decoder.work = routes->spent = 0;
	return true;
}

void
port_input(struct port *port)
{
	struct bridge *b = port->node->bridge;
	uint64_t now = task_now();
	const struct route_source *source =
	    &b->routes->source[port->node->number];
	size_t room, len, had, got, before, held = port->held_len;
	bool backlog = port->backlog;
	struct port *by;
	uint8_t *in;
	bool more;

	if (port->link->up && port->node->endpoint->paused)
		return;
	/* Input of a lost link is forwarded in any case. */
	room = port->link->up ? port_room(port, &by) : TURN_BYTES;
	if (room == 0) {
		port_update(port);
		return;
	}
	had = len = port_read(port, room, &in);
	got = backlog ? held : had - held;
	if (port->link->restricted || port->refused_len > 0)
		port_ask(port, held, len);
	port->decoder.work = 0;
	b->routes->spent = 0;
	do {
		before = len;
		more = batch_cut(b->batch, port, &in, &len,
		    cut_size(port, len, MIN(room, source->batch)), now);
		b->queued = false;
		if (port_permits(port, b->batch, before - len))
			port_forward(b->batch);
		if (b->queued && port->link->up)
			room = port_room(port, &by);
	} while (more && room > 0 && may_go_on(port));
	had -= len;
	if (len > port->held_size && port_reserve(port, len) < 0) {
		COUNT(port, bad_bytes[BAD_OVERSIZE], len);
		if (is_tapped(b, TAPPED_BAD))
			taps_bad(port, BAD_OVERSIZE, in, len, false);
		port_start_decoder(port);
		len = 0;
	}
	if (len > 0 || port->held_len > 0)
		port_keep(port, in, len);
	port->backlog = more;
	if (!more && port->conf->framing.datagram != DATAGRAM_NONE)
		port_datagram_end(port);
	if (port->turn && !more)
		port_turn_end(port, got);
	else if (more)
		port_update(port);
	/* Other ports that have become readable are served before the rest. */
	if (more && room > 0) {
		event_base_loopcontinue(b->base);
		task_pass();
	}
	port_age(port, now, had > 0);
}

void
port_silent(struct port *port)
{
	port_input_end(port, framing_silent);
}

void
port_timeout(struct port *port)
{
	port_input_end(port, framing_timeout);
}

/* --- 2. forwarding: routes, filters, taps --------------------------------- */

/*
 * Delivers the batch to all targets; names: receives the names of the destinations, for
 * the taps.
 */
static void
batch_deliver(struct batch *batch, char *names, size_t size)
{
	struct bridge *b = batch->from->node->bridge;
	struct exchange *exchange = batch->from->node->exchange;
	const struct route_source *s =
	    &b->routes->source[batch->from->node->number];

	if (s->hears)
		batch_hear(batch);
	if (exchange != NULL)
		exchange_answer(exchange, batch, names, size);
	for (unsigned i = 0; i < s->ntargets; i++) {
		struct node *to = b->node[s->targets[i].to];

		batch->skip_answers =
		    exchange != NULL && exchange_has_master(exchange, to);
		batch_pick(batch, &s->targets[i]);
		if (!batch->all) {
			to->retired.offered += batch->nrejected;
			to->retired.rejected += batch->nrejected;
		}
		if (batch->npick == 0) {
			if (names != NULL)
				tap_rejected(
				    &s->targets[i], batch->item[0].payload);
			continue;
		}
		if (names != NULL)
			append(names, size, "%s%s", *names != '\0' ? "," : "",
			    to->endpoint->conf->name);
		if (to->exchange != NULL)
			exchange_submit(to->exchange, batch);
		else
			node_deliver(to, batch);
	}
	if (batch->from->node->messages == MESSAGES_REQUESTS)
		exchange_refuse(batch, s);
}

/* Delivers frame by frame when there are taps, so that each is shown with its destinations. */
static void
batch_watched(struct batch *batch)
{
	struct bridge *b = batch->from->node->bridge;
	static struct item item[BATCH_FRAMES];
	unsigned n = batch->n;

	memcpy(item, batch->item, n * sizeof(*item));
	for (unsigned i = 0; i < n; i++) {
		batch_only(batch, &item[i]);
		b->names[0] = '\0';
		tap_begin(item[i].payload);
		batch_deliver(batch, b->names, b->names_size);
		taps_tell(batch->from, b->names, item[i].payload, item[i].len);
	}
}

static void
port_forward(struct batch *batch)
{
	struct port *from = batch->from;

	COUNT(from, rx_frames, batch->n);
	COUNT(from, rx_payload, batch->payload);
	COUNT(from, rx_overhead, batch->wire - batch->payload);
	if (is_watched(from))
		batch_watched(batch);
	else
		batch_deliver(batch, NULL, 0);
}

/* --- 3. output: from frames to bytes -------------------------------------- */

void
port_account(struct port *port, const struct batch *batch, unsigned n)
{
	const struct routes *routes = port->node->bridge->routes;
	uint64_t now = now_ns(), payload = batch_payload(batch, n);
	const struct item *first;
	struct route *route;

	for (unsigned i = 0, run; i < n; i += run) {
		run = batch_run(batch, i, n);
		first = &batch->item[batch->pick[i]];
		if ((route = routes_at(routes, first->route)) != NULL)
			histogram_add(
			    &route->latency, now - first->since_ns, run);
	}
	COUNT(port, tx_frames, n);
	COUNT(port, tx_payload, payload);
	port->progress_ns = now;
	port->stalled = false;
	if (port->apart)
		port_gap(port, now, (size_t)payload);
}

/* Passes the end of a frame to the bufferevent, and records the frame as in flight. */
static void
port_hand(struct port *port, const struct batch *batch, const struct item *item,
    const uint8_t *data, size_t len, bool partial)
{
	const struct queued q = item_queued(batch, item, port->node);
	struct in_flight *h = &port->in_flight;

	if (link_hand(port->link, data, len) < 0) {
		port_drop(port, DROP_MEMORY, item->payload, item->len);
		if (partial)
			link_close(port->link, "out of memory");
		else
			link_trigger(port->link, EV_WRITE);
		return;
	}
	tell_bytes(port, true, data, len);
	COUNT(port, tx_bytes, len);
	if (port->conf->echo)
		port_echo_sent(port, data, len);
	h->waits = true;
	h->partial = partial;
	h->wire = len;
	in_flight_keep(h, &q);
	port->progress_ns = task_now();
}

/*
 * The transport has discarded the datagram of the i-th frame, which is therefore dropped.
 * port_write() counts it as sent.
 */
static void
port_unsent(struct port *port, const struct batch *batch, unsigned i)
{
	const struct item *item = &batch->item[batch->pick[i]];
	size_t start = i > 0 ? batch->end[i - 1] : 0;

	COUNT(port, tx_bytes, start - batch->end[i]);
	COUNT(port, tx_frames, -1);
	COUNT(port, tx_payload, -item->len);
	port_drop(port,
	    port->link->unsent == EMSGSIZE ? DROP_UNENCODABLE : DROP_NO_PEER,
	    item->payload, item->len);
	port->link->unsent = 0;
}

/* Writes the encoded frames as datagrams, with one call each. */
static __attribute__((noinline)) ssize_t
port_write_apart(struct port *port, const struct batch *batch, unsigned most)
{
	size_t start = 0;
	ssize_t n;

	for (unsigned i = 0; i < most; i++) {
		n = link_write(
		    port->link, batch->data + start, batch->end[i] - start);
		if (n <= 0)
			return start > 0 ? (ssize_t)start : n;
		if (port->link->unsent != 0)
			port_unsent(port, batch, i);
		else
			tell_bytes(port, true, batch->data + start, (size_t)n);
		start += (size_t)n;
		if (start < batch->end[i])
			break;
	}
	return (ssize_t)start;
}

/* Writes the encoded frames with one call, unless they are datagrams. */
static ssize_t
port_write_out(struct port *port, const struct batch *batch, unsigned most)
{
	ssize_t n;

	if (port->conf->ops->datagram != 0)
		return port_write_apart(port, batch, most);
	n = link_write(port->link, batch->data, batch->end[most - 1]);
	if (n > 0)
		tell_bytes(port, true, batch->data, (size_t)n);
	return n;
}

/* Passes the first frame to the link, which writes it in pieces. */
static __attribute__((noinline)) unsigned
port_write_paced(struct port *port, const struct batch *batch)
{
	if (!port_open(port))
		return 0;
	port_hand(port, batch, &batch->item[batch->pick[0]], batch->data,
	    batch->end[0], false);
	port_pace_begin(port);
	return 1;
}

unsigned
port_write(struct port *port, const struct batch *batch)
{
	unsigned most = port->apart ? 1 : batch->npick, done = 0;
	size_t total, start;
	ssize_t n;

	if (port->apart && port_paced(port))
		return port_write_paced(port, batch);
	total = batch->end[most - 1];
	n = port_write_out(port, batch, most);
	if (n < 0)
		return 0;
	COUNT(port, tx_bytes, (size_t)n);
	if (port->conf->echo)
		port_echo_sent(port, batch->data, (size_t)n);
	if ((size_t)n == total)
		done = most;
	else
		while (batch->end[done] <= (size_t)n)
			done++;
	if (n > 0)
		port_account(port, batch, done);
	if (done == most)
		return done;
	start = done > 0 ? batch->end[done - 1] : 0;
	port_hand(port, batch, &batch->item[batch->pick[done]], batch->data + n,
	    batch->end[done] - (size_t)n, (size_t)n > start);
	return done + 1;
}

/* Whether a frame can be written now, before any other. */
static bool
port_ready(const struct port *port)
{
	return port_open(port) && !port->in_flight.waits && port->gap_at == 0 &&
	    queue_empty(&port->queue) && !port->spooling;
}

/* Whether the node has no port that frames from that port are delivered to. */
static bool
is_alone(const struct node *to, const struct port *from)
{
	const struct port *port;

	TAILQ_FOREACH(port, &to->ports, entry)
		if (port_gets(port, from))
			return false;
	return true;
}

static void
count_no_peer(struct node *to, const struct batch *batch)
{
	const struct item *item;

	to->retired.offered += batch->npick;
	to->retired.dropped[DROP_NO_PEER] += batch->npick;
	for (unsigned i = 0; i < batch->npick; i++) {
		item = &batch->item[batch->pick[i]];
		to->retired.dropped_bytes += item->len;
		if (is_tapped(to->bridge, TAPPED_FRAMES))
			tap_outcome(item->payload, "dropped for %s: %s",
			    to->endpoint->conf->name,
			    drop_reason_names[DROP_NO_PEER]);
	}
	loss_dropped(
	    to, DROP_NO_PEER, batch->npick, batch->item[batch->pick[0]].len);
}

/* Delivers to one port while there are taps: collects the outcome of each frame. */
static void
port_deliver_watched(struct port *port, const struct batch *batch)
{
	uint64_t before = port->traffic.tx_frames;
	const struct item *item;
	unsigned sent = 0;

	if (port_ready(port))
		sent = port_write(port, batch);
	for (unsigned i = 0; i < batch->npick; i++) {
		item = &batch->item[batch->pick[i]];
		if (i < port->traffic.tx_frames - before)
			tap_sent(port, item->payload);
		else if (i < sent ? port->in_flight.waits
				  : port_queue(port, batch, item))
			tap_queued(port->link->name, item->payload);
	}
}

static __attribute__((noinline)) void
ports_deliver_watched(const struct node *to, const struct batch *batch)
{
	struct port *port;

	TAILQ_FOREACH(port, &to->ports, entry) {
		if (!port_gets(port, batch->from))
			continue;
		COUNT(port, offered, batch->npick);
		port_deliver_watched(port, batch);
	}
}

void
node_deliver(struct node *to, struct batch *batch)
{
	struct port *port, *ready;
	unsigned sent;

	if (to->history != NULL && !history_is_input(to->history))
		history_deliver(to, batch);
	if (is_alone(to, batch->from)) {
		count_no_peer(to, batch);
		return;
	}
	TAILQ_FOREACH(ready, &to->ports, entry)
		if (port_gets(ready, batch->from) && port_ready(ready))
			break;
	if (ready != NULL)
		batch_encode(batch, to);
	if (batch->npick == 0)
		return;
	if (is_tapped(to->bridge, TAPPED_FRAMES)) {
		ports_deliver_watched(to, batch);
		return;
	}
	TAILQ_FOREACH(port, &to->ports, entry) {
		if (!port_gets(port, batch->from))
			continue;
		COUNT(port, offered, batch->npick);
		sent = 0;
		if (port == ready || port_ready(port))
			sent = port_write(port, batch);
		for (unsigned i = sent; i < batch->npick; i++)
			port_queue(port, batch, &batch->item[batch->pick[i]]);
	}
}
