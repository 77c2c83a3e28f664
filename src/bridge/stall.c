/*
 * stall: ports whose receiver makes no progress.
 *
 * A full queue pauses its sources as long as the receiver makes progress, however slowly.
 * A receiver that accepts nothing for stall_timeout is stalled: its oldest frames are
 * dropped and no source waits for it, until it accepts data again.  A peer that has shut
 * down its sending direction (half close) is sent its queued frames in the same way, for
 * a limited time.
 *
 * Progress is what the kernel accepts (progress_ns, set where frames are written), and,
 * because the kernel may report room late, what the receiver has taken, which a timer
 * checks while a queue is full or a peer sends no more.  The time in which a gap or a pace
 * makes the port wait is not the receiver's.
 */
#include "exchange.h"
#include "log.h"
#include "pace.h"
#include "taken.h"

/* The time during which new frames are still sent to a peer after its half close. */
#define LINGER_NS NSEC_PER_SEC
/* After that only its queued frames are sent, for at most this time... */
#define CLOSING_NS (60 * NSEC_PER_SEC)
/* ...unless it accepts nothing for this time. */
#define CLOSING_STUCK_NS (10 * NSEC_PER_SEC)
#define CLOSING_LOOK_NS (NSEC_PER_SEC / 4)

/* Checks the receiver; true when it has accepted data since the last check. */
static bool
look(struct port *port, uint64_t now)
{
	struct progress *p = &port->progress;
	struct taken taken;
	bool moved;

	link_taken(port->link, &taken);
	moved = !p->looked || taken.bytes != p->taken || port_is_slowed(port);
	p->taken = taken.bytes;
	p->delay_ns = taken.delay_ns;
	p->looked = true;
	if (moved)
		port->progress_ns = MAX(port->progress_ns, now);
	return moved;
}

static void
set_stalled(struct port *port)
{
	port->stalled = true;
	COUNT(port, stalls, 1);
	log_to(LOG_WARNING, ABOUT_ENDPOINT, port->link->name,
	    "stalled: it takes nothing; its oldest frames are dropped until it"
	    " takes something again");
	port_release(port);
}

void
port_stall_due(struct port *port, uint64_t now)
{
	bool moved;

	if ((!port->full && !port->stalled) || !port->link->up)
		return;
	moved = look(port, now);
	if (moved)
		port->stalled = false;
	if (!port->stalled &&
	    now - port->progress_ns >=
		port->conf->stall_timeout + port->progress.delay_ns)
		set_stalled(port);
	if (port->full || port->stalled)
		port->stall_at = now + port_look_time(port);
}

/* --- after a half close --------------------------------------------------- */

void
port_ended(struct port *port, uint64_t now)
{
	if (port->linger_at == 0)
		port->linger_at = now + LINGER_NS;
}

static bool
is_owed(const struct port *port)
{
	return !port->link->unwritable && port_owes(port);
}

void
port_linger_due(struct port *port, uint64_t now)
{
	if (!port->closing) {
		port->closing = true;
		port->close_by = now + CLOSING_NS;
		port->progress.looked = false;
		port_release(port);
	}
	look(port, now);
	if (!is_owed(port))
		link_close(port->link,
		    "it sends no more, and has received everything");
	else if (now - port->progress_ns >
	    CLOSING_STUCK_NS + port->progress.delay_ns)
		link_close(port->link, "it sends no more, and takes nothing");
	else if (now >= port->close_by)
		link_close(port->link, "it sends no more, and takes too long");
	else
		port->linger_at = now + CLOSING_LOOK_NS;
}

void
port_closing_done(struct port *port)
{
	if (port->closing && !is_owed(port))
		link_close(port->link,
		    "it sends no more, and has received everything");
}
