/*
 * section_reader: one section read against sets of keys, and what is said of those
 * that are wrong.
 */
#ifndef SECTION_READER_H
#define SECTION_READER_H

#include "ini_reader.h"

#define CONFIG_KEYS_MAX 128 /* that one section can have */

struct keyset {
	const struct key *keys; /* NULL: none */
	void *base;
};

/* A section as its keys are read. */
struct reading {
	struct faults *faults;
	const char *file;
	const struct config_section *section;
	char where[120]; /* config_where() */
	struct keyset sets[5];
	unsigned nsets;
	bool endpoint;		    /* it is one... */
	const struct framing *rule; /* ...with this; NULL: one not known */
	const struct key *seen_key[CONFIG_KEYS_MAX];
	const struct config_entry *seen[CONFIG_KEYS_MAX];
	unsigned nseen;
	const struct config_entry *bad[CONFIG_KEYS_MAX]; /* wrong values */
	unsigned nbad;
};

void reading_start(struct reading *rd, struct faults *faults, const char *file,
    const struct config_section *s);
/* Its keys are those of the table, which may be NULL, at most five times. */
void reading_add(struct reading *rd, const struct key *keys, void *base);
/* Reads every key of the section.  0, whatever the faults, or -ENOMEM. */
int reading_keys(struct reading *rd);
/*
 * A check across keys has failed, says err: reported at the line of the
 * first key that err mentions or quotes the value of.  Left out when err is
 * about one whose value was wrong.
 */
void reading_failed(struct reading *rd, const char *err);
/*
 * Copies of the section's name (or otherwise, when it has none) and of its text
 * for comparing.  0, also with a fault when it cannot be a name, or -ENOMEM.
 */
int reading_name(
    struct reading *rd, const char *otherwise, char **name, char **text);
/* The text without the keys that every endpoint takes, which may change while it is open.
 * 0 or -ENOMEM. */
int reading_wire(struct reading *rd, const char *name, char **wire);
/* False, and a fault, when there are as many as there may be. */
bool reading_room(
    struct reading *rd, unsigned n, unsigned max, const char *what);

/* What the section says is added to the configuration.  0, whatever the faults,
 * or -ENOMEM. */
int config_section_read(struct config *c, const char *file,
    const struct config_section *s, struct faults *faults);

#endif
