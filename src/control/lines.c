/*
 * lines: splits the input of a client into lines, and rejects lines that are not
 * commands.
 */
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "command.h"
#include "session.h"

/* Longer lines are for bytes, which only send -b takes, of a client that may use it. */
static size_t
line_limit(const struct session *s)
{
	static const char command[] = "send -b ";
	struct evbuffer *in = bufferevent_get_input(s->bev);
	char begin[sizeof(command) - 1];

	if (s->client.full &&
	    evbuffer_copyout(in, begin, sizeof(begin)) == sizeof(begin) &&
	    memcmp(begin, command, sizeof(begin)) == 0)
		return CLIENT_BYTES_MAX;
	return CLIENT_LINE_MAX;
}

ssize_t
line_length(struct session *s)
{
	struct evbuffer *in = bufferevent_get_input(s->bev);
	struct evbuffer_ptr eol, from;
	size_t len = evbuffer_get_length(in);

	if (len == 0)
		return -1;
	/* So that a line that arrives in a hundred parts is not searched as often. */
	if (evbuffer_ptr_set(in, &from, s->searched, EVBUFFER_PTR_SET) < 0)
		return -1;
	eol = evbuffer_search_eol(in, &from, NULL, EVBUFFER_EOL_LF);
	if (eol.pos >= 0) {
		s->searched = (size_t)eol.pos;
		return (ssize_t)eol.pos;
	}
	s->searched = len;
	return s->ended || len > line_limit(s) ? (ssize_t)len : -1;
}

/* The first byte that is not text, or -1. */
static int
not_text(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t c = (uint8_t)line[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return c;
	}
	return -1;
}

/* "HTTP/1.1", in upper or lower case. */
static bool
is_http_version(const char *word, size_t len)
{
	return len >= 6 && strncasecmp(word, "HTTP/", 5) == 0 &&
	    word[5] >= '0' && word[5] <= '9';
}

static bool
is_http_method(const char *word, size_t len)
{
	static const char *const methods[] = { "GET", "HEAD", "POST", "PUT",
		"DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PRI" };

	for (size_t i = 0; i < NELEM(methods); i++)
		if (strlen(methods[i]) == len &&
		    memcmp(methods[i], word, len) == 0)
			return true;
	return false;
}

/*
 * Whether the line is a part of an HTTP request: a web page can make a browser send one,
 * with commands in its body.  That is a line that begins with a known method or an HTTP
 * version; METHOD TARGET VERSION with any method and a target that cannot be the name of
 * an endpoint; or a header field, NAME: VALUE.
 */
static bool
is_http(const char *line)
{
	const char *word[4] = { NULL };
	size_t len[4] = { 0 }, n = 0;

	for (; n < NELEM(word); n++) {
		line += strspn(line, " \t");
		if (*line == '\0')
			break;
		word[n] = line;
		len[n] = strcspn(line, " \t");
		line += len[n];
	}
	if (n == 0)
		return false;
	if (is_http_method(word[0], len[0]) || is_http_version(word[0], len[0]))
		return true;
	if (n >= 2 && len[0] > 1 && word[0][len[0] - 1] == ':')
		return true;
	return n == 3 && is_http_version(word[2], len[2]) &&
	    strcspn(word[1], "/*:?%") < len[1];
}

static void
line_run(struct session *s, char *line, size_t len)
{
	char text[96];
	int c;

	if (len > 0 && line[len - 1] == '\r')
		len--;
	line[len] = '\0';
	/* The command says what is wrong with the rest of a long line. */
	c = not_text(line, MIN(len, (size_t)CLIENT_LINE_MAX));
	if (c < 0 && strlen(line) < len)
		c = 0;
	if (c >= 0) {
		snprintf(text, sizeof(text),
		    "a command is text; this line has a byte 0x%02x in it",
		    (unsigned)c);
		client_error(&s->client, text);
		return;
	}
	if (len <= CLIENT_LINE_MAX && is_http(line)) {
		client_error(&s->client,
		    "this is a control port, not a web server: the session "
		    "ends");
		log_to(LOG_WARNING, ABOUT_CONTROL, s->name,
		    "%s has sent an HTTP request: its session ends",
		    s->address);
		s->client.closing = true;
		return;
	}
	s->commands++;
	command_run(&s->client, line);
}

static void
line_too_long(struct session *s, size_t limit)
{
	char text[64];

	snprintf(text, sizeof(text), "line longer than %zu bytes", limit);
	client_error(&s->client, text);
	s->client.closing = true;
}

bool
line_next(struct session *s)
{
	struct evbuffer *in = bufferevent_get_input(s->bev);
	char space[CLIENT_LINE_MAX + 1], *line = space;
	ssize_t len = line_length(s);

	if (len < 0)
		return false;
	if ((size_t)len > line_limit(s)) {
		line_too_long(s, line_limit(s));
		return false;
	}
	if ((size_t)len >= sizeof(space) &&
	    (line = malloc((size_t)len + 1)) == NULL) {
		client_error(&s->client, "out of memory");
		s->client.closing = true;
		return false;
	}
	evbuffer_remove(in, line, (size_t)len);
	evbuffer_drain(in, 1);
	s->searched = 0;
	line_run(s, line, (size_t)len);
	if (line != space)
		free(line);
	return true;
}
