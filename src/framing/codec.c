/*
 * codec: functions that the framing rules share; the less frequent paths.
 */
#include <errno.h>
#include <string.h>

#include "codec.h"

const char *const framing_payload_words[] = {
	"whole",
	"inner",
	NULL,
};

int
rule_check_own(struct framing_conf *conf, struct error *err)
{
	if (conf->checksum == CHECKSUM_NONE)
		return 0;
	return error_fail(err, -EINVAL,
	    "framing '%s' has a checksum of its own; "
	    "'checksum' must be none",
	    conf->rule->name);
}

bool
rule_checks_itself(const struct framing_conf *conf)
{
	(void)conf;
	return true;
}

const char *const framing_range_words[] = {
	"payload",
	"length",
	"sync",
	NULL,
};

int
rule_check_range(struct framing_conf *conf, struct error *err)
{
	if (conf->checksum_from == FROM_PAYLOAD ||
	    conf->checksum != CHECKSUM_NONE)
		return 0;
	return error_fail(err, -EINVAL, "'checksum_from' needs 'checksum'");
}

bool
rule_sum_right(
    const struct framing_conf *conf, const uint8_t *payload, size_t len)
{
	size_t size = checksum_size(conf->checksum);

	return len >= size &&
	    checksum_get(payload + len - size, size, conf->checksum_endian) ==
	    checksum_with(
		conf->checksum, &conf->checksum_params, payload, len - size);
}

void
rule_put_sum(const struct framing_conf *conf, uint8_t *from, size_t len)
{
	checksum_put(from + len, checksum_size(conf->checksum),
	    checksum_with(conf->checksum, &conf->checksum_params, from, len),
	    conf->checksum_endian);
}

enum decode_result
rule_unflagged(struct decoder *d, struct decoded *out, size_t len, size_t lead,
    size_t longest)
{
	if (len - lead <= longest)
		return rule_more(d, len);
	return rule_discard(d, out, len, BAD_OVERSIZE);
}

enum decode_result
rule_skip_flagged(struct decoder *d, const uint8_t *in, size_t len,
    struct decoded *out, uint8_t flag)
{
	const uint8_t *end = memchr(in, flag, len);

	if (end != NULL)
		return rule_bad(d, out, (size_t)(end - in) + 1, BAD_OVERSIZE);
	if (len == 0)
		return DECODE_MORE;
	return rule_discard(d, out, len, BAD_OVERSIZE);
}

size_t
rule_find_sync(const uint8_t *sync, size_t size, const uint8_t *in, size_t from,
    size_t len)
{
	const uint8_t *p;

	for (; from < len; from++) {
		p = memchr(in + from, sync[0], len - from);
		if (p == NULL)
			break;
		from = (size_t)(p - in);
		if (memcmp(p, sync, MIN(size, len - from)) == 0)
			return from;
	}
	return len;
}

bool
rule_may_sum(const struct decoder *d, const uint8_t *sync, size_t size,
    const uint8_t *in, size_t len)
{
	return d->credit >= len ||
	    rule_affords(d, len, rule_find_sync(sync, size, in, 1, len));
}

enum decode_result
rule_reject(struct decoder *d, struct decoded *out, size_t len, size_t next,
    bool summed)
{
	size_t credit = d->credit + RULE_PAY * next;

	if (summed) {
		d->work += len;
		credit -= MIN(credit, len);
	}
	d->credit = MIN(credit, rule_credit(d));
	return rule_bad(d, out, next, summed ? BAD_CHECKSUM : BAD_MALFORMED);
}

enum decode_result
rule_false_start(struct decoder *d, struct decoded *out, const uint8_t *sync,
    size_t size, const uint8_t *in, size_t len, bool summed)
{
	size_t next = rule_find_sync(sync, size, in, 1, len);

	return rule_reject(d, out, len, next, summed);
}

/* --- sentences ----------------------------------------------------------- */

/* state[0]: the bytes belong to an oversize sentence. */
#define RUN 0

size_t
rule_find_start(const char *starts, const uint8_t *in, size_t from, size_t len)
{
	while (from < len &&
	    (in[from] == '\0' || strchr(starts, in[from]) == NULL))
		from++;
	return from;
}

/* Discards used bytes; the first seen bytes contain no LF. */
static bool
throw_away(struct decoder *d, struct decoded *out, size_t used, size_t seen,
    enum bad_reason reason, struct sentence *ret)
{
	ret->result = rule_discard(d, out, used, reason);
	d->scanned = seen > used ? seen - used : 0;
	return false;
}

/* Discards an oversize sentence, up to its LF or the next start character. */
static bool
throw_run(struct decoder *d, const uint8_t *in, size_t len, struct decoded *out,
    const char *starts, struct sentence *ret)
{
	size_t next = rule_find_start(starts, in, 0, len);
	const uint8_t *lf = memchr(in, '\n', next);

	if (lf == NULL)
		return throw_away(d, out, next, d->scanned, BAD_OVERSIZE, ret);
	d->state[RUN] = 0;
	ret->result = rule_bad(d, out, (size_t)(lf - in) + 1, BAD_OVERSIZE);
	return false;
}

bool
rule_sentence(struct decoder *d, uint8_t *in, size_t len, struct decoded *out,
    const char *starts, size_t longest, struct sentence *ret)
{
	size_t start, n;
	uint8_t *lf;

	ret->result = DECODE_MORE;
	if (len == 0)
		return false;
	start = rule_find_start(starts, in, 0, 1) == 0
	    ? 0
	    : rule_find_start(starts, in, 1, len);
	if (start > 0 && d->state[RUN])
		return throw_run(d, in, len, out, starts, ret);
	if (start > 0)
		return throw_away(d, out, start, d->scanned, BAD_NOISE, ret);
	d->state[RUN] = 0;
	d->discarding = false;
	lf = memchr(in + d->scanned, '\n', len - d->scanned);
	n = lf != NULL ? (size_t)(lf - in) : len;
	/* A CR at the end does not count. */
	if (n > longest && (n > longest + 1 || in[n - 1] != '\r')) {
		d->state[RUN] = 1;
		return throw_away(d, out, 1, n, BAD_OVERSIZE, ret);
	}
	if (lf == NULL) {
		rule_more(d, len);
		return false;
	}
	ret->text = in;
	ret->crlf = in[n - 1] == '\r';
	ret->len = n - ret->crlf;
	ret->used = n + 1;
	return true;
}

enum decode_result
rule_sentence_bad(struct decoder *d, struct decoded *out,
    const struct sentence *s, size_t next, enum bad_reason reason)
{
	return rule_bad(d, out, next > 0 ? next : s->used, reason);
}

#define D(c) [c] = 0x10 | (c - '0')
#define L(c) \
	[c] = 0x10 | (c - 'A' + 10), [c - 'A' + 'a'] = 0x10 | (c - 'A' + 10)

const uint8_t rule_digits[256] = { D('0'), D('1'), D('2'), D('3'), D('4'),
	D('5'), D('6'), D('7'), D('8'), D('9'), L('A'), L('B'), L('C'), L('D'),
	L('E'), L('F') };

void
rule_put_hex(uint8_t *p, uint8_t value)
{
	static const char digits[] = "0123456789ABCDEF";

	p[0] = (uint8_t)digits[value >> 4];
	p[1] = (uint8_t)digits[value & 15];
}
