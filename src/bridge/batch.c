/*
 * batch: cuts the input of a turn into frames, selects the frames for each destination,
 * and encodes them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "discard.h"
#include "failover.h"

int
bridge_buffers(struct bridge *b, size_t max_frame, unsigned nodes)
{
	/* No framing more than doubles a payload and adds a few bytes. */
	size_t out_size = 5 * TURN_BYTES + 3 * max_frame;
	/*
	 * A list contains each name once with a comma, and that of the peer that gets an
	 * answer.
	 */
	size_t names_size = (nodes + 1) * ENDPOINT_NAME_MAX;
	uint8_t *out, *plain;
	char *names;

	if (b->read_buffer == NULL)
		b->read_buffer = malloc(SMALL_REST + TURN_BYTES);
	if (b->batch == NULL)
		b->batch = calloc(1, sizeof(*b->batch));
	if (b->read_buffer == NULL || b->batch == NULL)
		return -ENOMEM;
	if (names_size > b->names_size) {
		if ((names = realloc(b->names, names_size)) == NULL)
			return -ENOMEM;
		b->names = names;
		b->names_size = names_size;
	}
	if (out_size <= b->out_size)
		return 0;
	out = malloc(out_size);
	plain = malloc(out_size);
	if (out == NULL || plain == NULL) {
		free(out);
		free(plain);
		return -ENOMEM;
	}
	free(b->out);
	free(b->plain);
	b->out = out;
	b->plain = plain;
	b->out_size = out_size;
	return 0;
}

/* Not inlined: that would slow down the loop of batch_cut(). */
static __attribute__((noinline)) void
count_bad(struct port *port, const struct decoded *d, const uint8_t *data)
{
	COUNT(port, bad_bytes[d->reason], d->used);
	if (is_tapped(port->node->bridge, TAPPED_BAD))
		taps_bad(port, d->reason, data, d->used, d->again);
	if (d->again)
		return;
	COUNT(port, bad[d->reason], 1);
	port_discarded(port);
	loss_discarded(port->node, d->reason, d->used);
}

void
batch_start(struct batch *batch, struct port *from)
{
	batch->from = from;
	batch->class = NO_CLASS;
	if (from != NULL && from->node->alike)
		batch->class = from->node->framing_class;
	batch->n = batch->npick = 0;
	batch->payload = batch->wire = 0;
	batch->in_row = true;
	batch->all = false;
	batch->skip_answers = false;
	batch->data = NULL;
}

void
batch_only(struct batch *batch, const struct item *item)
{
	batch->item[0] = *item;
	batch->n = 1;
	batch->payload = item->len;
	batch->wire = item->wire_len;
	batch->in_row = false;
}

/* Frames are unstuffed into a separate buffer if they may be forwarded as received. */
static void
decoder_start(struct port *from)
{
	from->decoder.copy =
	    from->node->alike ? from->node->bridge->plain : NULL;
}

/* Adds the frame that was decoded from the bytes at wire. */
static inline void
batch_add(struct batch *batch, const struct decoded *d, const uint8_t *wire,
    uint64_t now)
{
	batch->item[batch->n] = (struct item){
		.payload = d->payload,
		.len = d->len,
		.wire = d->verbatim && batch->class != NO_CLASS ? wire : NULL,
		.wire_len = d->used,
		.since_ns = now,
		.route = NO_ROUTE,
		.refused_by = NO_ROUTE,
	};
	batch->payload += d->len;
	batch->wire += d->used;
	batch->in_row &= d->verbatim;
	batch->end[batch->n++] = batch->wire;
}

bool
batch_cut(struct batch *batch, struct port *from, uint8_t **in, size_t *len,
    size_t room, uint64_t now)
{
	enum decode_result result = DECODE_FRAME;
	uint8_t *at = *in, *end = at + *len;
	struct decoded d;
	unsigned most = is_watched(from) ? WATCHED_FRAMES : BATCH_FRAMES;
	size_t taken = 0;
	uint64_t unchecked = 0;

	batch_start(batch, from);
	decoder_start(from);
	while (batch->n < most && taken < room && at < end) {
		result =
		    framing_decode(&from->decoder, at, (size_t)(end - at), &d);
		if (result == DECODE_MORE)
			break;
		if (result == DECODE_FRAME) {
			batch_add(batch, &d, at, now);
			taken += MAX(d.len, (size_t)QUEUE_FLOOR);
			unchecked += d.unchecked;
		} else {
			batch->in_row &= batch->n == 0;
			count_bad(from, &d, at);
			if (from->decoder.work >= TURN_WORK)
				room = 0;
		}
		at += d.used;
	}
	from->decoder.work += (size_t)(at - *in);
	if (unchecked > 0)
		COUNT(from, unchecked, unchecked);
	*in = at;
	*len = (size_t)(end - at);
	return result != DECODE_MORE && at < end;
}

