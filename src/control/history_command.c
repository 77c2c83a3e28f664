/*
 * history_command: the most recent bytes of an endpoint.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "call.h"

/* Shows text line by line, with C escapes; the end of a line is left out. */
static int
show_lines(struct call *call, const uint8_t *data, size_t len)
{
	const uint8_t *end;
	char *text;
	size_t n;

	while (len > 0) {
		end = memchr(data, '\n', len);
		n = end != NULL ? (size_t)(end - data) : len;
		if ((text = malloc(4 * n + 8)) == NULL)
			return call_fail(call, ENOMEM, "out of memory");
		escape(data, n > 0 && data[n - 1] == '\r' ? n - 1 : n, text,
		    4 * n + 8);
		output_line(call->out, "%s", text);
		free(text);
		n = MIN(n + 1, len);
		data += n;
		len -= n;
	}
	return 0;
}

static int
show_base64(struct call *call, const uint8_t *data, size_t len)
{
	char *text = malloc(BASE64_SIZE(len));

	if (text == NULL)
		return call_fail(call, ENOMEM, "out of memory");
	base64_encode(data, len, text);
	output_pair(call->out, "endpoint", "%s", call->argv[1]);
	output_pair_number(call->out, "size", len);
	output_pair(call->out, "base64", "%s", text);
	free(text);
	return 0;
}

int
run_history(struct call *call)
{
	struct node *node = call_node(call, call->argv[1]);
	uint8_t *data;
	size_t len;
	int r;

	if (node == NULL)
		return -ENOENT;
	r = node_history_get(node, &data, &len);
	if (r == -ENOENT)
		return call_fail(call, ENOENT,
		    "'%s' has no history; set %s/history 64K, or history = 64K "
		    "in its section",
		    call->argv[1], call->argv[1]);
	if (r < 0)
		return call_fail(call, -r, "%s", strerror(-r));
	r = (call->json ? show_base64 : show_lines)(call, data, len);
	free(data);
	return r;
}
