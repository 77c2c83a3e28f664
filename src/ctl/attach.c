/*
 * attach: a terminal on an endpoint.
 *
 * Three connections: what the endpoint receives comes on one, by `watch -b`, changes of its
 * state on another one, by `events`, and the third one sends.  With the framing raw each
 * key is a frame, and the terminal is in raw mode.  With any other framing each line is a
 * frame, so the terminal stays as it is, with its line editing.  Frames of other framings
 * than line are binary: they are shown as by `watch`, and typed with the same escapes.
 *
 * Replies to what is sent are only looked at for errors, so that nothing waits for them.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "base64.h"
#include "terminal.h"
#include "tilde.h"

#define USAGE "attach [-r] NAME"
#define INPUT_MAX 4096

enum mode { MODE_KEYS, MODE_LINES, MODE_FRAMES };

static struct {
	struct ctl *ctl;
	const char *name;
	enum mode mode;
	bool read_only;
	bool left; /* the user has left */
	struct connection *watch, *send;
	struct connection *events; /* NULL: the server has none */
	struct tilde tilde;
} at;

static const char help_text[] = "  ~.  leaves\n"
				"  ~b  sends a break\n"
				"  ~r  resets the board\n"
				"  ~h  shows the history\n"
				"  ~?  shows these commands\n"
				"  ~~  sends a ~\n"
				"~ and anything else is sent as it is\n";

/* --- output -------------------------------------------------------------------- */

/* A message between what the endpoint sends; the end of a line is right in any mode. */
static void notice(const char *fmt, ...) PRINTF(1, 2);
static void
notice(const char *fmt, ...)
{
	char text[1024], shown[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	printable(text, shown, sizeof(shown));
	fprintf(stderr, "\r\n[%s]\r\n", shown);
}

static int
write_out(const uint8_t *data, size_t len)
{
	struct pollfd p = { .fd = STDOUT_FILENO, .events = POLLOUT };
	ssize_t n;

	while (len > 0) {
		n = write(STDOUT_FILENO, data, len);
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			poll(&p, 1, -1);
		} else if (errno != EINTR || connection_stop != 0)
			return -errno;
	}
	return 0;
}

/* Line by line, with C escapes; the end of a line is left out. */
static int
write_escaped(const uint8_t *data, size_t len)
{
	const uint8_t *end;
	char *text;
	size_t n, size;
	int r = 0;

	for (; len > 0 && r == 0; data += n, len -= n) {
		end = memchr(data, '\n', len);
		n = end != NULL ? (size_t)(end - data) : len;
		if ((text = malloc(4 * n + 1)) == NULL)
			return -ENOMEM;
		size = escape(data, n > 0 && data[n - 1] == '\r' ? n - 1 : n,
		    text, 4 * n + 1);
		text[size++] = '\n'; /* in place of the NUL */
		r = write_out((uint8_t *)text, size);
		free(text);
		n = MIN(n + 1, len);
	}
	return r;
}

/*
 * Bytes in base64, as they are or, of a binary framing, escaped; what is not base64 is not
 * shown.
 */
static int
show_base64(const char *text)
{
	char *copy = strdup(text);
	long len;
	int r = 0;

	if (copy == NULL)
		return -ENOMEM;
	len = base64_decode(copy, strlen(copy), (uint8_t *)copy, strlen(copy));
	if (len > 0)
		r = (at.mode == MODE_FRAMES ? write_escaped : write_out)(
		    (uint8_t *)copy, (size_t)len);
	free(copy);
	return r;
}

/* A line of `json watch -b`. */
static int
show_bytes(const json_t *o)
{
	const char *direction =
	    json_string_value(json_object_get(o, "direction"));
	const char *text = json_string_value(json_object_get(o, "base64"));

	if (direction == NULL || text == NULL || strcmp(direction, "in") != 0)
		return 0;
	return show_base64(text);
}

