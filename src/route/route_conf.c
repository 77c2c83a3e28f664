/*
 * route_conf: the keys of a [route] section, and the checks of their combination.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "expression_tree.h"
#include "route.h"

static int
parse_expression(void *field, const char *value, struct error *err)
{
	struct expression_tree *tree;
	int r = expression_parse(value, &tree, err);

	if (r != 0)
		return r;
	expression_tree_free(tree);
	return replace_string(field, value);
}

static int
parse_nmea(void *field, const char *value, struct error *err)
{
	int r = nmea_list_check(value, err);

	return r != 0 ? r : replace_string(field, value);
}

static int
parse_mavlink(void *field, const char *value, struct error *err)
{
	return ranges_parse(value, 0xffffff, "message id", field, err);
}

static int
parse_units(void *field, const char *value, struct error *err)
{
	return ranges_parse(value, 255, "unit", field, err);
}

static int
parse_functions(void *field, const char *value, struct error *err)
{
	return ranges_parse(value, 127, "function", field, err);
}

/* A number of units with a sign. */
static int
parse_unit_offset(void *field, const char *value, struct error *err)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(value, &end, 10);
	if (errno != 0 || end == value || *end != '\0' || n < -255 || n > 255)
		return error_fail(err, -EINVAL,
		    "'%.40s' is not an offset of units; a number from -255 to"
		    " 255, which is added to the unit of a request, as in -100",
		    value);
	*(int *)field = (int)n;
	return 0;
}

static int
parse_rate(void *field, const char *value, struct error *err)
{
	return rate_parse(value, field, err);
}

static const char *const latest_words[] = {
	[LATEST_NONE] = "none",
	[LATEST_NMEA] = "nmea",
	[LATEST_MAVLINK] = "mavlink",
	NULL,
};
static const char *const exchange_words[] = {
	[EXCHANGE_NONE] = "none",
	[EXCHANGE_MODBUS] = "modbus",
	[EXCHANGE_ANY] = "any",
	NULL,
};
static const char *const prefer_words[] = {
	[PREFER_NONE] = "none",
	[PREFER_FROM] = "from",
	[PREFER_TO] = "to",
	NULL,
};
static const char *const routing_words[] = {
	[ROUTING_ALL] = "all",
	[ROUTING_TARGET] = "target",
	NULL,
};
static const char *const functions_words[] = {
	[FUNCTIONS_ALL] = "all",
	[FUNCTIONS_READ] = "read",
	NULL,
};

static const struct key permitted = {
	.name = "functions", .type = KEY_WORD, .words = functions_words
};

/* A list of functions is another key. */
static int
parse_permitted(void *field, const char *value, struct error *err)
{
	int r = key_parse(&permitted, field, value, err);

	if (r == -EINVAL && *value >= '0' && *value <= '9')
		error_append(
		    err, "; did you mean match_function = %.40s?", value);
	return r;
}

static void
print_permitted(const void *field, char *buf, size_t size)
{
	key_print(&permitted, field, buf, size);
}

#define OFFSET(member) offsetof(struct route_conf, member)

