/*
 * output_table: a table in text, for output.c.
 *
 * Its cells are kept until all are known, because the widest one makes the column.  A
 * table that is too long for that is walked twice: table_measure() and table_cut() keep
 * no more than the widths of the first walk, and table_write() writes the rows of the
 * second one as they are completed.
 */
#ifndef OUTPUT_TABLE_H
#define OUTPUT_TABLE_H

#include "util.h"

struct evbuffer;

enum table_state {
	TABLE_KEPT,	/* all its cells are there */
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

/* Forgets the table, which may then be another one. */
void table_end(struct table *table);
/* Appends a copy of the text.  -ENOMEM. */
int table_add(struct table *table, const char *text);
/* Forgets the cells from that one on. */
void table_cut(struct table *table, size_t from);
/* Makes each column as wide as the widest of its cells, and of those measured before.
 * -ENOMEM. */
int table_measure(struct table *table);
/* Writes the rows from that cell on, measured before.  -ENOMEM. */
int table_write(const struct table *table, size_t from, struct evbuffer *dst);

#endif
