/*
 * history: the most recent bytes of an endpoint.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "history.h"
#include "log.h"
#include "restore.h"

struct history {
	bool input;
	size_t limit;
	/* What was read: a ring; it is allocated when the first byte is added. */
	uint8_t *ring;
	size_t at, len;
	/* Of a server. */
	struct queue frames;
};

static bool
is_server(const struct endpoint_ops *ops)
{
	return ops->several && ops->datagram == 0;
}

void
history_free(struct history *h)
{
	if (h == NULL)
		return;
	queue_free(&h->frames);
	free(h->ring);
	free(h);
}

static void
trim(struct history *h)
{
	while (h->frames.bytes > h->limit && !queue_empty(&h->frames))
		queue_pop(&h->frames);
}

/* The oldest frames are forgotten, or all that was read. */
static void
set_limit(struct history *h, size_t limit)
{
	if (h->limit == limit)
		return;
	h->limit = h->frames.limit = limit;
	trim(h);
	free(h->ring);
	h->ring = NULL;
	h->at = h->len = 0;
}

void
node_history(struct node *node)
{
	const struct endpoint_conf *conf = node->endpoint->conf;
	struct history *h = node->history;

	if (conf->history == 0) {
		history_free(h);
		node->history = NULL;
		return;
	}
	if (h == NULL) {
		if ((h = calloc(1, sizeof(*h))) == NULL) {
			log_to(LOG_WARNING, ABOUT_ENDPOINT, conf->name,
			    "no memory for its history");
			return;
		}
		h->input = !is_server(conf->ops);
		queue_init(&h->frames, conf->history);
		node->history = h;
	}
	set_limit(h, conf->history);
}

bool
history_is_input(const struct history *h)
{
	return h->input;
}

void
history_add(struct history *h, const uint8_t *data, size_t len)
{
	size_t n;

	if (h->ring == NULL && (h->ring = malloc(h->limit)) == NULL)
		return;
	if (len > h->limit) {
		data += len - h->limit;
		len = h->limit;
	}
	n = MIN(len, h->limit - h->at);
	memcpy(h->ring + h->at, data, n);
	memcpy(h->ring, data + n, len - n);
	h->at = (h->at + len) % h->limit;
	h->len = MIN(h->len + len, h->limit);
}

/* Adds a frame, which none of the routes that there are now has forwarded. */
static void
add_frame(struct history *h, struct queued *q)
{
	q->route = ROUTE_NONE;
	if (queue_cost(q->len) <= h->limit && queue_add(&h->frames, q) == 0)
		trim(h);
}

void
history_deliver(struct node *node, const struct batch *batch)
{
	struct history *h = node->history;

	for (unsigned i = 0; i < batch->npick; i++) {
		const struct item *item = &batch->item[batch->pick[i]];
		struct queued q = item_queued(batch, item, node);

		add_frame(h, &q);
	}
}

/* Copies what was read, from the oldest byte on; returns its length. */
static size_t
copy_input(const struct history *h, uint8_t *to)
{
	size_t n = 0;

	if (h->len == h->limit) { /* the oldest byte follows the newest */
		n = h->limit - h->at;
		memcpy(to, h->ring + h->at, n);
	}
	if (h->len > n)
		memcpy(to + n, h->ring, h->len - n);
	return h->len;
}

void
history_save(const struct history *h, struct pack *p)
{
	size_t len = h != NULL ? h->len : 0;
	uint8_t *at;

	pack_number(p, len);
	if (len > 0 && (at = pack_room(p, len)) != NULL)
		copy_input(h, at);
	if (h != NULL)
		queue_save(&h->frames, p);
	else
		pack_number(p, 0);
}

void
history_restore(struct history *h, const struct span *input,
    const struct unpack *frames, size_t nframes)
{
	struct unpack u = *frames;
	struct queued q;

	if (h->input && input->len > 0)
		history_add(h, input->at, input->len);
	for (size_t i = 0; !h->input && i < nframes; i++) {
		frame_read(&u, &q);
		add_frame(h, &q);
	}
}

void
history_replay(struct port *port)
{
	struct history *h = port->node->history;
	size_t left, room, pos = 0;
	struct queued q;

	if (h == NULL || h->input || port->link->receive_only)
		return;
	port->queue.limit = port->conf->queue;
	left = h->frames.bytes;
	room = queue_room(&port->queue);
	while (queue_next(&h->frames, &pos, &q)) {
		bool fits = left <= room;

		left -= MIN(left, queue_cost(q.len));
		q.since_ns = task_now();
		if (!fits || queue_add(&port->queue, &q) < 0)
			continue;
		COUNT(port, offered, 1);
		port->replayed += q.len;
	}
}

/* The frames, as they are written. */
static int
get_frames(const struct history *h, const struct framing_conf *conf,
    uint8_t **ret, size_t *ret_len)
{
	size_t bound = 0, pos = 0;
	struct queued q;
	long n;

	while (queue_next(&h->frames, &pos, &q))
		bound += framing_bound(conf, q.len);
	if ((*ret = malloc(bound + 1)) == NULL)
		return -ENOMEM;
	for (pos = 0; queue_next(&h->frames, &pos, &q);) {
		n = framing_encode(conf, q.payload, q.len, *ret + *ret_len);
		*ret_len += (size_t)MAX(n, 0L);
	}
	return 0;
}

int
node_history_get(const struct node *node, uint8_t **ret, size_t *ret_len)
{
	const struct history *h = node->history;

	*ret = NULL;
	*ret_len = 0;
	if (h == NULL)
		return -ENOENT;
	if (!h->input)
		return get_frames(
		    h, &node->endpoint->conf->framing, ret, ret_len);
	if ((*ret = malloc(h->len + 1)) == NULL)
		return -ENOMEM;
	*ret_len = copy_input(h, *ret);
	return 0;
}
