/*
 * spool_job: what the thread does for a spool, and the encoding of frames for it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "port_spool.h"
#include "restore.h"

/* The bytes that are written at a time, and the part of the limit that they are at most. */
#define WRITE_SIZE ((size_t)256 * 1024)
#define WRITE_PART 4
static void
keep_error(struct spool_work *work, int r)
{
	if (r < 0 && work->error == 0)
		work->error = -r;
}

/* Gives up the oldest segments until there is room. */
static void
make_room(struct spool *files, struct spool_work *work)
{
	uint64_t lost;

	while (work->give_up && !spool_fits(files, work->out_len) &&
	    spool_give_up(files, &lost) == 0)
		work->given_up += lost;
}

/* Removes what is not wanted any more. */
static void
remove_old(struct spool *files, struct spool_work *work)
{
	uint64_t lost = 0;

	if (work->clear)
		keep_error(work, spool_clear(files, &work->cleared));
	if (work->expire_before == 0)
		return;
	keep_error(work, spool_expire(files, work->expire_before, &lost));
	work->expired += lost;
}

/* Everything is delivered: there are no files until the next outage. */
static bool
is_empty(const struct spool_stats *st)
{
	return st->first == st->next && st->segments > 0;
}

void
spool_work_run(struct spool *files, struct spool_work *work)
{
	size_t done = 0;

	work->error = 0;
	work->given_up = work->expired = work->cleared = 0;
	if (work->read)
		work->in.len = 0;
	spool_ack(files, work->ack);
	remove_old(files, work);
	if (work->out_len > 0) {
		make_room(files, work);
		keep_error(
		    work, spool_append(files, work->out, work->out_len, &done));
	}
	spool_skip(files, work->fed);
	spool_ack(files, work->ack);
	if (work->sync)
		keep_error(work, spool_sync(files));
	if (work->read)
		keep_error(work,
		    spool_read(
			files, &work->in.data, &work->in.size, &work->in.len));
	spool_get(files, &work->now);
	if (is_empty(&work->now)) {
		keep_error(work, spool_commit(files));
		spool_get(files, &work->now);
	}
}

/* --- encoding ------------------------------------------------------------ */

static uint64_t
real_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* Whether the payload is a part of the frame as received. */
static bool
lies_inside(const struct queued *q)
{
	return q->payload >= q->wire &&
	    q->payload + q->len <= q->wire + q->wire_len;
}

static size_t
body_size(const struct queued *q)
{
	if (q->wire == NULL)
		return q->len;
	return SPOOL_SPELLING + q->wire_len + (lies_inside(q) ? 0 : q->len);
}

static void
put32(uint8_t *to, size_t n)
{
	const uint32_t le = htole32((uint32_t)n);

	memcpy(to, &le, sizeof(le));
}

static size_t
get32(const uint8_t *at)
{
	uint32_t le;

	memcpy(&le, at, sizeof(le));
	return le32toh(le);
}

/* Writes the body of a SPOOL_SPELLED record. */
static void
put_spelled(uint8_t *to, const struct queued *q)
{
	bool inside = lies_inside(q);

	put32(to, q->spelled);
	put32(to + 4, q->wire_len);
	put32(to + 8, inside ? (size_t)(q->payload - q->wire) : UINT32_MAX);
	memcpy(to + SPOOL_SPELLING, q->wire, q->wire_len);
	if (!inside && q->len > 0)
		memcpy(to + SPOOL_SPELLING + q->wire_len, q->payload, q->len);
}

/* Appends a frame to the output. */
static void
encode(struct spool_work *work, const struct queued *q,
    const struct route *route, uint64_t time_ns)
{
	uint8_t *to = work->out + work->out_len;
	struct spool_record r = { .time_ns = time_ns,
		.route = route != NULL ? route->name : NULL,
		.route_len = route != NULL
		    ? MIN(strlen(route->name), (size_t)SPOOL_ROUTE_MAX)
		    : 0,
		.meta = (const void *)q->origin,
		.meta_len = q->origin_len,
		.body = q->payload,
		.body_len = q->len,
		.payload_len = q->len };

	if (q->wire != NULL) {
		r.flags = SPOOL_SPELLED;
		r.body = NULL;
		r.body_len = 0;
	}
	spool_encode(&r, to);
	if (q->wire != NULL) {
		put32(to + 4, r.route_len + r.meta_len + body_size(q));
		put_spelled(to + spool_size(&r), q);
		work->out_len += body_size(q);
	}
	work->out_len += spool_size(&r);
}

static bool
reserve(struct spool_work *work, size_t size)
{
	uint8_t *out;

	if (work->out_size >= size)
		return true;
	if ((out = realloc(work->out, size)) == NULL)
		return false;
	work->out = out;
	work->out_size = size;
	return true;
}

void
port_spool_encode(struct port_spool *ps)
{
	const struct routes *routes = ps->port->node->bridge->routes;
	struct spool_work *work = &ps->work;
	struct spool_clock clock;
	struct queued q;
	size_t pos = 0, need;
	size_t most = MIN(WRITE_SIZE, ps->port->conf->spool / WRITE_PART);

	spool_clock_get(&clock);
	work->out_len = 0;
	while (queue_next(&ps->pending, &pos, &q)) {
		need =
		    SPOOL_HEAD + SPOOL_ROUTE_MAX + q.origin_len + body_size(&q);
		if (work->out_len > 0 && work->out_len + need > most)
			break;
		if (!reserve(work, MAX(work->out_len + need, most)))
			break;
		encode(work, &q, routes_at(routes, q.route),
		    clock.real - (clock.now - MIN(clock.now, q.since_ns)));
	}
}

/* --- decoding ------------------------------------------------------------ */

void
spool_clock_get(struct spool_clock *ret)
{
	ret->now = now_ns();
	ret->real = real_ns();
}

bool
spool_frame(const struct spool_record *r, const struct spool_clock *clock,
    struct queued *ret, uint64_t *ret_age)
{
	memset(ret, 0, sizeof(*ret));
	ret->payload = spool_payload(r);
	ret->len = r->payload_len;
	ret->route = ROUTE_NONE;
	*ret_age = clock->real - MIN(clock->real, r->time_ns);
	ret->since_ns = *ret_age < clock->now ? clock->now - *ret_age : 1;
	if (ret->payload == NULL || ret->len > FRAMING_MAX_FRAME)
		return false;
	if (r->meta_len > 0 && !frame_origin(r->meta, r->meta_len, ret))
		return false;
	if (r->flags & SPOOL_SPELLED) {
		ret->spelled = (uint32_t)get32(r->body);
		ret->wire = r->body + SPOOL_SPELLING;
		ret->wire_len = get32(r->body + 4);
	}
	return true;
}
