/*
 * key_error: error messages for invalid values.
 *
 * A message is made from the row of the key and the row of its type, so that the errors
 * of all keys of a type are worded alike.
 */
#include <errno.h>
#include <string.h>

#include "key_type.h"

#define QUOTE_MAX 64 /* of an invalid value, as quoted in a message */
#define BYTES_MAX sizeof(((struct bytes *)0)->b)

/* The maximum number of bytes of a value that is counted in bytes, or 0. */
static uint64_t
bytes_max(const struct key *key)
{
	if (key->type == KEY_TEXT)
		return KEY_TEXT_MAX;
	return key->type == KEY_BYTES || key->type == KEY_HEX ? BYTES_MAX : 0;
}

/* Synonyms that other programs use for our words. */
static const struct {
	const char *word, *ours;
} synonyms[] = {
	{ "hardware", "rtscts" },
	{ "hw", "rtscts" },
	{ "crtscts", "rtscts" },
	{ "rts/cts", "rtscts" },
	{ "cts", "rtscts" },
	{ "software", "xonxoff" },
	{ "sw", "xonxoff" },
	{ "xon/xoff", "xonxoff" },
	{ "soft", "xonxoff" },
	{ "off", "none" },
	{ "no", "none" },
	{ "yes", "on" },
	{ "high", "on" },
	{ "low", "off" },
	{ "1", "on" },
	{ "0", "off" },
	{ "readonly", "read" },
	{ "ro", "read" },
	{ "r", "read" },
	{ "write", "full" },
	{ "rw", "full" },
	{ "admin", "full" },
	{ "all", "full" },
	{ "wait", "block" },
	{ "pause", "block" },
	{ "drop", "drop-oldest" },
	{ "oldest", "drop-oldest" },
	{ "newest", "drop-newest" },
	{ "close", "disconnect" },
	{ "\\n", "lf" },
	{ "\\r\\n", "crlf" },
	{ "\\r", "cr" },
	{ "unix", "lf" },
	{ "dos", "crlf" },
	{ "windows", "crlf" },
	{ "be", "big" },
	{ "network", "big" },
	{ "le", "little" },
	{ "warn", "warning" },
	{ "err", "error" },
	{ "verbose", "debug" },
	{ "trace", "debug" },
	{ "newline", "line" },
	{ "lines", "line" },
	{ "text", "line" },
	{ "ascii", "line" },
	{ "json", "line" },
	{ "ndjson", "line" },
	{ "binary", "raw" },
	{ "none", "raw" },
	{ "ppp", "hdlc" },
	{ "rtu", "modbus-rtu" },
	{ "modbus", "modbus-rtu" },
	{ "mbap", "modbus-tcp" },
	{ "tcp", "modbus-tcp" },
	{ "mbtcp", "modbus-tcp" },
	{ "tcp-modbus", "modbus-tcp" },
	{ "tcpmodbus", "modbus-tcp" },
	{ "modbus-ip", "modbus-tcp" },
	{ "rtu-over-tcp", "modbus-rtu" },
	{ "modbus-rtu-over-tcp", "modbus-rtu" },
	{ "rtuovertcp", "modbus-rtu" },
	{ "gps", "nmea" },
	{ "nmea0183", "nmea" },
	{ "ublox", "ubx" },
	{ "length-prefixed", "length" },
	{ "silence", "idle" },
	{ "timeout", "idle" },
	{ "separator", "delimiter" },
	{ "terminator", "delimiter" },
};

const char *
key_meant(const char *value, const char *const *words)
{
	for (size_t i = 0; i < NELEM(synonyms); i++) {
		if (strcasecmp(synonyms[i].word, value) != 0)
			continue;
		for (size_t j = 0; words[j] != NULL; j++)
			if (strcmp(words[j], synonyms[i].ours) == 0)
				return words[j];
	}
	return nearest(value, words);
}

