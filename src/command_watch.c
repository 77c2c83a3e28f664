/*
 * command_watch: every frame as it passes, a line each.
 *
 * A watch is a tap on the bridge.  It is told of frames in the middle of the data path,
 * so it only copies them: at most CONTROL_FRAMES_MAX bytes, and only while the control
 * sessions have time left in this pass of the loop.  They are shown in the session's
 * turns.  What found no room is counted, and the number shown in its place.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/buffer.h>

#include "command.h"
#include "command_call.h"
#include "control_session.h"
#include "control_turns.h"

/* Of a frame as it is shown, escapes included. */
#define SHOWN_MAX 1024
/* Frames that one step shows. */
#define STEP_FRAMES 16

/* A frame that waits to be shown; the names and the bytes follow, or only how many
 * were not shown. */
struct shown {
	struct timespec ts;
	uint64_t hidden;	/* 0: it is a frame */
	size_t size;		/* of the frame */
	uint32_t from, to, len; /* of what follows */
};

/* The time of day, which is the same for many frames. */
static const char *
time_of_day(time_t sec)
{
	static char text[16];
	static time_t of = -1;
	struct tm tm;

	if (sec != of) {
		localtime_r(&sec, &tm);
		strftime(text, sizeof(text), "%H:%M:%S", &tm);
		of = sec;
	}
	return text;
}

static void
show_text(struct evbuffer *out, const struct shown *f, const char *from,
    const char *to, const char *text)
{
	const char *when = time_of_day(f->ts.tv_sec);

	evbuffer_add_printf(out, "%s.%03ld %-8s %-8s %4zu %s\n", when,
	    f->ts.tv_nsec / (long)NSEC_PER_MSEC, from, to, f->size, text);
}

static void
show_json(struct evbuffer *out, const struct shown *f, const char *from,
    const char *to, const char *text)
{
	evbuffer_add_printf(out,
	    "{\"time\":%lld.%06ld,\"from\":\"%s\",\"to\":\"%s\",\"size\":%zu,"
	    "\"text\":\"",
	    (long long)f->ts.tv_sec, f->ts.tv_nsec / (long)NSEC_PER_USEC, from,
	    to, f->size);
	call_json_text(out, text);
	evbuffer_add(out, "\"}\n", 3);
}

static void
show_hidden(struct evbuffer *out, bool json, uint64_t n)
{
	evbuffer_add_printf(out,
	    json	 ? "{\"not_shown\":%llu}\n"
		: n == 1 ? "\xe2\x80\xa6 %llu frame not shown\n"
			 : "\xe2\x80\xa6 %llu frames not shown\n",
	    (unsigned long long)n);
}

/* Takes the first of the frames that wait, and shows it. */
static void
show_next(struct session *s)
{
	struct evbuffer *out = s->reply;
	char text[SHOWN_MAX + 4];
	const char *names;
	struct shown f;
	size_t rest;

	evbuffer_remove(s->frames, &f, sizeof(f));
	if (f.hidden > 0) {
		show_hidden(out, s->json, f.hidden);
		return;
	}
	rest = (size_t)f.from + f.to + f.len;
	names = (const char *)evbuffer_pullup(s->frames, (ssize_t)rest);
	if (names == NULL) { /* no memory to bring it together */
		show_hidden(out, s->json, 1);
	} else {
		escape((const uint8_t *)names + f.from + f.to, f.len, text,
		    sizeof(text));
		(s->json ? show_json : show_text)(
		    out, &f, names, names + f.from, text);
	}
	evbuffer_drain(s->frames, rest);
}

static size_t
frames_length(const struct session *s)
{
	return s->frames != NULL ? evbuffer_get_length(s->frames) : 0;
}

/* Puts the number of those that found no room in their place. */
static bool
add_hidden(struct session *s)
{
	struct shown f = { .hidden = s->hidden };

	if (s->hidden == 0)
		return true;
	if (evbuffer_add(s->frames, &f, sizeof(f)) < 0)
		return false;
	s->hidden = 0;
	return true;
}

