/* Framings: the vectors, every framing to every other, limits, keys, checksums. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "framing_harness.h"
#include "scan.h"

#define VECTORS "tests/vectors"
#define BYTES_MAX 4096
#define LIST_MAX 8

struct blob {
	size_t len;
	uint8_t b[BYTES_MAX];
};

/* A stream, cut by silences. */
struct script {
	struct blob wire;
	size_t nsilences;
	size_t silence[LIST_MAX]; /* behind so many bytes */
	bool pause[LIST_MAX];	  /* that silence is a short one */
};

/* --- the language of the vectors ----------------------------------------- */

static const char *where;
static int line_number;

#define ASSERT_HERE(true_)                                                    \
	do {                                                                  \
		if (!(true_))                                                 \
			fail_msg(                                             \
			    "%s:%d: not so: %s", where, line_number, #true_); \
	} while (0)

static unsigned
hex_byte(const char *s)
{
	char *end, two[3] = { s[0], s[0] != '\0' ? s[1] : '\0', '\0' };
	unsigned long n = strtoul(two, &end, 16);

	ASSERT_HERE(end == two + 2);
	return (unsigned)n;
}

static void
add(struct blob *blob, unsigned byte)
{
	ASSERT_HERE(blob->len < BYTES_MAX);
	blob->b[blob->len++] = (uint8_t)byte;
}

/* One word that is not quoted: "-", "0a", "78*300", "01..fe". */
static void
add_word(struct blob *blob, const char *word)
{
	unsigned first, last, n = 1;

	if (strcmp(word, "-") == 0)
		return;
	first = last = hex_byte(word);
	if (word[2] == '*')
		n = (unsigned)strtoul(word + 3, NULL, 10);
	else if (strncmp(word + 2, "..", 2) == 0)
		last = hex_byte(word + 4);
	else
		ASSERT_HERE(word[2] == '\0');
	for (unsigned byte = first; byte <= last; byte++)
		for (unsigned i = 0; i < n; i++)
			add(blob, byte);
}

/* The text of a string up to its closing quote; what is behind it. */
static char *
add_string(struct blob *blob, char *s)
{
	char *end = s;
	long n;

	while (*end != '"') {
		ASSERT_HERE(*end != '\0');
		end += *end == '\\' ? 2 : 1;
	}
	*end = '\0';
	n = unescape(s, (uint8_t *)s, (size_t)(end - s) + 1);
	ASSERT_HERE(n >= 0);
	for (long i = 0; i < n; i++)
		add(blob, (uint8_t)s[i]);
	return end + 1;
}

/* Bytes up to a comma or the end; silences go to script, when there is one. */
static char *
parse_bytes(char *s, struct blob *blob, struct script *script)
{
	char *word;
	size_t n;

	blob->len = 0;
	for (;;) {
		s += strspn(s, " \t\n");
		if (*s == '\0' || *s == ',')
			return s;
		if (*s == '"') {
			s = add_string(blob, s + 1);
			continue;
		}
		n = strcspn(s, " \t\n,");
		word = strndup(s, n);
		s += n;
		if (script != NULL &&
		    (strcmp(word, "silence") == 0 ||
			strcmp(word, "pause") == 0)) {
			ASSERT_HERE(script->nsilences < LIST_MAX);
			script->pause[script->nsilences] = *word == 'p';
			script->silence[script->nsilences++] = blob->len;
		} else
			add_word(blob, word);
		free(word);
	}
}

static void
parse_script(char *s, struct script *script)
{
	memset(script, 0, sizeof(*script));
	s = parse_bytes(s, &script->wire, script);
	ASSERT_HERE(*s == '\0');
}

static unsigned
parse_list(char *s, struct blob *list)
{
	unsigned n = 0;

	for (;;) {
		ASSERT_HERE(n < LIST_MAX);
		s = parse_bytes(s, &list[n++], NULL);
		if (*s == '\0')
			return n;
		s++;
	}
}

static void
parse_conf(char *s, const struct framing *rule, struct framing_conf *conf)
{
	const struct key *key;
	struct error err;
	char *word, *value;

	framing_conf_init(conf);
	framing_use(conf, rule);
	while ((word = strsep(&s, " ")) != NULL) {
		if (*word == '\0')
			continue;
		value = strchr(word, '=');
		ASSERT_HERE(value != NULL);
		*value++ = '\0';
		key = rule->keys != NULL ? key_find(rule->keys, word) : NULL;
		if (key == NULL)
			key = key_find(framing_common_keys, word);
		ASSERT_HERE(key != NULL);
		ASSERT_HERE(key_parse(key, conf, value, &err) == 0);
	}
	if (framing_check(conf, &err) != 0)
		fail_msg("%s:%d: %s", where, line_number, err.text);
}

/* --- running them -------------------------------------------------------- */

/* Feeds the script with cuts behind first bytes, and then every step bytes. */
static void
play(struct stream *s, const struct framing_conf *conf,
    const struct script *script, size_t first, size_t step)
{
	size_t at = 0, quiet = 0, cut = first, to;

	stream_start(s, conf);
	s->copying = first < script->wire.len;
	while (at < script->wire.len || quiet < script->nsilences) {
		if (quiet < script->nsilences && at == script->silence[quiet]) {
			if (script->pause[quiet])
				stream_pause(s);
			else
				stream_silence(s);
			quiet++;
			continue;
		}
		to = MIN(cut, script->wire.len);
		if (quiet < script->nsilences)
			to = MIN(to, script->silence[quiet]);
		stream_feed(s, script->wire.b + at, to - at);
		at = to;
		if (at == cut)
			cut += step;
	}
}

/* Byte by byte, and cut in two everywhere: it is all the same. */
static void
play_cut(const struct framing_conf *conf, const struct script *script,
    const struct stream *whole)
{
	struct stream cut;

	for (size_t first = 1; first <= script->wire.len; first++) {
		play(&cut, conf, script, first, first == 1 ? 1 : BYTES_MAX);
		tally_same(&whole->tally, &cut.tally);
		ASSERT_HERE(cut.len == whole->len);
		stream_end(&cut);
	}
}

static void
test_both(const struct framing_conf *conf, char *payloads, char *wire)
{
	static struct blob list[LIST_MAX], out;
	static struct script script;
	unsigned n = parse_list(payloads, list);
	struct stream s;
	long written;

	parse_script(wire, &script);
	out.len = 0;
	for (unsigned i = 0; i < n; i++) {
		written = framing_encode(
		    conf, list[i].b, list[i].len, out.b + out.len);
		ASSERT_HERE(written >= 0);
		ASSERT_HERE(
		    (size_t)written <= framing_bound(conf, list[i].len));
		ASSERT_HERE(conf->rule->obeys == NULL ||
		    conf->rule->obeys(conf, out.b + out.len, (size_t)written));
		out.len += (size_t)written;
	}
	ASSERT_HERE(out.len == script.wire.len);
	ASSERT_HERE(memcmp(out.b, script.wire.b, out.len) == 0);
	play(&s, conf, &script, BYTES_MAX, BYTES_MAX);
	ASSERT_HERE(s.tally.count == n);
	for (unsigned i = 0; i < n; i++)
		ASSERT_HERE(tally_is(&s.tally, i, list[i].b, list[i].len));
	ASSERT_HERE(s.len == 0);
	play_cut(conf, &script, &s);
	stream_end(&s);
}

static void
test_write(const struct framing_conf *conf, char *payload, char *wire)
{
	static struct blob in, want;
	static uint8_t out[2 * BYTES_MAX];
	bool refused = strstr(wire, "refused") != NULL;
	long n;

	parse_bytes(payload, &in, NULL);
	n = framing_encode(conf, in.b, in.len, out);
	if (refused) {
		ASSERT_HERE(
		    n == (in.len > conf->max_frame ? -EMSGSIZE : -EINVAL));
		return;
	}
	parse_bytes(wire, &want, NULL);
	ASSERT_HERE(n == (long)want.len);
	ASSERT_HERE(memcmp(out, want.b, want.len) == 0);
}

/* One event of a read vector, which must be among what came out. */
static char *
test_event(struct stream *s, char *event, struct tally *seen)
{
	static struct blob payload;
	char word[16];
	int used = 0, reason, errors = 1;
	unsigned long bytes;

	event += strspn(event, " \t\n");
	if (sscanf(event, "%15[a-z]%n", word, &used) != 1)
		fail_msg("%s:%d: '%s' is no event", where, line_number, event);
	event += used;
	if (strcmp(word, "frame") == 0 || strcmp(word, "unchecked") == 0) {
		event = parse_bytes(event, &payload, NULL);
		ASSERT_HERE(seen->count < s->tally.count);
		ASSERT_HERE(
		    tally_is(&s->tally, seen->count, payload.b, payload.len));
		ASSERT_HERE(tally_payload(&s->tally, seen->count,
				&payload.len)[-1] == (*word == 'u'));
		seen->count++;
		return event;
	}
	bytes = strtoul(event, &event, 10);
	if (*event == '/')
		errors = (int)strtoul(event + 1, &event, 10);
	if (strcmp(word, "kept") == 0) {
		ASSERT_HERE(s->len == bytes);
		s->len = 0;
		return event;
	}
	for (reason = 0; reason < BAD_REASONS; reason++)
		if (strcmp(word, bad_reason_names[reason]) == 0)
			break;
	ASSERT_HERE(reason < BAD_REASONS);
	seen->bytes[reason] += bytes;
	seen->errors[reason] += (uint64_t)errors;
	return event;
}

static void
test_read(const struct framing_conf *conf, char *wire, char *events)
{
	static struct script script;
	struct tally seen = { 0 };
	struct stream s;

	parse_script(wire, &script);
	play(&s, conf, &script, BYTES_MAX, BYTES_MAX);
	play_cut(conf, &script, &s);
	while (*events != '\0') {
		events = test_event(&s, events, &seen);
		events += strspn(events, " \t\n,");
	}
	ASSERT_HERE(seen.count == s.tally.count);
	ASSERT_HERE(s.len == 0);
	for (int i = 0; i < BAD_REASONS; i++)
		if (seen.bytes[i] != s.tally.bytes[i] ||
		    seen.errors[i] != s.tally.errors[i])
			fail_msg("%s:%d: %d bytes and %d errors of %s", where,
			    line_number, (int)s.tally.bytes[i],
			    (int)s.tally.errors[i], bad_reason_names[i]);
	stream_end(&s);
}

static void
test_vector(const struct framing *rule, char *line)
{
	char *conf_words = strsep(&line, "|"), *first, *second, *kind;
	struct framing_conf conf;

	first = strsep(&line, "|");
	second = line;
	ASSERT_HERE(first != NULL && second != NULL);
	kind = strsep(&conf_words, " ");
	parse_conf(conf_words, rule, &conf);
	if (strcmp(kind, "both") == 0)
		test_both(&conf, first, second);
	else if (strcmp(kind, "write") == 0)
		test_write(&conf, first, second);
	else if (strcmp(kind, "read") == 0)
		test_read(&conf, first, second);
	else
		fail_msg("%s:%d: '%s'", where, line_number, kind);
}

static void
test_vectors(void **state)
{
	char path[256], *line = NULL;
	size_t size = 0, n;
	FILE *f;

	(void)state;
	for (size_t i = 0; framings[i] != NULL; i++) {
		snprintf(path, sizeof(path), "%s/%s.txt", VECTORS,
		    framings[i]->name);
		where = path;
		n = 0;
		line_number = 0;
		if ((f = fopen(path, "r")) == NULL)
			fail_msg("%s cannot be read", path);
		while (getline(&line, &size, f) > 0) {
			line_number++;
			line[strcspn(line, "\n")] = '\0';
			if (line[0] == '\0' || line[0] == '#')
				continue;
			test_vector(framings[i], line);
			n++;
		}
		fclose(f);
		assert_true(n >= 3);
	}
	free(line);
}

/* --- every framing to every other ---------------------------------------- */

struct side {
	const char *framing;
	bool inner, dle;
	/* Whether it can carry a payload. */
	bool (*carries)(const uint8_t *, size_t);
};

static bool
carries_all(const uint8_t *p, size_t len)
{
	(void)p, (void)len;
	return true;
}

static bool
carries_some(const uint8_t *p, size_t len)
{
	(void)p;
	return len > 0;
}

static bool
carries_two(const uint8_t *p, size_t len)
{
	(void)p;
	return len >= 2;
}

static bool
carries_modbus(const uint8_t *p, size_t len)
{
	(void)p;
	return len >= 2 && len <= 254;
}

static bool
carries_255(const uint8_t *p, size_t len)
{
	(void)p;
	return len <= 255;
}

static bool
carries_line(const uint8_t *p, size_t len)
{
	return (len == 0 || p[len - 1] != '\r') &&
	    (len == 0 || memchr(p, '\n', len) == NULL);
}

static bool
carries_delimiter(const uint8_t *p, size_t len)
{
	return memmem(p, len, "\r\n", 2) == NULL;
}

static bool
carries_stx(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] == 2 || p[i] == 3)
			return false;
	return true;
}

