/*
 * output: one description of the data, two writers.
 *
 * Text is appended to a buffer as it is produced, except for tables (output_table.h).
 * JSON is built as values (output_json.h).
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "output.h"
#include "output_json.h"
#include "output_table.h"

struct output {
	enum output_format format;
	bool failed;	    /* out of memory */
	struct table table; /* in JSON: only its headings, as member names */
	struct evbuffer *text;
	struct json_reply json;
};

/*
 * A value in both formats.  json is set in JSON only, where NULL means out of memory; a
 * function that takes a datum takes ownership of json.
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

void
output_free(struct output *o)
{
	if (o == NULL)
		return;
	table_end(&o->table);
	json_reply_clear(&o->json);
	evbuffer_free(o->text);
	free(o);
}

/* A printable copy, or NULL. */
static char *
clean_text(const char *raw)
{
	size_t size = strlen(raw) * 4 + 1; /* all bytes as \xHH */
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

/* Whether the text means that there is no value. */
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

/* Records a failure. */
static void
note(struct output *o, int r)
{
	if (r < 0)
		o->failed = true;
}

/* Writes the current table, if there is one. */
static void
flush_table(struct output *o)
{
	struct table *table = &o->table;

	if (o->format == OUTPUT_TEXT && table->columns > 0 && !o->failed) {
		while (table->column != 0 && !o->failed)
			output_cell(o, "-");
		assert(table->state != TABLE_MEASURED);
		if (!o->failed && table->state == TABLE_KEPT) {
			note(o, table_measure(table));
			if (!o->failed)
				note(o, table_write(table, 0, o->text));
		}
	}
	table_end(table);
}

void
output_table(struct output *o, const char *const *headings)
{
	struct table *table = &o->table;

	flush_table(o);
	for (size_t i = 0; headings[i] != NULL && !o->failed; i++) {
		note(o, table_add(table, headings[i]));
		if (!o->failed && o->format == OUTPUT_JSON)
			json_member_name(table->cells[i]);
	}
	if (o->failed)
		return;
	table->columns = table->ncells;
	if (o->format == OUTPUT_JSON)
		note(o, json_reply_table(&o->json));
}

static void
add_cell(struct output *o, struct datum d)
{
	struct table *table = &o->table;

	if (o->failed) {
		json_decref(d.json);
		return;
	}
	assert(table->columns > 0);
	if (o->format == OUTPUT_JSON)
		note(o,
		    json_reply_cell(&o->json, table->column == 0,
			table->cells[table->column], d.json));
	else
		note(o, table_add(table, d.text));
	table->column = (table->column + 1) % table->columns;
	if (table->column == 0 && table->state == TABLE_FIXED && !o->failed) {
		note(o, table_write(table, table->columns, o->text));
		table_cut(table, table->columns);
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
	flush_table(o);
	if (o->format == OUTPUT_JSON)
		note(o, json_reply_pair(&o->json, name, d.json));
	else if (evbuffer_add_printf(o->text, "%s: %s\n", name, d.text) == -1)
		o->failed = true;
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
	if (o->format == OUTPUT_JSON &&
	    (number = json_from_number(text)) != NULL) {
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
	if (o->format == OUTPUT_TEXT)
		add_text(o, text);
	else
		note(o, json_reply_value(&o->json, text));
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
	else
		note(o, json_reply_line(&o->json, text));
	free(text);
}

static int
write_text(struct output *o, struct evbuffer *dst)
{
	return evbuffer_add_buffer(dst, o->text) != 0 ? -ENOMEM : 0;
}

int
output_flush(struct output *o, struct evbuffer *dst)
{
	struct table *table = &o->table;

	if (!o->failed && o->format == OUTPUT_TEXT && table->columns > 0 &&
	    table->state != TABLE_FIXED) {
		assert(table->column == 0);
		note(o, table_measure(table));
		table_cut(table, table->columns);
		table->state = TABLE_MEASURED;
	}
	if (o->failed)
		return -ENOMEM;
	return o->format == OUTPUT_JSON ? json_reply_flush(&o->json, dst, false)
					: write_text(o, dst);
}

bool
output_again(struct output *o)
{
	struct table *table = &o->table;

	if (o->failed || table->state != TABLE_MEASURED)
		return false;
	note(o, table_measure(table));
	table_cut(table, table->columns);
	table->state = TABLE_FIXED;
	if (!o->failed)
		note(o, table_write(table, 0, o->text));
	return true;
}

int
output_finish(struct output *o, struct evbuffer *dst)
{
	int r = -ENOMEM;

	flush_table(o);
	if (!o->failed)
		r = o->format == OUTPUT_TEXT ? write_text(o, dst)
					     : json_reply_finish(&o->json, dst);
	evbuffer_drain(o->text, evbuffer_get_length(o->text));
	json_reply_clear(&o->json);
	o->failed = false;
	return r;
}
