/*
 * answers: what a user answers to the questions of --init.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "address.h"
#include "answers.h"

#define WORD_MAX 256 /* a path */

/* Framings that need no further keys, and other words for them. */
static const struct {
	const char *word, *framing;
} kinds[] = {
	{ "raw", "raw" },
	{ "line", "line" },
	{ "nmea", "nmea" },
	{ "modbus-rtu", "modbus-rtu" },
	{ "modbus-ascii", "modbus-ascii" },
	{ "mavlink", "mavlink" },
	{ "ubx", "ubx" },
	{ "gnss", "gnss" },
	{ "rtcm3", "rtcm3" },
	{ "cobs", "cobs" },
	{ "slip", "slip" },
	{ "hdlc", "hdlc" },
	{ "min", "min" },
	{ "any", "raw" },
	{ "binary", "raw" },
	{ "lines", "line" },
	{ "text", "line" },
	{ "arduino", "line" },
	{ "gps", "nmea" },
	{ "modbus", "modbus-rtu" },
	{ "drone", "mavlink" },
	{ "autopilot", "mavlink" },
};

/* Copies a word of a list; false if it is too long. */
static bool
take_word(const char *word, size_t len, char buf[WORD_MAX])
{
	if (len >= WORD_MAX)
		return false;
	memcpy(buf, word, len);
	buf[len] = '\0';
	return true;
}

/* --- ports --------------------------------------------------------------- */

/* "2" or "2-4". */
static bool
read_range(const char *word, uint64_t *first, uint64_t *last)
{
	char from[WORD_MAX];
	size_t len = strcspn(word, "-");

	snprintf(from, sizeof(from), "%.*s", (int)len, word);
	if (parse_number(from, 0, UINT32_MAX, first) < 0)
		return false;
	*last = *first;
	return word[len] == '\0' ||
	    parse_number(word + len + 1, 0, UINT32_MAX, last) == 0;
}

/* Whether the port is called so: /dev/ttyUSB0 also ttyUSB0. */
static bool
is_name(const char *path, const char *word)
{
	const char *slash = strrchr(path, '/');

	return strcmp(path, word) == 0 ||
	    (slash != NULL && strcmp(slash + 1, word) == 0);
}

static int
choose(const char *word, const char *const *names, unsigned n, bool *chosen,
    struct error *err)
{
	uint64_t first, last;

	if (strcasecmp(word, "all") == 0) {
		memset(chosen, true, n * sizeof(*chosen));
		return 0;
	}
	for (unsigned i = 0; i < n; i++)
		if (is_name(names[i], word)) {
			chosen[i] = true;
			return 0;
		}
	if (!read_range(word, &first, &last))
		return error_fail(err, -EINVAL,
		    "'%s' is none of the ports; write their numbers, such as"
		    " 1 2, or all",
		    word);
	if (first < 1 || last > n || first > last)
		return error_fail(err, -EINVAL,
		    "'%s' is not possible: the ports have the numbers 1 to %u",
		    word, n);
	for (uint64_t i = first; i <= last; i++)
		chosen[i - 1] = true;
	return 0;
}

int
answer_ports(const char *text, const char *const *names, unsigned n,
    bool *chosen, struct error *err)
{
	const char *word;
	char buf[WORD_MAX];
	size_t len;
	bool any = false;

	memset(chosen, false, n * sizeof(*chosen));
	while ((word = list_word(&text, &len)) != NULL) {
		if (!take_word(word, len, buf))
			return error_fail(
			    err, -EINVAL, "a word of it is too long");
		if (choose(buf, names, n, chosen, err) < 0)
			return -EINVAL;
		any = true;
	}
	return any ? 0
		   : error_fail(err, -EINVAL, "at least one port is needed");
}

/* --- devices ------------------------------------------------------------- */

static bool
is_mode(const char *word)
{
	return strlen(word) == 3 && word[0] >= '5' && word[0] <= '8' &&
	    strchr("NEOMS", toupper((unsigned char)word[1])) != NULL &&
	    (word[2] == '1' || word[2] == '2');
}

