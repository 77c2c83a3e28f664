/*
 * names: the endpoints of a configuration by name, and lists of names.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"

/*
 * The maximum number of names compared to find the most similar ones, for all faults
 * together.
 */
#define COMPARED_MAX 50000

static int
compare_endpoints(const void *x, const void *y)
{
	const struct endpoint_conf *const *a = x, *const *b = y;

	return strcmp((*a)->name, (*b)->name);
}

int
names_init(struct names *names, const struct config *c)
{
	memset(names, 0, sizeof(*names));
	names->sorted = calloc(c->nendpoints + 1UL, sizeof(*names->sorted));
	names->name = calloc(c->nendpoints + 1UL, sizeof(*names->name));
	if (names->sorted == NULL || names->name == NULL)
		return -ENOMEM;
	names->n = c->nendpoints;
	for (unsigned i = 0; i < names->n; i++)
		names->sorted[i] = c->endpoints[i];
	qsort(
	    names->sorted, names->n, sizeof(*names->sorted), compare_endpoints);
	for (unsigned i = 0; i < names->n; i++)
		names->name[i] = names->sorted[i]->name;
	return 0;
}

void
names_free(struct names *names)
{
	free(names->sorted);
	free(names->name);
}

struct endpoint_conf *
names_find(const struct names *names, const char *name, size_t len)
{
	char buf[256];
	struct endpoint_conf key = { .name = buf };
	struct endpoint_conf *wanted = &key, **found;

	if (len >= sizeof(buf))
		return NULL;
	snprintf(buf, sizeof(buf), "%.*s", (int)len, name);
	found = bsearch(&wanted, names->sorted, names->n,
	    sizeof(*names->sorted), compare_endpoints);
	return found == NULL ? NULL : *found;
}

const char *
names_meant(struct names *names, const char *word)
{
	if (names->compared >= COMPARED_MAX)
		return NULL;
	names->compared += names->n;
	return nearest(word, names->name);
}

bool
list_has(const char *list, const char *name, size_t len)
{
	const char *word;
	size_t n;

	while (list != NULL && (word = list_word(&list, &n)) != NULL)
		if (n == len && memcmp(word, name, n) == 0)
			return true;
	return false;
}