static bool
carries_250(const uint8_t *p, size_t len)
{
	(void)p;
	return len == 250;
}

/* Messages that have an envelope of their own. */
static const struct {
	const char *framing, *bytes;
	size_t len;
} messages[] = {
	{ "nmea", "$GPTXT,hi*62", 12 },
	{ "nmea", "!AIVDM,1,1,,A,15RTgt0PAso;90TKcjM8h6g208CQ,0*4A", 47 },
	{ "mavlink", "\xfe\t\x4e\1\1\0\0\0\0\0\2\3\x51\4\3\x1c\x7f", 17 },
	{ "mavlink", "\xfd\t\0\0\x4e\1\1\0\0\0\0\0\0\0\2\3\x51\4\3\x72\xe4",
	    21 },
};

static bool
carries_message(const char *framing, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < NELEM(messages); i++)
		if (strcmp(messages[i].framing, framing) == 0 &&
		    len == messages[i].len &&
		    memcmp(p, messages[i].bytes, len) == 0)
			return true;
	return false;
}

static bool
carries_nmea(const uint8_t *p, size_t len)
{
	return carries_message("nmea", p, len);
}

static bool
carries_mavlink(const uint8_t *p, size_t len)
{
	return carries_message("mavlink", p, len);
}

static const struct side sides[] = {
	{ "raw", false, false, carries_some },
	{ "line", false, false, carries_line },
	{ "delimiter", false, false, carries_delimiter },
	{ "slip", false, false, carries_some },
	{ "cobs", false, false, carries_all },
	{ "cobsr", false, false, carries_all },
	{ "hdlc", false, false, carries_two },
	{ "length", false, false, carries_all },
	{ "fixed", false, false, carries_250 },
	{ "idle", false, false, carries_some },
	{ "stx", false, false, carries_stx },
	{ "stx", false, true, carries_all },
	{ "nmea", false, false, carries_nmea },
	{ "modbus-rtu", true, false, carries_modbus },
	{ "modbus-ascii", true, false, carries_modbus },
	{ "modbus-tcp", true, false, carries_modbus },
	{ "mavlink", false, false, carries_mavlink },
	{ "ubx", true, false, carries_two },
	{ "rtcm3", true, false, carries_all },
	{ "min", true, false, carries_255 },
};

