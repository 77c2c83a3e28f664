/*
 * node_warnings: what looks wrong with an endpoint.
 *
 * The frames of an endpoint are counted in any case, so nothing is done for each of them.
 * While one is silent, its reader is marked (task->noted), so that the end is noticed
 * soon after the next run of the reader.
 */
#include <string.h>

#include "discard.h"
#include "node_warnings.h"
#include "warning.h"
#include "writer.h"

#define FLAPPING_NS (60 * NSEC_PER_SEC)
/* How long an endpoint may be down: a board may start, or a host be restarted. */
#define DOWN_NS (60 * NSEC_PER_SEC)

/* The task that reads the endpoint, or accepts its connections. */
static const char *
task_name(const struct node *node, char *buf, size_t size)
{
	const struct endpoint_conf *conf = node->endpoint->conf;

	snprintf(buf, size, "%s.%s", conf->name,
	    !conf->ops->several		  ? "read"
		: conf->ops->datagram > 0 ? "receive"
					  : "accept");
	return buf;
}

static void
note_loss(struct node *node, uint64_t now)
{
	uint64_t first;
	char task[TASK_NAME_MAX];

	node->lost_ns[node->nlost++ % FLAPPING_LOSSES] = now;
	first = node->lost_ns[node->nlost % FLAPPING_LOSSES];
	if (node->nlost < FLAPPING_LOSSES || now - first > FLAPPING_NS)
		return;
	warning_set(&node->warnings, task_name(node, task, sizeof(task)),
	    WARNING_FLAPPING, now + FLAPPING_NS,
	    "%s was opened and lost more than %u times within a minute, at last"
	    " because of: %s",
	    node->endpoint->address, FLAPPING_LOSSES - 1,
	    error_is_set(&node->endpoint->error) ? node->endpoint->error.text
						 : "unknown");
}

/* Notes since when it waits to be opened; one that waits for a user or is stopped does not. */
static void
note_down(struct node *node, uint64_t now)
{
	enum endpoint_state state = node->endpoint->state;

	if (state != ENDPOINT_LOST && state != ENDPOINT_OPENING)
		node->down_ns = 0;
	else if (node->down_ns == 0)
		node->down_ns = now;
	if (node->down_ns != 0)
		warnings_due(node->down_ns + DOWN_NS);
}

static void
check_down(struct node *node, uint64_t now)
{
	const struct endpoint *ep = node->endpoint;
	char task[TASK_NAME_MAX], within[24];

	if (node->down_ns == 0 || node->bridge->stopping)
		warning_clear(&node->warnings, WARNING_DOWN);
	else if (now - node->down_ns < DOWN_NS)
		warnings_due(node->down_ns + DOWN_NS);
	else
		warning_set(&node->warnings,
		    task_name(node, task, sizeof(task)), WARNING_DOWN, 0,
		    "%s could not be opened within %s, at last because of: %s",
		    ep->address, format_time(DOWN_NS, within, sizeof(within)),
		    error_is_set(&ep->error) ? ep->error.text : "unknown");
}

/* Whether the endpoint is expected to receive frames now. */
static bool
is_listened_to(const struct node *node)
{
	const struct endpoint *ep = node->endpoint;
	const struct bridge *b = node->bridge;

	return ep->state == ENDPOINT_UP && !ep->paused && !b->stopping &&
	    ep->conf->silence_warning != 0 && !ep->conf->ops->echo &&
	    node->number < b->routes->nsources &&
	    b->routes->source[node->number].ntargets > 0;
}

static void
set_silent(struct node *node)
{
	const struct endpoint *ep = node->endpoint;
	char task[TASK_NAME_MAX], within[24];

	format_time(ep->conf->silence_warning, within, sizeof(within));
	warning_set(&node->warnings, task_name(node, task, sizeof(task)),
	    WARNING_SILENT, 0,
	    "%s is up, and no frame (framing = %s) was received within %s",
	    ep->address, ep->conf->framing.rule->name, within);
}