/* Copies a frame behind those that wait; false without memory. */
static bool
add_frame(struct session *s, const char *from, const char *to,
    const uint8_t *payload, size_t size)
{
	struct shown f = { .size = size,
		.from = (uint32_t)strlen(from) + 1,
		.to = (uint32_t)strlen(to) + 1,
		.len = (uint32_t)MIN(size, (size_t)SHOWN_MAX) };
	struct evbuffer_iovec v;
	size_t len = sizeof(f) + f.from + f.to + f.len;
	char *p;

	if (evbuffer_reserve_space(s->frames, (ssize_t)len, &v, 1) != 1)
		return false;
	clock_gettime(CLOCK_REALTIME, &f.ts);
	p = v.iov_base;
	memcpy(p, &f, sizeof(f));
	memcpy(p + sizeof(f), from, f.from);
	memcpy(p + sizeof(f) + f.from, to, f.to);
	memcpy(p + sizeof(f) + f.from + f.to, payload, f.len);
	v.iov_len = len;
	return evbuffer_commit_space(s->frames, &v, 1) == 0;
}

/* A client that takes nothing at all is closed in the end. */
static void
check_stalled(struct session *s)
{
	uint64_t limit = control_config(s->control)->stall_timeout;
	uint64_t now = now_ns(), taken;
	char after[24];

	if (s->hidden == 1)
		s->full_ns = s->looked_ns = now;
	if (limit == 0 || (s->hidden > 1 && now - s->looked_ns < limit / 8))
		return;
	s->looked_ns = now;
	taken = session_taken(s);
	if (taken != s->taken)
		s->full_ns = now;
	s->taken = taken;
	if (now - s->full_ns < limit)
		return;
	log_to(LOG_NOTICE, ABOUT_CONTROL, s->name,
	    "%s has read nothing of what it watches for %s: closed", s->address,
	    format_time(limit, after, sizeof(after)));
	session_close(s, "does not read");
}

/* Whether another frame may be copied; after it was full, when it is half empty. */
static bool
has_room(const struct session *s)
{
	size_t limit = CONTROL_FRAMES_MAX;

	return turns_left() &&
	    frames_length(s) < (s->hidden > 0 ? limit / 2 : limit);
}

static void
on_frame(struct tap *tap, const struct port *from, const char *to,
    const uint8_t *payload, size_t len)
{
	struct session *s = CONTAINER_OF(tap, struct session, tap);
	uint64_t start;

	if (s->doomed || s->closing)
		return;
	start = turn_begin();
	if (!has_room(s) || !add_hidden(s) ||
	    !add_frame(s, from->link->name, to, payload, len)) {
		s->hidden++;
		check_stalled(s);
	}
	session_wake(s);
	turn_end(start);
}

int
watch_start(struct call *call)
{
	struct session *s = call->session;

	if (s->frames == NULL && (s->frames = evbuffer_new()) == NULL)
		return call_fail(call, ENOMEM, "out of memory");
	if (call->argc > 1 && (s->tap.names = call_names(call, 1)) == NULL)
		return -EINVAL;
	s->watching = s->tapped = true;
	s->json = call->json;
	s->hidden = 0;
	s->tap.frame = on_frame;
	bridge_tap(call->bridge, &s->tap);
	return CALL_OPEN;
}

bool
command_watch_waits(const struct session *s)
{
	return frames_length(s) > 0 || s->hidden > 0;
}

bool
command_watch(struct session *s)
{
	if (frames_length(s) == 0)
		add_hidden(s);
	for (unsigned i = 0; i < STEP_FRAMES && frames_length(s) > 0; i++)
		show_next(s);
	return frames_length(s) > 0;
}

void
command_unwatch(struct session *s)
{
	if (s->tapped)
		bridge_untap(control_bridge(s->control), &s->tap);
	s->tapped = false;
	if (command_watch(s))
		return;
	if (s->hidden > 0)
		show_hidden(s->reply, s->json, s->hidden);
	s->hidden = 0;
	s->watching = false;
	evbuffer_add(s->reply, "OK\n", 3);
}