static void
say_nearest(const char *value, const char *const *words, struct error *err)
{
	error_append_meant(err, key_meant(value, words));
}

/* "'rtsct' is not one of none, rtscts; did you mean 'rtscts'?" */
static void
say_words(const struct key *key, const char *quoted, const char *value,
    struct error *err)
{
	error_append(err, "'%s' is not one of", quoted);
	for (size_t i = 0; key->words[i] != NULL; i++)
		error_append(err, "%s %s", i > 0 ? "," : "", key->words[i]);
	say_nearest(value, key->words, err);
}

/* "50 to 4000000", "at least 1K", "at most 5s" or "none or 1 to 256K". */
static void
say_bounds(const struct key *key, struct error *err)
{
	const struct key_type_ops *type = &key_types[key->type];
	uint64_t lower = key->min, upper = key->max;
	char min[32], max[32];

	if (bytes_max(key) != 0) {
		lower = MAX(lower, 1U);
		upper = upper == 0 ? bytes_max(key) : upper;
	}
	type->bound(lower, min, sizeof min);
	type->bound(upper, max, sizeof max);
	if (key->none)
		error_append(err, "none or ");
	if (upper == 0)
		error_append(err, "at least %s", min);
	else if (lower == upper)
		error_append(err, "%s", min);
	else if (lower == 0 && key->type == KEY_TIME)
		error_append(err, "at most %s", max);
	else
		error_append(err, "%s to %s", min, max);
}

/* The value has the right type, but is out of range. */
static void
say_range(const struct key *key, const char *quoted, struct error *err)
{
	const struct key_type_ops *type = &key_types[key->type];
	bool counted = bytes_max(key) != 0;

	if (key->type == KEY_STRING && quoted[0] == '\0') {
		error_append(err, "%s is empty", key->name);
		return;
	}
	if (key->type == KEY_TIME && strcmp(quoted, "none") == 0) {
		error_append(err, "'none' is not possible; %s is ", key->name);
		say_bounds(key, err);
		return;
	}
	error_append(err, "'%s' is out of range; %s is ", quoted, key->name);
	if (type->bound == NULL || (key->max == 0 && key->min == 0 && !counted))
		error_append(err, "smaller");
	else
		say_bounds(key, err);
	if (counted)
		error_append(err, " bytes long");
	else if (key->type == KEY_STRING)
		error_append(err, " characters long");
}

/* Whether all the examples of the form are valid values of the key. */
static bool
fits_form(const struct key *key)
{
	if (key->type == KEY_TIME)
		return key->min == 0;
	return key->type != KEY_SIZE || (!key->none && key->max >= 1 << 20);
}

/* The value does not have the right type. */
static void
say_kind(const struct key *key, const char *quoted, const char *value,
    struct error *err)
{
	static const char *const bool_words[] = {
		"yes",
		"no",
		"true",
		"false",
		"on",
		"off",
		NULL,
	};
	const struct key_type_ops *type = &key_types[key->type];

	error_append(err, "'%s' is %s", quoted, type->what);
	if (key->type == KEY_BOOL) {
		say_nearest(value, bool_words, err);
	} else if (!fits_form(key)) {
		error_append(err, "; %s is ", key->name);
		say_bounds(key, err);
	} else if (type->form != NULL) {
		error_append(err, "; %s is %s", key->name, type->form);
	} else if (key->min != 0 || key->max != 0) {
		error_append(err, "; %s is ", key->name);
		say_bounds(key, err);
	}
}

void
key_explain(const struct key *key, const char *value, int r, struct error *err)
{
	char quoted[QUOTE_MAX];

	printable(value, quoted, sizeof quoted);
	error_clear(err);
	if (r == -ENOMEM)
		error_append(err, "out of memory");
	else if (key->type == KEY_WORD)
		say_words(key, quoted, value, err);
	else if (r == -ERANGE)
		say_range(key, quoted, err);
	else
		say_kind(key, quoted, value, err);
}
