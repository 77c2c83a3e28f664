/*
 * traffic: counters, the number of queued frames, and the copy of the frame in flight.
 */
#include <stdlib.h>
#include <string.h>

#include "port_spool.h"

const char *const drop_reason_names[DROP_REASONS] = {
	[DROP_OVERFLOW] = "overflow",
	[DROP_REPLACED] = "replaced",
	[DROP_DOWN] = "down",
	[DROP_STALLED] = "stalled",
	[DROP_UNENCODABLE] = "unencodable",
	[DROP_CUT] = "cut",
	[DROP_CLOSED] = "closed",
	[DROP_NO_PEER] = "nobody",
	[DROP_MEMORY] = "memory",
	[DROP_EXPIRED] = "expired",
	[DROP_DAMAGED] = "damaged",
	[DROP_DISCARDED] = "discarded",
	[DROP_REFUSED] = "refused",
};

/* All members of struct traffic are uint64_t counters. */
void
traffic_add(struct traffic *to, const struct traffic *t)
{
	uint64_t *sum = (uint64_t *)to;
	const uint64_t *more = (const uint64_t *)t;

	for (size_t i = 0; i < sizeof(*t) / sizeof(*more); i++)
		sum[i] += more[i];
}

void
node_traffic(const struct node *n, struct traffic *ret)
{
	const struct port *port;

	*ret = n->retired;
	TAILQ_FOREACH(port, &n->ports, entry)
		traffic_add(ret, &port->traffic);
}

uint64_t
node_received(const struct node *n)
{
	uint64_t frames = n->retired.rx_frames;
	const struct port *port;

	TAILQ_FOREACH(port, &n->ports, entry)
		frames += port->traffic.rx_frames;
	return frames;
}

uint64_t
traffic_dropped(const struct traffic *t)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < DROP_REASONS; i++)
		sum += t->dropped[i];
	return sum;
}

uint64_t
traffic_errors(const struct traffic *t)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < BAD_REASONS; i++)
		sum += t->bad[i];
	return sum;
}

void
port_queued(const struct port *port, size_t *bytes, size_t *frames)
{
	size_t more, n;

	*bytes = port->queue.payload;
	*frames = port->queue.frames;
	if (port->spooling) {
		port_spool_count(port, &more, &n);
		*bytes += more;
		*frames += n;
	}
	if (port->in_flight.waits) {
		*bytes += port->in_flight.len;
		*frames += 1;
	}
}

/* --- the frame in flight -------------------------------------------------- */

void
in_flight_keep(struct in_flight *h, const struct queued *q)
{
	uint8_t *copy = malloc(q->len + q->wire_len + 1);

	if (copy != NULL && q->len > 0)
		memcpy(copy, q->payload, q->len);
	if (copy != NULL && q->wire_len > 0)
		memcpy(copy + q->len, q->wire, q->wire_len);
	free(h->payload);
	h->payload = copy;
	h->len = q->len;
	h->since_ns = q->since_ns;
	h->route = q->route;
	h->spelling_len = q->wire_len;
	h->spelled = q->spelled;
}

void
in_flight_clear(struct in_flight *h)
{
	free(h->payload);
	free(h->rest);
	memset(h, 0, sizeof(*h));
}

struct queued
in_flight_queued(const struct in_flight *h)
{
	struct queued q = { .payload = h->payload,
		.len = h->len,
		.since_ns = h->since_ns,
		.route = h->route };

	if (h->payload != NULL && h->spelling_len > 0) {
		q.wire = h->payload + h->len;
		q.wire_len = h->spelling_len;
		q.spelled = h->spelled;
	}
	return q;
}
