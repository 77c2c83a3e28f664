/*
 * output_json: a reply in JSON.
 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "output_json.h"

/* The number of digits that a double always represents: 0.3 s stays 0.3. */
#define JSON_FLAGS (JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15))

void
json_reply_clear(struct json_reply *reply)
{
	json_decref(reply->pairs);
	json_decref(reply->rows);
	json_decref(reply->lines);
	json_decref(reply->value);
	memset(reply, 0, sizeof *reply);
}

void
json_member_name(char *name)
{
	for (; *name != '\0'; name++) {
		*name =
		    *name == ' ' ? '_' : (char)tolower((unsigned char)*name);
	}
}

json_t *
json_from_number(const char *text)
{
	json_t *json;

	if (*text != '-' && !isdigit((unsigned char)*text))
		return NULL;
	json = json_loads(text, JSON_DECODE_ANY, NULL);
	if (json != NULL && !json_is_number(json)) {
		json_decref(json);
		json = NULL;
	}
	return json;
}

/* Returns the array or object at *ret, which is created if it does not exist. */
static json_t *
container(json_t **ret, json_t *(*make)(void))
{
	if (*ret == NULL)
		*ret = make();
	return *ret;
}

int
json_reply_pair(struct json_reply *reply, const char *name, json_t *value)
{
	char *member = strdup(name);
	int r;

	if (member == NULL) {
		json_decref(value);
		return -ENOMEM;
	}
	json_member_name(member);
	r = json_object_set_new(
	    container(&reply->pairs, json_object), member, value);
	free(member);
	return r != 0 ? -ENOMEM : 0;
}

int
json_reply_table(struct json_reply *reply)
{
	return container(&reply->rows, json_array) == NULL ? -ENOMEM : 0;
}

int
json_reply_cell(
    struct json_reply *reply, bool new_row, const char *member, json_t *value)
{
	json_t *row;

	if (new_row && json_array_append_new(reply->rows, json_object()) != 0) {
		json_decref(value);
		return -ENOMEM;
	}
	row = json_array_get(reply->rows, json_array_size(reply->rows) - 1);
	return json_object_set_new(row, member, value) != 0 ? -ENOMEM : 0;
}

int
json_reply_line(struct json_reply *reply, const char *text)
{
	json_t *lines = container(&reply->lines, json_array);

	return json_array_append_new(lines, json_string(text)) != 0 ? -ENOMEM
								    : 0;
}

int
json_reply_value(struct json_reply *reply, const char *text)
{
	json_decref(reply->value);
	if ((reply->value = json_from_number(text)) == NULL)
		reply->value = json_string(text);
	return reply->value == NULL ? -ENOMEM : 0;
}

/* The only kind of data that a reply in pieces has; NULL if there is none yet. */
static json_t *
only_json(const struct json_reply *reply)
{
	json_t *const kinds[] = { reply->pairs, reply->rows, reply->lines };
	json_t *only = NULL;

	for (size_t i = 0; i < NELEM(kinds); i++) {
		if (kinds[i] == NULL)
			continue;
		assert(only == NULL);
		only = kinds[i];
	}
	return only;
}

static void
empty_json(json_t *json)
{
	if (json_is_array(json))
		json_array_clear(json);
	else
		json_object_clear(json);
}

int
json_reply_flush(struct json_reply *reply, struct evbuffer *dst, bool end)
{
	json_t *json = only_json(reply);
	size_t len, from;
	char *text;
	int r = 0;

	if (json == NULL)
		return 0;
	if ((text = json_dumps(json, JSON_FLAGS)) == NULL)
		return -ENOMEM;
	len = strlen(text);
	if (len > 2) {
		/* Without the bracket if an empty piece has written it. */
		from = reply->begun && !reply->elements;
		if (reply->elements)
			text[0] = ',';
		r |= evbuffer_add(dst, text + from, len - 1 - from);
		reply->elements = true;
	} else if (!reply->begun)
		r |= evbuffer_add(dst, text, 1);
	if (end)
		r |= evbuffer_add_printf(dst, "%c\n", text[len - 1]) == -1;
	reply->begun = true;
	free(text);
	empty_json(json);
	return r != 0 ? -ENOMEM : 0;
}

/* The reply: its only kind of data, or an object of several. */
static json_t *
join_json(struct json_reply *reply)
{
	const struct {
		const char *name;
		json_t *json;
	} parts[] = {
		{ "rows", reply->rows },
		{ "lines", reply->lines },
		{ "value", reply->value },
	};
	json_t *only = reply->pairs, *joined;
	unsigned n = reply->pairs != NULL;

	for (size_t i = 0; i < NELEM(parts); i++) {
		if (parts[i].json != NULL) {
			only = parts[i].json;
			n++;
		}
	}
	if (n <= 1)
		return n == 0 ? json_null() : json_incref(only);
	if ((joined = container(&reply->pairs, json_object)) == NULL)
		return NULL;
	for (size_t i = 0; i < NELEM(parts); i++) {
		if (parts[i].json != NULL &&
		    json_object_set(joined, parts[i].name, parts[i].json) != 0)
			return NULL;
	}
	return json_incref(joined);
}

int
json_reply_finish(struct json_reply *reply, struct evbuffer *dst)
{
	char *text = NULL;
	json_t *json;
	int r = -ENOMEM;

	if (reply->begun)
		return json_reply_flush(reply, dst, true);
	if ((json = join_json(reply)) != NULL)
		text = json_dumps(json, JSON_FLAGS);
	if (text != NULL && evbuffer_add_printf(dst, "%s\n", text) != -1)
		r = 0;
	free(text);
	json_decref(json);
	return r;
}
