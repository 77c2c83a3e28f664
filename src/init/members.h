/*
 * members: endpoints of which each forwards to all others, with filters for what comes from
 * some of them and for what goes to some of them.
 */
#ifndef MEMBERS_H
#define MEMBERS_H

#include "draft.h"
#include "settings.h"

/* The longest value of a filter, with its NUL. */
#define FILTER_MAX 180

struct member {
	char name[DRAFT_NAME_MAX];
	bool in;  /* frames come from it */
	bool out; /* frames go to it */
	bool
	    server; /* it has several peers, which also forward to each other */
	char from
	    [FILTER_MAX]; /* what passes that comes from it; "": everything */
	char to[FILTER_MAX]; /* what passes that goes to it */
};

struct members {
	struct member *at;
	unsigned n;
	const char *key;	/* of the filters, "match_nmea" */
	const char *name;	/* of the routes */
	struct settings common; /* keys of all routes */
	/*
	 * Writes what passes both filters; false if that cannot be expressed.  An empty
	 * result means that nothing passes.
	 */
	bool (*both)(const char *a, const char *b, char buf[FILTER_MAX]);
};

/* Adds a member; NULL when out of memory. */
struct member *members_add(struct members *m);
/* Writes the routes. */
void members_write(struct members *m, struct draft *d);
void members_free(struct members *m);

#endif