static void
side_conf(const struct side *side, struct framing_conf *conf)
{
	framing_conf_init(conf);
	framing_use(conf, framing_find(side->framing));
	conf->payload = side->inner;
	conf->dle = side->dle;
	conf->frame_size = 250;
	conf->delimiter = (struct bytes){ 2, { '\r', '\n' } };
}

/* Reads a frame that was cut at one place; what it carries goes to ret. */
static void
read_cut(const struct framing_conf *conf, const uint8_t *wire, size_t len,
    size_t at, struct blob *ret)
{
	/* What comes is a frame. */
	bool pieces = at > 0 && strcmp(conf->rule->name, "raw") == 0;
	const uint8_t *payload;
	struct stream s;

	stream_start(&s, conf);
	stream_feed(&s, wire, at);
	stream_feed(&s, wire + at, len - at);
	stream_silence(&s);
	assert_int_equal(s.tally.used, len);
	assert_int_equal(s.tally.count, pieces ? 2 : 1);
	ret->len = 0;
	for (size_t i = 0, n; i < s.tally.count; i++, ret->len += n) {
		payload = tally_payload(&s.tally, i, &n);
		assert_true(ret->len + n <= sizeof(ret->b));
		memcpy(ret->b + ret->len, payload, n);
	}
	stream_end(&s);
}

/*
 * Writes with one side and reads it again, cut at every place or nowhere; false
 * when it cannot carry it.
 */
static bool
carry(
    const struct side *side, const struct blob *in, bool cut, struct blob *ret)
{
	struct framing_conf conf;
	uint8_t wire[4096];
	long written;

	side_conf(side, &conf);
	written = framing_encode(&conf, in->b, in->len, wire);
	if (written == -EINVAL)
		return false;
	assert_true(written > 0);
	for (long at = 0; at < (cut ? written : 1); at++) {
		read_cut(&conf, wire, (size_t)written, (size_t)at, ret);
		assert_int_equal(ret->len, in->len);
		assert_memory_equal(ret->b, in->b, in->len);
	}
	return true;
}

struct refusals {
	unsigned count, expected;
};

/* From every side that can carry it to every other, in one step. */
static void
carry_all(const struct blob *payload, bool cut, struct refusals *r)
{
	static struct blob first, second;

	for (size_t from = 0; from < NELEM(sides); from++) {
		bool can = sides[from].carries(payload->b, payload->len);

		assert_int_equal(
		    carry(&sides[from], payload, cut, &first), can);
		for (size_t to = 0; can && to < NELEM(sides); to++) {
			r->count += !carry(&sides[to], &first, false, &second);
			r->expected +=
			    !sides[to].carries(payload->b, payload->len);
		}
	}
}

static void
test_matrix(void **state)
{
	static const size_t lengths[] = { 0, 1, 2, 250, 253, 254, 255, 256,
		1000 };
	static struct blob payload;
	struct refusals r = { 0, 0 };

	(void)state;
	for (size_t l = 0; l < NELEM(lengths); l++)
		for (unsigned shift = 0; shift < 256; shift += 5) {
			payload.len = lengths[l];
			for (size_t i = 0; i < payload.len; i++)
				payload.b[i] = (uint8_t)(i * 3 + shift);
			carry_all(&payload, shift % 100 == 0, &r);
		}
	for (size_t i = 0; i < NELEM(messages); i++) {
		payload.len = messages[i].len;
		memcpy(payload.b, messages[i].bytes, payload.len);
		carry_all(&payload, true, &r);
	}
	assert_int_equal(r.count, r.expected);
	assert_true(r.expected > 10000);
}

/* --- limits -------------------------------------------------------------- */

/* The longest payload passes, one byte more does not, and leaves no tail. */
static void
test_longest(void **state)
{
	static const char *const names[] = { "line", "delimiter", "slip",
		"cobs", "cobsr", "hdlc", "length", "idle", "stx", "nmea" };
	uint8_t wire[3000], text[1001];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[0] = '$';
	for (size_t i = 0; i < NELEM(names); i++)
		for (size_t max = 8; max <= 1000; max += 31) {
			struct framing_conf conf;
			struct stream s;
			size_t n[2];

			framing_conf_init(&conf);
			framing_use(&conf, framing_find(names[i]));
			conf.delimiter = (struct bytes){ 1, { ';' } };
			conf.nmea_checksum = NMEA_KEEP;
			conf.max_frame = max + 1;
			n[0] =
			    (size_t)framing_encode(&conf, text, max + 1, wire);
			n[1] = (size_t)framing_encode(
			    &conf, text, max, wire + n[0]);
			conf.max_frame = max;
			assert_int_equal(
			    framing_encode(&conf, text, max + 1, wire + 2500),
			    -EMSGSIZE);
			stream_start(&s, &conf);
			stream_feed(&s, wire, n[0]);
			stream_silence(&s);
			stream_feed(&s, wire + n[0], n[1]);
			stream_silence(&s);
			assert_int_equal(s.tally.count, 1);
			assert_true(tally_is(&s.tally, 0, text, max));
			assert_int_equal(s.tally.used, n[0] + n[1]);
			assert_int_equal(s.tally.bytes[BAD_OVERSIZE] +
				s.tally.bytes[BAD_MALFORMED],
			    n[0]);
			stream_end(&s);
		}
}

/* A raw frame is what came, in pieces of max_frame. */
static void
test_raw(void **state)
{
	struct framing_conf conf;
	struct stream s;

	(void)state;
	framing_conf_init(&conf);
	assert_string_equal(conf.rule->name, "raw");
	assert_int_equal(conf.max_frame, 4096);
	conf.max_frame = 4;
	stream_start(&s, &conf);
	stream_feed(&s, (const uint8_t *)"abcdefghij", 10);
	assert_int_equal(s.tally.count, 3);
	assert_true(tally_is(&s.tally, 0, "abcd", 4));
	assert_true(tally_is(&s.tally, 2, "ij", 2));
	stream_end(&s);
}

/* Some bytes that mean something to the framings; returns how many. */
static size_t
some_bytes(uint8_t *buf, size_t most)
{
	static const uint8_t bytes[] =
	    "\0\n\r$!*\\:09AFab,;\xc0\xdb\x7e\x7d\x02"
	    "\x03\x10\x01\xb5\x62\xd3\xfe\xfd\xaa\x55\x04";
	size_t n = (size_t)random() % most + 1;

	for (size_t i = 0; i < n; i++)
		buf[i] = bytes[(size_t)random() % (sizeof(bytes) - 1)];
	return n;
}

