/*
 * key: tables of configuration keys.
 *
 * One row of types[] for each key type: how a value is read, how it is written
 * and how a fault is told.  A reader answers -EINVAL (not of that kind) or
 * -ERANGE (outside of min to max), and the sentence is made from the row, so
 * that all keys of a type complain in the same words.
 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "key.h"

#define QUOTE_MAX 64 /* of a bad value, as it is repeated in a message */
#define TENTHS_MAX 1000000
#define BYTES_MAX sizeof(((struct bytes *)0)->b)

struct type {
	int (*parse)(const struct key *, void *field, const char *value);
	void (*print)(const struct key *, const void *field, char *, size_t);
	const char *what; /* "'x' is not ..." */
	const char *form; /* "; KEY is ...", NULL: its bounds */
	/* One of the key's bounds; NULL: has none. */
	void (*bound)(uint64_t n, char *buf, size_t size);
};

static bool
in_bounds(const struct key *key, uint64_t n)
{
	return n >= key->min && (key->max == 0 || n <= key->max);
}

static int
parse_bool_key(const struct key *key, void *field, const char *value)
{
	(void)key;
	return parse_bool(value, field);
}

static void
print_bool(const struct key *key, const void *field, char *buf, size_t size)
{
	(void)key;
	snprintf(buf, size, "%s", *(const bool *)field ? "yes" : "no");
}

static int
parse_number_key(const struct key *key, void *field, const char *value)
{
	return parse_number(
	    value, key->min, key->max == 0 ? UINT64_MAX : key->max, field);
}

static void
bound_number(uint64_t n, char *buf, size_t size)
{
	snprintf(buf, size, "%" PRIu64, n);
}

static void
print_number(const struct key *key, const void *field, char *buf, size_t size)
{
	(void)key;
	bound_number(*(const uint64_t *)field, buf, size);
}

/* Without 0x it would be a matter of opinion what 8005 is. */
static int
parse_bits_key(const struct key *key, void *field, const char *value)
{
	if (value[0] != '0' || (value[1] != 'x' && value[1] != 'X'))
		return -EINVAL;
	return parse_number_key(key, field, value);
}

static void
bound_bits(uint64_t n, char *buf, size_t size)
{
	snprintf(buf, size, "0x%02" PRIx64, n);
}

static void
print_bits(const struct key *key, const void *field, char *buf, size_t size)
{
	(void)key;
	bound_bits(*(const uint64_t *)field, buf, size);
}

static int
parse_size_key(const struct key *key, void *field, const char *value)
{
	uint64_t n;
	int error;

	if ((error = parse_size(value, &n)) != 0)
		return error;
	if (!in_bounds(key, n))
		return -ERANGE;
	*(uint64_t *)field = n;
	return 0;
}

static void
bound_size(uint64_t n, char *buf, size_t size)
{
	const char *unit = "";

	if (n != 0 && n % (1 << 20) == 0) {
		n >>= 20;
		unit = "M";
	} else if (n != 0 && n % (1 << 10) == 0) {
		n >>= 10;
		unit = "K";
	}
	snprintf(buf, size, "%" PRIu64 "%s", n, unit);
}

static void
print_size(const struct key *key, const void *field, char *buf, size_t size)
{
	(void)key;
	bound_size(*(const uint64_t *)field, buf, size);
}

static int
parse_time_key(const struct key *key, void *field, const char *value)
{
	uint64_t n;
	int error;

	if ((error = parse_time(value, &n)) != 0)
		return error;
	if (!in_bounds(key, n))
		return -ERANGE;
	*(uint64_t *)field = n;
	return 0;
}

/* In the largest unit that writes it exactly. */
static void
bound_time(uint64_t n, char *buf, size_t size)
{
	static const struct {
		uint64_t ns;
		const char *unit;
	} units[] = {
		{ 3600 * NSEC_PER_SEC, "h" },
		{ 60 * NSEC_PER_SEC, "m" },
		{ NSEC_PER_SEC, "s" },
		{ NSEC_PER_MSEC, "ms" },
		{ NSEC_PER_USEC, "us" },
		{ 1, "ns" },
	};
	size_t i = 0;

	if (n == 0) {
		snprintf(buf, size, "none");
		return;
	}
	while (n % units[i].ns != 0)
		i++;
	snprintf(buf, size, "%" PRIu64 "%s", n / units[i].ns, units[i].unit);
}

static void
print_time(const struct key *key, const void *field, char *buf, size_t size)
{
	(void)key;
	bound_time(*(const uint64_t *)field, buf, size);
}

