/*
 * test_command: the control port as a client sees it: lines in, replies out.
 *
 * A bridge of an echo and a pty, a control port with access = full and one with read,
 * each on a Unix socket in a temporary directory.  Client and daemon share this
 * program's loop, which is turned until what is awaited has come.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>
#include <jansson.h>

#include "command.h"
#include "session.h"
#include "log.h"

#define PATIENCE (10 * NSEC_PER_SEC)

/* What one sends back goes to two, which nobody has open. */
#define CONF_TEXT                                         \
	"[echo one]\nframing = line\nlabel = the first\n" \
	"[pty two]\nframing = cobs\nlink = %s/two\n"      \
	"[route main]\nfrom = one\nto = two\n"

static struct event_base *base;
static struct bridge *bridge;
static struct control *full, *reader;
static char directory[] = "/tmp/test_command.XXXXXX";
static char full_path[64], read_path[64];
static char *reload_faults;
static unsigned reloads;

struct peer {
	int fd;
	char *text; /* all that came, NUL behind it */
	size_t len;
	bool eof;
};

/* --- the daemon ---------------------------------------------------------- */

static int
fake_reload(struct reload_waiter *w, char **faults)
{
	(void)w;
	reloads++;
	*faults = reload_faults != NULL ? strdup(reload_faults) : NULL;
	return reload_faults != NULL ? -EINVAL : 0;
}

static const struct daemon_hooks hooks = { .reload = fake_reload };

static struct control *
open_control(
    const char *name, const char *path, int access, unsigned max_clients)
{
	struct control_conf conf = {
		.type = "control",
		.name = (char *)(uintptr_t)name,
		.text = (char *)(uintptr_t) "",
		.listen = (char *)(uintptr_t)path,
		.access = access,
		.max_clients = max_clients,
	};
	struct control *c = NULL;
	struct error err;

	if (control_new(bridge, &conf, &session_ops, &hooks, &c, &err) < 0)
		fail_msg("%s", err.text);
	return c;
}

static int
set_up(void **state)
{
	struct faults faults = { 0 };
	struct config *c = NULL;
	struct error err;
	char text[256];

	(void)state;
	log_set_level(LOG_ERR);
	snprintf(text, sizeof(text), CONF_TEXT, directory);
	base = event_base_new();
	assert_int_equal(bridge_new(base, &bridge), 0);
	assert_int_equal(
	    config_parse("test", text, strlen(text), &c, &faults), 0);
	assert_int_equal(bridge_apply(bridge, c, &err), 0);
	config_free(c);
	full = open_control("full", full_path, ACCESS_FULL, 16);
	reader = open_control("reader", read_path, ACCESS_READ, 2);
	reloads = 0;
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	control_free(full);
	control_free(reader);
	bridge_free(bridge);
	link_machinery_free();
	event_base_free(base);
	return 0;
}

/* --- clients ------------------------------------------------------------- */

