/*
 * framing: the table of rules, the framing keys of a section, and the generic checksum
 * after the payload.
 */
#include <errno.h>
#include <string.h>

#include "codec.h"

const struct framing *const framings[] = {
	&framing_raw,
	&framing_line,
	&framing_delimiter,
	&framing_slip,
	&framing_cobs,
	&framing_cobsr,
	&framing_hdlc,
	&framing_length,
	&framing_fixed,
	&framing_idle,
	&framing_stx,
	&framing_nmea,
	&framing_modbus_rtu,
	&framing_modbus_ascii,
	&framing_modbus_tcp,
	&framing_mavlink,
	&framing_ubx,
	&framing_rtcm3,
	&framing_gnss,
	&framing_min,
	NULL,
};

const char *const bad_reason_names[BAD_REASONS] = {
	[BAD_NOISE] = "noise",
	[BAD_OVERSIZE] = "oversize",
	[BAD_CHECKSUM] = "checksum",
	[BAD_MALFORMED] = "malformed",
	[BAD_TIMEOUT] = "timeout",
};

static const char *const endian_words[] = {
	"big",
	"little",
	NULL,
};

const struct key framing_common_keys[] = {
	{
	    .name = "max_frame",
	    .type = KEY_SIZE,
	    .offset = offsetof(struct framing_conf, max_frame),
	    .given = offsetof(struct framing_conf, max_frame_given),
	    .def = "4096",
	    .min = 1,
	    .max = FRAMING_MAX_FRAME,
	    .help = "longest payload; longer frames are dropped whole",
	},
	{
	    .name = "checksum",
	    .type = KEY_WORD,
	    .offset = offsetof(struct framing_conf, checksum),
	    .def = "none",
	    .words = checksum_words,
	    .help = "checksum after the payload, added and checked",
	},
	{
	    .name = "checksum_endian",
	    .type = KEY_WORD,
	    .offset = offsetof(struct framing_conf, checksum_endian),
	    .def = "big",
	    .words = endian_words,
	    .help = "byte order of that checksum",
	},
	{
	    .name = "checksum_complement",
	    .type = KEY_WORD,
	    .offset = offsetof(struct framing_conf, checksum_params.complement),
	    .def = "none",
	    .words = complement_words,
	    .help = "xor8, sum8 and sum16: the complement that is sent",
	},
	{
	    .name = "checksum_poly",
	    .type = KEY_BITS,
	    .offset = offsetof(struct framing_conf, checksum_params.poly),
	    .min = 1,
	    .max = 0xffff,
	    .help = "crc8 and crc16: the polynomial",
	},
	{
	    .name = "checksum_init",
	    .type = KEY_BITS,
	    .offset = offsetof(struct framing_conf, checksum_params.init),
	    .def = "0x00",
	    .max = 0xffff,
	    .help = "crc8 and crc16: the initial value",
	},
	{
	    .name = "checksum_reflect",
	    .type = KEY_BOOL,
	    .offset = offsetof(struct framing_conf, checksum_params.reflect),
	    .def = "no",
	    .help = "crc8 and crc16: the lowest bit of each byte first",
	},
	{
	    .name = "checksum_xor",
	    .type = KEY_BITS,
	    .offset = offsetof(struct framing_conf, checksum_params.xor_out),
	    .def = "0x00",
	    .max = 0xffff,
	    .help = "crc8 and crc16: exclusive or with the result",
	},
	{ 0 },
};

const struct framing *
framing_find(const char *name)
{
	for (size_t i = 0; framings[i] != NULL; i++)
		if (strcmp(framings[i]->name, name) == 0)
			return framings[i];
	return NULL;
}

void
framing_conf_init(struct framing_conf *conf)
{
	memset(conf, 0, sizeof(*conf));
	key_defaults(framing_common_keys, conf);
	conf->rule = &framing_raw;
}

void
framing_use(struct framing_conf *conf, const struct framing *rule)
{
	conf->rule = rule;
	if (rule->keys != NULL)
		key_defaults(rule->keys, conf);
}

/* --- consistency of keys ------------------------------------------------- */

