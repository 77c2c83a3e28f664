/*
 * discard: how much of the recent input of a port was bad.
 */
#include "discard.h"
#include "warning.h"

/* Fewer may be noise on a line on which little is sent. */
#define DISCARD_MIN 3

/* The last frames of the port, the bad ones as 1, the latest as the lowest bit. */
static uint32_t
recent(const struct port *port)
{
	const struct discards *d = &port->discards;
	uint64_t good = port->traffic.rx_frames - d->frames;

	return good < DISCARD_WINDOW ? d->recent << good : 0;
}

/* No good frame has come since the last bad one. */
static bool
is_run(const struct port *port)
{
	return port->discards.n > 0 &&
	    port->discards.frames == port->traffic.rx_frames;
}

static bool
discards_all(const struct port *port)
{
	const struct discards *d = &port->discards;

	return is_run(port) && d->n >= DISCARD_MIN &&
	    d->last_ns - d->since_ns >= DISCARD_WARNING_NS;
}

void
port_discarded(struct port *port)
{
	struct discards *d = &port->discards;
	bool before = discards_all(port);
	uint64_t now = task_now();

	if (!is_run(port)) {
		d->n = 0;
		d->since_ns = now;
	}
	d->recent = recent(port) << 1 | 1;
	d->frames = port->traffic.rx_frames;
	d->last_ns = now;
	d->n++;
	if (!before && discards_all(port))
		warnings_due(now);
}

unsigned
node_recent_errors(const struct node *node)
{
	const struct port *port;
	unsigned most = 0, n;

	TAILQ_FOREACH(port, &node->ports, entry) {
		n = (unsigned)__builtin_popcount(recent(port));
		most = MAX(most, n);
	}
	return most;
}

uint64_t
node_last_error(const struct node *node)
{
	const struct port *port;
	uint64_t last = 0;

	TAILQ_FOREACH(port, &node->ports, entry)
		last = MAX(last, port->discards.last_ns);
	return last;
}

struct port *
node_discards_all(const struct node *node)
{
	struct port *port;

	TAILQ_FOREACH(port, &node->ports, entry)
		if (discards_all(port))
			return port;
	return NULL;
}