static int
parse_word(const struct key *key, void *field, const char *value)
{
	for (int i = 0; key->words[i] != NULL; i++) {
		if (strcmp(key->words[i], value) == 0) {
			*(int *)field = i;
			return 0;
		}
	}
	return -EINVAL;
}

static void
print_word(const struct key *key, const void *field, char *buf, size_t size)
{
	int n = *(const int *)field, i = 0;

	while (i < n && key->words[i] != NULL)
		i++;
	snprintf(buf, size, "%s",
	    n >= 0 && key->words[i] != NULL ? key->words[i] : "?");
}

static int
parse_string(const struct key *key, void *field, const char *value)
{
	char **string = field, *copy;

	if (!in_bounds(key, strlen(value)))
		return -ERANGE;
	if ((copy = strdup(value)) == NULL)
		return -ENOMEM;
	free(*string);
	*string = copy;
	return 0;
}

static void
print_string(const struct key *key, const void *field, char *buf, size_t size)
{
	const char *s = *(char *const *)field;

	(void)key;
	snprintf(buf, size, "%s", s == NULL ? "" : s);
}

/* Stores bytes of 1 to max. */
static int
store_bytes(const struct key *key, struct bytes *field, struct bytes *bytes)
{
	if (bytes->len == 0 || !in_bounds(key, bytes->len))
		return -ERANGE;
	*field = *bytes;
	return 0;
}

static bool
is_hex_number(const char *s)
{
	return s[0] == '0' && (s[1] == 'x' || s[1] == 'X') &&
	    isxdigit((unsigned char)s[2]);
}

static int
parse_bytes(const struct key *key, void *field, const char *value)
{
	struct bytes bytes = { 0 };
	long n;

	/* Taken as characters, 0x03 would be four bytes, which nobody means. */
	if (is_hex_number(value))
		return -EINVAL;
	n = unescape(value, bytes.b, sizeof bytes.b);
	if (n < 0)
		return n == -ENOSPC ? -ERANGE : (int)n;
	bytes.len = (uint8_t)n;
	return store_bytes(key, field, &bytes);
}

/* What could not be read again as it is is escaped: a comment, or a number like 0x03. */
static void
print_bytes(const struct key *key, const void *field, char *buf, size_t size)
{
	const struct bytes *bytes = field;
	char piece[8];

	(void)key;
	if (size > 0)
		buf[0] = '\0';
	for (size_t i = 0; i < bytes->len; i++) {
		if (bytes->b[i] == ' ' || bytes->b[i] == ';' ||
		    bytes->b[i] == '#' ||
		    (i == 1 && (bytes->b[i] == 'x' || bytes->b[i] == 'X') &&
			bytes->b[0] == '0'))
			snprintf(piece, sizeof piece, "\\x%02x", bytes->b[i]);
		else
			escape(&bytes->b[i], 1, piece, sizeof piece);
		append(buf, size, "%s", piece);
	}
}

static int
parse_hex_key(const struct key *key, void *field, const char *value)
{
	struct bytes bytes;
	int error;

	if ((error = parse_hex(value, &bytes)) != 0)
		return error;
	return store_bytes(key, field, &bytes);
}

static void
print_hex(const struct key *key, const void *field, char *buf, size_t size)
{
	const struct bytes *bytes = field;

	(void)key;
	if (size > 0)
		buf[0] = '\0';
	for (size_t i = 0; i < bytes->len; i++)
		append(buf, size, "%s%02x", i > 0 ? " " : "", bytes->b[i]);
}

/* "3" or "3.5", without a unit: characters, in tenths. */
static int
parse_tenths(const char *value, uint64_t *ret)
{
	char whole[16];
	const char *dot = strchr(value, '.');
	size_t len = dot == NULL ? strlen(value) : (size_t)(dot - value);
	uint64_t n, tenth = 0;
	int error;

	if (len >= sizeof whole)
		return -EINVAL;
	memcpy(whole, value, len);
	whole[len] = '\0';
	if (dot != NULL && parse_number(dot + 1, 0, 9, &tenth) != 0)
		return -EINVAL;
	if ((error = parse_number(whole, 0, TENTHS_MAX / 10 - 1, &n)) != 0)
		return error;
	*ret = n * 10 + tenth;
	return 0;
}

