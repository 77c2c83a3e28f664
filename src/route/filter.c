/*
 * filter: what routes know of messages.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "mavlink.h"
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
	/* "5/s" is 5/1s. */
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
 * *until is when the frames so far would have been due, one each per/n: it may
 * be ahead of the clock by n of them.
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

/* The rate of a message, or a place for it; NULL: there is none. */
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

#define NMEA_NAME 15

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
		if (len > 0 && len <= NMEA_NAME &&
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

/* '*' stands for any characters, '?' for one. */
static bool
fits(const char *word, size_t n, const uint8_t *name, size_t len)
{
	size_t star = n, at = 0, w = 0, i = 0;

	while (i < len) {
		if (w < n && word[w] == '*') {
			star = w++;
			at = i;
		} else if (w < n &&
		    (word[w] == '?' ||
			toupper((unsigned char)word[w]) == toupper(name[i]))) {
			w++;
			i++;
		} else if (star < n) {
			w = star + 1;
			i = ++at;
		} else
			return false;
	}
	while (w < n && word[w] == '*')
		w++;
	return w == n;
}

/* A sentence after its TAG block and start character, which may be missing. */
static bool
nmea_text(const uint8_t **text, size_t *len, bool *encapsulated)
{
	const uint8_t *p = *text, *end = p + *len, *tag;

	if (p < end && *p == '\\') {
		tag = memchr(p + 1, '\\', (size_t)(end - p) - 1);
		if (tag == NULL)
			return false;
		p = tag + 1;
	}
	*encapsulated = p < end && *p == '!';
	if (p < end && (*p == '$' || *p == '!'))
		p++;
	*text = p;
	*len = (size_t)(end - p);
	return true;
}

/* The field of that number; the name is number 0. */
static const uint8_t *
nmea_field(const uint8_t *text, size_t len, unsigned number, size_t *ret_len)
{
	const uint8_t *p = text, *end = text + len, *stop;

	stop = memchr(p, '*', len);
	if (stop != NULL)
		end = stop;
	for (;; p = stop + 1) {
		stop = memchr(p, ',', (size_t)(end - p));
		if (number-- == 0)
			break;
		if (stop == NULL)
			return NULL;
	}
	*ret_len = (size_t)((stop != NULL ? stop : end) - p);
	return p;
}

static const uint8_t *
nmea_name(const uint8_t *text, size_t len, size_t *ret_len)
{
	const uint8_t *name = nmea_field(text, len, 0, ret_len);

	if (*ret_len == 0 || *ret_len > NMEA_NAME)
		return NULL;
	for (size_t i = 0; i < *ret_len; i++)
		if (!isalnum(name[i]))
			return NULL;
	return name;
}

bool
match_nmea(const char *list, const uint8_t *payload, size_t len)
{
	const char *word;
	const uint8_t *name;
	size_t n, length;
	bool wanted = false, only = false, encapsulated;

	name = !nmea_text(&payload, &len, &encapsulated)
	    ? NULL
	    : nmea_name(payload, len, &length);
	while ((word = list_word(&list, &n)) != NULL) {
		bool out = *word == '!';

		if (!out)
			only = true;
		if (name == NULL || !fits(word + out, n - out, name, length))
			continue;
		if (out)
			return false;
		wanted = true;
	}
	return wanted || !only;
}

uint64_t
nmea_message(const uint8_t *payload, size_t len)
{
	const uint8_t *name;
	bool encapsulated;
	uint64_t hash = 0xcbf29ce484222325;
	size_t n;

	if (!nmea_text(&payload, &len, &encapsulated) ||
	    (name = nmea_name(payload, len, &n)) == NULL)
		return 0;
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (uint64_t)toupper(name[i])) * 0x100000001b3;
	return MAX(hash, (uint64_t)1);
}

/* --- MAVLink ------------------------------------------------------------- */

struct mavlink {
	uint32_t id;
	uint8_t system, component;
};

/* The bytes between magic and CRC, or nothing but them and a signature. */
static void
mavlink_body(const uint8_t *body, bool v2, struct mavlink *ret)
{
	if (v2) {
		ret->system = body[4];
		ret->component = body[5];
		ret->id =
		    body[6] | (uint32_t)body[7] << 8 | (uint32_t)body[8] << 16;
	} else {
		ret->system = body[2];
		ret->component = body[3];
		ret->id = body[4];
	}
}

