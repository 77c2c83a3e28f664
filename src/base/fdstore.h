/*
 * fdstore: descriptors that outlive the process.
 *
 * Whoever opens what should survive a restart says so, under a name that the next
 * process can tell again, and takes what the process before has left under that
 * name instead of opening anew.  How descriptors get from one to the other is the
 * business of the keeper, who is told of each.
 */
#ifndef FDSTORE_H
#define FDSTORE_H

#include <sys/queue.h>

#include "util.h"

#define KEEP_NAME_MAX 128

/* One descriptor; zeroed: none.  Its memory is the opener's. */
struct kept {
	TAILQ_ENTRY(kept) entry;
	char name[KEEP_NAME_MAX];
	int fd;
	bool on;
	bool held; /* the keeper has a copy of it */
};
TAILQ_HEAD(kept_list, kept);

struct keeper {
	/* A descriptor is open; true if a copy was taken of it. */
	bool (*add)(const struct kept *);
	/* It will be closed for good: that copy, too. */
	void (*remove)(const struct kept *);
};
/* NULL: nobody is told. */
void keep_tell(const struct keeper *keeper);
/* Whether somebody is: what is kept outlives a process that is killed. */
bool keep_anything(void);

/*
 * The name under which a part of a section is kept: another text of the section is
 * another name, so that nobody takes what was opened by other rules.  part: "",
 * "#3" (a connection), " listener".
 */
void keep_name(char *buf, size_t size, const char *type, const char *name,
    const char *text, const char *part);

/* From now on the descriptor is kept (again, if it was left to us)... */
void keep_add(struct kept *k, int fd, const char *name);
/* ...and no more; true when there was a copy of it, for which close() alone does
 * not end a connection.  Harmless when it was not kept. */
bool keep_remove(struct kept *k);
const struct kept_list *keep_all(void);
/* One that was left to us and is closed without having been kept. */
void keep_forget(const char *name);

/* --- what the process before has left ------------------------------------ */

/* To be taken under that name; closed when there is no memory (-ENOMEM). */
int left_add(const char *name, int fd);
/* Takes the descriptor, -ENOENT when there is none of the name. */
int left_take(const char *name);
/* Takes one whose name begins and ends like this; the part between them, a number,
 * goes to *ret.  -ENOENT. */
int left_take_number(const char *begin, const char *end, unsigned *ret);

struct left {
	TAILQ_ENTRY(left) entry;
	int fd;
	bool claimed; /* a listener has a copy of it */
	char name[];
};
TAILQ_HEAD(left_list, left);
struct left_list *left_all(void);
/* Whether it was left by a process before, and is not a socket that the service
 * manager listens on. */
bool left_is_kept(const struct left *l);
/* Frees it; the descriptor is the caller's. */
int left_free(struct left *l);

#endif
