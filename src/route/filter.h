/*
 * filter: determines which messages a route accepts, and how many: lists of NMEA
 * sentences, MAVLink ids and Modbus units, and rates.  The functions have no side effects
 * except on their arguments.
 */
#ifndef FILTER_H
#define FILTER_H

#include "convert.h"
#include "error.h"
#include "message.h"

#define RANGES_MAX 64

/* Numbers and ranges such as "0,30-33". */
struct ranges {
	unsigned n; /* 0: none were given */
	struct range {
		uint32_t low, high;
	} range[RANGES_MAX];
};

/* A number of frames per time; n 0: no limit. */
struct rate {
	uint64_t n;
	uint64_t per_ns;
};

/*
 * Parsers of values in a section; -EINVAL with a message in err that contains the value
 * and describes valid ones.
 */
int ranges_parse(const char *value, uint32_t max, const char *what,
    struct ranges *ret, struct error *err);
int rate_parse(const char *value, struct rate *ret, struct error *err);
/* Checks that the value is a list of sentences. */
int nmea_list_check(const char *value, struct error *err);

/*
 * Whether the list accepts the message's sentence: one of its words matches, if there are
 * any without a '!', and none with a '!' does.
 */
bool match_nmea(const char *list, const uint8_t *payload, size_t len);
bool match_mavlink(
    const struct ranges *ids, const uint8_t *payload, size_t len);
/* framing: that of the payload; NULL: not known. */
bool match_unit(const struct ranges *units, const struct framing_conf *framing,
    const uint8_t *payload, size_t len);
bool match_function(const struct ranges *functions,
    const struct framing_conf *framing, const uint8_t *payload, size_t len);
/* Whether it has the length of a Modbus request: what follows could be another one. */
bool match_request(
    const struct framing_conf *framing, const uint8_t *payload, size_t len);
/* Whether it is a Modbus message of a function that only reads. */
bool match_reading(
    const struct framing_conf *framing, const uint8_t *payload, size_t len);

/*
 * Whether one more frame is within the rate; *until is initially zero.  After a pause n
 * frames may follow each other immediately.
 */
bool rate_allows(const struct rate *rate, uint64_t *until, uint64_t now);
/* Converts the state of a rate to a new rate: at most all of the new rate is used. */
uint64_t rate_carry(const struct rate *rate, uint64_t until, uint64_t now);

/*
 * A rate for each kind of message (nmea_message() or mavlink_message()).  An unused rate
 * is equivalent to a new one, so only the others need an entry; while there is no vacant
 * entry, no message of another kind is allowed.
 */
#define RATE_MESSAGES 128
struct message_rates {
	struct message_rate {
		uint64_t message; /* 0: never used */
		uint64_t until;
	} at[RATE_MESSAGES];
};
bool message_rate_allows(const struct rate *rate, struct message_rates *rates,
    uint64_t message, uint64_t now);
/* Restores the state of one message's rate. */
void message_rate_used(const struct rate *rate, struct message_rates *rates,
    uint64_t message, uint64_t until, uint64_t now);

#endif
