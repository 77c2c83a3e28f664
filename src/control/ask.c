/*
 * ask: sends a frame to an endpoint, and shows the next one that it sends.
 *
 * The client cannot give another command meanwhile, so that replies stay in order.  The
 * answer arrives in the data path: it is only copied there, and shown in the client's
 * turns.
 */
#include <errno.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "command.h"
#include "call.h"

#define ASK_DEFAULT (2 * NSEC_PER_SEC)
/* A client that disconnects meanwhile occupies its slot until then. */
#define ASK_MAX (60 * NSEC_PER_SEC)
/* The bytes of an answer that are shown in one step. */
#define STEP_BYTES 4096

static void
on_frame(struct tap *tap, const struct port *from, const char *to,
    const uint8_t *payload, size_t len)
{
	struct client *c = CLIENT_OF(tap);

	(void)to;
	if (c->closed || !c->asking ||
	    strcmp(from->node->endpoint->conf->name, c->asked) != 0 ||
	    !node_answers(from->node, tap))
		return;
	if (c->json)
		evbuffer_add_printf(c->reply,
		    "{\"from\":\"%s\",\"size\":%zu,\"text\":\"",
		    from->link->name, len);
	evbuffer_add(c->frames, payload, len);
	c->asking = false;
	c->answered = true;
	c->ops->wake(c);
}

void
command_ask_label(const struct client *c, char *buf, size_t size)
{
	uint64_t now = now_ns();
	char left[24], all[24];

	snprintf(buf, size, "an answer of %s to %s, for %s more (of %s)",
	    c->asked, c->address,
	    format_time(c->ask_until > now ? c->ask_until - now : 0, left,
		sizeof(left)),
	    format_time(c->ask_timeout, all, sizeof(all)));
}

void
command_answer(struct client *c)
{
	size_t len = MIN(evbuffer_get_length(c->frames), (size_t)STEP_BYTES);
	const uint8_t *part = evbuffer_pullup(c->frames, (ssize_t)len);

	client_untap(c);
	if (part != NULL)
		call_escape(c->reply, c->json, part, len);
	evbuffer_drain(c->frames, len);
	if (evbuffer_get_length(c->frames) > 0)
		return;
	evbuffer_add_printf(c->reply, "%s\nOK\n", c->json ? "\"}" : "");
	c->answered = false;
}

void
command_no_answer(struct client *c)
{
	char text[64], after[24];

	snprintf(text, sizeof(text), "timed out after %s",
	    format_time(c->ask_timeout, after, sizeof(after)));
	client_error(c, text);
	client_untap(c);
	c->asking = false;
}

/* If the last of several words is a time with a unit, it is the timeout, and is removed. */
static int
take_timeout(struct call *call, char *text, uint64_t *ret)
{
	char *blank = strrchr(text, ' ');
	const char *word = blank != NULL ? blank + 1 : "";

	*ret = ASK_DEFAULT;
	if (strspn(word, "0123456789.") == 0 || strpbrk(word, "mshu") == NULL ||
	    parse_time(word, ret) < 0)
		return 0;
	if (*ret == 0 || *ret > ASK_MAX)
		return call_fail(call, EINVAL,
		    "'%.64s' is not a time to await an answer; up to 1m, as "
		    "in 500ms",
		    word);
	*blank = '\0';
	return 0;
}

/* The client that awaits an answer of an endpoint, and gets the next frame; or NULL. */
static const struct client *
who_asks(const struct bridge *b, const char *name)
{
	const struct client *c;
	const struct tap *tap;

	TAILQ_FOREACH(tap, &b->taps, entry) {
		if (tap->frame != on_frame)
			continue;
		c = CLIENT_OF(tap);
		if (!c->closed && c->asking && strcmp(c->asked, name) == 0)
			return c;
	}
	return NULL;
}

/* Fails immediately if the endpoint cannot answer. */
static int
check_there(struct call *call, const struct node *node)
{
	const struct endpoint *ep = node->endpoint;
	const char *state = ep->paused && ep->state == ENDPOINT_UP
	    ? "paused"
	    : endpoint_state_name(ep->state);

	if (ep->state == ENDPOINT_UP && !ep->paused)
		return 0;
	call_fail(call, ENOTCONN, "%s cannot answer: it is %s", ep->conf->name,
	    state);
	if (ep->state == ENDPOINT_WAITING)
		error_append(
		    &call->err, " for a program to open %s", ep->address);
	else if (ep->state != ENDPOINT_UP && error_is_set(&ep->error))
		error_append(&call->err, " (%s)", ep->error.text);
	return -ENOTCONN;
}

int
ask_start(struct call *call)
{
	struct client *c = call->client;
	struct node *node = call_node(call, call->argv[1]);
	const struct client *other;
	uint64_t timeout;
	int r;

	if (node == NULL)
		return -ENOENT;
	/* An exchange knows to which client an answer belongs. */
	if (node->exchange == NULL &&
	    (other = who_asks(call->bridge, call->argv[1])) != NULL)
		return call_fail(call, EBUSY,
		    "%s is being asked by %s (%s); the next frame is its "
		    "answer",
		    call->argv[1], other->name, other->address);
	if ((r = check_there(call, node)) < 0)
		return r;
	if (client_frames(c) < 0)
		return call_fail(call, ENOMEM, "out of memory");
	if ((r = take_timeout(call, call->argv[2], &timeout)) < 0 ||
	    (r = call_send(call, node, &c->tap, call->argv[2])) < 0)
		return r;
	snprintf(c->asked, sizeof(c->asked), "%s", node->endpoint->conf->name);
	c->ask_timeout = timeout;
	c->ask_until = now_ns() + timeout;
	c->asking = true;
	c->json = call->json;
	client_tap(c, on_frame);
	return CALL_OPEN;
}
