/*
 * spool_events: what happens to the spool of a port: it is opened and closed, jobs end, times
 * pass.
 */
#include <sys/stat.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "ack.h"
#include "checksum.h"
#include "log.h"
#include "port_spool.h"
#include "site.h"
#include "warning.h"

/* After the disk has failed, this time passes before it is tried for another outage. */
#define REST_NS (10 * NSEC_PER_SEC)

/* --- at rest ------------------------------------------------------------- */

/* Frees what is needed only while it is active. */
static void
free_buffers(struct port_spool *ps)
{
	free(ps->work.out);
	ps->work.out = NULL;
	ps->work.out_len = ps->work.out_size = 0;
	free(ps->work.in.data);
	free(ps->in.data);
	ps->work.in = ps->in = (struct spool_piece){ .data = NULL };
	ps->in_at = 0;
	queue_free(&ps->pending);
}

static void
stop_timer(struct port_spool *ps)
{
	event_del(ps->timer);
	ps->timer_at = 0;
	if (ps->task.label != NULL)
		TASK_SET(&ps->task, TASK_IDLE);
}

static void
rest(struct port_spool *ps)
{
	struct port *port = ps->port;

	port->spooling = false;
	ps->copies = ps->copied = 0;
	spool_gaps_clear(&ps->gaps);
	ps->lost_ahead = 0;
	ps->fed = ps->now.next;
	queue_withhold(&port->queue, false);
	free_buffers(ps);
	stop_timer(ps);
}

/* Whether everything is delivered, and the ledger says so. */
static bool
is_done(struct port_spool *ps)
{
	return ps->pending.frames == 0 && !port_spool_has_read(ps) &&
	    ps->now.first == ps->now.next && ps->now.segments == 0 &&
	    port_spool_ack(ps) == ps->now.next;
}

static void
say_empty(const struct port_spool *ps)
{
	char time[24];

	log_to(now_ns() - ps->since_ns > NSEC_PER_SEC ? LOG_INFO : LOG_DEBUG,
	    ABOUT_ENDPOINT, ps->port->link->name,
	    "its spool is empty again: %llu frames in %s",
	    (unsigned long long)ps->total,
	    format_time(now_ns() - ps->since_ns, time, sizeof(time)));
}

/* --- without the disk ---------------------------------------------------- */

/* Puts a frame into the queue in memory, by the policy for a full queue. */
static void
back_to_memory(struct port *port, const struct queued *q)
{
	bool down = !port_open(port);
	bool oldest = down || port->stalled ||
	    port->conf->overflow == OVERFLOW_DROP_OLDEST;
	size_t cost = queue_cost(q->len);
	struct queued old;

	while (oldest && port->queue.bytes + cost > port->conf->queue &&
	    port_oldest(port, &old)) {
		port_drop(port, down ? DROP_DOWN : DROP_OVERFLOW, old.payload,
		    old.len);
		port_unqueue(port, &old);
	}
	if ((port->queue.bytes + cost > port->conf->queue &&
		port->conf->overflow != OVERFLOW_BLOCK) ||
	    queue_add(&port->queue, q) < 0)
		port_drop(
		    port, down ? DROP_DOWN : DROP_OVERFLOW, q->payload, q->len);
}

/*
 * The disk has failed, and nothing that is on it is needed: frames that are pending go back to
 * the queue, except those that are there already.
 */
static void
do_without(struct port_spool *ps)
{
	struct port *port = ps->port;
	struct queued q;

	for (; ps->fed > ps->now.next && !queue_empty(&ps->pending); ps->fed--)
		queue_pop(&ps->pending);
	ps->copies = 0;
	spool_gaps_clear(&ps->gaps);
	while (queue_head(&ps->pending, &q)) {
		back_to_memory(port, &q);
		queue_pop(&ps->pending);
	}
	rest(ps);
	ps->retry_at = now_ns() + REST_NS;
}

/* --- the end of a job, and the timer --------------------------------------- */

static void
on_run(struct writer_job *job)
{
	struct port_spool *ps = CONTAINER_OF(job, struct port_spool, job);

	spool_work_run(ps->files, &ps->work);
}

/* Continues after a job, or when a time has passed. */
static void
go_on(struct port_spool *ps)
{
	struct port *port = ps->port;

	if (ps->error != 0 && port_spool_ack(ps) >= ps->now.next) {
		do_without(ps);
	} else if (is_done(ps)) {
		say_empty(ps);
		rest(ps);
	}
	port_flush(port);
	if (port->spooling) {
		port_spool_start(ps);
		port_spool_arm(ps);
	}
	if (port->full && port_spool_room(port) > 0)
		port_release(port);
}

