/*
 * value: the attributes of endpoints, except for the keys of their sections.
 */
#include <sys/ioctl.h>

#include <inttypes.h>

#include "ack.h"
#include "call.h"
#include "discard.h"
#include "handshake.h"
#include "line_control.h"
#include "tls_link.h"
#include "value.h"
#include "writer.h"

/* --- values -------------------------------------------------------------- */

void
print_number(uint64_t n, char *buf, size_t size)
{
	snprintf(buf, size, "%" PRIu64, n);
}

void
print_seconds(uint64_t ns, unsigned digits, char *buf, size_t size)
{
	snprintf(
	    buf, size, "%.*f", (int)digits, (double)ns / (double)NSEC_PER_SEC);
}

bool
print_counter(const void *object, size_t at, char *buf, size_t size)
{
	print_number(
	    *(const uint64_t *)(const void *)((const char *)object + at), buf,
	    size);
	return true;
}

const char *
attribute_state(const struct node *node)
{
	const struct endpoint *ep = node->endpoint;

	if (ep->paused && ep->state == ENDPOINT_UP)
		return "paused";
	return endpoint_state_name(ep->state);
}

enum node_value {
	NODE_TYPE,
	NODE_STATE,
	NODE_ADDRESS,
	NODE_FRAMING,
	NODE_ERROR,
	NODE_UP,
	NODE_NEXT_TRY,
	NODE_OPENS,
	NODE_LOSSES,
	NODE_SILENCES,
	NODE_REFUSED,
	NODE_IDLE_CLOSED,
	NODE_BAD_COMMANDS,
	NODE_REPLACED,
	NODE_PAUSED,
	NODE_PEERS,
	NODE_QUEUED,
	NODE_QUEUED_FRAMES,
	NODE_HELD,
	NODE_OFFERED,
	NODE_DROPPED,
	NODE_RECENT_ERRORS,
	NODE_ERRORS
};

/* Bytes that were read, but are not a whole frame yet. */
static uint64_t
count_held(const struct node *node)
{
	const struct port *port;
	uint64_t n = 0;

	TAILQ_FOREACH(port, &node->ports, entry)
		n += port->held_len;
	return n;
}

static unsigned
count_peers(const struct node *node)
{
	const struct port *port;
	unsigned n = 0;

	TAILQ_FOREACH(port, &node->ports, entry)
		n += !port->link->no_peer;
	return n;
}

static uint64_t
node_number(const struct node_sums *sums, enum node_value value)
{
	const struct node *node = sums->node;

	switch (value) {
	case NODE_OPENS:
		return node->endpoint->opens;
	case NODE_LOSSES:
		return node->endpoint->losses;
	case NODE_SILENCES:
		return node->endpoint->silences;
	case NODE_REFUSED:
		return node->endpoint->refused;
	case NODE_IDLE_CLOSED:
		return node->endpoint->idle_closed;
	case NODE_BAD_COMMANDS:
		return node->endpoint->bad_commands;
	case NODE_REPLACED:
		return node->endpoint->replaced;
	case NODE_PEERS:
		return count_peers(node);
	case NODE_QUEUED:
		return sums->bytes;
	case NODE_QUEUED_FRAMES:
		return sums->frames;
	case NODE_HELD:
		return count_held(node);
	case NODE_OFFERED:
		return node_offered(node, &sums->traffic);
	case NODE_RECENT_ERRORS:
		return node_recent_errors(node);
	case NODE_DROPPED:
		return traffic_dropped(&sums->traffic);
	default:
		return traffic_errors(&sums->traffic);
	}
}

/* Only some types have this value. */
static bool
has_value(const struct endpoint_ops *ops, enum node_value value)
{
	switch (value) {
	case NODE_PEERS:
		return ops->several;
	case NODE_SILENCES:
		return !ops->several && !ops->echo;
	case NODE_REFUSED:
		return ops->several || ops->confirms;
	case NODE_IDLE_CLOSED:
	case NODE_REPLACED:
		return ops->several && ops->datagram == 0;
	case NODE_BAD_COMMANDS:
		return ops->attach != NULL;
	default:
		return true;
	}
}

static bool
print_node(const void *object, size_t at, char *buf, size_t size)
{
	const struct node_sums *sums = object;
	const struct node *node = sums->node;
	const struct endpoint *ep = node->endpoint;
	const char *text;

	switch (at) {
	case NODE_TYPE:
		text = ep->conf->ops->type;
		break;
	case NODE_STATE:
		text = attribute_state(node);
		break;
	case NODE_ADDRESS:
		text = ep->address;
		break;
	case NODE_FRAMING:
		text = ep->conf->framing.rule->name;
		break;
	case NODE_ERROR:
		text = ep->error.text;
		break;
	case NODE_PAUSED:
		text = ep->paused ? "yes" : "no";
		break;
	case NODE_NEXT_TRY:
		print_seconds(endpoint_next_try(ep), 3, buf, size);
		return true;
	case NODE_UP:
		print_seconds(
		    ep->state == ENDPOINT_UP ? now_ns() - ep->since_ns : 0, 3,
		    buf, size);
		return true;
	default:
		print_number(node_number(sums, (enum node_value)at), buf, size);
		return has_value(ep->conf->ops, (enum node_value)at);
	}
	snprintf(buf, size, "%s", text);
	return true;
}

