/*
 * capture_command: capture start, stop, status and stream.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "call.h"
#include "watch.h"
#include "writer.h"

static int
show_capture(struct call *call)
{
	struct capture_facts facts;
	bool was;

	capture_get(&facts);
	was = facts.file != NULL;
	output_pair(call->out, "capture", "%s",
	    facts.ending	? "ending"
		: facts.running ? "running"
		: was		? "ended"
				: "none");
	if (!was)
		return 0;
	if (facts.why != NULL)
		output_pair(call->out, "reason", "%s", facts.why);
	output_pair(call->out, "file", "%s", facts.file);
	output_pair_number(call->out, "frames", facts.frames);
	output_pair_number(call->out, "bytes", facts.bytes);
	output_pair_number(call->out, "skipped", facts.skipped);
	output_pair_time(call->out, "time", facts.ns);
	return 0;
}

/* The absolute path, to be freed; NULL: out of memory. */
static char *
whole_path(struct call *call, const char *file)
{
	const struct daemon_hooks *hooks = call->client->hooks;
	const char *directory = ".";
	char *path;

	if (*file == '/')
		return strdup(file);
	if (hooks != NULL && hooks->daemon != NULL)
		directory = hooks->daemon()->state_dir;
	if (asprintf(&path, "%s/%s", directory, file) < 0)
		return NULL;
	return path;
}

/* Takes size=SIZE or files=COUNT; 1: it is neither. */
static int
take_limit(struct call *call, const char *word, struct capture_options *o)
{
	uint64_t n;

	if (strncmp(word, "size=", 5) == 0) {
		if (parse_size(word + 5, &o->size) == 0 && o->size >= 4096)
			return 0;
		return call_fail(call, EINVAL,
		    "'%.64s' is not a size of a file; at least 4K, as in "
		    "size=10M",
		    word + 5);
	}
	if (strncmp(word, "files=", 6) == 0) {
		if (parse_number(word + 6, 1, WRITER_FILES_MAX, &n) < 0)
			return call_fail(call, EINVAL,
			    "'%.64s' is not a number of files; 1 to %u, as in "
			    "files=10",
			    word + 6, WRITER_FILES_MAX);
		o->files = (unsigned)n;
		return 0;
	}
	return 1;
}

#define START_USAGE \
	"capture start [-a] FILE [size=SIZE] [files=COUNT] [NAME ...]"
#define STREAM_USAGE "capture stream [-a] [NAME ...]"

/*
 * Takes the options, and, if o->file is to be found (limits), the limits and the file, out of
 * the arguments after the second one, which may be in any order.
 */
static int
take_words(struct call *call, struct capture_options *o, bool limits)
{
	int names = 2, r = 0;

	for (int at = 2; at < call->argc && r >= 0; at++) {
		char *word = call->argv[at];

		if (strcmp(word, "-a") == 0)
			o->all = true;
		else if (call_is_option(word))
			r = call_fail(call, EINVAL,
			    "unknown option '%.64s': %s", word,
			    limits ? START_USAGE : STREAM_USAGE);
		else if (limits && (r = take_limit(call, word, o)) <= 0)
			continue;
		else if (limits && o->file == NULL)
			o->file = word;
		else
			call->argv[names++] = word;
	}
	call->argc = names;
	return MIN(r, 0);
}

/* Takes the arguments, without the names. */
static int
take_options(struct call *call, struct capture_options *o)
{
	int r = take_words(call, o, true);

	if (r < 0)
		return r;
	if (o->file == NULL)
		return call_fail(
		    call, EINVAL, "an argument is missing: " START_USAGE);
	if (call->client->remote && strchr(o->file, '/') != NULL)
		return call_fail(call, EACCES,
		    "over the network a capture goes to state_dir: a name "
		    "without '/', not '%.64s'",
		    o->file);
	if (o->files > 0 && o->size == 0)
		return call_fail(call, EINVAL,
		    "files=%u needs size=SIZE, the size of each", o->files);
	return 0;
}

/* The user has not named the directory. */
static void
say_state_dir(struct call *call, const char *path, int r)
{
	if (r == -ENOENT)
		error_append(&call->err, "; create the directory %.*s, or set",
		    (int)(strrchr(path, '/') - path), path);
	else if (r == -EACCES || r == -EROFS)
		error_append(&call->err, "; set");
	else
		return;
	error_append(&call->err,
	    " state_dir in [daemon] to a directory that the daemon may"
	    " write to");
}

static int
capture_begin(struct call *call)
{
	struct capture_options o = { 0 };
	bool named;
	char *path;
	int r;

	if ((r = take_options(call, &o)) < 0)
		return r;
	if (call->argc > 2 && (o.names = call_names(call, 2)) == NULL)
		return -EINVAL;
	if ((path = whole_path(call, o.file)) == NULL) {
		r = call_fail(call, ENOMEM, "out of memory");
	} else {
		named = *o.file == '/';
		o.file = path;
		r = capture_start(call->bridge, &o, &call->err);
		if (named)
			error_append_directory_hint(&call->err, path, r);
		else
			say_state_dir(call, path, r);
	}
	if (r < 0)
		tap_free_names(o.names);
	else
		output_pair(call->out, "file", "%s", path);
	free(path);
	return r;
}

static void
on_ended(struct capture_waiter *w, int r)
{
	struct client *c = CONTAINER_OF(w, struct client, capture);

	c->stopping = false;
	c->call->ready = true;
	c->call->result = r;
	c->ops->wake(c);
}

static int
capture_end(struct call *call)
{
	struct capture_facts facts;
	struct client *c = call->client;

	capture_get(&facts);
	if (call->ready && call->result < 0)
		return call_fail(call, -call->result,
		    "'%s' could not be written: %s", facts.file,
		    strerror(-call->result));
	if (call->ready)
		return show_capture(call);
	c->capture.done = on_ended;
	if (!capture_stop("stopped on the control port", &c->capture))
		return call_fail(call, ESRCH, "no capture is on");
	c->stopping = true;
	return CALL_WAIT;
}

static int
capture_stream(struct call *call)
{
	struct capture_options o = { 0 };
	int r = take_words(call, &o, false);

	return r < 0 ? r : stream_start(call, 2, o.all);
}

int
run_capture(struct call *call)
{
	static const struct {
		const char *name;
		bool full, words;
		int (*run)(struct call *);
	} actions[] = {
		{ "start", true, true, capture_begin },
		{ "stop", true, false, capture_end },
		{ "status", false, false, show_capture },
		{ "stream", false, true, capture_stream },
	};
	char name[32];

	for (size_t i = 0; i < NELEM(actions); i++) {
		if (strcmp(call->argv[1], actions[i].name) != 0)
			continue;
		if (actions[i].full && !call->client->full) {
			snprintf(
			    name, sizeof(name), "capture %s", actions[i].name);
			return call_not_allowed(call, name);
		}
		if (!actions[i].words && call->argc > 2)
			return call_fail(call, EINVAL,
			    "too many arguments, from '%.64s' on: capture %s",
			    call->argv[2], actions[i].name);
		return actions[i].run(call);
	}
	return call_fail(call, EINVAL,
	    "'%.64s' is not what a capture can do: start, stop, status or "
	    "stream",
	    call->argv[1]);
}
