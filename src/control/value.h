/*
 * value: tables of the attributes of each kind of object.
 */
#ifndef VALUE_H
#define VALUE_H

#include "bridge.h"

#define VALUE_TEXT_MAX 1024

struct row {
	const char *name;
	/* Returns false if the object has no such value. */
	bool (*print)(const void *object, size_t at, char *buf, size_t size);
	size_t at;
};

/* A node, and sums over its ports, which may be many and are added up only once. */
struct node_sums {
	const struct node *node;
	struct traffic traffic;
	size_t bytes, frames; /* queued */
};

/* Each table ends with a row without a name. */
extern const struct row node_rows[];   /* object: struct node_sums */
extern const struct row route_rows[];  /* object: struct route */
extern const struct row daemon_rows[]; /* object: struct call */
extern const struct row top_rows[];    /* the same */

/* For rows: prints the uint64_t at that offset in the object. */
bool print_counter(const void *object, size_t at, char *buf, size_t size);
void print_number(uint64_t n, char *buf, size_t size);
/* Prints seconds, as a plain number with that many digits after the decimal point. */
void print_seconds(uint64_t ns, unsigned digits, char *buf, size_t size);

#endif
