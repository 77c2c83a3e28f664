/*
 * keys: the keys common to all endpoints, and changes of keys while an endpoint is
 * open.
 *
 * The common keys take effect in an endpoint that is open, and so do those of its type
 * that are marked as in_place; with the others it has to be opened again.  A reload
 * exchanges the keys of an endpoint that stays open (endpoint_follow), and `set` changes
 * one of them (endpoint_set).  A change by `set` that cannot be applied is undone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint.h"
#include "log.h"
#include "tls.h"

#define PACE_MAX (1ULL << 30) /* bytes per second */

static const char *const overflow_words[] = {
	[OVERFLOW_BLOCK] = "block",
	[OVERFLOW_DROP_OLDEST] = "drop-oldest",
	[OVERFLOW_DROP_NEWEST] = "drop-newest",
	[OVERFLOW_DISCONNECT] = "disconnect",
	NULL,
};

static const char *const log_words[] = {
	[LOG_TEXT] = "text",
	[LOG_HEX] = "hex",
	[LOG_JSON] = "json",
	NULL,
};

/* "960/s", "2K/s", "none". */
static int
parse_pace(void *field, const char *value, struct error *err)
{
	const char *slash = strchr(value, '/');
	char count[24], quote[64];
	uint64_t n = 0;

	if (strcmp(value, "none") == 0) {
		*(uint64_t *)field = 0;
		return 0;
	}
	snprintf(count, sizeof(count), "%.*s",
	    slash == NULL ? 0 : (int)MIN(slash - value, 23), value);
	if (slash != NULL && strcmp(slash, "/s") == 0 &&
	    parse_size(count, &n) == 0 && n >= 1 && n <= PACE_MAX) {
		*(uint64_t *)field = n;
		return 0;
	}
	printable(value, quote, sizeof(quote));
	return error_fail(err, -EINVAL,
	    "'%s' is not a pace; write bytes in a second, such as 960/s or"
	    " 4K/s, or none",
	    quote);
}

static void
print_pace(const void *field, char *buf, size_t size)
{
	uint64_t n = *(const uint64_t *)field;

	if (n == 0)
		snprintf(buf, size, "none");
	else
		snprintf(buf, size, "%llu/s", (unsigned long long)n);
}

#define OFFSET(member) offsetof(struct endpoint_conf, member)

#define SYNC_MIN (10 * NSEC_PER_MSEC)
#define SYNC_MAX (3600 * NSEC_PER_SEC)

static int
parse_sync(void *field, const char *value, struct error *err)
{
	uint64_t ns, *sync = field;

	if (strcmp(value, "always") == 0)
		ns = 0;
	else if (strcmp(value, "none") == 0)
		ns = SPOOL_NEVER;
	else if (parse_time(value, &ns) < 0 || ns < SYNC_MIN || ns > SYNC_MAX)
		return error_fail(err, -EINVAL,
		    "'%.40s' is not a spool_sync; write always, none, or a"
		    " time from 10ms to 1h",
		    value);
	*sync = ns;
	return 0;
}

static void
print_sync(const void *field, char *buf, size_t size)
{
	const uint64_t *sync = field;

	if (*sync == 0)
		snprintf(buf, size, "always");
	else if (*sync == SPOOL_NEVER)
		snprintf(buf, size, "none");
	else
		format_time(*sync, buf, size);
}

/* stall_timeout and silence_warning have a default for each type, which the configuration
 * parser sets. */