/* The length of what lies between magic and CRC: 0 when len says otherwise. */
static size_t
mavlink_length(const uint8_t *body, size_t len, bool v2, size_t crc)
{
	size_t n = len < 5 ? 0 : body[0] + (v2 ? 9u : 5u);

	if (n == 0 || len < n + crc)
		return 0;
	if (len == n + crc)
		return n;
	return v2 && (body[1] & 1) && len == n + crc + 13 ? n : 0;
}

/* For the few inner ones that look like whole ones as well. */
static bool
mavlink_sum(const uint8_t *body, size_t n, const struct mavlink *m)
{
	uint16_t crc = crc16_x25(0xffff, body, n);
	int known = mavlink_extra(m->id);
	uint8_t extra = (uint8_t)known;

	return known >= 0 &&
	    crc16_x25(crc, &extra, 1) == (body[n] | body[n + 1] << 8);
}

static bool
mavlink_read(const uint8_t *payload, size_t len, struct mavlink *ret)
{
	bool v2 = len > 0 && payload[0] == 0xfd;
	size_t whole = 0, v1_inner, v2_inner;

	if (len > 1 && (v2 || payload[0] == 0xfe))
		whole = mavlink_length(payload + 1, len - 1, v2, 2);
	v1_inner = mavlink_length(payload, len, false, 0);
	v2_inner = mavlink_length(payload, len, true, 0);
	if (whole > 0) {
		mavlink_body(payload + 1, v2, ret);
		if (v1_inner + v2_inner == 0 ||
		    mavlink_sum(payload + 1, whole, ret))
			return true;
	}
	if (v1_inner + v2_inner == 0)
		return false;
	mavlink_body(payload, v1_inner == 0, ret);
	return true;
}

bool
match_mavlink(const struct ranges *ids, const uint8_t *payload, size_t len)
{
	struct mavlink m;

	return mavlink_read(payload, len, &m) && ranges_have(ids, m.id);
}

uint64_t
mavlink_message(const uint8_t *payload, size_t len)
{
	struct mavlink m;

	return mavlink_read(payload, len, &m) ? m.id + 1ULL : 0;
}

/* --- the newest of its kind ---------------------------------------------- */

/*
 * Sentences of one name that stand beside each other: what tells them apart is
 * in that field.
 */
static const struct {
	const char *name;
	unsigned field;
} apart[] = {
	{ "*GSV", 2 },
	{ "*RTE", 2 },
	{ "*TXT", 2 },
	{ "*ALM", 2 },
	{ "*XDR", 4 },
	{ "PUBX", 1 },
};

static bool
nmea_key(const uint8_t *text, size_t len, struct bytes *ret)
{
	const uint8_t *name, *field;
	size_t n = 0, length;
	bool encapsulated;

	/* What is encapsulated (AIS) speaks of many ships. */
	if (!nmea_text(&text, &len, &encapsulated) || encapsulated ||
	    (name = nmea_name(text, len, &length)) == NULL)
		return false;
	ret->len = (uint8_t)length;
	memcpy(ret->b, name, length);
	for (size_t i = 0; i < NELEM(apart); i++) {
		if (!fits(apart[i].name, strlen(apart[i].name), name, length))
			continue;
		field = nmea_field(text, len, apart[i].field, &n);
		if (field == NULL || length + 1 + n > sizeof(ret->b))
			return false;
		ret->b[length] = ',';
		memcpy(ret->b + length + 1, field, n);
		ret->len = (uint8_t)(length + 1 + n);
	}
	return true;
}

bool
latest_key(
    enum latest kind, const uint8_t *payload, size_t len, struct bytes *ret)
{
	struct mavlink m;

	if (kind == LATEST_NMEA)
		return nmea_key(payload, len, ret);
	if (kind != LATEST_MAVLINK || !mavlink_read(payload, len, &m))
		return false;
	ret->len = 6;
	memcpy(ret->b, &m.id, 4);
	ret->b[4] = m.system;
	ret->b[5] = m.component;
	return true;
}

