/*
 * codec: what the framing rules share, and their names.  Included only by the source
 * files of the framing rules.
 */
#ifndef CODEC_H
#define CODEC_H

#include <string.h>

#include "error.h"
#include "framing.h"

extern const struct framing framing_raw, framing_line, framing_delimiter,
    framing_slip, framing_cobs, framing_cobsr, framing_hdlc, framing_length,
    framing_fixed, framing_idle, framing_stx, framing_nmea, framing_modbus_rtu,
    framing_modbus_ascii, framing_modbus_tcp, framing_mavlink, framing_ubx,
    framing_rtcm3, framing_gnss, framing_min;

/* The maximum size of a message of any protocol with its own envelope. */
#define RULE_LARGEST 2112

/* The key of every framing with its own envelope. */
extern const char *const framing_payload_words[];
#define FRAMING_KEY_PAYLOAD                                                  \
	{                                                                    \
		.name = "payload", .type = KEY_WORD,                         \
		.offset = offsetof(struct framing_conf, payload),            \
		.def = "whole", .words = framing_payload_words,              \
		.help =                                                      \
		    "what other framings carry of a message: all of it, or " \
		    "what is inside its envelope"                            \
	}

/* Whether the generic checksum at the end of len bytes is right. */
bool rule_sum_right(
    const struct framing_conf *conf, const uint8_t *payload, size_t len);
/* Writes the generic checksum of len bytes after them. */
void rule_put_sum(const struct framing_conf *conf, uint8_t *from, size_t len);
/* A check() for rules with their own checksum. */
int rule_check_own(struct framing_conf *conf, struct error *err);

/* A checks_itself() for rules whose frames always do. */
bool rule_checks_itself(const struct framing_conf *conf);

/* --- the results of decode() --------------------------------------------- */

static inline enum decode_result
rule_frame(struct decoder *d, struct decoded *out, size_t used,
    uint8_t *payload, size_t len, bool verbatim)
{
	d->scanned = 0;
	d->discarding = false;
	out->used = used;
	out->payload = payload;
	out->len = len;
	out->again = false;
	out->verbatim = verbatim;
	out->unchecked = false;
	return DECODE_FRAME;
}

/* The bad bytes end here; a frame may begin after them. */
static inline enum decode_result
rule_bad(
    struct decoder *d, struct decoded *out, size_t used, enum bad_reason reason)
{
	out->used = used;
	out->reason = reason;
	out->again = d->discarding;
	d->scanned = 0;
	d->discarding = false;
	return DECODE_BAD;
}

/* More of the same bad bytes may follow. */
static inline enum decode_result
rule_discard(
    struct decoder *d, struct decoded *out, size_t used, enum bad_reason reason)
{
	rule_bad(d, out, used, reason);
	d->discarding = true;
	return DECODE_BAD;
}

static inline enum decode_result
rule_more(struct decoder *d, size_t scanned)
{
	d->scanned = scanned;
	return DECODE_MORE;
}

/* Returns the bytes of a frame for unstuffing: in place, or a copy, so that the input
 * is not modified. */
static inline uint8_t *
rule_own(struct decoder *d, uint8_t *p, size_t len)
{
	if (d->copy == NULL)
		return p;
	p = memcpy(d->copy, p, len);
	d->copy += len;
	return p;
}

/* --- frames between flags ------------------------------------------------ */

/*
 * A flag ends a frame and may also precede it.  Flags between frames are consumed with
 * the next frame; on a line filled with flags they are discarded RULE_FILL at a time.
 */
#define RULE_FILL 64

struct flagged {
	uint8_t *start;		   /* after the flags before the frame */
	size_t len;		   /* up to the closing flag */
	size_t used;		   /* including all flags */
	enum decode_result result; /* if there is no such frame */
};

/* Keeps or discards bytes that are not yet followed by a flag. */
enum decode_result rule_unflagged(struct decoder *d, struct decoded *out,
    size_t len, size_t lead, size_t longest);
/* Discards the rest of an oversize frame. */
enum decode_result rule_skip_flagged(struct decoder *d, const uint8_t *in,
    size_t len, struct decoded *out, uint8_t flag);

/*
 * Finds the next frame, of at most longest bytes between its flags.  False: ret
 * holds what decode() is to return.
 */
