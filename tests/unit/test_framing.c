/* Framings: the vectors, every framing to every other, limits, keys, checksums. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>

#include "framing_harness.h"
#include "framing_scan.h"

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
};

/* --- the language of the vectors ----------------------------------------- */

static const char *where;
static int line_number;

#define ASSERT_HERE(true_)                                                     \
	do {                                                                   \
		if (!(true_))                                                  \
			fail_msg("%s:%d: not so: %s", where, line_number,      \
			    #true_);                                           \
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
		if (script != NULL && strcmp(word, "silence") == 0)
			script->silence[script->nsilences++] = blob->len;
		else
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
	char err[256], *word, *value;

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
		ASSERT_HERE(
		    key_parse(key, conf, value, err, sizeof(err)) == 0);
	}
	if (rule->check != NULL)
		ASSERT_HERE(rule->check(conf, err, sizeof(err)) == 0);
}

/* --- running them -------------------------------------------------------- */

/* Feeds the script with cuts behind first bytes, and then every step bytes. */
static void
play(struct stream *s, const struct framing_conf *conf,
    const struct script *script, size_t first, size_t step)
{
	size_t at = 0, quiet = 0, cut = first, to;

	stream_start(s, conf);
	while (at < script->wire.len || quiet < script->nsilences) {
		if (quiet < script->nsilences &&
		    at == script->silence[quiet]) {
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
		written = framing_encode(conf, list[i].b, list[i].len,
		    out.b + out.len);
		ASSERT_HERE(written >= 0);
		ASSERT_HERE((size_t)written <=
		    framing_bound(conf, list[i].len));
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
		ASSERT_HERE(n == (in.len > conf->max_frame ? -EMSGSIZE :
		    -EINVAL));
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
		ASSERT_HERE(tally_is(&s->tally, seen->count, payload.b,
		    payload.len));
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

	/* A delimiter may be a bar itself. */
	if (line[0] == ' ' && conf_words[strlen(conf_words) - 1] == '=') {
		conf_words[strlen(conf_words)] = '|';
		line[0] = '\0';
		line++;
		line += strcspn(line, "|") + 1;
	}
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