/* Datagrams that end frames are read as if each were the only one. */
static void
test_datagrams(void **state)
{
	struct framing_conf conf;
	struct stream all, alone;
	uint8_t buf[40];
	size_t n;

	(void)state;
	srandom(3);
	for (size_t i = 0; framings[i] != NULL; i++) {
		framing_conf_init(&conf);
		framing_use(&conf, framings[i]);
		conf.frame_size = 5;
		conf.delimiter = (struct bytes){ 2, { '\r', '\n' } };
		conf.max_frame = 20;
		conf.datagram = DATAGRAM_FRAME;
		for (int round = 0; round < 300; round++) {
			stream_start(&all, &conf);
			for (int k = 0; k < 5; k++) {
				size_t frames = all.tally.count;
				uint64_t used = all.tally.used;

				n = some_bytes(buf, sizeof(buf));
				stream_feed(&all, buf, n);
				stream_datagram(&all);
				assert_int_equal(all.tally.used - used, n);
				stream_start(&alone, &conf);
				stream_feed(&alone, buf, n);
				stream_datagram(&alone);
				assert_int_equal(alone.tally.count,
				    all.tally.count - frames);
				stream_end(&alone);
			}
			stream_end(&all);
		}
	}
}

/* A stream of datagrams only differs from one of bytes where a sentence ends. */
static void
test_stream_of_datagrams(void **state)
{
	struct framing_conf conf;
	struct stream apart, whole;
	uint8_t buf[40];
	size_t n;

	(void)state;
	srandom(4);
	for (size_t i = 0; framings[i] != NULL; i++) {
		framing_conf_init(&conf);
		framing_use(&conf, framings[i]);
		conf.frame_size = 5;
		conf.delimiter = (struct bytes){ 2, { '\r', '\n' } };
		conf.datagram = DATAGRAM_STREAM;
		stream_start(&apart, &conf);
		stream_start(&whole, &conf);
		for (int k = 0; k < 300; k++) {
			n = some_bytes(buf, sizeof(buf));
			stream_feed(&apart, buf, n);
			stream_datagram(&apart);
			stream_feed(&whole, buf, n);
		}
		tally_same(&apart.tally, &whole.tally);
		stream_end(&apart);
		stream_end(&whole);
	}
}

/* What waits for its end too long goes, and what comes then is fresh. */
static void
test_timeout(void **state)
{
	struct framing_conf conf;
	struct stream s;

	(void)state;
	framing_conf_init(&conf);
	framing_use(&conf, framing_find("line"));
	stream_start(&s, &conf);
	stream_feed(&s, (const uint8_t *)"half a line", 11);
	stream_timeout(&s);
	assert_int_equal(s.tally.bytes[BAD_TIMEOUT], 11);
	assert_int_equal(s.tally.errors[BAD_TIMEOUT], 1);
	stream_feed(&s, (const uint8_t *)"fresh\n", 6);
	assert_true(tally_is(&s.tally, 0, "fresh", 5));
	stream_end(&s);
}

/* The rest of what is being thrown away already is no error of its own. */
static void
test_timeout_again(void **state)
{
	struct framing_conf conf;
	uint8_t noise[300];
	struct stream s;

	(void)state;
	framing_conf_init(&conf);
	framing_use(&conf, framing_find("modbus-rtu"));
	memset(noise, 0xff, sizeof(noise));
	stream_start(&s, &conf);
	stream_feed(&s, noise, sizeof(noise));
	assert_in_range(s.len, 1, 256);
	stream_timeout(&s);
	assert_int_equal(s.tally.bytes[BAD_TIMEOUT], 0);
	assert_int_equal(s.tally.bytes[BAD_CHECKSUM], sizeof(noise));
	assert_int_equal(s.tally.errors[BAD_CHECKSUM], 1);
	stream_end(&s);
}

/* A beginning that nothing follows hides the good frame behind it no longer. */
static void
test_timeout_hidden(void **state)
{
	static const struct {
		const char *framing, *cut, *good;
		size_t cut_len, good_len;
	} cases[] = {
		{ "ubx", "\xb5\x62\1\2\0\1", "\xb5\x62\12\4\0\0\16\64", 6, 8 },
		{ "mavlink", "\xfe\x40\1",
		    "\xfe\t\x4e\1\1\0\0\0\0\0\2\3\x51\4\3\x1c\x7f", 3, 17 },
		{ "length", "\x7f\1", "\x7f\0\2ok", 2, 5 },
		{ "rtcm3", "\xd3\3", "\xd3\0\0\x47\xea\x4b", 2, 6 },
		{ "gnss", "\xd3\3\xff", "\xb5\x62\12\4\0\0\16\64", 3, 8 },
		{ "modbus-tcp", "\0\1\0\0\0\x20", "\0\2\0\0\0\2\1\7", 6, 8 },
	};

	(void)state;
	for (size_t i = 0; i < NELEM(cases); i++) {
		struct framing_conf conf;
		struct stream s;

		framing_conf_init(&conf);
		framing_use(&conf, framing_find(cases[i].framing));
		conf.sync = (struct bytes){ 1, { 0x7f } };
		stream_start(&s, &conf);
		stream_feed(
		    &s, (const uint8_t *)cases[i].cut, cases[i].cut_len);
		stream_feed(
		    &s, (const uint8_t *)cases[i].good, cases[i].good_len);
		assert_int_equal(s.tally.count, 0);
		stream_timeout(&s);
		assert_int_equal(s.tally.bytes[BAD_TIMEOUT], cases[i].cut_len);
		assert_int_equal(s.tally.count, 1);
		stream_end(&s);
	}
}

/* What has begun and does not end is thrown away whole, in every framing. */
static void
test_timeout_all(void **state)
{
	static const char *const cut[][2] = { { "line", "x" },
		{ "delimiter", "x" }, { "slip", "\xc0x" }, { "cobs", "\5x" },
		{ "cobsr", "\5x" }, { "hdlc", "~x" }, { "length", "\1" },
		{ "fixed", "x" }, { "stx", "\2x" }, { "nmea", "$GP" },
		{ "modbus-rtu", "\1\3" }, { "modbus-ascii", ":01" },
		{ "modbus-tcp", "\1" }, { "mavlink", "\xfd\1" },
		{ "ubx", "\xb5\x62\1" }, { "rtcm3", "\xd3" }, { "gnss", "$GP" },
		{ "min", "\xaa\xaa\xaa\1" } };

	(void)state;
	for (size_t i = 0; i < NELEM(cut); i++) {
		struct framing_conf conf;
		struct stream s;

		framing_conf_init(&conf);
		framing_use(&conf, framing_find(cut[i][0]));
		conf.delimiter = (struct bytes){ 1, { ';' } };
		conf.frame_size = 4;
		stream_start(&s, &conf);
		stream_feed(&s, (const uint8_t *)cut[i][1], strlen(cut[i][1]));
		assert_int_equal(s.len, strlen(cut[i][1]));
		stream_timeout(&s);
		assert_int_equal(s.tally.bytes[BAD_TIMEOUT], strlen(cut[i][1]));
		assert_int_equal(s.tally.errors[BAD_TIMEOUT], 1);
		assert_int_equal(s.tally.count, 0);
		stream_end(&s);
	}
}

/* --- pauses in a frame --------------------------------------------------- */

/* A frame of modbus-rtu, from its payload without the CRC. */
static void
rtu_frame(const struct framing_conf *conf, const struct blob *inner,
    struct blob *ret_wire)
{
	struct framing_conf as = *conf;
	long n;

	as.payload = PAYLOAD_INNER;
	n = framing_encode(&as, inner->b, inner->len, ret_wire->b);
	assert_true(n > 0);
	ret_wire->len = (size_t)n;
}

/* It comes after stray bytes, a first piece and others of that size, with a pause after
 * each. */
