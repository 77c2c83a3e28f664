/*
 * capture: writes forwarded frames to a file, or a ring of files, in a format of Wireshark.
 * There is at most one capture at a time.  It uses libpcap, which is loaded when the first
 * capture is started.
 */
#ifndef CAPTURE_H
#define CAPTURE_H

#include "bridge.h"
#include "error.h"

struct capture_options {
	/*
	 * A new or empty file, or an earlier capture, which is overwritten; the same for
	 * the other files of a ring, FILE.1 and so on.
	 */
	const char *file;
	uint64_t size;	/* bytes per file, 0: no limit */
	unsigned files; /* how many are kept */
	bool all;	/* input that was discarded, too */
	char **names;	/* frames from or to these endpoints; NULL: all */
};

/* A caller that waits for the end of the capture. */
struct capture_waiter {
	LIST_ENTRY(capture_waiter) entry;
	/*
	 * Called after everything is written, and this was removed from the list; -errno:
	 * not all of it could be written.
	 */
	void (*done)(struct capture_waiter *w, int r);
};

struct capture_facts {
	bool running;
	bool ending;	  /* the last frames are being written */
	const char *file; /* NULL: there was no capture */
	const char *why;  /* why it has ended; NULL: it is running */
	uint64_t ns;	  /* its duration, so far if it is running */
	uint64_t frames;
	uint64_t bytes;	  /* size of the file, of a ring of all files in all */
	uint64_t skipped; /* frames that could not be written */
};

/*
 * Starts a capture.  Takes ownership of the names, unless it fails.  -errno with a message
 * in err.
 */
int capture_start(
    struct bridge *b, const struct capture_options *options, struct error *err);
/*
 * Begins to end the capture for that reason; false if there is none.  The waiter, if not
 * NULL, is called at the end, unless it is removed from its list.
 */
bool capture_stop(const char *why, struct capture_waiter *w);
/* Returns the state of the capture; the strings are valid until the next one is started. */
void capture_get(struct capture_facts *ret);
/* Ends the capture, and frees everything.  Must not be called inside a callback. */
void capture_free(void);

/* The dissector for the payload of a framing. */
const char *capture_dissector(const struct framing_conf *conf);

#endif