static bool
print_traffic(const void *object, size_t at, char *buf, size_t size)
{
	const struct node_sums *sums = object;

	return print_counter(&sums->traffic, at, buf, size);
}

/* Only servers have these. */
static bool
print_refused(const void *object, size_t at, char *buf, size_t size)
{
	const struct node *node = ((const struct node_sums *)object)->node;

	return node->endpoint->conf->ops->permission != 0 &&
	    print_traffic(object, at, buf, size);
}

enum origin_value { ORIGIN_DUPLICATE, ORIGIN_MISSING, ORIGIN_UNCONFIRMED };

/* Only an endpoint whose frames have origins has these. */
static bool
print_origins(const void *object, size_t at, char *buf, size_t size)
{
	const struct node *node = ((const struct node_sums *)object)->node;
	const struct origins *origins = node->endpoint->origins;
	const struct port *port = TAILQ_FIRST(&node->ports);

	if (origins == NULL || port == NULL || port->ack == NULL)
		return false;
	print_number(at == ORIGIN_DUPLICATE ? origins_duplicate(origins)
		: at == ORIGIN_MISSING	    ? origins_missing(origins)
					    : port->ack->n,
	    buf, size);
	return true;
}

/* Only an endpoint that receives its own output has these. */
static bool
print_echo(const void *object, size_t at, char *buf, size_t size)
{
	const struct node *node = ((const struct node_sums *)object)->node;

	return node->endpoint->conf->echo &&
	    print_traffic(object, at, buf, size);
}

/* Absent if there was none since the endpoint was opened. */
static bool
print_last_error(const void *object, size_t at, char *buf, size_t size)
{
	const struct node *node = ((const struct node_sums *)object)->node;
	uint64_t last = node_last_error(node), now = now_ns();

	(void)at;
	print_seconds(now > last ? now - last : 0, 3, buf, size);
	return last != 0;
}

enum tls_value { TLS_EXPIRES, TLS_FAILED, TLS_HANDSHAKES, TLS_MEMORY };

static uint64_t
tls_memory(const struct endpoint *ep)
{
	uint64_t n = endpoint_tls_memory(ep);

	return ep->handshakes != NULL ? n + handshakes_memory(ep->handshakes)
				      : n;
}

/* Only an endpoint with TLS has these; without a certificate it does not expire. */
static bool
print_tls(const void *object, size_t at, char *buf, size_t size)
{
	const struct node *node = ((const struct node_sums *)object)->node;
	const struct endpoint *ep = node->endpoint;
	const struct tls_context *context = ep->conf->tls;

	if (context == NULL || (at == TLS_EXPIRES && context->expires == 0))
		return false;
	if (at == TLS_EXPIRES)
		snprintf(buf, size, "%lld",
		    (long long)context->expires - (long long)time(NULL));
	else if (at == TLS_FAILED)
		print_number(ep->tls_failed, buf, size);
	else if (at == TLS_HANDSHAKES)
		print_number(
		    ep->handshakes != NULL ? ep->handshakes->n : 0, buf, size);
	else
		print_number(tls_memory(ep), buf, size);
	return true;
}

/* Only an endpoint with a log has these. */
static bool
print_log(const void *object, size_t at, char *buf, size_t size)
{
	struct writer_stats stats;

	if (!node_log_stats(((const struct node_sums *)object)->node, &stats))
		return false;
	print_number(
	    *(const uint64_t *)(const void *)((const char *)&stats + at), buf,
	    size);
	return true;
}

/* Only an endpoint with a spool has these. */
static bool
print_spool(const void *object, size_t at, char *buf, size_t size)
{
	struct spool_status st;

	if (!node_spool(((const struct node_sums *)object)->node, &st))
		return false;
	print_number(*(const uint64_t *)(const void *)((const char *)&st + at),
	    buf, size);
	return true;
}

#define LOGGED(member) print_log, offsetof(struct writer_stats, member)
#define SPOOLED(member) print_spool, offsetof(struct spool_status, member)
#define TRAFFIC(member) print_traffic, offsetof(struct traffic, member)

enum line_error { LINE_FRAME, LINE_PARITY, LINE_OVERRUN, LINE_BREAK };

