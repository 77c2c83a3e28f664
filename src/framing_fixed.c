/*
 * framing_fixed: fixed, where frames have one size, and idle, where a silence on
 * the line ends them.
 */
#include <errno.h>
#include <string.h>

#include "framing_rule.h"

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
fixed_check(struct framing_conf *conf, char *err, size_t size)
{
	uint64_t sum = checksum_size(conf->checksum);

	if (conf->frame_size == 0)
		snprintf(err, size,
		    "framing 'fixed' needs 'frame_size', "
		    "the bytes of every frame");
	else if (conf->frame_size <= sum)
		snprintf(err, size,
		    "frame_size leaves no room for a payload "
		    "in front of the checksum");
	else if (conf->frame_size > conf->max_frame + sum)
		snprintf(err, size,
		    "frame_size is over max_frame; "
		    "make max_frame larger");
	else if (conf->frame_size < conf->sync.len + sum)
		snprintf(err, size,
		    "frame_size has to be at least %u, for the sync bytes "
		    "and the checksum",
		    (unsigned)(conf->sync.len + sum));
	else
		return rule_check_range(conf, err, size);
	return -EINVAL;
}

/* Where the bytes begin that the checksum covers. */
static inline size_t
sum_from(const struct framing_conf *conf)
{
	return conf->checksum_from == FROM_LENGTH ? conf->sync.len : 0;
}

static bool
fixed_right(const struct framing_conf *conf, const uint8_t *in)
{
	size_t from = sum_from(conf);

	return conf->checksum == CHECKSUM_NONE ||
	    rule_sum_right(conf, in + from, (size_t)conf->frame_size - from);
}

/* The start of a frame is where its sync bytes are. */
static enum decode_result
fixed_synced(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	const struct framing_conf *conf = d->conf;
	const struct bytes *sync = &conf->sync;
	size_t size = (size_t)conf->frame_size;
	size_t start = rule_find_sync(sync->b, sync->len, in, 0, len);

	if (start > 0) {
		rule_earn(d, start);
		return rule_discard(d, out, start, BAD_NOISE);
	}
	if (len >= sync->len)
		d->discarding = false;
	if (len < size)
		return rule_more(d, len);
	if (conf->checksum != CHECKSUM_NONE) {
		if (!rule_may_sum(d, sync->b, sync->len, in, size))
			return rule_false_start(
			    d, out, sync->b, sync->len, in, size, false);
		if (!fixed_right(conf, in))
			return rule_false_start(
			    d, out, sync->b, sync->len, in, size, true);
		rule_earn(d, size);
	}
	return rule_frame(
	    d, out, size, in, size - checksum_size(conf->checksum), true);
}

static enum decode_result
fixed_decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	const struct framing_conf *conf = d->conf;
	size_t size = (size_t)conf->frame_size;

	if (conf->sync.len > 0)
		return fixed_synced(d, in, len, out);
	if (len < size)
		return rule_more(d, len);
	if (!fixed_right(conf, in))
		return rule_bad(d, out, size, BAD_CHECKSUM);
	return rule_frame(
	    d, out, size, in, size - checksum_size(conf->checksum), true);
}

static enum decode_result
fixed_silent(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	const struct bytes *sync = &d->conf->sync;

	if (sync->len > 0 && !d->discarding)
		len = rule_find_sync(sync->b, sync->len, in, 1, len);
	return rule_bad(d, out, len, BAD_MALFORMED);
}

static long
fixed_encode(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
	size_t from = sum_from(conf);

	if (len + checksum_size(conf->checksum) != conf->frame_size ||
	    memcmp(in, conf->sync.b, conf->sync.len) != 0)
		return -EINVAL;
	memcpy(out, in, len);
	if (conf->checksum != CHECKSUM_NONE)
		rule_put_sum(conf, out + from, len - from);
	return (long)conf->frame_size;
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
idle_check(struct framing_conf *conf, char *err, size_t size)
{
	if (conf->idle.tenths != 0 || conf->idle.ns != 0)
		return 0;
	snprintf(err, size,
	    "framing 'idle' needs 'idle', the silence that "
	    "ends a frame, such as 3.5 (characters) or 2ms");
	return -EINVAL;
}

static enum decode_result
idle_decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	(void)in;
	if (len <= (d->discarding ? 1 : d->max))
		return rule_more(d, len);
	/* One stays, for the silence to end the run. */
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
	.check = idle_check,
	.decode = idle_decode,
	.silent = idle_silent,
	.encode = idle_encode,
	.bound = same_bound,
};