const struct key endpoint_common_keys[] = {
	{ .name = "label",
	    .type = KEY_STRING,
	    .offset = OFFSET(label),
	    .help = "what it is, in words; shown beside its tasks" },
	{ .name = "required",
	    .type = KEY_BOOL,
	    .def = "no",
	    .offset = OFFSET(required),
	    .help = "whether /healthz of an [http] fails while it is not up" },
	{ .name = "frame_timeout",
	    .type = KEY_TIME,
	    .def = "none",
	    .offset = OFFSET(frame_timeout),
	    .help = "a partial frame older than this is dropped" },
	{ .name = "queue",
	    .type = KEY_SIZE,
	    .offset = OFFSET(queue),
	    .def = "64K",
	    .min = 1,
	    .max = 1ULL << 30,
	    .help = "bytes of frames that may wait to be written to it" },
	{ .name = "overflow",
	    .type = KEY_WORD,
	    .offset = OFFSET(overflow),
	    .def = "block",
	    .words = overflow_words,
	    .help = "what happens when its queue is full" },
	{ .name = "pace",
	    .type = KEY_CUSTOM,
	    .offset = OFFSET(pace),
	    .def = "none",
	    .size = sizeof(uint64_t),
	    .parse = parse_pace,
	    .print = print_pace,
	    .help = "at most so many bytes are written to it in a second" },
	{ .name = "frame_gap",
	    .type = KEY_TIME,
	    .def = "none",
	    .offset = OFFSET(frame_gap),
	    .max = 3600 * NSEC_PER_SEC,
	    .help = "the minimum time between two frames that are written to"
		    " it" },
	{ .name = "stall_timeout",
	    .type = KEY_TIME,
	    .offset = OFFSET(stall_timeout),
	    .help = "with block: how long it may take nothing before its oldest"
		    " frames are dropped" },
	{ .name = "spool",
	    .type = KEY_SIZE,
	    .def = "none",
	    .none = true,
	    .offset = OFFSET(spool),
	    .min = 64 * 1024,
	    .max = 1ULL << 50,
	    .only_in_file = true,
	    .help = "bytes of frames that may wait on the disk when its queue"
		    " is full or it is down" },
	{ .name = "spool_sync",
	    .type = KEY_CUSTOM,
	    .offset = OFFSET(spool_sync),
	    .def = "1s",
	    .size = sizeof(uint64_t),
	    .parse = parse_sync,
	    .print = print_sync,
	    .help = "when they have to be on the disk: always, after that"
		    " time, or none" },
	{ .name = "spool_age",
	    .type = KEY_TIME,
	    .def = "none",
	    .offset = OFFSET(spool_age),
	    .help = "how long they may wait there" },
	{ .name = "frame_age",
	    .type = KEY_TIME,
	    .def = "none",
	    .offset = OFFSET(frame_age),
	    .help = "a frame that has waited for longer is dropped instead of"
		    " written" },
	{ .name = "echo",
	    .type = KEY_BOOL,
	    .def = "no",
	    .offset = OFFSET(echo),
	    .help = "it receives what is written to it, as a two-wire adapter"
		    " does: that is removed" },
	{ .name = "silence_warning",
	    .type = KEY_TIME,
	    .offset = OFFSET(silence_warning),
	    .help =
		"a warning when it is up for so long without having received"
		" a frame" },
	{ .name = "silence_timeout",
	    .type = KEY_TIME,
	    .def = "none",
	    .offset = OFFSET(silence_timeout),
	    .help = "it is opened again, and its device reset, when no frame"
		    " was received for so long" },
	{ .name = "reopen_min",
	    .type = KEY_TIME,
	    .def = "250ms",
	    .offset = OFFSET(reopen_min),
	    .min = NSEC_PER_MSEC,
	    .max = 3600 * NSEC_PER_SEC,
	    .help = "the first wait before it is opened again" },
	{ .name = "reopen_max",
	    .type = KEY_TIME,
	    .def = "10s",
	    .offset = OFFSET(reopen_max),
	    .min = NSEC_PER_MSEC,
	    .max = 3600 * NSEC_PER_SEC,
	    .help = "the wait doubles up to this" },
	{ .name = "history",
	    .type = KEY_SIZE,
	    .def = "none",
	    .offset = OFFSET(history),
	    .none = true,
	    .min = 1,
	    .max = 256 * 1024,
	    .help = "most recent bytes to be kept; new clients get them" },
	{ .name = "log",
	    .type = KEY_STRING,
	    .offset = OFFSET(log),
	    .min = 1,
	    .max = 4000,
	    .only_in_file = true,
	    .help = "a file for what is read from it and written to it" },
	{ .name = "log_format",
	    .type = KEY_WORD,
	    .def = "text",
	    .offset = OFFSET(log_format),
	    .words = log_words,
	    .help = "what the log looks like" },
	{ .name = "log_size",
	    .type = KEY_SIZE,
	    .def = "none",
	    .offset = OFFSET(log_size),
	    .none = true,
	    .min = 4096,
	    .max = 1ULL << 50,
	    .help = "a log of that size is renamed, and a new one is begun" },
	{ .name = "log_files",
	    .type = KEY_NUMBER,
	    .def = "5",
	    .offset = OFFSET(log_files),
	    .min = 1,
	    .max = 1000,
	    .help = "how many files of log_size are kept" },
	{ .name = NULL }
};

