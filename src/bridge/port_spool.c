/*
 * port_spool: what goes to the spool of a port, and comes back from it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "ack.h"
#include "log.h"
#include "port_spool.h"
#include "warning.h"

/* What may be pending at least, and how much is written without a pause. */
#define PENDING_MIN ((size_t)512 * 1024)
#define PENDING_SOME ((size_t)32 * 1024)
/* Segments are checked for their age at this interval. */
#define AGE_NS (60 * NSEC_PER_SEC)
/* After a failure the disk is tried again after this time. */
#define RETRY_NS NSEC_PER_SEC

/* --- positions ----------------------------------------------------------- */

uint64_t
port_spool_ack(struct port_spool *ps)
{
	const struct port *port = ps->port;
	size_t there = port->queue.frames + port->in_flight.waits;

	ps->copies = MIN(ps->copies, there);
	if (ps->copies == 0)
		spool_gaps_clear(&ps->gaps);
	return spool_gaps_pass(
	    &ps->gaps, ps->fed - ps->copies - ps->gaps.total);
}

/* A frame, which is in the queue, will be removed from it. */
static void
note_removal(struct port_spool *ps, const struct queued *frame)
{
	const struct queue *queue = &ps->port->queue;
	uint64_t ack = port_spool_ack(ps);
	size_t pos = 0, left = queue->frames;
	struct queued q;

	while (
	    left > 0 && queue_next(queue, &pos, &q) && q.place != frame->place)
		left--;
	/* It is not a copy, or not the oldest one. */
	if (left == 0 || left > ps->copies)
		return;
	if (left < ps->copies)
		spool_gaps_add(&ps->gaps,
		    spool_gaps_skip(&ps->gaps, ack, ps->copies - left), 1);
	ps->copies--;
}

void
port_unqueue(struct port *port, const struct queued *frame)
{
	if (port->spooling)
		note_removal(port->spool, frame);
	queue_remove(&port->queue, frame->place);
}

/* Frames that were delivered before they were written need not be written. */
static void
trim(struct port_spool *ps)
{
	uint64_t ack = port_spool_ack(ps), n = 0;
	struct queued q;

	for (; ack - n > ps->now.next && queue_head(&ps->pending, &q); n++) {
		ps->copied -= MIN(ps->copied, q.len);
		queue_pop(&ps->pending);
	}
	ps->fed -= n;
	spool_gaps_shift(&ps->gaps, n);
}

/* --- frames for the spool ------------------------------------------------ */

/* What may be pending: without the disk, what may be in the queue. */
static size_t
pending_limit(const struct port *port)
{
	size_t queue = (size_t)port->conf->queue;

	return port->spool->error != 0 ? queue : MAX(queue, PENDING_MIN);
}

bool
port_spool_full(const struct port *port)
{
	const struct port_spool *ps = port->spool;

	return ps != NULL &&
	    ps->now.size + ps->pending.bytes +
		(ps->pending.frames + 1) * 2 * SPOOL_HEAD >
	    port->conf->spool;
}

/* Whether more is pending than the disk has taken. */
static bool
is_stuffed(const struct port *port)
{
	return port->spool->pending.bytes >= pending_limit(port);
}

/* Whether the oldest frames are dropped to make room. */
static bool
drops_oldest(const struct port *port)
{
	return !port_open(port) || port->stalled ||
	    port->conf->overflow == OVERFLOW_DROP_OLDEST;
}

/* Whether the disk has not failed recently. */
static bool
is_usable(const struct port_spool *ps)
{
	return ps->error == 0 || task_now() >= ps->retry_at;
}

size_t
port_spool_room(const struct port *port)
{
	const size_t all = 60 * 1024;

	if (!port->spooling)
		return is_usable(port->spool) ? all : 0;
	if (port->conf->overflow == OVERFLOW_BLOCK && is_stuffed(port) &&
	    port->spool->error == 0)
		return 0;
	return port_blocks(port) && (port_spool_full(port) || is_stuffed(port))
	    ? 0
	    : all;
}

/* Whether a frame that has to wait goes to the disk. */
static bool
is_needed(struct port *port, size_t len)
{
	struct port_spool *ps = port->spool;

	if (port->spooling)
		return true;
	if (ps->busy || !is_usable(ps))
		return false;
	return !port_open(port) ||
	    port->queue.bytes + queue_cost(len) > port->conf->queue;
}

/* The disk has failed: drops the oldest frames that are only in memory. */
static void
drop_pending(struct port *port, enum drop_reason reason)
{
	struct port_spool *ps = port->spool;
	struct queued q;

	while (ps->error != 0 && !ps->busy && drops_oldest(port) &&
	    ps->fed <= ps->now.next && is_stuffed(port) &&
	    queue_head(&ps->pending, &q)) {
		port_drop(port, reason, q.payload, q.len);
		queue_pop(&ps->pending);
	}
}

