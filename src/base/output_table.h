/*
 * output_table: a table in text, for output.c.
 *
 * The cells are kept until all are known, because the widest cell determines the width
 * of the column.  A table that is too long for that is produced in two passes: in the
 * first one table_measure() and table_cut() keep only the widths, and in the second one
 * table_write() writes the rows as they are completed.
 */
#ifndef OUTPUT_TABLE_H
#define OUTPUT_TABLE_H

#include "util.h"

struct evbuffer;

enum table_state {
	TABLE_KEPT,	/* all cells are kept */
	TABLE_MEASURED, /* only the widths are known so far */
	TABLE_FIXED,	/* rows are written as they are completed */
};

struct table {
	size_t columns; /* 0: no table */
	size_t column;	/* of the next cell */
	char **cells;	/* the headings, then the rows */
	size_t ncells, room;
	enum table_state state;
	size_t *widths; /* of the columns, NULL until they are measured */
};

/* Frees the contents of the table, which can then be used again. */
void table_end(struct table *table);
/* Appends a copy of the text.  -ENOMEM. */
int table_add(struct table *table, const char *text);
/* Discards the cells from that one on. */
void table_cut(struct table *table, size_t from);
/* Updates the width of each column to that of its widest cell so far.  -ENOMEM. */
int table_measure(struct table *table);
/* Writes the rows from that cell on, which were measured before.  -ENOMEM. */
int table_write(const struct table *table, size_t from, struct evbuffer *dst);

#endif