size_t
batch_cut_end(struct batch *batch, struct port *from, batch_end *end,
    uint8_t *in, size_t len, uint64_t now)
{
	struct decoded d;

	batch_start(batch, from);
	decoder_start(from);
	switch (end(&from->decoder, in, len, &d)) {
	case DECODE_FRAME:
		batch_add(batch, &d, in, now);
		return d.used;
	case DECODE_BAD:
		count_bad(from, &d, in);
		return d.used;
	default:
		return 0;
	}
}

void
batch_hear(const struct batch *batch)
{
	const struct node *from = batch->from->node;
	struct routes *routes = from->bridge->routes;
	const struct item *item;

	failovers_hear(batch);
	if (routes->systems == NULL)
		return;
	for (unsigned i = 0; i < batch->n; i++) {
		item = &batch->item[i];
		systems_hear(&routes->systems[from->number], item->payload,
		    item->len, item->since_ns);
	}
}

void
batch_pick(struct batch *batch, const struct route_target *target)
{
	const struct framing_conf *framing =
	    batch->from != NULL ? &batch->from->conf->framing : NULL;
	struct route *route = target->via[0];

	batch->npick = batch->nrejected = 0;
	batch->data = NULL;
	batch->all = target->plain && !batch->skip_answers;
	if (batch->all) {
		for (unsigned i = 0; i < batch->n; i++) {
			batch->item[i].route = route->number;
			batch->pick[i] = i;
		}
		batch->npick = batch->n;
		route->frames += batch->n;
		route->bytes += batch->payload;
		return;
	}
	for (unsigned i = 0; i < batch->n; i++) {
		struct item *item = &batch->item[i];

		if (batch->skip_answers && item->answer)
			continue;
		route =
		    route_verdict(target, batch->from, framing, item->payload,
			item->len, item->since_ns, &item->refused_by);
		if (route == NULL) {
			batch->nrejected++;
			continue;
		}
		item->route = route->number;
		batch->pick[batch->npick++] = i;
		route->frames++;
		route->bytes += item->len;
	}
}

/* Counts the drop for each port to which the frame would have been sent. */
static void
node_drop(struct node *node, const struct port *from, enum drop_reason reason,
    const struct item *item)
{
	struct port *port;

	TAILQ_FOREACH(port, &node->ports, entry)
		if (port_gets(port, from)) {
			COUNT(port, offered, 1);
			port_drop(port, reason, item->payload, item->len);
		}
}

/* The maximum length of an encoded frame for the endpoint. */
static size_t
longest(const struct endpoint *ep)
{
	return ep->conf->ops->datagram != 0 ? ep->conf->ops->datagram
					    : SIZE_MAX;
}

/* Whether the frame is to be sent to the node as it was received. */
static inline bool
item_stays(
    const struct batch *batch, const struct item *item, const struct node *to)
{
	const struct endpoint *ep = to->endpoint;

	return batch->class == to->framing_class && item->wire != NULL &&
	    item->wire_len <= longest(ep) &&
	    framing_obeys(&ep->conf->framing, item->wire, item->wire_len);
}

/*
 * Writes a frame, as received or encoded, after the used bytes of the shared buffer.
 * -EINVAL; -EMSGSIZE.
 */
static long
write_frame(const struct node *to, const struct batch *batch,
    const struct item *item, size_t used)
{
	const struct framing_conf *conf = &to->endpoint->conf->framing;
	const struct bridge *b = to->bridge;
	const uint8_t *payload = item->payload;
	size_t len = item->len;
	long n;

	if (item_stays(batch, item, to)) {
		if (item->wire_len > b->out_size - used)
			return -EMSGSIZE;
		memcpy(b->out + used, item->wire, item->wire_len);
		return (long)item->wire_len;
	}
	if (framing_bound(conf, len) > b->out_size - used)
		return -EMSGSIZE;
	n = framing_encode(conf, payload, len, b->out + used);
	return n >= 0 && (size_t)n > longest(to->endpoint) ? -EMSGSIZE : n;
}

/* Whether the picked frames are contiguous in the input, as they are to be sent. */
static bool
batch_verbatim(struct batch *batch, const struct node *to)
{
	const struct item *item;
	const uint8_t *next = NULL;
	size_t total = 0;

	if (batch->class != to->framing_class)
		return false;
	if (batch->all && batch->in_row && longest(to->endpoint) == SIZE_MAX &&
	    !to->endpoint->conf->framing.output) {
		batch->data = batch->item[0].wire;
		return true;
	}
	batch->in_row = false;
	for (unsigned i = 0; i < batch->npick; i++) {
		item = &batch->item[batch->pick[i]];
		if (!item_stays(batch, item, to) ||
		    (next != NULL && item->wire != next))
			return false;
		next = item->wire + item->wire_len;
		total += item->wire_len;
		batch->end[i] = total;
	}
	batch->data = batch->item[batch->pick[0]].wire;
	return true;
}