/* Whether the frame is accepted, by the policy for a full queue. */
static bool
admits(struct port *port, enum drop_reason *ret_reason)
{
	bool block = port->conf->overflow == OVERFLOW_BLOCK;

	*ret_reason = !port_open(port) ? DROP_DOWN
	    : port->stalled	       ? DROP_STALLED
				       : DROP_OVERFLOW;
	drop_pending(port, *ret_reason);
	if (is_stuffed(port) &&
	    (!block || port->spool->pending.bytes > 2 * pending_limit(port)))
		return false;
	if (!port_spool_full(port) || drops_oldest(port) || block)
		return true;
	if (port->conf->overflow == OVERFLOW_DISCONNECT)
		link_close(port->link, "its spool was full");
	return false;
}

void
port_spool_activate(struct port_spool *ps)
{
	struct port *port = ps->port;
	struct queued q;
	size_t pos = 0;
	int r = 0;

	while (r == 0 && queue_next(&port->queue, &pos, &q))
		r = queue_add(&ps->pending, &q);
	if (r < 0) {
		queue_free(&ps->pending);
		return;
	}
	ps->copies = port->queue.frames;
	ps->copied = port->queue.payload;
	ps->fed = ps->now.next + ps->copies;
	spool_gaps_clear(&ps->gaps);
	ps->lost_ahead = ps->total = 0;
	ps->since_ns = task_now();
	ps->synced_at = ps->expired_at = ps->since_ns;
	port->spooling = true;
	log_to(LOG_DEBUG, ABOUT_ENDPOINT, port->link->name,
	    "frames go to its spool: %s",
	    port_open(port) ? "its queue is full" : "it is not up");
}

bool
port_spool_put(struct port *port, const struct batch *batch,
    const struct queued *frame, bool *ret_queued)
{
	_Alignas(struct origin) uint8_t origin[ORIGIN_SIZE_MAX];
	struct port_spool *ps = port->spool;
	enum drop_reason reason = DROP_MEMORY;
	struct queued q = *frame;

	if (!is_needed(port, q.len))
		return false;
	if (!port->spooling)
		port_spool_activate(ps);
	if (!port->spooling)
		return false;
	port->node->bridge->queued = true;
	*ret_queued = admits(port, &reason);
	if (*ret_queued && port->ack != NULL)
		ack_identify(port, batch, &q, (struct origin *)(void *)origin);
	*ret_queued = *ret_queued && queue_add(&ps->pending, &q) == 0;
	if (!*ret_queued)
		port_drop(port, reason, q.payload, q.len);
	if (!ps->busy)
		port_spool_start(ps);
	else if (!ps->hurried && ps->pending.bytes > PENDING_SOME) {
		ps->hurried = true;
		writer_job_hurry(&ps->job);
	}
	return true;
}

/* --- jobs ---------------------------------------------------------------- */

/* Whether there is a piece that was read ahead.  The thread does not use it unless it reads. */
static bool
has_next(const struct port_spool *ps)
{
	return !(ps->busy && ps->work.read) && ps->work.in.len > 0;
}

bool
port_spool_has_read(const struct port_spool *ps)
{
	return ps->in_at < ps->in.len || has_next(ps);
}

void
port_spool_forget_read(struct port_spool *ps)
{
	ps->in.len = ps->in_at = ps->work.in.len = 0;
}

/* Continues with the next piece when this one is in the queue. */
static void
take_next(struct port_spool *ps)
{
	const struct spool_piece used = ps->in;

	if (ps->in_at < ps->in.len || !has_next(ps))
		return;
	ps->in = ps->work.in;
	ps->in_at = 0;
	ps->work.in = used;
	ps->work.in.len = 0;
}

/* Whether everything is delivered. */
static bool
is_over(struct port_spool *ps)
{
	return ps->pending.frames == 0 && !port_spool_has_read(ps) &&
	    port_spool_ack(ps) == port_spool_end_number(ps);
}

static bool
wants_read(const struct port_spool *ps)
{
	return port_open(ps->port) && !ps->port->node->bridge->stopping &&
	    !has_next(ps) &&
	    port_spool_end_number(ps) > MAX(ps->fed, ps->now.read);
}

/* Whether something is to be synced, and its time has come; or not yet (*ret_at). */
static bool
wants_sync(struct port_spool *ps, uint64_t now, uint64_t *ret_at)
{
	uint64_t interval = ps->port->conf->spool_sync;

	*ret_at = 0;
	if (!ps->now.unsynced && port_spool_ack(ps) == ps->now.first)
		return false;
	if (interval == 0)
		return true;
	if (interval == SPOOL_NEVER)
		interval = NSEC_PER_SEC;
	*ret_at = ps->synced_at + interval;
	return now >= *ret_at;
}

