/*
 * command: the table of control commands, which is used for dispatch and help; the
 * commands are implemented in files of their own.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <event2/buffer.h>

#include "command.h"
#include "call.h"
#include "turns.h"

static int run_help(struct call *);

static const struct command commands[] = {
	{ .name = "help",
	    .usage = "help [COMMAND]",
	    .help = "the commands, one line each",
	    .max = 1,
	    .run = run_help },
	{ .name = "ps",
	    .usage = "ps [-s COLUMN] [PATTERN]",
	    .help = "the tasks: what each awaits, where and for how long",
	    .max = 3,
	    .run = show_ps },
	{ .name = "where",
	    .usage = "where TASK",
	    .help = "one task: its last sixteen waits, and histograms",
	    .min = 1,
	    .max = 1,
	    .run = show_where },
	{ .name = "warnings",
	    .usage = "warnings",
	    .help = "what looks wrong, with a sentence each",
	    .run = show_warnings },
	{ .name = "ended",
	    .usage = "ended",
	    .help = "the last 64 tasks that ended, and why",
	    .run = show_ended },
	{ .name = "stalls",
	    .usage = "stalls",
	    .help = "the last 64 runs that held the loop, and for how long",
	    .run = show_stalls },
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
	    .usage = "send NAME TEXT | -b NAME BASE64",
	    .help = "a frame to an endpoint: C escapes, base64",
	    .full = true,
	    .rest = true,
	    .min = 2,
	    .max = 2,
	    .run = run_send },
	{ .name = "ask",
	    .usage = "ask NAME [match=REGEX] TEXT [TIMEOUT]",
	    .help = "sends a frame and awaits an answer, for 2s",
	    .full = true,
	    .rest = true,
	    .min = 2,
	    .max = 2,
	    .run = ask_start },
	{ .name = "gather",
	    .usage = "gather [TIMEOUT] ask NAME TEXT ; ask ...",
	    .help = "all answers, in the order asked",
	    .full = true,
	    .rest = true,
	    .min = 1,
	    .max = 1,
	    .run = gather_start },
	{ .name = "race",
	    .usage = "race [TIMEOUT] ask NAME TEXT ; ask ...",
	    .help = "the first answer; the rest is cancelled",
	    .full = true,
	    .rest = true,
	    .min = 1,
	    .max = 1,
	    .run = race_start },
	{ .name = "stream",
	    .usage = "stream [TIMEOUT] ask NAME TEXT ; ask ...",
	    .help = "each answer as it arrives",
	    .full = true,
	    .rest = true,
	    .min = 1,
	    .max = 1,
	    .run = stream_queries_start },
	{ .name = "scan",
	    .usage = "scan BUS [FIRST-LAST]",
	    .help = "asks the units of a Modbus bus which of them exist",
	    .full = true,
	    .min = 1,
	    .max = 2,
	    .run = scan_start },
	{ .name = "watch",
	    .usage = "watch [-x] [-b] [-n COUNT] [NAME ...]",
	    .help = "each frame as it passes, until your next line; -b: bytes",
	    .max = CALL_WORDS_MAX - 1,
	    .run = watch_start },
	{ .name = "events",
	    .usage = "events [-n COUNT]",
	    .help = "changes of state, drops, reloads, warnings and clients, as"
		    " they happen",
	    .max = 2,
	    .run = events_start },
	{ .name = "history",
	    .usage = "history NAME",
	    .help = "the most recent bytes of an endpoint",
	    .min = 1,
	    .max = 1,
	    .run = run_history },
	{ .name = "capture",
	    .usage = "capture start FILE ... | stop | status | stream ...",
	    .help = "frames to pcap",
	    .full_for = "start and stop: ",
	    .min = 1,
	    .max = CALL_WORDS_MAX - 1,
	    .run = run_capture },
	{ .name = "spool",
	    .usage = "spool [NAME] | export NAME | drop NAME",
	    .help = "what waits on the disk",
	    .full_for = "drop: ",
	    .max = 2,
	    .run = run_spool },
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
	{ .name = "reset",
	    .usage = "reset NAME [SEQUENCE]",
	    .help = "resets the board at a serial port by DTR and RTS",
	    .full = true,
	    .min = 1,
	    .max = 2,
	    .run = run_reset },
	{ .name = "cancel",
	    .usage = "cancel TASK",
	    .help = "ends a client, a session, a query, a capture or a reopen",
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

/* --- dispatch ------------------------------------------------------------ */

/* What similar commands of other programs are called. */
static const struct {
	const char *word, *command;
} synonyms[] = {
	{ "status", "endpoints" },
	{ "state", "endpoints" },
	{ "stats", "endpoints" },
	{ "ports", "endpoints" },
	{ "devices", "endpoints" },
	{ "showport", "endpoints" },
	{ "clients", "peers" },
	{ "connections", "peers" },
	{ "tasks", "ps" },
	{ "monitor", "watch" },
	{ "tail", "watch" },
	{ "dump", "watch" },
	{ "restart", "reload" },
	{ "exit", "quit" },
	{ "bye", "quit" },
};

