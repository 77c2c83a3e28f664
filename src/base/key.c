/*
 * key: tables of configuration keys.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "key_type.h"

const struct key *
key_find(const struct key *keys, const char *name)
{
	for (; keys->name != NULL; keys++) {
		if (strcmp(keys->name, name) == 0)
			return keys;
	}
	return NULL;
}

int
key_parse(
    const struct key *key, void *base, const char *value, struct error *err)
{
	void *field = (char *)base + key->offset;
	int r;

	error_clear(err);
	if (key->type == KEY_CUSTOM)
		return key->parse(field, value, err);
	r = key_types[key->type].parse(key, field, value);
	if (r == 0)
		return 0;
	key_explain(key, value, r, err);
	return r == -ENOMEM ? r : -EINVAL;
}

int
key_defaults(const struct key *keys, void *base)
{
	struct error err;
	int error;

	for (; keys->name != NULL; keys++) {
		if (keys->def == NULL)
			continue;
		error = key_parse(keys, base, keys->def, &err);
		assert(error == 0 || error == -ENOMEM);
		if (error != 0)
			return error;
	}
	return 0;
}

void
key_print(const struct key *key, const void *base, char *buf, size_t size)
{
	const void *field = (const char *)base + key->offset;

	if (size > 0)
		buf[0] = '\0';
	if (key->type != KEY_CUSTOM)
		key_types[key->type].print(key, field, buf, size);
	else if (key->print != NULL)
		key->print(field, buf, size);
}

/* Whether both strings are equal, or NULL. */
static bool
same_string(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool
key_equal(const struct key *key, const void *a, const void *b)
{
	const void *x = (const char *)a + key->offset;
	const void *y = (const char *)b + key->offset;

	if (key->type == KEY_STRING || key->type == KEY_TEXT)
		return same_string(*(char *const *)x, *(char *const *)y);
	return memcmp(x, y, key_size(key)) == 0;
}

void
key_free(const struct key *keys, void *base)
{
	char **string;

	for (; keys->name != NULL; keys++) {
		if (keys->type != KEY_STRING && keys->type != KEY_TEXT)
			continue;
		string = (char **)(void *)((char *)base + keys->offset);
		free(*string);
		*string = NULL;
	}
}

size_t
key_size(const struct key *key)
{
	if (key->type != KEY_CUSTOM)
		return key_types[key->type].size;
	assert(key->size > 0);
	return key->size;
}

void
key_swap(const struct key *keys, void *a, void *b)
{
	char *x, *y, byte;
	size_t size;

	for (; keys->name != NULL; keys++) {
		x = (char *)a + keys->offset;
		y = (char *)b + keys->offset;
		size = key_size(keys);
		for (size_t i = 0; i < size; i++) {
			byte = x[i];
			x[i] = y[i];
			y[i] = byte;
		}
	}
}