/* A key that is set but does not apply to the configured checksum, or NULL. */
static const char *
checksum_stray(const struct framing_conf *conf)
{
	const struct checksum_params *params = &conf->checksum_params;

	if (checksum_is_crc(conf->checksum))
		return NULL;
	return params->poly != 0   ? "checksum_poly"
	    : params->init != 0	   ? "checksum_init"
	    : params->reflect	   ? "checksum_reflect"
	    : params->xor_out != 0 ? "checksum_xor"
				   : NULL;
}

static int
checksum_check(const struct framing_conf *conf, struct error *err)
{
	const struct checksum_params *params = &conf->checksum_params;
	const char *stray = checksum_stray(conf);

	if (stray != NULL)
		error_set(
		    err, "'%s' is for checksum = crc8 or crc16 only", stray);
	else if (params->complement != COMPLEMENT_NONE &&
	    !checksum_is_sum(conf->checksum))
		error_set(err,
		    "'checksum_complement' is for checksum = xor8, sum8 or "
		    "sum16 only");
	else if (conf->checksum == CHECKSUM_CRC8 &&
	    (params->poly | params->init | params->xor_out) > 0xff)
		error_set(err,
		    "'%s' has more than the 8 bits of checksum = crc8",
		    params->poly > 0xff	      ? "checksum_poly"
			: params->init > 0xff ? "checksum_init"
					      : "checksum_xor");
	else
		return 0;
	return -EINVAL;
}

int
framing_check(struct framing_conf *conf, struct error *err)
{
	int r = checksum_check(conf, err);

	return r != 0 || conf->rule->check == NULL
	    ? r
	    : conf->rule->check(conf, err);
}

/* --- comparing framings -------------------------------------------------- */

/* The number of bytes of a key's field that are compared; 0 for a silence, which does
 * not affect what is written. */
static size_t
compared_size(const struct key *key)
{
	return key->type == KEY_SILENCE ? 0 : key_size(key);
}

static bool
same_keys(const struct key *keys, const void *a, const void *b)
{
	for (; keys != NULL && keys->name != NULL; keys++)
		if (memcmp((const char *)a + keys->offset,
			(const char *)b + keys->offset,
			compared_size(keys)) != 0)
			return false;
	return true;
}

bool
framing_same(const struct framing_conf *a, const struct framing_conf *b)
{
	return a->rule == b->rule && same_keys(framing_common_keys, a, b) &&
	    same_keys(a->rule->keys, a, b);
}

/* FNV-1a, for what framing_same() compares. */
static uint64_t
hash(uint64_t h, const void *p, size_t len)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < len; i++)
		h = (h ^ b[i]) * 0x100000001b3;
	return h;
}

uint32_t
framing_id(const struct framing_conf *conf)
{
	const struct key *const sets[] = { framing_common_keys,
		conf->rule->keys };
	uint64_t h = 0xcbf29ce484222325;

	h = hash(h, conf->rule->name, strlen(conf->rule->name) + 1);
	for (size_t i = 0; i < NELEM(sets); i++)
		for (const struct key *key = sets[i];
		     key != NULL && key->name != NULL; key++)
			h = hash(h, (const char *)conf + key->offset,
			    compared_size(key));
	return (uint32_t)(h ^ h >> 32);
}

/* --- the generic checksum ------------------------------------------------ */

void
framing_start(struct decoder *d, const struct framing_conf *conf)
{
	memset(d, 0, sizeof(*d));
	d->conf = conf;
	d->max = conf->max_frame + checksum_size(conf->checksum);
	d->credit = rule_credit(d);
}

enum decode_result
framing_unwrap(struct decoder *d, struct decoded *out)
{
	size_t size = checksum_size(d->conf->checksum);

	if (d->conf->rule->sums)
		return DECODE_FRAME;
	if (out->len < size)
		return rule_bad(d, out, out->used, BAD_MALFORMED);
	if (!rule_sum_right(d->conf, out->payload, out->len))
		return rule_bad(d, out, out->used, BAD_CHECKSUM);
	out->len -= size;
	return DECODE_FRAME;
}

