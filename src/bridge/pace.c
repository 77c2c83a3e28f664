/*
 * pace: output at a limited rate, or with a time between frames.
 */
#include <errno.h>

#include "link.h"
#include "pace.h"

/* How often a piece is written, if it is not a single byte. */
#define PACE_NS (10 * NSEC_PER_MSEC)

/* No piece waits longer than the present pace requires. */
static void
pace_follow(struct port *port)
{
	uint64_t longest;

	if (!port_paced(port))
		port->pace_at = 0;
	if (port->pace_at == 0)
		return;
	longest = now_ns() + MAX(PACE_NS, NSEC_PER_SEC / port->conf->pace);
	port->paced_ns = MIN(port->paced_ns, longest);
	port->pace_at = MIN(port->pace_at, longest);
	port_arm(port);
}

void
port_set_pace(struct port *port)
{
	const struct endpoint_conf *conf = port->conf;

	port->apart =
	    conf->framing.rule->gap || conf->pace != 0 || conf->frame_gap != 0;
	link_set_paced(port->link, port_paced(port));
	port_gap_follow(port);
	pace_follow(port);
}

void
port_pace_begin(struct port *port)
{
	if (!port_paced(port) || port->pace_at != 0 ||
	    link_pending(port->link) == 0)
		return;
	port->pace_at = MAX(port->paced_ns, task_now());
	port->pace_refused = false;
	port_arm(port);
}

/* How many bytes are written at a time. */
static size_t
piece(const struct port *port)
{
	uint64_t n = port->conf->pace * PACE_NS / NSEC_PER_SEC;

	return MAX((size_t)n, (size_t)1);
}

bool
port_pace_due(struct port *port, uint64_t now)
{
	struct link *link = port->link;
	ssize_t n;

	if (!port_open(port) || !port_paced(port))
		return false;
	if ((n = link_write_pending(link, piece(port))) < 0)
		return false;
	port->pace_refused = n == 0;
	if (n > 0) {
		/* A timer that fires late is made up for, but not an earlier pause. */
		port->paced_ns = MAX(port->paced_ns, now - MIN(now, PACE_NS)) +
		    (uint64_t)n * NSEC_PER_SEC / port->conf->pace;
		port->progress_ns = now;
		port->in_flight.partial = port->in_flight.waits &&
		    link_pending(link) < port->in_flight.wire;
	} else
		port->paced_ns = now + PACE_NS;
	if (link_pending(link) == 0)
		return true;
	port->pace_at = MAX(port->paced_ns, (uint64_t)1);
	return false;
}
