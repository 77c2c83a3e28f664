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

/* Takes -a; returns the index of the next argument. */
static int
take_all(struct call *call, bool *ret_all)
{
	*ret_all = call->argc > 2 && strcmp(call->argv[2], "-a") == 0;
	return *ret_all ? 3 : 2;
}

/* Takes the arguments, without the names; *ret_names: the first of these. */
static int
take_options(struct call *call, struct capture_options *o, int *ret_names)
{
	int at = take_all(call, &o->all), r = 0;

	if (at >= call->argc)
		return call_fail(call, EINVAL,
		    "an argument is missing: capture start [-a] FILE "
		    "[size=SIZE] [files=COUNT] [NAME ...]");
	o->file = call->argv[at++];
	if (call->client->remote && strchr(o->file, '/') != NULL)
		return call_fail(call, EACCES,
		    "over the network a capture goes to state_dir: a name "
		    "without '/', not '%.64s'",
		    o->file);
	while (
	    at < call->argc && (r = take_limit(call, call->argv[at], o)) == 0)
		at++;
	*ret_names = at;
	if (r < 0)
		return r;
	if (o->files > 0 && o->size == 0)
		return call_fail(call, EINVAL,
		    "files=%u needs size=SIZE, the size of each", o->files);
	return 0;
}

static int
capture_begin(struct call *call)
{
	struct capture_options o = { 0 };
	int names = 0, r;
	char *path;

	if ((r = take_options(call, &o, &names)) < 0)
		return r;
	if (call->argc > names && (o.names = call_names(call, names)) == NULL)
		return -EINVAL;
	if ((path = whole_path(call, o.file)) == NULL) {
		r = call_fail(call, ENOMEM, "out of memory");
	} else {
		o.file = path;
		r = capture_start(call->bridge, &o, &call->err);
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
	bool all;
	int first = take_all(call, &all);

	return stream_start(call, first, all);
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