static void
on_done(struct writer_job *job)
{
	struct port_spool *ps = CONTAINER_OF(job, struct port_spool, job);

	task_begin(&ps->task);
	port_spool_apply(ps);
	go_on(ps);
	task_end(&ps->task);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct port_spool *ps = arg;

	(void)fd, (void)what;
	task_begin(&ps->task);
	ps->timer_at = 0;
	if (!ps->busy) {
		TASK_SET(&ps->task, TASK_IDLE);
		port_spool_start(ps);
		port_spool_arm(ps);
	}
	task_end(&ps->task);
}

static void
label(const struct task *task, char *buf, size_t size)
{
	const struct port_spool *ps = task->arg;
	const struct port *port = ps->port;
	size_t bytes, frames;
	char much[24], time[24];

	if (!port->spooling) {
		snprintf(buf, size, "nothing: nothing is in the spool of %s",
		    port->link->name);
		return;
	}
	port_spool_count(port, &bytes, &frames);
	format_size(bytes, much, sizeof(much));
	if (ps->retry_at > now_ns())
		snprintf(buf, size,
		    "%s, before the spool of %s is tried again (%s)",
		    format_time_left(ps->retry_at, time, sizeof(time)),
		    port->link->name, strerror(ps->error));
	else
		snprintf(buf, size, "%s (%zu frame%s of %s, %s, in its spool)",
		    ps->busy ? "the disk"
			: port_open(port)
			? "room in its queue, or the next write to the disk"
			: "it to come up, or the next write to the disk",
		    frames, frames == 1 ? "" : "s", port->link->name, much);
}

/* --- opening ------------------------------------------------------------- */

static bool
allocate(struct port *port, struct port_spool *ps)
{
	const char *parent = site_state_dir();

	ps->port = port;
	ps->job.run = on_run;
	ps->job.done = on_done;
	queue_init(&ps->pending, SIZE_MAX);
	ps->timer = evtimer_new(port->node->bridge->base, on_timer, ps);
	return ps->timer != NULL && parent != NULL &&
	    asprintf(&ps->directory, "%s/spool/%s", parent, port->conf->name) >
	    0;
}

static void
release(struct port_spool *ps)
{
	if (ps == NULL)
		return;
	if (ps->timer != NULL)
		event_free(ps->timer);
	free_buffers(ps);
	spool_gaps_clear(&ps->gaps);
	spool_free(ps->files);
	free(ps->directory);
	free(ps);
}

/* Opens the files; the directories that they are in are made first. */
static int
open_files(struct port_spool *ps, struct error *err)
{
	const struct spool_conf conf = { .directory = ps->directory,
		.limit = ps->port->conf->spool };
	char *slash = strrchr(ps->directory, '/');

	/* The thread only uses the table of the CRC. */
	crc32_ieee(0, NULL, 0);
	(void)!mkdir(site_state_dir(), 0700);
	*slash = '\0';
	(void)!mkdir(ps->directory, 0700);
	*slash = '/';
	return spool_open(&conf, &ps->files, err);
}

static void
say_found(const struct port_spool *ps)
{
	const struct spool_stats *st = &ps->now;
	const char *name = ps->port->link->name;
	uint64_t n = st->next - st->first;
	char much[24];

	if (n > 0)
		log_to(LOG_NOTICE, ABOUT_ENDPOINT, name,
		    "%llu frame%s (%s) wait%s in its spool",
		    (unsigned long long)n, n == 1 ? "" : "s",
		    format_size(
			st->next_bytes - st->read_bytes, much, sizeof(much)),
		    n == 1 ? "s" : "");
	if (st->cut > 0)
		log_to(LOG_WARNING, ABOUT_ENDPOINT, name,
		    "its spool was not closed: %llu bytes at its end were no"
		    " complete frame, and are cut",
		    (unsigned long long)st->cut);
	if (st->ledger_lost)
		log_to(LOG_WARNING, ABOUT_ENDPOINT, name,
		    "the ledger of its spool is damaged: frames that were"
		    " delivered may be sent again");
	if (st->set_aside > 0)
		log_to(LOG_WARNING, ABOUT_ENDPOINT, name,
		    "%llu file%s in '%s' %s damaged, and named *.damaged now",
		    (unsigned long long)st->set_aside,
		    st->set_aside == 1 ? "" : "s", ps->directory,
		    st->set_aside == 1 ? "is" : "are");
	if (st->foreign > 0)
		log_to(LOG_WARNING, ABOUT_ENDPOINT, name,
		    "%llu file%s in '%s' %s not belong to a spool, and %s"
		    " left alone",
		    (unsigned long long)st->foreign,
		    st->foreign == 1 ? "" : "s", ps->directory,
		    st->foreign == 1 ? "does" : "do",
		    st->foreign == 1 ? "is" : "are");
}

