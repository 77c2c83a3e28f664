/*
 * action: the commands that change something: send, pause, resume, reopen, break, reset,
 * cancel, reload, quit.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "call.h"
#include "convert.h"

#define BREAK_DEFAULT (250 * NSEC_PER_MSEC)
#define BREAK_MAX (10 * NSEC_PER_SEC)

long
call_frame(struct call *call, const char *text, uint8_t *frame)
{
	long len = unescape(text, frame, CLIENT_LINE_MAX);

	if (len < 0)
		return call_fail(call, EINVAL,
		    "a bad escape in the text; \\n \\r \\t \\s \\\\ \\xHH and "
		    "\\OOO are right");
	return len;
}

/*
 * The whole message of which the bytes are the content, or the content with a wrong checksum;
 * returns its length, 0: they are neither.
 */
static size_t
whole_message(const struct framing_conf *framing, const uint8_t *frame,
    size_t len, uint8_t out[CONVERT_MAX])
{
	struct modbus m;
	long n;

	/* A message without its checksum is one of the right length. */
	for (size_t less = 0; less <= 2 && less < len; less += 2) {
		if (!modbus_read_inner(frame, len - less, &m) ||
		    !modbus_request_fits(&m))
			continue;
		n = framing_outer(framing, frame, len - less, out);
		if (n > 0 && memmem(out, (size_t)n, frame, len - less) != NULL)
			return (size_t)n;
	}
	return 0;
}

static int
fail_unencodable(struct error *err, const struct endpoint_conf *conf,
    const uint8_t *frame, size_t len)
{
	const struct framing_conf *framing = &conf->framing;
	uint8_t whole[CONVERT_MAX];
	char text[4 * CONVERT_MAX];
	size_t n;

	error_set(err, "the framing of %s, %s, cannot express this frame",
	    conf->name, framing->rule->name);
	if (framing->rule->protocol == NULL ||
	    framing->payload != PAYLOAD_WHOLE)
		return -EINVAL;
	error_append(err,
	    ": it takes whole messages, with their checksum or header, which is"
	    " missing or wrong");
	if ((n = whole_message(framing, frame, len, whole)) > 0) {
		escape(whole, n, text, sizeof(text));
		error_append(err, "; with it the message is %s", text);
	}
	return -EINVAL;
}

int
send_frame(struct error *err, struct node *node, struct tap *tap,
    const uint8_t *frame, size_t len)
{
	const struct endpoint_conf *conf = node->endpoint->conf;
	int r;

	switch (r = node_send(node, tap, frame, len)) {
	case 0:
		return 0;
	case -EINVAL:
		return fail_unencodable(err, conf, frame, len);
	case -EMSGSIZE:
		return error_fail(err, -EMSGSIZE,
		    "%zu bytes are more than max_frame of %s, %llu", len,
		    conf->name, (unsigned long long)conf->framing.max_frame);
	case -ENOBUFS:
		return error_fail(
		    err, -ENOBUFS, "the queue of %s is full", conf->name);
	case -ENOTCONN:
		return error_fail(
		    err, -ENOTCONN, "%s has no connected peer", conf->name);
	case -ENETDOWN:
		return error_fail(err, -ENETDOWN,
		    "%s is %s: requests do not wait for a bus that is not up",
		    conf->name, attribute_state(node));
	default:
		return error_fail(err, r, "%s: %s", conf->name, strerror(-r));
	}
}

int
call_send(
    struct call *call, struct node *node, const uint8_t *frame, size_t len)
{
	return send_frame(&call->err, node, NULL, frame, len);
}

/* send -b: the last word is the name and the bytes. */
static int
send_bytes(struct call *call)
{
	char *name = call->argv[2], *text = name + strcspn(name, " \t");
	struct node *node;
	long len;

	if (*text != '\0')
		*text++ = '\0';
	text += strspn(text, " \t");
	if (*text == '\0')
		return call_fail(call, EINVAL,
		    "an argument is missing: send -b NAME BASE64");
	if ((node = call_node(call, name)) == NULL)
		return -ENOENT;
	/* The bytes take the place of the text. */
	len = base64_decode(text, strlen(text), (uint8_t *)text, strlen(text));
	if (len < 0)
		return call_fail(call, EINVAL, "'%.32s%s' is not base64", text,
		    strlen(text) > 32 ? "..." : "");
	return call_send(call, node, (const uint8_t *)text, (size_t)len);
}

