/*
 * filter: the match lists and rates of routes.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "route.h"

/* --- numbers ------------------------------------------------------------- */

/* "5" or "30-33". */
static int
range_parse(const char *word, uint32_t max, struct range *ret)
{
	const char *dash = strchr(word, '-');
	uint64_t low, high;
	char first[16];

	if (dash == NULL)
		dash = word + strlen(word);
	snprintf(first, sizeof(first), "%.*s", (int)MIN(dash - word, 15), word);
	if (parse_number(first, 0, max, &low) != 0)
		return -EINVAL;
	high = low;
	if (*dash == '-' && parse_number(dash + 1, low, max, &high) != 0)
		return -EINVAL;
	*ret = (struct range){ (uint32_t)low, (uint32_t)high };
	return 0;
}

int
ranges_parse(const char *value, uint32_t max, const char *what,
    struct ranges *ret, struct error *err)
{
	struct ranges ranges = { 0 };
	const char *list = value, *word;
	char text[40], quote[64];
	size_t len;

	while ((word = list_word(&list, &len)) != NULL) {
		snprintf(text, sizeof(text), "%.*s", (int)MIN(len, 39), word);
		if (ranges.n == RANGES_MAX)
			return error_fail(err, -EINVAL,
			    "more than %d %ss and ranges", RANGES_MAX, what);
		if (range_parse(text, max, &ranges.range[ranges.n]) != 0) {
			printable(text, quote, sizeof(quote));
			return error_fail(err, -EINVAL,
			    "'%s' is not a %s; write numbers and ranges of 0 to"
			    " %u, such as 1-5,9",
			    quote, what, max);
		}
		ranges.n++;
	}
	if (ranges.n == 0)
		return error_fail(err, -EINVAL, "it names no %s", what);
	*ret = ranges;
	return 0;
}

static bool
ranges_have(const struct ranges *ranges, uint32_t number)
{
	for (unsigned i = 0; i < ranges->n; i++)
		if (number >= ranges->range[i].low &&
		    number <= ranges->range[i].high)
			return true;
	return false;
}

/* --- rates --------------------------------------------------------------- */

int
rate_parse(const char *value, struct rate *ret, struct error *err)
{
	const char *slash = strchr(value, '/');
	char count[16], per[32], quote[64];
	struct rate rate;

	snprintf(count, sizeof(count), "%.*s",
	    slash == NULL ? 0 : (int)MIN(slash - value, 15), value);
	/* "5/s" means 5/1s. */
	if (slash != NULL)
		snprintf(per, sizeof(per), "%s%.30s",
		    isalpha((unsigned char)slash[1]) ? "1" : "", slash + 1);
	if (slash != NULL && parse_number(count, 1, 1000000, &rate.n) == 0 &&
	    parse_time(per, &rate.per_ns) == 0 && rate.per_ns >= rate.n &&
	    rate.per_ns <= 86400 * NSEC_PER_SEC) {
		*ret = rate;
		return 0;
	}
	printable(value, quote, sizeof(quote));
	return error_fail(err, -EINVAL,
	    "'%s' is not a rate; write frames and a time, such as 5/s, 10/m or"
	    " 1/5s",
	    quote);
}

/*
 * *until is the time at which all frames so far would be due at one frame per per_ns / n:
 * it may be ahead of the current time by n of those intervals.
 */
bool
rate_allows(const struct rate *rate, uint64_t *until, uint64_t now)
{
	uint64_t step = rate->per_ns / rate->n;
	uint64_t due = MAX(*until, now);

	if (due - now > step * (rate->n - 1))
		return false;
	*until = due + step;
	return true;
}

uint64_t
rate_carry(const struct rate *rate, uint64_t until, uint64_t now)
{
	return MIN(until, now + rate->per_ns);
}

/* The entry of a message, created if it has none yet; NULL: all are in use. */
static struct message_rate *
find_rate(struct message_rates *rates, uint64_t message, uint64_t now)
{
	size_t first = (size_t)(message * 0x9e3779b97f4a7c15 >> 32);
	struct message_rate *at, *vacant = NULL;

	for (size_t i = 0; i < RATE_MESSAGES; i++) {
		at = &rates->at[(first + i) % RATE_MESSAGES];
		if (at->message == message)
			return at;
		if (vacant == NULL && at->until <= now)
			vacant = at;
		if (at->message == 0)
			break;
	}
	if (vacant != NULL)
		*vacant = (struct message_rate){ message, 0 };
	return vacant;
}

bool
message_rate_allows(const struct rate *rate, struct message_rates *rates,
    uint64_t message, uint64_t now)
{
	struct message_rate *at = find_rate(rates, message, now);

	return at != NULL && rate_allows(rate, &at->until, now);
}

void
message_rate_used(const struct rate *rate, struct message_rates *rates,
    uint64_t message, uint64_t until, uint64_t now)
{
	struct message_rate *at = find_rate(rates, message, now);

	if (at != NULL)
		at->until = rate_carry(rate, until, now);
}

/* --- NMEA ---------------------------------------------------------------- */

int
nmea_list_check(const char *value, struct error *err)
{
	const char *list = value, *word;
	char text[40], quote[64];
	size_t len;
	int n = 0;

	for (; (word = list_word(&list, &len)) != NULL; n++) {
		snprintf(text, sizeof(text), "%.*s", (int)MIN(len, 39), word);
		word = text + (*text == '!');
		len = strlen(word);
		if (len > 0 && len <= NMEA_NAME_MAX &&
		    word[strspn(word,
			"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			"0123456789*?")] == '\0')
			continue;
		printable(text, quote, sizeof(quote));
		return error_fail(err, -EINVAL,
		    "'%s' is not a sentence; write GPGGA, or GP* for several,"
		    " with ! before those to leave out",
		    quote);
	}
	if (n == 0)
		error_set(err, "it names no sentence");
	return n == 0 ? -EINVAL : 0;
}

bool
match_nmea(const char *list, const uint8_t *payload, size_t len)
{
	bool wanted = false, only = false, known;
	struct nmea nmea;
	const char *word;
	size_t n;

	known = nmea_read(payload, len, &nmea);
	while ((word = list_word(&list, &n)) != NULL) {
		bool out = *word == '!';

		if (!out)
			only = true;
		if (!known ||
		    !nmea_name_fits(
			word + out, n - out, nmea.name, nmea.name_len))
			continue;
		if (out)
			return false;
		wanted = true;
	}
	return wanted || !only;
}

/* --- MAVLink and Modbus -------------------------------------------------- */

bool
match_mavlink(const struct ranges *ids, const uint8_t *payload, size_t len)
{
	struct mavlink m;

	return mavlink_read(payload, len, &m) && ranges_have(ids, m.id);
}

bool
match_unit(const struct ranges *units, const struct framing_conf *framing,
    const uint8_t *payload, size_t len)
{
	struct modbus m;

	return framing_modbus(framing, payload, len, &m) &&
	    ranges_have(units, m.unit);
}

bool
match_function(const struct ranges *functions,
    const struct framing_conf *framing, const uint8_t *payload, size_t len)
{
	struct modbus m;

	return framing_modbus(framing, payload, len, &m) &&
	    ranges_have(functions, m.function);
}

bool
match_reading(
    const struct framing_conf *framing, const uint8_t *payload, size_t len)
{
	struct modbus m;

	return framing_modbus(framing, payload, len, &m) && modbus_reads(&m);
}

bool
match_request(
    const struct framing_conf *framing, const uint8_t *payload, size_t len)
{
	struct modbus m;

	return framing_modbus(framing, payload, len, &m) &&
	    modbus_request_fits(&m);
}