static int
parse_silence(const struct key *key, void *field, const char *value)
{
	struct silence silence = { 0, 0 };
	uint64_t tenths = 0;
	int error;

	(void)key;
	if (value[strspn(value, "0123456789.")] == '\0')
		error = parse_tenths(value, &tenths);
	else
		error = parse_time(value, &silence.ns);
	silence.tenths = (uint32_t)tenths;
	if (error == 0)
		*(struct silence *)field = silence;
	return error;
}

static void
print_silence(const struct key *key, const void *field, char *buf, size_t size)
{
	const struct silence *silence = field;

	(void)key;
	if (silence->tenths == 0)
		bound_time(silence->ns, buf, size);
	else if (silence->tenths % 10 == 0)
		snprintf(buf, size, "%" PRIu32, silence->tenths / 10);
	else
		snprintf(buf, size, "%" PRIu32 ".%" PRIu32,
		    silence->tenths / 10, silence->tenths % 10);
}

static int
parse_mode(const struct key *key, void *field, const char *value)
{
	char *end;
	unsigned long mode = strtoul(value, &end, 8);

	(void)key;
	if (*value < '0' || *value > '7' || *end != '\0' || mode == 0 ||
	    mode > 0777)
		return -EINVAL;
	*(uint64_t *)field = mode;
	return 0;
}

static void
print_mode(const struct key *key, const void *field, char *buf, size_t size)
{
	uint64_t mode = *(const uint64_t *)field;

	(void)key;
	*buf = '\0';
	if (mode != 0)
		snprintf(buf, size, "0%03o", (unsigned)mode);
}

static const struct type types[] = {
	[KEY_BOOL] = {
		.parse = parse_bool_key,
		.print = print_bool,
		.what = "neither yes nor no",
	},
	[KEY_NUMBER] = {
		.parse = parse_number_key,
		.print = print_number,
		.what = "not a number",
		.bound = bound_number,
	},
	[KEY_BITS] = {
		.parse = parse_bits_key,
		.print = print_bits,
		.what = "not a hexadecimal number",
		.form = "hexadecimal digits after 0x, such as 0x1021",
		.bound = bound_bits,
	},
	[KEY_SIZE] = {
		.parse = parse_size_key,
		.print = print_size,
		.what = "not a size",
		.form = "a number of bytes, such as 4096, 64K or 1M",
		.bound = bound_size,
	},
	[KEY_TIME] = {
		.parse = parse_time_key,
		.print = print_time,
		.what = "not a time",
		.form = "a time such as 250ms, 2s, 5m or none",
		.bound = bound_time,
	},
	[KEY_WORD] = {
		.parse = parse_word,
		.print = print_word,
	},
	[KEY_STRING] = {
		.parse = parse_string,
		.print = print_string,
		.bound = bound_number,
	},
	[KEY_BYTES] = {
		.parse = parse_bytes,
		.print = print_bytes,
		.what = "not written with valid escapes",
		.form = "bytes such as \\x03 or \\r\\n",
		.bound = bound_number,
	},
	[KEY_HEX] = {
		.parse = parse_hex_key,
		.print = print_hex,
		.what = "not hexadecimal",
		.form = "bytes such as 01 03 or 0103",
		.bound = bound_number,
	},
	[KEY_MODE] = {
		.parse = parse_mode,
		.print = print_mode,
		.what = "not a mode",
		.form = "permissions in octal, such as 0660",
	},
	[KEY_SILENCE] = {
		.parse = parse_silence,
		.print = print_silence,
		.what = "not a silence",
		.form = "characters such as 3.5, or a time such as 2ms",
	},
	[KEY_CUSTOM] = { 0 },
};

const struct key *
key_find(const struct key *keys, const char *name)
{
	for (; keys->name != NULL; keys++) {
		if (strcmp(keys->name, name) == 0)
			return keys;
	}
	return NULL;
}

/* Words of other programs, and ours. */
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
	{ "mbtcp", "modbus-tcp" },
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
	const char *near = key_meant(value, words);

	if (near != NULL)
		error_append(err, "; did you mean '%s'?", near);
}

/* "'rtsct' is not one of none, rtscts; did you mean 'rtscts'?" */
static void
say_words(const struct key *key, const char *quoted, const char *value,
    struct error *err)
{
	if (key->words[1] == NULL) {
		error_append(err, "'%s' is not supported; the only %s is %s",
		    quoted, key->name, key->words[0]);
		return;
	}
	error_append(err, "'%s' is not one of", quoted);
	for (size_t i = 0; key->words[i] != NULL; i++)
		error_append(err, "%s %s", i > 0 ? "," : "", key->words[i]);
	say_nearest(value, key->words, err);
}