int
run_send(struct call *call)
{
	uint8_t frame[CLIENT_LINE_MAX];
	struct node *node;
	long len;

	if (strcmp(call->argv[1], "-b") == 0)
		return send_bytes(call);
	node = call_node(call, call->argv[1]);
	if (node == NULL)
		return -ENOENT;
	if ((len = call_frame(call, call->argv[2], frame)) < 0)
		return (int)len;
	return call_send(call, node, frame, (size_t)len);
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

int
run_pause(struct call *call)
{
	return set_paused(call, true);
}

int
run_resume(struct call *call)
{
	return set_paused(call, false);
}

int
run_reopen(struct call *call)
{
	struct node *node = call_node(call, call->argv[1]);

	if (node == NULL)
		return -ENOENT;
	if (node->endpoint->state == ENDPOINT_IDLE)
		return call_fail(call, ENOTCONN,
		    "%s is idle: it is opened when a client connects",
		    node->endpoint->conf->name);
	endpoint_reopen(node->endpoint, "reopened by hand");
	return 0;
}

int
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

int
run_reset(struct call *call)
{
	struct node *node = call_node(call, call->argv[1]);
	const char *sequence = call->argc > 2 ? call->argv[2] : NULL;
	struct endpoint *ep;
	struct error err = { "" };
	int r;

	if (node == NULL)
		return -ENOENT;
	ep = node->endpoint;
	if (ep->conf->ops->reset == NULL)
		return call_fail(call, EOPNOTSUPP,
		    "%s cannot be reset: its type is %s, and not serial",
		    ep->conf->name, ep->conf->ops->type);
	if (ep->state != ENDPOINT_UP)
		return call_fail(call, ENOTCONN, "%s is %s: it was not reset",
		    ep->conf->name, endpoint_state_name(ep->state));
	if ((r = endpoint_reset(ep, sequence, &err)) < 0)
		return call_fail(
		    call, -r, "%s was not reset: %s", ep->conf->name, err.text);
	return 0;
}

int
run_cancel(struct call *call)
{
	struct task *task = call_task(call, call->argv[1]);

	if (task == NULL)
		return -ENOENT;
	if (task->cancel == NULL)
		return call_fail(call, EPERM,
		    "'%s' cannot be ended; only clients, control sessions, "
		    "queries, a capture and pending reopens can",
		    task->name);
	task->cancel(task);
	return 0;
}

int
run_quit(struct call *call)
{
	call->client->closing = true;
	return 0;
}

/* Joins the faults, one per line, into one line for the error reply. */
static char *
one_line(const char *faults)
{
	static const char start[] = "nothing was changed: ";
	size_t size = sizeof(start) + 2 * strlen(faults);
	char *text = malloc(size), *end;

	if (text == NULL)
		return NULL;
	end = stpcpy(text, start);
	for (; *faults != '\0'; faults++)
		if (*faults == '\n')
			end = stpcpy(end, "; ");
		else
			*end++ = *faults;
	*end = '\0';
	return text;
}

static int
reload_result(struct call *call, int r, const char *faults)
{
	if (r == 0)
		return 0;
	call->long_err = faults != NULL ? one_line(faults) : NULL;
	return call_fail(call, -r, "nothing was changed: %s", strerror(-r));
}

static void
on_reloaded(struct reload_waiter *w, int r, const char *faults)
{
	struct client *c = CONTAINER_OF(w, struct client, reload);

	c->reloading = false;
	c->call->ready = true;
	c->call->result = reload_result(c->call, r, faults);
	c->ops->wake(c);
}

int
run_reload(struct call *call)
{
	struct client *c = call->client;
	char *faults = NULL;
	int r;

	if (call->ready)
		return call->result;
	if (c->hooks == NULL || c->hooks->reload == NULL)
		return call_fail(call, EOPNOTSUPP, "nothing to reload here");
	c->reload.done = on_reloaded;
	r = c->hooks->reload(&c->reload, &faults);
	c->reloading = r == RELOAD_BEGUN;
	if (!c->reloading)
		r = reload_result(call, r, faults);
	free(faults);
	return c->reloading ? CALL_WAIT : r;
}
