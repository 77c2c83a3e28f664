/*
 * util: checked parsing of numbers, sizes, times and escapes; the clock; human-readable
 * formatting.  Independent of the rest of the daemon.
 */
#ifndef UTIL_H
#define UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/time.h>

#define NELEM(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define CONTAINER_OF(p, type, member) \
	((type *)(void *)((char *)(p)-offsetof(type, member)))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

#define NSEC_PER_SEC 1000000000ULL
#define NSEC_PER_MSEC 1000000ULL
#define NSEC_PER_USEC 1000ULL

/* Up to 32 bytes of any value, written with escapes or in hexadecimal. */
struct bytes {
	uint8_t len;
	uint8_t b[32];
};

/*
 * The size of a cache line.  Members that are accessed for each message are placed in
 * as few cache lines as possible, because with many endpoints none of them are cached.
 */
#define CACHE_LINE 64
/* Allocates zeroed memory aligned to a cache line, to be freed with free(). */
void *zalloc_lines(size_t size);

/* The whole part of a number from outside: 0 for a negative one and NaN, at most UINT64_MAX. */
static inline uint64_t
whole_part(double n)
{
	if (n >= 0x1p64)
		return UINT64_MAX;
	return n > 0 ? (uint64_t)n : 0;
}

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t now_ns(void);
/* Rounds up to whole microseconds, so that a timer does not fire early. */
struct timeval to_timeval(uint64_t ns);

/*
 * Each parser must consume all of s, and stores to *ret only on success.  -EINVAL:
 * invalid syntax; -ERANGE: not within min to max, or too large.
 */
/* "9600", "0x1f"; no sign. */
int parse_number(const char *s, uint64_t min, uint64_t max, uint64_t *ret);
/* "4096", "64K", "1.5M" (powers of 1024), in bytes. */
int parse_size(const char *s, uint64_t *ret);
/* "250ms", "2s", "5m", "1h", "10us"; a number without a unit is in seconds ("0.5"
 * too); "none" is 0; in nanoseconds. */
int parse_time(const char *s, uint64_t *ret);
/* yes/no, true/false, on/off, 1/0. */
int parse_bool(const char *s, bool *ret);
/* "01 03", "0103" or "01:03" to bytes. */
int parse_hex(const char *s, struct bytes *ret);

/*
 * Converts C escapes (\n \r \t \0 \\ \" \' \a \b \f \v \e \s(space) \xHH \OOO) to
 * bytes.  Returns the number of bytes, -EINVAL for an invalid escape, -ENOSPC when out
 * is too small.  out may be the same memory as s.
 */
long unescape(const char *s, uint8_t *out, size_t size);
/*
 * Converts bytes to printable ASCII with C escapes, always NUL-terminated; ends in
 * "..." if it does not fit.  Returns the length of the result.
 */
size_t escape(const uint8_t *in, size_t len, char *out, size_t size);
/*
 * Makes untrusted text safe for a terminal, a log or JSON: control characters and
 * invalid UTF-8 become C escapes, the rest is unchanged.  Truncated like escape().
 */
size_t printable(const char *in, char *out, size_t size);

/* "85us", "2ms", "0.3s", "12.0s", "309s", "2h05m": at most 15 characters, into
 * buf.  Whole seconds, as people configure them, have no fraction ("2s"). */
const char *format_time(uint64_t ns, char *buf, size_t size);
/* The time that is left until then, "0s" if it has passed. */
const char *format_time_left(uint64_t until_ns, char *buf, size_t size);
/* "812", "3.1K", "64K", "1.2M", into buf. */
const char *format_size(uint64_t bytes, char *buf, size_t size);

/*
 * The word of the NULL-terminated list with the smallest edit distance (insert, delete,
 * replace, swap; case-insensitive), else the first that begins with it; NULL when none
 * is near enough.
 */
const char *nearest(const char *word, const char *const *words);

/*
 * Returns the next word of a list separated by blanks or commas and advances *list past
 * it; NULL at the end.
 */
const char *list_word(const char **list, size_t *len);

/* Replaces *string by a copy of value.  -ENOMEM: *string is unchanged. */
int replace_string(char **string, const char *value);

/* Appends to the string in buf like snprintf(); truncates what does not fit. */
void append(char *buf, size_t size, const char *fmt, ...) PRINTF(3, 4);

#endif
