/*
 * framing_nmea: NMEA 0183 sentences, $ or ! ... *hh CR LF, with a TAG block
 * (\...*hh\) before them or without.
 *
 * The payload is the sentence without its CR LF; with payload = inner also without
 * *hh and without a $ at its front, whose absence says that it was one.
 *
 * When a line is no good as a whole its last sentence may be: the beginning of
 * another one that was cut off, or noise, stands before it then.
 */
#include <errno.h>
#include <string.h>

#include "framing_rule.h"

#define STARTS "$!\\"
#define SUM 3 /* *hh */

static inline bool
is_start(uint8_t c)
{
	return c == '$' || c == '!' || c == '\\';
}

enum verdict { GOOD, NO_SUM, WRONG_SUM, NO_SENTENCE };

static const char *const mode_words[] = {
	"require",
	"add",
	"keep",
	NULL,
};

static const struct key nmea_keys[] = {
	{
	    .name = "nmea_checksum",
	    .type = KEY_WORD,
	    .offset = offsetof(struct framing_conf, nmea_checksum),
	    .def = "require",
	    .words = mode_words,
	    .help = "sentences without a checksum: dropped, taken and written "
		    "with one, or taken and written as they are",
	},
	FRAMING_KEY_PAYLOAD,
	{ 0 },
};

/* Whether text[0..len) is right, from behind its first character up to *hh. */
static enum verdict
check_sum(const uint8_t *text, size_t len)
{
	int sum;

	if (len < 1 + SUM || text[len - SUM] != '*' ||
	    (sum = rule_hex(text + len - 2)) < 0)
		return NO_SUM;
	return xor8(text + 1, len - 1 - SUM) == sum ? GOOD : WRONG_SUM;
}

static enum verdict
judge(const uint8_t *text, size_t len)
{
	const uint8_t *end;

	if (len > 0 && text[0] == '\\') {
		end = memchr(text + 1, '\\', len - 1);
		if (end == NULL)
			return NO_SENTENCE;
		if (check_sum(text, (size_t)(end - text)) != GOOD)
			return WRONG_SUM;
		len -= (size_t)(end + 1 - text);
		text = end + 1;
	}
	if (len < 1 || (text[0] != '$' && text[0] != '!'))
		return NO_SENTENCE;
	return check_sum(text, len);
}

/*
 * Where in the text its last sentence begins, with its TAG block if that does not
 * begin the text (it has been tried then); 0: nowhere but at the start.
 */
static size_t
last_sentence(const uint8_t *text, size_t len)
{
	const uint8_t *tag;
	size_t at = len;

	do {
		if (--at == 0)
			return 0;
	} while (text[at] != '$' && text[at] != '!');
	if (at > 1 && text[at - 1] == '\\' &&
	    (tag = memrchr(text, '\\', at - 1)) != NULL && tag > text)
		at = (size_t)(tag - text);
	return at;
}

/*
 * Takes the envelope off; true when encoding puts on the same one.
 */
static bool
strip(struct sentence *s, enum verdict verdict)
{
	const uint8_t *sum;
	bool same = verdict == GOOD;

	if (verdict == GOOD) {
		s->len -= SUM;
		sum = s->text + s->len;
		same = sum[1] < 'a' && sum[2] < 'a' &&
		    check_sum(s->text, s->len) == NO_SUM;
	}
	if (s->text[0] == '$') {
		s->text++;
		s->len--;
		same = same && (s->len == 0 || !is_start(s->text[0]));
	}
	return same;
}

static enum decode_result
nmea_decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	const struct framing_conf *conf = d->conf;
	bool inner = conf->payload == PAYLOAD_INNER, same;
	struct sentence s;
	enum verdict verdict;

	if (!rule_sentence(
		d, in, len, out, STARTS, d->max + (inner ? 1 + SUM : 0), &s))
		return s.result;
	verdict = judge(s.text, s.len);
	if (verdict == NO_SENTENCE || verdict == WRONG_SUM ||
	    (verdict == NO_SUM && conf->nmea_checksum == NMEA_REQUIRE))
		return rule_sentence_bad(d, out, &s,
		    last_sentence(s.text, s.len),
		    verdict == NO_SENTENCE ? BAD_MALFORMED : BAD_CHECKSUM);
	same = inner ? strip(&s, verdict)
		     : verdict == GOOD || conf->nmea_checksum == NMEA_KEEP;
	if (s.len > d->max)
		return rule_bad(d, out, s.used, BAD_OVERSIZE);
	return rule_frame(d, out, s.used, s.text, s.len, s.crlf && same);
}

static enum decode_result
nmea_silent(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	return rule_bad(
	    d, out, rule_find_start(STARTS, in, 1, len), BAD_MALFORMED);
}

static long
nmea_encode(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	bool inner = conf->payload == PAYLOAD_INNER;
	const uint8_t *text = out;
	uint8_t *to = out, *tag;
	enum verdict verdict;

	if (memchr(in, '\n', len) != NULL)
		return -EINVAL;
	if (inner && (len == 0 || !is_start(in[0])))
		*to++ = '$';
	memcpy(to, in, len);
	to += len;
	verdict = judge(out, (size_t)(to - out));
	if (verdict == NO_SENTENCE || verdict == WRONG_SUM ||
	    (inner && (verdict == GOOD || (len > 0 && in[0] == '$'))))
		return -EINVAL;
	if (verdict == NO_SUM && (conf->nmea_checksum != NMEA_KEEP || inner)) {
		if (text[0] == '\\' &&
		    (tag = memchr(text + 1, '\\', (size_t)(to - text) - 1)) !=
			NULL)
			text = tag + 1;
		*to = '*';
		rule_put_hex(to + 1, xor8(text + 1, (size_t)(to - text) - 1));
		to += SUM;
	}
	*to++ = '\r';
	*to++ = '\n';
	return to - out;
}

static size_t
nmea_bound(const struct framing_conf *conf, size_t len)
{
	(void)conf;
	return len + 1 + SUM + 2;
}

const struct framing framing_nmea = {
	.name = "nmea",
	.summary = "NMEA 0183 sentences, checksum checked and written",
	.keys = nmea_keys,
	.check = rule_check_own,
	.decode = nmea_decode,
	.silent = nmea_silent,
	.encode = nmea_encode,
	.bound = nmea_bound,
};
