/*
 * log: levels to the journal with fields, or to standard error.
 *
 * log_to() prefixes the name of the object it speaks of ("ar1: ...") and gives
 * it to the journal as a field (ENDPOINT=ar1).  Control characters in a message
 * become C escapes.  No call changes errno, and none waits for a reader of
 * standard error: what it does not take is counted, and said later.
 */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <syslog.h>

#include "util.h"

/* The kinds of object that the journal gets a field for. */
enum log_about {
	ABOUT_DAEMON,
	ABOUT_ENDPOINT,
	ABOUT_ROUTE,
	ABOUT_TASK,
	ABOUT_CONTROL
};

/*
 * One a place, zeroed: how many of its messages passed lately; how many were
 * held back is said before the next that passes.
 */
struct log_limit {
	uint64_t since_ns;
	unsigned passed;
	unsigned held;
};

/*
 * Looks whether standard error is the journal's socket (JOURNAL_STREAM) and
 * chooses the writer.  SIGPIPE is to be ignored by then.  Before it is called,
 * messages go to standard error.
 */
void log_open(void);
/* A syslog level, LOG_ERR to LOG_DEBUG; messages above it are not written. */
void log_set_level(int level);
int log_level(void);
/* "error", "warning", "notice", "info", "debug", NULL at the end. */
extern const char *const log_level_words[];
/* The syslog level of a word of that list, -EINVAL for any other word. */
int log_level_parse(const char *word);
const char *log_level_name(int level);

void log_at(int level, const char *fmt, ...) PRINTF(2, 3);
void log_to(int level, enum log_about about, const char *name, const char *fmt,
    ...) PRINTF(4, 5);
/* As log_to, at most 5 in 10 s for each limit. */
void log_limited(struct log_limit *limit, int level, enum log_about about,
    const char *name, const char *fmt, ...) PRINTF(5, 6);

#endif
