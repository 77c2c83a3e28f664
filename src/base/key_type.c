/*
 * key_type: parses and prints the values of each type.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "key_type.h"

#define TENTHS_MAX 1000000

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

/* The 0x is required, because 8005 could be decimal or hexadecimal. */
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
	uint64_t n = 0;
	int error;

	if ((!key->none || strcmp(value, "none") != 0) &&
	    (error = parse_size(value, &n)) != 0)
		return error;
	if ((!key->none || n != 0) && !in_bounds(key, n))
		return -ERANGE;
	*(uint64_t *)field = n;
	return 0;
}

static void
bound_size(uint64_t n, char *buf, size_t size)
{
	static const char *const units[] = { "", "K", "M", "G" };
	size_t i = 0;

	for (; n != 0 && n % 1024 == 0 && i + 1 < NELEM(units); i++)
		n /= 1024;
	snprintf(buf, size, "%" PRIu64 "%s", n, units[i]);
}

static void
print_size(const struct key *key, const void *field, char *buf, size_t size)
{
	uint64_t n = *(const uint64_t *)field;

	if (key->none && n == 0)
		snprintf(buf, size, "none");
	else
		bound_size(n, buf, size);
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

/* Prints a time in the largest unit that represents it exactly. */
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
	if (!in_bounds(key, strlen(value)))
		return -ERANGE;
	return replace_string(field, value);
}

static void
print_string(const struct key *key, const void *field, char *buf, size_t size)
{
	const char *s = *(char *const *)field;

	(void)key;
	snprintf(buf, size, "%s", s == NULL ? "" : s);
}

/* Stores the bytes if their number is 1 to max. */
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

	/* Without this check 0x03 would be read as four characters, which is never
	 * intended. */
	if (is_hex_number(value))
		return -EINVAL;
	n = unescape(value, bytes.b, sizeof bytes.b);
	if (n < 0)
		return n == -ENOSPC ? -ERANGE : (int)n;
	bytes.len = (uint8_t)n;
	return store_bytes(key, field, &bytes);
}

/* Also escapes characters that would be read differently: blanks, the start of a
 * comment, and the x of a number like 0x03. */
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
parse_text(const struct key *key, void *field, const char *value)
{
	uint8_t bytes[KEY_TEXT_MAX];
	long n = unescape(value, bytes, sizeof bytes);

	if (n < 0 && n != -ENOSPC)
		return (int)n;
	if (n <= 0 || !in_bounds(key, (uint64_t)n))
		return -ERANGE;
	return replace_string(field, value);
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

/* Parses "3" or "3.5", without a unit: characters, in tenths. */
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

const struct key_type_ops key_types[] = {
	[KEY_BOOL] = {
		.size = sizeof(bool),
		.parse = parse_bool_key,
		.print = print_bool,
		.what = "neither yes nor no",
	},
	[KEY_NUMBER] = {
		.size = sizeof(uint64_t),
		.parse = parse_number_key,
		.print = print_number,
		.what = "not a number",
		.bound = bound_number,
	},
	[KEY_BITS] = {
		.size = sizeof(uint64_t),
		.parse = parse_bits_key,
		.print = print_bits,
		.what = "not a hexadecimal number",
		.form = "hexadecimal digits after 0x, such as 0x1021",
		.bound = bound_bits,
	},
	[KEY_SIZE] = {
		.size = sizeof(uint64_t),
		.parse = parse_size_key,
		.print = print_size,
		.what = "not a size",
		.form = "a number of bytes, such as 4096, 64K or 1M",
		.bound = bound_size,
	},
	[KEY_TIME] = {
		.size = sizeof(uint64_t),
		.parse = parse_time_key,
		.print = print_time,
		.what = "not a time",
		.form = "a time such as 250ms, 2s, 5m or none",
		.bound = bound_time,
	},
	[KEY_WORD] = {
		.size = sizeof(int),
		.parse = parse_word,
		.print = print_word,
	},
	[KEY_STRING] = {
		.size = sizeof(char *),
		.parse = parse_string,
		.print = print_string,
		.bound = bound_number,
	},
	[KEY_BYTES] = {
		.size = sizeof(struct bytes),
		.parse = parse_bytes,
		.print = print_bytes,
		.what = "not written with valid escapes",
		.form = "bytes such as \\x03 or \\r\\n",
		.bound = bound_number,
	},
	[KEY_TEXT] = {
		.size = sizeof(char *),
		.parse = parse_text,
		.print = print_string,
		.what = "not written with valid escapes",
		.form = "text with escapes such as \\r\\n or \\x03",
		.bound = bound_number,
	},
	[KEY_HEX] = {
		.size = sizeof(struct bytes),
		.parse = parse_hex_key,
		.print = print_hex,
		.what = "not hexadecimal",
		.form = "bytes such as 01 03 or 0103",
		.bound = bound_number,
	},
	[KEY_MODE] = {
		.size = sizeof(uint64_t),
		.parse = parse_mode,
		.print = print_mode,
		.what = "not a mode",
		.form = "permissions in octal, such as 0660",
	},
	[KEY_SILENCE] = {
		.size = sizeof(struct silence),
		.parse = parse_silence,
		.print = print_silence,
		.what = "not a silence",
		.form = "characters such as 3.5, or a time such as 2ms",
	},
	[KEY_CUSTOM] = { 0 },
};
