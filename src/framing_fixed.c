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
	else
		return 0;
	return -EINVAL;
}

static enum decode_result
fixed_decode(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	size_t size = (size_t)d->conf->frame_size;

	if (len < size)
		return rule_more(d, len);
	return rule_frame(d, out, size, in, size, true);
}

static enum decode_result
fixed_silent(struct decoder *d, uint8_t *in, size_t len, struct decoded *out)
{
	(void)in;
	return rule_bad(d, out, len, BAD_MALFORMED);
}

static long
fixed_encode(const struct framing_conf *conf, const uint8_t *in, size_t len,
    uint8_t *out)
{
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
