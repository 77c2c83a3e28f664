/*
 * source: the configurations of other programs, and the functions that make drafts of them.
 */
#ifndef SOURCE_H
#define SOURCE_H

#include "draft.h"

/* A file of another program; the text is followed by a NUL, and contains none. */
struct source {
	const char *file;
	const char *text;
	size_t len;
};

/*
 * A part that cannot be converted becomes a comment and a warning.  -EINVAL and err, which
 * begins with the place, if it is no such file; -ELIBACC and err if a library cannot be loaded;
 * -ENOMEM.
 */
typedef int convert_function(
    const struct source *source, struct draft *d, struct error *err);

/* Of both kinds: YAML, and PORT:STATE:TIMEOUT:DEVICE:OPTIONS. */
convert_function convert_ser2net;
convert_function convert_mavlink_router, convert_mbusd, convert_kplex;

#endif
