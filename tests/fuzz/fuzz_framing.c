/*
 * Any bytes through any framing, with any keys: progress and bounded memory (the
 * harness sees to these); the same frames and the same counts however the bytes
 * are cut; after them a good frame comes through, where the framing has
 * boundaries; and decode(encode(x)) is x.
 *
 * The first eight bytes choose; the rest is the stream, and the payload.
 * FRAMING=NAME in the environment holds the fuzzer to one framing.
 */
#include "../unit/framing_harness.h"
#include "choose.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* --- what must hold ------------------------------------------------------ */

/* Silences or pauses come at the same places of the stream, cuts at others. */
static void
run(struct stream *s, const struct framing_conf *conf, const uint8_t *in,
    size_t len, const uint8_t *c, bool cut)
{
	uint32_t places = c[5], cuts = c[6] * 256u + c[7] + 1;
	size_t quiet = len, n, want;

	stream_start(s, conf);
	s->copying = cut;
	while (len > 0) {
		if (c[5] != 0) {
			want = next(&places, 8u * c[5]);
			quiet = MIN(len, want);
		}
		len -= quiet;
		for (; quiet > 0; quiet -= n, in += n) {
			want = !cut ? quiet : c[6] == 0 ? 1 : next(&cuts, c[6]);
			n = MIN(quiet, want);
			stream_feed(s, in, n);
		}
		quiet = len;
		if (len > 0 && c[5] & 1)
			stream_pause(s);
		else if (len > 0)
			stream_silence(s);
	}
}

static void
check_cuts(const struct framing_conf *conf, const uint8_t *in, size_t len,
    const uint8_t *c)
{
	struct stream whole, cut;

	run(&whole, conf, in, len, c, false);
	run(&cut, conf, in, len, c, true);
	if (strcmp(conf->rule->name, "raw") != 0) {
		tally_same(&whole.tally, &cut.tally);
		MUST(whole.len == cut.len);
		stream_timeout(&whole);
		stream_timeout(&cut);
		tally_same(&whole.tally, &cut.tally);
	}
	MUST(whole.tally.used == len);
	MUST(cut.tally.used == len);
	stream_end(&whole);
	stream_end(&cut);
}

/* A payload that the framing can carry, as a good frame; its length, or 0. */
static size_t
sample(const struct framing_conf *conf, uint8_t *payload, uint8_t *wire,
    size_t *wire_len)
{
	static const struct {
		const char *framing;
		size_t len[2];
		const char *payload[2];
	} special[] = {
		{ "nmea", { 12, 8 }, { "$GPTXT,hi*62", "GPTXT,hi" } },
		{ "modbus-rtu", { 8, 6 },
		    { "\1\3\0\0\0\12\305\315", "\1\3\0\0\0\12" } },
		{ "modbus-ascii", { 15, 6 },
		    { ":01030000000AF2", "\1\3\0\0\0\12" } },
		{ "modbus-tcp", { 12, 6 },
		    { "\0\0\0\0\0\6\1\3\0\0\0\12", "\1\3\0\0\0\12" } },
		{ "mavlink", { 17, 14 },
		    { "\xfe\t\x4e\1\1\0\0\0\0\0\2\3\x51\4\3\x1c\x7f",
			"\t\x4e\1\1\0\0\0\0\0\2\3\x51\4\3" } },
		{ "ubx", { 8, 2 }, { "\xb5\x62\12\4\0\0\16\64", "\12\4" } },
		{ "rtcm3", { 8, 2 }, { "\xd3\0\2hi\x98\x0c\x6a", "hi" } },
		{ "gnss", { 8, 8 },
		    { "\xd3\0\2hi\x98\x0c\x6a", "\xb5\x62\12\4\0\0\16\64" } },
		{ "min", { 12, 2 }, { "\xaa\xaa\xaa\1\2hi\3\66TDU", "hi" } },
	};
	size_t len = MIN(conf->max_frame, 5u);
	long n;

	if (strcmp(conf->rule->name, "fixed") == 0)
		len = conf->frame_size - checksum_size(conf->checksum);
	memset(payload, 'h', MAX(len, 16u));
	if (strcmp(conf->rule->name, "fixed") == 0)
		memcpy(payload, conf->sync.b, MIN(len, conf->sync.len));
	if (conf->trailer > 0) {
		memcpy(payload + 2, conf->delimiter.b, conf->delimiter.len);
		len = 2 + conf->delimiter.len + conf->trailer -
		    MIN(conf->trailer, checksum_size(conf->checksum));
	}
	for (size_t i = 0; i < NELEM(special); i++)
		if (strcmp(special[i].framing, conf->rule->name) == 0) {
			len = special[i].len[conf->payload];
			memcpy(payload, special[i].payload[conf->payload], len);
		}
	/* Its checksum may be what cannot be written. */
	for (int i = 0; i < 20; i++, payload[len - 1]++) {
		n = framing_encode(conf, payload, len, wire);
		if (n > 0) {
			*wire_len = (size_t)n;
			return len;
		}
	}
	return 0;
}