static void
play_pieces(const struct framing_conf *conf, const struct blob *stray,
    const struct blob *wire, size_t first, size_t size)
{
	struct blob in = *stray;
	size_t to = MIN(stray->len + first, stray->len + wire->len);
	struct stream s;

	memcpy(in.b + in.len, wire->b, wire->len);
	in.len += wire->len;
	stream_start(&s, conf);
	stream_feed(&s, in.b, to);
	stream_pause(&s);
	for (size_t at = to; at < in.len; at = to) {
		to = MIN(at + size, in.len);
		stream_feed(&s, in.b + at, to - at);
		stream_pause(&s);
	}
	if (s.tally.count != 1)
		fail_msg("%d frames: %zu stray, %zu bytes, then %zu each",
		    (int)s.tally.count, stray->len, first, size);
	assert_true(tally_is(&s.tally, 0, wire->b, wire->len));
	assert_int_equal(s.len, 0);
	stream_end(&s);
}

/* A frame of a known length comes whole, wherever it pauses. */
static void
test_pauses(void **state)
{
	static const struct blob strays[] = { { 0 }, { 1, { 0 } },
		{ 1, { 0xff } }, { 2, { 0xff, 0xff } }, { 3, { 0, 0xff, 0 } } };
	/* An answer of 69 bytes, a long request, both of function 23, an exception. */
	static const struct blob heads[] = { { 3, { 11, 3, 64 } },
		{ 7, { 17, 16, 0, 1, 0, 60, 120 } },
		{ 11, { 5, 23, 0, 3, 0, 6, 0, 14, 0, 3, 6 } },
		{ 3, { 5, 23, 12 } }, { 3, { 11, 0x83, 2 } },
		{ 6, { 17, 3, 0x40, 2, 0, 9 } } };
	static const size_t data[] = { 64, 120, 6, 12, 0, 0 };
	static const size_t sizes[] = { 1, 2, 3, 15, 129 };
	struct framing_conf conf;
	struct blob inner, wire;

	(void)state;
	framing_conf_init(&conf);
	framing_use(&conf, framing_find("modbus-rtu"));
	for (size_t i = 0; i < NELEM(heads) * NELEM(strays); i++) {
		size_t n = i / NELEM(strays);

		inner = heads[n];
		for (size_t at = 0; at < data[n]; at++)
			inner.b[inner.len++] =
			    (uint8_t)(at % 2 == 0 ? 0 : at * 3);
		rtu_frame(&conf, &inner, &wire);
		for (size_t first = 1; first <= wire.len; first++)
			for (size_t k = 0; k < NELEM(sizes); k++)
				play_pieces(&conf, &strays[i % NELEM(strays)],
				    &wire, first, sizes[k]);
	}
}

/* How long a silence must be to end what has arrived. */
static void
test_pause_length(void **state)
{
	static const struct {
		const char *in;
		size_t len;
		bool longer;
	} cases[] = {
		{ "\x0b", 1, true },
		{ "\x0b\3", 2, true },
		{ "\x0b\3\x40\1", 4, true },
		{ "\x0b\x83\2", 3, true },
		{ "\0\x0b\3\x40\1", 5, true },
		/* Stray bytes alone. */
		{ "\0", 1, false },
		{ "\xff", 1, false },
		{ "\xff\xff", 2, false },
		{ "\0\xff\0", 3, false },
		/* An unknown function, an impossible length. */
		{ "\x0b\x40", 2, false },
		{ "\x0b\3\xff\1\0\0", 6, false },
		{ "\x0b\3\3\1\0\0\0\0", 8, false },
		/* A whole frame of an unusual length. */
		{ "\1\3\4\1\2\xd8\x14", 7, false },
		/* A whole frame after stray bytes, another one, or a part of one. */
		{ "\0\1\3\x40\0\0\1\x91\xca", 9, false },
		{ "\0\1\3\x40\0\0\1\x91\xca\0\xff", 11, false },
		{ "\x0b\3\x40\1\1\3\x40\0\0\1\x91\xca", 12, false },
		/* ff ff 00 00 00 within an answer is no exception. */
		{ "\x0b\3\x40\0\xff\xff\0\0\0", 9, true },
	};
	struct framing_conf conf;
	struct decoder d;

	(void)state;
	framing_conf_init(&conf);
	framing_use(&conf, framing_find("modbus-rtu"));
	framing_start(&d, &conf);
	for (size_t i = 0; i < NELEM(cases); i++) {
		uint64_t pause = framing_pause(
		    &d, (const uint8_t *)cases[i].in, cases[i].len);

		if (pause != (cases[i].longer ? 50 * NSEC_PER_MSEC : 0))
			fail_msg(
			    "case %zu: %d ms", i, (int)(pause / NSEC_PER_MSEC));
	}
	/* The silence of other framings does not depend on what has arrived. */
	framing_use(&conf, framing_find("idle"));
	assert_int_equal(framing_pause(&d, (const uint8_t *)"\x0b\3", 2), 0);
}

/* --- keys ---------------------------------------------------------------- */

static void
test_rules(void **state)
{
	(void)state;
	assert_null(framing_find("lines"));
	for (size_t i = 0; framings[i] != NULL; i++) {
		const struct framing *rule = framings[i];
		struct framing_conf conf;

		assert_ptr_equal(framing_find(rule->name), rule);
		assert_true(strlen(rule->summary) > 10);
		framing_conf_init(&conf);
		framing_use(&conf, rule);
		assert_ptr_equal(conf.rule, rule);
		assert_true(framing_same(&conf, &conf));
		for (const struct key *k = rule->keys;
		     k != NULL && k->name != NULL; k++) {
			assert_non_null(k->help);
			assert_null(key_find(framing_common_keys, k->name));
		}
	}
}

/* Sets a key of the framing, or of all. */
static void
set(struct framing_conf *conf, const char *name, const char *value)
{
	const struct key *key = key_find(framing_common_keys, name);
	struct error err;

	if (key == NULL)
		key = key_find(conf->rule->keys, name);
	assert_non_null(key);
	if (key_parse(key, conf, value, &err) != 0)
		fail_msg("%s = %s: %s", name, value, err.text);
}

