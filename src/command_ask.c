/*
 * command_ask: a frame to an endpoint, and the next one that comes from it.
 *
 * The session carries out nothing else meanwhile, so that replies keep their order.
 * The answer comes in the middle of the data path: it is only written down there, and
 * the session goes on from its timer.
 */
#include <errno.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "command.h"
#include "command_call.h"

#define ASK_DEFAULT (2 * NSEC_PER_SEC)
/* A client that goes meanwhile keeps its place until then. */
#define ASK_MAX (60 * NSEC_PER_SEC)

static void
answer_text(struct evbuffer *out, const uint8_t *payload, size_t len)
{
	char text[4 * 256 + 4];
	size_t part;

	for (; len > 0; payload += part, len -= part) {
		part = MIN(len, (size_t)256);
		escape(payload, part, text, sizeof(text));
		evbuffer_add(out, text, strlen(text));
	}
	evbuffer_add(out, "\n", 1);
}

static void
answer_json(
    struct evbuffer *out, const char *from, const uint8_t *payload, size_t len)
{
	struct evbuffer *text = evbuffer_new();
	struct output *o = output_new(OUTPUT_JSON);

	if (text != NULL && o != NULL) {
		answer_text(text, payload, len);
		output_pair(o, "from", "%s", from);
		output_pair_number(o, "size", len);
		output_pair(o, "text", "%.*s",
		    (int)(evbuffer_get_length(text) - 1),
		    (const char *)evbuffer_pullup(text, -1));
		output_finish(o, out);
	}
	output_free(o);
	if (text != NULL)
		evbuffer_free(text);
}

static void
on_frame(struct tap *tap, const struct port *from, const char *to,
    const uint8_t *payload, size_t len)
{
	struct session *s = CONTAINER_OF(tap, struct session, tap);

	(void)to;
	if (s->doomed || s->answered ||
	    strcmp(from->node->endpoint->conf->name, s->asked) != 0)
		return;
	s->answered = true;
	if (s->json)
		answer_json(s->reply, from->link->name, payload, len);
	else
		answer_text(s->reply, payload, len);
	evbuffer_add(s->reply, "OK\n", 3);
	event_active(s->timer, EV_TIMEOUT, 1);
}

void
command_asked(struct session *s)
{
	char text[64], after[24];

	if (!s->answered) {
		snprintf(text, sizeof(text), "timed out after %s",
		    format_time(s->ask_timeout, after, sizeof(after)));
		command_error(s, text);
	}
	command_forget(s);
}

/* A last word with a unit behind other words is the timeout; it is cut off. */
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

/* The session that awaits an answer of an endpoint: the next frame is for it. */
static const struct session *
who_asks(const struct bridge *b, const char *name)
{
	const struct session *s;
	const struct tap *tap;

	TAILQ_FOREACH(tap, &b->taps, entry) {
		if (tap->frame != on_frame)
			continue;
		s = CONTAINER_OF(tap, struct session, tap);
		if (!s->doomed && !s->answered && strcmp(s->asked, name) == 0)
			return s;
	}
	return NULL;
}

int
ask_start(struct call *call)
{
	struct session *s = call->session;
	struct node *node = call_node(call, call->argv[1]);
	const struct session *other;
	uint64_t timeout;
	int r;

	if (node == NULL)
		return -ENOENT;
	if ((other = who_asks(call->bridge, call->argv[1])) != NULL)
		return call_fail(call, EBUSY,
		    "%s is being asked by %s (%s); the next frame is its "
		    "answer",
		    call->argv[1], other->name, other->address);
	if ((r = take_timeout(call, call->argv[2], &timeout)) < 0 ||
	    (r = call_send(call, node, call->argv[2])) < 0)
		return r;
	snprintf(s->asked, sizeof(s->asked), "%s", node->endpoint->conf->name);
	s->ask_timeout = timeout;
	s->ask_until = now_ns() + timeout;
	s->asking = true;
	s->answered = false;
	s->json = call->json;
	s->tap.frame = on_frame;
	bridge_tap(call->bridge, &s->tap);
	return CALL_OPEN;
}
