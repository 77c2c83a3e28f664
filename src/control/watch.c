/*
 * watch: shows each frame, or the bytes before framing, one per line.
 *
 * A watch is a tap on the bridge.  The tap is called in the data path, so it only copies
 * what is to be shown: at most CLIENT_FRAMES_MAX bytes, and, apart from a few frames, only
 * while the clients have time left in this pass of the loop.  It is shown in the client's
 * turns (watch_show.c).  What there is no room for is counted, and the number is shown in
 * its place.  The list of events (watch_events.c) works in the same way.
 */
#include <errno.h>
#include <string.h>

#include <event2/buffer.h>

#include "command.h"
#include "log.h"
#include "turns.h"
#include "watch.h"

/* What is shown in one step: records, and bytes of the reply. */
#define STEP_RECORDS 16
#define STEP_BYTES (64 * 1024)
/* A longer piece of bytes is shown in several lines, or in JSON objects of this size. */
#define PIECE_TEXT SHOWN_MAX
#define PIECE_JSON (48 * 1024)
/* What is collected even if the clients have no time left, because it takes little. */
#define COLLECT_FREE 2048

/* --- collecting ------------------------------------------------------------ */

static size_t
collected(const struct client *c)
{
	return c->frames != NULL ? evbuffer_get_length(c->frames) : 0;
}

/* Appends a copy; false: out of memory. */
static bool
add(struct client *c, const struct record *r)
{
	size_t most = r->kind == SHOWN_IN || r->kind == SHOWN_OUT ||
		r->kind == SHOWN_CAPTURE
	    ? r->size
	    : (size_t)SHOWN_MAX;
	struct shown f = { .kind = r->kind,
		.size = r->size,
		.from = (uint32_t)strlen(r->from) + 1,
		.to = (uint32_t)strlen(r->to) + 1,
		.note = (uint32_t)strlen(r->note) + 1,
		.len = r->data != NULL ? (uint32_t)MIN(r->size, most) : 0 };
	size_t len = sizeof(f) + f.from + f.to + f.note + f.len;
	struct evbuffer_iovec v;
	char *p;

	if (evbuffer_reserve_space(c->frames, (ssize_t)len, &v, 1) != 1)
		return false;
	clock_gettime(CLOCK_REALTIME, &f.ts);
	p = v.iov_base;
	p = mempcpy(p, &f, sizeof(f));
	p = mempcpy(p, r->from, f.from);
	p = mempcpy(p, r->to, f.to);
	p = mempcpy(p, r->note, f.note);
	if (f.len > 0)
		memcpy(p, r->data, f.len);
	v.iov_len = len;
	return evbuffer_commit_space(c->frames, &v, 1) == 0;
}

/* Adds the number of records for which there was no room. */
static bool
add_hidden(struct client *c)
{
	const struct record r = { .kind = SHOWN_HIDDEN,
		.from = "",
		.to = "",
		.note = "",
		.size = c->hidden };

	if (c->hidden > 0 && !add(c, &r))
		return false;
	c->hidden = 0;
	return true;
}

/*
 * There was no room.  Closes a client that does not read anything for stall_timeout; first:
 * there was room before.
 */