static void
test_check(void **state)
{
	static const struct {
		const char *framing, *key[3], *value[3];
		const char *says; /* NULL: all is well */
	} cases[] = {
		{ "delimiter", { 0 }, { 0 }, "needs 'delimiter'" },
		{ "delimiter", { "delimiter" }, { "\\x03" }, NULL },
		{ "delimiter", { "delimiter", "trailer", "max_frame" },
		    { "ab", "3", "4" }, "3 bytes of its trailer" },
		{ "delimiter", { "delimiter", "trailer", "max_frame" },
		    { "ab", "2", "4" }, NULL },
		{ "fixed", { 0 }, { 0 }, "needs 'frame_size'" },
		{ "fixed", { "frame_size" }, { "8000" }, "max_frame" },
		{ "fixed", { "frame_size", "max_frame" }, { "8000", "8000" },
		    NULL },
		{ "fixed", { "frame_size", "checksum" }, { "2", "crc16-x25" },
		    "no room" },
		{ "idle", { 0 }, { 0 }, NULL },
		{ "idle", { "idle" }, { "none" }, "needs 'idle'" },
		{ "modbus-rtu", { "idle" }, { "none" }, "needs 'idle'" },
		{ "length", { "length_offset", "max_frame" }, { "5", "4" },
		    "length_offset" },
		{ "hdlc", { "checksum" }, { "crc32" }, "of its own" },
		{ "hdlc", { "fcs", "checksum" }, { "none", "crc32" }, NULL },
		{ "stx", { "checksum" }, { "xor8" }, NULL },
		{ "stx", { "bcc", "checksum" }, { "yes", "xor8" },
		    "of its own" },
		{ "nmea", { "checksum" }, { "xor8" }, "of its own" },
		{ "modbus-tcp", { "checksum" }, { "crc16-modbus" },
		    "has no checksum" },
		{ "mavlink", { "checksum" }, { "xor8" }, "of its own" },
		{ "min", { "checksum" }, { "xor8" }, "of its own" },
		{ "line", { "checksum_poly" }, { "0x8005" },
		    "'checksum_poly' is for checksum = crc8 or crc16" },
		{ "line", { "checksum", "checksum_init" }, { "crc32", "0x01" },
		    "'checksum_init' is for" },
		{ "line", { "checksum", "checksum_reflect" }, { "sum8", "yes" },
		    "'checksum_reflect' is for" },
		{ "line", { "checksum", "checksum_xor" }, { "crc24q", "0xff" },
		    "'checksum_xor' is for" },
		{ "line", { "checksum", "checksum_poly" }, { "crc8", "0x107" },
		    "'checksum_poly' has more than the 8 bits" },
		{ "line", { "checksum", "checksum_xor" }, { "crc8", "0xffff" },
		    "'checksum_xor' has more" },
		{ "line", { "checksum", "checksum_init" },
		    { "crc16", "0xffff" }, NULL },
		{ "line", { "checksum", "checksum_complement" },
		    { "crc16", "ones" }, "xor8, sum8 or sum16 only" },
		{ "line", { "checksum_complement" }, { "twos" }, "sum16 only" },
		{ "line", { "checksum", "checksum_complement" },
		    { "sum16", "twos" }, NULL },
		{ "length", { "checksum_from" }, { "sync" },
		    "needs 'checksum'" },
		{ "length", { "checksum", "checksum_from" },
		    { "crc24q", "sync" }, NULL },
		{ "length", { "length_size", "length_mask" }, { "1", "0x7ff" },
		    "length field of 1 byte; make 'length_size' larger" },
		{ "length", { "length_mask" }, { "0x7ff" }, NULL },
		{ "length", { "length_size", "length_shift" }, { "1", "8" },
		    "leaves nothing" },
		{ "length", { "length_mask", "length_shift" }, { "0x0f", "4" },
		    "leaves nothing" },
		{ "length", { "length_mask", "length_shift" }, { "0xf0", "4" },
		    NULL },
		{ "fixed", { "frame_size", "sync" }, { "2", "abc" },
		    "at least 3" },
		{ "fixed", { "frame_size", "sync", "checksum" },
		    { "3", "ab", "sum16" }, "at least 4" },
		{ "fixed", { "frame_size", "checksum_from" }, { "9", "sync" },
		    "needs 'checksum'" },
	};

	(void)state;
	for (size_t i = 0; i < NELEM(cases); i++) {
		struct framing_conf conf;
		struct error err = { "" };
		int r;

		framing_conf_init(&conf);
		framing_use(&conf, framing_find(cases[i].framing));
		for (int k = 0; k < 3 && cases[i].key[k] != NULL; k++)
			set(&conf, cases[i].key[k], cases[i].value[k]);
		r = framing_check(&conf, &err);
		assert_int_equal(r, cases[i].says != NULL ? -EINVAL : 0);
		if (cases[i].says != NULL &&
		    strstr(err.text, cases[i].says) == NULL)
			fail_msg("%s: %s", cases[i].framing, err.text);
	}
}

/* Only what shows in the bytes makes a difference. */
static void
test_same(void **state)
{
	struct framing_conf a, b;

	(void)state;
	framing_conf_init(&a);
	framing_use(&a, framing_find("length"));
	b = a;
	set(&b, "idle", "5ms");
	b.baud = 115200;
	assert_true(framing_same(&a, &b));
	set(&b, "length_adjust", "-2");
	assert_false(framing_same(&a, &b));
	set(&a, "length_adjust", "-2");
	assert_true(framing_same(&a, &b));
	set(&b, "sync", "\\xaa");
	assert_false(framing_same(&a, &b));
	set(&a, "sync", "\\xaa");
	set(&b, "checksum", "crc32");
	assert_false(framing_same(&a, &b));
	set(&a, "checksum", "crc32");
	assert_true(framing_same(&a, &b));
	set(&a, "max_frame", "5K");
	assert_false(framing_same(&a, &b));
	framing_conf_init(&a);
	framing_conf_init(&b);
	framing_use(&b, framing_find("line"));
	assert_false(framing_same(&a, &b));
}

/* The number of a framing changes with whatever makes it another one. */
static void
test_id(void **state)
{
	struct framing_conf a, b;

	(void)state;
	framing_conf_init(&a);
	framing_use(&a, framing_find("hdlc"));
	b = a;
	b.baud = 115200;
	b.output = true;
	assert_true(framing_id(&a) == framing_id(&b));
	set(&b, "accm", "yes");
	assert_true(framing_id(&a) != framing_id(&b));
	b = a;
	set(&b, "max_frame", "5K");
	assert_true(framing_id(&a) != framing_id(&b));
	b = a;
	b.rule = framing_find("slip");
	assert_true(framing_id(&a) != framing_id(&b));
}

/* Which spellings the keys for writing let pass. */
static void
test_obeys(void **state)
{
	static const struct {
		const char *framing, *key, *value, *wire;
		bool obeys;
	} cases[] = {
		{ "line", "eol", "crlf", "a\r\n", true },
		{ "line", "eol", "crlf", "a\n", false },
		{ "line", "eol", "lf", "a\n", true },
		{ "line", "eol", "lf", "a\r\r\n", false },
		{ "line", "eol", "cr", "a\r\n", false },
		{ "hdlc", "accm", "yes", "~}1A}^m~", true },
		{ "hdlc", "accm", "yes",
		    "~\x11"
		    "A}^m~",
		    false },
		{ "hdlc", "accm", "no", "~}1A}^m~", false },
		{ "hdlc", "accm", "no",
		    "~~\x11"
		    "A}^m~",
		    true },
		{ "nmea", "nmea_checksum", "add", "$X*58 \n", true },
		{ "nmea", "nmea_checksum", "add", "$X\r\n", false },
		{ "nmea", "nmea_checksum", "keep", "$X\r\n", true },
		{ "slip", "max_frame", "8", "\xc0\xc0x\xc0", true },
	};
	struct framing_conf conf;

	(void)state;
	for (size_t i = 0; i < NELEM(cases); i++) {
		const uint8_t *wire = (const uint8_t *)cases[i].wire;

		framing_conf_init(&conf);
		framing_use(&conf, framing_find(cases[i].framing));
		set(&conf, cases[i].key, cases[i].value);
		assert_true(framing_obeys(&conf, wire, strlen(cases[i].wire)));
		conf.output = true;
		if (framing_obeys(&conf, wire, strlen(cases[i].wire)) !=
		    cases[i].obeys)
			fail_msg("%s: %s", cases[i].framing, cases[i].wire);
	}
}

