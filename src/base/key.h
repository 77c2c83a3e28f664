/*
 * key: tables of configuration keys.  The row of a key is used for parsing, for error
 * messages and their suggestions, for `list` and `set`, and for the tables of the
 * manual.
 */
#ifndef KEY_H
#define KEY_H

#include "error.h"

enum key_type {
	KEY_BOOL,    /* bool */
	KEY_NUMBER,  /* uint64_t, within min..max */
	KEY_BITS,    /* uint64_t, within min..max, hexadecimal with 0x */
	KEY_SIZE,    /* uint64_t bytes, within min..max */
	KEY_TIME,    /* uint64_t nanoseconds, within min..max */
	KEY_WORD,    /* int: index into words */
	KEY_STRING,  /* char *, owned; min..max characters */
	KEY_BYTES,   /* struct bytes, 1..max long, C escapes */
	KEY_TEXT,    /* char *, owned, as written; C escapes of 1..max bytes */
	KEY_HEX,     /* struct bytes, 1..max long, hexadecimal */
	KEY_MODE,    /* uint64_t, permissions in octal, 0: not given */
	KEY_SILENCE, /* struct silence */
	KEY_CUSTOM,  /* handled by the key's own parse and print */
};

/*
 * A silence on the line: in characters (tenths of one) if written without a unit,
 * otherwise a time.  Both members are 0 for "none".
 */
struct silence {
	uint32_t tenths;
	uint64_t ns;
};

/* What the value of a key names, for code that handles keys generically. */
enum key_names {
	NAMES_NOTHING,
	NAMES_DEVICE,  /* the path of a device file */
	NAMES_USB,     /* a USB device, as VID:PID or VID:PID:SERIAL */
	NAMES_LINK,    /* the path of a symbolic link that is made */
	NAMES_ADDRESS, /* an address or a path to listen on */
	NAMES_GROUP,   /* a group of users */
	NAMES_OPENING, /* KEY_TEXT: what is written first */
	NAMES_CLOSING, /* KEY_TEXT: what is written last */
	NAMES_LINE,    /* a serial endpoint */
};

/* The maximum number of bytes of a KEY_TEXT, see unescape(). */
#define KEY_TEXT_MAX 1024

/* The longest printed value of a key that is no string, with its NUL. */
#define KEY_PRINT_MAX 512

struct key {
	const char *name;
	enum key_type type;
	size_t offset;		  /* into the struct that is filled */
	const char *def;	  /* as written in a file; NULL: none */
	const char *help;	  /* one line, for the manual */
	const char *const *words; /* KEY_WORD, NULL-terminated */
	enum key_names names;	  /* KEY_STRING, KEY_TEXT */
	uint64_t min, max;	  /* max 0: no bound */
	bool none; /* KEY_SIZE: none, which is 0, is valid as well */
	/* Of an endpoint: takes effect while it is open, which need not be reopened. */
	bool in_place;
	/* It cannot be changed by a control command: it names a file. */
	bool only_in_file;
	/* The offset of a bool in the struct that is set when this key, or another one
	 * with the same offset here, was given; 0: none. */
	size_t given;
	/* KEY_CUSTOM: parse returns -errno and sets err on failure; print may be NULL.
	 * size is that of the field, needed for key_size() and what uses it. */
	int (*parse)(void *field, const char *value, struct error *err);
	void (*print)(const void *field, char *buf, size_t size);
	size_t size;
};

/* The row of that name in a table that ends with a NULL name, or NULL. */
const struct key *key_find(const struct key *keys, const char *name);
/* The word of the list that the value is a known synonym of, else the nearest word; or
 * NULL. */
const char *key_meant(const char *value, const char *const *words);
/*
 * Parses value and stores it at base + offset on success; a previous string is freed.
 * On failure returns -EINVAL or -ENOMEM and sets err to a message that quotes the value
 * and says what is valid, with the nearest word if the key takes words ("'8N3' is not a
 * mode; ...").
 */
int key_parse(
    const struct key *key, void *base, const char *value, struct error *err);
/* Sets every key of the table that has a default to it.  Asserts that the defaults are
 * valid; -ENOMEM. */
int key_defaults(const struct key *keys, void *base);
/* Prints the value as it is written in a file. */
void key_print(const struct key *key, const void *base, char *buf, size_t size);
/* Whether the key has the same value in both: the same bytes, or the same string. */
bool key_equal(const struct key *key, const void *a, const void *b);
/* The size of the field that the key fills. */
size_t key_size(const struct key *key);
/* Exchanges the values of the keys. */
void key_swap(const struct key *keys, void *a, void *b);
/* Frees the strings that the table's keys own and sets them to NULL. */
void key_free(const struct key *keys, void *base);

#endif
