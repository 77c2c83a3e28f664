/*
 * watch: shows each forwarded frame, one per line.
 *
 * A watch is a tap on the bridge.  The tap is called in the data path, so it only copies
 * frames: at most CLIENT_FRAMES_MAX bytes, and only while the clients have time left in
 * this pass of the loop. They are shown in the client's turns.  Frames for which there is
 * no room are counted, and their number is shown in their place.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include <event2/buffer.h>

#include "command.h"
#include "call.h"
#include "turns.h"
#include "log.h"

/* The maximum of a frame that is shown, with escapes. */
#define SHOWN_MAX 1024
/* The number of frames shown in one step. */
#define STEP_FRAMES 16

/*
 * A frame to be shown, followed by the names, a note and the bytes; or the number of frames
 * that were not shown.
 */
struct shown {
	struct timespec ts;
	uint64_t hidden;	      /* 0: it is a frame */
	size_t size;		      /* of the frame */
	uint32_t from, to, note, len; /* lengths of what follows */
};

/* The time of day, cached because it is the same for many frames. */
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
    const char *to, const char *note, const char *text)
{
	const char *when = time_of_day(f->ts.tv_sec);

	evbuffer_add_printf(out, "%s.%03ld %-8s %-8s %4zu %s", when,
	    f->ts.tv_nsec / (long)NSEC_PER_MSEC, from, to, f->size, text);
	if (*note != '\0')
		evbuffer_add_printf(out, "  [%s]", note);
	evbuffer_add(out, "\n", 1);
}

