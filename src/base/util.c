/*
 * util: checked parsing of numbers, sizes, times and escapes; the clock; human-readable
 * formatting.
 *
 * Numbers are not parsed with strtoull() and strtod(), because these accept signs,
 * leading blanks and the decimal point of the locale.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "util.h"

#define WORD_MAX 96 /* the longest word that nearest() accepts */

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit time_units[] = {
	{ "ns", 1 },
	{ "us", NSEC_PER_USEC },
	{ "ms", NSEC_PER_MSEC },
	{ "s", NSEC_PER_SEC },
	{ "", NSEC_PER_SEC },
	{ "m", 60 * NSEC_PER_SEC },
	{ "min", 60 * NSEC_PER_SEC },
	{ "h", 3600 * NSEC_PER_SEC },
	{ "d", 86400 * NSEC_PER_SEC },
};

static const struct unit size_units[] = {
	{ "", 1 },
	{ "K", 1ULL << 10 },
	{ "M", 1ULL << 20 },
	{ "G", 1ULL << 30 },
	{ "k", 1ULL << 10 },
};

/* The letters that denote a byte after a backslash. */
static const struct {
	char letter;
	uint8_t byte;
} escapes[] = {
	{ 'n', '\n' },
	{ 'r', '\r' },
	{ 't', '\t' },
	{ '\\', '\\' },
	{ '"', '"' },
	{ '\'', '\'' },
	{ 'a', '\a' },
	{ 'b', '\b' },
	{ 'f', '\f' },
	{ 'v', '\v' },
	{ 'e', 0x1b },
	{ 's', ' ' },
};

void *
zalloc_lines(size_t size)
{
	void *p;

	size = (size + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
	if ((p = aligned_alloc(CACHE_LINE, size)) != NULL)
		memset(p, 0, size);
	return p;
}

uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

struct timeval
to_timeval(uint64_t ns)
{
	uint64_t us = ns / NSEC_PER_USEC + (ns % NSEC_PER_USEC != 0);
	struct timeval tv = { (time_t)(us / 1000000),
		(suseconds_t)(us % 1000000) };

	return tv;
}

static int
digit(char c, unsigned base)
{
	int v = -1;

	if (c >= '0' && c <= '9')
		v = c - '0';
	else if (c >= 'a' && c <= 'f')
		v = c - 'a' + 10;
	else if (c >= 'A' && c <= 'F')
		v = c - 'A' + 10;
	return v < (int)base ? v : -1;
}

/*
 * Parses digits up to the first other character, whose position is stored in *end.
 * -EINVAL when there are no digits; -ERANGE when the number does not fit, in which case
 * *end is set, too.
 */
static int
digits(const char *s, unsigned base, uint64_t *ret, const char **end)
{
	uint64_t n = 0;
	int error = 0, v;

	if (digit(*s, base) == -1)
		return -EINVAL;
	for (; (v = digit(*s, base)) != -1; s++) {
		if (__builtin_mul_overflow(n, (uint64_t)base, &n) ||
		    __builtin_add_overflow(n, (uint64_t)v, &n))
			error = -ERANGE;
	}
	*end = s;
	*ret = n;
	return error;
}

int
parse_number(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
	const char *end;
	unsigned base = 10;
	uint64_t n;
	int error;

	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		base = 16;
		s += 2;
	}
	error = digits(s, base, &n, &end);
	if (error == -EINVAL || *end != '\0')
		return -EINVAL;
	if (error != 0 || n < min || n > max)
		return -ERANGE;
	*ret = n;
	return 0;
}

