/*
 * line: raw, which has no frame boundaries, and the rules line and delimiter, where a
 * frame ends with bytes that do not occur inside it.
 */
#include <errno.h>
#include <string.h>

#include "codec.h"

/* --- raw ----------------------------------------------------------------- */

static enum decode_result
raw_decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	if (len == 0)
		return DECODE_MORE;
	len = MIN(len, d->max);
	return rule_frame(d, out, len, in, len, true);
}

static long
raw_encode(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	(void)conf;
	/* An empty frame cannot be distinguished from none. */
	if (len == 0)
		return -EINVAL;
	memcpy(out, in, len);
	return (long)len;
}

static size_t
raw_bound(const struct framing_conf *conf, size_t len)
{
	(void)conf;
	return len;
}

const struct framing framing_raw = {
	.name = "raw",
	.summary = "bytes as they come; no boundaries",
	.unframed = true,
	.noun = "bytes",
	.decode = raw_decode,
	.encode = raw_encode,
	.bound = raw_bound,
};

/* --- common to line and delimiter ---------------------------------------- */

#define FRAMING_KEY_FLUSH                                                     \
	{                                                                     \
		.name = "flush", .type = KEY_SILENCE,                         \
		.offset = offsetof(struct framing_conf, idle), .def = "none", \
		.help = "a silence that ends an unfinished frame, in "        \
			"characters or as a time"                             \
	}

static inline bool
flushes(const struct framing_conf *conf)
{
	return conf->idle.ns != 0 || conf->idle.tenths != 0;
}

/*
 * After a silence, or the end of a datagram: the first n bytes are the payload of an unfinished frame.  It is not
 * verbatim, so that it is encoded anew for the other endpoint, with an end of frame.
 */
static enum decode_result
flush(struct decoder *d, uint8_t *in, size_t len, size_t n, struct decoded *out)
{
	if (d->discarding || n > d->max)
		return rule_bad(d, out, len, BAD_OVERSIZE);
	if (!flushes(d->conf) && d->conf->datagram != DATAGRAM_FRAME)
		return rule_bad(d, out, len, BAD_MALFORMED);
	return rule_frame(d, out, len, in, n, false);
}

/*
 * The end has not been received.  A frame that would be longer than the rule allows,
 * including its end of size bytes, is discarded, except for bytes that may begin the
 * end, and one byte if a silence can end the frame.
 */
static enum decode_result
not_ended(struct decoder *d, struct decoded *out, size_t len, size_t longest,
    size_t size)
{
	size_t keep = MAX(size - 1, (size_t)flushes(d->conf));

	if (len <= keep || (len < longest && !d->discarding))
		return rule_more(d, len);
	rule_discard(d, out, len - keep, BAD_OVERSIZE);
	d->scanned = keep;
	return DECODE_BAD;
}

/* --- line ---------------------------------------------------------------- */

static const char *const eol_words[] = {
	"lf",
	"crlf",
	"cr",
	NULL,
};

static const struct key line_keys[] = {
	{
	    .name = "eol",
	    .type = KEY_WORD,
	    .offset = offsetof(struct framing_conf, eol),
	    .def = "lf",
	    .words = eol_words,
	    .help = "what ends a line that is written; LF and CR LF are read",
	    .given = offsetof(struct framing_conf, output),
	},
	FRAMING_KEY_FLUSH,
	{ 0 },
};

static enum decode_result
line_decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	uint8_t *lf = memchr(in + d->scanned, '\n', len - d->scanned);
	size_t n, used;
	bool cr;

	if (lf == NULL)
		return not_ended(d, out, len, d->max + 2, 1);
	n = (size_t)(lf - in);
	used = n + 1;
	cr = n > 0 && lf[-1] == '\r';
	n -= cr;
	if (n > d->max || d->discarding)
		return rule_bad(d, out, used, BAD_OVERSIZE);
	return rule_frame(d, out, used, in, n, true);
}

static enum decode_result
line_silent(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	return flush(d, in, len, len - (in[len - 1] == '\r'), out);
}

static long
line_encode(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	if (memchr(in, '\n', len) != NULL)
		return -EINVAL;
	if (conf->eol == EOL_CR && memchr(in, '\r', len) != NULL)
		return -EINVAL;
	/* The CR would be read as a part of the line end. */
	if (conf->eol == EOL_LF && len > 0 && in[len - 1] == '\r')
		return -EINVAL;
	memcpy(out, in, len);
	if (conf->eol != EOL_LF)
		out[len++] = '\r';
	if (conf->eol != EOL_CR)
		out[len++] = '\n';
	return (long)len;
}

static size_t
line_bound(const struct framing_conf *conf, size_t len)
{
	(void)conf;
	return len + 2;
}

