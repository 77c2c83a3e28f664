/*
 * fdstore: descriptors that outlive the process.
 *
 * A module that opens a descriptor which should survive a restart registers it under a
 * name that is the same in the next process, and takes the descriptor that the previous
 * process kept under that name instead of opening a new one.  The keeper transfers the
 * descriptors from one process to the next; it is notified of each.
 */
#ifndef FDSTORE_H
#define FDSTORE_H

#include <sys/queue.h>

#include "util.h"

#define KEEP_NAME_MAX 128

/* A kept descriptor; zeroed: none.  The memory belongs to the opener. */
struct kept {
	TAILQ_ENTRY(kept) entry;
	char name[KEEP_NAME_MAX];
	int fd;
	bool on;
	bool held; /* the keeper has a copy of it */
};
TAILQ_HEAD(kept_list, kept);

struct keeper {
	/* A descriptor was opened; returns true if the keeper has a copy of it. */
	bool (*add)(const struct kept *);
	/* The descriptor will be closed for good; the keeper closes its copy. */
	void (*remove)(const struct kept *);
};
/* Sets the keeper; NULL: none. */
void keep_tell(const struct keeper *keeper);
/* Whether there is a keeper; kept descriptors then outlive a process that is killed. */
bool keep_anything(void);

/*
 * The name under which a part of a section is kept.  It depends on the text of the
 * section, so that a descriptor opened with a different configuration is not taken.
 * part: "", "#3" (a connection), " listener".
 */
void keep_name(char *buf, size_t size, const char *type, const char *name,
    const char *text, const char *part);

/* Keeps the descriptor from now on (again, if it was taken from the previous process). */
void keep_add(struct kept *k, int fd, const char *name);
/* Stops keeping it; returns true when the keeper had a copy, in which case close()
 * alone does not end a connection.  No effect if it was not kept. */
bool keep_remove(struct kept *k);
const struct kept_list *keep_all(void);
/* Removes the keeper's copy of a descriptor of the previous process that is closed
 * without having been kept. */
void keep_forget(const char *name);

/* --- descriptors of the previous process --------------------------------- */

/* Adds a descriptor that can be taken under that name; it is closed when out of memory
 * (-ENOMEM). */
int left_add(const char *name, int fd);
/* Takes the descriptor of that name; -ENOENT when there is none. */
int left_take(const char *name);
/* Takes a descriptor whose name is begin, a number and end; the number is stored in
 * *ret.  -ENOENT. */
int left_take_number(const char *begin, const char *end, unsigned *ret);

struct left {
	TAILQ_ENTRY(left) entry;
	int fd;
	bool claimed; /* a listener uses a duplicate of it */
	char name[];
};
TAILQ_HEAD(left_list, left);
struct left_list *left_all(void);
/* Whether it was kept by a previous process, as opposed to a listening socket that the
 * service manager passed. */
bool left_is_kept(const struct left *l);
/* Frees the entry and returns the descriptor, which the caller then owns. */
int left_free(struct left *l);

#endif
