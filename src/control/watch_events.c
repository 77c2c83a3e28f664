/*
 * watch_events: the command events, which shows what happens: messages of the log that
 * report a change or a problem, and losses.
 *
 * It is a watch with another source: messages are collected by a listener of the log, losses
 * by a tap, which does not see frames.
 */
#include <errno.h>
#include <string.h>

#include "command.h"
#include "log.h"
#include "watch.h"

/* NULL: depends on the level. */
static const char *const kinds[ABOUTS] = {
	[ABOUT_CONTROL] = "client",
	[ABOUT_CLIENT] = "client",
	[ABOUT_RELOAD] = "reload",
	[ABOUT_STATE] = "state",
	[ABOUT_WARNING] = "warning",
};

/* The messages of these kinds are shown at level info, too. */
static bool
is_change(enum log_about about)
{
	return about == ABOUT_STATE || about == ABOUT_CLIENT ||
	    about == ABOUT_RELOAD;
}

static void
on_message(struct log_listener *listener, int level, enum log_about about,
    const char *name, const char *text)
{
	struct client *c = CONTAINER_OF(listener, struct client, listener);
	const char *kind = kinds[about];
	struct record r = { .kind = SHOWN_EVENT,
		.to = name != NULL ? name : "",
		.note = text,
		.size = (size_t)level };

	if (level > LOG_NOTICE && !is_change(about))
		return;
	if (kind == NULL)
		kind = level <= LOG_WARNING ? "warning" : "daemon";
	r.from = kind;
	watch_collect(c, &r);
}

static void
on_lost(struct tap *tap, const struct node *node, const char *reason,
    uint64_t n, bool first, bool input)
{
	char text[96];
	const struct record r = { .kind = SHOWN_EVENT,
		.from = "drop",
		.to = node->endpoint->conf->name,
		.note = text,
		.size = LOG_NOTICE };

	if (first)
		snprintf(text, sizeof(text), "%s: %s",
		    input ? "input was discarded" : "a frame was dropped",
		    reason);
	else if (input)
		snprintf(text, sizeof(text),
		    "input was discarded %llu more time%s within a second: %s",
		    (unsigned long long)n, n == 1 ? "" : "s", reason);
	else
		snprintf(text, sizeof(text),
		    "%llu more frame%s dropped within a second: %s",
		    (unsigned long long)n, n == 1 ? " was" : "s were", reason);
	watch_collect(CLIENT_OF(tap), &r);
}

static const struct tap tap = { .lost = on_lost };

int
events_start(struct call *call)
{
	struct client *c = call->client;
	int r;

	if ((r = watch_options(call, "n")) < 0)
		return r;
	if (call->argc > 1)
		return call_fail(call, EINVAL, "'%.64s' is not an option: %s",
		    call->argv[1], call->command->usage);
	if (client_frames(c) < 0)
		return call_fail(call, ENOMEM, "out of memory");
	c->watching = c->listens = c->watch.events = true;
	c->json = call->json;
	c->hidden = 0;
	c->listener =
	    (struct log_listener){ .level = LOG_INFO, .message = on_message };
	log_listen(&c->listener);
	client_tap_all(c, &tap);
	return CALL_OPEN;
}
