/*
 * output: one walk over data, two writers.
 *
 * Text goes to a buffer as it comes, but for tables: their cells are kept until
 * all are known, because the widest one makes the column.  JSON is built as
 * values, one for each kind of data, and put together at the end.
 *
 * A reply in pieces keeps no more than a piece.  Of a table in text the first walk
 * leaves the widths of the columns alone, and the second one writes its rows as they
 * are completed.  Of JSON what was built so far is written without the bracket at its
 * end, and what follows goes on inside of it.
 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <jansson.h>

#include "output.h"

#define GAP 2 /* blanks between columns */
/* As many digits as a double has for certain: 0.3 s stays 0.3. */
#define JSON_FLAGS (JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15))

/* How far the table in text has come that is on. */
enum table_state {
	TABLE_KEPT,	/* all its cells are there */
	TABLE_MEASURED, /* the widths alone are known so far */
	TABLE_FIXED,	/* rows are written as they are completed */
};

struct output {
	enum output_format format;
	bool failed; /* memory ran out */
	bool inside; /* JSON has begun to be written */
	enum table_state table;
	size_t *widths; /* of the columns, NULL until they are measured */

	/* The table that is on: its headings, in text its rows after them. */
	size_t columns;
	char **cells;
	size_t ncells, room;
	size_t column; /* of the next cell */

	struct evbuffer *text;

	/* NULL where the reply has none of that kind. */
	json_t *pairs;
	json_t *rows;
	json_t *lines;
	json_t *value;
};

/*
 * What is shown, both ways.  Only JSON has json, which is taken over; NULL is
 * want of memory there.
 */
struct datum {
	const char *text;
	json_t *json;
};

static char *format_text(const char *, va_list) PRINTF(1, 0);

struct output *
output_new(enum output_format format)
{
	struct output *o;

	if ((o = calloc(1, sizeof *o)) == NULL)
		return NULL;
	o->format = format;
	if ((o->text = evbuffer_new()) == NULL) {
		free(o);
		return NULL;
	}
	return o;
}

/* Forgets the cells from that one on. */
static void
cut_cells(struct output *o, size_t from)
{
	while (o->ncells > from)
		free(o->cells[--o->ncells]);
}

static void
end_table(struct output *o)
{
	cut_cells(o, 0);
	free(o->cells);
	free(o->widths);
	o->cells = NULL;
	o->widths = NULL;
	o->table = TABLE_KEPT;
	o->columns = o->room = o->column = 0;
}

static void
clear_json(struct output *o)
{
	json_decref(o->pairs);
	json_decref(o->rows);
	json_decref(o->lines);
	json_decref(o->value);
	o->pairs = o->rows = o->lines = o->value = NULL;
}

void
output_free(struct output *o)
{
	if (o == NULL)
		return;
	end_table(o);
	clear_json(o);
	evbuffer_free(o->text);
	free(o);
}

/* A printable copy, or NULL. */
static char *
clean_text(const char *raw)
{
	size_t size = strlen(raw) * 4 + 1; /* all of it as \xHH */
	char *text;

	if ((text = malloc(size)) != NULL)
		printable(raw, text, size);
	return text;
}

static char *
format_text(const char *fmt, va_list ap)
{
	char *raw, *text;

	if (vasprintf(&raw, fmt, ap) == -1)
		return NULL;
	text = clean_text(raw);
	free(raw);
	return text;
}

/* Whether text stands for "there is nothing". */
static bool
is_nothing(const char *text)
{
	return text[0] == '\0' || strcmp(text, "-") == 0;
}

static struct datum
datum_string(const struct output *o, const char *text)
{
	struct datum d = { .text = text };

	if (o->format == OUTPUT_JSON && text != NULL)
		d.json = json_string(text);
	return d;
}

static struct datum
datum_number(const struct output *o, const char *text, uint64_t n)
{
	struct datum d = { .text = text };

	if (o->format == OUTPUT_JSON)
		d.json = json_integer((json_int_t)MIN(n, (uint64_t)INT64_MAX));
	return d;
}

