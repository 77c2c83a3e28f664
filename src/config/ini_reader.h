/*
 * ini_reader: converts text or words to sections of keys and values, without interpreting
 * them.
 */
#ifndef INI_READER_H
#define INI_READER_H

#include "config.h"

/* The maximum length of a line that inih reads. */
#define CONFIG_LINE_MAX 199
/* The buffer size for text quoted in a fault. */
#define CONFIG_QUOTE_MAX 80

struct config_entry {
	char *key;
	char *value;
	int line;
	bool comment; /* the line may contain a comment */
};

struct config_section {
	char *type;
	char *name; /* NULL: none */
	int line;
	const char *word; /* of the command line, or NULL */
	struct config_entry *entry;
	unsigned n, size;
};

struct config_sections {
	const char *file;
	struct config_section *section;
	unsigned n, size;
	unsigned lost; /* headers and words without a valid type */
};

/*
 * 0 or -ENOMEM; faults are added, and the rest is read.
 */
int config_read_text(const char *file, const char *text, size_t len,
    struct config_sections *ret, struct faults *faults);
int config_read_words(char *const *words, unsigned n,
    struct config_sections *ret, struct faults *faults);
void config_sections_free(struct config_sections *s);
/*
 * Used by config_read_words() and config_read_text(): adds a section, or a key to the
 * last section.  -ENOMEM.
 */
int config_section_add(struct config_sections *s, const char *type,
    size_t type_len, const char *name, int line);
int config_entry_add(
    struct config_sections *s, const char *key, const char *value, int line);

/* "[serial ar1]", or the word in quotes. */
const char *config_where(
    const struct config_section *s, char *buf, size_t size);
/* Like escape(); returns buf. */
const char *config_quote(const char *s, char *buf, size_t size);

/* line 0: no line is named.  A fault that cannot be stored is counted. */
void fault_add(struct faults *f, const char *file, int line, const char *fmt,
    ...) PRINTF(4, 5);
/* The same for a warning. */
void warning_add(struct faults *f, const char *file, int line, const char *fmt,
    ...) PRINTF(4, 5);
/* Whether another fault would only be counted, so that its message does not matter. */
bool faults_full(const struct faults *f);

#endif
