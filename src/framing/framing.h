/*
 * framing: the rules that split a byte stream into frames and write frames as bytes.
 *
 * These functions use no descriptor, clock or log, and do not allocate memory while
 * data is processed.
 *
 * Decoding.  The caller keeps the received bytes contiguous and calls framing_decode()
 * until it returns MORE; FRAME and BAD each consume at least one byte of the input
 * (`used`).  MORE consumes nothing: the caller keeps the bytes and calls again with the
 * same bytes and more after them.  The decoder remembers how far it has scanned, so
 * that nothing is scanned twice.  It never returns MORE for framing_limit() bytes or
 * more, which therefore is the size of the caller's buffer.
 *
 * The payload of a frame lies inside the `used` bytes of the input, or in decoder.copy,
 * so the payloads of several calls stay valid at the same time, as long as the input
 * does.  A decoder that has to unstuff does so once the frame is complete: in place,
 * or, if the caller has set decoder.copy, in a copy there, which leaves the input
 * unmodified.  A frame can then be forwarded in its original bytes, however it is
 * encoded.
 *
 * Work.  The work of a decoder is linear in its input.  A frame whose checksum is wrong
 * may contain other frames, so bytes may be summed several times; that is bounded
 * (decoder.credit), and decoder.work counts it for the caller's own budget.
 *
 * The frames, and the bytes discarded for each reason, do not depend on how the input
 * was divided into calls.
 */
#ifndef FRAMING_H
#define FRAMING_H

#include <errno.h>

#include "checksum.h"
#include "key.h"
#include "error.h"

#define FRAMING_MAX_FRAME (1024 * 1024)

enum decode_result { DECODE_MORE, DECODE_FRAME, DECODE_BAD };

/* Why bytes were discarded. */
enum bad_reason {
	BAD_NOISE,    /* outside of any frame */
	BAD_OVERSIZE, /* longer than max_frame */
	BAD_CHECKSUM,
	BAD_MALFORMED, /* violates the framing rule, or truncated */
	BAD_TIMEOUT,   /* older than frame_timeout */
	BAD_REASONS
};

struct decoded {
	size_t used;		/* bytes consumed */
	uint8_t *payload;	/* FRAME: in those bytes or the copy */
	size_t len;		/* FRAME: of the payload */
	enum bad_reason reason; /* BAD */
	bool again;		/* BAD: continues the previous BAD;
				 * counts bytes, not errors */
	bool verbatim;		/* FRAME: its bytes are a valid encoding of
				 * it, and unmodified in the input */
	bool unchecked; /* FRAME: of a kind whose checksum cannot be checked */
};

enum framing_payload { PAYLOAD_WHOLE, PAYLOAD_INNER };
enum framing_range { FROM_PAYLOAD, FROM_LENGTH, FROM_SYNC };
enum framing_eol { EOL_LF, EOL_CRLF, EOL_CR };
enum framing_fcs { FCS_16, FCS_32, FCS_NONE };
/* What the end of a datagram is to the frames in it. */
enum framing_datagram {
	DATAGRAM_NONE,	 /* there are no datagrams: a byte stream */
	DATAGRAM_FRAME,	 /* it ends a frame, too */
	DATAGRAM_STREAM, /* a frame may continue in the next datagram */
};
enum framing_nmea { NMEA_REQUIRE, NMEA_ADD, NMEA_KEEP };

/* The framing keys of a section; plain data. */
struct framing_conf {
	const struct framing *rule;
	uint64_t max_frame; /* payload bytes */
	bool max_frame_given;
	int checksum;	     /* enum checksum_kind */
	int checksum_endian; /* 0 big, 1 little */
	int checksum_from;   /* length, fixed: enum framing_range */
	struct checksum_params checksum_params;
	int payload;		/* enum framing_payload */
	int eol;		/* line: enum framing_eol */
	struct bytes delimiter; /* delimiter */
	int fcs;		/* hdlc: enum framing_fcs */
	bool accm;		/* hdlc: escape bytes under 0x20 */
	int length_size;	/* length: 1 << length_size bytes */
	int length_endian;
	bool length_includes_header;
	uint64_t length_offset;
	uint64_t length_mask, length_shift, length_unit;
	int64_t length_adjust;
	struct bytes sync;
	uint64_t frame_size; /* fixed */
	/* idle, fixed, modbus-rtu, length; flush of line and delimiter */
	struct silence idle;
	uint64_t trailer;  /* delimiter: bytes after it */
	bool dle, bcc;	   /* stx */
	int nmea_checksum; /* enum framing_nmea */
	bool mavlink_strict;
	uint64_t min_id; /* min: id written before payloads */
	bool output;	 /* a key that affects writing was given */
	/* The properties of the line, which are not framing keys. */
	uint64_t baud;	    /* for silences in characters; 0: unknown */
	unsigned char_bits; /* bits of a character on the line, 0: 10 */
	enum framing_datagram datagram;
};

