/*
 * queue_record: a frame in the ring of a queue.
 *
 * The header is followed by the struct origin of a frame that has one (ORIGIN), with its
 * topic.  Then, without a spelling, follows the payload.  That of a SPELLED frame is a struct
 * spelling and the frame as received; the payload is a part of the latter, at an offset, or
 * follows it (BEHIND).
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

/* The size of payload and spelling. */
static size_t
body_size(const struct queued *f)
{
	if (f->wire == NULL)
		return f->len;
	return sizeof(struct spelling) + f->wire_len +
	    (lies_inside(f) ? 0 : f->len);
}

size_t
record_size(const struct queued *f)
{
	return body_size(f) + f->origin_len;
}

size_t
record_cost(const struct queued *f)
{
	size_t more = record_size(f) - f->len;

	return queue_cost(f->len) +
	    (more > sizeof(struct spelling) + QUEUE_FLOOR ? more : 0);
}

static void
store_spelled(uint8_t *to, const struct queued *f)
{
	struct spelling s = { f->spelled, (uint32_t)f->len };
	bool inside = lies_inside(f);

	s.payload |= (inside ? (uint32_t)(f->payload - f->wire) : BEHIND)
	    << OFFSET;
	memcpy(to, &s, sizeof(s));
	memcpy(to + sizeof(s), f->wire, f->wire_len);
	if (!inside && f->len > 0)
		memcpy(to + sizeof(s) + f->wire_len, f->payload, f->len);
}

uint32_t
record_store(uint8_t *to, const struct queued *f)
{
	uint32_t flags = 0;

	if (f->origin_len > 0) {
		memcpy(to, f->origin, f->origin_len);
		to += f->origin_len;
		flags |= ORIGIN;
	}
	if (f->wire != NULL) {
		store_spelled(to, f);
		flags |= SPELLED;
	} else if (f->len > 0)
		memcpy(to, f->payload, f->len);
	return (uint32_t)record_size(f) | flags;
}

/* Reads the origin in front of len bytes; returns its length, 0 if it is invalid. */
static size_t
read_origin(const uint8_t *at, size_t len, struct queued *f)
{
	f->origin = (const void *)at;
	f->origin_len = origin_size(f->origin, len);
	return f->origin_len;
}

static bool
read_spelled(const uint8_t *at, size_t len, struct queued *f)
{
	struct spelling s;
	size_t offset;

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

bool
record_read(const struct header *h, struct queued *f)
{
	const uint8_t *at = (const uint8_t *)(h + 1);
	size_t len = h->len & LENGTH, n;

	f->payload = at;
	f->len = len;
	f->wire = NULL;
	f->wire_len = 0;
	f->spelled = 0;
	f->origin = NULL;
	f->origin_len = 0;
	if (h->len & ORIGIN) {
		if ((n = read_origin(at, len, f)) == 0)
			return false;
		at += n;
		len -= n;
		f->payload = at;
		f->len = len;
	}
	return !(h->len & SPELLED) || read_spelled(at, len, f);
}
