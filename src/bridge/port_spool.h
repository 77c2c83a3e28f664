/*
 * port_spool: the spool of a port, where frames wait on the disk.
 *
 * At rest nothing is on the disk, and frames wait in the queue in memory as without a spool.
 * The spool becomes active when a frame has to wait while the link is down or the queue is
 * full: from then on (port->spooling) every frame that waits, except the one in flight, is in
 * the spool, and the queue in memory holds copies of the oldest ones.  So a later frame never
 * overtakes an earlier one, and a copy is nothing that could be lost.
 *
 *	next                  fed            end
 *	  |      on the disk   |              |
 *	--+--------------------+---- - - - ---+
 *	  copies in the queue    not in memory
 *
 * Frames are numbered.  Those before the number fed were put into the queue.  The number of the
 * oldest that is not delivered is derived: fed less the copies that are still there, of which
 * there cannot be more than frames in the queue and in flight, and less the gaps.  A gap consists
 * of frames that were finished while an earlier one still waits: they were confirmed before it,
 * were too old, or are damaged.
 *
 * The thread of the files (writer.h) does one job at a time: it appends what is pending, gives up
 * the oldest segments if there is no room, writes the ledger, and reads ahead: the next piece
 * while the frames of the one before are put into the queue.  When everything is delivered and
 * the ledger says so, the spool is at rest again and has no file.
 *
 * If the disk cannot be written, frames stay pending, which is tried again every second; when
 * all that is on the disk is delivered, they go back to the queue in memory.
 *
 * Restarts.  What waits at a stop, or when the program is started again, is written to the
 * spool, and the queue that is handed over is empty.  While there are copies, the file of the
 * queue in the fd store is shown as empty, so that after a kill nothing is sent from both.  After
 * a crash only frames that the ledger did not contain are sent again: what was delivered since
 * the ledger was last written, after a second or SPOOL_AHEAD bytes.
 *
 * A frame goes to its endpoint whether or not the route that it came by still exists; it then
 * counts for no route.  The spool of an endpoint that is no longer configured stays in its
 * directory until there is an endpoint of that name with a spool again.
 */
#ifndef PORT_SPOOL_H
#define PORT_SPOOL_H

#include "batch.h"
#include "spool.h"
#include "spool_gaps.h"
#include "writer.h"

/* Records that were read. */
struct spool_piece {
	uint8_t *data;
	size_t len, size;
};

/* A job for the thread, and its result. */
struct spool_work {
	uint8_t *out; /* encoded frames to be appended */
	size_t out_len, out_size;
	uint64_t fed, ack;	/* see above */
	uint64_t expire_before; /* segments that are older; 0: none */
	bool give_up;		/* the oldest segments if there is no room... */
	bool clear;		/* ...or all */
	bool sync, read;
	struct spool_piece in;
	int error;
	uint64_t given_up, expired, cleared; /* frames that were lost */
	struct spool_stats now;
};

struct port_spool {
	struct port *port;
	char *directory;
	struct spool
	    *files; /* of the thread while busy; NULL: it cannot be opened */
	struct writer_job job;
	struct spool_work work;
	bool busy, hurried;   /* the job is urgent */
	struct queue pending; /* not written yet, the oldest first */
	size_t copied; /* payload of those of them that are in the queue, too */
	uint64_t fed;
	size_t copies;
	struct spool_gaps gaps;
	uint64_t lost_ahead; /* lost, and not yet passed by fed */
	/* While it is put into the queue, the next one is read to work.in. */
	struct spool_piece in;
	size_t in_at;		 /* how much of it was put into the queue */
	struct spool_stats now;	 /* at the end of the last job */
	enum drop_reason reason; /* for what is given up */
	bool clear;		 /* was requested */
	int error;	   /* the last job failed, which was logged: errno */
	uint64_t retry_at; /* not before that time */
	uint64_t synced_at, expired_at; /* the last time */
	uint64_t since_ns;		/* it is active since then */
	uint64_t total;	 /* frames that were written since it is active */
	uint64_t errors; /* jobs that failed */
	struct event *timer;
	uint64_t timer_at; /* 0: not set */
	struct task task;
};

