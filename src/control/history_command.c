/*
 * history_command: the most recent bytes of an endpoint.
 *
 * They are copied when the command begins, and shown in pieces.
 */
#include <errno.h>
#include <string.h>

#include <event2/buffer.h>

#include "base64.h"
#include "call.h"

/* The bytes of one step, a multiple of 3 for base64; more of a line are another step. */
#define STEP_BYTES 3072
/* The text of one step: each byte may be an escape. */
#define STEP_TEXT (4 * STEP_BYTES + 8)

/*
 * Writes a line, or a part of a long one, with C escapes and without the end of the line.
 * Returns the number of bytes used.
 */
static size_t
write_text(const uint8_t *data, size_t len, char *text)
{
	size_t n = MIN(len, (size_t)STEP_BYTES), used = n;
	const uint8_t *nl = memchr(data, '\n', n);
	bool end = nl != NULL || n == len;

	if (nl != NULL) {
		n = (size_t)(nl - data);
		used = n + 1;
	}
	if (n > 0 && data[n - 1] == '\r') {
		n--;
		if (!end) /* The next byte decides whether it ends the line. */
			used = n;
	}
	escape(data, n, text, STEP_TEXT);
	if (end)
		append(text, STEP_TEXT, "\n");
	return used;
}

static size_t
write_base64(const uint8_t *data, size_t len, char *text)
{
	size_t n = MIN(len, (size_t)STEP_BYTES);

	base64_encode(data, n, text);
	return n;
}

static int
get_bytes(struct call *call)
{
	const struct node *node = call_node(call, call->argv[1]);
	int r;

	if (node == NULL)
		return -ENOENT;
	r = node_history_get(node, &call->bytes, &call->nbytes);
	if (r == -ENOENT)
		return call_fail(call, ENOENT,
		    "'%s' has no history; set %s/history 64K, or history = 64K "
		    "in its section",
		    call->argv[1], call->argv[1]);
	return r < 0 ? call_fail(call, -r, "%s", strerror(-r)) : 0;
}

/* The last member of the object is written in pieces, which an output cannot do. */
static int
begin_json(struct call *call)
{
	output_pair(call->out, "endpoint", "%s", call->argv[1]);
	output_pair_number(call->out, "size", call->nbytes);
	if (output_flush(call->out, call->client->reply) < 0)
		return -ENOMEM;
	return evbuffer_add_printf(call->client->reply, ",\"base64\":\"");
}

/* A part of the reply may have been sent already. */
static int
give_up(struct call *call)
{
	call->client->closing = true;
	return call_fail(call, ENOMEM, "out of memory");
}

int
run_history(struct call *call)
{
	struct evbuffer *reply = call->client->reply;
	char text[STEP_TEXT];
	int r;

	if (!call->begun && (r = get_bytes(call)) < 0)
		return r;
	if (!call->begun && call->json && begin_json(call) < 0)
		return give_up(call);
	while (call->shown < call->nbytes) {
		call->shown += (call->json ? write_base64 : write_text)(
		    call->bytes + call->shown, call->nbytes - call->shown,
		    text);
		if (evbuffer_add(reply, text, strlen(text)) < 0)
			return give_up(call);
		if (call_pause(call))
			return CALL_MORE;
	}
	return call->json && evbuffer_add(reply, "\"", 1) < 0 ? give_up(call)
							      : 0;
}
