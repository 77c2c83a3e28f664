/*
 * capture_stream: frames as lines of JSON, for a program that makes a capture of them.
 *
 * It is a watch that shows whole frames.
 */
#include <errno.h>

#include "watch.h"

/* note: "", or what is wrong with the frame. */
static void
collect(struct tap *tap, const struct framing_conf *framing, const char *from,
    const char *to, const uint8_t *data, size_t len, const char *bad)
{
	char note[96];
	const struct record r = { SHOWN_CAPTURE, from, to, note, data, len };

	snprintf(note, sizeof(note), "%s,%s,%s", framing->rule->name,
	    *bad == '\0' ? capture_dissector(framing) : "data", bad);
	watch_collect(CLIENT_OF(tap), &r);
}

static void
on_frame(struct tap *tap, const struct port *from, const char *to,
    const uint8_t *payload, size_t len)
{
	collect(
	    tap, &from->conf->framing, from->link->name, to, payload, len, "");
}

static void
on_sent(struct tap *tap, const struct node *to, const uint8_t *payload,
    size_t len, const char *outcome)
{
	const struct endpoint_conf *conf = to->endpoint->conf;

	(void)outcome;
	collect(tap, &conf->framing, "control", conf->name, payload, len, "");
}

static void
on_bad(struct tap *tap, const struct port *from, enum bad_reason reason,
    const uint8_t *data, size_t len, bool again)
{
	(void)again;
	collect(tap, &from->conf->framing, from->link->name, "-", data, len,
	    bad_reason_names[reason]);
}

int
stream_start(struct call *call, int first, bool all)
{
	const struct tap tap = {
		.frame = on_frame, .sent = on_sent, .bad = all ? on_bad : NULL
	};
	struct client *c = call->client;

	if (client_frames(c) < 0)
		return call_fail(call, ENOMEM, "out of memory");
	if (call->argc > first &&
	    (c->tap.names = call_names(call, first)) == NULL)
		return -EINVAL;
	memset(&c->watch, 0, sizeof(c->watch));
	c->watching = c->json = true;
	c->hidden = 0;
	client_tap_all(c, &tap);
	return CALL_OPEN;
}
