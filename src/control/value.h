/*
 * value: tables of the attributes that each kind of object has.
 */
#ifndef VALUE_H
#define VALUE_H

#include "bridge.h"

#define VALUE_TEXT_MAX 1024

struct row {
	const char *name;
	/* False: there is no such value here. */
	bool (*print)(const void *object, size_t at, char *buf, size_t size);
	size_t at;
};

/* A node, and what is summed up over its ports, which may be many: once for all. */
struct node_sums {
	const struct node *node;
	struct traffic traffic;
	size_t bytes, frames; /* that wait */
};

/* Each ends with a row without name. */
extern const struct row node_rows[];  /* of a struct node_sums */
extern const struct row route_rows[]; /* of a struct route */
extern const struct row
    daemon_rows[]; /* of a struct call, for the daemon that it is in */
extern const struct row top_rows[]; /* the same */

void print_number(uint64_t n, char *buf, size_t size);
/* Seconds, as a plain number with so many digits after the point. */
void print_seconds(uint64_t ns, unsigned digits, char *buf, size_t size);

#endif