static bool
wants_expiry(const struct port_spool *ps, uint64_t now, uint64_t *ret_at)
{
	uint64_t age = ps->port->conf->spool_age;

	*ret_at = 0;
	if (age == 0)
		return false;
	*ret_at = ps->expired_at + MIN(AGE_NS, MAX(age, NSEC_PER_SEC));
	return now >= *ret_at;
}

/* Describes to the thread what is to be done. */
static void
prepare(struct port_spool *ps, uint64_t now, bool sync, bool expire)
{
	struct spool_work *work = &ps->work;
	const struct port *port = ps->port;
	struct spool_clock clock;

	port_spool_encode(ps);
	work->ack = port_spool_ack(ps);
	work->fed = ps->fed;
	work->give_up = drops_oldest(port);
	ps->reason = !port_open(port) ? DROP_DOWN
	    : port->stalled	      ? DROP_STALLED
				      : DROP_OVERFLOW;
	work->clear = ps->clear;
	ps->clear = false;
	work->expire_before = 0;
	if (expire) {
		spool_clock_get(&clock);
		work->expire_before =
		    clock.real - MIN(clock.real, port->conf->spool_age);
		ps->expired_at = now;
	}
	work->sync = sync;
	if (sync)
		ps->synced_at = now;
	work->read = wants_read(ps);
	spool_set(ps->files, port->conf->spool,
	    port->conf->spool_sync == 0			? SPOOL_SYNC_ALWAYS
		: port->conf->spool_sync == SPOOL_NEVER ? SPOOL_SYNC_NONE
							: SPOOL_SYNC_TIMED);
}

void
port_spool_start(struct port_spool *ps)
{
	uint64_t now = task_now(), at;
	bool over, sync, expire, urgent;

	if (ps->busy || !ps->port->spooling || now < ps->retry_at)
		return;
	trim(ps);
	over = is_over(ps);
	sync = wants_sync(ps, now, &at) || over;
	expire = wants_expiry(ps, now, &at);
	urgent = over || ps->clear || wants_read(ps) ||
	    ps->pending.bytes > PENDING_SOME;
	if (!urgent && !sync && !expire && ps->pending.frames == 0)
		return;
	prepare(ps, now, sync, expire);
	ps->busy = true;
	ps->hurried = urgent || ps->port->conf->spool_sync == 0;
	TASK_WAIT(&ps->task);
	writer_job_start(&ps->job, ps->hurried);
}

/* Removes the pending frames that were written. */
static void
remove_written(struct port_spool *ps, uint64_t n)
{
	struct queued q;

	for (; n > 0 && !queue_empty(&ps->pending); n--) {
		if (ps->copied > 0 && queue_head(&ps->pending, &q))
			ps->copied -= MIN(ps->copied, q.len);
		queue_pop(&ps->pending);
		ps->total++;
	}
}

/* Counts frames that were lost on the disk. */
static void
count_lost(struct port_spool *ps, enum drop_reason reason, uint64_t n)
{
	struct port *port = ps->port;

	if (n == 0)
		return;
	COUNT(port, dropped[reason], n);
	loss_dropped(port->node, reason, n, 0);
	ps->lost_ahead += n;
}

/* What was lost last is not followed by a frame that was read. */
static void
pass_lost(struct port_spool *ps)
{
	if (ps->busy || port_spool_has_read(ps) || ps->now.read <= ps->fed)
		return;
	spool_gaps_add(&ps->gaps, ps->fed, ps->now.read - ps->fed);
	ps->fed = ps->now.read;
	ps->lost_ahead = 0;
}

static void
report(struct port_spool *ps, int error)
{
	const struct port *port = ps->port;

	ps->errors += error != 0;
	ps->retry_at = error != 0 ? task_now() + RETRY_NS : 0;
	if (error == ps->error)
		return;
	ps->error = error;
	warnings_due(task_now());
	if (error != 0)
		log_to(LOG_WARNING, ABOUT_ENDPOINT, port->link->name,
		    "its spool '%s' cannot be used: %s; frames wait in"
		    " memory",
		    ps->directory, strerror(error));
	else
		log_to(LOG_NOTICE, ABOUT_ENDPOINT, port->link->name,
		    "its spool '%s' is used again", ps->directory);
}