static void
show_json(struct evbuffer *out, const struct shown *f, const char *from,
    const char *to, const char *note, const char *text)
{
	evbuffer_add_printf(out,
	    "{\"time\":%lld.%06ld,\"from\":\"%s\",\"to\":\"%s\",\"size\":%zu,"
	    "\"text\":\"",
	    (long long)f->ts.tv_sec, f->ts.tv_nsec / (long)NSEC_PER_USEC, from,
	    to, f->size);
	call_json_text(out, text);
	if (*note != '\0')
		evbuffer_add_printf(out, "\",\"note\":\"%s", note);
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

/* Removes the first of the frames to be shown, and shows it. */
static void
show_next(struct client *c)
{
	struct evbuffer *out = c->reply;
	char text[SHOWN_MAX + 4];
	const char *names;
	struct shown f;
	size_t words;
	size_t rest;

	evbuffer_remove(c->frames, &f, sizeof(f));
	if (f.hidden > 0) {
		show_hidden(out, c->json, f.hidden);
		return;
	}
	words = (size_t)f.from + f.to + f.note;
	rest = words + f.len;
	names = (const char *)evbuffer_pullup(c->frames, (ssize_t)rest);
	if (names == NULL) { /* out of memory */
		show_hidden(out, c->json, 1);
	} else {
		escape(
		    (const uint8_t *)names + words, f.len, text, sizeof(text));
		(c->json ? show_json : show_text)(out, &f, names,
		    names + f.from, names + f.from + f.to, text);
	}
	evbuffer_drain(c->frames, rest);
}

static size_t
frames_length(const struct client *c)
{
	return c->frames != NULL ? evbuffer_get_length(c->frames) : 0;
}

/* Adds an entry with the number of frames for which there was no room. */
static bool
add_hidden(struct client *c)
{
	struct shown f = { .hidden = c->hidden };

	if (c->hidden == 0)
		return true;
	if (evbuffer_add(c->frames, &f, sizeof(f)) < 0)
		return false;
	c->hidden = 0;
	return true;
}

/* Appends a copy of a frame; false: out of memory. */
static bool
add_frame(struct client *c, const char *from, const char *to,
    const uint8_t *payload, size_t size, const char *note)
{
	struct shown f = { .size = size,
		.from = (uint32_t)strlen(from) + 1,
		.to = (uint32_t)strlen(to) + 1,
		.note = (uint32_t)strlen(note) + 1,
		.len = (uint32_t)MIN(size, (size_t)SHOWN_MAX) };
	struct evbuffer_iovec v;
	size_t len = sizeof(f) + f.from + f.to + f.note + f.len;
	char *p;

	if (evbuffer_reserve_space(c->frames, (ssize_t)len, &v, 1) != 1)
		return false;
	clock_gettime(CLOCK_REALTIME, &f.ts);
	p = v.iov_base;
	p = mempcpy(p, &f, sizeof(f));
	p = mempcpy(p, from, f.from);
	p = mempcpy(p, to, f.to);
	p = mempcpy(p, note, f.note);
	memcpy(p, payload, f.len);
	v.iov_len = len;
	return evbuffer_commit_space(c->frames, &v, 1) == 0;
}

/* Closes a client that does not read anything for stall_timeout. */
static void
check_stalled(struct client *c)
{
	uint64_t limit = c->stall_timeout;
	uint64_t now = now_ns(), taken;
	char after[24];

	if (c->hidden == 1)
		c->full_ns = c->looked_ns = now;
	if (limit == 0 || c->ops->taken == NULL ||
	    (c->hidden > 1 && now - c->looked_ns < limit / 8))
		return;
	c->looked_ns = now;
	taken = c->ops->taken(c);
	if (taken != c->taken)
		c->full_ns = now;
	c->taken = taken;
	if (now - c->full_ns < limit)
		return;
	log_to(LOG_NOTICE, ABOUT_CONTROL, c->name,
	    "%s has read nothing of what it watches for %s: closed", c->address,
	    format_time(limit, after, sizeof(after)));
	c->ops->close(c, "does not read");
}

/*
 * Whether another frame may be copied; after the buffer was full, not before it is half
 * empty.
 */
static bool
has_room(const struct client *c)
{
	size_t limit = CLIENT_FRAMES_MAX;

	return turns_left() &&
	    frames_length(c) < (c->hidden > 0 ? limit / 2 : limit);
}

static void
on_note(struct tap *tap, const char *from, const char *to,
    const uint8_t *payload, size_t len, const char *note)
{
	struct client *c = CLIENT_OF(tap);
	uint64_t start;

	if (c->closed || c->closing)
		return;
	start = turn_begin();
	if (!has_room(c) || !add_hidden(c) ||
	    !add_frame(c, from, to, payload, len, note)) {
		c->hidden++;
		check_stalled(c);
	}
	c->ops->wake(c);
	turn_end(start);
}

static void
on_frame(struct tap *tap, const struct port *from, const char *to,
    const uint8_t *payload, size_t len)
{
	on_note(tap, from->link->name, to, payload, len, "");
}

int
watch_start(struct call *call)
{
	struct client *c = call->client;

	if (client_frames(c) < 0)
		return call_fail(call, ENOMEM, "out of memory");
	if (call->argc > 1 && (c->tap.names = call_names(call, 1)) == NULL)
		return -EINVAL;
	c->watching = true;
	c->json = call->json;
	c->hidden = 0;
	client_tap(c, on_frame, NULL);
	c->tap.note = on_note;
	return CALL_OPEN;
}

bool
command_watch_waits(const struct client *c)
{
	return frames_length(c) > 0 || c->hidden > 0;
}

bool
command_watch(struct client *c)
{
	if (frames_length(c) == 0)
		add_hidden(c);
	for (unsigned i = 0; i < STEP_FRAMES && frames_length(c) > 0; i++)
		show_next(c);
	return frames_length(c) > 0;
}

void
command_unwatch(struct client *c)
{
	client_untap(c);
	if (command_watch(c))
		return;
	if (c->hidden > 0)
		show_hidden(c->reply, c->json, c->hidden);
	c->hidden = 0;
	c->watching = false;
	evbuffer_add(c->reply, "OK\n", 3);
}
