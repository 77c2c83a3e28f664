/*
 * keys: the keys common to all endpoints, and changes of keys while an endpoint is
 * open.
 *
 * A reload exchanges the common keys of an endpoint that is otherwise unchanged
 * (endpoint_follow).  `set` changes one key: a common one, or one of the endpoint's
 * type if the type can apply it.  A change that cannot be applied is undone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint.h"
#include "log.h"
#include "tls.h"

static const char *const overflow_words[] = {
	[OVERFLOW_BLOCK] = "block",
	[OVERFLOW_DROP_OLDEST] = "drop-oldest",
	[OVERFLOW_DROP_NEWEST] = "drop-newest",
	[OVERFLOW_DISCONNECT] = "disconnect",
	NULL,
};

#define OFFSET(member) offsetof(struct endpoint_conf, member)

/* stall_timeout has a default for each type, which the configuration parser sets. */
const struct key endpoint_common_keys[] = {
	{ .name = "label",
	    .type = KEY_STRING,
	    .offset = OFFSET(label),
	    .help = "what it is, in words; shown beside its tasks" },
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
	{ .name = "stall_timeout",
	    .type = KEY_TIME,
	    .offset = OFFSET(stall_timeout),
	    .help = "with block: how long it may take nothing before its oldest"
		    " frames are dropped" },
	{ .name = "echo",
	    .type = KEY_BOOL,
	    .def = "no",
	    .offset = OFFSET(echo),
	    .help = "it receives what is written to it, as a two-wire adapter"
		    " does: that is removed" },
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

void
endpoint_follow(struct endpoint *ep, struct endpoint_conf *conf)
{
	char *text = ep->conf->text;

	key_swap(endpoint_common_keys, ep->conf, conf);
	ep->conf->text = conf->text;
	ep->conf->file = conf->file;
	ep->conf->line = conf->line;
	conf->text = text;
}

void
endpoint_follow_tls(struct endpoint *ep, struct endpoint_conf *conf)
{
	struct tls_context *old = ep->conf->tls;

	ep->conf->tls = conf->tls;
	conf->tls = old;
}

/* Finds a key that may change while the endpoint is open, and the struct that holds
 * its value. */
static const struct key *
changeable(const struct endpoint *ep, const char *name, void **base)
{
	const struct key *key = key_find(endpoint_common_keys, name);

	*base = ep->conf;
	if (key != NULL)
		return key;
	*base = ep->conf->type_conf;
	if (ep->conf->ops->apply == NULL || ep->conf->ops->keys == NULL)
		return NULL;
	return key_find(ep->conf->ops->keys, name);
}

/* Takes the string of a key out of its field, so that it can be restored; NULL for
 * keys of other types. */
static char *
take_string(const struct key *key, void *base)
{
	char **field = (void *)((char *)base + key->offset), *string;

	if (key->type != KEY_STRING)
		return NULL;
	string = *field;
	*field = NULL;
	return string;
}

static void
restore_key(const struct key *key, void *base, char *string, const char *old)
{
	char **field = (void *)((char *)base + key->offset);
	struct error ignored;

	if (key->type != KEY_STRING) {
		key_parse(key, base, old, &ignored);
		return;
	}
	free(*field);
	*field = string;
}

/* Applies a changed key to the open endpoint. */
static int
follow_key(
    struct endpoint *ep, const struct key *key, bool own, struct error *err)
{
	int r = 0;

	error_clear(&ep->error);
	if (ep->conf->reopen_min > ep->conf->reopen_max)
		return error_fail(
		    err, -EINVAL, "'reopen_min' is longer than 'reopen_max'");
	if (own && (r = ep->conf->ops->apply(ep, key)) < 0)
		error_set(err, "%s",
		    error_is_set(&ep->error) ? ep->error.text : strerror(-r));
	return r;
}

int
endpoint_set(
    struct endpoint *ep, const char *name, const char *value, struct error *err)
{
	void *base;
	const struct key *key = changeable(ep, name, &base);
	bool own = base != ep->conf;
	char old[512], *string;
	int r;

	if (key == NULL)
		return error_fail(err, -EINVAL,
		    "'%s' of %s cannot be changed while it runs;"
		    " change the file and reload",
		    name, ep->conf->name);
	key_print(key, base, old, sizeof(old));
	string = take_string(key, base);
	if ((r = key_parse(key, base, value, err)) == 0)
		r = follow_key(ep, key, own, err);
	if (r < 0) {
		restore_key(key, base, string, old);
		if (own)
			ep->conf->ops->apply(ep, key);
		error_clear(&ep->error);
		return r;
	}
	free(string);
	log_to(LOG_NOTICE, ABOUT_ENDPOINT, ep->conf->name, "%s = %s (was %s)",
	    name, value, old);
	ep->owner->state(ep);
	return 0;
}
