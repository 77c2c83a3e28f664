/*
 * log: writes messages to the journal, with fields, or to standard error.
 *
 * The loop must not block when standard error is not read.  Standard error is shared
 * with other processes, so it cannot be made non-blocking; instead it is opened a
 * second time, which gives terminals and pipes separate file status flags.  If that is
 * not possible (no /proc), poll() checks for space before each write.  A pipe then has
 * space for a whole line; a terminal may have space for a part only, and the write may
 * block.  A message that finds no space is counted, and the count is logged once there
 * is space again.
 *
 * A pipe accepts a line completely or not at all.  A terminal may accept a part of one;
 * the next line is then preceded by a newline.
 */
#define SD_JOURNAL_SUPPRESS_LOCATION

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <systemd/sd-journal.h>

#include "log.h"

#define PROGRAM "ttybridged"
#define RAW_MAX 1024  /* of a message */
#define TEXT_MAX 2048 /* of a message with its escapes */
#define NAME_MAX_LEN 128
#define LIMIT_BURST 5
#define LIMIT_NS (10 * NSEC_PER_SEC)

_Static_assert(TEXT_MAX + 64 < PIPE_BUF, "a pipe takes a line whole");

enum writer { TO_POLLED, TO_OPENED, TO_SOCKET, TO_JOURNAL };

static void log_message(
    int, enum log_about, const char *, const char *, va_list) PRINTF(4, 0);

static struct {
	int level;
	enum writer writer;
	int fd;		    /* TO_OPENED */
	unsigned long lost; /* messages since the last one written */
	bool halved;	    /* a line was written in part only */
	TAILQ_HEAD(, log_listener) listeners;
	int heard;    /* the highest level of a listener, -1: there is none */
	bool telling; /* the listeners are being called */
} state = {
	.level = LOG_INFO,
	.fd = -1,
	.listeners = TAILQ_HEAD_INITIALIZER(state.listeners),
	.heard = -1,
};

const char *const log_level_words[] = {
	"error",
	"warning",
	"notice",
	"info",
	"debug",
	NULL,
};

static const char *const fields[] = {
	[ABOUT_DAEMON] = NULL,
	[ABOUT_ENDPOINT] = "ENDPOINT",
	[ABOUT_ROUTE] = "ROUTE",
	[ABOUT_TASK] = "TASK",
	[ABOUT_CONTROL] = "CONTROL",
	[ABOUT_RELOAD] = NULL,
	[ABOUT_STATE] = "ENDPOINT",
	[ABOUT_CLIENT] = "ENDPOINT",
	[ABOUT_WARNING] = "TASK",
};
_Static_assert(NELEM(fields) == ABOUTS, "one for each");

/* Whether standard error is the journal socket that the service manager set up. */
static bool
is_journal(const struct stat *st)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char own[64];

	snprintf(own, sizeof own, "%llu:%llu", (unsigned long long)st->st_dev,
	    (unsigned long long)st->st_ino);
	return stream != NULL && strcmp(stream, own) == 0;
}

void
log_open(void)
{
	struct stat st;

	if (state.fd != -1)
		close(state.fd);
	state.fd = -1;
	state.writer = TO_POLLED;
	if (fstat(STDERR_FILENO, &st) == -1)
		return;
	if (is_journal(&st)) {
		state.writer = TO_JOURNAL;
	} else if (S_ISSOCK(st.st_mode)) {
		state.writer = TO_SOCKET;
	} else if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
		state.fd = open("/proc/self/fd/2",
		    O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (state.fd != -1)
			state.writer = TO_OPENED;
	}
}

void
log_set_level(int level)
{
	state.level = MIN(MAX(level, LOG_ERR), LOG_DEBUG);
}

int
log_level(void)
{
	return state.level;
}

int
log_level_parse(const char *word)
{
	for (int i = 0; log_level_words[i] != NULL; i++) {
		if (strcmp(log_level_words[i], word) == 0)
			return LOG_ERR + i;
	}
	return -EINVAL;
}

const char *
log_level_name(int level)
{
	return log_level_words[MIN(MAX(level, LOG_ERR), LOG_DEBUG) - LOG_ERR];
}