static struct datum
datum_time(const struct output *o, const char *text, uint64_t ns)
{
	struct datum d = { .text = text };

	if (o->format == OUTPUT_JSON)
		d.json = json_real((double)ns / (double)NSEC_PER_SEC);
	return d;
}

static struct datum
datum_nothing(const struct output *o)
{
	struct datum d = { .text = "-" };

	if (o->format == OUTPUT_JSON)
		d.json = json_null();
	return d;
}

/* "RX BYTES" to "rx_bytes", in place. */
static void
member_name(char *name)
{
	for (; *name != '\0'; name++) {
		*name =
		    *name == ' ' ? '_' : (char)tolower((unsigned char)*name);
	}
}

/* The array or object at *ret, made when it is not there yet. */
static json_t *
container(json_t **ret, json_t *(*make)(void))
{
	if (*ret == NULL)
		*ret = make();
	return *ret;
}

/* How many columns a terminal gives to text. */
static size_t
text_width(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void
write_row(struct output *o, char *const *cells)
{
	size_t last = o->columns - 1, width;
	int pad, r;

	for (size_t i = 0; i < last; i++) {
		width = text_width(cells[i]);
		/* Of a second walk a cell may be wider than all were before. */
		pad = (int)(MAX(o->widths[i], width) - width) + GAP;
		r = evbuffer_add_printf(o->text, "%s%*s", cells[i], pad, "");
		o->failed |= r == -1;
	}
	if (evbuffer_add_printf(o->text, "%s\n", cells[last]) == -1)
		o->failed = true;
}

static void
measure_cells(struct output *o)
{
	size_t *width;

	if (o->widths == NULL)
		o->widths = calloc(o->columns, sizeof *o->widths);
	if (o->widths == NULL) {
		o->failed = true;
		return;
	}
	for (size_t i = 0; i < o->ncells; i++) {
		width = &o->widths[i % o->columns];
		*width = MAX(*width, text_width(o->cells[i]));
	}
}

static void
write_rows(struct output *o, size_t from)
{
	for (size_t i = from; i < o->ncells && !o->failed; i += o->columns)
		write_row(o, o->cells + i);
}

/* Writes the table that is on, if one is. */
static void
flush_table(struct output *o)
{
	if (o->format != OUTPUT_TEXT || o->columns == 0 || o->failed) {
		end_table(o);
		return;
	}
	while (o->column != 0 && !o->failed)
		output_cell(o, "-");
	assert(o->table != TABLE_MEASURED);
	if (o->table == TABLE_KEPT) {
		measure_cells(o);
		write_rows(o, 0);
	}
	end_table(o);
}

static void
keep_cell(struct output *o, const char *text)
{
	char **cells;
	size_t room;

	if (o->ncells == o->room) {
		room = o->room == 0 ? 64 : o->room * 2;
		if ((cells = reallocarray(o->cells, room, sizeof *cells)) ==
		    NULL) {
			o->failed = true;
			return;
		}
		o->cells = cells;
		o->room = room;
	}
	if ((o->cells[o->ncells] = strdup(text)) == NULL)
		o->failed = true;
	else
		o->ncells++;
}

void
output_table(struct output *o, const char *const *headings)
{
	flush_table(o);
	if (o->failed)
		return;
	for (size_t i = 0; headings[i] != NULL; i++) {
		keep_cell(o, headings[i]);
		if (o->failed)
			return;
		if (o->format == OUTPUT_JSON)
			member_name(o->cells[i]);
	}
	o->columns = o->ncells;
	if (o->format == OUTPUT_JSON && container(&o->rows, json_array) == NULL)
		o->failed = true;
}

/* Puts a cell into the last row of the JSON table, or into a new one. */
static void
add_member(struct output *o, json_t *json)
{
	json_t *row;

	if (o->column == 0 &&
	    json_array_append_new(o->rows, json_object()) != 0)
		o->failed = true;
	row = json_array_get(o->rows, json_array_size(o->rows) - 1);
	if (json_object_set_new(row, o->cells[o->column], json) != 0)
		o->failed = true;
}

static void
add_cell(struct output *o, struct datum d)
{
	if (o->failed) {
		json_decref(d.json);
		return;
	}
	assert(o->columns > 0);
	if (o->format == OUTPUT_JSON)
		add_member(o, d.json);
	else
		keep_cell(o, d.text);
	o->column = (o->column + 1) % o->columns;
	if (o->column == 0 && o->table == TABLE_FIXED) {
		write_rows(o, o->columns);
		cut_cells(o, o->columns);
	}
}

void
output_cell(struct output *o, const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);
	text = format_text(fmt, ap);
	va_end(ap);
	if (text == NULL)
		o->failed = true;
	else if (is_nothing(text))
		add_cell(o, datum_nothing(o));
	else
		add_cell(o, datum_string(o, text));
	free(text);
}

