/*
 * walk: all attributes of the daemon, as paths and values.
 */
#ifndef WALK_H
#define WALK_H

#include "call.h"

#define PATH_TEXT_MAX 160

/* One walk over attributes; the caller sets what is not marked. */
struct walk {
	const struct call *call;
	const char *name; /* the only one that is wanted, or NULL */
	void (*visit)(struct walk *, const char *path, const char *value);
	char object[PATH_TEXT_MAX]; /* the walk's own: "ar1/", "" */
	/* For visit. */
	const char *prefix;
	const char **words;
	size_t room;
	char *value;
	size_t n;
};

/* The attributes of the next object of all, in pieces: at and *stage say which. False
 * when there is none left. */
bool walk_next(struct walk *w, struct cursor *at, unsigned *stage);
/*
 * Those of one object, as it is written before the last '/' of a path ("" for those
 * that have none).  False when there is no such object.
 */
bool walk_object(struct walk *w, const char *object);

#endif
