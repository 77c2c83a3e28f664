/*
 * samples: a table of the daemon at two moments.
 *
 * Rows are matched by their key, so that rates are right when rows come and go.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "samples.h"

/* --- numbers --------------------------------------------------------------- */

static double
member(const json_t *row, const struct column *column)
{
	double n = json_number_value(json_object_get(row, column->member));

	if (column->second != NULL)
		n += json_number_value(json_object_get(row, column->second));
	return n;
}

double
samples_number(const struct row *row, const struct column *column)
{
	double more;

	switch (column->kind) {
	case CELL_TEXT:
	case CELL_NUMBER:
	case CELL_SIZE:
	case CELL_TIME:
		return member(row->now, column);
	case CELL_HISTORY:
		return row->history[SAMPLES_HISTORY - 1];
	default:
		break;
	}
	if (row->before == NULL || row->seconds <= 0)
		return 0;
	more = member(row->now, column) - member(row->before, column);
	/* Counters begin again at 0 after a restart. */
	return MAX(more, 0.0) / row->seconds;
}

/* --- cells ----------------------------------------------------------------- */

static void
draw_history(const double *history, bool utf8, char *buf, size_t size)
{
	static const char *const blocks[] = { " ", "\xe2\x96\x81",
		"\xe2\x96\x82", "\xe2\x96\x83", "\xe2\x96\x84", "\xe2\x96\x85",
		"\xe2\x96\x86", "\xe2\x96\x87", "\xe2\x96\x88" };
	static const char *const ascii[] = { " ", ".", ":", "-", "=", "+", "*",
		"#", "@" };
	double most = 0;
	unsigned level;

	for (size_t i = 0; i < SAMPLES_HISTORY; i++)
		most = MAX(most, history[i]);
	*buf = '\0';
	for (size_t i = 0; i < SAMPLES_HISTORY; i++) {
		/* Whatever is more than nothing can be seen. */
		level = history[i] <= 0
		    ? 0
		    : 1 + (unsigned)whole_part(history[i] / most * 7.0);
		append(buf, size, "%s", (utf8 ? blocks : ascii)[level]);
	}
}

/* "0.3", "12", "4.1K" */
static void
format_rate(double rate, char *buf, size_t size)
{
	if (rate > 0 && rate < 10)
		snprintf(buf, size, "%.1f", rate);
	else if (rate < 10000)
		snprintf(buf, size, "%.0f", rate);
	else
		snprintf(buf, size, rate < 1e6 ? "%.0fk" : "%.1fM",
		    rate < 1e6 ? rate / 1e3 : rate / 1e6);
}

static void
format_text(const json_t *value, char *buf, size_t size)
{
	if (json_is_string(value))
		printable(json_string_value(value), buf, size);
	else if (json_is_integer(value))
		snprintf(
		    buf, size, "%lld", (long long)json_integer_value(value));
	else if (json_is_number(value))
		snprintf(buf, size, "%g", json_number_value(value));
	else
		snprintf(buf, size, "%s", json_is_true(value) ? "yes" : "-");
}

void
samples_cell(const struct row *row, const struct column *column, bool utf8,
    char *buf, size_t size)
{
	const json_t *value = json_object_get(row->now, column->member);
	double n = samples_number(row, column);

	if (column->kind == CELL_HISTORY) {
		draw_history(row->history, utf8, buf, size);
		return;
	}
	if (column->kind == CELL_TEXT || value == NULL || json_is_null(value)) {
		format_text(value, buf, size);
		return;
	}
	switch (column->kind) {
	case CELL_SIZE:
	case CELL_SIZE_RATE:
		format_size(whole_part(n), buf, size);
		break;
	case CELL_TIME:
		format_time(whole_part(n * 1e9), buf, size);
		break;
	case CELL_RATE:
		format_rate(n, buf, size);
		break;
	case CELL_SHARE:
		snprintf(buf, size, "%.1f%%", n * 100);
		break;
	default:
		snprintf(buf, size, "%.0f", n);
	}
}

/* Whether it is a byte after the first one of a character. */
static bool
continues(char c)
{
	return ((uint8_t)c & 0xc0) == 0x80;
}

void
fit_text(const char *text, size_t width, bool right, char *buf, size_t size)
{
	size_t bytes = 0, n = 0, pad;

	while (text[bytes] != '\0' && (n < width || continues(text[bytes])))
		n += !continues(text[bytes++]);
	pad = width - n;
	snprintf(buf, size, "%*s%.*s%*s", right ? (int)pad : 0, "", (int)bytes,
	    text, right ? 0 : (int)pad, "");
}