static void
check_stalled(struct client *c, bool first)
{
	uint64_t limit = c->stall_timeout;
	uint64_t now = now_ns(), taken;
	char after[24];

	if (first)
		c->full_ns = c->looked_ns = now;
	if (limit == 0 || c->ops->taken == NULL ||
	    (!first && now - c->looked_ns < limit / 8))
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
 * Whether another record may be copied; after the buffer was full, not before it is half
 * empty.
 */
static bool
has_room(const struct client *c)
{
	size_t limit = turns_left() ? CLIENT_FRAMES_MAX : COLLECT_FREE;

	return collected(c) < (c->hidden > 0 ? limit / 2 : limit);
}

/* Whether COUNT lines have been collected. */
static bool
is_complete(const struct client *c)
{
	return c->watch.limited && c->watch.left == 0;
}

void
watch_collect(struct client *c, const struct record *r)
{
	bool bytes = r->kind == SHOWN_IN || r->kind == SHOWN_OUT, first;
	uint64_t start;

	if (c->closed || c->closing || is_complete(c))
		return;
	start = turn_begin();
	if (has_room(c) && add_hidden(c) && add(c, r)) {
		if (c->watch.limited)
			c->watch.left--;
	} else {
		first = c->hidden == 0;
		c->hidden += bytes ? r->size : 1;
		check_stalled(c, first);
	}
	c->ops->wake(c);
	turn_end(start);
}

/* --- the tap ---------------------------------------------------------------- */

static void
on_outcome(struct tap *tap, const struct port *from, const char *to,
    const uint8_t *payload, size_t len, const char *outcome)
{
	const struct record r = { SHOWN_FRAME, from->link->name, to, outcome,
		payload, len };

	watch_collect(CLIENT_OF(tap), &r);
}

static void
on_sent(struct tap *tap, const struct node *to, const uint8_t *payload,
    size_t len, const char *outcome)
{
	const struct record r = { SHOWN_FRAME, "control",
		to->endpoint->conf->name, outcome, payload, len };

	watch_collect(CLIENT_OF(tap), &r);
}

static void
on_note(struct tap *tap, const char *from, const char *to,
    const uint8_t *payload, size_t len, const char *note)
{
	const struct record r = { SHOWN_NOTE, from, to, note, payload, len };

	watch_collect(CLIENT_OF(tap), &r);
}

static void
on_bad(struct tap *tap, const struct port *from, enum bad_reason reason,
    const uint8_t *data, size_t len, bool again)
{
	char note[48];
	const struct record r = { SHOWN_NOTE, from->link->name, "-", note, data,
		len };

	(void)again;
	snprintf(note, sizeof(note), "discarded: %s", bad_reason_names[reason]);
	watch_collect(CLIENT_OF(tap), &r);
}

static void
on_bytes(struct tap *tap, const struct port *port, bool out,
    const uint8_t *data, size_t len)
{
	struct client *c = CLIENT_OF(tap);
	size_t most = c->json ? PIECE_JSON : PIECE_TEXT;
	struct record r = { out ? SHOWN_OUT : SHOWN_IN, port->link->name, "",
		"", data, 0 };

	for (; len > 0; r.data += r.size, len -= r.size) {
		r.size = MIN(len, most);
		watch_collect(c, &r);
	}
}

static const struct tap frames_tap = {
	.outcome = on_outcome,
	.sent = on_sent,
	.note = on_note,
	.bad = on_bad,
};
static const struct tap bytes_tap = { .bytes = on_bytes };

/* --- the command ------------------------------------------------------------ */

/* Takes COUNT from the rest of the option, or from the next argument. */
static int
take_count(struct call *call, const char *rest, int *at)
{
	struct client *c = call->client;
	const char *word = rest;

	if (*word == '\0' && ++*at < call->argc)
		word = call->argv[*at];
	if (parse_number(word, 1, UINT32_MAX, &c->watch.left) < 0)
		return call_fail(call, EINVAL,
		    "'%.64s' is not a number of lines; 1 or more, as in -n 10",
		    word);
	c->watch.limited = true;
	return 0;
}

/* Takes an argument such as -x, -xb or -n. */
static int
take_option(struct call *call, const char *allowed, int *at)
{
	struct client *c = call->client;

	for (const char *o = call->argv[*at] + 1; *o != '\0'; o++) {
		if (strchr(allowed, *o) == NULL)
			return call_fail(call, EINVAL,
			    "unknown option '-%c': %s", *o,
			    call->command->usage);
		if (*o == 'n')
			return take_count(call, o + 1, at);
		c->watch.hex |= *o == 'x';
		c->watch.bytes |= *o == 'b';
	}
	return 0;
}

int
watch_options(struct call *call, const char *allowed)
{
	int names = 1, r = 0;

	memset(&call->client->watch, 0, sizeof(call->client->watch));
	for (int at = 1; at < call->argc && r == 0; at++) {
		if (call_is_option(call->argv[at]))
			r = take_option(call, allowed, &at);
		else
			call->argv[names++] = call->argv[at];
	}
	call->argc = names;
	return r;
}

int
watch_start(struct call *call)
{
	struct client *c = call->client;
	int r;

	if ((r = watch_options(call, "xbn")) < 0)
		return r;
	if (client_frames(c) < 0)
		return call_fail(call, ENOMEM, "out of memory");
	if (call->argc > 1 && (c->tap.names = call_names(call, 1)) == NULL)
		return -EINVAL;
	c->watching = true;
	c->json = call->json;
	c->hidden = 0;
	client_tap_all(c, c->watch.bytes ? &bytes_tap : &frames_tap);
	return CALL_OPEN;
}

bool
command_watch_waits(const struct client *c)
{
	return collected(c) > 0 || c->hidden > 0 || is_complete(c);
}

/* Removes the first record, and shows it. */
static void
show_next(struct client *c)
{
	const char *strings;
	struct shown f;
	size_t rest;

	evbuffer_remove(c->frames, &f, sizeof(f));
	rest = (size_t)f.from + f.to + f.note + f.len;
	strings = (const char *)evbuffer_pullup(c->frames, (ssize_t)rest);
	if (strings == NULL) { /* out of memory */
		f.kind = SHOWN_HIDDEN;
		f.size = 1;
	}
	show_record(c, &f, strings);
	evbuffer_drain(c->frames, rest);
}

/* All is shown, and the command is complete. */
static void
finish(struct client *c)
{
	client_untap(c);
	c->watching = false;
	memset(&c->watch, 0, sizeof(c->watch));
	evbuffer_add(c->reply, "OK\n", 3);
}

bool
command_watch(struct client *c)
{
	if (collected(c) == 0)
		add_hidden(c);
	for (unsigned i = 0; i < STEP_RECORDS && collected(c) > 0 &&
	     evbuffer_get_length(c->reply) < STEP_BYTES;
	     i++)
		show_next(c);
	if (collected(c) > 0)
		return true;
	if (is_complete(c))
		finish(c);
	return false;
}

void
command_unwatch(struct client *c)
{
	client_untap(c);
	if (command_watch(c) || !c->watching)
		return;
	if (c->hidden > 0) { /* out of memory */
		struct shown f = { .kind = SHOWN_HIDDEN, .size = c->hidden };

		show_record(c, &f, NULL);
	}
	c->hidden = 0;
	finish(c);
}