/* Parses a decimal number with an optional fraction and one of the units. */
static int
parse_units(
    const char *s, const struct unit *units, size_t nunits, uint64_t *ret)
{
	const struct unit *u = NULL;
	const char *end;
	uint64_t n, frac = 0, scale = 1;
	int error;

	error = digits(s, 10, &n, &end);
	if (error == -EINVAL)
		return -EINVAL;
	if (*end == '.') {
		if (digit(*++end, 10) == -1)
			return -EINVAL;
		for (; digit(*end, 10) != -1; end++) {
			if (scale < 1000000000) {
				frac = frac * 10 + (uint64_t)digit(*end, 10);
				scale *= 10;
			}
		}
	}
	for (size_t i = 0; i < nunits && u == NULL; i++) {
		if (strcmp(end, units[i].name) == 0)
			u = &units[i];
	}
	if (u == NULL)
		return -EINVAL;
	/* A day has fewer than 2^47 ns; the product is split so that it does not
	 * overflow. */
	frac = u->factor / scale * frac + u->factor % scale * frac / scale;
	if (error != 0 || __builtin_mul_overflow(n, u->factor, &n) ||
	    __builtin_add_overflow(n, frac, &n))
		return -ERANGE;
	*ret = n;
	return 0;
}

int
parse_size(const char *s, uint64_t *ret)
{
	return parse_units(s, size_units, NELEM(size_units), ret);
}

int
parse_time(const char *s, uint64_t *ret)
{
	if (strcmp(s, "none") == 0) {
		*ret = 0;
		return 0;
	}
	return parse_units(s, time_units, NELEM(time_units), ret);
}

int
parse_bool(const char *s, bool *ret)
{
	static const char *const words[] = { "no", "yes", "false", "true",
		"off", "on", "0", "1" };

	for (size_t i = 0; i < NELEM(words); i++) {
		if (strcasecmp(s, words[i]) == 0) {
			*ret = i % 2 == 1;
			return 0;
		}
	}
	return -EINVAL;
}

int
parse_hex(const char *s, struct bytes *ret)
{
	struct bytes bytes = { 0 };
	int hi, lo;

	while (*s == ' ' || *s == '\t')
		s++;
	if (*s == '\0')
		return -EINVAL;
	while (*s != '\0') {
		if ((hi = digit(s[0], 16)) == -1 ||
		    (lo = digit(s[1], 16)) == -1)
			return -EINVAL;
		if (bytes.len == sizeof bytes.b)
			return -ERANGE;
		bytes.b[bytes.len++] = (uint8_t)(hi << 4 | lo);
		s += 2;
		if (*s == ':' && s[1] != '\0')
			s++;
		else
			while (*s == ' ' || *s == '\t')
				s++;
	}
	*ret = bytes;
	return 0;
}

/*
 * Parses one escape; s is after the backslash.  Returns the byte or -EINVAL and stores
 * the number of characters used in *used.
 */
static int
unescape_one(const char *s, size_t *used)
{
	unsigned v = 0, base = 8, most = 3;
	size_t n = 0;

	for (size_t i = 0; i < NELEM(escapes); i++) {
		if (*s == escapes[i].letter) {
			*used = 1;
			return escapes[i].byte;
		}
	}
	if (*s == 'x') {
		base = 16;
		most = 2;
		s++;
	}
	for (; n < most && digit(s[n], base) != -1; n++)
		v = v * base + (unsigned)digit(s[n], base);
	if (n == 0 || v > 255)
		return -EINVAL;
	*used = n + (base == 16);
	return (int)v;
}

long
unescape(const char *s, uint8_t *out, size_t size)
{
	size_t n = 0, used;
	int c;

	while (*s != '\0') {
		c = (uint8_t)*s++;
		if (c == '\\') {
			if ((c = unescape_one(s, &used)) < 0)
				return c;
			s += used;
		}
		if (n == size)
			return -ENOSPC;
		out[n++] = (uint8_t)c;
	}
	return (long)n;
}

/* A text that is built piece by piece; it ends in "..." if a piece did not fit. */
struct text {
	char *buf;
	size_t size, len;
	size_t safe; /* the last end of a piece with space for */
};

static bool
text_add(struct text *t, const char *piece, size_t len)
{
	if (len >= t->size - t->len) {
		t->len = t->safe;
		for (int i = 0; i < 3 && t->len + 1 < t->size; i++)
			t->buf[t->len++] = '.';
		t->buf[t->len] = '\0';
		return false;
	}
	memcpy(t->buf + t->len, piece, len);
	t->len += len;
	t->buf[t->len] = '\0';
	if (t->len + 3 < t->size)
		t->safe = t->len;
	return true;
}

