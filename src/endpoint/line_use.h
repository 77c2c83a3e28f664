/*
 * line_use: the settings that a serial line had before clients changed them.
 *
 * They are restored when the last client has left and what it sent was written, also if
 * the daemon was restarted meanwhile.
 */
#ifndef LINE_USE_H
#define LINE_USE_H

#include "endpoint.h"
#include "pack.h"

/* A client may change the line from now on.  Returns a number for line_use_end(), 0 when
 * out of memory. */
uint64_t line_use_begin(struct endpoint *line);
/* It does so no longer.  No effect if the line was closed for good since then. */
void line_use_end(struct endpoint *line, uint64_t number);
/* Whether that use of the line goes on. */
bool line_use_is(const struct endpoint *line, uint64_t number);
/* The endpoint is about to be closed for good. */
void line_use_stop(struct endpoint *line);

/* Waiting until a line has got what was sent to it: zeroed, or as line_written() left it. */
struct line_wait {
	bool started;
	uint64_t frames; /* until so many are done... */
	bool written;	 /* ...which they are, and then... */
	uint64_t bytes;	 /* ...until so many are sent */
	uint64_t progress_ns;
	uint64_t last; /* a measure of the progress at that time */
};
/*
 * Whether the frames for the line at the time of the first call were written and sent, or
 * were not for a while; to be called repeatedly.
 */
bool line_written(const struct endpoint *line, struct line_wait *wait);

/* Saves the settings for the next process, those of now included; nothing for a line that
 * is not used. */
void line_use_save(const struct endpoint *line, struct pack *p);
/* Restores what was saved, for an endpoint that is not open yet; the input is not trusted. */
void line_use_restore(struct endpoint *line, struct unpack *u);
/* The clients of the process before were taken over: if none was, the line is not used. */
void line_use_settle(struct endpoint *line);

#endif
