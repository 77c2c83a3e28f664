/*
 * exchange_modbus: requests and answers of Modbus.
 *
 * An answer repeats the unit and the function of its request, and has the length that the
 * request determines.
 */
#include <string.h>

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

/*
 * The answer to some functions is equal to the request.  After a collision it cannot be
 * told from the echo, so it is not accepted.
 */
static bool
may_be_echo(const struct exchange *ex, const struct modbus *m)
{
	static const uint8_t equal[] = { 5, 6, 8, 22 };
	const struct port *port = TAILQ_FIRST(&ex->to->ports);

	return port != NULL && port_echo_collided(port) &&
	    memchr(equal, m->function, sizeof(equal)) != NULL;
}

static bool
answers(const struct exchange *ex, const struct modbus *request,
    const uint8_t *payload, size_t len)
{
	struct modbus m;

	return framing_modbus(exchange_framing(ex), payload, len, &m) &&
	    modbus_answers(request, &m) && !may_be_echo(ex, &m);
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