/* The payload and its checksum are assembled at the end of out. */
long
framing_wrap(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	size_t size = checksum_size(conf->checksum);
	uint8_t *whole;

	if (conf->rule->sums)
		return conf->rule->encode(conf, in, len, out);
	whole = out + conf->rule->bound(conf, len + size);
	memcpy(whole, in, len);
	rule_put_sum(conf, whole, len);
	return conf->rule->encode(conf, whole, len + size, out);
}

size_t
framing_bound(const struct framing_conf *conf, size_t len)
{
	if (conf->checksum != CHECKSUM_NONE) {
		len += checksum_size(conf->checksum);
		return conf->rule->bound(conf, len) +
		    (conf->rule->sums ? 0 : len);
	}
	return conf->rule->bound(conf, len);
}

/* --- silence, timeouts, datagrams ------------------------------------------------ */

/* Decodes the remaining bytes when nothing will follow them. */
static enum decode_result
last_words(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	enum decode_result result = framing_decode(d, in, len, out);

	if (result != DECODE_MORE)
		return result;
	if (d->conf->rule->silent == NULL)
		return rule_bad(d, out, len, BAD_MALFORMED);
	result = d->conf->rule->silent(d, in, len, out);
	if (result == DECODE_FRAME && d->conf->checksum != CHECKSUM_NONE)
		return framing_unwrap(d, out);
	return result;
}

enum decode_result
framing_silent(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	if (len == 0 || framing_silence(d->conf) == 0)
		return DECODE_MORE;
	return last_words(d, in, len, out);
}

enum decode_result
framing_timeout(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	enum decode_result result;

	if (len == 0)
		return DECODE_MORE;
	result = last_words(d, in, len, out);
	if (result == DECODE_BAD && !out->again)
		out->reason = BAD_TIMEOUT;
	return result;
}

enum decode_result
framing_datagram_end(
    struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	const struct framing *rule = d->conf->rule;
	enum decode_result result;

	if (len == 0)
		return DECODE_MORE;
	if (d->conf->datagram == DATAGRAM_STREAM)
		return rule->whole != NULL ? rule->whole(d, in, len, out)
					   : DECODE_MORE;
	result = last_words(d, in, len, out);
	if (result == DECODE_BAD && out->reason == BAD_TIMEOUT)
		out->reason = BAD_MALFORMED;
	return result;
}

void
framing_next_datagram(struct decoder *d)
{
	if (d->conf->datagram == DATAGRAM_STREAM)
		return;
	d->scanned = 0;
	d->discarding = false;
	memset(d->state, 0, sizeof(d->state));
}

enum framing_datagram
framing_datagram_default(const struct framing_conf *conf)
{
	return conf->rule->checks_itself != NULL &&
		conf->rule->checks_itself(conf)
	    ? DATAGRAM_STREAM
	    : DATAGRAM_FRAME;
}

uint64_t
framing_silence(const struct framing_conf *conf)
{
	/* If the rate is unknown, a common and slow one is assumed. */
	uint64_t baud = conf->baud != 0 ? conf->baud : 9600;
	uint64_t bits = conf->char_bits != 0 ? conf->char_bits : 10, ns;

	if (conf->rule->silence_ns != 0)
		return conf->rule->silence_ns;
	if (conf->idle.ns != 0 || conf->idle.tenths == 0)
		return conf->idle.ns;
	if (conf->rule->silence_bits != 0)
		bits = conf->rule->silence_bits;
	ns = conf->idle.tenths * bits * (NSEC_PER_SEC / 10) / baud;
	if (baud > 19200)
		ns = MAX(ns, conf->rule->silence_fast_ns);
	return ns;
}

size_t
framing_limit(const struct framing_conf *conf)
{
	size_t longest = conf->max_frame + checksum_size(conf->checksum);

	/* The longest frame and the flags that are kept before it. */
	longest = conf->rule->bound(conf, longest) + RULE_FILL;
	return MAX(longest, (size_t)RULE_LARGEST);
}

uint64_t
framing_gap_time(const struct framing_conf *conf, size_t len)
{
	uint64_t bits;

	/* A socket has no line that could be silent. */
	if (conf->baud == 0)
		return 0;
	bits = conf->char_bits != 0 ? conf->char_bits : 10;
	return framing_silence(conf) + len * bits * NSEC_PER_SEC / conf->baud;
}
