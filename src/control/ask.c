/*
 * ask: sends a frame to an endpoint, and shows the next one that it sends, or that the bus
 * of an exchange does not answer.
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
#include "convert.h"
#include "exchange.h"

#define ASK_DEFAULT (2 * NSEC_PER_SEC)
/* A client that disconnects meanwhile occupies its slot until then. */
#define ASK_MAX (60 * NSEC_PER_SEC)
/* The bytes of an answer that are shown in one step. */
#define STEP_BYTES 4096

/* An answer has the number of its request, which had another one on the bus. */
static void
keep_answer(struct client *c, const struct node *node, const uint8_t *payload,
    size_t len)
{
	const struct framing_conf *conf = &node->endpoint->conf->framing;
	uint8_t copy[CONVERT_MAX];

	if (node->exchange == NULL || conf->rule->number_size == 0 ||
	    len > sizeof(copy)) {
		evbuffer_add(c->frames, payload, len);
		return;
	}
	memcpy(copy, payload, len);
	framing_set_number(
	    conf, copy, len, exchange_shown_number(node->exchange));
	evbuffer_add(c->frames, copy, len);
}

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
	keep_answer(c, from->node, payload, len);
	c->asking = false;
	c->answered = true;
	c->ops->wake(c);
}

static void
on_unanswered(struct tap *tap, bool sent)
{
	struct client *c = CLIENT_OF(tap);

	if (c->closed || !c->asking)
		return;
	c->asking = false;
	c->answered = c->unanswered = true;
	c->unanswered_sent = sent;
	c->ops->wake(c);
}

void
command_ask_label(const struct client *c, char *buf, size_t size)
{
	char left[24], all[24];

	snprintf(buf, size, "an answer of %s to %s, for %s more (of %s)",
	    c->asked, c->address,
	    format_time_left(c->ask_until, left, sizeof(left)),
	    format_time(c->ask_timeout, all, sizeof(all)));
}

const char *
ask_lost(const struct bridge *b, const char *name, uint64_t up_ns)
{
	const struct node *node = bridge_find(b, name);
	const struct endpoint *ep;

	if (node == NULL)
		return "was removed";
	ep = node->endpoint;
	if (ep->state != ENDPOINT_UP || ep->since_ns != up_ns)
		return "went down";
	if (ep->paused)
		return "was paused";
	return node->exchange == NULL ? "stopped being the bus of an exchange"
				      : NULL;
}

/* The bus of an exchange has not answered. */
static void
show_unanswered(struct client *c)
{
	const char *lost = ask_lost(c->bridge, c->asked, c->asked_up_ns);
	const struct node *node = bridge_find(c->bridge, c->asked);
	char text[ENDPOINT_NAME_MAX + 64], who[ENDPOINT_NAME_MAX], after[24];

	snprintf(who, sizeof(who), "%s", c->asked);
	if (c->asked_unit >= 0)
		snprintf(who, sizeof(who), "unit %d", c->asked_unit);
	if (lost != NULL)
		snprintf(text, sizeof(text), "%s %s before it answered",
		    c->asked, lost);
	else if (c->unanswered_sent)
		snprintf(text, sizeof(text), "%s did not answer within %s", who,
		    format_time(exchange_answer_timeout(node->exchange), after,
			sizeof(after)));
	else
		snprintf(text, sizeof(text),
		    "the request to %s was dropped before it was answered",
		    who);
	client_error(c, text);
	c->answered = c->unanswered = false;
}

void
command_answer(struct client *c)
{
	size_t len = MIN(evbuffer_get_length(c->frames), (size_t)STEP_BYTES);
	const uint8_t *part = evbuffer_pullup(c->frames, (ssize_t)len);

	client_untap(c);
	if (c->unanswered) {
		show_unanswered(c);
		return;
	}
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

/* The unit to which a request for the bus of an exchange is addressed; -1: to none. */
static int
asked_unit(const struct node *node, const uint8_t *frame, size_t len)
{
	struct modbus m;

	if (node->exchange == NULL ||
	    exchange_conf(node->exchange)->exchange != EXCHANGE_MODBUS ||
	    !framing_modbus(&node->endpoint->conf->framing, frame, len, &m))
		return -1;
	return m.unit;
}

/* Fails if the bus of an exchange gives no answer to the request. */
static int
check_answered(struct call *call, const struct node *node, const uint8_t *frame,
    size_t len)
{
	const struct exchange *ex = node->exchange;

	if (ex == NULL || !exchange_is_unanswered(ex, frame, len))
		return 0;
	if (exchange_conf(ex)->exchange == EXCHANGE_MODBUS)
		return call_fail(call, EINVAL,
		    "unit 0 is the broadcast unit on %s, and does not answer:"
		    " use send",
		    node->endpoint->conf->name);
	return call_fail(call, EINVAL,
	    "the request matches no_answer of [route %s], so that there is no"
	    " answer: use send",
	    exchange_conf(ex)->name);
}

int
ask_start(struct call *call)
{
	struct client *c = call->client;
	struct node *node = call_node(call, call->argv[1]);
	uint8_t frame[CLIENT_LINE_MAX];
	const struct client *other;
	uint64_t timeout;
	long len;
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
	if ((r = call_can_answer(call, node)) < 0)
		return r;
	if (client_frames(c) < 0)
		return call_fail(call, ENOMEM, "out of memory");
	if ((r = take_timeout(call, call->argv[2], &timeout)) < 0)
		return r;
	if ((len = call_frame(call, call->argv[2], frame)) < 0)
		return (int)len;
	if ((r = check_answered(call, node, frame, (size_t)len)) < 0)
		return r;
	if ((r = call_send(call, node, &c->tap, frame, (size_t)len)) < 0)
		return r;
	snprintf(c->asked, sizeof(c->asked), "%s", node->endpoint->conf->name);
	c->asked_up_ns = node->endpoint->since_ns;
	c->asked_unit = asked_unit(node, frame, (size_t)len);
	c->ask_timeout = timeout;
	c->ask_until = now_ns() + timeout;
	c->asking = true;
	c->json = call->json;
	client_tap(c, on_frame, on_unanswered);
	return CALL_OPEN;
}