static void
check_silence(struct node *node, uint64_t now)
{
	struct endpoint *ep = node->endpoint;
	bool listens = is_listened_to(node), silent = false;
	uint64_t at;

	if (listens && node_received(node) == node->frames_before) {
		at = ep->since_ns + ep->conf->silence_warning;
		silent = now >= at;
		if (!silent)
			warnings_due(at);
	}
	ep->link.read.noted = silent;
	if (!silent)
		warning_clear(&node->warnings, WARNING_SILENT);
	else if (!warning_is_set(node->warnings, WARNING_SILENT))
		set_silent(node);
}

static void
set_discarded(struct node *node, struct port *port)
{
	char task[TASK_NAME_MAX], within[24];
	uint64_t since = port->discards.since_ns, now = now_ns();

	format_time(now > since ? now - since : 0, within, sizeof(within));
	snprintf(task, sizeof(task), "%s.read", port->link->name);
	warning_set(&node->warnings, task, WARNING_DISCARDED, 0,
	    "all that %s has sent within %s was discarded (framing = %s)",
	    port->link->address, within, port->conf->framing.rule->name);
}

static void
clear_discarded(struct node *node)
{
	struct port *port;

	if (!warning_is_set(node->warnings, WARNING_DISCARDED))
		return;
	warning_clear(&node->warnings, WARNING_DISCARDED);
	TAILQ_FOREACH(port, &node->ports, entry)
		port->link->read.noted &=
		    warning_is_set(node->warnings, WARNING_SILENT);
}

/* It ends with a good frame, after which the reader is noted, or with the connection. */
static void
check_discarded(struct node *node, uint64_t now)
{
	struct port *port = node_discards_all(node);

	if (port == NULL) {
		clear_discarded(node);
		return;
	}
	port->link->read.noted = true;
	if (node->endpoint->conf->ops->several)
		warnings_due(now + DISCARD_WARNING_NS);
	if (!warning_is_set(node->warnings, WARNING_DISCARDED))
		set_discarded(node, port);
}

static void
check_framing(struct node *node)
{
	const char *mixed = node->endpoint->conf->mixed_framing;
	char task[TASK_NAME_MAX];

	if (mixed == NULL)
		warning_clear(&node->warnings, WARNING_FRAMING);
	else if (!warning_is_set(node->warnings, WARNING_FRAMING))
		warning_set(&node->warnings,
		    task_name(node, task, sizeof(task)), WARNING_FRAMING, 0,
		    "%s", mixed);
}

static void
check_log(struct node *node)
{
	char task[TASK_NAME_MAX];
	struct writer_stats stats;

	if (!node_log_stats(node, &stats) || stats.error == 0)
		warning_clear(&node->warnings, WARNING_LOG);
	else
		warning_set(&node->warnings,
		    task_name(node, task, sizeof(task)), WARNING_LOG, 0,
		    "its log '%s' cannot be written: %s",
		    node->endpoint->conf->log, writer_error(stats.error));
}

static void
check_spool(struct node *node)
{
	char task[TASK_NAME_MAX];
	struct spool_status st;

	if (!node_spool(node, &st) || st.error == NULL)
		warning_clear(&node->warnings, WARNING_SPOOL);
	else
		warning_set(&node->warnings,
		    task_name(node, task, sizeof(task)), WARNING_SPOOL, 0,
		    "its spool cannot be used: %s: frames wait in memory",
		    st.error);
}

void
node_warnings_note(struct node *node)
{
	const struct endpoint *ep = node->endpoint;
	bool up = ep->state == ENDPOINT_UP;
	uint64_t now = now_ns();

	if (node->was_up && ep->state == ENDPOINT_LOST)
		note_loss(node, now);
	if (up && !node->was_up)
		node->frames_before = node_received(node);
	note_down(node, now);
	if (up && ep->conf->silence_warning != 0)
		warnings_due(ep->since_ns + ep->conf->silence_warning);
	if (ep->conf->mixed_framing != NULL || node->warnings != NULL)
		warnings_due(now);
	node->was_up = up;
}

void
node_warnings_check(void *arg, uint64_t now)
{
	struct bridge *b = arg;

	for (unsigned i = 0; i < b->nnodes; i++) {
		check_down(b->node[i], now);
		check_silence(b->node[i], now);
		check_discarded(b->node[i], now);
		check_framing(b->node[i]);
		check_log(b->node[i]);
		check_spool(b->node[i]);
	}
}