const struct key route_keys[] = {
	{ .name = "between",
	    .type = KEY_STRING,
	    .offset = OFFSET(between),
	    .help = "endpoints that each forward to every other of them" },
	{ .name = "from",
	    .type = KEY_STRING,
	    .offset = OFFSET(from),
	    .help = "endpoints that forward to those of 'to'" },
	{ .name = "to",
	    .type = KEY_STRING,
	    .offset = OFFSET(to),
	    .help = "endpoints that get what comes from those of 'from'" },
	{ .name = "match",
	    .type = KEY_CUSTOM,
	    .offset = OFFSET(match),
	    .parse = parse_expression,
	    .help = "only frames that this POSIX extended regular expression"
		    " finds something in" },
	{ .name = "reject",
	    .type = KEY_CUSTOM,
	    .offset = OFFSET(reject),
	    .parse = parse_expression,
	    .help = "no frames that this one finds something in" },
	{ .name = "match_hex",
	    .type = KEY_HEX,
	    .offset = OFFSET(match_hex),
	    .max = sizeof(((struct bytes *)NULL)->b),
	    .help = "only frames that begin with these bytes" },
	{ .name = "match_nmea",
	    .type = KEY_CUSTOM,
	    .offset = OFFSET(match_nmea),
	    .parse = parse_nmea,
	    .help = "only these NMEA sentences, none of those after a !" },
	{ .name = "match_mavlink",
	    .type = KEY_CUSTOM,
	    .offset = OFFSET(match_mavlink),
	    .parse = parse_mavlink,
	    .help = "only MAVLink messages of these ids" },
	{ .name = "match_unit",
	    .type = KEY_CUSTOM,
	    .offset = OFFSET(match_unit),
	    .parse = parse_units,
	    .help = "only Modbus messages of these units" },
	{ .name = "match_function",
	    .type = KEY_CUSTOM,
	    .offset = OFFSET(match_function),
	    .parse = parse_functions,
	    .help = "only Modbus messages of these functions" },
	{ .name = "functions",
	    .type = KEY_CUSTOM,
	    .offset = OFFSET(functions),
	    .parse = parse_permitted,
	    .print = print_permitted,
	    .words = functions_words,
	    .help =
		"'read': only Modbus messages of functions that only read" },
	{ .name = "rate",
	    .type = KEY_CUSTOM,
	    .offset = OFFSET(rate),
	    .parse = parse_rate,
	    .help = "at most so many frames to each endpoint in a time" },
	{ .name = "latest",
	    .type = KEY_WORD,
	    .offset = OFFSET(latest),
	    .words = latest_words,
	    .help = "of frames that wait, only the newest of each NMEA"
		    " sentence or MAVLink message is kept" },
	{ .name = "duplicates",
	    .type = KEY_TIME,
	    .offset = OFFSET(duplicates),
	    .max = 3600 * NSEC_PER_SEC,
	    .help = "frames with equal content that come from another source"
		    " within this time are dropped" },
	{ .name = "routing",
	    .type = KEY_WORD,
	    .offset = OFFSET(routing),
	    .words = routing_words,
	    .help = "'target': MAVLink messages that are addressed go only"
		    " where their system was heard" },
	{ .name = "prefer",
	    .type = KEY_WORD,
	    .offset = OFFSET(prefer),
	    .words = prefer_words,
	    .help = "of 'from', or of 'to', only the first that is live is"
		    " used" },
	{ .name = "live_match",
	    .type = KEY_CUSTOM,
	    .offset = OFFSET(live_match),
	    .parse = parse_expression,
	    .help = "a source is live while it sends frames that this POSIX"
		    " extended regular expression finds something in" },
	{ .name = "fail_after",
	    .type = KEY_TIME,
	    .offset = OFFSET(fail_after),
	    .min = NSEC_PER_MSEC,
	    .max = 3600 * NSEC_PER_SEC,
	    .help = "how long it may send, or take, nothing before the next"
		    " one is used" },
	{ .name = "recover_after",
	    .type = KEY_TIME,
	    .offset = OFFSET(recover_after),
	    .min = NSEC_PER_MSEC,
	    .max = 3600 * NSEC_PER_SEC,
	    .help = "how long it has to be live before it is used again" },
	{ .name = "exchange",
	    .type = KEY_WORD,
	    .offset = OFFSET(exchange),
	    .words = exchange_words,
	    .help = "'from' are masters that share the bus at 'to': one"
		    " request at a time, its answer to who asked" },
	{ .name = "answer_timeout",
	    .type = KEY_TIME,
	    .offset = OFFSET(answer_timeout),
	    .min = NSEC_PER_MSEC,
	    .max = 3600 * NSEC_PER_SEC,
	    .help = "how long the answer to a request is awaited" },
	{ .name = "late_guard",
	    .type = KEY_TIME,
	    .offset = OFFSET(late_guard),
	    .min = NSEC_PER_MSEC,
	    .max = 3600 * NSEC_PER_SEC,
	    .help = "how long after that a late answer keeps the same unit"
		    " from being asked the same function" },
	{ .name = "request_timeout",
	    .type = KEY_TIME,
	    .offset = OFFSET(request_timeout),
	    .min = NSEC_PER_MSEC,
	    .max = 3600 * NSEC_PER_SEC,
	    .help = "how long a request may wait before it is sent" },
	{ .name = "min_gap",
	    .type = KEY_TIME,
	    .offset = OFFSET(min_gap),
	    .max = 60 * NSEC_PER_SEC,
	    .help = "the minimum time between an answer and the next request" },
	{ .name = "retries",
	    .type = KEY_NUMBER,
	    .offset = OFFSET(retries),
	    .max = 10,
	    .help = "how often a request that is not answered is sent again" },
	{ .name = "window",
	    .type = KEY_NUMBER,
	    .offset = OFFSET(window),
	    .min = 1,
	    .max = EXCHANGE_WINDOW_MAX,
	    .help = "how many requests may await their answers at a time, on a"
		    " bus whose messages have numbers" },
	{ .name = "unit_offset",
	    .type = KEY_CUSTOM,
	    .offset = OFFSET(unit_offset),
	    .parse = parse_unit_offset,
	    .help = "a number that is added to the unit of each request" },
	{ .name = "priority",
	    .type = KEY_STRING,
	    .offset = OFFSET(priority),
	    .help = "masters whose requests are sent before those of others" },
	{ .name = "answer_match",
	    .type = KEY_CUSTOM,
	    .offset = OFFSET(answer_match),
	    .parse = parse_expression,
	    .help = "an answer is a frame that this POSIX extended regular"
		    " expression finds something in" },
	{ .name = "answer_match_hex",
	    .type = KEY_HEX,
	    .offset = OFFSET(answer_match_hex),
	    .max = sizeof(((struct bytes *)NULL)->b),
	    .help = "an answer is a frame that begins with these bytes" },
	{ .name = "answer_frames",
	    .type = KEY_NUMBER,
	    .offset = OFFSET(answer_frames),
	    .min = 1,
	    .max = 1000,
	    .help = "the number of frames of each answer" },
	{ .name = "no_answer",
	    .type = KEY_CUSTOM,
	    .offset = OFFSET(no_answer),
	    .parse = parse_expression,
	    .help = "requests that this POSIX extended regular expression"
		    " finds something in are not answered" },
	{ .name = NULL },
};
_Static_assert(NELEM(route_keys) <= ROUTE_KEYS, "too many keys");