void
output_cell_number(struct output *o, uint64_t n)
{
	char buf[32];

	snprintf(buf, sizeof buf, "%" PRIu64, n);
	add_cell(o, datum_number(o, buf, n));
}

void
output_cell_size(struct output *o, uint64_t bytes)
{
	char buf[32];

	format_size(bytes, buf, sizeof buf);
	add_cell(o, datum_number(o, buf, bytes));
}

void
output_cell_time(struct output *o, uint64_t ns, bool absent)
{
	char buf[32];

	if (absent) {
		add_cell(o, datum_nothing(o));
		return;
	}
	format_time(ns, buf, sizeof buf);
	add_cell(o, datum_time(o, buf, ns));
}

static void
add_text(struct output *o, const char *text)
{
	if (evbuffer_add(o->text, text, strlen(text)) != 0 ||
	    evbuffer_add(o->text, "\n", 1) != 0)
		o->failed = true;
}

static void
add_pair(struct output *o, const char *name, struct datum d)
{
	char *copy;

	flush_table(o);
	if (o->format == OUTPUT_TEXT) {
		if (evbuffer_add_printf(o->text, "%s: %s\n", name, d.text) ==
		    -1)
			o->failed = true;
		return;
	}
	if ((copy = strdup(name)) == NULL) {
		json_decref(d.json);
		o->failed = true;
		return;
	}
	member_name(copy);
	if (json_object_set_new(
		container(&o->pairs, json_object), copy, d.json) != 0)
		o->failed = true;
	free(copy);
}

void
output_pair(struct output *o, const char *name, const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);
	text = format_text(fmt, ap);
	va_end(ap);
	if (text == NULL)
		o->failed = true;
	else
		add_pair(o, name, datum_string(o, text));
	free(text);
}

void
output_pair_number(struct output *o, const char *name, uint64_t n)
{
	char buf[32];

	snprintf(buf, sizeof buf, "%" PRIu64, n);
	add_pair(o, name, datum_number(o, buf, n));
}

void
output_pair_time(struct output *o, const char *name, uint64_t ns)
{
	char buf[32];

	format_time(ns, buf, sizeof buf);
	add_pair(o, name, datum_time(o, buf, ns));
}

/* What a JSON number is written like; NULL for anything else. */
static json_t *
json_number(const char *text)
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

void
output_pair_value(struct output *o, const char *name, const char *value)
{
	struct datum d;
	json_t *number;
	char *text;

	if ((text = clean_text(value)) == NULL) {
		o->failed = true;
		return;
	}
	d = datum_string(o, text);
	if (o->format == OUTPUT_JSON && (number = json_number(text)) != NULL) {
		json_decref(d.json);
		d.json = number;
	}
	add_pair(o, name, d);
	free(text);
}

static void
add_value(struct output *o, const char *text)
{
	flush_table(o);
	if (o->format == OUTPUT_TEXT) {
		add_text(o, text);
		return;
	}
	json_decref(o->value);
	if ((o->value = json_number(text)) == NULL)
		o->value = json_string(text);
	if (o->value == NULL)
		o->failed = true;
}

void
output_value(struct output *o, const char *value)
{
	char *text;

	if ((text = clean_text(value)) == NULL)
		o->failed = true;
	else
		add_value(o, text);
	free(text);
}

