/*
 * failover_live: which members of a failover are live.
 */
#include "failover_parts.h"
#include "pace.h"
#include "taken.h"

/* --- sources -------------------------------------------------------------- */

/* Whether the source is not read because a destination has no room. */
static bool
is_held_back(const struct node *node)
{
	const struct port *port;

	TAILQ_FOREACH(port, &node->ports, entry)
		if (port->blocked_by != NULL)
			return true;
	return false;
}

static bool
is_live_source(struct failover *f, unsigned i, uint64_t now)
{
	struct member *m = &f->member[i];

	if (m->live_ns != 0 && is_held_back(failover_node(f, i)))
		m->done_ns = now;
	return m->done_ns != 0 &&
	    now - m->done_ns < route_fail_after(f->route->conf);
}

/* --- destinations --------------------------------------------------------- */

static bool
is_writable(const struct port *port)
{
	return port_open(port) && !port->closing && !port->link->receive_only;
}

/*
 * Finds out whether anything waits for the port, how much its receiver has taken and how
 * long it may hide that, and whether it waits for its pace.
 */
static void
measure_port(const struct port *port, struct member *m, uint64_t *taken,
    uint64_t *delay, bool *slowed)
{
	struct taken t;

	if (!is_writable(port))
		return;
	link_taken(port->link, &t);
	*taken += t.bytes;
	*delay = MAX(*delay, t.delay_ns);
	*slowed |= port_is_slowed(port);
	m->owed |= port_owes(port) || t.bytes != port->link->tx_bytes;
}

static void
measure(struct failover *f, unsigned i, uint64_t now)
{
	struct member *m = &f->member[i];
	uint64_t taken = 0, delay = 0;
	const struct port *port;
	bool slowed = false;

	m->owed = false;
	TAILQ_FOREACH(port, &failover_node(f, i)->ports, entry)
		measure_port(port, m, &taken, &delay, &slowed);
	if (!m->owed || taken != m->taken || slowed)
		m->done_ns = now;
	m->taken = taken;
	m->stuck = now - m->done_ns >= route_fail_after(f->route->conf) + delay;
}

/* Measures all destinations when measure_at has come. */
static void
measure_all(struct failover *f, uint64_t now)
{
	if (f->measure_at == 0 || now < f->measure_at)
		return;
	f->measure_at = 0;
	for (unsigned i = 0; i < f->route->choice->n; i++) {
		measure(f, i, now);
		if (f->member[i].owed)
			f->measure_at = now +
			    route_fail_after(f->route->conf) / FAILOVER_LOOKS;
	}
}

/* Not a server that is up: what is sent to it while it has no client is lost. */
bool
failover_is_opening(const struct failover *f, unsigned i, uint64_t now)
{
	const struct endpoint *ep = failover_node(f, i)->endpoint;

	return i == f->route->choice->used && !f->member[i].opened &&
	    !(ep->conf->ops->several && ep->state == ENDPOINT_UP) &&
	    now - f->began_ns < route_fail_after(f->route->conf);
}

static bool
is_live_destination(struct failover *f, unsigned i, uint64_t now)
{
	struct member *m = &f->member[i];
	const struct port *port;

	TAILQ_FOREACH(port, &failover_node(f, i)->ports, entry) {
		m->opened |= port->link->up;
		if (is_writable(port))
			return !m->stuck;
	}
	m->stuck = false;
	return failover_is_opening(f, i, now);
}

/* --- both ----------------------------------------------------------------- */

void
failover_find_live(struct failover *f, uint64_t now)
{
	const struct choice *choice = f->route->choice;
	struct member *m;
	bool live;

	if (!choice->of_sources)
		measure_all(f, now);
	for (unsigned i = 0; i < choice->n; i++) {
		m = &f->member[i];
		live = choice->of_sources ? is_live_source(f, i, now)
					  : is_live_destination(f, i, now);
		if (!live)
			m->live_ns = 0;
		else if (m->live_ns == 0)
			m->live_ns = now;
	}
}

/* A device that is lost may not have the state yet. */
static bool
is_up(const struct endpoint *ep)
{
	return ep->state == ENDPOINT_UP &&
	    (ep->conf->ops->several || ep->link.up);
}

const char *
failover_reason(const struct failover *f, unsigned i, char *buf, size_t size)
{
	const struct route_conf *conf = f->route->conf;
	const struct endpoint *ep = failover_node(f, i)->endpoint;
	char time[24];

	format_time(route_fail_after(conf), time, sizeof(time));
	if (conf->prefer == PREFER_FROM)
		snprintf(buf, size, "has sent no frame%s within %s",
		    conf->live_match != NULL ? " that matches 'live_match'"
					     : "",
		    time);
	else if (ep->paused)
		snprintf(buf, size, "is paused");
	else if (!is_up(ep))
		snprintf(buf, size, "is not up");
	else if (f->member[i].stuck)
		snprintf(buf, size, "has taken nothing within %s", time);
	else
		snprintf(buf, size, "has no peer");
	return buf;
}
