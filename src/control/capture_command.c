/*
 * capture_command: capture start, stop and status.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "call.h"

static int
show_capture(struct call *call)
{
	struct capture_facts facts;
	bool was;

	capture_get(&facts);
	was = facts.file != NULL;
	output_pair(call->out, "capture", "%s",
	    facts.running ? "running"
		: was	  ? "ended"
			  : "none");
	if (!was)
		return 0;
	if (facts.why != NULL)
		output_pair(call->out, "reason", "%s", facts.why);
	output_pair(call->out, "file", "%s", facts.file);
	output_pair_number(call->out, "frames", facts.frames);
	output_pair_number(call->out, "bytes", facts.bytes);
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

static int
capture_begin(struct call *call)
{
	char **names = NULL, *path;
	int r;

	if (call->argc < 3)
		return call_fail(call, EINVAL,
		    "an argument is missing: capture start FILE [NAME ...]");
	if (call->argc > 3 && (names = call_names(call, 3)) == NULL)
		return -EINVAL;
	if ((path = whole_path(call, call->argv[2])) == NULL)
		r = call_fail(call, ENOMEM, "out of memory");
	else
		r = capture_start(call->bridge, path, names, &call->err);
	if (r < 0)
		tap_free_names(names);
	else
		output_pair(call->out, "file", "%s", path);
	free(path);
	return r;
}

static int
capture_end(struct call *call)
{
	struct capture_facts facts;
	int r;

	capture_get(&facts);
	if (!facts.running)
		return call_fail(call, ESRCH, "no capture is on");
	if ((r = capture_stop("stopped on the control port")) < 0)
		return call_fail(call, -r, "'%s' could not be written: %s",
		    facts.file, strerror(-r));
	return show_capture(call);
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
	    "'%.64s' is not what a capture can do: start, stop or status",
	    call->argv[1]);
}
