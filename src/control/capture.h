/*
 * capture: writes forwarded frames to a file in a format of Wireshark.  There is at most
 * one capture at a time.  It uses libpcap, which is loaded when the first capture is
 * started.
 */
#ifndef CAPTURE_H
#define CAPTURE_H

#include "bridge.h"
#include "error.h"

struct capture_facts {
	bool running;
	const char *file; /* NULL: there was no capture */
	const char *why;  /* why it has ended; NULL: it is running */
	uint64_t ns;	  /* its duration, so far if it is running */
	uint64_t frames;
	uint64_t bytes; /* size of the file */
};

/*
 * Starts to write the frames from or to the named endpoints (NULL: all) to the file,
 * which must be a new or empty one, or an earlier capture, which is overwritten.  Takes
 * ownership of names, unless it fails.  -errno with a message in err.
 */
int capture_start(
    struct bridge *b, const char *file, char **names, struct error *err);
/*
 * Ends the capture for that reason after all frames are written to the file; has no
 * effect if there is none.  -errno: not all of it could be written.
 */
int capture_stop(const char *why);
/* Returns the state of the capture; the strings are valid until the next one is started. */
void capture_get(struct capture_facts *ret);
/* Ends the capture, and frees everything.  Must not be called inside a callback. */
void capture_free(void);

#endif