/* A write that does not wait for space; returns as write(2) does. */
static ssize_t
write_now(const char *line, size_t len)
{
	struct pollfd pfd = { .fd = STDERR_FILENO, .events = POLLOUT };

	switch (state.writer) {
	case TO_OPENED:
		return write(state.fd, line, len);
	case TO_SOCKET:
		return send(
		    STDERR_FILENO, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	default:
		if (poll(&pfd, 1, 0) != 1)
			return -1;
		return write(STDERR_FILENO, line, len);
	}
}

/* Writes a line, which includes its newline.  False if it was not written completely. */
static bool
write_line(const char *line, size_t len)
{
	ssize_t n;

	if (state.halved) {
		if (write_now("\n", 1) != 1)
			return false;
		state.halved = false;
	}
	n = write_now(line, len);
	if (n > 0 && (size_t)n < len)
		state.halved = true;
	return n == (ssize_t)len;
}

static void
write_stderr(const char *text)
{
	char line[TEXT_MAX + 64];
	int len;

	if (state.lost > 0) {
		len = snprintf(line, sizeof line,
		    PROGRAM ": %lu message%s lost\n", state.lost,
		    state.lost == 1 ? "" : "s");
		if (write_line(line, (size_t)len))
			state.lost = 0;
	}
	len = snprintf(line, sizeof line, PROGRAM ": %s\n", text);
	if (state.lost > 0 || !write_line(line, (size_t)len))
		state.lost++;
}

/* False when the journal did not accept the message. */
static bool
write_journal(
    int level, enum log_about about, const char *name, const char *text)
{
	char message[TEXT_MAX + 16], priority[16], object[NAME_MAX_LEN + 16];
	struct iovec iov[3];
	int n = 0;

	snprintf(message, sizeof message, "MESSAGE=%s", text);
	snprintf(priority, sizeof priority, "PRIORITY=%d", level);
	iov[n++].iov_base = message;
	iov[n++].iov_base = priority;
	if (name != NULL && fields[about] != NULL) {
		snprintf(object, sizeof object, "%s=%s", fields[about], name);
		iov[n++].iov_base = object;
	}
	for (int i = 0; i < n; i++)
		iov[i].iov_len = strlen(iov[i].iov_base);
	return sd_journal_sendv(iov, n) == 0;
}

/* --- listeners ------------------------------------------------------------ */

void
log_listen(struct log_listener *listener)
{
	TAILQ_INSERT_TAIL(&state.listeners, listener, entry);
	state.heard = MAX(state.heard, listener->level);
}

void
log_unlisten(struct log_listener *listener)
{
	TAILQ_REMOVE(&state.listeners, listener, entry);
	state.heard = -1;
	TAILQ_FOREACH(listener, &state.listeners, entry)
		state.heard = MAX(state.heard, listener->level);
}

static void
tell_listeners(
    int level, enum log_about about, const char *name, const char *text)
{
	struct log_listener *listener;

	if (state.telling)
		return;
	state.telling = true;
	TAILQ_FOREACH(listener, &state.listeners, entry)
		if (level <= listener->level)
			listener->message(listener, level, about, name, text);
	state.telling = false;
}

/* Whether anything is to be done with a message of that level. */
static bool
is_wanted(int level)
{
	return level <= state.level || level <= state.heard;
}

/* --- messages ------------------------------------------------------------- */

/* The name and the message may contain input from outside, so both are made printable. */
static void
log_message(int level, enum log_about about, const char *name, const char *fmt,
    va_list ap)
{
	char raw[RAW_MAX], text[TEXT_MAX], clean[NAME_MAX_LEN];
	int saved = errno, len;
	size_t at = 0;

	len = vsnprintf(raw, sizeof raw, fmt, ap);
	if (len < 0)
		raw[0] = '\0';
	else if ((size_t)len >= sizeof raw)
		memcpy(raw + sizeof raw - 4, "...", 4);
	text[0] = '\0';
	if (name != NULL) {
		printable(name, clean, sizeof clean);
		append(text, sizeof text, "%s: ", clean);
		at = strlen(text);
		name = clean;
	}
	printable(raw, text + at, sizeof text - at);
	if (level <= state.level &&
	    (state.writer != TO_JOURNAL ||
		!write_journal(level, about, name, text)))
		write_stderr(text);
	if (level <= state.heard)
		tell_listeners(level, about, name, text + at);
	errno = saved;
}

void
log_at(int level, const char *fmt, ...)
{
	va_list ap;

	if (!is_wanted(level))
		return;
	va_start(ap, fmt);
	log_message(level, ABOUT_DAEMON, NULL, fmt, ap);
	va_end(ap);
}

void
log_to(int level, enum log_about about, const char *name, const char *fmt, ...)
{
	va_list ap;

	if (!is_wanted(level))
		return;
	va_start(ap, fmt);
	log_message(level, about, name, fmt, ap);
	va_end(ap);
}

/* Whether one more message may be logged; logs how many were suppressed before it. */
static bool
limit_passes(
    struct log_limit *limit, int level, enum log_about about, const char *name)
{
	uint64_t now = now_ns();
	unsigned held = limit->held;

	if (limit->passed == 0 || now - limit->since_ns >= LIMIT_NS) {
		*limit = (struct log_limit){ .since_ns = now };
		if (held > 0)
			log_to(level, about, name,
			    "%u message%s like the next held back", held,
			    held == 1 ? "" : "s");
	}
	if (limit->passed == LIMIT_BURST) {
		limit->held++;
		return false;
	}
	limit->passed++;
	return true;
}

void
log_limited(struct log_limit *limit, int level, enum log_about about,
    const char *name, const char *fmt, ...)
{
	va_list ap;

	if (!is_wanted(level) || !limit_passes(limit, level, about, name))
		return;
	va_start(ap, fmt);
	log_message(level, about, name, fmt, ap);
	va_end(ap);
}
