/*
 * ini_reader: text or words to sections of keys and values; nothing is known
 * here of what they mean.
 */
#ifndef INI_READER_H
#define INI_READER_H

#include "config.h"

/* What inih reads of a line. */
#define CONFIG_LINE_MAX 199
/* As quoted in a fault. */
#define CONFIG_QUOTE_MAX 80

struct config_entry {
	char *key;
	char *value;
	int line;
	bool comment; /* one was cut off after the value */
};

struct config_section {
	char *type;
	char *name; /* NULL: has none */
	int line;
	const char *word; /* of the command line, or NULL */
	struct config_entry *entry;
	unsigned n, size;
};

struct config_sections {
	const char *file;
	struct config_section *section;
	unsigned n, size;
	unsigned lost; /* heads and words that say no type */
};

/*
 * 0 or -ENOMEM; what is wrong goes to the faults, the rest is read all the
 * same.
 */
int config_read_text(const char *file, const char *text, size_t len,
    struct config_sections *ret, struct faults *faults);
int config_read_words(char *const *words, unsigned n,
    struct config_sections *ret, struct faults *faults);
void config_sections_free(struct config_sections *s);
/*
 * For config_read_words: a new section, a new key of the last section.
 * -ENOMEM.
 */
int config_section_add(struct config_sections *s, const char *type,
    size_t type_len, const char *name, int line);
int config_entry_add(
    struct config_sections *s, const char *key, const char *value, int line);

/* "[serial ar1]", or the word in quotes. */
const char *config_where(
    const struct config_section *s, char *buf, size_t size);
/* As escape(); returns buf. */
const char *config_quote(const char *s, char *buf, size_t size);

/* line 0: none is named.  A fault that cannot be stored is counted. */
void fault_add(struct faults *f, const char *file, int line, const char *fmt,
    ...) PRINTF(4, 5);
/* The same of what is no fault. */
void warning_add(struct faults *f, const char *file, int line, const char *fmt,
    ...) PRINTF(4, 5);
/* Another one would only be counted: no need to find good words for it. */
bool faults_full(const struct faults *f);

#endif