struct endpoint_conf *
endpoint_conf_new(const struct endpoint_ops *ops)
{
	struct endpoint_conf *conf = zalloc_lines(sizeof(*conf));

	if (conf == NULL)
		return NULL;
	conf->ops = ops;
	if (ops->conf_size == 0)
		return conf;
	if ((conf->type_conf = calloc(1, ops->conf_size)) == NULL) {
		free(conf);
		return NULL;
	}
	return conf;
}

void
endpoint_conf_free(struct endpoint_conf *conf)
{
	if (conf == NULL)
		return;
	key_free(endpoint_common_keys, conf);
	if (conf->ops->keys != NULL)
		key_free(conf->ops->keys, conf->type_conf);
	tls_context_free(conf->tls);
	free(conf->mixed_framing);
	free(conf->type_conf);
	free(conf->name);
	free(conf->text);
	free(conf->wire);
	free(conf);
}

const char *
endpoint_named(const struct endpoint_conf *conf, enum key_names what)
{
	const struct key *key = conf->ops->keys;

	for (; key != NULL && key->name != NULL; key++)
		if (key->names == what)
			return *(char **)(void *)((char *)conf->type_conf +
			    key->offset);
	return NULL;
}

/* --- changes while it is open -------------------------------------------- */

int
endpoint_check_common(const struct endpoint_conf *conf, struct error *err)
{
	if (conf->reopen_min > conf->reopen_max)
		return error_fail(
		    err, -EINVAL, "'reopen_min' is longer than 'reopen_max'");
	if (conf->silence_timeout != 0 &&
	    (conf->ops->several || conf->ops->echo))
		return error_fail(err, -EINVAL,
		    "'silence_timeout' is for a single link, such as that of"
		    " [serial] or [tcp-client]");
	return 0;
}

/* A key of the type has changed. */
static int
apply_key(struct endpoint *ep, const struct key *key, struct error *err)
{
	const struct error down = ep->error;
	int r;

	if (ep->conf->ops->apply == NULL)
		return 0;
	error_clear(&ep->error);
	if ((r = ep->conf->ops->apply(ep, key)) < 0)
		error_set(err, "%s",
		    error_is_set(&ep->error) ? ep->error.text : strerror(-r));
	ep->error = down;
	return r;
}

/* Copies whether the key was given, which may change without its value. */
static void
copy_given(const struct key *key, char *to, const char *from)
{
	if (key->given != 0)
		*(bool *)(to + key->given) = *(const bool *)(from + key->given);
}

/* Keys of the type that are not in place, and what the type keeps beside its keys, stay. */
static int
follow_type(struct endpoint *ep, struct endpoint_conf *conf, struct error *err)
{
	char *new = ep->conf->type_conf, *old = conf->type_conf;
	const struct key *keys = ep->conf->ops->keys, *key;
	struct error why;
	int r = 0;

	for (key = keys; key->name != NULL; key++) {
		const struct key one[] = { *key, { .name = NULL } };

		if (!key->in_place)
			continue;
		copy_given(key, new, old);
		key_swap(one, new, old);
	}
	for (key = keys; r == 0 && key->name != NULL; key++)
		if (key->in_place && !key_equal(key, new, old) &&
		    (r = apply_key(ep, key, &why)) < 0)
			error_set(err, "'%s': %s", key->name, why.text);
	return r;
}

