/*
 * fixed: the rules fixed, where all frames have the same size, and idle, where a
 * silence on the line ends a frame.
 */
#include <errno.h>
#include <string.h>

#include "codec.h"

/* --- fixed --------------------------------------------------------------- */

static const struct key fixed_keys[] = {
	{
	    .name = "frame_size",
	    .type = KEY_SIZE,
	    .offset = offsetof(struct framing_conf, frame_size),
	    .min = 1,
	    .max = FRAMING_MAX_FRAME,
	    .help = "bytes of every frame, with its checksum",
	},
	{
	    .name = "idle",
	    .type = KEY_SILENCE,
	    .offset = offsetof(struct framing_conf, idle),
	    .def = "none",
	    .help = "a silence after which a new frame begins, in characters "
		    "or as a time",
	},
	{
	    .name = "sync",
	    .type = KEY_BYTES,
	    .offset = offsetof(struct framing_conf, sync),
	    .min = 1,
	    .max = 8,
	    .help = "1 to 8 bytes that begin every frame, with C escapes",
	},
	FRAMING_KEY_RANGE,
	{ 0 },
};

static int
fixed_check(struct framing_conf *conf, struct error *err)
{
	uint64_t sum = checksum_size(conf->checksum);

	if (conf->frame_size == 0)
		error_set(err,
		    "framing 'fixed' needs 'frame_size', "
		    "the bytes of every frame");
	else if (conf->frame_size <= sum)
		error_set(err,
		    "'frame_size' leaves no room for a payload "
		    "in front of the checksum");
	else if (conf->frame_size > conf->max_frame + sum)
		error_set(err,
		    "'frame_size' is over 'max_frame'; "
		    "make 'max_frame' larger");
	else if (conf->frame_size < conf->sync.len + sum)
		error_set(err,
		    "'frame_size' has to be at least %u, for the sync bytes "
		    "and the checksum",
		    (unsigned)(conf->sync.len + sum));
	else
		return rule_check_range(conf, err);
	return -EINVAL;
}

/* The offset of the first byte that the checksum covers. */
static inline size_t
sum_from(const struct framing_conf *conf)
{
	return conf->checksum_from == FROM_LENGTH ? conf->sync.len : 0;
}

static bool
fixed_right(const struct framing_conf *conf, const uint8_t *in)
{
	size_t from = sum_from(conf);

	return rule_sum_right(conf, in + from, (size_t)conf->frame_size - from);
}

/*
 * Decodes frames that have sync bytes or a checksum.  Not inlined, so that the path for
 * other frames does not save registers for it.
 */
static __attribute__((noinline)) enum decode_result
fixed_checked(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	const struct framing_conf *conf = d->conf;
	const struct bytes *sync = &conf->sync;
	size_t size = (size_t)conf->frame_size;
	size_t sum = checksum_size(conf->checksum), start;
	bool may;

	if (sync->len > 0) {
		start = rule_find_sync(sync->b, sync->len, in, 0, len);
		if (start > 0) {
			rule_earn(d, start);
			return rule_discard(d, out, start, BAD_NOISE);
		}
		if (len >= sync->len)
			d->discarding = false;
	}
	if (len < size)
		return rule_more(d, len);
	if (sum > 0 && sync->len == 0 && !fixed_right(conf, in))
		return rule_bad(d, out, size, BAD_CHECKSUM);
	if (sum > 0 && sync->len > 0) {
		may = rule_may_sum(d, sync->b, sync->len, in, size);
		if (!may || !fixed_right(conf, in))
			return rule_false_start(
			    d, out, sync->b, sync->len, in, size, may);
		rule_earn(d, size);
	}
	return rule_frame(d, out, size, in, size - sum, true);
}

static enum decode_result
fixed_decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	const struct framing_conf *conf = d->conf;
	size_t size = (size_t)conf->frame_size;

	if (len < size && conf->sync.len == 0)
		return rule_more(d, len);
	if (conf->sync.len == 0 && conf->checksum == CHECKSUM_NONE)
		return rule_frame(d, out, size, in, size, true);
	return fixed_checked(d, in, len, out);
}

static enum decode_result
fixed_silent(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	const struct bytes *sync = &d->conf->sync;

	if (sync->len > 0 && !d->discarding)
		len = rule_find_sync(sync->b, sync->len, in, 1, len);
	return rule_bad(d, out, len, BAD_MALFORMED);
}

static __attribute__((noinline)) long
encode_checked(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	size_t sum = checksum_size(conf->checksum), from = sum_from(conf);

	if (len + sum != conf->frame_size ||
	    memcmp(in, conf->sync.b, conf->sync.len) != 0)
		return -EINVAL;
	memcpy(out, in, len);
	if (sum > 0)
		rule_put_sum(conf, out + from, len - from);
	return (long)(len + sum);
}

static long
fixed_encode(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	if (conf->sync.len > 0 || conf->checksum != CHECKSUM_NONE)
		return encode_checked(conf, in, len, out);
	if (len != conf->frame_size)
		return -EINVAL;
	memcpy(out, in, len);
	return (long)len;
}

static size_t
same_bound(const struct framing_conf *conf, size_t len)
{
	(void)conf;
	return len;
}

const struct framing framing_fixed = {
	.name = "fixed",
	.summary = "frames of one size",
	.keys = fixed_keys,
	.sums = true,
	.check = fixed_check,
	.decode = fixed_decode,
	.silent = fixed_silent,
	.encode = fixed_encode,
	.bound = same_bound,
};

/* --- idle ---------------------------------------------------------------- */

static const struct key idle_keys[] = {
	{
	    .name = "idle",
	    .type = KEY_SILENCE,
	    .offset = offsetof(struct framing_conf, idle),
	    .def = "3.5",
	    .help = "the silence that ends a frame, in characters or as a time",
	},
	{ 0 },
};

static int
idle_check(struct framing_conf *conf, struct error *err)
{
	if (conf->idle.tenths != 0 || conf->idle.ns != 0)
		return 0;
	return error_fail(err, -EINVAL,
	    "framing 'idle' needs 'idle', the silence that "
	    "ends a frame, such as 3.5 (characters) or 2ms");
}

static enum decode_result
idle_decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	(void)in;
	if (len <= (d->discarding ? 1 : d->max))
		return rule_more(d, len);
	/* One byte stays, so that the silence can end the oversize frame. */
	return rule_discard(d, out, len - 1, BAD_OVERSIZE);
}

static enum decode_result
idle_silent(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	if (d->discarding)
		return rule_bad(d, out, len, BAD_OVERSIZE);
	return rule_frame(d, out, len, in, len, true);
}

static long
idle_encode(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	(void)conf;
	if (len == 0)
		return -EINVAL;
	memcpy(out, in, len);
	return (long)len;
}

const struct framing framing_idle = {
	.name = "idle",
	.summary = "frames ended by a silence on the line",
	.keys = idle_keys,
	.gap = true,
	.check = idle_check,
	.decode = idle_decode,
	.silent = idle_silent,
	.encode = idle_encode,
	.bound = same_bound,
};