int
route_conf_line(const struct route_conf *conf, const char *key)
{
	int line = conf->key_line[key_find(route_keys, key) - route_keys];

	return line != 0 ? line : conf->line;
}

void
route_conf_print(const struct route_conf *conf, const struct key *key,
    char *buf, size_t size)
{
	const char *line = conf->text;
	size_t len = strlen(key->name);

	buf[0] = '\0';
	while (line != NULL && (line = strchr(line, '\n')) != NULL)
		if (strncmp(++line, key->name, len) == 0 && line[len] == '=') {
			line += len + 1;
			snprintf(
			    buf, size, "%.*s", (int)strcspn(line, "\n"), line);
			return;
		}
	if (key->words != NULL)
		key_print(key, conf, buf, size);
}

void
route_conf_free(struct route_conf *conf)
{
	if (conf == NULL)
		return;
	key_free(route_keys, conf);
	free(conf->match);
	free(conf->reject);
	free(conf->match_nmea);
	free(conf->answer_match);
	free(conf->live_match);
	free(conf->no_answer);
	free(conf->name);
	free(conf->text);
	free(conf);
}

/* --- lists of names ------------------------------------------------------ */

/* The number of names; -EINVAL with a message when there is none, or one occurs twice. */
static int
check_list(const char *key, const char *list, struct error *err)
{
	const char *word, *other, *rest;
	size_t len, n;
	int count = 0;

	while ((word = list_word(&list, &len)) != NULL) {
		count++;
		rest = list;
		while ((other = list_word(&rest, &n)) != NULL) {
			if (n != len || memcmp(word, other, n) != 0)
				continue;
			return error_fail(err, -EINVAL,
			    "'%.*s' stands twice in '%s'", (int)MIN(len, 40),
			    word, key);
		}
	}
	if (count == 0)
		return error_fail(err, -EINVAL, "'%s' names no endpoint", key);
	return count;
}

