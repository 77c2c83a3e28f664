/*
 * metrics_endpoint: the metrics of endpoints.
 */
#include <string.h>

#include <event2/buffer.h>

#include "call.h"
#include "metric.h"

static void
of_node(struct http_session *s, const struct node *node)
{
	metric_named(s, "", "endpoint", node->endpoint->conf->name);
}

static void
print_info(struct http_session *s, const void *object)
{
	const struct endpoint *ep = ((const struct node *)object)->endpoint;

	of_node(s, object);
	metric_label(s, ",", "type", ep->conf->ops->type);
	metric_label(s, ",", "address", ep->address);
	metric_label(s, ",", "framing", ep->conf->framing.rule->name);
	metric_label(
	    s, ",", "label", ep->conf->label != NULL ? ep->conf->label : "");
	evbuffer_add_printf(s->out, "} 1\n");
}

static void
print_up(struct http_session *s, const void *object)
{
	of_node(s, object);
	evbuffer_add_printf(
	    s->out, "} %d\n", strcmp(attribute_state(object), "up") == 0);
}

static void
print_required(struct http_session *s, const void *object)
{
	const struct node *node = object;

	of_node(s, node);
	evbuffer_add_printf(s->out, "} %d\n", node->endpoint->conf->required);
}

static void
print_state(struct http_session *s, const void *object)
{
	const char *state = attribute_state(object), *name;

	for (int i = ENDPOINT_CLOSED; i <= ENDPOINT_IDLE + 1; i++) {
		name = i > ENDPOINT_IDLE
		    ? "paused"
		    : endpoint_state_name((enum endpoint_state)i);
		of_node(s, object);
		evbuffer_add_printf(s->out, ",state=\"%s\"} %d\n", name,
		    strcmp(name, state) == 0);
	}
}

static void
print_reasons(struct http_session *s, const void *object,
    const char *const *names, size_t n, const uint64_t *counts)
{
	for (size_t i = 0; i < n; i++) {
		of_node(s, object);
		evbuffer_add_printf(s->out, ",reason=\"%s\"}", names[i]);
		metric_number(s, counts[i]);
	}
}

static void
print_bad(struct http_session *s, const void *object)
{
	print_reasons(s, object, bad_reason_names, BAD_REASONS,
	    s->metrics->sums.traffic.bad);
}

static void
print_bad_bytes(struct http_session *s, const void *object)
{
	print_reasons(s, object, bad_reason_names, BAD_REASONS,
	    s->metrics->sums.traffic.bad_bytes);
}

static void
print_dropped(struct http_session *s, const void *object)
{
	print_reasons(s, object, drop_reason_names, DROP_REASONS,
	    s->metrics->sums.traffic.dropped);
}

static void
print_line_errors(struct http_session *s, const void *object)
{
	static const struct {
		const char *attribute, *reason;
	} errors[] = {
		{ "line_frame", "frame" },
		{ "line_parity", "parity" },
		{ "line_overrun", "overrun" },
		{ "line_break", "break" },
	};
	char text[VALUE_TEXT_MAX];

	for (const struct row *row = node_rows; row->name != NULL; row++)
		for (size_t i = 0; i < NELEM(errors); i++)
			if (strcmp(row->name, errors[i].attribute) == 0 &&
			    row->print(&s->metrics->sums, row->at, text,
				sizeof(text))) {
				of_node(s, object);
				evbuffer_add_printf(s->out,
				    ",reason=\"%s\"} %s\n", errors[i].reason,
				    text);
			}
}

static void
print_expiry(struct http_session *s, const void *object)
{
	const struct endpoint_conf *conf =
	    ((const struct node *)object)->endpoint->conf;

	if (conf->tls == NULL || conf->tls->expires == 0)
		return;
	of_node(s, object);
	evbuffer_add_printf(s->out, "} %lld\n", (long long)conf->tls->expires);
}

/* The MAVLink systems that were heard from it. */
static void
print_systems_lost(struct http_session *s, const void *object)
{
	const struct node *node = object;
	const struct systems *systems =
	    routes_systems(node->bridge->routes, node->number);

	if (systems == NULL)
		return;
	for (unsigned i = 0; i < SYSTEMS_MAX; i++) {
		if (systems->heard_ns[i] == 0)
			continue;
		of_node(s, node);
		evbuffer_add_printf(s->out, ",system=\"%u\"}", i);
		metric_number(s, systems->lost[i]);
	}
}

#define NODE(metric, kind, name_, text)                                 \
	{                                                               \
		.name = "endpoint_" metric, .type = kind, .help = text, \
		.of = OF_NODES, .rows = node_rows, .attribute = name_   \
	}