/* A line of `json watch`. */
static int
show_frame(const json_t *o)
{
	const char *from = json_string_value(json_object_get(o, "from"));
	const char *text = json_string_value(json_object_get(o, "text"));
	size_t len = strlen(at.name);
	char *shown;
	int r;

	/* A connection of an endpoint that has several is NAME#NUMBER. */
	if (from == NULL || text == NULL || strncmp(from, at.name, len) != 0 ||
	    (from[len] != '\0' && from[len] != '#'))
		return 0;
	/* The text of a server that is not the daemon may contain anything. */
	if ((shown = ctl_printable(text)) == NULL)
		return -ENOMEM;
	r = write_out((const uint8_t *)shown, strlen(shown));
	free(shown);
	return r < 0 ? r : write_out((const uint8_t *)"\n", 1);
}

static int
show_line(const char *line)
{
	json_t *o = json_loads(line, 0, NULL);
	long long hidden = json_integer_value(json_object_get(o, "not_shown"));
	int r = 0;

	if (hidden > 0)
		notice("%lld not shown", hidden);
	else
		r = (at.mode == MODE_FRAMES ? show_frame : show_bytes)(o);
	json_decref(o);
	return r;
}

static void
show_history(bool asked)
{
	struct connection *c;
	struct error err;
	char command[256];
	const char *text;
	json_t *o;
	int r;

	if (ctl_connect_again(at.ctl, &c) < 0)
		return;
	snprintf(command, sizeof(command), "history %s", at.name);
	r = connection_query(c, command, &o, &err);
	connection_close(c);
	if (r < 0) {
		if (asked)
			notice("%s", err.text);
		return;
	}
	text = json_is_string(o)
	    ? json_string_value(o)
	    : json_string_value(json_object_get(o, "base64"));
	if (text != NULL)
		show_base64(text);
	json_decref(o);
}

/* --- input --------------------------------------------------------------------- */

static int
send_line(const char *line)
{
	struct error err;
	int r;

	if (at.read_only) {
		notice("nothing is sent: attached with -r");
		return 0;
	}
	r = connection_send(at.send, line, &err);
	if (r < 0 && r != -EINTR)
		notice("%s", err.text);
	return r;
}

static int
send_bytes(const uint8_t *data, size_t len)
{
	char line[BASE64_SIZE(2 * INPUT_MAX) + 300];
	int n;

	if (len == 0)
		return 0;
	n = snprintf(line, sizeof(line), "send -b %s ", at.name);
	base64_encode(data, len, line + n);
	return send_line(line);
}

static int
run_command(enum tilde_command command)
{
	char line[300];

	switch (command) {
	case TILDE_NONE:
		return 0;
	case TILDE_LEAVE:
		at.left = true;
		return 0;
	case TILDE_HISTORY:
		show_history(true);
		return 0;
	case TILDE_HELP:
		fprintf(stderr, "at the beginning of a line%s:\n%s",
		    at.mode == MODE_KEYS ? "" : ", then Enter", help_text);
		return 0;
	case TILDE_BREAK:
		snprintf(line, sizeof(line), "break %s", at.name);
		return send_line(line);
	case TILDE_RESET:
		snprintf(line, sizeof(line), "reset %s", at.name);
		return send_line(line);
	}
	return 0;
}

static int
take_keys(const uint8_t *data, size_t len)
{
	uint8_t out[2 * INPUT_MAX];
	enum tilde_command command;
	size_t n = 0;
	int r;

	for (size_t i = 0; i < len && !at.left; i++) {
		command = tilde_key(&at.tilde, data[i], out, &n);
		if (command == TILDE_NONE)
			continue;
		if ((r = send_bytes(out, n)) < 0 ||
		    (r = run_command(command)) < 0)
			return r;
		n = 0;
	}
	return send_bytes(out, n);
}

/* A whole line, or what was typed before an end of file. */
static int
take_line(char *line, size_t len)
{
	enum tilde_command command;
	const char *text;
	char *frame;
	int r;

	if (len > 0 && line[len - 1] == '\n')
		len--;
	line[len] = '\0';
	command = tilde_line(line, &text);
	if (text == NULL)
		return run_command(command);
	if (at.mode == MODE_LINES)
		return send_bytes(
		    (const uint8_t *)text, len - (size_t)(text - line));
	if (*text == '\0')
		return 0;
	if (asprintf(&frame, "send %s %s", at.name, text) < 0)
		return -ENOMEM;
	r = send_line(frame);
	free(frame);
	return r;
}