/* Frames of another process are there: those in the queue come after them. */
static void
continue_with(struct port_spool *ps)
{
	struct port *port = ps->port;
	struct queued q;

	ack_forget(port);
	while (queue_head(&port->queue, &q)) {
		if (queue_add(&ps->pending, &q) < 0)
			port_drop(port, DROP_MEMORY, q.payload, q.len);
		queue_pop(&port->queue);
	}
	ps->since_ns = ps->synced_at = now_ns();
	port->spooling = true;
	queue_withhold(&port->queue, true);
	port_spool_start(ps);
	port_spool_arm(ps);
}

/* Counts what was found as offered, unless it was counted in the process before. */
static void
found(struct port_spool *ps)
{
	struct port *port = ps->port;

	spool_get(ps->files, &ps->now);
	COUNT(port, dropped[DROP_DAMAGED], ps->now.damaged);
	ps->fed = ps->now.read;
	COUNT(port, offered,
	    ps->now.damaged + ps->now.next - ps->now.first - port->spooled);
	port->spooled = 0;
	say_found(ps);
	if (ps->now.next > ps->now.first)
		continue_with(ps);
}

static void
forget_error(struct port *port)
{
	free(port->spool_error);
	port->spool_error = NULL;
}

static void
open_spool(struct port *port)
{
	struct port_spool *ps = calloc(1, sizeof(*ps));
	struct error err = { "out of memory" };
	int r = -ENOMEM;

	if (ps != NULL && site_state_dir() == NULL)
		error_set(&err, "there is no state_dir");
	else if (ps != NULL && allocate(port, ps) &&
	    (r = open_files(ps, &err)) == 0)
		r = writer_job_open(port->node->bridge->base, &ps->job);
	if (r < 0) {
		log_to(LOG_ERR, ABOUT_ENDPOINT, port->conf->name,
		    "no spool: %s; frames wait in memory", err.text);
		replace_string(&port->spool_error, err.text);
		warnings_due(now_ns());
		release(ps);
		return;
	}
	forget_error(port);
	port->spool = ps;
	task_add(&ps->task, ps, label, "%s.spool", port->link->name);
	TASK_SET(&ps->task, TASK_IDLE);
	found(ps);
}

void
port_spool_follow(struct port *port)
{
	bool wanted = port->conf->spool != 0 && !port->conf->ops->several;

	if (wanted && port->spool == NULL)
		open_spool(port);
	else if (!wanted)
		port_spool_end(port);
}

void
port_spool_move(struct port *from, struct port *to)
{
	to->spool = from->spool;
	to->spooling = from->spooling;
	to->spool_error = from->spool_error;
	from->spool = NULL;
	from->spool_error = NULL;
	from->spooling = false;
	if (to->spool != NULL)
		to->spool->port = to;
}

/* --- closing ------------------------------------------------------------- */

void
port_spool_down(struct port *port)
{
	struct port_spool *ps = port->spool;

	if (ps == NULL || port->node->bridge->stopping)
		return;
	if (!port->spooling && !ps->busy && !queue_empty(&port->queue) &&
	    now_ns() >= ps->retry_at)
		port_spool_activate(ps);
	port_spool_start(ps);
	port_spool_arm(ps);
}

/* Moves the queue to what is pending, at rest. */
static void
take_queue(struct port_spool *ps, bool handover)
{
	struct port *port = ps->port;
	struct in_flight *h = &port->in_flight;
	struct queued q = in_flight_queued(h);

	ack_forget(port);
	if (!handover && h->waits && h->wire == 0 && h->payload != NULL &&
	    queue_add(&ps->pending, &q) == 0)
		in_flight_clear(h);
	while (queue_head(&port->queue, &q) && queue_add(&ps->pending, &q) == 0)
		queue_pop(&port->queue);
	ps->fed = ps->now.next;
	ps->copies = ps->copied = 0;
	spool_gaps_clear(&ps->gaps);
	ps->lost_ahead = 0;
	port->spooling = true;
}