static void
test_adjust(void **state)
{
	struct framing_conf conf;
	const struct key *key;
	struct error err;
	char text[64];

	(void)state;
	framing_conf_init(&conf);
	framing_use(&conf, framing_find("length"));
	key = key_find(conf.rule->keys, "length_adjust");
	set(&conf, "length_adjust", "-12");
	assert_int_equal(conf.length_adjust, -12);
	key_print(key, &conf, text, sizeof(text));
	assert_string_equal(text, "-12");
	set(&conf, "length_adjust", "7");
	key_print(key, &conf, text, sizeof(text));
	assert_string_equal(text, "7");
	assert_int_equal(key_parse(key, &conf, "1x", &err), -EINVAL);
	assert_int_equal(key_parse(key, &conf, "--1", &err), -EINVAL);
	assert_int_equal(key_parse(key, &conf, "-9999999", &err), -EINVAL);
	assert_int_equal(conf.length_adjust, 7);
}

static void
test_silence(void **state)
{
	static const struct {
		const char *framing, *idle;
		uint64_t baud;
		unsigned char_bits;
		uint64_t ns;
	} cases[] = {
		{ "line", NULL, 9600, 10, 0 },
		{ "ubx", NULL, 9600, 10, 0 },
		{ "fixed", NULL, 9600, 10, 0 },
		{ "length", NULL, 9600, 10, 0 },
		{ "fixed", "2", 9600, 10, 2083333 },
		{ "idle", NULL, 9600, 10, 3645833 },
		{ "idle", NULL, 9600, 0, 3645833 },
		{ "idle", NULL, 0, 0, 3645833 },
		{ "idle", NULL, 9600, 11, 4010416 },
		{ "idle", "5ms", 9600, 11, 5000000 },
		{ "idle", "10", 1000000, 10, 100000 },
		{ "line", "20ms", 9600, 10, 20000000 },
		{ "line", "2", 9600, 10, 2083333 },
		{ "delimiter", "20ms", 9600, 10, 20000000 },
		/* Modbus counts eleven bits, whatever the line has. */
		{ "modbus-rtu", NULL, 9600, 10, 4010416 },
		{ "modbus-rtu", NULL, 19200, 10, 2005208 },
		{ "modbus-rtu", "1", 19200, 10, 572916 },
		{ "modbus-rtu", "1", 19201, 10, 1750000 },
		{ "modbus-rtu", NULL, 38400, 10, 1750000 },
		{ "modbus-rtu", NULL, 115200, 10, 1750000 },
		{ "modbus-rtu", "100", 115200, 10, 9548611 },
		{ "modbus-rtu", "20ms", 115200, 10, 20000000 },
		{ "modbus-ascii", NULL, 9600, 10, 1000000000 },
	};

	(void)state;
	for (size_t i = 0; i < NELEM(cases); i++) {
		struct framing_conf conf;

		framing_conf_init(&conf);
		framing_use(&conf, framing_find(cases[i].framing));
		if (cases[i].idle != NULL)
			set(&conf,
			    key_find(conf.rule->keys, "idle") != NULL ? "idle"
								      : "flush",
			    cases[i].idle);
		conf.baud = cases[i].baud;
		conf.char_bits = cases[i].char_bits;
		assert_int_equal(framing_silence(&conf), cases[i].ns);
	}
}

/* --- checksums ----------------------------------------------------------- */

static uint32_t
crc_bits(uint32_t poly, uint32_t crc, const uint8_t *p, size_t len)
{
	for (; len > 0; len--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? poly : 0);
	}
	return crc;
}

static uint16_t
ccitt_bits(uint16_t crc, const uint8_t *p, size_t len)
{
	for (; len > 0; len--) {
		crc ^= (uint16_t)(*p++ << 8);
		for (int i = 0; i < 8; i++)
			crc = (uint16_t)(crc << 1 ^ (crc >> 15) * 0x1021);
	}
	return crc;
}

/* By the definition, as catalogues of CRCs word it. */
static uint32_t
slow_crc(unsigned width, const struct checksum_params *how, const uint8_t *p,
    size_t len)
{
	uint32_t crc = (uint32_t)how->init, top = 1U << (width - 1), back = 0;

	for (size_t i = 0; i < 8 * len; i++) {
		unsigned shift = how->reflect ? i % 8 : 7 - i % 8;
		bool one = (p[i / 8] >> shift & 1) != !!(crc & top);

		crc = (crc << 1 ^ (one ? (uint32_t)how->poly : 0)) &
		    (top | (top - 1));
	}
	for (unsigned i = 0; i < width; i++)
		back |= (crc >> i & 1) << (width - 1 - i);
	return (how->reflect ? back : crc) ^ (uint32_t)how->xor_out;
}

/* By the definition, one bit or one byte at a time. */
static uint32_t
slow_sum(int kind, const uint8_t *p, size_t len)
{
	static const struct checksum_params q = { .poly = 0x864cfb };
	uint8_t a = 0, b = 0, xored = 0;
	uint16_t wide = 0;

	switch (kind) {
	case CHECKSUM_CRC24Q:
		return slow_crc(24, &q, p, len);
	case CHECKSUM_CRC16_CCITT:
		return ccitt_bits(0xffff, p, len);
	case CHECKSUM_CRC16_XMODEM:
		return ccitt_bits(0, p, len);
	case CHECKSUM_CRC16_MODBUS:
		return crc_bits(0xa001, 0xffff, p, len);
	case CHECKSUM_CRC16_X25:
		return crc_bits(0x8408, 0xffff, p, len) ^ 0xffff;
	case CHECKSUM_CRC32:
		return ~crc_bits(0xedb88320, 0xffffffff, p, len);
	}
	for (size_t i = 0; i < len; i++) {
		a += p[i];
		b += a;
		xored ^= p[i];
		wide += p[i];
	}
	return kind == CHECKSUM_XOR8 ? xored
	    : kind == CHECKSUM_SUM8  ? a
	    : kind == CHECKSUM_SUM16 ? wide
				     : (uint32_t)(a << 8 | b);
}

static void
test_checksums(void **state)
{
	static const uint32_t check[] = { 0, 0x29b1, 0x31c3, 0x4b37, 0x906e,
		0xcbf43926, 0x31, 0xdd, 0xdd15, 0x01dd, 0, 0, 0xcde703 };
	const uint8_t *digits = (const uint8_t *)"123456789";
	uint8_t p[700];

	(void)state;
	srandom(1);
	for (size_t i = 0; i < sizeof(p); i++)
		p[i] = (uint8_t)random();
	for (int kind = 1; checksum_words[kind] != NULL; kind++) {
		if (checksum_is_crc(kind))
			continue;
		assert_int_equal(checksum_of(kind, digits, 9), check[kind]);
		for (size_t n = 0; n < sizeof(p) - 3; n++)
			assert_int_equal(checksum_of(kind, p + n % 4, n),
			    slow_sum(kind, p + n % 4, n));
	}
	assert_int_equal(crc16_x25(0xffff, digits, 9), 0x6f91);
	/* On from where another one stopped. */
	assert_int_equal(crc32_ieee(crc32_ieee(0, p, 100), p + 100, 333),
	    crc32_ieee(0, p, 433));
}

