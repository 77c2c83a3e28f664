/* saved_frame: a queued frame in the state file for the next process. */
#include <string.h>

#include "restore.h"

/* More than the encoding of a frame in any framing. */
#define WIRE_MAX (3 * (size_t)FRAMING_MAX_FRAME)

void
frame_save(const struct queued *q, struct pack *p)
{
	pack_number(p, q->since_ns);
	pack_number(p, q->route);
	pack_bytes(p, q->payload, q->len);
	pack_number(p, q->spelled);
	pack_bytes(p, q->wire, q->wire_len);
	pack_bytes(p, q->origin, q->origin_len);
}

void
queue_save(const struct queue *queue, struct pack *p)
{
	struct queued q;
	size_t pos = 0;

	pack_number(p, queue->frames);
	while (queue_next(queue, &pos, &q))
		frame_save(&q, p);
}

/* The frame as received, if it was saved. */
void
frame_read_wire(struct unpack *u, struct queued *q)
{
	struct span wire;

	if (u->version < PACK_WIRE)
		return;
	q->spelled = (uint32_t)unpack_number_to(u, UINT32_MAX);
	unpack_span(u, &wire);
	if (wire.len > WIRE_MAX)
		u->failed = true;
	q->wire = wire.len > 0 ? wire.at : NULL;
	q->wire_len = wire.len;
}

/*
 * Finds the payload in the frame as received.  It is saved apart, but the queue needs no
 * space for a payload that lies in the frame (queue_record.c).
 */
static void
find_payload(struct queued *q)
{
	const uint8_t *at = memmem(q->wire, q->wire_len, q->payload, q->len);

	if (at != NULL)
		q->payload = at;
}

bool
frame_origin(const uint8_t *at, size_t len, struct queued *q)
{
	static _Alignas(struct origin) uint8_t buf[ORIGIN_SIZE_MAX];
	const struct origin *origin = (const void *)buf;

	if (len > sizeof(buf))
		return false;
	memcpy(buf, at, len);
	if (len == 0 || origin_size(origin, len) != len)
		return false;
	q->origin = origin;
	q->origin_len = len;
	return true;
}

/* The origin, if it was saved. */
static void
read_origin(struct unpack *u, struct queued *q)
{
	struct span span;

	if (u->version < PACK_ORIGINS)
		return;
	unpack_span(u, &span);
	if (span.len > 0 && !frame_origin(span.at, span.len, q))
		u->failed = true;
}

void
frame_read(struct unpack *u, struct queued *q)
{
	struct span payload;

	memset(q, 0, sizeof(*q));
	q->since_ns = unpack_number(u);
	q->route = (unsigned)unpack_number_to(u, UINT32_MAX);
	unpack_span(u, &payload);
	if (payload.len > FRAMING_MAX_FRAME)
		u->failed = true;
	q->payload = payload.at;
	q->len = payload.len;
	frame_read_wire(u, q);
	if (q->wire != NULL && q->len > 0 && !u->failed)
		find_payload(q);
	read_origin(u, q);
}
