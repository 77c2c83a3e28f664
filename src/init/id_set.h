/*
 * id_set: sets of numbers, as lists of ranges: "0,30-33".
 */
#ifndef ID_SET_H
#define ID_SET_H

#include "util.h"

#define ID_MAX 0xffffff /* of MAVLink messages */
#define ID_RANGES_MAX 64

struct id_range {
	uint32_t first, last;
};

/* In ascending order, not adjacent. */
struct id_set {
	struct id_range range[ID_RANGES_MAX];
	unsigned n;
};

/* All of them. */
void id_set_fill(struct id_set *set);
/* Numbers separated by commas.  -EINVAL; -E2BIG: too many. */
int id_set_parse(const char *text, struct id_set *ret);
/* Keeps what is also in the other one; -E2BIG. */
int id_set_keep(struct id_set *set, const struct id_set *other);
/* Removes what is in the other one; -E2BIG. */
int id_set_remove(struct id_set *set, const struct id_set *other);
bool id_set_is_full(const struct id_set *set);
/* Writes "0,30-33"; false if it does not fit. */
bool id_set_write(const struct id_set *set, char *buf, size_t size);

#endif