/* "50 to 4000000", "at least 1K" or "at most 5s". */
static void
say_bounds(const struct key *key, struct error *err)
{
	const struct type *type = &types[key->type];
	uint64_t lower = key->min, upper = key->max;
	char min[32], max[32];

	if (key->type == KEY_BYTES || key->type == KEY_HEX) {
		lower = MAX(lower, 1U);
		upper = upper == 0 ? BYTES_MAX : upper;
	}
	type->bound(lower, min, sizeof min);
	type->bound(upper, max, sizeof max);
	if (upper == 0)
		error_append(err, "at least %s", min);
	else if (lower == upper)
		error_append(err, "%s", min);
	else if (lower == 0 && key->type == KEY_TIME)
		error_append(err, "at most %s", max);
	else
		error_append(err, "%s to %s", min, max);
}

/* Of the right kind, but too much, too little, too long or too short. */
static void
say_range(const struct key *key, const char *quoted, struct error *err)
{
	const struct type *type = &types[key->type];
	bool counted = key->type == KEY_BYTES || key->type == KEY_HEX;

	if (key->type == KEY_STRING && quoted[0] == '\0') {
		error_append(err, "%s is empty", key->name);
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

/* Not of the right kind. */
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
	const struct type *type = &types[key->type];

	error_append(err, "'%s' is %s", quoted, type->what);
	if (key->type == KEY_BOOL) {
		say_nearest(value, bool_words, err);
	} else if (type->form != NULL) {
		error_append(err, "; %s is %s", key->name, type->form);
	} else if (key->min != 0 || key->max != 0) {
		error_append(err, "; %s is ", key->name);
		say_bounds(key, err);
	}
}

int
key_parse(
    const struct key *key, void *base, const char *value, struct error *err)
{
	void *field = (char *)base + key->offset;
	char quoted[QUOTE_MAX];
	int error;

	error_clear(err);
	if (key->type == KEY_CUSTOM)
		return key->parse(field, value, err);
	error = types[key->type].parse(key, field, value);
	if (error == 0)
		return 0;
	printable(value, quoted, sizeof quoted);
	if (error == -ENOMEM) {
		error_append(err, "out of memory");
		return -ENOMEM;
	}
	if (key->type == KEY_WORD)
		say_words(key, quoted, value, err);
	else if (error == -ERANGE)
		say_range(key, quoted, err);
	else
		say_kind(key, quoted, value, err);
	return -EINVAL;
}

int
key_defaults(const struct key *keys, void *base)
{
	struct error err;
	int error;

	for (; keys->name != NULL; keys++) {
		if (keys->def == NULL)
			continue;
		error = key_parse(keys, base, keys->def, &err);
		assert(error == 0 || error == -ENOMEM);
		if (error != 0)
			return error;
	}
	return 0;
}

void
key_print(const struct key *key, const void *base, char *buf, size_t size)
{
	const void *field = (const char *)base + key->offset;

	if (size > 0)
		buf[0] = '\0';
	if (key->type != KEY_CUSTOM)
		types[key->type].print(key, field, buf, size);
	else if (key->print != NULL)
		key->print(field, buf, size);
}

void
key_free(const struct key *keys, void *base)
{
	char **string;

	for (; keys->name != NULL; keys++) {
		if (keys->type != KEY_STRING)
			continue;
		string = (char **)(void *)((char *)base + keys->offset);
		free(*string);
		*string = NULL;
	}
}

static const size_t value_size[] = {
	[KEY_BOOL] = sizeof(bool),
	[KEY_NUMBER] = sizeof(uint64_t),
	[KEY_SIZE] = sizeof(uint64_t),
	[KEY_TIME] = sizeof(uint64_t),
	[KEY_WORD] = sizeof(int),
	[KEY_STRING] = sizeof(char *),
	[KEY_BYTES] = sizeof(struct bytes),
	[KEY_HEX] = sizeof(struct bytes),
	[KEY_MODE] = sizeof(uint64_t),
	[KEY_SILENCE] = sizeof(struct silence),
};

void
key_swap(const struct key *keys, void *a, void *b)
{
	char *x, *y, byte;

	for (; keys->name != NULL; keys++) {
		assert(keys->type != KEY_CUSTOM);
		x = (char *)a + keys->offset;
		y = (char *)b + keys->offset;
		for (size_t i = 0; i < value_size[keys->type]; i++) {
			byte = x[i];
			x[i] = y[i];
			y[i] = byte;
		}
	}
}
