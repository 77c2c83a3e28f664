/*
 * pace: output at a limited rate (`pace`), or with a time between frames (`frame_gap`).
 *
 * A device without flow control loses what comes faster than it can read: a bootloader
 * with a small buffer, a controller of a machine.  So the bytes of a frame are written in
 * small pieces, one for each PACE_NS, by the port's timer.  A frame is passed to the link
 * as a whole, which stores it (link_set_paced) and counts it as pending; so everything
 * else is as for a frame that the kernel has not accepted yet.  Where frames are
 * datagrams, these stay whole, and the time of their bytes passes after each.
 *
 * A port with a pace or a gap writes frames one at a time (port->apart), as one whose
 * framing is delimited by silence does; other ports do nothing for this.
 */
#ifndef PACE_H
#define PACE_H

#include "forward.h"

/* Whether frames are written in pieces. */
static inline bool
port_paced(const struct port *port)
{
	return port->conf->pace != 0 && port->conf->ops->datagram == 0;
}
/* Whether the next bytes wait for the pace or a gap, and not for the receiver. */
static inline bool
port_is_slowed(const struct port *port)
{
	return (port->gap_at != 0 && port->ack == NULL) ||
	    (port->pace_at != 0 && !port->pace_refused);
}
/* The section of the port is used, or has changed. */
void port_set_pace(struct port *port);
/* Something was passed to the link: it is written from the next pass of the loop on. */
void port_pace_begin(struct port *port);
/*
 * The time for the next piece has come.  Returns true if nothing is pending any more:
 * port_flush() is to be called.
 */
bool port_pace_due(struct port *port, uint64_t now);
/* The time that has to pass after a frame of len bytes. */
static inline uint64_t
port_gap_time(const struct port *port, size_t len)
{
	const struct endpoint_conf *conf = port->conf;
	uint64_t gap = MAX(framing_gap(&conf->framing, len), conf->frame_gap);

	if (conf->pace != 0 && conf->ops->datagram != 0)
		gap = MAX(gap, (uint64_t)len * NSEC_PER_SEC / conf->pace);
	return gap;
}

#endif