/* The number after the newest frame. */
static inline uint64_t
port_spool_end_number(const struct port_spool *ps)
{
	return ps->now.next + ps->pending.frames;
}
/* The number of frames that wait only in the spool. */
static inline uint64_t
port_spool_unfed(const struct port_spool *ps)
{
	return port_spool_end_number(ps) - ps->fed - ps->lost_ahead;
}
/* The same, and approximately their bytes. */
static inline void
port_spool_count(const struct port *port, size_t *bytes, size_t *frames)
{
	const struct port_spool *ps = port->spool;

	*frames = (size_t)port_spool_unfed(ps);
	*bytes = *frames == 0 ? 0
			      : ps->pending.payload - ps->copied +
		(size_t)(ps->now.next_bytes - ps->now.read_bytes);
}

/* --- for the data path (port_spool.c) -------------------------------------- */

/*
 * A frame has to wait, and the port has a spool.  True: it went there, or was dropped by the
 * policy (*ret_queued); false: it is to be queued in memory.
 */
bool port_spool_put(struct port *port, const struct batch *batch,
    const struct queued *frame, bool *ret_queued);
/* How much the port can accept; only if it has a spool. */
size_t port_spool_room(const struct port *port);
/* Whether the spool has reached its limit. */
bool port_spool_full(const struct port *port);
/*
 * The queue has become shorter: puts frames from the spool into it, and asks for more.  True:
 * there are frames that can be written.
 */
bool port_spool_refill(struct port *port);
/* Removes a frame, wherever it is, from the queue of a port. */
void port_unqueue(struct port *port, const struct queued *frame);
/* Drops frames that have waited for frame_age. */
void port_expire(struct port *port);

/* --- parts (port_spool.c, spool_job.c) ------------------------------------- */

/* Frames in the queue go to the spool, too. */
void port_spool_activate(struct port_spool *ps);
/* Whether frames that were read are not in the queue yet. */
bool port_spool_has_read(const struct port_spool *ps);
/* Frames that were read will not be put into the queue; not while the thread reads. */
void port_spool_forget_read(struct port_spool *ps);
/* The number of the oldest frame that is not delivered. */
uint64_t port_spool_ack(struct port_spool *ps);
/* Starts a job if there is something to do. */
void port_spool_start(struct port_spool *ps);
/* Encodes pending frames, up to a limit. */
void port_spool_encode(struct port_spool *ps);
/* The clocks at the same moment, for the age of frames. */
struct spool_clock {
	uint64_t now, real; /* CLOCK_MONOTONIC, CLOCK_REALTIME */
};
void spool_clock_get(struct spool_clock *ret);
/* The frame in a record, without its route; false: there is none. */
bool spool_frame(const struct spool_record *r, const struct spool_clock *clock,
    struct queued *ret, uint64_t *ret_age);
/* What the thread does. */
void spool_work_run(struct spool *files, struct spool_work *work);
/* Takes over the result of a job. */
void port_spool_apply(struct port_spool *ps);
/* Sets the timer. */
void port_spool_arm(struct port_spool *ps);

/* --- opening and closing (spool_events.c) ---------------------------------- */

/* Opens or closes the spool as the keys of the endpoint require. */
void port_spool_follow(struct port *port);
/* The link is down: what waits goes to the disk. */
void port_spool_down(struct port *port);
/*
 * Writes everything that waits to the disk, and empties the queue, before the state is saved or
 * the port is freed; handover: the frame in flight is handed over.
 */
void port_spool_settle(struct port *port, bool handover);
/* The same, and closes the spool. */
void port_spool_end(struct port *port);
/* Moves the spool to the port that replaces this one. */
void port_spool_move(struct port *from, struct port *to);

#endif
