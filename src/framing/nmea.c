/*
 * nmea: NMEA 0183 sentences, $ or ! ... *hh CR LF, with or without a TAG block
 * (\...*hh\) before them.
 *
 * A $ or ! begins a sentence wherever it occurs, and control characters are not part of
 * a sentence.  A sentence ends at CR LF, LF or CR.  If the start of another sentence or
 * another control character occurs instead, the sentence was truncated: it is accepted
 * only if its checksum is right.  CRs and LFs before a sentence are consumed with it,
 * so that LF CR is a line end, too.
 *
 * The payload is the sentence without its line end and without blanks between *hh and
 * the line end; with payload = inner also without *hh and without a leading $, whose
 * absence implies it.
 */
#include <errno.h>
#include <string.h>

#include "codec.h"
#include "scan.h"

#define STARTS "$!\\"
#define SUM 3 /* *hh */
#define DELETE 0x7f

/* d->state: whether the bytes belong to an oversize sentence; where the sentence after
 * a TAG block begins, or 0. */
#define RUN 0
#define BODY 1

/* A sentence in the input, with its TAG block. */
struct text {
	uint8_t *p;
	size_t len;
	size_t body; /* after the TAG block, or 0 */
};

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
	    .given = offsetof(struct framing_conf, output),
	},
	FRAMING_KEY_PAYLOAD,
	{ 0 },
};

static inline bool
begins(uint8_t c)
{
	return c == '$' || c == '!';
}

static inline bool
ends_line(uint8_t c)
{
	return c == '\r' || c == '\n';
}

/* The position at or after at of the first byte that does not belong to the text of a
 * sentence; or len.  The text is added to the checksum. */
static inline size_t
text_end(const uint8_t *p, size_t at, size_t len, uint64_t *sum)
{
	for (;;) {
		at = scan_other(p, at, len, sum);
		/* The remaining characters of the text are blanks, quotes and #. */
		if (at == len || p[at] < ' ' || p[at] == DELETE ||
		    begins(p[at]))
			return at;
		*sum ^= p[at++];
	}
}

/* --- checking a sentence ------------------------------------------------- */

/* Whether it ends with *hh. */
static inline bool
has_sum(const uint8_t *p, size_t len)
{
	return len > SUM && p[len - SUM] == '*' && rule_hex(p + len - 2) >= 0;
}

/* The checksum covers the bytes after the first one up to *hh. */
static inline bool
sum_right(const uint8_t *p, size_t len)
{
	return xor8(p + 1, len - 1 - SUM) == rule_hex(p + len - 2);
}

/* The length without blanks and CRs between *hh and the line end. */
static inline size_t
trim(const uint8_t *p, size_t len)
{
	size_t n = len;

	while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\r'))
		n--;
	return n == len || has_sum(p, n) ? n : len;
}

/* Whether it is a valid sentence of the most frequent form, without a TAG block and
 * with nothing after *hh.  sum is the unfolded checksum of the bytes after the first. */
static inline bool
is_plain(const uint8_t *p, size_t len, uint64_t sum)
{
	return begins(p[0]) && has_sum(p, len) &&
	    (scan_fold(sum) ^ '*' ^ p[len - 2] ^ p[len - 1]) ==
	    rule_hex(p + len - 2);
}

/* Checks a sentence, and trims it. */
static enum verdict
judge(struct text *t)
{
	const uint8_t *p = t->p + t->body;
	enum verdict right;
	size_t len;

	if (t->body > 0 &&
	    !(has_sum(t->p, t->body - 1) && sum_right(t->p, t->body - 1)))
		return WRONG_SUM;
	if (t->len <= t->body || !begins(p[0]))
		return NO_SENTENCE;
	len = trim(p, t->len - t->body);
	if (has_sum(p, len))
		right = sum_right(p, len) ? GOOD : WRONG_SUM;
	else
		/* An incomplete checksum is a wrong one. */
		right = memchr(p, '*', len) != NULL ? WRONG_SUM : NO_SUM;
	t->len = t->body + len;
	return right;
}

/* Whether the bytes up to next, where a sentence begins, are exactly a TAG block. */
static inline bool
is_tag(const uint8_t *p, size_t next)
{
	return next > 1 && p[0] == '\\' && p[next - 1] == '\\' &&
	    memchr(p + 1, '\\', next - 2) == NULL;
}

/* --- decoding ------------------------------------------------------------ */