static int
read_kind(struct answer_device *device, const char *word, struct error *err)
{
	const char *words[NELEM(kinds) + 1] = { NULL };

	for (size_t i = 0; i < NELEM(kinds); i++) {
		if (strcasecmp(word, kinds[i].word) == 0) {
			device->framing = kinds[i].framing;
			return 0;
		}
		words[i] = kinds[i].word;
	}
	error_set(err,
	    "'%s' is neither a speed nor one of raw, line, nmea, modbus-rtu,"
	    " modbus-ascii, mavlink, ubx, gnss, rtcm3, cobs, slip, hdlc, min",
	    word);
	error_append_meant(err, nearest(word, words));
	return -EINVAL;
}

static int
read_word(struct answer_device *device, const char *word, struct error *err)
{
	uint64_t baud;

	if (is_mode(word)) {
		snprintf(device->mode, sizeof(device->mode), "%c%c%c", word[0],
		    toupper((unsigned char)word[1]), word[2]);
		return 0;
	}
	if (!isdigit((unsigned char)*word))
		return read_kind(device, word, err);
	if (parse_number(word, 50, 20000000, &baud) < 0)
		return error_fail(err, -EINVAL,
		    "'%s' is no speed: it is a number of bits per second, such"
		    " as 115200",
		    word);
	device->baud = (unsigned)baud;
	return 0;
}

static int
read_device(const char *text, size_t len, struct answer_device *device,
    struct error *err)
{
	char *copy = strndup(text, len), *save = NULL, *word;
	int r = copy == NULL ? -ENOMEM : 0;

	*device = (struct answer_device){ "raw", 9600, "8N1" };
	for (word = r == 0 ? strtok_r(copy, " \t", &save) : NULL;
	     r == 0 && word != NULL; word = strtok_r(NULL, " \t", &save))
		r = strlen(word) < WORD_MAX
		    ? read_word(device, word, err)
		    : error_fail(err, -EINVAL, "a word of it is too long");
	free(copy);
	return r;
}

int
answer_devices(const char *text, struct answer_device *devices, unsigned n,
    struct error *err)
{
	unsigned i = 0, parts = 1;
	size_t len;
	int r;

	for (const char *s = text; *s != '\0'; s++)
		parts += *s == ',';
	if (parts != 1 && parts != n)
		return error_fail(err, -EINVAL,
		    "these are %u answers, and there are %u ports: give one"
		    " for all of them, or one for each, with commas between",
		    parts, n);
	for (i = 0; i < parts; i++, text += len + (text[len] == ',')) {
		len = strcspn(text, ",");
		if ((r = read_device(text, len, &devices[i], err)) < 0)
			return r;
	}
	for (; i < n; i++)
		devices[i] = devices[0];
	return 0;
}

/* --- access -------------------------------------------------------------- */

int
answer_access(const char *text, struct answer_access *ret, struct error *err)
{
	struct answer_access access = { 0 };
	struct networks *networks;
	size_t len;

	text += strspn(text, " \t");
	len = strlen(text);
	while (len > 0 && isblank((unsigned char)text[len - 1]))
		len--;
	if (len >= sizeof(access.networks))
		return error_fail(err, -EINVAL, "that is too long");
	snprintf(
	    access.networks, sizeof(access.networks), "%.*s", (int)len, text);
	access.none = strcasecmp(access.networks, "no") == 0 ||
	    strcasecmp(access.networks, "n") == 0;
	if (access.none || strcasecmp(access.networks, "local") == 0)
		access.networks[0] = '\0';
	else if (len == 0)
		return error_fail(err, -EINVAL, "write no, local, or networks");
	else if (networks_parse(access.networks, &networks, err) == 0)
		networks_free(networks);
	else {
		error_append(err, ", or local or no");
		return -EINVAL;
	}
	*ret = access;
	return 0;
}
