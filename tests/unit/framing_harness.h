/*
 * framing_harness: a framing's caller, which keeps every rule of the game and looks
 * whether the decoder does.  For tests and for the fuzz target.
 */
#ifndef FRAMING_HARNESS_H
#define FRAMING_HARNESS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "framing.h"

#define MUST(true_)                                                          \
	do {                                                                 \
		if (!(true_)) {                                              \
			fprintf(stderr, "%s:%d: %s: not so: %s\n", __FILE__, \
			    __LINE__, __func__, #true_);                     \
			abort();                                             \
		}                                                            \
	} while (0)

/* What came out of a stream. */
struct tally {
	uint8_t *frames; /* each: 4 bytes of length, unchecked, payload */
	size_t size, room;
	size_t count;
	size_t last; /* where the last frame begins */
	uint64_t used;
	uint64_t bytes[BAD_REASONS], errors[BAD_REASONS];
};

/*
 * A stream being decoded, and the bytes that its caller keeps.  copying: what has to be
 * unstuffed is, in a copy.
 */
struct stream {
	const struct framing_conf *conf;
	struct decoder decoder;
	struct tally tally;
	uint8_t *kept;
	size_t len;
	bool copying;
};

static inline void
tally_frame(struct tally *t, const struct decoded *d)
{
	size_t need = t->size + 5 + d->len;
	uint32_t len = (uint32_t)d->len;

	if (need > t->room) {
		t->room = 2 * need;
		t->frames = realloc(t->frames, t->room);
		MUST(t->frames != NULL);
	}
	t->last = t->size;
	memcpy(t->frames + t->size, &len, 4);
	t->frames[t->size + 4] = d->unchecked;
	memcpy(t->frames + t->size + 5, d->payload, d->len);
	t->size = need;
	t->count++;
}

/* The n-th frame's payload. */
static inline const uint8_t *
tally_payload(const struct tally *t, size_t n, size_t *ret_len)
{
	size_t at = 0;
	uint32_t len;

	MUST(n < t->count);
	for (;; n--) {
		memcpy(&len, t->frames + at, 4);
		if (n == 0)
			break;
		at += 5 + len;
	}
	*ret_len = len;
	return t->frames + at + 5;
}

static inline bool
tally_is(const struct tally *t, size_t n, const void *payload, size_t len)
{
	size_t have;
	const uint8_t *p = tally_payload(t, n, &have);

	return have == len && memcmp(p, payload, len) == 0;
}

static inline void
tally_same(const struct tally *a, const struct tally *b)
{
	MUST(a->count == b->count);
	MUST(a->size == b->size);
	MUST(a->size == 0 || memcmp(a->frames, b->frames, a->size) == 0);
	MUST(a->used == b->used);
	for (int i = 0; i < BAD_REASONS; i++) {
		MUST(a->bytes[i] == b->bytes[i]);
		MUST(a->errors[i] == b->errors[i]);
	}
}

static inline void
stream_start(struct stream *s, const struct framing_conf *conf)
{
	memset(s, 0, sizeof(*s));
	s->conf = conf;
	framing_start(&s->decoder, conf);
}

static inline void
stream_end(struct stream *s)
{
	free(s->tally.frames);
	free(s->kept);
}

/* A frame that says it is verbatim is the same one when its bytes come by themselves. */
static inline void
check_verbatim(
    const struct stream *s, const uint8_t *wire, const struct decoded *d)
{
	uint8_t *in = malloc(d->used);
	struct decoder decoder;
	struct decoded again;

	MUST(in != NULL);
	memcpy(in, wire, d->used);
	framing_start(&decoder, s->conf);
	/* What a silence ends, or a line end that may be longer. */
	if (framing_decode(&decoder, in, d->used, &again) == DECODE_MORE)
		MUST(framing_timeout(&decoder, in, d->used, &again) ==
		    DECODE_FRAME);
	MUST(again.used == d->used && again.len == d->len);
	MUST(d->len == 0 || memcmp(again.payload, d->payload, d->len) == 0);
	free(in);
}

/* The payload lies where it may. */
static inline void
check_place(const struct stream *s, const uint8_t *in, const uint8_t *copy,
    const struct decoded *d)
{
	if (d->payload >= in && d->payload + d->len <= in + d->used)
		return;
	MUST(s->copying && d->payload >= copy);
	MUST(d->payload + d->len <= s->decoder.copy);
}

typedef enum decode_result decode_fn(
    struct decoder *, uint8_t *, size_t, struct decoded *);

/* Decodes what is kept, until nothing more comes of it. */
static inline void
stream_drain(struct stream *s, decode_fn *decode)
{
	uint8_t *in = s->kept, *before = malloc(s->len + 1);
	uint8_t *copy = malloc(s->len + 1);
	size_t room = s->len;
	enum decode_result result;
	struct decoded d;

	MUST(before != NULL && copy != NULL);
	s->decoder.copy = s->copying ? copy : NULL;
	while (s->len > 0) {
		memcpy(before, in, s->len);
		memset(&d, 0xa5, sizeof(d));
		result = decode(&s->decoder, in, s->len, &d);
		if (result == DECODE_MORE) {
			MUST(s->len < framing_limit(s->conf));
			MUST(memcmp(before, in, s->len) == 0);
			break;
		}
		MUST(d.used >= 1 && d.used <= s->len);
		MUST(
		    memcmp(before + d.used, in + d.used, s->len - d.used) == 0);
		if (s->copying) {
			MUST(memcmp(before, in, d.used) == 0);
			MUST(s->decoder.copy <= copy + room);
		}
		s->tally.used += d.used;
		if (result == DECODE_FRAME) {
			check_place(s, in, copy, &d);
			MUST(d.len <= s->conf->max_frame);
			if (d.verbatim)
				check_verbatim(s, before, &d);
			tally_frame(&s->tally, &d);
		} else {
			MUST(d.reason < BAD_REASONS);
			s->tally.bytes[d.reason] += d.used;
			s->tally.errors[d.reason] += !d.again;
		}
		in += d.used;
		s->len -= d.used;
	}
	if (s->len > 0)
		memmove(s->kept, in, s->len);
	free(before);
	free(copy);
}

/*
 * More bytes have come.  What is kept lies in memory of just its size, so that
 * nobody reads past its end unseen.
 */
static inline void
stream_feed(struct stream *s, const uint8_t *bytes, size_t len)
{
	uint8_t *kept = malloc(s->len + len + (s->len + len == 0));

	MUST(kept != NULL);
	if (s->len > 0)
		memcpy(kept, s->kept, s->len);
	if (len > 0)
		memcpy(kept + s->len, bytes, len);
	free(s->kept);
	s->kept = kept;
	s->len += len;
	stream_drain(s, framing_decode);
}

static inline void
stream_silence(struct stream *s)
{
	stream_drain(s, framing_silent);
	/* What a silence leaves, only a timeout ends. */
	if (framing_silence(s->conf) != 0)
		MUST(s->len == 0);
}

/* A silence that ends a frame, but not one of which more is to come. */
static inline void
stream_pause(struct stream *s)
{
	if (s->len > 0 &&
	    framing_pause(&s->decoder, s->kept, s->len) <=
		framing_silence(s->conf))
		stream_silence(s);
}

/* What was fed last ends a datagram. */
static inline void
stream_datagram(struct stream *s)
{
	stream_drain(s, framing_datagram_end);
	framing_next_datagram(&s->decoder);
	if (s->conf->datagram == DATAGRAM_FRAME)
		MUST(s->len == 0);
}

/* What is still kept grows too old. */
static inline void
stream_timeout(struct stream *s)
{
	stream_drain(s, framing_timeout);
	MUST(s->len == 0);
}

#endif