void
output_line(struct output *o, const char *fmt, ...)
{
	char *text;
	va_list ap;

	flush_table(o);
	va_start(ap, fmt);
	text = format_text(fmt, ap);
	va_end(ap);
	if (text == NULL)
		o->failed = true;
	else if (o->format == OUTPUT_TEXT)
		add_text(o, text);
	else if (json_array_append_new(
		     container(&o->lines, json_array), json_string(text)) != 0)
		o->failed = true;
	free(text);
}

/* The kind of which a reply in pieces is, NULL when there is nothing yet. */
static json_t *
only_json(const struct output *o)
{
	json_t *const kinds[] = { o->pairs, o->rows, o->lines };
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

/* Writes the members that it has so far, and at its end the bracket. */
static int
write_members(struct output *o, struct evbuffer *dst, bool end)
{
	json_t *json = only_json(o);
	char *text;
	size_t len;
	int r = 0;

	if (json == NULL)
		return 0;
	if ((text = json_dumps(json, JSON_FLAGS)) == NULL)
		return -ENOMEM;
	len = strlen(text);
	if (len > 2) {
		if (o->inside)
			text[0] = ',';
		r |= evbuffer_add(dst, text, len - 1);
	} else if (!o->inside)
		r |= evbuffer_add(dst, text, 1);
	if (end)
		r |= evbuffer_add_printf(dst, "%c\n", text[len - 1]) == -1;
	o->inside = true;
	free(text);
	empty_json(json);
	return r != 0 ? -ENOMEM : 0;
}

static int
write_text(struct output *o, struct evbuffer *dst)
{
	return evbuffer_add_buffer(dst, o->text) != 0 ? -ENOMEM : 0;
}

int
output_flush(struct output *o, struct evbuffer *dst)
{
	if (!o->failed && o->format == OUTPUT_TEXT && o->columns > 0 &&
	    o->table != TABLE_FIXED) {
		assert(o->column == 0);
		measure_cells(o);
		cut_cells(o, o->columns);
		o->table = TABLE_MEASURED;
	}
	if (o->failed)
		return -ENOMEM;
	return o->format == OUTPUT_JSON ? write_members(o, dst, false)
					: write_text(o, dst);
}

bool
output_again(struct output *o)
{
	if (o->failed || o->table != TABLE_MEASURED)
		return false;
	measure_cells(o);
	cut_cells(o, o->columns);
	o->table = TABLE_FIXED;
	write_rows(o, 0);
	return true;
}

/* The reply: its one kind of data, or an object of several. */
static json_t *
join_json(struct output *o)
{
	const struct {
		const char *name;
		json_t *json;
	} parts[] = {
		{ "rows", o->rows },
		{ "lines", o->lines },
		{ "value", o->value },
	};
	json_t *only = o->pairs, *joined;
	unsigned n = o->pairs != NULL;

	for (size_t i = 0; i < NELEM(parts); i++) {
		if (parts[i].json != NULL) {
			only = parts[i].json;
			n++;
		}
	}
	if (n <= 1)
		return n == 0 ? json_null() : json_incref(only);
	if ((joined = container(&o->pairs, json_object)) == NULL)
		return NULL;
	for (size_t i = 0; i < NELEM(parts); i++) {
		if (parts[i].json != NULL &&
		    json_object_set(joined, parts[i].name, parts[i].json) != 0)
			return NULL;
	}
	return json_incref(joined);
}

static int
finish_json(struct output *o, struct evbuffer *dst)
{
	json_t *json = join_json(o);
	char *text = NULL;
	int error = -ENOMEM;

	if (json != NULL)
		text = json_dumps(json, JSON_FLAGS);
	if (text != NULL && evbuffer_add_printf(dst, "%s\n", text) != -1)
		error = 0;
	free(text);
	json_decref(json);
	return error;
}

int
output_finish(struct output *o, struct evbuffer *dst)
{
	int error = 0;

	flush_table(o);
	if (o->failed)
		error = -ENOMEM;
	else if (o->format == OUTPUT_TEXT)
		error = write_text(o, dst);
	else if (o->inside)
		error = write_members(o, dst, true);
	else
		error = finish_json(o, dst);
	evbuffer_drain(o->text, evbuffer_get_length(o->text));
	clear_json(o);
	o->failed = o->inside = false;
	return error;
}