/* What a stream consists of, for protocols whose requests and answers have different
 * lengths. */
enum framing_messages { MESSAGES_ANY, MESSAGES_REQUESTS, MESSAGES_ANSWERS };

/* The decoder of one stream; initialized by framing_start(). */
struct decoder {
	const struct framing_conf *conf;
	size_t max;	   /* maximum of payload and generic checksum */
	size_t scanned;	   /* of the available bytes, scanned already */
	bool discarding;   /* what follows belongs to the last BAD */
	uint32_t state[2]; /* private to the rule */
	/* Set by the caller after framing_start(), if it is known. */
	enum framing_messages messages;
	uint8_t *copy; /* space for unstuffing, as large as the
			    * input, or NULL: in place.  Advances. */
	size_t credit; /* bytes that may be summed in failed checks */
	size_t work;   /* bytes summed in failed checks; reset by caller */
};

struct framing {
	const char *name;
	const char *summary; /* for --list-framings */
	/* Its keys, with offsets into struct framing_conf; NULL: none. */
	const struct key *keys;
	/* decode() and encode() handle the generic checksum. */
	bool sums;
	/* Frames written to a line must be separated by a silence. */
	bool gap;
	/* A byte stream without frame boundaries. */
	bool unframed;
	/* What one frame is called; NULL: "a frame (NAME)". */
	const char *noun;
	/* The Wireshark dissector for whole frames; NULL: data. */
	const char *dissector;
	/* Framings of one protocol have the same payloads with payload = inner; NULL:
	 * no other framing has the same. */
	const char *protocol;
	/* The size of the number that a whole message begins with, big-endian, and
	 * that the response repeats; 0: none. */
	size_t number_size;
	/* The silence that ends a frame, independent of the keys, ns; 0: the key idle
	 * applies. */
	uint64_t silence_ns;
	/* For computing that silence: the bits of a character, 0: those of the line;
	 * and the minimum above 19200 baud, ns. */
	unsigned silence_bits;
	uint64_t silence_fast_ns;
	/* Checks the values of the keys against each other; NULL: nothing to check.
	 * Returns -EINVAL and sets err on failure. */
	int (*check)(struct framing_conf *, struct error *err);
	enum decode_result (*decode)(
	    struct decoder *, uint8_t *in, size_t len, struct decoded *);
	/*
	 * Called when nothing more will follow the available bytes.  Returns FRAME, or
	 * BAD up to where a frame may begin; called again for the remaining bytes.
	 * NULL: all of them are bad.
	 */
	enum decode_result (*silent)(
	    struct decoder *, uint8_t *in, size_t len, struct decoded *);
	/*
	 * Called when a datagram ends after the available bytes, and other bytes of the
	 * same stream may follow.  Returns FRAME if they are a whole frame, whose end is
	 * otherwise only known from what follows it, or MORE.  NULL: it is always MORE.
	 */
	enum decode_result (*whole)(
	    struct decoder *, uint8_t *in, size_t len, struct decoded *);
	/* Whether a frame is recognized by a checksum of its own, so that frames may be
	 * divided into datagrams in any way.  NULL: it is not. */
	bool (*checks_itself)(const struct framing_conf *);
	/* See framing_pause().  NULL: it is always 0. */
	uint64_t (*pause)(struct decoder *, const uint8_t *in, size_t len);
	/*
	 * Writes len bytes of payload as one frame to out, which has space for bound()
	 * bytes.  Returns the number of bytes written, or -EINVAL when the rule cannot
	 * express the payload.  in and out must not overlap.
	 */
	long (*encode)(const struct framing_conf *, const uint8_t *in,
	    size_t len, uint8_t *out);
	/* The maximum that encode() writes for len bytes of payload. */
	size_t (*bound)(const struct framing_conf *, size_t len);
	/*
	 * Whether the bytes of a valid frame conform to the keys that affect writing
	 * (struct framing_conf, output).  NULL: there are no such keys.
	 */
	bool (*obeys)(
	    const struct framing_conf *, const uint8_t *wire, size_t len);
};

/* All rules, NULL-terminated, in the order of the manual. */
extern const struct framing *const framings[];
const struct framing *framing_find(const char *name);
/* The keys common to all framings: max_frame and those of the checksum. */
extern const struct key framing_common_keys[];
extern const char *const bad_reason_names[BAD_REASONS];

/* Initializes conf with the defaults, for the raw rule. */
void framing_conf_init(struct framing_conf *conf);
/* Sets the rule of conf, and the rule's keys to their defaults. */
void framing_use(struct framing_conf *conf, const struct framing *rule);
/* Checks the values of the keys against each other.  Returns -EINVAL and sets err on
 * failure. */
