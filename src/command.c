/*
 * command: the table of control commands.  It drives dispatch and help; the
 * commands that show, list and watch are in files of their own.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "command.h"
#include "command_call.h"
#include "control_turns.h"

#define BREAK_DEFAULT (250 * NSEC_PER_MSEC)
#define BREAK_MAX (10 * NSEC_PER_SEC)

static int run_help(struct call *);
static int run_send(struct call *);
static int run_pause(struct call *);
static int run_resume(struct call *);
static int run_reopen(struct call *);
static int run_break(struct call *);
static int run_cancel(struct call *);
static int run_reload(struct call *);
static int run_quit(struct call *);

static const struct command commands[] = {
	{ .name = "help",
	    .usage = "help [COMMAND]",
	    .help = "the commands, one line each",
	    .max = 1,
	    .run = run_help },
	{ .name = "ps",
	    .usage = "ps",
	    .help = "the tasks: what each awaits, where and for how long",
	    .run = show_ps },
	{ .name = "where",
	    .usage = "where TASK",
	    .help = "one task and its last sixteen waits",
	    .min = 1,
	    .max = 1,
	    .run = show_where },
	{ .name = "endpoints",
	    .usage = "endpoints",
	    .help = "the endpoints, their state and what passed",
	    .run = show_endpoints },
	{ .name = "routes",
	    .usage = "routes",
	    .help = "who forwards to whom, how much and how fast",
	    .run = show_routes },
	{ .name = "peers",
	    .usage = "peers",
	    .help = "the connections of endpoints that have several",
	    .run = show_peers },
	{ .name = "list",
	    .usage = "list [PREFIX]",
	    .help = "attributes and their values, by path",
	    .max = 1,
	    .run = attribute_list },
	{ .name = "get",
	    .usage = "get PATH",
	    .help = "the value of one attribute, alone",
	    .min = 1,
	    .max = 1,
	    .run = attribute_get },
	{ .name = "set",
	    .usage = "set PATH VALUE",
	    .help = "changes an attribute, as ar1/baud or log_level",
	    .full = true,
	    .rest = true,
	    .min = 2,
	    .max = 2,
	    .run = attribute_set },
	{ .name = "send",
	    .usage = "send NAME TEXT",
	    .help = "one frame to an endpoint, with C escapes",
	    .full = true,
	    .rest = true,
	    .min = 2,
	    .max = 2,
	    .run = run_send },
	{ .name = "ask",
	    .usage = "ask NAME TEXT [TIMEOUT]",
	    .help = "sends a frame and awaits the next one back, for 2s",
	    .full = true,
	    .rest = true,
	    .min = 2,
	    .max = 2,
	    .run = ask_start },
	{ .name = "watch",
	    .usage = "watch [NAME ...]",
	    .help = "each frame as it passes, until your next line",
	    .max = CALL_WORDS_MAX - 1,
	    .run = watch_start },
	{ .name = "capture",
	    .usage = "capture start FILE [NAME ...] | stop | status",
	    .help = "writes each frame to a file, for Wireshark",
	    .min = 1,
	    .max = CALL_WORDS_MAX - 1,
	    .run = run_capture },
	{ .name = "pause",
	    .usage = "pause NAME",
	    .help = "neither reads nor writes an endpoint; its frames wait",
	    .full = true,
	    .min = 1,
	    .max = 1,
	    .run = run_pause },
	{ .name = "resume",
	    .usage = "resume NAME",
	    .help = "ends a pause",
	    .full = true,
	    .min = 1,
	    .max = 1,
	    .run = run_resume },
	{ .name = "reopen",
	    .usage = "reopen NAME",
	    .help = "closes an endpoint and opens it again",
	    .full = true,
	    .min = 1,
	    .max = 1,
	    .run = run_reopen },
	{ .name = "break",
	    .usage = "break NAME [TIME]",
	    .help = "sends a break, of 250ms by default",
	    .full = true,
	    .min = 1,
	    .max = 2,
	    .run = run_break },
	{ .name = "cancel",
	    .usage = "cancel TASK",
	    .help = "ends a client, a session, a capture or a pending reopen",
	    .full = true,
	    .min = 1,
	    .max = 1,
	    .run = run_cancel },
	{ .name = "reload",
	    .usage = "reload",
	    .help = "reads the configuration again",
	    .full = true,
	    .run = run_reload },
	{ .name = "version",
	    .usage = "version",
	    .help = "what runs here, and since when",
	    .run = show_version },
	{ .name = "quit",
	    .usage = "quit",
	    .help = "ends this session",
	    .run = run_quit },
	{ .name = "json",
	    .usage = "json COMMAND",
	    .help = "the reply to another command, as one line of JSON" },
};

/* --- for the functions of the table -------------------------------------- */