/* The error counters of a serial port's driver; false where it has none. */
static bool
print_line_error(const void *object, size_t at, char *buf, size_t size)
{
	const struct node *node = ((const struct node_sums *)object)->node;
	const struct endpoint *ep = node->endpoint;
	struct line_errors c;

	if (ep->conf->ops->line_errors == NULL ||
	    ep->conf->ops->line_errors(ep, &c) < 0)
		return false;
	switch (at) {
	case LINE_FRAME:
		print_number(c.frame, buf, size);
		return true;
	case LINE_PARITY:
		print_number(c.parity, buf, size);
		return true;
	case LINE_OVERRUN:
		print_number(c.overrun, buf, size);
		return true;
	default:
		print_number(c.breaks, buf, size);
		return true;
	}
}

/* Whether the other side lets a serial port send; false where it has no such line. */
static bool
print_cts(const void *object, size_t at, char *buf, size_t size)
{
	const struct node *node = ((const struct node_sums *)object)->node;
	const struct line_ops *control = node->endpoint->conf->ops->control;
	unsigned signals;

	(void)at;
	if (control == NULL || control->signals(node->endpoint, &signals) < 0)
		return false;
	snprintf(buf, size, "%s", signals & TIOCM_CTS ? "on" : "off");
	return true;
}

const struct row node_rows[] = {
	{ "type", print_node, NODE_TYPE },
	{ "state", print_node, NODE_STATE },
	{ "address", print_node, NODE_ADDRESS },
	{ "framing", print_node, NODE_FRAMING },
	{ "error", print_node, NODE_ERROR },
	{ "up", print_node, NODE_UP },
	{ "next_try", print_node, NODE_NEXT_TRY },
	{ "opens", print_node, NODE_OPENS },
	{ "losses", print_node, NODE_LOSSES },
	{ "silences", print_node, NODE_SILENCES },
	{ "refused", print_node, NODE_REFUSED },
	{ "idle_closed", print_node, NODE_IDLE_CLOSED },
	{ "bad_commands", print_node, NODE_BAD_COMMANDS },
	{ "replaced", print_node, NODE_REPLACED },
	{ "paused", print_node, NODE_PAUSED },
	{ "peers", print_node, NODE_PEERS },
	{ "queued", print_node, NODE_QUEUED },
	{ "queued_bytes", print_node, NODE_QUEUED },
	{ "queued_frames", print_node, NODE_QUEUED_FRAMES },
	{ "rx_bytes", TRAFFIC(rx_bytes) },
	{ "rx_frames", TRAFFIC(rx_frames) },
	{ "rx_payload", TRAFFIC(rx_payload) },
	{ "rx_overhead", TRAFFIC(rx_overhead) },
	{ "rx_held", print_node, NODE_HELD },
	{ "tx_bytes", TRAFFIC(tx_bytes) },
	{ "tx_frames", TRAFFIC(tx_frames) },
	{ "tx_payload", TRAFFIC(tx_payload) },
	{ "unchecked", TRAFFIC(unchecked) },
	{ "stalls", TRAFFIC(stalls) },
	{ "duplicate", print_origins, ORIGIN_DUPLICATE },
	{ "missing", print_origins, ORIGIN_MISSING },
	{ "unconfirmed", print_origins, ORIGIN_UNCONFIRMED },
	{ "refused_frames", print_refused,
	    offsetof(struct traffic, refused_frames) },
	{ "refused_bytes", print_refused,
	    offsetof(struct traffic, refused_bytes) },
	{ "echo_bytes", print_echo, offsetof(struct traffic, echo_bytes) },
	{ "collisions", print_echo, offsetof(struct traffic, collisions) },
	{ "line_cts", print_cts, 0 },
	{ "line_frame", print_line_error, LINE_FRAME },
	{ "line_parity", print_line_error, LINE_PARITY },
	{ "line_overrun", print_line_error, LINE_OVERRUN },
	{ "line_break", print_line_error, LINE_BREAK },
	{ "spooled_frames", SPOOLED(frames) },
	{ "spooled_bytes", SPOOLED(bytes) },
	{ "spool_disk", SPOOLED(size) },
	{ "spool_segments", SPOOLED(segments) },
	{ "spool_errors", SPOOLED(errors) },
	{ "log_lines", LOGGED(records) },
	{ "log_bytes", LOGGED(bytes) },
	{ "log_skipped", LOGGED(skipped) },
	{ "tls_expires", print_tls, TLS_EXPIRES },
	{ "tls_failed", print_tls, TLS_FAILED },
	{ "tls_handshakes", print_tls, TLS_HANDSHAKES },
	{ "tls_memory", print_tls, TLS_MEMORY },
	{ "offered", print_node, NODE_OFFERED },
	{ "rejected", TRAFFIC(rejected) },
	{ "errors", print_node, NODE_ERRORS },
	{ "recent_errors", print_node, NODE_RECENT_ERRORS },
	{ "last_error", print_last_error, 0 },
	{ "dropped", print_node, NODE_DROPPED },
	{ "dropped_bytes", TRAFFIC(dropped_bytes) },
	{ .name = NULL },
};
