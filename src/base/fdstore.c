/*
 * fdstore: descriptors kept for the next process, and those of the previous process.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fdstore.h"

/* Occurs in the names of kept descriptors only. */
#define MARK '@'
#define FNV_BASIS 0xcbf29ce484222325ULL
#define FNV_PRIME 0x100000001b3ULL

static struct kept_list kept = TAILQ_HEAD_INITIALIZER(kept);
static struct left_list lefts = TAILQ_HEAD_INITIALIZER(lefts);
static const struct keeper *keeper;

void
keep_tell(const struct keeper *new)
{
	keeper = new;
}

bool
keep_anything(void)
{
	return keeper != NULL;
}

/* FNV-1a, including the NUL of the string. */
static uint64_t
hash(uint64_t h, const char *s)
{
	if (s == NULL)
		s = "";
	do
		h = (h ^ (uint8_t)*s) * FNV_PRIME;
	while (*s++ != '\0');
	return h;
}

void
keep_name(char *buf, size_t size, const char *type, const char *name,
    const char *text, const char *part)
{
	snprintf(buf, size, "%s%s%c%016llx", name, part, MARK,
	    (unsigned long long)hash(hash(FNV_BASIS, type), text));
}

void
keep_add(struct kept *k, int fd, const char *name)
{
	if (k->on && k->fd == fd && strcmp(k->name, name) == 0)
		return;
	keep_remove(k);
	snprintf(k->name, sizeof(k->name), "%s", name);
	k->fd = fd;
	k->on = true;
	TAILQ_INSERT_TAIL(&kept, k, entry);
	k->held = keeper != NULL && keeper->add(k);
}

bool
keep_remove(struct kept *k)
{
	bool held = k->held;

	if (!k->on)
		return false;
	TAILQ_REMOVE(&kept, k, entry);
	if (held)
		keeper->remove(k);
	k->on = k->held = false;
	return held;
}

void
keep_forget(const char *name)
{
	struct kept k = { .fd = -1 };

	snprintf(k.name, sizeof(k.name), "%s", name);
	if (keeper != NULL)
		keeper->remove(&k);
}

const struct kept_list *
keep_all(void)
{
	return &kept;
}

/* --- descriptors of the previous process --------------------------------- */

int
left_add(const char *name, int fd)
{
	size_t len = strlen(name) + 1;
	struct left *l = malloc(sizeof(*l) + len);

	if (l == NULL) {
		close(fd);
		return -ENOMEM;
	}
	l->fd = fd;
	l->claimed = false;
	memcpy(l->name, name, len);
	TAILQ_INSERT_TAIL(&lefts, l, entry);
	return 0;
}

int
left_free(struct left *l)
{
	int fd = l->fd;

	TAILQ_REMOVE(&lefts, l, entry);
	free(l);
	return fd;
}

int
left_take(const char *name)
{
	struct left *l;

	TAILQ_FOREACH(l, &lefts, entry)
		if (strcmp(l->name, name) == 0)
			return left_free(l);
	return -ENOENT;
}

int
left_take_number(const char *begin, const char *end, unsigned *ret)
{
	size_t n = strlen(begin);
	struct left *l;
	unsigned long number;
	char *rest;

	TAILQ_FOREACH(l, &lefts, entry) {
		if (strncmp(l->name, begin, n) != 0 || l->name[n] < '0' ||
		    l->name[n] > '9')
			continue;
		number = strtoul(l->name + n, &rest, 10);
		if (strcmp(rest, end) != 0 || number > UINT32_MAX)
			continue;
		*ret = (unsigned)number;
		return left_free(l);
	}
	return -ENOENT;
}

struct left_list *
left_all(void)
{
	return &lefts;
}

bool
left_is_kept(const struct left *l)
{
	return strchr(l->name, MARK) != NULL;
}