int
endpoint_follow(
    struct endpoint *ep, struct endpoint_conf *conf, struct error *err)
{
	char *text = ep->conf->text;

	key_swap(endpoint_common_keys, ep->conf, conf);
	ep->conf->text = conf->text;
	ep->conf->file = conf->file;
	ep->conf->line = conf->line;
	conf->text = text;
	return ep->conf->ops->keys != NULL ? follow_type(ep, conf, err) : 0;
}

void
endpoint_follow_tls(struct endpoint *ep, struct endpoint_conf *conf)
{
	struct tls_context *old = ep->conf->tls;

	ep->conf->tls = conf->tls;
	conf->tls = old;
}

void
endpoint_follow_framing(struct endpoint *ep, struct endpoint_conf *conf)
{
	char *old = ep->conf->mixed_framing;

	ep->conf->mixed_framing = conf->mixed_framing;
	conf->mixed_framing = old;
}

/* Finds a key that may change while the endpoint is open, and the struct that holds
 * its value. */
static const struct key *
changeable(const struct endpoint *ep, const char *name, void **base)
{
	const struct key *key = key_find(endpoint_common_keys, name);

	*base = ep->conf;
	if (key != NULL && key->only_in_file)
		return NULL;
	if (key != NULL || ep->conf->ops->keys == NULL)
		return key;
	*base = ep->conf->type_conf;
	key = key_find(ep->conf->ops->keys, name);
	return key != NULL && key->in_place ? key : NULL;
}

/* The value of a key before it was changed. */
struct old_value {
	char *string; /* of a key whose value is a string */
	char text[KEY_PRINT_MAX];
	bool given;
};

static bool
is_string(const struct key *key)
{
	return key->type == KEY_STRING || key->type == KEY_TEXT;
}

/* Takes the string of a key out of its field, so that it can be restored. */
static void
take_value(const struct key *key, void *base, struct old_value *old)
{
	char **field = (void *)((char *)base + key->offset);

	key_print(key, base, old->text, sizeof(old->text));
	old->given = key->given != 0 && *(bool *)((char *)base + key->given);
	old->string = NULL;
	if (!is_string(key))
		return;
	old->string = *field;
	*field = NULL;
}

static void
restore_value(const struct key *key, void *base, const struct old_value *old)
{
	char **field = (void *)((char *)base + key->offset);
	struct error ignored;

	if (key->given != 0)
		*(bool *)((char *)base + key->given) = old->given;
	if (!is_string(key)) {
		key_parse(key, base, old->text, &ignored);
		return;
	}
	free(*field);
	*field = old->string;
}

/* Sets a key and applies it to the open endpoint. */
static int
change_key(struct endpoint *ep, const struct key *key, void *base,
    const char *value, struct error *err)
{
	int r = key_parse(key, base, value, err);

	if (r == 0 && key->given != 0)
		*(bool *)((char *)base + key->given) = true;
	if (r < 0)
		return r;
	return base == ep->conf ? endpoint_check_common(ep->conf, err)
				: apply_key(ep, key, err);
}

int
endpoint_set(
    struct endpoint *ep, const char *name, const char *value, struct error *err)
{
	void *base;
	const struct key *key = changeable(ep, name, &base);
	char now[KEY_PRINT_MAX];
	struct old_value old;
	struct error ignored;
	int r;

	if (key == NULL)
		return error_fail(err, -EINVAL,
		    "'%s' of %s cannot be changed while it runs;"
		    " change the file and reload",
		    name, ep->conf->name);
	take_value(key, base, &old);
	if ((r = change_key(ep, key, base, value, err)) < 0) {
		restore_value(key, base, &old);
		if (base != ep->conf)
			apply_key(ep, key, &ignored);
		return r;
	}
	free(old.string);
	key_print(key, base, now, sizeof(now));
	log_to(LOG_NOTICE, ABOUT_ENDPOINT, ep->conf->name, "%s = %s (was %s)",
	    name, *now != '\0' ? now : "not set",
	    *old.text != '\0' ? old.text : "not set");
	ep->owner->state(ep);
	return 0;
}