/* Checks that 'to' is a single endpoint, which is not in 'from'. */
static int
check_exchange(const struct route_conf *conf, struct error *err)
{
	const char *list = conf->to, *word, *bus;
	size_t len, bus_len;

	if (conf->exchange == EXCHANGE_NONE)
		return 0;
	if (conf->latest != LATEST_NONE)
		return error_fail(
		    err, -EINVAL, "'latest' does not go with 'exchange'");
	if (conf->duplicates != 0)
		return error_fail(
		    err, -EINVAL, "'duplicates' does not go with 'exchange'");
	bus = list_word(&list, &bus_len);
	if (list_word(&list, &len) != NULL) {
		error_set(err,
		    "'to' of an exchange is one endpoint, the"
		    " bus that those of 'from' share; for several buses write"
		    " a [route] to each");
		list = conf->from;
		word = list_word(&list, &len);
		if (list_word(&list, &(size_t){ 0 }) == NULL)
			error_append(err,
			    "; if that is '%.*s', swap 'from' and 'to'",
			    (int)MIN(len, 40), word);
		return -EINVAL;
	}
	list = conf->from;
	while ((word = list_word(&list, &len)) != NULL)
		if (len == bus_len && memcmp(word, bus, len) == 0)
			return error_fail(err, -EINVAL,
			    "'from' of an exchange are the"
			    " masters: '%.*s' in it is the bus",
			    (int)MIN(len, 40), word);
	return 0;
}

/* The kinds of exchange in which a key is valid. */
enum { IN_MODBUS = 1 << EXCHANGE_MODBUS, IN_ANY = 1 << EXCHANGE_ANY };

struct exchange_key {
	const char *name;
	bool given;
	int valid;
	bool bus; /* it applies to the bus, not to the route */
};

#define EXCHANGE_KEYS 12

static void
list_exchange_keys(
    const struct route_conf *conf, struct exchange_key ret[EXCHANGE_KEYS])
{
	const int both = IN_MODBUS | IN_ANY;
	const struct exchange_key all[EXCHANGE_KEYS] = {
		{ "answer_timeout", conf->answer_timeout != 0, both, true },
		{ "late_guard", conf->late_guard != 0, both, true },
		{ "request_timeout", conf->request_timeout != 0, both, true },
		{ "min_gap", conf->min_gap != 0, both, true },
		{ "retries", conf->retries != 0, both, true },
		{ "priority", conf->priority != NULL, both, true },
		{ "window", conf->window != 0, IN_MODBUS, true },
		{ "answer_match", conf->answer_match != NULL, IN_ANY, true },
		{ "answer_match_hex", conf->answer_match_hex.len > 0, IN_ANY,
		    true },
		{ "answer_frames", conf->answer_frames != 0, IN_ANY, true },
		{ "no_answer", conf->no_answer != NULL, IN_ANY, true },
		{ "unit_offset", conf->unit_offset != 0, IN_MODBUS, false },
	};

	memcpy(ret, all, sizeof(all));
}

const char *
route_conf_bus_key(const struct route_conf *conf)
{
	struct exchange_key key[EXCHANGE_KEYS];

	list_exchange_keys(conf, key);
	for (size_t i = 0; i < EXCHANGE_KEYS; i++)
		if (key[i].given && key[i].bus)
			return key[i].name;
	return NULL;
}

