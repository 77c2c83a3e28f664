/*
 * section_reader: reads a section according to sets of keys, and reports its faults.
 */
#ifndef SECTION_READER_H
#define SECTION_READER_H

#include "ini_reader.h"

#define CONFIG_KEYS_MAX 128 /* maximum number of keys in a section */

struct keyset {
	const struct key *keys; /* NULL: none */
	void *base;
};

/* The state while a section is read. */
struct reading {
	struct faults *faults;
	const char *file;
	const struct config_section *section;
	char where[120]; /* config_where() */
	struct keyset sets[5];
	unsigned nsets;
	bool endpoint;		    /* it is an endpoint... */
	const struct framing *rule; /* ...with this framing; NULL: unknown */
	const struct key *seen_key[CONFIG_KEYS_MAX];
	const struct config_entry *seen[CONFIG_KEYS_MAX];
	unsigned nseen;
	/* Keys with invalid values, and those that were probably meant by unknown ones. */
	const char *bad[CONFIG_KEYS_MAX];
	unsigned nbad;
};

void reading_start(struct reading *rd, struct faults *faults, const char *file,
    const struct config_section *s);
/* Adds a table of keys, which may be NULL; at most five times. */
void reading_add(struct reading *rd, const struct key *keys, void *base);
/* Reads all keys of the section.  Returns 0, even if there are faults, or -ENOMEM. */
int reading_keys(struct reading *rd);
/*
 * Reports that a check of several keys has failed, with the message err, at the line of
 * the first key that err mentions or whose value it quotes.  Nothing is reported if err
 * mentions a key whose value was invalid, or that was probably meant by an unknown key.
 */
void reading_failed(struct reading *rd, const char *err);
/* Warns about the value of a key that was read, at its line. */
void reading_warned(struct reading *rd, const char *key, const char *fmt, ...)
    PRINTF(3, 4);
/* Warns about keys of an endpoint that have no effect without others. */
void reading_unused(struct reading *rd);
/*
 * Copies the section's name (or otherwise, if it has none) and its text for comparison.
 * Returns 0, also when the name is invalid and was reported, or -ENOMEM.
 */
int reading_name(
    struct reading *rd, const char *otherwise, char **name, char **text);
/*
 * The text without the keys that take effect while an endpoint of that type is open.  0 or
 * -ENOMEM.
 */
int reading_wire(struct reading *rd, const char *name,
    const struct endpoint_ops *ops, char **wire);
/* Reports that the maximum is reached; returns false. */
bool reading_room(
    struct reading *rd, unsigned n, unsigned max, const char *what);

/*
 * Adds the section to the configuration.  Returns 0, even if there are faults, or
 * -ENOMEM.
 */
int config_section_read(struct config *c, const char *file,
    const struct config_section *s, struct faults *faults);

#endif
