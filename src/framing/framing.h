/*
 * framing: the rules that cut bytes into frames and write frames as bytes.
 *
 * Pure: no descriptor, no clock, no log, no allocation while bytes pass.
 *
 * Decoding.  The caller holds the bytes that have come in, contiguous, and calls
 * framing_decode() on them until MORE; FRAME and BAD each mean that at least one
 * byte left the input (`used`).  MORE takes nothing: the caller keeps the bytes
 * and calls again with the same bytes and more after them.  The decoder remembers
 * how far it has looked, so nothing is scanned twice.  It never answers MORE to
 * `framing_limit()` bytes or more: that is the bound of the caller's buffer.
 *
 * A frame's payload lies inside the `used` bytes of the input, so the payloads of
 * several calls stay valid side by side, as long as the input does.  A decoder that
 * has to unstuff does so once the frame is complete: in place, or, if the caller has
 * set decoder.copy, in a copy there, which leaves the input as it came.  A frame can
 * then go out again in its own bytes, whatever its spelling.
 *
 * Work.  What a decoder does is linear in its input.  A frame whose
 * checksum is wrong may contain others, so bytes may be summed several times; how
 * often is bounded (decoder.credit), and decoder.work counts it for the caller's own
 * budget.
 *
 * The frames, and the bytes thrown away under each reason, do not depend on how
 * the input was cut.
 */
#ifndef FRAMING_H
#define FRAMING_H

#include <errno.h>

#include "checksum.h"
#include "key.h"
#include "error.h"

#define FRAMING_MAX_FRAME (1024 * 1024)

enum decode_result { DECODE_MORE, DECODE_FRAME, DECODE_BAD };

/* Why bytes were thrown away. */
enum bad_reason {
	BAD_NOISE,    /* outside of any frame */
	BAD_OVERSIZE, /* longer than max_frame */
	BAD_CHECKSUM,
	BAD_MALFORMED, /* breaks the framing's rule, or cut off */
	BAD_TIMEOUT,   /* older than frame_timeout */
	BAD_REASONS
};

struct decoded {
	size_t used;		/* bytes that left the input */
	uint8_t *payload;	/* FRAME: inside those bytes */
	size_t len;		/* FRAME: of the payload */
	enum bad_reason reason; /* BAD */
	bool again;		/* BAD: more of the frame that the last
					 * BAD was about: counts bytes, not errors */
	bool verbatim;		/* FRAME: its bytes are a legal spelling of it,
				 * and unchanged in the input */
	bool unchecked; /* FRAME: of a kind whose checksum is not known */
};

enum framing_payload { PAYLOAD_WHOLE, PAYLOAD_INNER };
enum framing_range { FROM_PAYLOAD, FROM_LENGTH, FROM_SYNC };
enum framing_eol { EOL_LF, EOL_CRLF, EOL_CR };
enum framing_fcs { FCS_16, FCS_32, FCS_NONE };
enum framing_nmea { NMEA_REQUIRE, NMEA_ADD, NMEA_KEEP };

/* What the keys of a section say about its framing; plain data. */
struct framing_conf {
	const struct framing *rule;
	uint64_t max_frame;  /* payload bytes */
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
	uint64_t min_id; /* min: id written in front of payloads */
	bool output;	 /* a key was given that says how frames are written */
	/* What is not a framing's own: the line under it. */
	uint64_t baud;	    /* for silences in characters; 0: unknown */
	unsigned char_bits; /* bits of a character on the line, 0: 10 */
};

/* The decoder of one stream.  Zeroed, then framing_start(). */
struct decoder {
	const struct framing_conf *conf;
	size_t max;	   /* payload and generic checksum, at most */
	size_t scanned;	   /* of the bytes at hand, seen already */
	bool discarding;   /* what comes belongs to the last BAD */
	uint32_t state[2]; /* the rule's own */
	uint8_t *copy;	   /* room for what has to be unstuffed, as large as
			    * the input, or NULL: in place.  Moves on. */
	size_t credit;	   /* bytes that may be summed in vain */
	size_t work;	   /* bytes summed in vain; the caller's to reset */
};

