/*
 * watch_show: the lines of a watch and of a list of events.
 */
#include <string.h>

#include <event2/buffer.h>

#include "base64.h"
#include "log.h"
#include "watch.h"

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

/* A frame as it is shown: text with escapes, or hexadecimal bytes. */
static void
format_data(const struct client *c, const uint8_t *data, size_t len, char *text,
    size_t size)
{
	size_t at = 0;

	if (!c->watch.hex) {
		escape(data, len, text, size);
		return;
	}
	text[0] = '\0';
	for (size_t i = 0; i < len && at + 4 < size; i++)
		at += (size_t)snprintf(text + at, size - at, "%s%02x",
		    i > 0 && !c->json ? " " : "", data[i]);
}

/* --- text -------------------------------------------------------------------- */

static void
show_time(struct evbuffer *out, const struct shown *f, bool micro)
{
	long ns = f->ts.tv_nsec;

	if (micro)
		evbuffer_add_printf(out, "%s.%06ld ", time_of_day(f->ts.tv_sec),
		    ns / (long)NSEC_PER_USEC);
	else
		evbuffer_add_printf(out, "%s.%03ld ", time_of_day(f->ts.tv_sec),
		    ns / (long)NSEC_PER_MSEC);
}

static void
show_text(struct client *c, const struct shown *f, const struct record *r)
{
	struct evbuffer *out = c->reply;
	bool bytes = f->kind == SHOWN_IN || f->kind == SHOWN_OUT;
	char text[4 * SHOWN_MAX + 4];

	show_time(out, f, bytes);
	if (f->kind == SHOWN_EVENT) {
		evbuffer_add_printf(out, "%-7s %-8s %s\n", r->from,
		    *r->to != '\0' ? r->to : "-", r->note);
		return;
	}
	/* A piece of bytes is shown whole, a frame is cut. */
	format_data(c, r->data, f->len, text,
	    bytes || c->watch.hex ? sizeof(text) : SHOWN_MAX + 4);
	if (bytes)
		evbuffer_add_printf(out, "%-8s %-3s %4zu %s\n", r->from,
		    f->kind == SHOWN_IN ? "in" : "out", f->size, text);
	else
		evbuffer_add_printf(out, "%-8s %-8s %4zu %s  [%s]\n", r->from,
		    r->to, f->size, text, r->note);
}

/* --- JSON -------------------------------------------------------------------- */

static void
show_member(struct evbuffer *out, const char *name, const char *text)
{
	evbuffer_add_printf(out, ",\"%s\":\"", name);
	call_json_text(out, text);
	evbuffer_add(out, "\"", 1);
}

static void
show_base64(struct evbuffer *out, const struct record *r)
{
	struct evbuffer_iovec v;
	size_t size = BASE64_SIZE(r->size);

	evbuffer_add_printf(out, ",\"base64\":\"");
	if (evbuffer_reserve_space(out, (ssize_t)size, &v, 1) == 1) {
		v.iov_len = base64_encode(r->data, r->size, v.iov_base);
		evbuffer_commit_space(out, &v, 1);
	}
	evbuffer_add(out, "\"", 1);
}

static void
show_json_bytes(
    struct evbuffer *out, const struct shown *f, const struct record *r)
{
	show_member(out, "endpoint", r->from);
	show_member(out, "direction", f->kind == SHOWN_IN ? "in" : "out");
	evbuffer_add_printf(out, ",\"size\":%zu", f->size);
	show_base64(out, r);
}

static void
show_json_event(
    struct evbuffer *out, const struct shown *f, const struct record *r)
{
	show_member(out, "kind", r->from);
	show_member(out, "name", r->to);
	show_member(out, "level", log_level_name((int)f->size));
	show_member(out, "text", r->note);
}

/* The note is "FRAMING,DISSECTOR,WHAT IS WRONG". */
static void
show_json_capture(
    struct evbuffer *out, const struct shown *f, const struct record *r)
{
	char note[96], *rest = note;

	snprintf(note, sizeof(note), "%s", r->note);
	show_member(out, "from", r->from);
	show_member(out, "to", r->to);
	show_member(out, "framing", strsep(&rest, ","));
	show_member(out, "dissector", strsep(&rest, ","));
	evbuffer_add_printf(out, ",\"size\":%zu", f->size);
	show_base64(out, r);
	if (*rest != '\0')
		show_member(out, "bad", rest);
}

static void
show_json_frame(struct client *c, const struct shown *f, const struct record *r)
{
	char text[2 * SHOWN_MAX + 8];

	format_data(c, r->data, f->len, text,
	    c->watch.hex ? sizeof(text) : SHOWN_MAX + 4);
	show_member(c->reply, "from", r->from);
	show_member(c->reply, "to", r->to);
	evbuffer_add_printf(c->reply, ",\"size\":%zu", f->size);
	show_member(c->reply, c->watch.hex ? "hex" : "text", text);
	show_member(
	    c->reply, f->kind == SHOWN_FRAME ? "outcome" : "note", r->note);
}

static void
show_json(struct client *c, const struct shown *f, const struct record *r)
{
	struct evbuffer *out = c->reply;

	if (f->kind == SHOWN_CAPTURE)
		evbuffer_add_printf(out, "{\"time\":%lld.%09ld",
		    (long long)f->ts.tv_sec, f->ts.tv_nsec);
	else
		evbuffer_add_printf(out, "{\"time\":%lld.%06ld",
		    (long long)f->ts.tv_sec,
		    f->ts.tv_nsec / (long)NSEC_PER_USEC);
	if (f->kind == SHOWN_EVENT)
		show_json_event(out, f, r);
	else if (f->kind == SHOWN_CAPTURE)
		show_json_capture(out, f, r);
	else if (f->kind == SHOWN_FRAME || f->kind == SHOWN_NOTE)
		show_json_frame(c, f, r);
	else
		show_json_bytes(out, f, r);
	evbuffer_add(out, "}\n", 2);
}

/* --- both -------------------------------------------------------------------- */

static void
show_hidden(struct client *c, uint64_t n)
{
	const char *noun = c->watch.events ? "event"
	    : c->watch.bytes		   ? "byte"
					   : "frame";

	if (c->json)
		evbuffer_add_printf(
		    c->reply, "{\"not_shown\":%llu}\n", (unsigned long long)n);
	else
		evbuffer_add_printf(c->reply,
		    "\xe2\x80\xa6 %llu %s%s not shown\n", (unsigned long long)n,
		    noun, n == 1 ? "" : "s");
}

void
show_record(struct client *c, const struct shown *f, const char *strings)
{
	struct record r;

	if (f->kind == SHOWN_HIDDEN) {
		show_hidden(c, f->size);
		return;
	}
	r.from = strings;
	r.to = r.from + f->from;
	r.note = r.to + f->to;
	r.data = (const uint8_t *)r.note + f->note;
	r.size = f->len;
	(c->json ? show_json : show_text)(c, f, &r);
}