/* Checks that keys that are given belong to this kind of exchange. */
static int
check_exchange_keys(const struct route_conf *conf, struct error *err)
{
	struct exchange_key key[EXCHANGE_KEYS];

	list_exchange_keys(conf, key);
	for (size_t i = 0; i < EXCHANGE_KEYS; i++) {
		if (!key[i].given || (key[i].valid >> conf->exchange & 1) != 0)
			continue;
		return error_fail(err, -EINVAL, "'%s' is only valid with %s",
		    key[i].name,
		    key[i].valid == IN_MODBUS	 ? "exchange = modbus"
			: key[i].valid == IN_ANY ? "exchange = any"
						 : "'exchange'");
	}
	if (conf->functions == FUNCTIONS_READ && conf->match_function.n > 0)
		return error_fail(err, -EINVAL,
		    "'functions' and 'match_function' exclude each other:"
		    " functions = read is a list of functions, too");
	return 0;
}

/* Checks what uses one endpoint of a list at a time; after the lists themselves. */
static int
check_prefer(const struct route_conf *conf, struct error *err)
{
	const char *key = conf->live_match != NULL ? "live_match"
	    : conf->fail_after != 0		   ? "fail_after"
	    : conf->recover_after != 0		   ? "recover_after"
						   : NULL;
	const char *list = conf->prefer == PREFER_FROM ? conf->from : conf->to;
	size_t len;

	if (conf->prefer == PREFER_NONE && key != NULL)
		return error_fail(
		    err, -EINVAL, "'%s' is only valid with 'prefer'", key);
	if (conf->prefer == PREFER_NONE)
		return 0;
	if (conf->exchange != EXCHANGE_NONE)
		return error_fail(
		    err, -EINVAL, "'prefer' does not go with 'exchange'");
	if (conf->between != NULL)
		return error_fail(err, -EINVAL,
		    "'prefer' needs 'from' and 'to' in place of 'between'");
	if (conf->prefer == PREFER_TO && conf->live_match != NULL)
		return error_fail(err, -EINVAL,
		    "'live_match' is for sources: it is only valid with"
		    " prefer = from");
	list_word(&list, &len);
	if (list_word(&list, &len) == NULL)
		return error_fail(err, -EINVAL,
		    "prefer = %s needs two or more endpoints in '%s', in the"
		    " order of preference",
		    prefer_words[conf->prefer], prefer_words[conf->prefer]);
	return 0;
}

int
route_conf_check(const struct route_conf *conf, struct error *err)
{
	int n;

	if (check_exchange_keys(conf, err) != 0)
		return -EINVAL;
	if (conf->between != NULL && check_prefer(conf, err) != 0)
		return -EINVAL;
	if (conf->between != NULL && conf->exchange != EXCHANGE_NONE)
		return error_fail(err, -EINVAL,
		    "'exchange' needs 'from', the masters, and"
		    " 'to', the bus that they share, in place of 'between'");
	if (conf->between != NULL && (conf->from != NULL || conf->to != NULL))
		return error_fail(
		    err, -EINVAL, "give either 'between', or 'from' and 'to'");
	if (conf->between != NULL) {
		n = check_list("between", conf->between, err);
		if (n == 1)
			error_set(err, "'between' needs two endpoints");
		return n < 2 ? -EINVAL : 0;
	}
	if (conf->from == NULL && conf->to == NULL)
		return error_fail(
		    err, -EINVAL, "give 'between = A B', or 'from' and 'to'");
	if (conf->from == NULL || conf->to == NULL)
		return error_fail(err, -EINVAL,
		    "'%s' is given, and '%s' is missing",
		    conf->from == NULL ? "to" : "from",
		    conf->from == NULL ? "from" : "to");
	n = check_list("from", conf->from, err);
	if (n > 0)
		n = check_list("to", conf->to, err);
	if (n > 0)
		n = check_exchange(conf, err);
	if (n >= 0)
		n = check_prefer(conf, err);
	return MIN(n, 0);
}