int
call_fail(struct call *call, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(call->err, sizeof(call->err), fmt, ap);
	va_end(ap);
	return -error;
}

/*
 * Unknown: says so, with the nearest of the words or else the command that lists them, and
 * frees these.
 */
static int
fail_unknown(struct call *call, const char *what, const char *list,
    const char *word, const char **words)
{
	const char *near = words != NULL ? nearest(word, words) : NULL;

	call_fail(call, ENOENT, "unknown %s '%.64s'", what, word);
	if (near != NULL)
		append(
		    call->err, sizeof(call->err), "; did you mean '%s'?", near);
	else
		append(call->err, sizeof(call->err), "; '%s' lists them", list);
	free(words);
	return -ENOENT;
}

struct node *
call_node(struct call *call, const char *name)
{
	const struct bridge *b = call->bridge;
	struct node *node = bridge_find(b, name);
	const char **names;

	if (node != NULL)
		return node;
	names = calloc(b->nnodes + 1, sizeof(*names));
	for (unsigned i = 0; names != NULL && i < b->nnodes; i++)
		names[i] = b->node[i]->endpoint->conf->name;
	fail_unknown(call, "endpoint", "endpoints", name, names);
	return NULL;
}

struct task *
call_task(struct call *call, const char *name)
{
	struct task *task = task_find(name);
	const char **names;
	size_t n = 0;

	if (task != NULL)
		return task;
	TAILQ_FOREACH(task, task_all(), entry)
		n++;
	names = calloc(n + 1, sizeof(*names));
	n = 0;
	if (names != NULL)
		TAILQ_FOREACH(task, task_all(), entry)
			names[n++] = task->name;
	fail_unknown(call, "task", "ps", name, names);
	return NULL;
}

char **
call_names(struct call *call, int first)
{
	char **names = calloc((size_t)(call->argc - first) + 1, sizeof(*names));

	for (int i = first; names != NULL && i < call->argc; i++) {
		if (call_node(call, call->argv[i]) == NULL) {
			tap_free_names(names);
			return NULL;
		}
		names[i - first] = strdup(call->argv[i]);
		if (names[i - first] == NULL) {
			tap_free_names(names);
			names = NULL;
		}
	}
	if (names == NULL)
		call_fail(call, ENOMEM, "out of memory");
	return names;
}

bool
call_pause(struct call *call)
{
	return ++call->rows >= CALL_ROWS || now_ns() >= call->until;
}

/* From the first endpoint, route and task on. */
static void
call_rewind(struct call *call)
{
	cursor_open(&call->at, call->bridge);
	task_cursor_open(&call->task);
}

int
call_table(
    struct call *call, const char *const *headings, bool (*row)(struct call *))
{
	if (!call->begun) {
		output_table(call->out, headings);
		call_rewind(call);
	}
	while (row(call))
		if (call_pause(call))
			return CALL_MORE;
	if (!output_again(call->out))
		return 0;
	call_rewind(call);
	return CALL_MORE;
}

/* --- dispatch ------------------------------------------------------------ */

