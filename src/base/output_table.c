/*
 * output_table: a table in text.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "output_table.h"

#define GAP 2 /* blanks between columns */

void
table_cut(struct table *table, size_t from)
{
	while (table->ncells > from)
		free(table->cells[--table->ncells]);
}

void
table_end(struct table *table)
{
	table_cut(table, 0);
	free(table->cells);
	free(table->widths);
	memset(table, 0, sizeof *table);
}

int
table_add(struct table *table, const char *text)
{
	char **cells;
	size_t room;

	if (table->ncells == table->room) {
		room = table->room == 0 ? 64 : table->room * 2;
		cells = reallocarray(table->cells, room, sizeof *cells);
		if (cells == NULL)
			return -ENOMEM;
		table->cells = cells;
		table->room = room;
	}
	if ((table->cells[table->ncells] = strdup(text)) == NULL)
		return -ENOMEM;
	table->ncells++;
	return 0;
}

/* The width of the text on a terminal: its number of characters. */
static size_t
text_width(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

int
table_measure(struct table *table)
{
	size_t *width;

	if (table->widths == NULL)
		table->widths = calloc(table->columns, sizeof *table->widths);
	if (table->widths == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < table->ncells; i++) {
		width = &table->widths[i % table->columns];
		*width = MAX(*width, text_width(table->cells[i]));
	}
	return 0;
}

static int
write_row(const struct table *table, char *const *cells, struct evbuffer *dst)
{
	size_t last = table->columns - 1, width;
	int pad, r = 0;

	for (size_t i = 0; i < last && r != -1; i++) {
		width = text_width(cells[i]);
		/* In the second pass a cell may be wider than all cells of the first
		 * one. */
		pad = (int)(MAX(table->widths[i], width) - width) + GAP;
		r = evbuffer_add_printf(dst, "%s%*s", cells[i], pad, "");
	}
	if (r == -1 || evbuffer_add_printf(dst, "%s\n", cells[last]) == -1)
		return -ENOMEM;
	return 0;
}

int
table_write(const struct table *table, size_t from, struct evbuffer *dst)
{
	int r = 0;

	for (size_t i = from; i < table->ncells && r == 0; i += table->columns)
		r = write_row(table, table->cells + i, dst);
	return r;
}
