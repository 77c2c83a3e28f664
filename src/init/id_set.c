/*
 * id_set: sets of numbers, as lists of ranges.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "id_set.h"

void
id_set_fill(struct id_set *set)
{
	set->n = 1;
	set->range[0] = (struct id_range){ 0, ID_MAX };
}

bool
id_set_is_full(const struct id_set *set)
{
	return set->n == 1 && set->range[0].first == 0 &&
	    set->range[0].last == ID_MAX;
}

/* Appends a range that begins after the others, or continues the last one. */
static int
add(struct id_set *set, uint32_t first, uint32_t last)
{
	if (set->n > 0 && set->range[set->n - 1].last + 1 == first) {
		set->range[set->n - 1].last = last;
		return 0;
	}
	if (set->n == ID_RANGES_MAX)
		return -E2BIG;
	set->range[set->n++] = (struct id_range){ first, last };
	return 0;
}

static int
by_value(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int
id_set_parse(const char *text, struct id_set *ret)
{
	uint32_t ids[ID_RANGES_MAX * 4];
	unsigned n = 0;
	uint64_t id;
	const char *word;
	char copy[16];
	size_t len;
	int r = 0;

	while ((word = list_word(&text, &len)) != NULL) {
		if (n == NELEM(ids))
			return -E2BIG;
		snprintf(copy, sizeof(copy), "%.*s",
		    (int)MIN(len, sizeof(copy)), word);
		if (parse_number(copy, 0, ID_MAX, &id) < 0)
			return -EINVAL;
		ids[n++] = (uint32_t)id;
	}
	qsort(ids, n, sizeof(ids[0]), by_value);
	ret->n = 0;
	for (unsigned i = 0; r == 0 && i < n; i++)
		if (i == 0 || ids[i] != ids[i - 1])
			r = add(ret, ids[i], ids[i]);
	return r;
}

int
id_set_keep(struct id_set *set, const struct id_set *other)
{
	struct id_set both = { .n = 0 };
	int r = 0;

	for (unsigned i = 0; i < set->n; i++)
		for (unsigned j = 0; r == 0 && j < other->n; j++) {
			uint32_t first =
			    MAX(set->range[i].first, other->range[j].first);
			uint32_t last =
			    MIN(set->range[i].last, other->range[j].last);

			if (first <= last)
				r = add(&both, first, last);
		}
	*set = both;
	return r;
}

int
id_set_remove(struct id_set *set, const struct id_set *other)
{
	struct id_set rest = { .n = 0 };
	uint32_t next = 0;
	int r = 0;

	for (unsigned i = 0; r == 0 && i < other->n; i++) {
		if (other->range[i].first > next)
			r = add(&rest, next, other->range[i].first - 1);
		next = other->range[i].last + 1;
	}
	if (r == 0 && next <= ID_MAX)
		r = add(&rest, next, ID_MAX);
	return r < 0 ? r : id_set_keep(set, &rest);
}

bool
id_set_write(const struct id_set *set, char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = '\0';
	for (unsigned i = 0; i < set->n && len < size; i++) {
		const struct id_range *r = &set->range[i];

		len += (size_t)snprintf(buf + len, size - len,
		    r->first == r->last ? "%s%u" : "%s%u-%u", i > 0 ? "," : "",
		    r->first, r->last);
	}
	return len < size;
}
