/*
 * exchange_modbus: requests and answers of Modbus.
 *
 * An answer repeats the unit and the function of its request, and has the length that the
 * request determines.
 */
#include "exchange_parts.h"

/*
 * Unit 0 is the broadcast address on a serial bus only; on a connection it is a unit like
 * any other.
 */
static bool
is_broadcast(const struct exchange *ex, const struct modbus *m,
    const uint8_t *payload, size_t len)
{
	(void)payload, (void)len;
	return m->unit == MODBUS_BROADCAST &&
	    exchange_framing(ex)->rule->number_size == 0;
}

static bool
answers(const struct exchange *ex, const struct modbus *request,
    const uint8_t *payload, size_t len)
{
	struct modbus m;

	return framing_modbus(exchange_framing(ex), payload, len, &m) &&
	    modbus_answers(request, &m);
}

/* An exception response contains nothing else that identifies its request. */
static bool
alike(const struct modbus *a, const struct modbus *b)
{
	return a->unit == b->unit && a->function == b->function;
}

const struct exchange_protocol exchange_modbus = {
	.read = framing_modbus,
	.unanswered = is_broadcast,
	.answers = answers,
	.alike = alike,
	.units = true,
	.replaces = true,
};
