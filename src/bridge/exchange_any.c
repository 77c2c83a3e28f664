/*
 * exchange_any: requests and answers of which only the order is known: the next frames
 * from the bus are the answer (exchange = any).
 *
 * The keys answer_match and answer_match_hex exclude frames that the bus sends
 * unasked, and no_answer names the requests that are not answered.
 */
#include <string.h>

#include "exchange_parts.h"

/* Whether the expression, which may be NULL, finds something in the bytes. */
static bool
finds(const struct expression *e, const uint8_t *payload, size_t len)
{
	uint64_t spent = 0;

	return e != NULL &&
	    expression_find(e, payload, len, EXPRESSION_WORK, &spent) == 1;
}

static bool
read_request(const struct framing_conf *framing, const uint8_t *payload,
    size_t len, struct modbus *ret)
{
	(void)framing, (void)payload, (void)len;
	memset(ret, 0, sizeof(*ret));
	return true;
}

static bool
is_unanswered(const struct exchange *ex, const struct modbus *m,
    const uint8_t *payload, size_t len)
{
	(void)m;
	return finds(ex->route[0]->no_answer, payload, len);
}

static bool
answers(const struct exchange *ex, const struct modbus *request,
    const uint8_t *payload, size_t len)
{
	const struct bytes *hex = &exchange_conf(ex)->answer_match_hex;

	(void)request;
	if (len < hex->len || memcmp(payload, hex->b, hex->len) != 0)
		return false;
	return ex->route[0]->answer_match == NULL ||
	    finds(ex->route[0]->answer_match, payload, len);
}

static bool
alike(const struct modbus *a, const struct modbus *b)
{
	(void)a, (void)b;
	return true;
}

const struct exchange_protocol exchange_any = {
	.read = read_request,
	.unanswered = is_unanswered,
	.answers = answers,
	.alike = alike,
};