/* Writes what is pending.  -errno. */
static int
write_all(struct port_spool *ps, uint64_t ack)
{
	struct spool_work *work = &ps->work;

	ps->reason = DROP_DOWN;
	work->give_up = true;
	work->clear = work->read = false;
	work->expire_before = 0;
	do {
		port_spool_encode(ps);
		work->fed = ps->fed;
		work->ack = ack;
		work->sync = work->out_len == 0 || ps->pending.frames == 0;
		spool_work_run(ps->files, work);
		port_spool_apply(ps);
	} while (ps->error == 0 && !work->sync);
	return -ps->error;
}

/* How many copies are on the disk, too, where the oldest ones may have been given up. */
static size_t
copies_on_disk(const struct port_spool *ps)
{
	uint64_t first = ps->now.read, gaps;

	if (ps->fed <= first)
		return 0;
	gaps = ps->gaps.total - spool_gaps_before(&ps->gaps, first);
	return (size_t)(ps->fed - first - gaps);
}

/* All that waits is on the disk: the copies in memory are not needed. */
static void
forget_copies(struct port_spool *ps)
{
	struct port *port = ps->port;
	struct queued q;

	ack_forget(port);
	spool_rewind(ps->files);
	spool_get(ps->files, &ps->now);
	while (port->queue.frames > copies_on_disk(ps) &&
	    queue_head(&port->queue, &q)) {
		port_drop(port, ps->reason, q.payload, q.len);
		queue_pop(&port->queue);
	}
	while (!queue_empty(&port->queue))
		queue_pop(&port->queue);
	/* Frames that were finished before earlier ones are read again. */
	COUNT(port, offered,
	    ps->gaps.total - spool_gaps_before(&ps->gaps, ps->now.read));
	spool_gaps_clear(&ps->gaps);
	ps->copies = ps->copied = 0;
	ps->lost_ahead = 0;
	port_spool_forget_read(ps);
	ps->fed = ps->now.read;
}

/* The disk cannot be written: what is only pending goes back to the queue. */
static void
keep_in_memory(struct port_spool *ps)
{
	uint64_t ack = port_spool_ack(ps), end = MIN(ps->now.next, ps->fed);
	uint64_t gaps = spool_gaps_before(&ps->gaps, end);
	uint64_t first = ps->now.first, lost = 0;
	struct queued q;

	if (first > ack)
		lost = first - ack - spool_gaps_before(&ps->gaps, first);
	ack_forget(ps->port);
	/* Those that are on the disk are not handed over; the oldest may have been given up. */
	for (; ack + gaps < end && queue_head(&ps->port->queue, &q); ack++) {
		if (lost > 0)
			port_drop(ps->port, ps->reason, q.payload, q.len);
		lost -= lost > 0;
		queue_pop(&ps->port->queue);
	}
	do_without(ps);
}

void
port_spool_settle(struct port *port, bool handover)
{
	struct port_spool *ps = port->spool;
	uint64_t ack;

	if (ps == NULL)
		return;
	if (ps->busy) {
		writer_job_wait(&ps->job);
		port_spool_apply(ps);
	}
	if (!port->spooling && queue_empty(&port->queue) &&
	    (handover || !port->in_flight.waits))
		return;
	if (!port->spooling)
		take_queue(ps, handover);
	ack = port_spool_ack(ps);
	if (handover && port->in_flight.waits &&
	    ps->copies > port->queue.frames)
		ack++;
	if (write_all(ps, ack) == 0)
		forget_copies(ps);
	else
		keep_in_memory(ps);
	if (ps->now.first == ps->now.next)
		rest(ps);
	else if (handover)
		/* If the program cannot be executed, this one continues. */
		event_active(ps->timer, EV_TIMEOUT, 1);
}

void
port_spool_end(struct port *port)
{
	struct port_spool *ps = port->spool;
	uint64_t n;

	forget_error(port);
	if (ps == NULL)
		return;
	port_spool_settle(port, false);
	n = port_spool_unfed(ps);
	COUNT(port, dropped[DROP_CLOSED], n);
	if (n > 0)
		log_to(LOG_NOTICE, ABOUT_ENDPOINT, port->link->name,
		    "%llu frame%s stay%s in its spool '%s'",
		    (unsigned long long)n, n == 1 ? "" : "s", n == 1 ? "s" : "",
		    ps->directory);
	queue_withhold(&port->queue, false);
	port->spool = NULL;
	port->spooling = false;
	writer_job_close(&ps->job);
	task_remove(&ps->task);
	release(ps);
}
