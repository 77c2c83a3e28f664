/*
 * ser2net: what the two kinds of its configuration have in common.  Version 3 is
 * expressed in the terms of version 4: an accepter, a connector and options.
 */
#ifndef SER2NET_H
#define SER2NET_H

#include "source.h"
#include "settings.h"

struct gensio;

struct ser2net_connection {
	int line;
	char *name;
	char *port; /* what \p stands for in text; NULL: the accepter */
	bool old;   /* it is of version 3 */
	struct setting accepter, connector; /* value NULL: not given */
	struct setting timeout;
	bool disabled;
	struct settings options;
};

/* A serial port that has been converted. */
struct ser2net_device {
	struct settings keys;
	char name[DRAFT_NAME_MAX];
	struct block *section;
	struct ser2net_device *next;
};

/* A conversion. */
struct ser2net {
	struct draft *draft;
	struct ser2net_device *devices;
	/* "CLASS/NAME", or "/NAME" for all classes. */
	struct settings defaults;
	unsigned connections;
	bool local_noted; /* what is only said once */
};

/* One side of a connection. */
struct ser2net_end {
	const char *type; /* NULL: it cannot be converted */
	char name[64];	  /* that is wanted */
	struct settings keys;
};

/* Converts a connection.  -ENOMEM. */
int ser2net_connect(struct ser2net *s, const struct ser2net_connection *c);
void ser2net_connection_free(struct ser2net_connection *c);
/* Frees what the conversion has allocated. */
void ser2net_free(struct ser2net *s);

/* The files of version 4 and of version 3. */
int ser2net_yaml(
    struct ser2net *s, const struct source *source, struct error *err);
int ser2net_lines(
    struct ser2net *s, const struct source *source, struct error *err);

/*
 * Each converts one side.  If that is not possible, end->type is NULL and the draft says
 * why.
 */
int ser2net_accepter(struct ser2net *s, const struct ser2net_connection *c,
    struct ser2net_end *end);
int ser2net_connector(struct ser2net *s, const struct ser2net_connection *c,
    struct ser2net_end *end);
/*
 * Reads "[ipv4|ipv6|ipv6n4,][HOST,]PORT" to "HOST:PORT", and notes further addresses.
 * Returns false, and says so, if it cannot be converted.
 */
bool ser2net_address(struct draft *d, const struct setting *of,
    const char *text, bool listen, char *ret, size_t size);
/* Options of a layer that have no counterpart; known is a NULL-terminated list. */
void ser2net_unknown(struct draft *d, const char *type,
    const struct settings *options, const char *const *known);
/*
 * The words of a serial port, such as "9600n81,local".  device and keys are not known
 * before.
 */
void ser2net_serial(struct ser2net *s, const struct ser2net_connection *c,
    const struct gensio *g, struct ser2net_end *end);

/*
 * Converts text with the escapes of ser2net to a value with escapes.  NULL when out of
 * memory.
 */
char *ser2net_text(struct draft *d, const struct setting *text,
    const struct ser2net_connection *c, const struct ser2net_end *connector);

#endif