void
port_spool_apply(struct port_spool *ps)
{
	const struct spool_work *work = &ps->work;
	struct spool_stats old = ps->now;

	ps->busy = false;
	ps->now = work->now;
	remove_written(ps, ps->now.next - old.next);
	count_lost(ps, DROP_DAMAGED, ps->now.damaged - old.damaged);
	count_lost(ps, DROP_EXPIRED, work->expired);
	count_lost(ps, DROP_DISCARDED, work->cleared);
	count_lost(ps, ps->reason, work->given_up);
	pass_lost(ps);
	report(ps, work->error);
	if (ps->now.next >= ps->fed)
		queue_withhold(&ps->port->queue, true);
	TASK_SET(&ps->task, TASK_IDLE);
}

/* --- frames from the spool ----------------------------------------------- */

/* The route with the name in the record; last: that of the record before. */
static const struct route *
route_of(const struct port *port, const struct spool_record *r,
    const struct route *last)
{
	const struct routes *routes = port->node->bridge->routes;
	const struct route *route = last;

	for (unsigned i = 0; i <= routes->nroutes; i++) {
		if (route != NULL && strlen(route->name) == r->route_len &&
		    memcmp(route->name, r->route, r->route_len) == 0)
			return route;
		route = i < routes->nroutes ? routes->route[i] : NULL;
	}
	return NULL;
}

static bool
is_old(const struct port *port, uint64_t age)
{
	const struct endpoint_conf *conf = port->conf;

	return (conf->frame_age != 0 && age > conf->frame_age) ||
	    (conf->spool_age != 0 && age > conf->spool_age);
}

/* Puts a frame into the queue; false: there is no memory. */
static bool
feed_one(struct port_spool *ps, const struct spool_record *r,
    const struct spool_clock *clock, const struct route **route)
{
	struct queued q;
	/* Those in between were lost. */
	uint64_t age, lost = r->number - ps->fed;
	bool valid = spool_frame(r, clock, &q, &age);
	bool skip = !valid || is_old(ps->port, age);

	if (skip)
		port_drop(ps->port, valid ? DROP_EXPIRED : DROP_DAMAGED,
		    q.payload, q.len);
	else {
		if (r->route_len > 0)
			*route = route_of(ps->port, r, *route);
		if (r->route_len > 0 && *route != NULL)
			q.route = (*route)->number;
		if (queue_add(&ps->port->queue, &q) < 0)
			return false;
		ps->copies++;
	}
	spool_gaps_add(&ps->gaps, ps->fed, lost + skip);
	ps->lost_ahead -= MIN(ps->lost_ahead, lost);
	ps->fed = r->number + 1;
	return true;
}

/* Puts the frames that were read into the queue, while there is room. */
static bool
feed(struct port_spool *ps)
{
	struct port *port = ps->port;
	const struct route *route = NULL;
	struct spool_clock clock;
	struct spool_record r;
	size_t at, before = port->queue.frames;

	if (port->queue.bytes > port->conf->queue / 2)
		return false;
	take_next(ps);
	if (ps->in_at == ps->in.len)
		return false;
	at = ps->in_at;
	port_spool_ack(ps);
	spool_clock_get(&clock);
	while (port->queue.bytes < port->conf->queue &&
	    spool_decode(ps->in.data, ps->in.len, &at, &r)) {
		if (r.number >= ps->fed && !feed_one(ps, &r, &clock, &route))
			break;
		ps->in_at = at;
	}
	pass_lost(ps);
	return port->queue.frames > before;
}

bool
port_spool_refill(struct port *port)
{
	struct port_spool *ps = port->spool;
	bool fed = port_open(port) && !port->node->bridge->stopping && feed(ps);

	port_spool_start(ps);
	port_spool_arm(ps);
	return fed && !port->in_flight.waits;
}

void
port_expire(struct port *port)
{
	uint64_t now = task_now(), age = port->conf->frame_age;
	struct queued q;

	while (port_oldest(port, &q) && q.since_ns + age < now) {
		port_drop(port, DROP_EXPIRED, q.payload, q.len);
		port_unqueue(port, &q);
	}
}

/* --- the timer ----------------------------------------------------------- */

void
port_spool_arm(struct port_spool *ps)
{
	uint64_t now = task_now(), at = 0, expiry_at = 0;
	struct timeval tv;

	if (!ps->port->spooling || ps->busy)
		return;
	if (ps->retry_at > now)
		at = ps->retry_at;
	else
		wants_sync(ps, now, &at);
	wants_expiry(ps, now, &expiry_at);
	if (at == 0 || (expiry_at != 0 && expiry_at < at))
		at = expiry_at;
	if (at == 0 || (ps->timer_at != 0 && ps->timer_at <= at))
		return;
	ps->timer_at = at;
	tv = to_timeval(at > now ? at - now : 0);
	event_add(ps->timer, &tv);
	TASK_WAIT(&ps->task);
}