static inline bool
rule_flagged(struct decoder *d, uint8_t *in, size_t len, struct decoded *out,
    uint8_t flag, size_t longest, struct flagged *ret)
{
	size_t lead = 0, from;
	uint8_t *end;

	if (d->discarding) {
		ret->result = rule_skip_flagged(d, in, len, out, flag);
		return false;
	}
	while (lead < len && in[lead] == flag)
		if (++lead == RULE_FILL) {
			d->discarding = true;
			ret->result = rule_bad(d, out, lead, BAD_NOISE);
			return false;
		}
	from = MAX(d->scanned, lead);
	end = memchr(in + from, flag, len - from);
	if (end == NULL) {
		ret->result = rule_unflagged(d, out, len, lead, longest);
		return false;
	}
	ret->start = in + lead;
	ret->len = (size_t)(end - ret->start);
	ret->used = lead + ret->len + 1;
	if (ret->len <= longest)
		return true;
	ret->result = rule_bad(d, out, ret->used, BAD_OVERSIZE);
	return false;
}

/* --- frames that begin with sync bytes ----------------------------------- */

/* The position of the sync bytes at or after from, possibly cut off by the end of the
 * input; or len. */
size_t rule_find_sync(const uint8_t *sync, size_t size, const uint8_t *in,
    size_t from, size_t len);

/*
 * A frame whose checksum is wrong may contain other frames: any sync bytes in it may
 * begin one.  Summing each of them over the length that it claims would take quadratic
 * time.  So the work is limited: every byte consumed allows RULE_PAY bytes to be summed
 * without success, now or later (decoder.credit).  A start for which the credit is too
 * small is skipped. That does not happen to a frame without sync bytes in its first len
 * / RULE_PAY bytes, whatever precedes it.
 */
#define RULE_PAY 16

/* Whether len bytes may be summed, if another frame may begin at offset next. */
static inline bool
rule_affords(const struct decoder *d, size_t len, size_t next)
{
	return d->credit + RULE_PAY * next >= len;
}
/* Discards next of the len bytes: their checksum was wrong (summed), or may not be
 * computed. */
enum decode_result rule_reject(struct decoder *d, struct decoded *out,
    size_t len, size_t next, bool summed);
/* The same for frames that begin with sync bytes: whether the len bytes, all
 * available, may be summed; and discarding up to the next sync bytes. */
bool rule_may_sum(const struct decoder *d, const uint8_t *sync, size_t size,
    const uint8_t *in, size_t len);
enum decode_result rule_false_start(struct decoder *d, struct decoded *out,
    const uint8_t *sync, size_t size, const uint8_t *in, size_t len,
    bool summed);
/* The maximum credit, and the initial credit of a decoder. */
static inline size_t
rule_credit(const struct decoder *d)
{
	return RULE_PAY * (d->max + RULE_LARGEST);
}
/* Adds the credit for bytes consumed otherwise. */
static inline void
rule_earn(struct decoder *d, size_t used)
{
	d->credit = MIN(d->credit + RULE_PAY * used, rule_credit(d));
}

/* A check() for rules with the key checksum_from. */
int rule_check_range(struct framing_conf *conf, struct error *err);
extern const char *const framing_range_words[];
#define FRAMING_KEY_RANGE                                                    \
	{                                                                    \
		.name = "checksum_from", .type = KEY_WORD,                   \
		.offset = offsetof(struct framing_conf, checksum_from),      \
		.def = "payload", .words = framing_range_words,              \
		.help = "the first byte that the checksum covers: that of "  \
			"the payload, after the sync bytes, or of the frame" \
	}

/* --- lines of text that begin with a start character --------------------- */

struct sentence {
	uint8_t *text; /* from its start character */
	size_t len;    /* without the line end */
	size_t used;   /* including the line end */
	bool crlf;
	enum decode_result result; /* if there is no such sentence */
};

/*
 * Finds the next sentence, of at most longest characters before its CR LF, that
 * begins with one of the characters in starts.  False: ret holds what decode()
 * is to return.
 */
bool rule_sentence(struct decoder *d, uint8_t *in, size_t len,
    struct decoded *out, const char *starts, size_t longest,
    struct sentence *ret);
/* Discards the sentence up to next, where another one may begin (0: all of it). */
enum decode_result rule_sentence_bad(struct decoder *d, struct decoded *out,
    const struct sentence *s, size_t next, enum bad_reason reason);
/* The position of the first start character at or after from, or len. */
size_t rule_find_start(
    const char *starts, const uint8_t *in, size_t from, size_t len);
/* The value of a hexadecimal digit with bit 0x10 set; 0 for other characters. */
extern const uint8_t rule_digits[256];
/* The value of two hexadecimal digits, or -1. */
static inline int
rule_hex(const uint8_t *p)
{
	uint8_t high = rule_digits[p[0]], low = rule_digits[p[1]];

	return high & low & 0x10 ? (high & 0xf) << 4 | (low & 0xf) : -1;
}
/* Writes two upper-case hexadecimal digits. */
void rule_put_hex(uint8_t *p, uint8_t value);

#endif