/* Whether a good frame must come through whatever was before it. */
static bool
has_boundaries(const struct framing_conf *conf)
{
	const char *name = conf->rule->name;

	if (strcmp(name, "raw") == 0)
		return false;
	if (strcmp(name, "line") == 0)
		return conf->eol != EOL_CR;
	if (strcmp(name, "length") == 0)
		return conf->sync.len > 0 || conf->idle.ns > 0;
	if (strcmp(name, "fixed") == 0)
		return conf->sync.len > 0 || conf->idle.ns > 0;
	return true;
}

static void
check_resync(const struct framing_conf *conf, const uint8_t *in, size_t len)
{
	uint8_t payload[128], wire[512];
	size_t wire_len = 0, n = sample(conf, payload, wire, &wire_len);
	size_t copies = 2;
	struct stream s;

	if (n == 0 || !has_boundaries(conf))
		return;
	/* Where a length is believed, as much as the longest frame may go by. */
	if (conf->rule->silent != NULL && framing_silence(conf) == 0)
		copies = framing_limit(conf) / wire_len + 3;
	stream_start(&s, conf);
	stream_feed(&s, in, len);
	stream_silence(&s);
	for (size_t i = 0; i < copies; i++) {
		stream_feed(&s, wire, wire_len);
		if (framing_silence(conf) != 0)
			stream_silence(&s);
	}
	MUST(s.tally.count > 0);
	MUST(tally_is(&s.tally, s.tally.count - 1, payload, n));
	MUST(s.len == 0);
	stream_end(&s);
}

/* What is read back may be more right than what was written. */
static bool
is_payload(const struct framing_conf *conf, const struct tally *t, size_t n,
    const uint8_t *payload, size_t len)
{
	size_t have;
	const uint8_t *p = tally_payload(t, n, &have);

	if ((strcmp(conf->rule->name, "nmea") == 0 ||
		strcmp(conf->rule->name, "gnss") == 0) &&
	    have == len + 3)
		return memcmp(p, payload, len) == 0 && p[len] == '*';
	if (strcmp(conf->rule->name, "modbus-ascii") == 0 &&
	    conf->payload == PAYLOAD_WHOLE)
		return have == len &&
		    strncasecmp((const char *)p, (const char *)payload, len) ==
		    0;
	return have == len && (len == 0 || memcmp(p, payload, len) == 0);
}

/* What cannot be helped: a sentence that is too long with its checksum, a Modbus
 * frame that has the CRC of a shorter one in its middle. */
static bool
ends_early(const struct framing_conf *conf, const struct tally *t,
    size_t frames, size_t len)
{
	size_t have;

	if (strcmp(conf->rule->name, "nmea") == 0 ||
	    strcmp(conf->rule->name, "gnss") == 0)
		return len + 3 > conf->max_frame;
	if (strcmp(conf->rule->name, "modbus-rtu") != 0 || t->count < frames)
		return false;
	tally_payload(t, frames - 1, &have);
	return have < len;
}

static void
check_round(const struct framing_conf *conf, const uint8_t *payload, size_t len)
{
	size_t bound = framing_bound(conf, len), frames;
	uint8_t *wire = malloc(bound + 1);
	struct stream s;
	long n;

	MUST(wire != NULL);
	n = framing_encode(conf, payload, len, wire);
	if (len > conf->max_frame)
		MUST(n == -EMSGSIZE);
	if (n < 0)
		MUST(n == -EMSGSIZE || n == -EINVAL);
	if (n < 0 ||
	    (strcmp(conf->rule->name, "line") == 0 && conf->eol == EOL_CR)) {
		free(wire);
		return;
	}
	MUST((size_t)n <= bound && n > 0);
	/* Twice in a row: no frame may lean on what is before it. */
	stream_start(&s, conf);
	for (frames = 1; frames <= 2; frames++) {
		stream_feed(&s, wire, (size_t)n);
		stream_silence(&s);
		if (ends_early(conf, &s.tally, frames, len))
			break;
		MUST(s.tally.count == frames);
		MUST(s.tally.used == frames * (size_t)n);
		MUST(is_payload(conf, &s.tally, frames - 1, payload, len));
	}
	stream_end(&s);
	free(wire);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct framing_conf conf;

	if (size < CHOICES || !choose(&conf, data))
		return 0;
	check_cuts(&conf, data + CHOICES, size - CHOICES, data);
	check_resync(&conf, data + CHOICES, size - CHOICES);
	check_round(&conf, data + CHOICES, size - CHOICES);
	check_round(&conf, data + CHOICES, MIN(size - CHOICES, conf.max_frame));
	return 0;
}