static bool
text_add_escaped(struct text *t, uint8_t c)
{
	char piece[5];

	for (size_t i = 0; i < 4; i++) {
		if (c == escapes[i].byte) {
			piece[0] = '\\';
			piece[1] = escapes[i].letter;
			return text_add(t, piece, 2);
		}
	}
	snprintf(piece, sizeof piece, "\\x%02x", c);
	return text_add(t, piece, 4);
}

size_t
escape(const uint8_t *in, size_t len, char *out, size_t size)
{
	struct text t = { .buf = out, .size = size };
	bool room = true;

	if (size == 0)
		return 0;
	out[0] = '\0';
	for (size_t i = 0; i < len && room; i++) {
		if (in[i] >= ' ' && in[i] <= '~' && in[i] != '\\')
			room = text_add(&t, (const char *)&in[i], 1);
		else
			room = text_add_escaped(&t, in[i]);
	}
	return t.len;
}

/*
 * The number of bytes of the character at s; 0 if it must not be sent to a terminal: a
 * control character (C0, DEL, C1) or invalid UTF-8.
 */
static size_t
utf8_len(const uint8_t *s)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t c;
	size_t len;

	if (s[0] < 0x80)
		return s[0] >= ' ' && s[0] != 0x7f;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	len = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	c = s[0] & (0x7fU >> len);
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ||
	    (c >= 0x80 && c < 0xa0))
		return 0;
	return len;
}

size_t
printable(const char *in, char *out, size_t size)
{
	const uint8_t *s = (const uint8_t *)in;
	struct text t = { .buf = out, .size = size };
	bool room = true;
	size_t n;

	if (size == 0)
		return 0;
	out[0] = '\0';
	for (; *s != '\0' && room; s += MAX(n, 1U)) {
		if ((n = utf8_len(s)) == 0)
			room = text_add_escaped(&t, *s);
		else
			room = text_add(&t, (const char *)s, n);
	}
	return t.len;
}

/* Formats n tenths of a unit; the tenth is omitted if it is 0 or the number is 10 or
 * more. */
static void
format_tenths(uint64_t n, const char *unit, char *buf, size_t size)
{
	if (n < 100 && n % 10 != 0)
		snprintf(buf, size, "%u.%u%s", (unsigned)(n / 10),
		    (unsigned)(n % 10), unit);
	else
		snprintf(
		    buf, size, "%llu%s", (unsigned long long)(n / 10), unit);
}

/* Formats a number of seconds: one unit below 10 minutes, otherwise two, the larger
 * first. */
static void
format_long_time(uint64_t s, char *buf, size_t size)
{
	unsigned long long n = s;

	if (n < 600)
		snprintf(buf, size, "%llus", n);
	else if (n < 3600)
		snprintf(buf, size, "%llum%02llus", n / 60, n % 60);
	else if (n < 2 * 86400)
		snprintf(buf, size, "%lluh%02llum", n / 3600, n / 60 % 60);
	else
		snprintf(buf, size, "%llud%02lluh", n / 86400, n / 3600 % 24);
}

const char *
format_time(uint64_t ns, char *buf, size_t size)
{
	unsigned cs;

	if (ns % NSEC_PER_SEC == 0 || ns >= 60 * NSEC_PER_SEC) {
		format_long_time(ns / NSEC_PER_SEC, buf, size);
	} else if (ns >= NSEC_PER_SEC) {
		/* Measured times keep their width: "12.0s" beside "12.3s". */
		cs = (unsigned)(ns / (10 * NSEC_PER_MSEC));
		snprintf(buf, size, "%u.%us", cs / 100, cs / 10 % 10);
	} else if (ns >= 100 * NSEC_PER_MSEC) {
		cs = (unsigned)(ns / (10 * NSEC_PER_MSEC));
		if (cs % 10 == 0)
			snprintf(buf, size, "0.%us", cs / 10);
		else
			snprintf(buf, size, "0.%02us", cs);
	} else if (ns >= NSEC_PER_MSEC) {
		format_tenths(ns / (NSEC_PER_MSEC / 10), "ms", buf, size);
	} else if (ns >= NSEC_PER_USEC) {
		format_tenths(ns / (NSEC_PER_USEC / 10), "us", buf, size);
	} else {
		snprintf(buf, size, "%uns", (unsigned)ns);
	}
	return buf;
}