/* Published parameters, with the sum of "123456789". */
static void
test_crc_by_params(void **state)
{
	static const struct {
		int kind;
		struct checksum_params params;
		uint32_t check;
	} cases[] = {
		{ CHECKSUM_CRC8, { 0 }, 0xf4 },
		{ CHECKSUM_CRC8, { .poly = 0xd5 }, 0xbc },
		{ CHECKSUM_CRC8, { .poly = 0x31, .reflect = true }, 0xa1 },
		{ CHECKSUM_CRC8,
		    { .poly = 0x1d, .init = 0xff, .xor_out = 0xff }, 0x4b },
		{ CHECKSUM_CRC8,
		    { .poly = 0x2f, .init = 0xff, .xor_out = 0xff }, 0xdf },
		{ CHECKSUM_CRC8, { .poly = 0x9b, .init = 0xff }, 0xda },
		{ CHECKSUM_CRC8,
		    { .poly = 0x1d, .init = 0xff, .reflect = true }, 0x97 },
		{ CHECKSUM_CRC8,
		    { .poly = 0x07, .init = 0xff, .reflect = true }, 0xd0 },
		{ CHECKSUM_CRC16, { 0 }, 0x31c3 },
		{ CHECKSUM_CRC16, { .poly = 0x8005 }, 0xfee8 },
		{ CHECKSUM_CRC16, { .poly = 0x8005, .reflect = true }, 0xbb3d },
		{ CHECKSUM_CRC16,
		    { .poly = 0x8005, .init = 0xffff, .reflect = true },
		    0x4b37 },
		{ CHECKSUM_CRC16,
		    { .poly = 0x8005,
			.init = 0xffff,
			.reflect = true,
			.xor_out = 0xffff },
		    0xb4c8 },
		{ CHECKSUM_CRC16, { .init = 0xffff }, 0x29b1 },
		{ CHECKSUM_CRC16, { .init = 0x1d0f }, 0xe5cc },
		{ CHECKSUM_CRC16, { .reflect = true }, 0x2189 },
		{ CHECKSUM_CRC16,
		    { .init = 0xffff, .reflect = true, .xor_out = 0xffff },
		    0x906e },
		{ CHECKSUM_CRC16, { .init = 0xb2aa, .reflect = true }, 0x63d0 },
		{ CHECKSUM_CRC16,
		    { .poly = 0x3d65, .reflect = true, .xor_out = 0xffff },
		    0xea82 },
		{ CHECKSUM_CRC16, { .poly = 0x8bb7 }, 0xd0db },
	};
	uint8_t p[300];

	(void)state;
	for (size_t i = 0; i < sizeof(p); i++)
		p[i] = (uint8_t)random();
	for (size_t i = 0; i < NELEM(cases); i++) {
		struct checksum_params how = cases[i].params;
		int kind = cases[i].kind;

		assert_int_equal(
		    checksum_with(kind, &how, (const uint8_t *)"123456789", 9),
		    cases[i].check);
		if (how.poly == 0)
			how.poly = checksum_poly(kind);
		for (size_t n = 0; n < sizeof(p); n++)
			assert_int_equal(checksum_with(kind, &how, p, n),
			    slow_crc(
				kind == CHECKSUM_CRC8 ? 8 : 16, &how, p, n));
	}
}

static void
test_complements(void **state)
{
	static const struct {
		int kind;
		uint32_t ones, twos;
	} cases[] = {
		{ CHECKSUM_XOR8, 0xce, 0xcf },
		{ CHECKSUM_SUM8, 0x22, 0x23 },
		{ CHECKSUM_SUM16, 0xfe22, 0xfe23 },
	};
	struct checksum_params how = { 0 };

	(void)state;
	for (size_t i = 0; i < NELEM(cases); i++) {
		how.complement = COMPLEMENT_ONES;
		assert_int_equal(checksum_with(cases[i].kind, &how,
				     (const uint8_t *)"123456789", 9),
		    cases[i].ones);
		how.complement = COMPLEMENT_TWOS;
		assert_int_equal(checksum_with(cases[i].kind, &how,
				     (const uint8_t *)"123456789", 9),
		    cases[i].twos);
		assert_int_equal(
		    checksum_with(cases[i].kind, &how, NULL, 0), 0);
	}
}

/* Any byte changed is seen, in either byte order, whatever the sum covers. */
static void
test_generic_checksum(void **state)
{
	struct framing_conf conf;
	struct decoder d;
	struct decoded out;
	uint8_t wire[64], bad[64];

	(void)state;
	framing_conf_init(&conf);
	framing_use(&conf, framing_find("length"));
	for (int i = 6; checksum_words[i / 6] != NULL; i++) {
		long n;

		conf.checksum = i / 6;
		conf.checksum_endian = i % 2;
		conf.checksum_from = i % 3;
		n = framing_encode(&conf, (const uint8_t *)"12345", 5, wire);
		assert_int_equal(n, 7 + (long)checksum_size(conf.checksum));
		for (long k = 1; k < n; k++) {
			memcpy(bad, wire, sizeof(bad));
			bad[k] ^= k == 1 ? 0 : 0x10;
			framing_start(&d, &conf);
			assert_int_equal(
			    framing_decode(&d, bad, (size_t)n, &out),
			    k == 1 ? DECODE_FRAME : DECODE_BAD);
			assert_int_equal(out.used, n);
			if (k == 1)
				assert_int_equal(out.len, 5);
			else
				assert_int_equal(out.reason, BAD_CHECKSUM);
		}
	}
}

/* --- scanning ------------------------------------------------------------ */

/* Any place and length, with nothing readable behind. */
static void
test_scan_other(void **state)
{
	uint32_t dice = 1;

	(void)state;
	for (size_t len = 1; len < 100; len++)
		for (unsigned n = 0; n < 60; n++) {
			uint8_t *p = malloc(len);
			size_t from, at = 0;
			uint64_t sum = 0;
			uint8_t want = 0;

			for (size_t i = 0; i < len; i++) {
				dice = dice * 1664525 + 1013904223;
				p[i] = '%' + (dice >> 16) % ('~' - '%' + 1);
			}
			if (n % 4 != 0)
				p[(dice >> 8) % len] = (uint8_t)(dice >> 20);
			from = (dice >> 4) % len;
			for (at = from; at < len && !scan_is_other(p[at]); at++)
				want ^= p[at];
			assert_int_equal(scan_other(p, from, len, &sum), at);
			assert_int_equal(scan_fold(sum), want);
			free(p);
		}
}

/* With vectors or without, the same. */
static void
test_scan(void **state)
{
	uint8_t p[LANES];

	(void)state;
	srandom(2);
	for (int i = 0; i < 100000; i++) {
		for (size_t k = 0; k < LANES; k++)
			p[k] = (uint8_t)(random() % (i % 97 + 3));
		assert_int_equal(scan(p, 7, 2, 0), scan_plain(p, 7, 2, 0));
		assert_int_equal(
		    scan(p, 0x7e, 0x7d, 0x20), scan_plain(p, 0x7e, 0x7d, 0x20));
		p[i % LANES] |= 0x80;
		assert_int_equal(
		    scan(p, 0x80, 0xff, 0), scan_plain(p, 0x80, 0xff, 0));
	}
	assert_int_equal(scan_first(0x8800), 11);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_matrix),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_raw),
		cmocka_unit_test(test_datagrams),
		cmocka_unit_test(test_stream_of_datagrams),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_timeout_again),
		cmocka_unit_test(test_timeout_hidden),
		cmocka_unit_test(test_timeout_all),
		cmocka_unit_test(test_pauses),
		cmocka_unit_test(test_pause_length),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_id),
		cmocka_unit_test(test_obeys),
		cmocka_unit_test(test_adjust),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_checksums),
		cmocka_unit_test(test_crc_by_params),
		cmocka_unit_test(test_complements),
		cmocka_unit_test(test_generic_checksum),
		cmocka_unit_test(test_scan),
		cmocka_unit_test(test_scan_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