/* Discards what precedes a sentence, or the rest of an oversize one. */
static enum decode_result
no_start(struct decoder *d, const uint8_t *in, size_t len, struct decoded *out)
{
	size_t next = rule_find_start(STARTS, in, 0, len);
	const uint8_t *lf;

	if (!d->state[RUN])
		return rule_discard(d, out, next, BAD_NOISE);
	if ((lf = memchr(in, '\n', next)) == NULL)
		return rule_discard(d, out, next, BAD_OVERSIZE);
	d->state[RUN] = 0;
	return rule_bad(d, out, (size_t)(lf - in) + 1, BAD_OVERSIZE);
}

/* The sentence is complete; whole: including its line end. */
static enum decode_result
complete(struct decoder *d, uint8_t *in, struct text *t, size_t used,
    bool whole, struct decoded *out)
{
	const struct framing_conf *conf = d->conf;
	enum verdict verdict = judge(t);
	uint8_t *payload = t->p;
	bool require = conf->nmea_checksum == NMEA_REQUIRE;

	if (verdict == NO_SENTENCE || (verdict == NO_SUM && !whole && !require))
		return rule_bad(d, out, used, BAD_MALFORMED);
	if (verdict == WRONG_SUM || (verdict == NO_SUM && require)) {
		/* The sentence after a wrong TAG block may be valid. */
		if (t->body > 0)
			used = (size_t)(t->p - in) + t->body;
		return rule_bad(d, out, used, BAD_CHECKSUM);
	}
	if (conf->payload == PAYLOAD_INNER) {
		if (verdict == GOOD)
			t->len -= SUM;
		if (*payload == '$') {
			payload++;
			t->len--;
		}
	}
	if (t->len > d->max)
		return rule_bad(d, out, used, BAD_OVERSIZE);
	return rule_frame(d, out, used, payload, t->len, whole);
}

/* The text is followed by another start character, or by a control character that is
 * not a line end. */
static enum decode_result
cut_off(struct decoder *d, uint8_t *in, struct text *t, size_t end,
    struct decoded *out)
{
	const uint8_t *tag = NULL;
	size_t from = (size_t)(t->p - in) + t->body + 1;

	/* A TAG block before the other sentence belongs to that one. */
	if (begins(in[end]) && end > from && in[end - 1] == '\\')
		tag = memrchr(in + from, '\\', end - 1 - from);
	if (tag != NULL)
		end = (size_t)(tag - in);
	t->len = end - (size_t)(t->p - in);
	return complete(d, in, t, end, false, out);
}

/* The size of the line end at that position; 0: not known yet. */
static inline size_t
line_end(const uint8_t *in, size_t at, size_t len)
{
	size_t n = at;

	while (n < len && in[n] == '\r' && n - at < RULE_FILL)
		n++;
	if (n < len)
		return n + (in[n] == '\n') - at;
	return n - at == RULE_FILL ? RULE_FILL : 0;
}

/* Discards an oversize sentence up to its LF or the next start character, which may be
 * among the bytes scanned already. */
static enum decode_result
too_long(struct decoder *d, const uint8_t *in, const struct text *t,
    struct decoded *out)
{
	size_t lead = (size_t)(t->p - in), end = lead + t->len;
	size_t next = rule_find_start(STARTS, in, lead + 1, end);

	d->state[RUN] = 1;
	d->state[BODY] = 0;
	rule_discard(d, out, next, BAD_OVERSIZE);
	d->scanned = t->body == 0 ? end - next : 0;
	return DECODE_BAD;
}

/* A sentence begins at lead. */
static enum decode_result
sentence(struct decoder *d, uint8_t *in, size_t lead, size_t len,
    struct decoded *out)
{
	bool inner = d->conf->payload == PAYLOAD_INNER;
	size_t longest = d->max + (inner ? 1 + SUM : 0), end, n;
	struct text t = { .p = in + lead };
	bool fresh = d->scanned <= lead;
	uint64_t sum = 0;

