/*
 * verdict: whether a route forwards a frame to a destination.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "route.h"

/* Whether the function of a Modbus message is permitted. */
static bool
permits(const struct route_conf *conf, const struct framing_conf *framing,
    const uint8_t *payload, size_t len)
{
	if (conf->exchange == EXCHANGE_MODBUS &&
	    (conf->functions != FUNCTIONS_ALL || conf->match_function.n > 0) &&
	    !match_request(framing, payload, len))
		return false;
	if (conf->functions == FUNCTIONS_READ)
		return match_reading(framing, payload, len);
	return conf->match_function.n == 0 ||
	    match_function(&conf->match_function, framing, payload, len);
}

/*
 * 1 when the frame passes, 0 when not, -EPERM when its function is not permitted, -EFBIG
 * when that exceeds the limit of work; -ENOMEM.
 */
static int
passes(const struct route_target *target, const struct route *route,
    const struct framing_conf *framing, const uint8_t *payload, size_t len)
{
	const struct route_conf *conf = route->conf;
	const struct bytes *hex = &conf->match_hex;
	int found = 1;

	if (hex->len > 0 &&
	    (len < hex->len || memcmp(payload, hex->b, hex->len) != 0))
		return 0;
	if (conf->match_unit.n > 0 &&
	    !match_unit(&conf->match_unit, framing, payload, len))
		return 0;
	if (conf->match_mavlink.n > 0 &&
	    !match_mavlink(&conf->match_mavlink, payload, len))
		return 0;
	if (conf->match_nmea != NULL &&
	    !match_nmea(conf->match_nmea, payload, len))
		return 0;
	if (route->match != NULL)
		found = expression_find(
		    route->match, payload, len, target->work, target->spent);
	if (found == 1 && route->reject != NULL) {
		found = expression_find(
		    route->reject, payload, len, target->work, target->spent);
		found = found < 0 ? found : !found;
	}
	if (found != 1 || permits(conf, framing, payload, len))
		return found;
	return conf->exchange != EXCHANGE_NONE ? -EPERM : 0;
}

/*
 * Whether a frame is within the rate, which is that of its message if the filter lists
 * messages.
 */
static bool
within_rate(struct route *route, unsigned to, const uint8_t *payload,
    size_t len, uint64_t now)
{
	const struct route_conf *conf = route->conf;
	uint64_t message = 0;

	if (conf->match_nmea != NULL)
		message = nmea_message(payload, len);
	else if (conf->match_mavlink.n > 0)
		message = mavlink_message(payload, len);
	if (message == 0)
		return rate_allows(&conf->rate, &route->until[to], now);
	if (route->messages[to] == NULL)
		route->messages[to] = calloc(1, sizeof(**route->messages));
	return route->messages[to] != NULL &&
	    message_rate_allows(&conf->rate, route->messages[to], message, now);
}

const char *const route_refusal_words[REFUSALS] = {
	[REFUSAL_FILTER] = "",
	[REFUSAL_RATE] = " (rate)",
	[REFUSAL_TOO_LONG] = " (too long)",
	[REFUSAL_FUNCTION] = " (function)",
	[REFUSAL_STANDBY] = " (standby)",
	[REFUSAL_DUPLICATE] = " (duplicate)",
	[REFUSAL_TARGET] = " (target)",
};

static void
count_refusal(struct route *route, enum route_refusal why)
{
	route->refusal = why;
	switch (why) {
	case REFUSAL_TOO_LONG:
		route->too_long++;
		break;
	case REFUSAL_FUNCTION:
		route->stats->counters.refused++;
		break;
	case REFUSAL_RATE:
		route->limited++;
		break;
	case REFUSAL_STANDBY:
		route->standby++;
		break;
	case REFUSAL_TARGET:
		route->not_heard++;
		break;
	case REFUSAL_DUPLICATE: /* counted in its table */
		break;
	default:
		route->rejected++;
		break;
	}
}

bool
route_target_waits(const struct route_target *target)
{
	for (unsigned i = 0; i < target->nvia; i++)
		if (!route_waits(target->via[i], target))
			return false;
	return true;
}

struct route *
route_verdict(const struct route_target *target, const void *source,
    const struct framing_conf *framing, const uint8_t *payload, size_t len,
    uint64_t now, unsigned *refused_by)
{
	for (unsigned i = 0; i < target->nvia; i++) {
		struct route *route = target->via[i];
		int pass;

		if (!route->filtered)
			return route;
		if (route_waits(route, target)) {
			count_refusal(route, REFUSAL_STANDBY);
			continue;
		}
		if ((pass = passes(target, route, framing, payload, len)) ==
		    -EFBIG)
			count_refusal(route, REFUSAL_TOO_LONG);
		else if (pass == -EPERM) {
			count_refusal(route, REFUSAL_FUNCTION);
			*refused_by = route->number;
		} else if (pass != 1)
			count_refusal(route, REFUSAL_FILTER);
		else if (route->systems != NULL &&
		    !systems_accept(
			route->systems[target->to], payload, len, now))
			count_refusal(route, REFUSAL_TARGET);
		else if (route->duplicates != NULL &&
		    duplicates_check(route->duplicates, source, payload, len,
			route->conf->duplicates, now))
			count_refusal(route, REFUSAL_DUPLICATE);
		else if (route->until != NULL &&
		    !within_rate(route, target->to, payload, len, now))
			count_refusal(route, REFUSAL_RATE);
		else
			return route;
	}
	return NULL;
}
