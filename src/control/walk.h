/*
 * walk: all attributes of the daemon, as paths and values.
 */
#ifndef WALK_H
#define WALK_H

#include "call.h"

#define PATH_TEXT_MAX 160

/* A walk over attributes; the caller sets the members that are not marked. */
struct walk {
	const struct call *call;
	const char *name; /* visit only this attribute, or NULL */
	void (*visit)(struct walk *, const char *path, const char *value);
	char object[PATH_TEXT_MAX]; /* set by the walk: "ar1/", "" */
	/* For visit. */
	const char *prefix;
	const char **words;
	size_t room;
	char *value;
	size_t n;
};

/*
 * Visits the attributes of the next object, so that all can be visited in pieces; at and
 * *stage are the position.  False when there is none left.
 */
bool walk_next(struct walk *w, struct cursor *at, unsigned *stage);
/*
 * Visits the attributes of one object, named as before the last '/' of a path ("" for
 * those that have none).  False when there is no such object.
 */
bool walk_object(struct walk *w, const char *object);

#endif