	if (!fresh)
		t.body = d->state[BODY];
	end = text_end(in, fresh ? lead + 1 : d->scanned, len, &sum);
	if (fresh && len - end > 1 && in[end] == '\r' && in[end + 1] == '\n' &&
	    is_plain(t.p, end - lead, sum) && !inner && end - lead <= d->max)
		return rule_frame(d, out, end + 2, t.p, end - lead, true);
	if (end < len && begins(in[end]) && t.body == 0 &&
	    is_tag(t.p, end - lead)) {
		t.body = end - lead;
		end = text_end(in, end + 1, len, &sum);
	}
	t.len = end - lead;
	if (t.len > longest + RULE_FILL ||
	    (t.len > longest && trim(t.p, t.len) > longest))
		return too_long(d, in, &t, out);
	d->state[BODY] = (uint32_t)t.body;
	if (end == len)
		return rule_more(d, len);
	if (!ends_line(in[end]))
		return cut_off(d, in, &t, end, out);
	if ((n = line_end(in, end, len)) == 0)
		return rule_more(d, end);
	return complete(d, in, &t, end + n, true, out);
}

static enum decode_result
nmea_decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	size_t lead = 0;

	if (len == 0)
		return DECODE_MORE;
	while (!d->discarding && lead < len && ends_line(in[lead]))
		if (++lead == RULE_FILL)
			return rule_discard(d, out, lead, BAD_NOISE);
	if (lead == len)
		return rule_more(d, 0);
	if (!begins(in[lead]) && in[lead] != '\\')
		return no_start(d, in, len, out);
	d->state[RUN] = 0;
	d->discarding = false;
	return sentence(d, in, lead, len, out);
}

/* Nothing will follow: the line end of a sentence may be missing, or a single CR. */
static enum decode_result
nmea_silent(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	struct text t = { .p = in };
	size_t end;

	while (t.len < len && ends_line(in[t.len]))
		t.len++;
	if (t.len == len)
		return rule_bad(d, out, len, BAD_NOISE);
	t.p += t.len;
	t.body = d->state[BODY];
	end = d->scanned;
	t.len = end - t.len;
	if (end < len || judge(&t) == GOOD)
		return complete(d, in, &t, len, end < len, out);
	return rule_bad(d, out, len, BAD_MALFORMED);
}

/* A sentence with the right checksum needs no line end where a datagram ends. */
static enum decode_result
nmea_whole(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	size_t lead = 0;
	struct text t;

	while (lead < len && ends_line(in[lead]))
		lead++;
	if (lead == len)
		return DECODE_MORE;
	t = (struct text){ in + lead, len - lead, d->state[BODY] };
	return judge(&t) == GOOD ? complete(d, in, &t, len, false, out)
				 : DECODE_MORE;
}

/* --- encoding ------------------------------------------------------------ */

static long
nmea_encode(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	bool inner = conf->payload == PAYLOAD_INNER;
	struct text t = { .p = out, .len = trim(in, len) };
	enum verdict verdict;
	uint8_t *to = out;
	uint64_t sum = 0;
	size_t end;

	if (inner && (len == 0 || (!begins(in[0]) && in[0] != '\\')))
		*to++ = '$';
	memcpy(to, in, t.len);
	to += t.len;
	t.len = (size_t)(to - out);
	if (t.len == 0)
		return -EINVAL;
	end = text_end(out, 1, t.len, &sum);
	if (end == t.len && !inner && is_plain(out, end, sum)) {
		*to++ = '\r';
		*to++ = '\n';
		return to - out;
	}
	if (end < t.len && begins(out[end]) && is_tag(out, end)) {
		t.body = end;
		end = text_end(out, end + 1, t.len, &sum);
	}
	if (end < t.len)
		return -EINVAL;
	verdict = judge(&t);
	if (verdict == NO_SENTENCE || verdict == WRONG_SUM ||
	    (inner && (verdict == GOOD || (len > 0 && in[0] == '$'))))
		return -EINVAL;
	if (verdict == NO_SUM && (conf->nmea_checksum != NMEA_KEEP || inner)) {
		*to = '*';
		rule_put_hex(
		    to + 1, xor8(out + t.body + 1, t.len - t.body - 1));
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

/* With nmea_checksum = add, a checksum is required. */
static bool
nmea_obeys(const struct framing_conf *conf, const uint8_t *wire, size_t len)
{
	while (len > 0 && ends_line(wire[len - 1]))
		len--;
	return conf->nmea_checksum != NMEA_ADD ||
	    has_sum(wire, trim(wire, len));
}

const struct framing framing_nmea = {
	.name = "nmea",
	.summary = "NMEA 0183 sentences, checksum checked and written",
	.keys = nmea_keys,
	.check = rule_check_own,
	.decode = nmea_decode,
	.silent = nmea_silent,
	.whole = nmea_whole,
	.checks_itself = rule_checks_itself,
	.encode = nmea_encode,
	.bound = nmea_bound,
	.obeys = nmea_obeys,
};