void
batch_encode(struct batch *batch, struct node *to)
{
	unsigned n = 0;
	size_t total = 0;
	long len;

	if (batch_verbatim(batch, to))
		return;
	for (unsigned i = 0; i < batch->npick; i++) {
		const struct item *item = &batch->item[batch->pick[i]];

		len = write_frame(to, batch, item, total);
		if (len < 0) {
			node_drop(to, batch->from, DROP_UNENCODABLE, item);
			continue;
		}
		total += (size_t)len;
		batch->end[n] = total;
		batch->pick[n++] = batch->pick[i];
	}
	batch->in_row = false;
	batch->npick = n;
	batch->data = to->bridge->out;
}

unsigned
batch_run(const struct batch *batch, unsigned i, unsigned n)
{
	const struct item *first = &batch->item[batch->pick[i]], *item;
	unsigned run;

	if (batch->all)
		return n - i;
	for (run = 1; i + run < n; run++) {
		item = &batch->item[batch->pick[i + run]];
		if (item->route != first->route ||
		    item->since_ns != first->since_ns)
			break;
	}
	return run;
}

uint64_t
batch_payload(const struct batch *batch, unsigned n)
{
	uint64_t payload = 0;

	if (batch->all && n == batch->n)
		return batch->payload;
	for (unsigned i = 0; i < n; i++)
		payload += batch->item[batch->pick[i]].len;
	return payload;
}

/* Appends the frame to a batch that is for this node only, without counting it in n. */
static struct item *
set_queued(struct batch *batch, const struct queued *q, const struct node *to)
{
	struct item *item = &batch->item[batch->n];

	batch->class = to->framing_class;
	*item = (struct item){
		.payload = q->payload,
		.len = q->len,
		.wire = q->spelled == to->framing_id ? q->wire : NULL,
		.wire_len = q->wire_len,
		.since_ns = q->since_ns,
		.route = q->route,
		.refused_by = NO_ROUTE,
	};
	return item;
}

void
batch_add_queued(
    struct batch *batch, const struct queued *q, const struct node *to)
{
	set_queued(batch, q, to);
	batch->pick[batch->n++] = batch->npick++;
}

struct queued
item_queued(
    const struct batch *batch, const struct item *item, const struct node *to)
{
	struct queued q = { .payload = item->payload,
		.len = item->len,
		.since_ns = item->since_ns,
		.route = item->route };

	if (item_stays(batch, item, to)) {
		q.wire = item->wire;
		q.wire_len = item->wire_len;
		q.spelled = to->framing_id;
	}
	return q;
}

/*
 * Adds one queued frame, encoded, to the batch.  Returns false when the batch has size
 * bytes or no more room for it, or when its framing cannot express it (*ret_bad).
 */
static bool
fill_encoded(struct batch *batch, struct port *port, const struct queued *q,
    size_t size, bool *ret_bad)
{
	const struct framing_conf *conf = &port->conf->framing;
	struct bridge *b = port->node->bridge;
	size_t total = batch->n > 0 ? batch->end[batch->n - 1] : 0;
	size_t most = MAX(framing_bound(conf, q->len), q->wire_len);
	struct item *item;
	long n;

	if (batch->n == BATCH_FRAMES || (batch->n > 0 && port->apart) ||
	    (batch->n > 0 && (total >= size || most > b->out_size - total)))
		return false;
	item = set_queued(batch, q, port->node);
	n = write_frame(port->node, batch, item, total);
	if (n < 0) {
		*ret_bad = true;
		return false;
	}
	batch->end[batch->n] = total + (size_t)n;
	batch->pick[batch->n++] = batch->npick++;
	return true;
}

long
batch_encode_one(
    struct batch *batch, const struct port *port, const struct queued *frame)
{
	batch_start(batch, NULL);
	batch->data = port->node->bridge->out;
	return write_frame(
	    port->node, batch, set_queued(batch, frame, port->node), 0);
}

void
batch_fill(struct batch *batch, struct port *port)
{
	struct in_flight *h = &port->in_flight;
	struct queued q = in_flight_queued(h);
	size_t pos = 0, size = MAX(2 * port->flushed, (size_t)FLUSH_MIN);
	bool bad = false;

	size = MIN(size, (size_t)TURN_BYTES);
	batch_start(batch, NULL);
	batch->data = port->node->bridge->out;
	if (h->waits && !fill_encoded(batch, port, &q, size, &bad)) {
		port_drop_in_flight(port, DROP_UNENCODABLE);
		bad = false;
	}
	while (queue_next(&port->queue, &pos, &q)) {
		if (fill_encoded(batch, port, &q, size, &bad))
			continue;
		if (!bad || batch->n > 0)
			break;
		port_drop(port, DROP_UNENCODABLE, q.payload, q.len);
		queue_pop(&port->queue);
		bad = false;
		pos = 0;
	}
}
