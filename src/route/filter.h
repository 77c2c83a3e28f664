/*
 * filter: which messages a route passes, and how many: lists of NMEA sentences, MAVLink
 * ids and Modbus units, and rates.  Pure.
 */
#ifndef FILTER_H
#define FILTER_H

#include "error.h"
#include "message.h"

#define RANGES_MAX 64

/* Numbers as in "0,30-33". */
struct ranges {
	unsigned n; /* 0: none were given */
	struct range {
		uint32_t low, high;
	} range[RANGES_MAX];
};

/* So many frames in a time; n 0: no limit. */
struct rate {
	uint64_t n;
	uint64_t per_ns;
};

/*
 * Parsers of values in a section; -EINVAL with a sentence in err that says
 * what was read and what would be right.
 */
int ranges_parse(const char *value, uint32_t max, const char *what,
    struct ranges *ret, struct error *err);
int rate_parse(const char *value, struct rate *ret, struct error *err);
/* Whether the value is a list of sentences; nothing is kept. */
int nmea_list_check(const char *value, struct error *err);

/*
 * The message's sentence is in the list: one of its words fits, if there are
 * any without a '!', and none with a '!' does.
 */
bool match_nmea(const char *list, const uint8_t *payload, size_t len);
bool match_mavlink(
    const struct ranges *ids, const uint8_t *payload, size_t len);
bool match_unit(const struct ranges *units, const uint8_t *payload, size_t len);

/*
 * Whether one more frame is within the rate; *until is zero at first.  After
 * a pause n frames may follow each other at once.
 */
bool rate_allows(const struct rate *rate, uint64_t *until, uint64_t now);
/* The state of a rate as that of another one: at most all of it is used up. */
uint64_t rate_carry(const struct rate *rate, uint64_t until, uint64_t now);

/*
 * A rate for each kind of message (nmea_message() or mavlink_message()).  A rate of which
 * nothing is used is no different from a new one, so only the others take an entry; while
 * there are no entries left, no message of another kind is allowed.
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
