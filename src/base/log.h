/*
 * log: writes messages to the journal, with fields, or to standard error.
 *
 * log_to() prefixes the name of the object that the message is about ("ar1: ...") and
 * passes it to the journal as a field (ENDPOINT=ar1).  Control characters in a message
 * are written as C escapes.  Logging a message does not change errno, and does not wait
 * for a reader of standard error: messages that cannot be written are counted, and the
 * count is logged later.
 */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include <syslog.h>

#include "util.h"

/*
 * What a message is about: the kind of object, which has a field in the journal, and for
 * some of them the kind of event.
 */
enum log_about {
	ABOUT_DAEMON,
	ABOUT_ENDPOINT,
	ABOUT_ROUTE,
	ABOUT_TASK,
	ABOUT_CONTROL,
	ABOUT_RELOAD,  /* the configuration was read again */
	ABOUT_STATE,   /* the state of an endpoint has changed */
	ABOUT_CLIENT,  /* a client of an endpoint came or left */
	ABOUT_WARNING, /* something looks wrong with a task */
	ABOUTS
};

/*
 * The state of a rate limit, zeroed: the number of messages logged in the current
 * period, and the number suppressed, which is logged before the next message.
 */
struct log_limit {
	uint64_t since_ns;
	unsigned passed;
	unsigned held;
};

/*
 * Checks whether standard error is the journal's socket (JOURNAL_STREAM) and selects
 * the writer.  SIGPIPE must be ignored by then.  Until it is called, messages are
 * written to standard error.
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

/*
 * A listener gets the messages up to its level, whatever the level of the log is.  The
 * name, which may be NULL, and the text are printable.  Messages that the function logs
 * itself are not passed to listeners.
 */
struct log_listener {
	TAILQ_ENTRY(log_listener) entry;
	int level;
	void (*message)(struct log_listener *, int level, enum log_about about,
	    const char *name, const char *text);
};
void log_listen(struct log_listener *listener);
/* Must not be called by the function of a listener. */
void log_unlisten(struct log_listener *listener);

void log_at(int level, const char *fmt, ...) PRINTF(2, 3);
void log_to(int level, enum log_about about, const char *name, const char *fmt,
    ...) PRINTF(4, 5);
/* Like log_to(), but at most 5 messages in 10 s for each limit. */
void log_limited(struct log_limit *limit, int level, enum log_about about,
    const char *name, const char *fmt, ...) PRINTF(5, 6);

#endif