const char *
format_time_left(uint64_t until_ns, char *buf, size_t size)
{
	uint64_t now = now_ns();

	return format_time(until_ns > now ? until_ns - now : 0, buf, size);
}

const char *
format_size(uint64_t bytes, char *buf, size_t size)
{
	static const char *const units[] = { "K", "M", "G", "T", "P", "E" };
	size_t i = 0;

	if (bytes < 1024) {
		snprintf(buf, size, "%u", (unsigned)bytes);
		return buf;
	}
	while (i + 1 < NELEM(units) && bytes >= 1024 * 1024) {
		bytes >>= 10;
		i++;
	}
	format_tenths(bytes * 10 / 1024, units[i], buf, size);
	return buf;
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool
same_letter(char a, char b)
{
	return lower(a) == lower(b);
}

/*
 * Optimal string alignment: insertions, deletions, replacements and swaps of
 * neighbours.  Both words are at most WORD_MAX long.
 */
static unsigned
distance(const char *a, size_t alen, const char *b, size_t blen)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned *before = rows[0], *last = rows[1], *row = rows[2], *spare;

	for (unsigned j = 0; j <= blen; j++)
		last[j] = j;
	for (size_t i = 1; i <= alen; i++) {
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= blen; j++) {
			row[j] = last[j - 1] + !same_letter(a[i - 1], b[j - 1]);
			row[j] = MIN(row[j], last[j] + 1);
			row[j] = MIN(row[j], row[j - 1] + 1);
			if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) &&
			    same_letter(a[i - 2], b[j - 1]))
				row[j] = MIN(row[j], before[j - 2] + 1);
		}
		spare = before;
		before = last;
		last = row;
		row = spare;
	}
	return last[blen];
}

const char *
nearest(const char *word, const char *const *words)
{
	const char *best = NULL, *longer = NULL;
	size_t len = strlen(word), other, limit;
	unsigned least = WORD_MAX, d;

	if (len == 0 || len > WORD_MAX)
		return NULL;
	for (; *words != NULL && least > 0; words++) {
		other = strlen(*words);
		if (other > WORD_MAX)
			continue;
		if (longer == NULL && len >= 3 && other > len &&
		    strncasecmp(word, *words, len) == 0)
			longer = *words;
		limit = MAX((MAX(len, other) + 1) / 3, 1U);
		limit = MIN(limit, MAX(len, other) - 1);
		limit = MIN(limit, least - 1);
		/* This saves most of the time with thousands of words. */
		if (MAX(len, other) - MIN(len, other) > limit)
			continue;
		if ((d = distance(word, len, *words, other)) <= limit) {
			least = d;
			best = *words;
		}
	}
	return best != NULL ? best : longer;
}

const char *
list_word(const char **list, size_t *len)
{
	const char *word = *list + strspn(*list, " \t,");

	*len = strcspn(word, " \t,");
	*list = word + *len;
	return *len == 0 ? NULL : word;
}

int
replace_string(char **string, const char *value)
{
	char *copy = strdup(value);

	if (copy == NULL)
		return -ENOMEM;
	free(*string);
	*string = copy;
	return 0;
}

void
append(char *buf, size_t size, const char *fmt, ...)
{
	size_t len = strnlen(buf, size);
	va_list ap;

	if (len >= size)
		return;
	va_start(ap, fmt);
	vsnprintf(buf + len, size - len, fmt, ap);
	va_end(ap);
}
