/*
 * fuzz_command: what a client may send to a control port.
 *
 * A session with access = full on a bridge of an echo and a pty.  The input is sent
 * in two pieces, and the client ends.  Whatever it was, the session ends too; the
 * reply is lines of text, and its last line is "OK" or "ERR ...".  A watch that waits for
 * a number of lines is cancelled.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "command.h"
#include "session.h"

#define REPLY_MAX (16 * 1024 * 1024)
#define TURNS_MAX 1000000

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct event_base *base;
static struct control *control;
static char *reply;
static size_t reply_len;
static bool cancelled;

static void
insist(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "fuzz_command: %s\n", what);
	abort();
}

static int
no_reload(struct reload_waiter *w, char **faults)
{
	(void)w;
	*faults = strdup("a:1: one fault\na:2: another");
	return -EINVAL;
}

static const struct daemon_hooks hooks = { .reload = no_reload };

static struct bridge *
start_bridge(const char *directory)
{
	struct faults faults = { 0 };
	struct config *c = NULL;
	struct bridge *b = NULL;
	struct error err;
	char text[256];

	snprintf(text, sizeof(text),
	    "[echo one]\nframing = line\n"
	    "[pty two]\nframing = cobs\nlink = %s/two\nqueue = 1K\n",
	    directory);
	insist(config_parse("fuzz", text, strlen(text), &c, &faults) == 0 &&
		bridge_new(base, &b) == 0 && bridge_apply(b, c, &err) == 0,
	    "no bridge");
	config_free(c);
	return b;
}

static void
start(void)
{
	struct error err;
	char directory[] = "/tmp/fuzz_command.XXXXXX", path[64], two[64];
	struct control_conf conf = {
		.type = "control",
		.name = (char *)(uintptr_t) "fuzz",
		.listen = path,
		.access = ACCESS_FULL,
		.max_clients = 1,
	};

	signal(SIGPIPE, SIG_IGN);
	log_set_level(LOG_ERR);
	insist(mkdtemp(directory) != NULL, "no temporary directory");
	snprintf(path, sizeof(path), "%s/socket", directory);
	snprintf(two, sizeof(two), "%s/two", directory);
	reply = malloc(REPLY_MAX);
	base = event_base_new();
	insist(base != NULL && reply != NULL &&
		control_new(start_bridge(directory), &conf, &session_ops,
		    &hooks, &control, &err) == 0,
	    "no control port");
	unlink(path);
	unlink(two);
	rmdir(directory);
}

static void
turn(int fd)
{
	struct session *s;
	ssize_t n;

	event_base_loop(base, EVLOOP_NONBLOCK);
	s = TAILQ_FIRST(&control->sessions);
	if (s != NULL && !s->client.closed && command_blocks(&s->client)) {
		s->read.cancel(&s->read);
		cancelled = true;
	}
	n = recv(fd, reply + reply_len, REPLY_MAX - reply_len, MSG_DONTWAIT);
	if (n > 0)
		reply_len += (size_t)n;
	insist(reply_len < REPLY_MAX, "an endless reply");
}

static void
say(int fd, const uint8_t *data, size_t len)
{
	ssize_t n;

	for (unsigned i = 0; len > 0; i++) {
		insist(i < TURNS_MAX, "it does not read");
		n = send(fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			return;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
		turn(fd);
	}
}

static void
check_reply(void)
{
	size_t start_of_last = reply_len;

	if (reply_len == 0)
		return;
	for (size_t i = 0; i < reply_len; i++) {
		uint8_t c = (uint8_t)reply[i];

		insist((c >= ' ' && c != 0x7f) || c == '\n',
		    "a control character in a reply");
	}
	insist(reply[reply_len - 1] == '\n', "half a line");
	do
		start_of_last--;
	while (start_of_last > 0 && reply[start_of_last - 1] != '\n');
	reply[reply_len - 1] = '\0';
	insist(strcmp(reply + start_of_last, "OK") == 0 ||
		strncmp(reply + start_of_last, "ERR ", 4) == 0,
	    "no last line");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd[2];

	/* A capture would write files, wherever it is told to. */
	if (memmem(data, size, "start", 5) != NULL)
		return 0;
	if (control == NULL)
		start();
	insist(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) == 0,
	    "no sockets");
	fcntl(fd[1], F_SETFL, O_NONBLOCK);
	insist(
	    session_new(control, fd[1], NULL, "a fuzzer") == 0, "no session");
	reply_len = 0;
	cancelled = false;
	say(fd[0], data, size / 2);
	say(fd[0], data + size / 2, size - size / 2);
	shutdown(fd[0], SHUT_WR);
	for (unsigned i = 0; control_sessions(control) > 0; i++) {
		insist(i < TURNS_MAX, "the session does not end");
		turn(fd[0]);
	}
	while (recv(fd[0], reply + reply_len, 1, MSG_DONTWAIT) == 1)
		reply_len++;
	if (!cancelled)
		check_reply();
	close(fd[0]);
	log_set_level(LOG_ERR);
	return 0;
}