static const struct command *
find_command(struct call *call, const char *name)
{
	const char **names;

	for (size_t i = 0; i < NELEM(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	for (size_t i = 0; i < NELEM(synonyms); i++)
		if (strcasecmp(synonyms[i].word, name) == 0) {
			call_fail(call, ENOENT,
			    "unknown command '%.64s'; did you mean '%s'?", name,
			    synonyms[i].command);
			return NULL;
		}
	names = calloc(NELEM(commands) + 1, sizeof(*names));
	for (size_t i = 0; names != NULL && i < NELEM(commands); i++)
		names[i] = commands[i].name;
	call_unknown(call, "command", "help", name, names);
	return NULL;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Cuts the next word off the line; NULL when there is none. */
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

/* The rest of the line without leading blanks. */
static char *
take_rest(char **line)
{
	while (is_blank(**line))
		(*line)++;
	return **line != '\0' ? *line : NULL;
}

/* Takes the arguments of the command. */
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

/* Parses the parts of the line that are common to all commands. */
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
	if (cmd->full && !call->client->full)
		return call_not_allowed(call, cmd->name);
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
	call->client->call = NULL;
	cursor_close(&call->at);
	task_cursor_close(&call->task);
	task_order_free(call->order);
	spool_export_free(call->export);
	output_free(call->out);
	free(call->long_err);
	free(call->bytes);
	free(call);
}

/* Produces the next piece of the body. */
static int
call_piece(struct call *call)
{
	int r;

	call->rows = 0;
	call->until = now_ns() + TURN_NS;
	call->client->busy = true;
	r = call->command->run(call);
	call->client->busy = false;
	call->begun = true;
	return r;
}

/*
 * Adds the result of a piece to the reply: more of the body, or its end with the last
 * line.
 */
static void
call_reply(struct call *call, int r)
{
	struct client *c = call->client;
	struct evbuffer *reply = c->reply;

	if (r == CALL_WAIT)
		return;
	if (r == CALL_MORE && output_flush(call->out, reply) == 0)
		return;
	if (r == CALL_MORE || (r == 0 && output_finish(call->out, reply) < 0)) {
		/* A part of the reply may have been sent already. */
		r = call_fail(call, ENOMEM, "out of memory");
		c->closing = true;
	}
	if (r < 0)
		client_error(c,
		    call->long_err != NULL ? call->long_err : call->err.text);
	else if (r == 0)
		evbuffer_add(reply, "OK\n", 3);
	call_free(call);
}

void
command_run(struct client *c, char *line)
{
	struct call *call;
	char *rest = line;
	size_t len;
	int r;

	if (take_rest(&rest) == NULL)
		return;
	len = strlen(rest);
	if ((call = malloc(sizeof(*call) + len + 1)) == NULL) {
		client_error(c, "out of memory");
		return;
	}
	/* The rest of the structure is large, and need not be cleared. */
	memset(call, 0, offsetof(struct call, argv));
	error_clear(&call->err);
	memcpy(call->line, rest, len + 1);
	call->client = c;
	call->bridge = c->bridge;
	c->call = call;
	if ((r = call_start(call, call->line)) == 0)
		r = call_piece(call);
	call_reply(call, r);
}

bool
command_busy(const struct client *c)
{
	return (c->call != NULL && !client_waits(c)) || c->answered ||
	    (c->scan != NULL && !command_scan_awaits(c)) ||
	    (c->watching && command_watch_waits(c));
}

bool
command_step(struct client *c)
{
	if (client_waits(c) || command_scan_awaits(c))
		return false;
	if (c->answered)
		command_answer(c);
	else if (c->scan != NULL)
		command_scan(c);
	else if (c->call != NULL)
		call_reply(c->call, call_piece(c->call));
	else
		return c->watching && command_watch(c);
	return true;
}

bool
command_continues(const struct client *c)
{
	return (c->watching && !c->watch.limited) || c->scan != NULL;
}

bool
command_blocks(const struct client *c)
{
	return c->watching && c->watch.limited;
}

void
command_end(struct client *c)
{
	if (c->scan != NULL)
		command_unscan(c);
	else
		command_unwatch(c);
}

void
command_last(struct client *c)
{
	if (c->call != NULL && c->call->ready)
		command_step(c);
}

void
command_forget(struct client *c)
{
	if (c->reloading)
		LIST_REMOVE(&c->reload, entry);
	if (c->stopping)
		LIST_REMOVE(&c->capture, entry);
	c->reloading = c->stopping = false;
	call_free(c->call);
	command_unask(c);
	client_untap(c);
	if (c->frames != NULL)
		evbuffer_free(c->frames);
	c->frames = NULL;
	free(c->scan);
	c->scan = NULL;
	c->watching = false;
}

const char *
command_usage(size_t index, const char **help)
{
	if (index >= NELEM(commands))
		return NULL;
	*help = commands[index].help;
	return commands[index].usage;
}

/* --- help ---------------------------------------------------------------- */

static void
help_line(struct call *call, const struct command *cmd)
{
	bool full = cmd->full || cmd->full_for != NULL;

	if (call->json) {
		output_cell(call->out, "%s", cmd->name);
		output_cell(call->out, "%s", cmd->usage);
		output_cell(call->out, "%s", cmd->full ? "full" : "read");
		output_cell(call->out, "%s", cmd->help);
		return;
	}
	output_line(call->out, "%-24s %s%s%s%s", cmd->usage, cmd->help,
	    full ? " [" : "", cmd->full_for != NULL ? cmd->full_for : "",
	    full ? "access = full]" : "");
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
