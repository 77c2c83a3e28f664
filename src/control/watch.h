/*
 * watch: what a watch, or a list of events, has collected for its client and not shown yet.
 * Included only by the files of both.
 */
#ifndef WATCH_H
#define WATCH_H

#include <time.h>

#include "call.h"

/* The maximum of a frame that is shown, in bytes as hexadecimal, or in characters as text. */
#define SHOWN_MAX 1024

enum shown_kind {
	SHOWN_FRAME, /* note: what became of it */
	SHOWN_NOTE,  /* a frame, and what happens to it */
	SHOWN_IN,    /* bytes that were read from a link */
	SHOWN_OUT,   /* bytes that were written to it */
	SHOWN_CAPTURE, /* a whole frame; note: framing, dissector[, what is wrong] */
	SHOWN_EVENT, /* from: its kind; to: the name; note: the text; size: the level */
	SHOWN_HIDDEN /* size: the number of lines that are left out */
};

/* It is followed by the three strings, each with its NUL, and by the data. */
struct shown {
	struct timespec ts;
	enum shown_kind kind;
	size_t size; /* of the frame */
	uint32_t from, to, note, len;
};

/* A record that is to be collected; a string is "" where there is none. */
struct record {
	enum shown_kind kind;
	const char *from, *to, *note;
	const uint8_t *data;
	size_t size;
};

/*
 * Collects a record, unless it is not to be shown, or there is no room: then it is counted.
 * Called in the data path.
 */
void watch_collect(struct client *c, const struct record *r);
/*
 * Takes the options -x, -b and -n COUNT, as far as they are in allowed, out of the arguments.
 * -EINVAL, with a message.
 */
int watch_options(struct call *call, const char *allowed);
/* Shows a record; names, note and data follow it in memory. */
void show_record(struct client *c, const struct shown *f, const char *strings);

#endif
