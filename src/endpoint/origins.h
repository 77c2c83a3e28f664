/*
 * origins: which frame of which host a message is, so that a receiver notices repeated and
 * missing ones.
 *
 * A frame that is accepted for an endpoint with origins gets the next sequence number of the
 * endpoint that it came from.  Together with the host and the number of this boot that is its
 * origin, which stays the same whenever it is sent again.  A receiver keeps the highest
 * sequence of each origin.
 *
 * Both are in one file, which is mapped to memory: they survive the process, even if it is
 * killed.  After a crash of the machine the sequence in the file may be an old one, therefore
 * the number of the boot is then a new one, and sequences start at 1.  Without a directory
 * they are in memory only.
 */
#ifndef ORIGINS_H
#define ORIGINS_H

#include <string.h>

#include "endpoint.h"
#include "site.h"

struct origins;

/* The origin of a frame of this host, as it is kept with the frame. */
struct origin {
	uint64_t boot, sequence;
	uint64_t time_ns; /* CLOCK_REALTIME when it was accepted */
	char endpoint[ENDPOINT_NAME_MAX];
	uint32_t topic_len;
	/* With a length of 0: the frame did not come with a topic, or it is not needed. */
	char topic[];
};
/* The maximum length of a topic that is kept. */
#define ORIGIN_TOPIC_MAX 256
#define ORIGIN_SIZE_MAX (sizeof(struct origin) + ORIGIN_TOPIC_MAX)

/* The size of the origin at the beginning of len untrusted bytes, which are aligned; 0: none. */
static inline size_t
origin_size(const struct origin *o, size_t len)
{
	if (len < sizeof(*o) || o->topic_len > ORIGIN_TOPIC_MAX ||
	    o->topic_len > len - sizeof(*o) ||
	    memchr(o->endpoint, '\0', sizeof(o->endpoint)) == NULL)
		return 0;
	return sizeof(*o) + o->topic_len;
}

/* The origin of a frame of any host. */
struct origin_name {
	char host[SITE_HOST_MAX], endpoint[ENDPOINT_NAME_MAX];
	uint64_t boot, sequence;
};

/* What a received frame is. */
enum origin_verdict {
	ORIGIN_NEW,
	ORIGIN_REPEATED,
	ORIGIN_OWN /* this host has sent it */
};

/*
 * Opens the file of that name in the directory, which is created if necessary.  If that fails,
 * *ret is in memory only, and err says why; dir NULL: it is in memory only.  -EBUSY: another
 * daemon uses the file; -ENOMEM.  The same file can be opened more than once.
 */
int origins_open(
    const char *dir, const char *name, struct origins **ret, struct error *err);
/* NULL is allowed. */
void origins_close(struct origins *o);
/* Sets the origin of the next frame of that endpoint, except the topic. */
void origins_next(struct origins *o, const char *endpoint, struct origin *ret);
/*
 * A frame of that origin was received: counts it if it is repeated, and those between it and
 * the last one as missing.  gaps: that is expected, and not counted.
 */
enum origin_verdict origins_received(
    struct origins *o, const struct origin_name *name, bool gaps);
/* The numbers of repeated and missing frames. */
uint64_t origins_duplicate(const struct origins *o);
uint64_t origins_missing(const struct origins *o);
/* A number that the caller wants to keep; 0 at first. */
uint64_t origins_note(const struct origins *o);
void origins_set_note(struct origins *o, uint64_t note);

#endif