size_t
samples_longest(const struct samples *s, const struct column *column)
{
	char cell[SAMPLES_CELL_MAX];
	size_t most = 0, n;

	for (size_t i = 0; i < s->nrows; i++) {
		samples_cell(&s->rows[i], column, false, cell, sizeof(cell));
		n = 0;
		for (const char *c = cell; *c != '\0'; c++)
			n += !continues(*c);
		most = MAX(most, n);
	}
	return most;
}

const char *
skip_characters(const char *text, size_t n)
{
	for (; n > 0 && *text != '\0'; n--)
		for (text++; continues(*text); text++)
			;
	return text;
}

/* --- order ----------------------------------------------------------------- */

/* Whether the text of a member contains the filter. */
static bool
passes(const struct samples *s, const struct row *row)
{
	const char *name;
	json_t *value;

	if (s->filter[0] == '\0')
		return true;
	json_object_foreach(row->now, name, value) if (json_is_string(value) &&
	    strcasestr(json_string_value(value), s->filter) !=
		NULL) return true;
	return false;
}

static int
compare(const void *a, const void *b, void *arg)
{
	const struct samples *s = arg;
	const struct column *column = &s->columns[s->sort];
	size_t i = *(const size_t *)a, j = *(const size_t *)b;
	double x, y;
	int r;

	if (column->kind == CELL_TEXT) {
		char left[SAMPLES_CELL_MAX], right[SAMPLES_CELL_MAX];

		samples_cell(&s->rows[i], column, false, left, sizeof(left));
		samples_cell(&s->rows[j], column, false, right, sizeof(right));
		r = strcasecmp(left, right);
	} else {
		/* The most is what one looks for. */
		x = samples_number(&s->rows[i], column);
		y = samples_number(&s->rows[j], column);
		r = (x < y) - (x > y);
	}
	if (s->reverse)
		r = -r;
	return r != 0 ? r : (i > j) - (i < j);
}

int
samples_arrange(struct samples *s)
{
	size_t *shown = realloc(s->shown, (s->nrows + 1) * sizeof(*shown));

	if (shown == NULL)
		return -ENOMEM;
	s->shown = shown;
	s->nshown = 0;
	for (size_t i = 0; i < s->nrows; i++)
		if (passes(s, &s->rows[i]))
			shown[s->nshown++] = i;
	if (s->sort >= 0)
		qsort_r(shown, s->nshown, sizeof(*shown), compare, s);
	return 0;
}

void
samples_next_sort(struct samples *s)
{
	s->sort++;
	if (s->columns[s->sort].title == NULL)
		s->sort = -1;
}

/* --- samples --------------------------------------------------------------- */

static void
free_rows(struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		json_decref(rows[i].now);
		json_decref(rows[i].before);
	}
	free(rows);
}

void
samples_free(struct samples *s)
{
	free_rows(s->rows, s->nrows);
	free(s->shown);
	s->rows = NULL;
	s->shown = NULL;
	s->nrows = s->nshown = 0;
	s->when_ns = 0;
}

/* An object with the index of each row of the last sample by its key. */
static json_t *
index_rows(const struct samples *s)
{
	json_t *index = json_object();
	const char *key;

	for (size_t i = 0; i < s->nrows; i++) {
		key =
		    json_string_value(json_object_get(s->rows[i].now, s->key));
		if (key != NULL)
			json_object_set_new(
			    index, key, json_integer((json_int_t)i));
	}
	return index;
}

static void
continue_row(const struct samples *s, struct row *row, const struct row *last)
{
	double *history = row->history;

	row->before = json_incref(last->now);
	memmove(history, last->history + 1,
	    (SAMPLES_HISTORY - 1) * sizeof(*history));
	for (const struct column *c = s->columns; c->title != NULL; c++) {
		const struct column rate = { .member = c->member,
			.second = c->second,
			.kind = CELL_RATE };

		if (c->kind == CELL_HISTORY)
			history[SAMPLES_HISTORY - 1] =
			    samples_number(row, &rate);
	}
}

int
samples_take(struct samples *s, json_t *table, uint64_t now)
{
	size_t n = json_array_size(table), i;
	double seconds = (double)(now - s->when_ns) / 1e9;
	json_t *index, *value, *found;
	struct row *rows;

	if (!json_is_array(table))
		return -EINVAL;
	if ((rows = calloc(n + 1, sizeof(*rows))) == NULL)
		return -ENOMEM;
	index = index_rows(s);
	json_array_foreach(table, i, value)
	{
		const char *key =
		    json_string_value(json_object_get(value, s->key));

		rows[i].now = json_incref(value);
		rows[i].seconds = seconds;
		found = key != NULL ? json_object_get(index, key) : NULL;
		if (found != NULL)
			continue_row(
			    s, &rows[i], &s->rows[json_integer_value(found)]);
	}
	json_decref(index);
	free_rows(s->rows, s->nrows);
	s->rows = rows;
	s->nrows = n;
	s->when_ns = now;
	return samples_arrange(s);
}