static struct peer
dial(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct peer c = { .text = calloc(1, 1) };

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	c.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(
	    connect(c.fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	fcntl(c.fd, F_SETFL, O_NONBLOCK);
	return c;
}

static void
hang_up(struct peer *c)
{
	close(c->fd);
	free(c->text);
}

/* One turn of the loop, and what the client gets of it. */
static void
turn(struct peer *c)
{
	char buf[16384];
	ssize_t n;

	event_base_loop(base, EVLOOP_NONBLOCK);
	if (c == NULL)
		return;
	n = recv(c->fd, buf, sizeof(buf), 0);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		c->eof = true;
	if (n <= 0)
		return;
	c->text = realloc(c->text, c->len + (size_t)n + 1);
	memcpy(c->text + c->len, buf, (size_t)n);
	c->len += (size_t)n;
	c->text[c->len] = '\0';
}

static void
say(struct peer *c, const char *text, size_t len)
{
	uint64_t end = now_ns() + PATIENCE;
	ssize_t n;

	while (len > 0 && !c->eof) {
		assert_true(now_ns() < end);
		n = send(c->fd, text, len, MSG_NOSIGNAL);
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
		turn(c);
	}
}

static void
until_eof(struct peer *c)
{
	uint64_t end = now_ns() + PATIENCE;

	while (!c->eof) {
		assert_true(now_ns() < end);
		turn(c);
	}
}

static void
say_text(struct peer *c, const char *text)
{
	say(c, text, strlen(text));
}

/* Until the text has come. */
static void
until_text(struct peer *c, const char *text)
{
	uint64_t end = now_ns() + PATIENCE;

	while (strstr(c->text, text) == NULL) {
		if (c->eof || now_ns() > end)
			fail_msg("no '%s' in '%s'", text, c->text);
		turn(c);
	}
}

static void
until_sessions(const struct control *c, unsigned n)
{
	uint64_t end = now_ns() + PATIENCE;

	while (control_sessions(c) != n) {
		assert_true(now_ns() < end);
		turn(NULL);
	}
}

static void
until_taps(unsigned want)
{
	uint64_t end = now_ns() + PATIENCE;
	struct tap *tap;
	unsigned n;

	do {
		assert_true(now_ns() < end);
		turn(NULL);
		n = 0;
		TAILQ_FOREACH(tap, &bridge->taps, entry)
			n++;
	} while (n != want);
}

/* The reply to one line of a session that goes on. */
static const char *
ask(struct peer *c, const char *line)
{
	c->len = 0;
	c->text[0] = '\0';
	say(c, line, strlen(line));
	until_text(c, "OK\n");
	return c->text;
}

/* As `nc -N`: sends, ends, and gets all of the reply, to be freed. */
static char *
netcat_bytes(const char *path, const char *text, size_t len)
{
	struct peer c = dial(path);
	char *reply;

	say(&c, text, len);
	shutdown(c.fd, SHUT_WR);
	until_eof(&c);
	reply = c.text;
	close(c.fd);
	return reply;
}

static char *
netcat(const char *path, const char *text)
{
	return netcat_bytes(path, text, strlen(text));
}

static void
assert_reply(const char *path, const char *line, const char *want)
{
	char *reply = netcat(path, line);

	assert_string_equal(reply, want);
	free(reply);
}

/* --- replies ------------------------------------------------------------- */

static void
test_replies(void **state)
{
	static const struct {
		const char *line, *reply;
	} replies[] = {
		{ "", "" },
		{ "\n", "" },
		{ " \t \r\n", "" },
		{ "get one/state\n", "up\nOK\n" },
		{ "get one/state", "up\nOK\n" },
		{ "get one/state\r\n", "up\nOK\n" },
		{ "\n  get   one/state  \n", "up\nOK\n" },
		{ "get one/type\nget two/framing\n", "echo\nOK\ncobs\nOK\n" },
		{ "get one/label\n", "the first\nOK\n" },
		{ "get one/queue\n", "64K\nOK\n" },
		{ "get one/rx_bytes\n", "0\nOK\n" },
		{ "get one/bad_noise\n", "0\nOK\n" },
		{ "get one/dropped_overflow\n", "0\nOK\n" },
		{ "get routes/main/frames\n", "0\nOK\n" },
		{ "get daemon/endpoints\n", "2\nOK\n" },
		{ "get daemon/up\n", "1\nOK\n" },
		{ "get log_level\n", "error\nOK\n" },
		{ "list log_level\n", "log_level = error\nOK\n" },
		{ "json get one/rx_bytes\n", "0\nOK\n" },
		{ "json get one/state\n", "\"up\"\nOK\n" },
		{ "json list log\n", "{\"log_level\":\"error\"}\nOK\n" },
		{ "peers\n",
		    "NAME  ENDPOINT  ADDRESS  RX_BYTES  TX_BYTES  "
		    "QUEUED  DROPPED  STALLED  UP  ROLE  WRITES  "
		    "LEASE  REFUSED  IDLE  CERTIFICATE  TLS  HISTORY\nOK\n" },
		{ "json peers\n", "[]\nOK\n" },
		{ "pss\n", "ERR unknown command 'pss'; did you mean 'ps'?\n" },
		{ "zzzzzz\n",
		    "ERR unknown command 'zzzzzz'; 'help' lists them\n" },
		{ "json pss\n",
		    "ERR unknown command 'pss'; did you mean 'ps'?\n" },
		{ "json\n", "ERR an argument is missing: json COMMAND\n" },
		{ "json json ps\n",
		    "ERR 'json' once is enough: json COMMAND\n" },
		{ "endpoints now\n", "ERR endpoints takes no argument\n" },
		{ "json endpoints extra\n",
		    "ERR endpoints takes no argument\n" },
		{ "where\n", "ERR an argument is missing: where TASK\n" },
		{ "where one.reed\n",
		    "ERR unknown task 'one.reed'; did you mean 'one.read'?\n" },
		{ "help pss\n",
		    "ERR unknown command 'pss'; did you mean 'ps'?\n" },
		{ "get one/rx_byte\n",
		    "ERR unknown attribute 'one/rx_byte'; "
		    "did you mean 'one/rx_bytes'?\n" },
		{ "get oen/state\n",
		    "ERR unknown attribute 'oen/state'; did "
		    "you mean 'one/state'?\n" },
		{ "get routes/man/bytes\n",
		    "ERR unknown attribute 'routes/man/bytes'; did you mean "
		    "'routes/main/bytes'?\n" },
		{ "get one\n",
		    "ERR unknown attribute 'one'; it is an endpoint, whose "
		    "attributes 'list one' lists\n" },
		{ "get /\n", "ERR unknown attribute '/'; 'list' lists them\n" },
		{ "list nosuch\n",
		    "ERR unknown attribute 'nosuch'; 'list' lists them\n" },
		{ "ps zzzzzz\n",
		    "ERR no task matches 'zzzzzz'; 'ps' lists all\n" },
		{ "json ps -s cpu zzz*\n",
		    "ERR no task matches 'zzz*'; 'ps' lists all\n" },
		{ "where one\n",
		    "ERR unknown task 'one'; did you mean 'one.read'?\n" },
		{ "ps one.read -s nothing\n",
		    "ERR tasks are not sorted by 'nothing', but by idle, cpu "
		    "or max\n" },
		{ "watch one -n 0\n",
		    "ERR '0' is not a number of lines; 1 or more, as in -n "
		    "10\n" },
		{ "watch one -z\n",
		    "ERR unknown option '-z': watch [-x] [-b] [-n COUNT] "
		    "[NAME ...]\n" },
		{ "capture stream one -z\n",
		    "ERR unknown option '-z': capture stream [-a] [NAME "
		    "...]\n" },
		{ "set one/rx_bytes 1\n",
		    "ERR 'one/rx_bytes' can be read, not set; these can be "
		    "set: label required frame_timeout queue overflow pace "
		    "frame_gap stall_timeout spool_sync spool_age frame_age "
		    "echo silence_warning silence_timeout reopen_min "
		    "reopen_max history log_format log_size log_files\n" },
		{ "set routes/main/frames 1\n",
		    "ERR 'routes/main/frames' can be read, not set; the keys "
		    "of a route are changed in the file, with a reload\n" },
		{ "set daemon/memory 1\n",
		    "ERR 'daemon/memory' can be read, not set; 'log_level' "
		    "and keys of endpoints can be set\n" },
		{ "set one/queu 1K\n",
		    "ERR unknown attribute 'one/queu'; did "
		    "you mean 'one/queue'?\n" },
		{ "set one/queue\n",
		    "ERR an argument is missing: set PATH VALUE\n" },
		{ "set log_level warm\n",
		    "ERR 'warm' is not a log level; error, warning, notice, "
		    "info and debug are\n" },
		{ "set two/baud 9600\n",
		    "ERR unknown attribute 'two/baud': a pty has no baud "
		    "rate\n" },
		{ "get two/speed\n",
		    "ERR unknown attribute 'two/speed': a pty has no baud "
		    "rate\n" },
		{ "set one/dtr on\n",
		    "ERR unknown attribute 'one/dtr': an echo has no DTR "
		    "line\n" },
		{ "get one/max_clients\n",
		    "ERR unknown attribute 'one/max_clients': an echo has no "
		    "key 'max_clients'\n" },
		{ "set two/symlink /tmp/x\n",
		    "ERR unknown attribute 'two/symlink'; did you mean "
		    "'two/link', such as /run/ttybridge/modem?\n" },
		{ "set one/buffer 1K\n",
		    "ERR unknown attribute 'one/buffer'; did you mean "
		    "'one/queue', such as 64K?\n" },
		{ "set log_level verbose\n",
		    "ERR 'verbose' is not a log level; error, warning, notice, "
		    "info and debug are; did you mean 'debug'?\n" },
		{ "send oen hi\n",
		    "ERR unknown endpoint 'oen'; did you mean 'one'?\n" },
		{ "send one a\\nb\n",
		    "ERR the framing of one, line, cannot "
		    "express this frame\n" },
		{ "send one \\xzz\n",
		    "ERR a bad escape in the text; \\n \\r \\t \\s \\\\ "
		    "\\xHH and \\OOO are right\n" },
		{ "break one\n",
		    "ERR one cannot send a break: its type is "
		    "echo, and not serial\n" },
		{ "break one soon\n",
		    "ERR 'soon' is not a length for a break; "
		    "up to 10s, as in 250ms\n" },
		{ "cancel one.read\n",
		    "ERR 'one.read' cannot be ended; only clients, control "
		    "sessions, queries, a capture and pending reopens can\n" },
		{ "watch oen\n",
		    "ERR unknown endpoint 'oen'; did you mean 'one'?\n" },
		{ "watch\n", "OK\n" },
		{ "watch\nget one/state\n", "OK\nup\nOK\n" },
		{ "quit\n", "OK\n" },
		{ "json quit\n", "null\nOK\n" },
		{ "get one/state\nquit\nget one/state\n", "up\nOK\nOK\n" },
		{ "watch\nquit\n", "OK\nOK\n" },
		{ "quit now\n", "ERR quit takes no argument\n" },
		{ "set log_level error\n", "OK\n" },
		{ "set one/label  two words \nget one/label\n",
		    "OK\ntwo words\nOK\n" },
		{ "pause one\nget one/state\nget one/paused\nresume one\n"
		  "get one/state\n",
		    "OK\npaused\nOK\nyes\nOK\nOK\nup\nOK\n" },
	};

	(void)state;
	for (size_t i = 0; i < NELEM(replies); i++)
		assert_reply(full_path, replies[i].line, replies[i].reply);
}

/* Nothing of a request is carried out: neither the lines before the first that gives it
 * away, for there are none, nor those behind it. */
static void
test_http_ends_the_session(void **state)
{
	static const char *const firsts[] = {
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /x HTTP/1.0\r\n\r\n",
		"PUT /",
		"OPTIONS * HTTP/1.1\r\n",
		"PROPFIND / HTTP/1.1\r\n",
		"reload / HTTP/1.1\r\n",
		"pause /one HTTP/1.1\r\n",
		"get /log_level http/1.1\r\n",
		"CONNECT localhost:1 HTTP/1.1\r\n",
		"M-SEARCH * HTTP/1.1\r\n",
		"PRI * HTTP/2.0\r\n",
		"HTTP/1.1 200 OK\r\n",
		"Content-Type: text/plain\r\n",
		"Host: 127.0.0.1:5010",
		" \t GET /",
		"GET",
	};
	char *reply, text[256];

	(void)state;
	for (size_t i = 0; i < NELEM(firsts); i++) {
		snprintf(text, sizeof(text), "%s\nget one/state\nreload\n",
		    firsts[i]);
		reply = netcat(full_path, text);
		assert_string_equal(reply,
		    "ERR this is a control port, not a web server: the session"
		    " ends\n");
		free(reply);
	}
	assert_int_equal(reloads, 0);
	/* Text for a device may look like it. */
	assert_reply(full_path, "send one GET / HTTP/1.1\n", "OK\n");
	assert_reply(full_path, "send one HTTP/1.1\n", "OK\n");
	assert_reply(full_path, "set one/label Host: HTTP/1.1\n", "OK\n");
}

/* It would time out otherwise. */
static void
test_a_question_to_what_is_not_up(void **state)
{
	static const char *const lines[] = { "ask two hello 30s\n",
		"json ask two hello 30s\n" };
	char want[256], *reply;

	(void)state;
	snprintf(want, sizeof(want),
	    "ERR two cannot answer: it is waiting for a program to open"
	    " %s/two ",
	    directory);
	for (size_t i = 0; i < NELEM(lines); i++) {
		reply = netcat(full_path, lines[i]);
		assert_memory_equal(reply, want, strlen(want));
		free(reply);
	}
	assert_reply(full_path, "pause one\nask one hello 30s\nresume one\n",
	    "OK\nERR one cannot answer: it is paused\nOK\n");
	assert_reply(full_path, "get two/queued_frames\n", "0\nOK\n");
}

static void
test_access(void **state)
{
	static const char *const lines[] = { "set one/queue 1K", "send one x",
		"cancel reader.client#1.read", "pause one", "resume one",
		"reopen one", "break one", "reload" };
	char want[256], line[64], name[16], other[96];

	(void)state;
	for (size_t i = 0; i < NELEM(lines); i++) {
		snprintf(name, sizeof(name), "%.*s",
		    (int)strcspn(lines[i], " "), lines[i]);
		snprintf(other, sizeof(other),
		    "; or change the file, and reload it with kill -HUP %d",
		    (int)getpid());
		snprintf(want, sizeof(want),
		    "ERR this port has access = read;"
		    " %s needs access = full in its [control] section%s\n",
		    name,
		    strcmp(name, "set") == 0 || strcmp(name, "reload") == 0
			? other
			: "");
		snprintf(line, sizeof(line), "%s\n", lines[i]);
		assert_reply(read_path, line, want);
		snprintf(line, sizeof(line), "json %s\n", lines[i]);
		assert_reply(read_path, line, want);
	}
	assert_int_equal(reloads, 0);
	assert_reply(read_path, "get one/queue\n", "64K\nOK\n");
}

static void
test_help_has_a_line_for_each_command(void **state)
{
	char *reply = netcat(read_path, "help\n"), *line, *save, name[32], *one;
	unsigned n = 0, refused = 0;

	(void)state;
	for (line = strtok_r(reply, "\n", &save); strcmp(line, "OK") != 0;
	     line = strtok_r(NULL, "\n", &save)) {
		char line_help[64];

		n++;
		assert_true(strlen(line) <= 100);
		snprintf(
		    name, sizeof(name), "%.*s", (int)strcspn(line, " "), line);
		refused += strstr(line, "[access = full]") != NULL;
		snprintf(line_help, sizeof(line_help), "help %s\n", name);
		one = netcat(read_path, line_help);
		assert_memory_equal(one, line, strlen(line));
		assert_string_equal(one + strlen(line), "\nOK\n");
		free(one);
	}
	assert_int_equal(n, 33);
	assert_int_equal(refused, 14);
	free(reply);
}

/* Every path once, and each can be asked for and has the same value. */
static void
test_list_and_get_agree(void **state)
{
	char *reply = netcat(read_path, "list\n"), *line, *save, *value, *p;
	char get[256], again[256];
	unsigned n = 0;

	(void)state;
	for (line = strtok_r(reply, "\n", &save); strcmp(line, "OK") != 0;
	     line = strtok_r(NULL, "\n", &save)) {
		n++;
		p = strstr(line, " = ");
		assert_non_null(p);
		*p = '\0';
		snprintf(again, sizeof(again), "\n%s = ", line);
		assert_null(strstr(save, again));
		snprintf(get, sizeof(get), "get %s\n", line);
		value = netcat(read_path, get);
		assert_string_not_equal(value, "");
		if (strncmp(line, "daemon/", 7) != 0 &&
		    strstr(line, "/up") == NULL) {
			assert_memory_equal(value, p + 3, strlen(p + 3));
			assert_string_equal(value + strlen(p + 3), "\nOK\n");
		}
		free(value);
	}
	assert_true(n > 100);
	free(reply);
}

static void
test_json_is_one_line_of_json(void **state)
{
	static const char *const commands[] = { "help", "ps",
		"where daemon.hangups", "endpoints", "routes", "peers", "list",
		"list one", "get one/up", "version", "help ps" };
	char line[64], *reply, *end;
	json_t *json;

	(void)state;
	for (size_t i = 0; i < NELEM(commands); i++) {
		snprintf(line, sizeof(line), "json %s\n", commands[i]);
		reply = netcat(read_path, line);
		end = strchr(reply, '\n');
		assert_non_null(end);
		assert_string_equal(end, "\nOK\n");
		*end = '\0';
		json = json_loads(reply, JSON_DECODE_ANY, NULL);
		if (json == NULL)
			fail_msg("%s: %s", commands[i], reply);
		json_decref(json);
		free(reply);
	}
}

static void
test_reload_says_all_faults_on_one_line(void **state)
{
	char faults[] = "f:1: this is wrong\nf:7: that is wrong";

	(void)state;
	assert_reply(full_path, "reload\n", "OK\n");
	assert_int_equal(reloads, 1);
	reload_faults = faults;
	assert_reply(full_path, "reload\n",
	    "ERR nothing was changed: f:1: this"
	    " is wrong; f:7: that is wrong\n");
	reload_faults = NULL;
	assert_int_equal(reloads, 2);
}

static void
test_send_goes_through_the_bridge(void **state)
{
	struct peer c = dial(full_path);
	uint64_t end = now_ns() + PATIENCE;

	(void)state;
	ask(&c, "send one h\\x65llo\n");
	/* One sends it back, and its route takes it to two. */
	while (strcmp(ask(&c, "get two/queued_frames\n"), "1\nOK\n") != 0)
		assert_true(now_ns() < end);
	hang_up(&c);
	assert_reply(full_path, "get routes/main/bytes\n", "5\nOK\n");
	assert_reply(full_path, "get one/tx_payload\n", "5\nOK\n");
}

/* --- lines --------------------------------------------------------------- */

static void
test_a_line_has_4096_bytes_at_most(void **state)
{
	char line[CLIENT_LINE_MAX + 64], *reply;

	(void)state;
	memset(line, ' ', sizeof(line));
	memcpy(line, "get one/state", 13);
	line[CLIENT_LINE_MAX] = '\n';
	reply = netcat_bytes(full_path, line, CLIENT_LINE_MAX + 1);
	assert_string_equal(reply, "up\nOK\n");
	free(reply);

	/* The session ends there: what follows is not carried out. */
	line[CLIENT_LINE_MAX] = ' ';
	memcpy(line + CLIENT_LINE_MAX + 1, "\nreload\n", 8);
	reply = netcat_bytes(full_path, line, CLIENT_LINE_MAX + 9);
	assert_string_equal(reply, "ERR line longer than 4096 bytes\n");
	assert_int_equal(reloads, 0);
	free(reply);
}

static void
test_a_megabyte_without_a_newline_is_refused_once(void **state)
{
	size_t len = 1 << 20;
	char *line = malloc(len);
	struct peer c = dial(full_path);

	(void)state;
	memset(line, 'x', len);
	say(&c, line, len);
	/* The client has not ended, and is closed all the same. */
	until_eof(&c);
	assert_string_equal(c.text, "ERR line longer than 4096 bytes\n");
	until_sessions(full, 0);
	hang_up(&c);
	free(line);
}

static void
test_bytes_that_are_no_text_are_refused(void **state)
{
	char line[] = "get one/s?ate\nget one/state\n", want[128], *reply;
	static const uint8_t bad[] = { 0, 1, '\r', 0x1b, 0x7f };

	(void)state;
	for (size_t i = 0; i < sizeof(bad); i++) {
		line[9] = (char)bad[i];
		snprintf(want, sizeof(want),
		    "ERR a command is text; this line"
		    " has a byte 0x%02x in it\nup\nOK\n",
		    bad[i]);
		reply = netcat_bytes(full_path, line, strlen(line + 10) + 10);
		assert_string_equal(reply, want);
		free(reply);
	}
	/* What is no UTF-8 is not echoed. */
	assert_reply(full_path, "\xff\xc3\xa4\n",
	    "ERR unknown command '\\xff\xc3\xa4'; 'help' lists them\n");
}

static void
test_many_commands_are_answered_in_order(void **state)
{
	static const char pair[] = "get one/state\nget two/type\n";
	static const char both[] = "up\nOK\npty\nOK\n";
	size_t n = 3000, len = sizeof(pair) - 1, blen = sizeof(both) - 1;
	char *text = malloc(n * len), *reply;

	(void)state;
	for (size_t i = 0; i < n; i++)
		memcpy(text + i * len, pair, len);
	reply = netcat_bytes(full_path, text, n * len);
	assert_int_equal(strlen(reply), n * blen);
	for (size_t i = 0; i < n; i++)
		assert_memory_equal(reply + i * blen, both, blen);
	free(text);
	free(reply);
}

/* The replies to this are some 50 MB; they must not pile up. */
static void
test_a_client_that_does_not_read_has_to_wait(void **state)
{
	struct peer c = dial(full_path), other;
	static const char line[] = "list\n";
	unsigned sent = 0;

	(void)state;
	while (sent < 10000 && send(c.fd, line, 5, MSG_NOSIGNAL) == 5) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		sent++;
	}
	for (int i = 0; i < 1000; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	other = dial(full_path);
	say(&other, "where full.client#1.read\n", 25);
	until_text(&other, "OK\n");
	assert_non_null(strstr(other.text, "state: paused\n"));
	assert_non_null(strstr(other.text, "to read the replies it has\n"));
	hang_up(&other);
	/* It gets all of them when it reads. */
	shutdown(c.fd, SHUT_WR);
	until_eof(&c);
	for (const char *p = c.text; (p = strstr(p, "\nOK\n")) != NULL; p += 4)
		sent--;
	assert_int_equal(sent, 0);
	hang_up(&c);
}

static void
test_one_client_too_many_is_told(void **state)
{
	struct peer a = dial(read_path), b = dial(read_path), c;

	(void)state;
	until_sessions(reader, 2);
	c = dial(read_path);
	until_eof(&c);
	assert_string_equal(c.text, "ERR too many clients (max 2)\n");
	hang_up(&c);
	hang_up(&a);
	until_sessions(reader, 1);
	assert_reply(read_path, "get one/state\n", "up\nOK\n");
	hang_up(&b);
	until_sessions(reader, 0);
}

/* --- watch --------------------------------------------------------------- */

/* The first line of a watch, for a frame of five bytes. */
static void
assert_line(
    const char *line, const char *from, const char *to, const char *text)
{
	int h, m, size = 0;
	float s;
	char got_from[16], got_to[16], got[64];

	assert_int_equal(sscanf(line, "%2d:%2d:%6f %15s %15s %d %63[^\n]", &h,
			     &m, &s, got_from, got_to, &size, got),
	    7);
	assert_string_equal(got_from, from);
	assert_string_equal(got_to, to);
	assert_int_equal(size, 5);
	assert_string_equal(got, text);
}

static void
test_watch_shows_frames_until_the_next_line(void **state)
{
	struct peer w = dial(full_path), other = dial(full_path);

	(void)state;
	say(&w, "watch\n", 6);
	say(&other, "watch two\n", 10);
	until_taps(2);
	assert_reply(full_path, "send one a\\x01b c\n", "OK\n");
	until_text(&w, "queued for two]\n");
	until_text(&other, "queued for two]\n");
	/* The command sends it to the echo, which returns it. */
	assert_line(w.text, "control", "one", "a\\x01b c  [sent to one]");
	assert_line(strchr(w.text, '\n') + 1, "one", "two",
	    "a\\x01b c  [queued for two]");
	assert_line(other.text, "one", "two", "a\\x01b c  [queued for two]");
	/* An empty line ends it; another one ends it and is carried out. */
	say(&w, "\n", 1);
	until_text(&w, "\nOK\n");
	say(&other, "get one/state\n", 14);
	until_text(&other, "\nOK\nup\nOK\n");
	assert_true(TAILQ_EMPTY(&bridge->taps));
	hang_up(&w);
	hang_up(&other);
}

static void
assert_member(const json_t *object, const char *name, const char *want)
{
	assert_string_equal(
	    json_string_value(json_object_get(object, name)), want);
}

static void
test_watch_as_json(void **state)
{
	struct peer w = dial(full_path), json = dial(full_path);
	json_t *frame;

	(void)state;
	say(&w, "watch two\n", 10);
	say(&json, "json watch one\n", 15);
	until_taps(2);
	assert_reply(full_path, "send one \\x41\\\"\n", "OK\n");
	until_text(&json, "queued for two\"}\n");
	frame = json_loads(
	    strchr(json.text, '\n') + 1, JSON_DISABLE_EOF_CHECK, NULL);
	assert_non_null(frame);
	assert_member(frame, "from", "one");
	assert_member(frame, "to", "two");
	assert_member(frame, "text", "A\"");
	assert_member(frame, "outcome", "queued for two");
	assert_int_equal(json_integer_value(json_object_get(frame, "size")), 2);
	json_decref(frame);
	until_text(&w, " two ");
	hang_up(&w);
	hang_up(&json);
	until_sessions(full, 0);
	assert_true(TAILQ_EMPTY(&bridge->taps));
}

static void
test_watch_shows_hexadecimal_and_bytes(void **state)
{
	struct peer x = dial(full_path), b = dial(full_path);
	struct peer json = dial(full_path);

	(void)state;
	say(&x, "watch -x one\n", 13);
	say(&b, "watch -b one\n", 13);
	say(&json, "json watch -b one\n", 18);
	until_taps(3);
	assert_reply(full_path, "send one \\x01Az\n", "OK\n");
	until_text(&x, "   3 01 41 7a  [queued for two]\n");
	until_text(&b, " one      out    4 \\x01Az\\n\n");
	until_text(&b, " one      in     4 \\x01Az\\n\n");
	until_text(&json,
	    ",\"endpoint\":\"one\",\"direction\":\"in\",\"size\":4,\"base64\":"
	    "\"AUF6Cg==\"}\n");
	hang_up(&x);
	hang_up(&b);
	hang_up(&json);
}

static void
test_watch_ends_after_that_many_lines(void **state)
{
	struct peer w = dial(full_path);
	char *reply;

	(void)state;
	/* Its next commands wait. */
	say(&w, "watch -n 3 two\nget one/state\nquit\n", 34);
	until_taps(1);
	assert_reply(full_path, "send one 1\nsend one 2\n", "OK\nOK\n");
	until_text(&w, " 2  [queued for two]\n");
	assert_null(strstr(w.text, "OK"));
	assert_reply(full_path, "send one 3\nsend one 4\n", "OK\nOK\n");
	until_eof(&w);
	assert_non_null(
	    strstr(w.text, " 3  [queued for two]\nOK\nup\nOK\nOK\n"));
	assert_null(strstr(w.text, " 4  ["));
	assert_true(TAILQ_EMPTY(&bridge->taps));
	hang_up(&w);
	reply = netcat(full_path,
	    "watch -n\nwatch -n 0\nwatch -q\nevents -x\nevents one\n");
	assert_string_equal(reply,
	    "ERR '' is not a number of lines; 1 or more, as in -n 10\n"
	    "ERR '0' is not a number of lines; 1 or more, as in -n 10\n"
	    "ERR unknown option '-q': watch [-x] [-b] [-n COUNT] [NAME ...]\n"
	    "ERR unknown option '-x': events [-n COUNT]\n"
	    "ERR 'one' is not an option: events [-n COUNT]\n");
	free(reply);
}

/* It does not read, so that only a look at its socket shows that it disconnected. */
static void
test_a_client_that_awaits_lines_may_disconnect(void **state)
{
	struct peer w = dial(full_path);

	(void)state;
	say(&w, "watch -n 3\n", 11);
	shutdown(w.fd, SHUT_WR);
	until_taps(1);
	hang_up(&w);
	until_sessions(full, 0);
	assert_true(TAILQ_EMPTY(&bridge->taps));
}

static void
test_events_shows_messages(void **state)
{
	struct peer e = dial(full_path), json = dial(full_path);

	(void)state;
	say(&e, "events\n", 7);
	say(&json, "json events -n 2\n", 17);
	until_taps(2);
	assert_reply(full_path, "send one x\\x00\n", "OK\n");
	assert_reply(full_path, "pause one\n", "OK\n");
	until_text(&e, " state   one      paused by hand\n");
	assert_reply(full_path, "resume one\n", "OK\n");
	until_text(&e, " state   one      resumed by hand\n");
	until_text(&json,
	    ",\"kind\":\"state\",\"name\":\"one\",\"level\":\"notice\","
	    "\"text\":"
	    "\"resumed by hand\"}\nOK\n");
	say(&e, "\n", 1);
	until_text(&e, "\nOK\n");
	assert_true(TAILQ_EMPTY(&bridge->taps));
	hang_up(&e);
	hang_up(&json);
}

/* Of 1000 bytes each, to a watcher that does not read meanwhile. */
static unsigned
flood(struct peer *c, unsigned n)
{
	char line[1100] = "send one ";

	memset(line + 9, 'x', 1000);
	line[1009] = '\n';
	for (unsigned i = 0; i < n && !TAILQ_EMPTY(&bridge->taps); i++)
		ask(c, line);
	return n;
}

/*
 * The lines for n frames to the echo: each is sent, comes back and is queued for two; those
 * for which there is no more room there are dropped.
 */
static unsigned
lines_for(struct peer *c, unsigned n)
{
	unsigned dropped;

	assert_int_equal(
	    sscanf(ask(c, "get two/dropped\n"), "%u\nOK\n", &dropped), 1);
	return 2 * n + dropped;
}

/* The frames that a watch has shown, and those that it says it has not. */
static unsigned
shown_and_not(const char *text)
{
	unsigned n = 0, hidden;
	const char *p;

	for (p = text; (p = strstr(p, " xxxx")) != NULL; p++)
		n++;
	for (p = text; (p = strstr(p, "\xe2\x80\xa6 ")) != NULL; p++) {
		assert_int_equal(sscanf(p + 4, "%u frames", &hidden), 1);
		n += hidden;
	}
	return n;
}

static void
test_a_watcher_is_told_how_many_frames_it_was_not_shown(void **state)
{
	struct peer w = dial(full_path), c = dial(full_path);
	uint64_t end = now_ns() + PATIENCE;

	(void)state;
	say(&w, "watch\n", 6);
	until_taps(1);
	flood(&c, 2000);
	until_taps(1);
	while (shown_and_not(w.text) < lines_for(&c, 2000)) {
		if (now_ns() > end)
			fail_msg("%u", shown_and_not(w.text));
		turn(&w);
	}
	assert_int_equal(shown_and_not(w.text), lines_for(&c, 2000));
	assert_non_null(strstr(w.text, " frames not shown\n"));
	ask(&c, "send one xxxx\n");
	while (shown_and_not(w.text) < lines_for(&c, 2001)) {
		assert_true(now_ns() < end);
		turn(&w);
	}
	say(&w, "get one/state\n", 14);
	until_text(&w, "OK\nup\nOK\n");
	hang_up(&c);
	hang_up(&w);
}

static void
test_a_watch_ends_with_what_it_was_not_shown(void **state)
{
	struct peer w = dial(full_path), c = dial(full_path);

	(void)state;
	say(&w, "json watch\n", 11);
	until_taps(1);
	flood(&c, 2000);
	assert_int_equal(send(w.fd, "\n", 1, 0), 1);
	until_text(&w, "{\"not_shown\":");
	until_text(&w, "}\nOK\n");
	until_taps(0);
	hang_up(&c);
	hang_up(&w);
}

static void
test_a_watcher_that_takes_nothing_is_closed_in_the_end(void **state)
{
	struct peer w, c = dial(full_path);
	uint64_t end = now_ns() + PATIENCE;

	(void)state;
	control_free(reader);
	reader = open_control("reader", read_path, ACCESS_READ, 2);
	reader->conf.stall_timeout = 20 * NSEC_PER_MSEC;
	w = dial(read_path);
	say(&w, "watch\n", 6);
	until_taps(1);
	while (!TAILQ_EMPTY(&bridge->taps)) {
		assert_true(now_ns() < end);
		flood(&c, 100);
	}
	assert_string_equal(ask(&c, "get one/state\n"), "up\nOK\n");
	hang_up(&c);
	hang_up(&w);
}

/* --- tasks --------------------------------------------------------------- */

static void
test_cancel_ends_a_session(void **state)
{
	struct peer a = dial(full_path), b;

	(void)state;
	until_sessions(full, 1);
	b = dial(full_path);
	until_sessions(full, 2);
	say(&b, "cancel full.client#1.read\n", 26);
	until_text(&b, "OK\n");
	until_eof(&a);
	assert_string_equal(a.text, "");
	/* One that ends itself has its reply first, and nothing after it. */
	say(&b, "cancel full.client#2.write\nget one/state\n", 41);
	until_eof(&b);
	assert_string_equal(b.text, "OK\nOK\n");
	hang_up(&b);
	hang_up(&a);
	until_sessions(full, 0);
}

/* An event that is due is armed no more, until its task has run: then soon. */
static void
waits_become_events(void)
{
	uint64_t until = now_ns() + PATIENCE;
	unsigned waits, events;
	char *reply;

	do {
		/* One reply, so of one moment. */
		reply = netcat(full_path, "list daemon\n");
		assert_int_equal(sscanf(strstr(reply, "daemon/waits"),
				     "daemon/waits = %u\ndaemon/events = %u\n",
				     &waits, &events),
		    2);
		free(reply);
	} while (waits != events && now_ns() < until);
	assert_int_equal(waits, events);
}

/* What waits is what libevent has armed, in every state of a session. */
static void
test_waits_are_events(void **state)
{
	struct peer clients[6];

	(void)state;
	for (size_t i = 0; i < NELEM(clients); i++)
		clients[i] = dial(full_path);
	say(&clients[1], "watch\n", 6);
	say(&clients[2], "half a line", 11);
	say(&clients[3], "list\nlist\n", 10);
	for (int i = 0; i < 2000; i++)
		if (send(clients[4].fd, "list\n", 5, MSG_NOSIGNAL) < 0)
			break;
	shutdown(clients[5].fd, SHUT_WR);
	for (int i = 0; i < 300; i++) {
		turn(i % 3 == 0 ? &clients[3] : NULL);
		if (i % 10 == 0)
			waits_become_events();
	}
	for (size_t i = 0; i < NELEM(clients); i++)
		hang_up(&clients[i]);
	until_sessions(full, 0);
}

static void
test_where_has_the_last_sixteen_waits(void **state)
{
	struct peer c = dial(full_path);
	unsigned n = 0;

	(void)state;
	for (int i = 0; i < 40; i++)
		ask(&c, "get one/state\n");
	for (const char *p = ask(&c, "where full.client#1.write\n");
	     (p = strstr(p, ".c:")) != NULL; p++)
		n++;
	/* Sixteen, and where it is now. */
	assert_int_equal(n, 17);
	hang_up(&c);
}

/* A port that goes with a reload: the reply to `reload` gets out all the same. */
static void
test_a_closed_port_gives_what_it_owes(void **state)
{
	struct peer c = dial(read_path);

	(void)state;
	until_sessions(reader, 1);
	send(c.fd, "get one/state\nget two/type\n", 27, MSG_NOSIGNAL);
	event_base_loop(base, EVLOOP_NONBLOCK);
	control_free(reader);
	reader = NULL;
	until_eof(&c);
	assert_string_equal(c.text, "up\nOK\npty\nOK\n");
	hang_up(&c);
}

static void
test_warnings_are_shown_beside_their_tasks(void **state)
{
	struct link *link = &bridge_find(bridge, "one")->endpoint->link;
	struct peer c = dial(read_path);

	(void)state;
	say_text(&c, "warnings\n");
	until_text(&c, "TASK  SINCE  WARNING  TEXT\nOK\n");
	event_del(link->readable);
	say_text(&c, "json warnings\n");
	until_text(&c, "\"warning\":\"no-event\",\"text\":\"waits in link.c:");
	say_text(&c, "json ps one.re\n");
	until_text(&c, "\"warn\":\"no-event\"");
	say_text(&c, "where one.read\n");
	until_text(&c, "warn: no-event\n");
	event_add(link->readable, NULL);
	say_text(&c, "json warnings\n");
	until_text(&c, "[]\nOK\n");
	hang_up(&c);
}

static void
test_tasks_are_sorted_and_searched(void **state)
{
	struct peer c = dial(read_path);

	(void)state;
	say_text(&c, "ps -s\nps -s x\nps one two\nps -x\n");
	until_text(&c,
	    "ERR an argument is missing: ps [-s COLUMN] [PATTERN]\n"
	    "ERR tasks are not sorted by 'x', but by idle, cpu or max\n"
	    "ERR too many arguments, from 'two' on:"
	    " ps [-s COLUMN] [PATTERN]\n"
	    "ERR unknown option '-x': ps [-s COLUMN] [PATTERN]\n");
	say_text(&c, "ps -s idle ONE.*x\nps -s max one.w?ite\n");
	until_text(&c, "ERR no task matches 'ONE.*x'; 'ps' lists all\n");
	until_text(&c, "one.write");
	assert_null(strstr(c.text, "one.read"));
	say_text(&c, "ps -s cpu first\n"); /* in the labels */
	until_text(&c, "one.read");
	hang_up(&c);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_replies),
		TEST(test_http_ends_the_session),
		TEST(test_a_question_to_what_is_not_up),
		TEST(test_access),
		TEST(test_help_has_a_line_for_each_command),
		TEST(test_list_and_get_agree),
		TEST(test_json_is_one_line_of_json),
		TEST(test_reload_says_all_faults_on_one_line),
		TEST(test_send_goes_through_the_bridge),
		TEST(test_a_line_has_4096_bytes_at_most),
		TEST(test_a_megabyte_without_a_newline_is_refused_once),
		TEST(test_bytes_that_are_no_text_are_refused),
		TEST(test_many_commands_are_answered_in_order),
		TEST(test_a_client_that_does_not_read_has_to_wait),
		TEST(test_one_client_too_many_is_told),
		TEST(test_watch_shows_frames_until_the_next_line),
		TEST(test_watch_as_json),
		TEST(test_events_shows_messages),
		TEST(test_a_client_that_awaits_lines_may_disconnect),
		TEST(test_watch_ends_after_that_many_lines),
		TEST(test_watch_shows_hexadecimal_and_bytes),
		TEST(test_a_watcher_is_told_how_many_frames_it_was_not_shown),
		TEST(test_a_watch_ends_with_what_it_was_not_shown),
		TEST(test_a_watcher_that_takes_nothing_is_closed_in_the_end),
		TEST(test_cancel_ends_a_session),
		TEST(test_waits_are_events),
		TEST(test_where_has_the_last_sixteen_waits),
		TEST(test_warnings_are_shown_beside_their_tasks),
		TEST(test_tasks_are_sorted_and_searched),
		TEST(test_a_closed_port_gives_what_it_owes),
	};
	int failed;

	signal(SIGPIPE, SIG_IGN);
	if (mkdtemp(directory) == NULL)
		return 1;
	snprintf(full_path, sizeof(full_path), "%s/full", directory);
	snprintf(read_path, sizeof(read_path), "%s/read", directory);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	libevent_global_shutdown();
	rmdir(directory);
	return failed;
}
