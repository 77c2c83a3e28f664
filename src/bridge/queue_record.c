/*
 * queue_record: a frame in the ring of a queue.
 *
 * The header of a frame without a spelling is followed by its payload.  That of a SPELLED
 * frame is followed by a struct spelling and the frame as received; the payload is a part
 * of the latter, at an offset, or follows it (BEHIND).
 */
#include <string.h>

#include "queue_record.h"

struct spelling {
	uint32_t framing;
	uint32_t payload; /* its length, and the offset << OFFSET */
};
#define OFFSET 21
#define BEHIND (UINT32_MAX >> OFFSET)

size_t
queue_cost(size_t len)
{
	return MAX(len, (size_t)QUEUE_FLOOR);
}

/* Whether the payload is a part of the frame as received, near its beginning. */
static bool
lies_inside(const struct queued *f)
{
	return f->payload >= f->wire && f->payload < f->wire + BEHIND &&
	    f->payload + f->len <= f->wire + f->wire_len;
}

size_t
record_size(const struct queued *f)
{
	if (f->wire == NULL)
		return f->len;
	return sizeof(struct spelling) + f->wire_len +
	    (lies_inside(f) ? 0 : f->len);
}

size_t
record_cost(const struct queued *f)
{
	size_t more = record_size(f) - f->len;

	return queue_cost(f->len) +
	    (more > sizeof(struct spelling) + QUEUE_FLOOR ? more : 0);
}

uint32_t
record_store(uint8_t *to, const struct queued *f)
{
	struct spelling s = { f->spelled, (uint32_t)f->len };
	bool inside;

	if (f->wire == NULL) {
		if (f->len > 0)
			memcpy(to, f->payload, f->len);
		return (uint32_t)f->len;
	}
	inside = lies_inside(f);
	s.payload |= (inside ? (uint32_t)(f->payload - f->wire) : BEHIND)
	    << OFFSET;
	memcpy(to, &s, sizeof(s));
	memcpy(to + sizeof(s), f->wire, f->wire_len);
	if (!inside && f->len > 0)
		memcpy(to + sizeof(s) + f->wire_len, f->payload, f->len);
	return (uint32_t)record_size(f) | SPELLED;
}

bool
record_read(const struct header *h, struct queued *f)
{
	const uint8_t *at = (const uint8_t *)(h + 1);
	size_t len = h->len & LENGTH, offset;
	struct spelling s;

	f->payload = at;
	f->len = len;
	f->wire = NULL;
	f->wire_len = 0;
	f->spelled = 0;
	if (!(h->len & SPELLED))
		return true;
	if (len < sizeof(s))
		return false;
	memcpy(&s, at, sizeof(s));
	len -= sizeof(s);
	f->len = s.payload & ((1u << OFFSET) - 1);
	offset = s.payload >> OFFSET;
	if (f->len > len || (offset != BEHIND && offset > len - f->len))
		return false;
	f->spelled = s.framing;
	f->wire = at + sizeof(s);
	f->wire_len = offset == BEHIND ? len - f->len : len;
	f->payload = f->wire + (offset == BEHIND ? f->wire_len : offset);
	return true;
}