static bool
line_obeys(const struct framing_conf *conf, const uint8_t *wire, size_t len)
{
	bool lf = wire[len - 1] == '\n', cr;

	cr = lf ? len > 1 && wire[len - 2] == '\r' : wire[len - 1] == '\r';
	return lf == (conf->eol != EOL_CR) && cr == (conf->eol != EOL_LF);
}

const struct framing framing_line = {
	.name = "line",
	.summary = "lines of text, ended by LF or CR LF",
	.noun = "a line",
	.keys = line_keys,
	.decode = line_decode,
	.silent = line_silent,
	.encode = line_encode,
	.bound = line_bound,
	.obeys = line_obeys,
};

/* --- delimiter ----------------------------------------------------------- */

static const struct key delimiter_keys[] = {
	{
	    .name = "delimiter",
	    .type = KEY_BYTES,
	    .offset = offsetof(struct framing_conf, delimiter),
	    .min = 1,
	    .max = 8,
	    .help = "1 to 8 bytes that end a frame, with C escapes",
	},
	{
	    .name = "trailer",
	    .type = KEY_NUMBER,
	    .offset = offsetof(struct framing_conf, trailer),
	    .def = "0",
	    .max = 64,
	    .help = "bytes of a frame after the delimiter, which then "
		    "belongs to the payload",
	},
	FRAMING_KEY_FLUSH,
	{ 0 },
};

static int
delimiter_check(struct framing_conf *conf, struct error *err)
{
	if (conf->delimiter.len == 0)
		error_set(err,
		    "framing 'delimiter' needs 'delimiter', "
		    "the bytes that end a frame, such as \\x03");
	else if (conf->trailer > 0 &&
	    conf->delimiter.len + conf->trailer > conf->max_frame)
		error_set(err,
		    "'max_frame' has no room for the delimiter and the %u "
		    "bytes of its trailer",
		    (unsigned)conf->trailer);
	else
		return 0;
	return -EINVAL;
}

/* The end of the first delimiter whose last byte is in from..len, or 0. */
static size_t
delimiter_find(
    const struct bytes *end, const uint8_t *in, size_t from, size_t len)
{
	size_t before = end->len - 1u;
	const uint8_t *p, *stop = in + len;

	p = in + MAX(from, before);
	while (p < stop &&
	    (p = memchr(p, end->b[before], (size_t)(stop - p))) != NULL) {
		if (memcmp(p - before, end->b, before) == 0)
			return (size_t)(p - in) + 1;
		p++;
	}
	return 0;
}

/* The delimiter ends at used, but its trailer has not been received completely. */
static enum decode_result
no_trailer(struct decoder *d, struct decoded *out, size_t used)
{
	size_t size = d->conf->delimiter.len;
	bool bad = d->discarding || used + d->conf->trailer > d->max;

	if (bad && used > size) {
		rule_discard(d, out, used - size, BAD_OVERSIZE);
		d->scanned = size - 1;
		return DECODE_BAD;
	}
	return rule_more(d, used - 1);
}

static enum decode_result
delimiter_decode(
    struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	const struct bytes *end = &d->conf->delimiter;
	size_t trailer = (size_t)d->conf->trailer, n;
	size_t used = delimiter_find(end, in, d->scanned, len);

	if (used == 0)
		return not_ended(d, out, len,
		    trailer > 0 ? d->max - trailer : d->max + end->len,
		    end->len);
	if (len - used < trailer)
		return no_trailer(d, out, used);
	n = trailer > 0 ? used + trailer : used - end->len;
	if (n > d->max || d->discarding)
		return rule_bad(d, out, used + trailer, BAD_OVERSIZE);
	return rule_frame(d, out, used + trailer, in, n, true);
}

static enum decode_result
delimiter_silent(
    struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	return flush(d, in, len, len, out);
}

static long
delimiter_encode(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	const struct bytes *end = &conf->delimiter;
	size_t total = len, at;

	memcpy(out, in, len);
	if (conf->trailer == 0) {
		memcpy(out + len, end->b, end->len);
		total += end->len;
	}
	/* The first delimiter must be the one at the end. */
	at = delimiter_find(end, out, 0, total);
	if (at == 0 || at + conf->trailer != total)
		return -EINVAL;
	return (long)total;
}

static size_t
delimiter_bound(const struct framing_conf *conf, size_t len)
{
	return len + conf->delimiter.len;
}

const struct framing framing_delimiter = {
	.name = "delimiter",
	.summary = "frames ended by bytes of your choice",
	.keys = delimiter_keys,
	.check = delimiter_check,
	.decode = delimiter_decode,
	.silent = delimiter_silent,
	.encode = delimiter_encode,
	.bound = delimiter_bound,
};