/* --- Modbus -------------------------------------------------------------- */

#define MODBUS_EXCEPTION 0x80
#define MODBUS_HEAD 6
#define MBAP 6 /* the header of modbus-tcp, up to the unit */

static int
hex_pair(const uint8_t *p)
{
	char pair[3] = { (char)p[0], (char)p[1], '\0' };

	if (!isxdigit(p[0]) || !isxdigit(p[1]))
		return -1;
	return (int)strtol(pair, NULL, 16);
}

/* A whole message of modbus-ascii: its first bytes, -1 when it is none. */
static int
modbus_text(const uint8_t *text, size_t len, uint8_t *head)
{
	uint8_t sum = 0;
	int n = 0, byte;

	if (len < 7 || len % 2 == 0 || text[0] != ':')
		return -1;
	for (size_t i = 1; i < len; i += 2) {
		if ((byte = hex_pair(text + i)) < 0)
			return -1;
		sum = (uint8_t)(sum + byte);
		/* The last one is the sum. */
		if (n < MODBUS_HEAD && i + 2 < len)
			head[n++] = (uint8_t)byte;
	}
	return sum == 0 ? n : -1;
}

/*
 * A whole message of modbus-tcp, which begins with a header.  Serial messages of a few
 * functions may look the same when their address is 0: a whole one has a CRC; an inner
 * one is a request for two coils to be written, which would be one of functions 0 to 3
 * without data, or for registers to be read and written.
 */
static bool
modbus_has_header(const uint8_t *p, size_t len)
{
	if (len < MBAP + 2 || len > MBAP + 254 || (p[2] | p[3] | p[4]) != 0 ||
	    p[5] != len - MBAP)
		return false;
	if (len == MBAP + 2 && p[7] < 4)
		return false;
	if (p[1] == 23 && len > 11 && p[8] == 0 && p[10] == 2 * p[9] &&
	    p[10] == len - 11)
		return false;
	return crc16_modbus(0xffff, p, len) != 0;
}

bool
modbus_read(const uint8_t *payload, size_t len, struct modbus *ret)
{
	uint8_t head[MODBUS_HEAD];
	int n = modbus_text(payload, len, head);

	if (n < 0 && modbus_has_header(payload, len)) {
		payload += MBAP;
		len -= MBAP;
	}
	if (n < 0) {
		n = (int)MIN(len, (size_t)MODBUS_HEAD);
		if (n < 2 || len > MODBUS_LONGEST)
			return false;
		memcpy(head, payload, (size_t)n);
	}
	ret->unit = head[0];
	ret->function = head[1];
	ret->ndata = (unsigned)n - 2;
	memcpy(ret->data, head + 2, ret->ndata);
	return true;
}

bool
match_unit(const struct ranges *units, const uint8_t *payload, size_t len)
{
	struct modbus m;

	return modbus_read(payload, len, &m) && ranges_have(units, m.unit);
}

/* What the answer to a request begins with, where that is known. */
enum answer_head { ANY, BITS, WORDS, ADDRESS };

static const uint8_t answer_heads[] = {
	[1] = BITS,
	[2] = BITS,
	[3] = WORDS,
	[4] = WORDS,
	[5] = ADDRESS,
	[6] = ADDRESS,
	[15] = ADDRESS,
	[16] = ADDRESS,
	[22] = ADDRESS,
	[23] = WORDS,
};

bool
modbus_answers(const struct modbus *request, const struct modbus *answer)
{
	unsigned n = (unsigned)request->data[2] << 8 | request->data[3];
	uint8_t head = request->function < NELEM(answer_heads)
	    ? answer_heads[request->function]
	    : ANY;

	if (answer->unit != request->unit)
		return false;
	if (answer->function == (request->function | MODBUS_EXCEPTION))
		return true;
	if (answer->function != request->function)
		return false;
	if (head == ANY || request->ndata < 4)
		return true;
	if (head == ADDRESS)
		return answer->ndata >= 2 &&
		    memcmp(answer->data, request->data, 2) == 0;
	return answer->ndata >= 1 &&
	    answer->data[0] == (head == BITS ? (n + 7) / 8 : 2 * n) % 256;
}
