/*
 * filter: what routes know of messages: the names of NMEA 0183
 * sentences, the ids of MAVLink packets, the units of Modbus messages.
 *
 * Pure.  Messages are told by what they look like, not by the framing that
 * they came in: payloads may be whole or inner ones, and may have come
 * through a framing of another kind.
 */
#ifndef FILTER_H
#define FILTER_H

#include "error.h"

#define RANGES_MAX 64
/* The longest Modbus message: a whole one of modbus-ascii. */
#define MODBUS_LONGEST 513

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

/* What a message is the newest of. */
enum latest { LATEST_NONE, LATEST_NMEA, LATEST_MAVLINK };

/* What is to be known of a Modbus message to find its answer. */
struct modbus {
	uint8_t unit, function;
	uint8_t data[4]; /* after the function code */
	unsigned ndata;	 /* how many of them there are */
};
#define MODBUS_BROADCAST 0

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
/* The same state for a rate that may be another one: at most all of it is used up. */
uint64_t rate_carry(const struct rate *rate, uint64_t until, uint64_t now);

/*
 * The same for each message of its own.  A rate that is not used up is no different
 * from one that is new, so only those that are used up take a place; when there are more
 * of them than places, the rate of one more is used up, too.
 */
#define RATE_MESSAGES 128
struct message_rates {
	struct message_rate {
		uint64_t message; /* 0: free, and has always been */
		uint64_t until;
	} at[RATE_MESSAGES];
};
bool message_rate_allows(const struct rate *rate, struct message_rates *rates,
    uint64_t message, uint64_t now);
/* It is used up until then, as far as it can be. */
void message_rate_used(const struct rate *rate, struct message_rates *rates,
    uint64_t message, uint64_t until, uint64_t now);
/* A number for the name of an NMEA sentence, or the id of a MAVLink message; 0: it is
 * none. */
uint64_t nmea_message(const uint8_t *payload, size_t len);
uint64_t mavlink_message(const uint8_t *payload, size_t len);

/*
 * Messages of the same key replace each other.  False: it has none, and
 * neither replaces anything nor is replaced.
 */
bool latest_key(
    enum latest kind, const uint8_t *payload, size_t len, struct bytes *ret);

/* False: not a Modbus message. */
bool modbus_read(const uint8_t *payload, size_t len, struct modbus *ret);
/*
 * By unit and function, and by what an answer says of its request: how much
 * was read, where was written.
 */
bool modbus_answers(const struct modbus *request, const struct modbus *answer);

#endif