static const struct command *
find_command(struct call *call, const char *name)
{
	const char **names;

	for (size_t i = 0; i < NELEM(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	names = calloc(NELEM(commands) + 1, sizeof(*names));
	for (size_t i = 0; names != NULL && i < NELEM(commands); i++)
		names[i] = commands[i].name;
	fail_unknown(call, "command", "help", name, names);
	return NULL;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Cuts the next word off the line, NULL when there is none. */
static char *
take_word(char **line)
{
	char *word;

	while (is_blank(**line))
		(*line)++;
	if (**line == '\0')
		return NULL;
	word = *line;
	while (**line != '\0' && !is_blank(**line))
		(*line)++;
	if (**line != '\0')
		*(*line)++ = '\0';
	return word;
}

/* All that is left of the line but blanks before it. */
static char *
take_rest(char **line)
{
	while (is_blank(**line))
		(*line)++;
	return **line != '\0' ? *line : NULL;
}

/* Takes the words that follow the command's name. */
static int
take_words(struct call *call, const struct command *cmd, char *line)
{
	char *word;

	for (;;) {
		if (cmd->rest && call->argc == cmd->max)
			word = take_rest(&line);
		else
			word = take_word(&line);
		if (word == NULL)
			break;
		if (cmd->max == 0)
			return call_fail(
			    call, EINVAL, "%s takes no argument", cmd->name);
		if (call->argc > cmd->max)
			return call_fail(call, EINVAL,
			    "too many arguments, from '%.64s' on: %s", word,
			    cmd->usage);
		call->argv[call->argc++] = word;
		if (cmd->rest && call->argc > cmd->max)
			break;
	}
	if (call->argc <= cmd->min)
		return call_fail(
		    call, EINVAL, "an argument is missing: %s", cmd->usage);
	return 0;
}

/* Understands the line, as far as all commands have it in common. */
static int
call_start(struct call *call, char *line)
{
	const struct command *cmd;
	char *word = take_word(&line);
	int r;

	if (strcmp(word, "json") == 0) {
		call->json = true;
		if ((word = take_word(&line)) == NULL)
			return call_fail(call, EINVAL,
			    "an argument is missing: json COMMAND");
	}
	if ((cmd = find_command(call, word)) == NULL)
		return -ENOENT;
	if (cmd->run == NULL)
		return call_fail(call, EINVAL, "'%s' once is enough: %s",
		    cmd->name, cmd->usage);
	if (cmd->full && !call->session->full)
		return call_fail(call, EACCES,
		    "this port has access = read; %s needs access = full",
		    cmd->name);
	call->command = cmd;
	call->argv[call->argc++] = word;
	if ((r = take_words(call, cmd, line)) < 0)
		return r;
	call->out = output_new(call->json ? OUTPUT_JSON : OUTPUT_TEXT);
	if (call->out == NULL)
		return call_fail(call, ENOMEM, "out of memory");
	return 0;
}

static void
call_free(struct call *call)
{
	if (call == NULL)
		return;
	call->session->call = NULL;
	cursor_close(&call->at);
	task_cursor_close(&call->task);
	output_free(call->out);
	free(call);
}

/* The next piece of the body. */
static int
call_piece(struct call *call)
{
	int r;

	call->rows = 0;
	call->until = now_ns() + TURN_NS;
	call->session->busy = true;
	r = call->command->run(call);
	call->session->busy = false;
	call->begun = true;
	return r;
}

/* What a piece has made of the reply: more of it, or its end with the last line. */
static void
call_reply(struct call *call, int r)
{
	struct session *s = call->session;
	struct evbuffer *reply = s->reply;

	if (r == CALL_MORE && output_flush(call->out, reply) == 0)
		return;
	if (r == CALL_MORE || (r == 0 && output_finish(call->out, reply) < 0)) {
		/* Half of the reply may be out already. */
		r = call_fail(call, ENOMEM, "out of memory");
		s->closing = true;
	}
	if (r < 0)
		command_error(s, call->err);
	else if (r == 0)
		evbuffer_add(reply, "OK\n", 3);
	call_free(call);
}

void
command_run(struct session *s, char *line)
{
	struct call *call;
	char *rest = line;
	size_t len;
	int r;

	if (take_rest(&rest) == NULL)
		return;
	len = strlen(rest);
	if ((call = malloc(sizeof(*call) + len + 1)) == NULL) {
		command_error(s, "out of memory");
		return;
	}
	/* Not all of it: it is large. */
	memset(call, 0, offsetof(struct call, argv));
	call->err[0] = '\0';
	memcpy(call->line, rest, len + 1);
	call->session = s;
	call->bridge = control_bridge(s->control);
	s->call = call;
	if ((r = call_start(call, call->line)) == 0)
		r = call_piece(call);
	call_reply(call, r);
}

void
command_go_on(struct session *s)
{
	call_reply(s->call, call_piece(s->call));
}

void
command_forget(struct session *s)
{
	call_free(s->call);
	if (s->tapped)
		bridge_untap(control_bridge(s->control), &s->tap);
	s->tapped = s->watching = s->asking = s->answered = false;
}

void
command_error(struct session *s, const char *message)
{
	char line[sizeof(((struct call *)NULL)->err)];

	printable(message, line, sizeof(line));
	evbuffer_add_printf(s->reply, "ERR %s\n", line);
}

/* --- help ---------------------------------------------------------------- */

static void
help_line(struct call *call, const struct command *cmd)
{
	if (call->json) {
		output_cell(call->out, "%s", cmd->name);
		output_cell(call->out, "%s", cmd->usage);
		output_cell(call->out, "%s", cmd->full ? "full" : "read");
		output_cell(call->out, "%s", cmd->help);
		return;
	}
	output_line(call->out, "%-24s %s%s", cmd->usage, cmd->help,
	    cmd->full ? " [access = full]" : "");
}

static int
run_help(struct call *call)
{
	static const char *const headings[] = {
		"COMMAND",
		"USAGE",
		"ACCESS",
		"HELP",
		NULL,
	};
	const struct command *cmd = NULL;

	if (call->argc > 1 && (cmd = find_command(call, call->argv[1])) == NULL)
		return -ENOENT;
	if (call->json)
		output_table(call->out, headings);
	if (cmd != NULL) {
		help_line(call, cmd);
		return 0;
	}
	for (size_t i = 0; i < NELEM(commands); i++)
		help_line(call, &commands[i]);
	return 0;
}

/* --- what changes something ---------------------------------------------- */

int
call_send(
    struct call *call, struct node *node, const struct tap *tap, char *text)
{
	const struct endpoint_conf *conf = node->endpoint->conf;
	uint8_t frame[CONTROL_LINE_MAX];
	long len;
	int r;

	len = unescape(text, frame, sizeof(frame));
	if (len < 0)
		return call_fail(call, EINVAL,
		    "a bad escape in the text; \\n \\r \\t \\s \\\\ \\xHH and "
		    "\\OOO are right");
	switch (r = node_send(node, tap, frame, (size_t)len)) {
	case 0:
		return 0;
	case -EINVAL:
		return call_fail(call, EINVAL,
		    "the framing of %s, %s, cannot express this frame",
		    conf->name, conf->framing.rule->name);
	case -EMSGSIZE:
		return call_fail(call, EMSGSIZE,
		    "%ld bytes are more than max_frame of %s, %llu", len,
		    conf->name, (unsigned long long)conf->framing.max_frame);
	case -ENOBUFS:
		return call_fail(
		    call, ENOBUFS, "the queue of %s is full", conf->name);
	case -ENOTCONN:
		return call_fail(
		    call, ENOTCONN, "nobody is connected to %s", conf->name);
	case -ENETDOWN:
		return call_fail(call, ENETDOWN,
		    "%s is %s: requests do not wait for a bus that is not up",
		    conf->name, attribute_state(node));
	default:
		return call_fail(call, -r, "%s: %s", conf->name, strerror(-r));
	}
}

static int
run_send(struct call *call)
{
	struct node *node = call_node(call, call->argv[1]);

	return node != NULL ? call_send(call, node, NULL, call->argv[2])
			    : -ENOENT;
}

static int
set_paused(struct call *call, bool paused)
{
	struct node *node = call_node(call, call->argv[1]);

	if (node == NULL)
		return -ENOENT;
	node_pause(node, paused);
	return 0;
}

static int
run_pause(struct call *call)
{
	return set_paused(call, true);
}

static int
run_resume(struct call *call)
{
	return set_paused(call, false);
}

static int
run_reopen(struct call *call)
{
	struct node *node = call_node(call, call->argv[1]);

	if (node == NULL)
		return -ENOENT;
	endpoint_reopen(node->endpoint);
	return 0;
}

static int
run_break(struct call *call)
{
	struct node *node = call_node(call, call->argv[1]);
	struct endpoint *ep;
	uint64_t ns = BREAK_DEFAULT;
	int r;

	if (node == NULL)
		return -ENOENT;
	ep = node->endpoint;
	if (call->argc > 2 &&
	    (parse_time(call->argv[2], &ns) < 0 || ns == 0 || ns > BREAK_MAX))
		return call_fail(call, EINVAL,
		    "'%.64s' is not a length for a break; up to 10s, as in "
		    "250ms",
		    call->argv[2]);
	if (ep->conf->ops->send_break == NULL)
		return call_fail(call, EOPNOTSUPP,
		    "%s cannot send a break: its type is %s, and not serial",
		    ep->conf->name, ep->conf->ops->type);
	if (ep->state != ENDPOINT_UP)
		return call_fail(call, ENOTCONN, "%s is %s: no break was sent",
		    ep->conf->name, endpoint_state_name(ep->state));
	if ((r = endpoint_break(ep, ns)) < 0)
		return call_fail(call, -r, "no break was sent to %s: %s",
		    ep->conf->name, strerror(-r));
	return 0;
}

static int
run_cancel(struct call *call)
{
	struct task *task = call_task(call, call->argv[1]);

	if (task == NULL)
		return -ENOENT;
	if (task->cancel == NULL)
		return call_fail(call, EPERM,
		    "'%s' cannot be ended; only clients, control sessions, a "
		    "capture and pending reopens can",
		    task->name);
	task->cancel(task);
	return 0;
}

static int
run_quit(struct call *call)
{
	call->session->closing = true;
	return 0;
}

static int
run_reload(struct call *call)
{
	const struct control_hooks *hooks =
	    control_get_hooks(call->session->control);
	char *faults = NULL, *line, *next = NULL;
	int r;

	if (hooks == NULL || hooks->reload == NULL)
		return call_fail(call, EOPNOTSUPP, "nothing to reload here");
	if ((r = hooks->reload(&faults)) == 0) {
		free(faults);
		return 0;
	}
	call_fail(call, -r, "nothing was changed: ");
	if (faults == NULL)
		append(call->err, sizeof(call->err), "%s", strerror(-r));
	for (line = faults != NULL ? strtok_r(faults, "\n", &next) : NULL;
	     line != NULL; line = strtok_r(NULL, "\n", &next))
		append(call->err, sizeof(call->err), "%s%s", line,
		    *next != '\0' ? "; " : "");
	free(faults);
	return r;
}
