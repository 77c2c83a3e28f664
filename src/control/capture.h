/*
 * capture: the frames that pass, in a file that Wireshark opens.  There is one at a
 * time.  libpcap writes it, and is loaded when the first one begins.
 */
#ifndef CAPTURE_H
#define CAPTURE_H

#include "bridge.h"
#include "error.h"

struct capture_facts {
	bool running;
	const char *file; /* NULL: there has been none */
	const char *why;  /* it has ended; NULL: it has not */
	uint64_t ns;	  /* how long it took, or has taken so far */
	uint64_t frames;
	uint64_t bytes; /* of the file */
};

/*
 * Begins to write the frames from or to the named endpoints (NULL: all) to the file:
 * a new one, or one that was a capture before and is overwritten.  Takes the names
 * over, unless it fails.  -errno with a sentence in err.
 */
int capture_start(
    struct bridge *b, const char *file, char **names, struct error *err);
/*
 * Ends it, for that reason, when all that has passed is in the file; of no effect when
 * there is none.  -errno: the end of it could not be written.
 */
int capture_stop(const char *why);
/* What there is to say of it; the strings hold until the next one begins. */
void capture_get(struct capture_facts *ret);
/* Ends it, and frees everything.  Not from inside a callback. */
void capture_free(void);

#endif
