/*
 * parts: reads files of sections with keys, as other programs write them.
 *
 * inih is not used, because it knows no lines and none of these rules for comments and
 * quotes.
 */
#ifndef PARTS_H
#define PARTS_H

#include "address.h"
#include "settings.h"
#include "source.h"

/* A section "[TYPE NAME]". */
struct part {
	char *type;
	char *name; /* "" if there is none */
	int line;
	struct settings keys;
};

struct parts {
	struct part *at;
	unsigned n;
};

/* The rules of a program. */
struct parts_rules {
	bool sections; /* otherwise all keys are of one part without a type */
	const char *comments; /* characters that begin a line of comment */
	bool ends;	      /* '#' begins a comment also after a value */
	bool quotes;	      /* a value may be in quotes */
	bool merge;	      /* sections with the same head are one */
};

/* -EINVAL and err, with the place; -ENOMEM. */
int parts_read(const struct source *source, const struct parts_rules *rules,
    struct parts *ret, struct error *err);
/* Says which keys have no effect, because they are given again with another value. */
void parts_lose_repeated(struct draft *d, const struct settings *keys);
/*
 * "HOST:PORT", with brackets around an IPv6 address without.  If it is too long, the block of
 * the draft is left out, and the result is false.
 */
bool parts_address(struct draft *d, const char *host, const char *port,
    char ret[ADDRESS_TEXT_MAX]);
void parts_free(struct parts *parts);

#endif