static int
take_input(void)
{
	char data[INPUT_MAX + 1];
	ssize_t n = read(STDIN_FILENO, data, INPUT_MAX);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0) {
		at.left = true;
		return 0;
	}
	if (at.mode == MODE_KEYS)
		return take_keys((const uint8_t *)data, (size_t)n);
	return take_line(data, (size_t)n);
}

/* --- connections --------------------------------------------------------------- */

/*
 * Calls take() for each line that has come.  -errno, and why, when the connection or what it
 * is for has ended.
 */
static int
receive(struct connection *c, short revents,
    int (*take)(const char *, struct error *), struct error *err)
{
	char *line;
	int r = 0;

	if (c == NULL || (revents == 0 && !connection_pending(c)))
		return 0;
	if ((r = connection_receive(c, err)) < 0)
		return r;
	while (r == 0 && (line = connection_line(c)) != NULL)
		r = take(line, err);
	if (r == 0 && c->ended)
		r = error_fail(
		    err, -ECONNRESET, "the daemon has ended the connection");
	return r;
}

static int
take_watched(const char *line, struct error *err)
{
	int r = reply_end(line, err);

	if (r == 0 && (r = show_line(line)) < 0)
		error_set(err, "standard output: %s", strerror(-r));
	return MIN(r, 0);
}

static int
take_event(const char *line, struct error *err)
{
	const char *kind, *name, *text;
	int r = reply_end(line, err);
	json_t *o;

	if (r != 0)
		return MIN(r, 0);
	o = json_loads(line, 0, NULL);
	if (json_unpack(o, "{s:s, s:s, s:s}", "kind", &kind, "name", &name,
		"text", &text) == 0 &&
	    strcmp(kind, "state") == 0 && strcmp(name, at.name) == 0)
		notice("%s: %s", name, text);
	json_decref(o);
	return 0;
}

static int
take_reply(const char *line, struct error *err)
{
	if (reply_end(line, err) < 0)
		notice("%s", err->text);
	return 0;
}

static void
stop_events(void)
{
	connection_close(at.events);
	at.events = NULL;
}

/* Whether there is something to be received that poll() does not report. */
static bool
pending(void)
{
	return connection_pending(at.watch) ||
	    (at.send != NULL && connection_pending(at.send)) ||
	    (at.events != NULL && connection_pending(at.events));
}

/* Returns 0 when the user has left or a signal was caught, or -errno. */
static int
loop(void)
{
	enum { INPUT, WATCH, SEND, EVENTS, N };
	struct pollfd p[N] = { [INPUT] = { .fd = STDIN_FILENO,
				   .events = POLLIN },
		[WATCH] = { .fd = at.watch->fd, .events = POLLIN },
		[SEND] = { .fd = at.send != NULL ? at.send->fd : -1,
		    .events = POLLIN },
		[EVENTS] = { .events = POLLIN } };
	struct error err;
	int r = 0;

	while (r == 0 && !at.left && connection_stop == 0) {
		p[EVENTS].fd = at.events != NULL ? at.events->fd : -1;
		/* A signal may come before the wait. */
		if (poll(p, N, pending() ? 0 : 250) < 0) {
			if (errno != EINTR)
				return -errno;
			continue;
		}
		r = receive(at.watch, p[WATCH].revents, take_watched, &err);
		if (r == 0)
			r = receive(at.send, p[SEND].revents, take_reply, &err);
		if (r < 0 && r != -EINTR)
			notice("%s", err.text);
		if (receive(at.events, p[EVENTS].revents, take_event, &err) < 0)
			stop_events();
		if (r == 0 && p[INPUT].revents != 0)
			r = take_input();
	}
	return r == -EINTR ? 0 : r;
}

