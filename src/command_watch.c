/*
 * command_watch: every frame as it passes, a line each.
 *
 * A watch is a tap on the bridge.  It is told of frames in the middle of the data
 * path, so it only formats and hands over; a session that has to go because its
 * client does not read goes later.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/buffer.h>

#include "command.h"
#include "command_call.h"

/* Of a frame as it is shown, escapes included. */
#define SHOWN_MAX 1024

static void
show_text(struct evbuffer *out, const struct timespec *ts, const char *from,
    const char *to, size_t len, const char *text)
{
	char when[16];
	struct tm tm;

	localtime_r(&ts->tv_sec, &tm);
	strftime(when, sizeof(when), "%H:%M:%S", &tm);
	evbuffer_add_printf(out, "%s.%03ld %-8s %-8s %4zu %s\n", when,
	    ts->tv_nsec / (long)NSEC_PER_MSEC, from, to, len, text);
}

static void
show_json(struct evbuffer *out, const struct timespec *ts, const char *from,
    const char *to, size_t len, const char *text)
{
	struct output *o = output_new(OUTPUT_JSON);

	if (o == NULL)
		return;
	output_pair_time(o, "time",
	    (uint64_t)ts->tv_sec * NSEC_PER_SEC +
		(uint64_t)ts->tv_nsec / NSEC_PER_USEC * NSEC_PER_USEC);
	output_pair(o, "from", "%s", from);
	output_pair(o, "to", "%s", to);
	output_pair_number(o, "size", len);
	output_pair(o, "text", "%s", text);
	output_finish(o, out);
	output_free(o);
}

static void
on_frame(struct tap *tap, const struct port *from, const char *to,
    const uint8_t *payload, size_t len)
{
	struct session *s = CONTAINER_OF(tap, struct session, tap);
	char text[SHOWN_MAX + 4];
	struct timespec ts;

	if (s->doomed)
		return;
	clock_gettime(CLOCK_REALTIME, &ts);
	escape(payload, len, text, sizeof(text));
	(s->json ? show_json : show_text)(
	    s->reply, &ts, from->link->name, to, len, text);
	session_show(s);
}

int
watch_start(struct call *call)
{
	struct session *s = call->session;

	if (call->argc > 1 && (s->tap.names = call_names(call, 1)) == NULL)
		return -EINVAL;
	s->watching = true;
	s->json = call->json;
	s->tap.frame = on_frame;
	bridge_tap(call->bridge, &s->tap);
	return CALL_OPEN;
}

void
command_forget(struct session *s)
{
	if (!s->watching && !s->asking)
		return;
	bridge_untap(control_bridge(s->control), &s->tap);
	s->watching = s->asking = false;
}

void
command_unwatch(struct session *s)
{
	command_forget(s);
	evbuffer_add(s->reply, "OK\n", 3);
}
