/*
 * mqtt_message: the payload of a message and its origin.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "base64.h"
#include "mqtt_message.h"

const char *const mqtt_encoding_words[] = {
	[MQTT_RAW] = "raw",
	[MQTT_JSON] = "json",
	[MQTT_HEX] = "hex",
	[MQTT_BASE64] = "base64",
	NULL,
};

static int
reserve(struct mqtt_buffer *b, size_t size)
{
	uint8_t *data;

	if (size <= b->size && b->data != NULL)
		return 0;
	size = (size + 255) & ~(size_t)255;
	if ((data = realloc(b->data, size)) == NULL)
		return -ENOMEM;
	b->data = data;
	b->size = size;
	return 0;
}

static int
store(struct mqtt_buffer *b, const void *data, size_t len)
{
	if (reserve(b, len + 1) < 0)
		return -ENOMEM;
	if (len > 0)
		memcpy(b->data, data, len);
	b->len = len;
	return 0;
}

/* --- origins --------------------------------------------------------------- */

static char *
put_text(char *to, const char *text)
{
	size_t len = strlen(text);

	memcpy(to, text, len);
	return to + len;
}

static char *
put_hex(char *to, uint64_t n)
{
	for (int shift = 60; shift >= 0; shift -= 4)
		*to++ = "0123456789abcdef"[n >> shift & 15];
	return to;
}

static char *
put_decimal(char *to, uint64_t n)
{
	char digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	memcpy(to, digits + at, sizeof(digits) - at);
	return to + sizeof(digits) - at;
}

/* It is called for each frame, and snprintf() would take ten times as long. */
char *
mqtt_origin_print(const struct origin *origin, const char *host, char *buf)
{
	char *to = put_text(buf, host);

	*to++ = '/';
	to = put_text(to, origin->endpoint);
	*to++ = '/';
	to = put_hex(to, origin->boot);
	*to++ = '/';
	to = put_decimal(to, origin->sequence);
	*to = '\0';
	return buf;
}

/* Copies a name of which others decide; -EINVAL. */
static int
copy_name(const char *s, size_t len, char *buf, size_t size)
{
	if (len == 0 || len >= size)
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] <= ' ' || s[i] == '/' || s[i] == 0x7f)
			return -EINVAL;
	memcpy(buf, s, len);
	buf[len] = '\0';
	return 0;
}

static int
parse_boot(const char *s, size_t len, uint64_t *ret)
{
	if (len != 16)
		return -EINVAL;
	*ret = 0;
	for (size_t i = 0; i < len; i++) {
		const char *digits = "0123456789abcdef";
		const char *at = s[i] != '\0' ? strchr(digits, s[i]) : NULL;

		if (at == NULL)
			return -EINVAL;
		*ret = *ret << 4 | (uint64_t)(at - digits);
	}
	return 0;
}

/* Sequences that begin below this are left for the frames that follow. */
#define SEQUENCE_MAX ((uint64_t)INT64_MAX)

int
mqtt_origin_parse(const char *text, struct origin_name *ret)
{
	const char *endpoint, *boot, *sequence;

	memset(ret, 0, sizeof(*ret));
	if ((endpoint = strchr(text, '/')) == NULL ||
	    (boot = strchr(++endpoint, '/')) == NULL ||
	    (sequence = strchr(++boot, '/')) == NULL)
		return -EINVAL;
	sequence++;
	if (copy_name(text, (size_t)(endpoint - 1 - text), ret->host,
		sizeof(ret->host)) < 0 ||
	    copy_name(endpoint, (size_t)(boot - 1 - endpoint), ret->endpoint,
		sizeof(ret->endpoint)) < 0 ||
	    parse_boot(boot, (size_t)(sequence - 1 - boot), &ret->boot) < 0 ||
	    parse_number(sequence, 1, SEQUENCE_MAX, &ret->sequence) < 0)
		return -EINVAL;
	return 0;
}

/* --- writing --------------------------------------------------------------- */

static const char *
print_time(uint64_t ns, char *buf, size_t size)
{
	time_t s = (time_t)(ns / NSEC_PER_SEC);
	char day[32];
	struct tm tm;

	gmtime_r(&s, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf, size, "%s.%06uZ", day,
	    (unsigned)(ns % NSEC_PER_SEC / NSEC_PER_USEC));
	return buf;
}

/* Sets the frame as text, or in base64. */
static int
set_frame(json_t *object, const uint8_t *frame, size_t len)
{
	json_t *text = NULL;
	char *encoded;
	int r;

	if (len == 0 || memchr(frame, '\0', len) == NULL)
		text = json_stringn(len > 0 ? (const char *)frame : "", len);
	if (text != NULL)
		return json_object_set_new(object, "frame", text);
	if ((encoded = malloc(BASE64_SIZE(len))) == NULL)
		return -1;
	base64_encode(frame, len, encoded);
	r = json_object_set_new(object, "base64", json_string(encoded));
	free(encoded);
	return r;
}