/* The daemon knows no attribute of that endpoint, but perhaps of another one. */
static int
fail_unknown(const char *why)
{
	static const char meant[] = "did you mean '";
	const char *near = strstr(why, meant);

	if (near == NULL)
		return ctl_fail("'%s' cannot be attached to: unknown endpoint;"
				" ttybridgectl endpoints lists them",
		    at.name);
	near += strlen(meant);
	return ctl_fail("'%s' cannot be attached to: unknown endpoint; did you"
			" mean '%.*s'?",
	    at.name, (int)strcspn(near, "/'"), near);
}

/* What the framing of the endpoint means for the terminal. */
static int
find_mode(void)
{
	static const char unknown[] = "unknown attribute";
	char command[300];
	const char *framing;
	struct error err;
	json_t *o;

	snprintf(command, sizeof(command), "get %s/framing", at.name);
	if (connection_query(at.watch, command, &o, &err) < 0)
		return strncmp(err.text, unknown, strlen(unknown)) == 0
		    ? fail_unknown(err.text)
		    : ctl_fail(
			  "'%s' cannot be attached to: %s", at.name, err.text);
	framing = json_string_value(o);
	if (framing != NULL && strcmp(framing, "raw") == 0)
		at.mode = MODE_KEYS;
	else if (framing != NULL && strcmp(framing, "line") == 0)
		at.mode = MODE_LINES;
	else
		at.mode = MODE_FRAMES;
	json_decref(o);
	return EXIT_SUCCESS;
}

/* Not needed: a port may refuse one more connection, or have no events. */
static void
start_events(void)
{
	struct error err;

	if (connection_open(&at.ctl->target, at.ctl->where.timeout_ms,
		&at.events, &err) == 0 &&
	    connection_send(at.events, "json events", &err) < 0)
		stop_events();
}

static int
start(void)
{
	char command[300];
	struct error err;
	int r;

	if (find_mode() != EXIT_SUCCESS)
		return EXIT_FAILURE;
	if (!isatty(STDIN_FILENO))
		return ctl_usage(USAGE,
		    "standard input is not a terminal; send and watch are for"
		    " scripts");
	if (!at.read_only) {
		if (ctl_connect_again(at.ctl, &at.send) < 0)
			return EXIT_FAILURE;
		at.send->timeout_ms = -1;
	}
	terminal_signals();
	if (at.mode == MODE_KEYS && (r = terminal_keys()) < 0)
		return ctl_fail("the terminal: %s", strerror(-r));
	notice("attached to %s%s; %s leaves, ~? helps", at.name,
	    at.read_only ? ", to read only" : "",
	    at.mode == MODE_KEYS ? "~." : "~. and Enter");
	show_history(false);
	snprintf(command, sizeof(command), "json watch %s%s",
	    at.mode == MODE_FRAMES ? "" : "-b ", at.name);
	if (connection_send(at.watch, command, &err) < 0)
		return ctl_fail("%s", err.text);
	start_events();
	return EXIT_SUCCESS;
}

int
attach_main(struct ctl *ctl, int argc, char **argv)
{
	int c, r;

	opterr = 0;
	while ((c = getopt(argc, argv, "r")) != -1) {
		if (c != 'r')
			return ctl_usage(USAGE, "unknown option '-%c'", optopt);
		at.read_only = true;
	}
	if (optind != argc - 1)
		return ctl_usage(USAGE, "the name of one endpoint is needed");
	at.name = argv[optind];
	if (strlen(at.name) > 200 || strpbrk(at.name, " \t\r\n") != NULL)
		return ctl_usage(USAGE, "'%s' is not a name", at.name);
	if (ctl_connect(ctl) < 0)
		return EXIT_FAILURE;
	at.ctl = ctl;
	at.watch = ctl->connection;
	r = start();
	if (r == EXIT_SUCCESS)
		r = loop() < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	connection_close(at.send);
	stop_events();
	if (r == EXIT_SUCCESS && at.left)
		notice("left %s", at.name);
	terminal_raise();
	return r;
}
