/*
 * latest: routes that keep only the newest of each message for a port that cannot accept
 * it now.
 *
 * The newer frame takes the older one's place in the queue, not the last one.  Therefore
 * a message that is sent often is not delayed indefinitely, and does not delay others.
 *
 * The older frame is found with a hash table.  An entry has the hash of a message and the
 * place of its frame in the queue; the message itself is read from the frame.  Entries of
 * frames that have left the queue are not removed: their places are no longer valid, and
 * they are overwritten, or left out when the table is rebuilt.  The hash is keyed, so
 * that a sender cannot choose messages that collide.
 */
#include <sys/random.h>

#include <stdlib.h>
#include <string.h>

#include "ack.h"
#include "batch.h"

#define TABLE_MIN 64
/* The maximum size of the table that is kept when the queue is empty. */
#define TABLE_KEPT 1024

struct place {
	uint64_t place;
	uint32_t hash; /* 0: free, and has always been */
};

struct latest_table {
	unsigned rebuilt; /* queue.rebuilt when it was built */
	size_t size;	  /* a power of two */
	size_t used;
	struct place at[];
};

static enum latest
kind_of(const struct routes *routes, unsigned number)
{
	const struct route *route = routes_at(routes, number);
	const struct route_conf *conf = route != NULL ? route->conf : NULL;

	return conf == NULL ? LATEST_NONE : (enum latest)conf->latest;
}

/* Never returns 0. */
static uint32_t
hash_message(unsigned route, const struct bytes *key)
{
	static uint64_t secret[2];
	uint64_t h;

	if (secret[1] == 0) {
		/* Without random numbers the hash is not keyed. */
		if (getrandom(secret, sizeof(secret), GRND_NONBLOCK) < 0)
			secret[0] = secret[1] = 0x9e3779b97f4a7c15;
		secret[1] |= 1;
	}
	h = (secret[0] ^ route) * secret[1];
	for (size_t i = 0; i < key->len; i++)
		h = (h ^ h >> 32 ^ key->b[i]) * secret[1];
	h ^= h >> 32;
	return MAX((uint32_t)h, 1u);
}

/* The hash of the frame's message; 0: its route keeps all messages. */
static uint32_t
hash_frame(const struct port *port, unsigned route, const uint8_t *payload,
    size_t len, struct bytes *key)
{
	enum latest kind = kind_of(port->node->bridge->routes, route);

	if (kind == LATEST_NONE || !latest_key(kind, payload, len, key))
		return 0;
	return hash_message(route, key);
}

/* --- the table ----------------------------------------------------------- */

/* Whether the frame of the entry is still queued; *ret is that frame. */
static bool
waits(const struct port *port, const struct place *at, struct queued *ret)
{
	return at->hash != 0 && queue_at(&port->queue, at->place, ret);
}

/* The entry of a queued frame with the same message, or a vacant one for it. */
static struct place *
find(struct port *port, uint32_t hash, unsigned route, const struct bytes *key,
    struct queued *ret)
{
	struct latest_table *table = port->latest;
	struct place *vacant = NULL;
	struct bytes other;

	for (size_t i = hash;; i++) {
		struct place *at = &table->at[i & (table->size - 1)];

		if (!waits(port, at, ret)) {
			if (vacant == NULL)
				vacant = at;
			if (at->hash == 0)
				break;
		} else if (at->hash == hash && ret->route == route &&
		    hash_frame(port, route, ret->payload, ret->len, &other) ==
			hash &&
		    other.len == key->len &&
		    memcmp(other.b, key->b, key->len) == 0)
			return at;
	}
	ret->payload = NULL;
	return vacant;
}

/* Enters the frame as the newest one of its message. */
static void
enter(struct port *port, const struct queued *frame)
{
	struct latest_table *table = port->latest;
	struct place *at;
	struct queued old;
	struct bytes key;
	uint32_t hash;

	hash = hash_frame(port, frame->route, frame->payload, frame->len, &key);
	if (hash == 0)
		return;
	at = find(port, hash, frame->route, &key, &old);
	table->used += at->hash == 0;
	*at = (struct place){ frame->place, hash };
}

/*
 * Rebuilds the table from the queued frames, with room for one more.  Without memory there
 * is no table, and nothing is replaced.
 */
static void
make_table(struct port *port)
{
	const struct queue *q = &port->queue;
	size_t size = TABLE_MIN, pos = 0;
	struct queued frame;

	while (size < 2 * (q->frames + 1))
		size *= 2;
	free(port->latest);
	port->latest =
	    calloc(1, sizeof(*port->latest) + size * sizeof(*port->latest->at));
	if (port->latest == NULL)
		return;
	port->latest->size = size;
	port->latest->rebuilt = q->rebuilt;
	while (queue_next(q, &pos, &frame))
		enter(port, &frame);
}

/* Whether there is a table with room for one more whose places are valid. */
static bool
usable(const struct port *port)
{
	const struct latest_table *table = port->latest;

	return table != NULL && table->rebuilt == port->queue.rebuilt &&
	    table->used < table->size / 4 * 3;
}

void
latest_forget(struct port *port)
{
	free(port->latest);
	port->latest = NULL;
}

/* --- queueing a frame ----------------------------------------------------- */

/* Puts the frame in the place of the older one, which the taps are shown. */
static bool
replace(struct port *port, const struct queued *old, const struct queued *frame)
{
	_Alignas(struct origin) uint8_t origin[ORIGIN_SIZE_MAX];
	uint8_t *copy = is_watched(port) ? malloc(old->len + 1) : NULL;
	struct queued new = *frame;
	size_t len = old->len;
	bool done;

	/* It takes over the identity, too. */
	if (old->origin_len > 0) {
		memcpy(origin, old->origin, old->origin_len);
		new.origin = (const struct origin *)(const void *)origin;
		new.origin_len = old->origin_len;
	}
	if (copy != NULL && len > 0)
		memcpy(copy, old->payload, len);
	done = queue_put(&port->queue, old->place, &new) == 0;
	if (done)
		port_drop(port, DROP_REPLACED, copy, len);
	free(copy);
	return done;
}

bool
latest_replace(struct port *port, const struct queued *frame, bool admitted,
    bool *ret_enter)
{
	struct queue *q = &port->queue;
	struct queued old;
	struct bytes key;
	uint32_t hash =
	    hash_frame(port, frame->route, frame->payload, frame->len, &key);

	*ret_enter = hash != 0;
	if (hash == 0)
		return false;
	if (queue_empty(q) && port->latest != NULL &&
	    port->latest->size > TABLE_KEPT)
		latest_forget(port);
	if (!usable(port))
		make_table(port);
	if (port->latest == NULL)
		return false;
	find(port, hash, frame->route, &key, &old);
	if (old.payload == NULL ||
	    (port->ack != NULL && ack_has(port, old.place)) ||
	    (!admitted &&
		q->bytes - queue_cost(old.len) + queue_cost(frame->len) >
		    q->limit))
		return false;
	return replace(port, &old, frame);
}

void
latest_enter(struct port *port)
{
	struct queued frame;

	if (port->latest == NULL)
		return;
	if (!usable(port))
		make_table(port);
	else if (queue_at(&port->queue, queue_last(&port->queue), &frame))
		enter(port, &frame);
}