static void
set_origin(json_t *object, const struct origin *origin, const char *host)
{
	char text[64], shown[4 * SITE_HOST_MAX];

	printable(host, shown, sizeof(shown));
	json_object_set_new(object, "time",
	    json_string(print_time(origin->time_ns, text, sizeof(text))));
	json_object_set_new(object, "host", json_string(shown));
	json_object_set_new(object, "endpoint", json_string(origin->endpoint));
	snprintf(text, sizeof(text), "%016" PRIx64, origin->boot);
	json_object_set_new(object, "boot", json_string(text));
	json_object_set_new(
	    object, "sequence", json_integer((json_int_t)origin->sequence));
}

static int
encode_json(const uint8_t *frame, size_t len, const struct origin *origin,
    const char *host, struct mqtt_buffer *ret)
{
	json_t *object = json_object();
	char *text = NULL;
	int r;

	if (origin != NULL)
		set_origin(object, origin, host);
	if (set_frame(object, frame, len) == 0)
		text = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	r = text != NULL ? store(ret, text, strlen(text)) : -ENOMEM;
	free(text);
	return r;
}

static int
encode_hex(const uint8_t *frame, size_t len, struct mqtt_buffer *ret)
{
	static const char digits[] = "0123456789abcdef";

	if (reserve(ret, 2 * len + 1) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < len; i++) {
		ret->data[2 * i] = (uint8_t)digits[frame[i] >> 4];
		ret->data[2 * i + 1] = (uint8_t)digits[frame[i] & 15];
	}
	ret->len = 2 * len;
	return 0;
}

int
mqtt_encode(enum mqtt_encoding encoding, const uint8_t *frame, size_t len,
    const struct origin *origin, const char *host, struct mqtt_buffer *ret)
{
	switch (encoding) {
	case MQTT_JSON:
		return encode_json(frame, len, origin, host, ret);
	case MQTT_HEX:
		return encode_hex(frame, len, ret);
	case MQTT_BASE64:
		if (reserve(ret, BASE64_SIZE(len)) < 0)
			return -ENOMEM;
		ret->len = base64_encode(frame, len, (char *)ret->data);
		return 0;
	default:
		return store(ret, frame, len);
	}
}

/* --- reading --------------------------------------------------------------- */

static int
nibble(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Two digits for each byte; pairs may be separated by blanks. */
static int
decode_hex(const uint8_t *text, size_t len, struct mqtt_buffer *ret)
{
	size_t n = 0;
	int high, low;

	if (reserve(ret, len / 2 + 1) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < len; i += 2) {
		while (i < len && (text[i] == ' ' || text[i] == '\n'))
			i++;
		if (i == len)
			break;
		high = nibble(text[i]);
		low = i + 1 < len ? nibble(text[i + 1]) : -1;
		if (high < 0 || low < 0)
			return -EINVAL;
		ret->data[n++] = (uint8_t)(high << 4 | low);
	}
	ret->len = n;
	return 0;
}

static int
decode_base64(const char *text, size_t len, struct mqtt_buffer *ret)
{
	long n;

	if (reserve(ret, len + 1) < 0)
		return -ENOMEM;
	if ((n = base64_decode(text, len, ret->data, ret->size)) < 0)
		return -EINVAL;
	ret->len = (size_t)n;
	return 0;
}

static const char *
string_of(const json_t *object, const char *key, size_t *ret_len)
{
	const json_t *value = json_object_get(object, key);

	*ret_len = json_string_length(value);
	return json_string_value(value);
}

/* Whether the object has a whole origin. */
static bool
get_origin(const json_t *object, struct origin_name *ret)
{
	const json_t *sequence = json_object_get(object, "sequence");
	size_t host_len, endpoint_len, boot_len;
	const char *host = string_of(object, "host", &host_len);
	const char *endpoint = string_of(object, "endpoint", &endpoint_len);
	const char *boot = string_of(object, "boot", &boot_len);

	memset(ret, 0, sizeof(*ret));
	if (host == NULL || endpoint == NULL || boot == NULL ||
	    !json_is_integer(sequence) || json_integer_value(sequence) < 1)
		return false;
	ret->sequence = (uint64_t)json_integer_value(sequence);
	return copy_name(host, host_len, ret->host, sizeof(ret->host)) == 0 &&
	    copy_name(endpoint, endpoint_len, ret->endpoint,
		sizeof(ret->endpoint)) == 0 &&
	    parse_boot(boot, boot_len, &ret->boot) == 0;
}

static int
decode_json(const char *text, size_t len, struct mqtt_buffer *ret,
    struct origin_name *ret_name, bool *ret_named)
{
	json_t *object = json_loadb(
	    text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	const char *frame;
	size_t n;
	int r = -EINVAL;

	if ((frame = string_of(object, "frame", &n)) != NULL)
		r = store(ret, frame, n);
	else if ((frame = string_of(object, "base64", &n)) != NULL)
		r = decode_base64(frame, n, ret);
	if (r == 0)
		*ret_named = get_origin(object, ret_name);
	json_decref(object);
	return r;
}

int
mqtt_decode(enum mqtt_encoding encoding, const void *payload, size_t len,
    struct mqtt_buffer *ret, struct origin_name *ret_name, bool *ret_named)
{
	*ret_named = false;
	switch (encoding) {
	case MQTT_JSON:
		return decode_json(payload, len, ret, ret_name, ret_named);
	case MQTT_HEX:
		return decode_hex(payload, len, ret);
	case MQTT_BASE64:
		return decode_base64(payload, len, ret);
	default:
		return store(ret, payload, len);
	}
}