struct framing {
	const char *name;
	const char *summary; /* for --list-framings */
	/* Its keys, offsets into struct framing_conf; NULL: none of its own. */
	const struct key *keys;
	/* decode() and encode() see to the generic checksum. */
	bool sums;
	/* Frames that are written to a line are separated by a silence. */
	bool gap;
	/* Bytes as they come: it has no frames. */
	bool unframed;
	/* What one frame is called; NULL: "a frame (NAME)". */
	const char *noun;
	/* The Wireshark dissector for whole frames; NULL: data. */
	const char *dissector;
	/* Framings of one protocol have the same payloads with payload = inner; NULL: no
	 * other framing has. */
	const char *protocol;
	/* A whole message begins with a number of that many bytes, big-endian, which the
	 * answer to it repeats. */
	size_t number_size;
	/* The silence that ends a frame, whatever the keys are, ns; 0: by the key idle. */
	uint64_t silence_ns;
	/* In the length of that silence: bits of a character, 0: those of the line; and
	 * the least silence above 19200 baud, ns. */
	unsigned silence_bits;
	uint64_t silence_fast_ns;
	/* Checks keys against each other; NULL: nothing to check. -EINVAL and
	 * a sentence in err. */
	int (*check)(struct framing_conf *, struct error *err);
	enum decode_result (*decode)(
	    struct decoder *, uint8_t *in, size_t len, struct decoded *);
	/*
	 * Nothing more will come: what the bytes at hand are worth.  FRAME, or BAD
	 * up to where a frame may begin; asked again for what is left.  NULL:
	 * they are worth nothing.
	 */
	enum decode_result (*silent)(
	    struct decoder *, uint8_t *in, size_t len, struct decoded *);
	/*
	 * Writes len bytes of payload as one frame to out, which has room for
	 * bound() bytes.  Returns the bytes written, or -EINVAL when the rule
	 * cannot express the payload.  in and out do not overlap.
	 */
	long (*encode)(const struct framing_conf *, const uint8_t *in,
	    size_t len, uint8_t *out);
	/* The most bytes that encode() makes of len bytes of payload. */
	size_t (*bound)(const struct framing_conf *, size_t len);
	/*
	 * Whether the bytes of a good frame are as the keys for writing want
	 * them (struct framing_conf, output).  NULL: there are no such keys.
	 */
	bool (*obeys)(
	    const struct framing_conf *, const uint8_t *wire, size_t len);
};

/* All rules, NULL at the end, in the order of the manual. */
extern const struct framing *const framings[];
const struct framing *framing_find(const char *name);
/* max_frame and those of the checksum: the keys of every framing. */
extern const struct key framing_common_keys[];
extern const char *const bad_reason_names[BAD_REASONS];

/* Fills conf with every default, for the raw rule. */
void framing_conf_init(struct framing_conf *conf);
/* Makes rule the conf's own, and sets the rule's keys to their defaults. */
void framing_use(struct framing_conf *conf, const struct framing *rule);
/* Checks keys against each other.  -EINVAL and a sentence in err. */
int framing_check(struct framing_conf *conf, struct error *err);
/* The same frames in the same bytes: what one decodes "verbatim" may go on to the
 * other in its own bytes, if framing_obeys() agrees. */
bool framing_same(const struct framing_conf *a, const struct framing_conf *b);
/* A number that is the same for framings that are the same, in any process. */
uint32_t framing_id(const struct framing_conf *conf);
/* No key of the section asks for another spelling of a frame than that. */
static inline bool
framing_obeys(const struct framing_conf *conf, const uint8_t *wire, size_t len)
{
	return !conf->output || conf->rule->obeys == NULL ||
	    conf->rule->obeys(conf, wire, len);
}

void framing_start(struct decoder *d, const struct framing_conf *conf);
/* As the rule's decode, with the generic checksum taken off and checked. */
static inline enum decode_result framing_decode(
    struct decoder *d, uint8_t *in, size_t len, struct decoded *out);
/*
 * The line has been silent for framing_silence(): what the bytes at hand are worth.
 * MORE: nothing ends by silence here.  To be called until MORE or until no
 * bytes are left.
 */
enum decode_result framing_silent(
    struct decoder *d, uint8_t *in, size_t len, struct decoded *out);
/*
 * The bytes at hand are older than frame_timeout: they are thrown away up to where
 * another frame may begin inside them, or all.  Never MORE unless len is 0.
 */
enum decode_result framing_timeout(
    struct decoder *d, uint8_t *in, size_t len, struct decoded *out);
/*
 * As the rule's encode, with the generic checksum added.  out has room for
 * framing_bound() bytes.  -EINVAL: not expressible; -EMSGSIZE: over max_frame.
 */
static inline long framing_encode(const struct framing_conf *conf,
    const uint8_t *in, size_t len, uint8_t *out);
size_t framing_bound(const struct framing_conf *conf, size_t len);
/* The most bytes that a decoder asks its caller to keep. */
size_t framing_limit(const struct framing_conf *conf);
/* The silence that ends a frame, in nanoseconds, 0 when none does. */
uint64_t framing_silence(const struct framing_conf *conf);
/* The part of framing_gap() for rules that have one. */
uint64_t framing_gap_time(const struct framing_conf *conf, size_t len);
/*
 * How long the line stays taken by a frame of len payload bytes that is written,
 * with the silence that has to follow it, in nanoseconds; 0 for rules that need none.
 */
static inline uint64_t
framing_gap(const struct framing_conf *conf, size_t len)
{
	return conf->rule->gap ? framing_gap_time(conf, len) : 0;
}

/* The slow halves of the two below. */
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