int framing_check(struct framing_conf *conf, struct error *err);
/* Whether both encode frames alike: a frame that one decodes as verbatim may be
 * forwarded to the other unmodified, if framing_obeys() returns true. */
bool framing_same(const struct framing_conf *a, const struct framing_conf *b);
/* An id that is equal for framings that are the same, in any process. */
uint32_t framing_id(const struct framing_conf *conf);
/* Whether the bytes of a frame conform to the keys of the section that affect writing. */
static inline bool
framing_obeys(const struct framing_conf *conf, const uint8_t *wire, size_t len)
{
	return !conf->output || conf->rule->obeys == NULL ||
	    conf->rule->obeys(conf, wire, len);
}

void framing_start(struct decoder *d, const struct framing_conf *conf);
/* Like the rule's decode(), and checks and removes the generic checksum. */
static inline enum decode_result framing_decode(
    struct decoder *d, uint8_t *in, size_t len, struct decoded *out);
/*
 * Called when the line has been silent for framing_silence(), and for framing_pause() if
 * that is longer: decodes the remaining bytes.  MORE: a silence ends nothing.  To be called
 * until it returns MORE or no bytes are left.
 */
enum decode_result framing_silent(
    struct decoder *d, uint8_t *in, size_t len, struct decoded *out);
/*
 * Called when the available bytes are older than frame_timeout: decodes what is
 * complete, and discards the rest up to where another frame may begin.  Never returns
 * MORE unless len is 0.
 */
enum decode_result framing_timeout(
    struct decoder *d, uint8_t *in, size_t len, struct decoded *out);
/*
 * Like the rule's encode(), and adds the generic checksum.  out must have space for
 * framing_bound() bytes.  -EINVAL: not expressible; -EMSGSIZE: longer than max_frame.
 */
static inline long framing_encode(const struct framing_conf *conf,
    const uint8_t *in, size_t len, uint8_t *out);
size_t framing_bound(const struct framing_conf *conf, size_t len);
/* The maximum number of bytes that the caller of a decoder must keep. */
size_t framing_limit(const struct framing_conf *conf);
/* The silence that ends a frame, in nanoseconds; 0 if none does. */
uint64_t framing_silence(const struct framing_conf *conf);
/*
 * Called when the datagram that the available bytes come from ends: decodes what its end
 * completes, and with DATAGRAM_FRAME discards the rest.  To be called until it returns MORE
 * or no bytes are left; then framing_next_datagram() has to be called.
 */
enum decode_result framing_datagram_end(
    struct decoder *d, uint8_t *in, size_t len, struct decoded *out);
/* With DATAGRAM_FRAME, what follows does not belong to bytes that were discarded. */
void framing_next_datagram(struct decoder *d);
/* What the end of a datagram is unless the section says so. */
enum framing_datagram framing_datagram_default(const struct framing_conf *conf);
/*
 * The pause that is possible within the frame that the available bytes, for which decode()
 * has returned MORE, are the beginning of, in nanoseconds: a shorter silence does not end
 * it, even if it is longer than framing_silence().  0: they are not known to begin one.
 */
static inline uint64_t
framing_pause(struct decoder *d, const uint8_t *in, size_t len)
{
	const struct framing *rule = d->conf->rule;

	return rule->pause != NULL ? rule->pause(d, in, len) : 0;
}
/* The part of framing_gap() for rules that have one. */
uint64_t framing_gap_time(const struct framing_conf *conf, size_t len);
/*
 * The time for which a frame of len payload bytes occupies the line, including the
 * silence that must follow it, in nanoseconds; 0 for rules that need no silence.
 */
static inline uint64_t
framing_gap(const struct framing_conf *conf, size_t len)
{
	return conf->rule->gap ? framing_gap_time(conf, len) : 0;
}

/* The slow paths of the two functions below. */
enum decode_result framing_unwrap(struct decoder *d, struct decoded *out);
long framing_wrap(const struct framing_conf *conf, const uint8_t *in,
    size_t len, uint8_t *out);

static inline enum decode_result
framing_decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	const struct framing_conf *conf = d->conf;
	enum decode_result result = conf->rule->decode(d, in, len, out);

	if (result == DECODE_FRAME && conf->checksum != CHECKSUM_NONE)
		return framing_unwrap(d, out);
	return result;
}

static inline long
framing_encode(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	if (len > conf->max_frame)
		return -EMSGSIZE;
	if (conf->checksum != CHECKSUM_NONE)
		return framing_wrap(conf, in, len, out);
	return conf->rule->encode(conf, in, len, out);
}

#endif