const struct metric endpoint_metrics[] = {
	PRINTED(OF_NODES, "endpoint_info", "gauge", print_info,
	    "The endpoints: type, address, framing and label."),
	PRINTED(OF_NODES, "endpoint_up", "gauge", print_up,
	    "Whether the endpoint is up."),
	PRINTED(OF_NODES, "endpoint_required", "gauge", print_required,
	    "Whether /healthz fails while it is not up."),
	PRINTED(OF_NODES, "endpoint_state", "gauge", print_state,
	    "1 for the state that it is in."),
	NODE("opens_total", "counter", "opens", "How often it was opened."),
	NODE("losses_total", "counter", "losses", "How often it was lost."),
	NODE("silences_total", "counter", "silences",
	    "How often it was opened again because it was silent."),
	NODE("peers", "gauge", "peers", "Connections of a server."),
	NODE("refused_total", "counter", "refused",
	    "Connections or datagrams that were refused."),
	NODE("received_bytes_total", "counter", "rx_bytes",
	    "Bytes received on the line."),
	NODE("sent_bytes_total", "counter", "tx_bytes",
	    "Bytes sent on the line."),
	NODE("received_frames_total", "counter", "rx_frames",
	    "Frames received."),
	NODE("sent_frames_total", "counter", "tx_frames", "Frames sent."),
	NODE("received_payload_bytes_total", "counter", "rx_payload",
	    "Bytes of the payload of frames received."),
	NODE("sent_payload_bytes_total", "counter", "tx_payload",
	    "Bytes of the payload of frames sent."),
	PRINTED(OF_NODES, "endpoint_bad_frames_total", "counter", print_bad,
	    "Frames that its decoder discarded, by reason."),
	PRINTED(OF_NODES, "endpoint_bad_bytes_total", "counter",
	    print_bad_bytes, "Bytes of these, by reason."),
	PRINTED(OF_NODES, "endpoint_dropped_frames_total", "counter",
	    print_dropped, "Frames for it that were dropped, by reason."),
	NODE("dropped_bytes_total", "counter", "dropped_bytes",
	    "Bytes of the payload of frames for it that were dropped."),
	NODE("refused_frames_total", "counter", "refused_frames",
	    "Frames of clients that may not write."),
	NODE("unchecked_frames_total", "counter", "unchecked",
	    "Frames whose checksum could not be checked."),
	NODE("offered_frames_total", "counter", "offered",
	    "Frames that were to be sent to it: the sum of those that were"
	    " sent, are queued, were rejected and were dropped."),
	NODE("rejected_frames_total", "counter", "rejected",
	    "Frames that no route accepted for it."),
	NODE("queued_bytes", "gauge", "queued_bytes",
	    "Bytes of frames that wait to be written to it."),
	NODE("spooled_frames", "gauge", "spooled_frames",
	    "Frames in its spool, also counted as queued."),
	NODE("spool_disk_bytes", "gauge", "spool_disk",
	    "The size of the files of its spool."),
	NODE("spool_errors_total", "counter", "spool_errors",
	    "How often the disk of its spool could not be used."),
	NODE("queued_frames", "gauge", "queued_frames",
	    "Frames that wait to be written to it."),
	NODE("stalls_total", "counter", "stalls",
	    "How often it, or a peer of it, has stalled."),
	NODE("duplicate_messages_total", "counter", "duplicate",
	    "Messages that an mqtt endpoint received repeatedly."),
	NODE("missing_messages_total", "counter", "missing",
	    "Messages for an mqtt endpoint that were sent and not received."),
	NODE("unconfirmed_frames", "gauge", "unconfirmed",
	    "Frames that an MQTT broker has not confirmed yet."),
	PRINTED(OF_NODES, "endpoint_line_errors_total", "counter",
	    print_line_errors,
	    "Errors and breaks that the driver of a serial port has counted."),
	NODE("collisions_total", "counter", "collisions",
	    "Collisions with its own output, with echo = yes."),
	NODE("tls_handshakes_failed_total", "counter", "tls_failed",
	    "Handshakes of TLS that have failed."),
	PRINTED(OF_NODES, "endpoint_mavlink_lost_total", "counter",
	    print_systems_lost,
	    "Messages of a MAVLink system that were lost before they were"
	    " received, with routing = target."),
	PRINTED(OF_NODES, "endpoint_certificate_expiry_timestamp_seconds",
	    "gauge", print_expiry, "When its certificate expires."),
	{ .name = NULL },
};
