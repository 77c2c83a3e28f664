/*
 * output: one walk over data, two writers: aligned text for people, JSON for
 * programs.
 *
 * The caller says what the data is (tables of typed cells, single values, lines
 * of text); the writer decides how it looks.  Times and sizes are humanized in
 * text and plain numbers (seconds, bytes) in JSON.  Control characters in
 * strings become C escapes, so a line stays a line.
 *
 * In JSON a reply of one kind is that kind alone: a table is an array of
 * objects, pairs are an object, lines an array of strings.  A reply of several
 * kinds is an object: its pairs, and "rows", "lines", "value" for the others.
 * A reply of nothing is null.
 */
#ifndef OUTPUT_H
#define OUTPUT_H

#include "util.h"

enum output_format { OUTPUT_TEXT, OUTPUT_JSON };

struct output;
struct evbuffer;

/* NULL when out of memory. */
struct output *output_new(enum output_format format);
void output_free(struct output *o);

/*
 * A table: headings once, then cells row by row, in the order of the headings
 * (a NULL-terminated list, copied).  In JSON it is an array of objects whose
 * members are the headings in lower case, with '_' for blanks.  The last column
 * is not padded.  A second table is a table of its own in text; its rows follow
 * those of the first in JSON.
 */
void output_table(struct output *o, const char *const *headings);
/* "-" and "" say that there is nothing: "-" in text, null in JSON. */
void output_cell(struct output *o, const char *fmt, ...) PRINTF(2, 3);
void output_cell_number(struct output *o, uint64_t n);
void output_cell_size(struct output *o, uint64_t bytes);
/* "-" in text and null in JSON when absent is true. */
void output_cell_time(struct output *o, uint64_t ns, bool absent);

/* A member of the reply: "name: value" in text, a JSON member named as headings
 * are. */
void output_pair(struct output *o, const char *name, const char *fmt, ...)
    PRINTF(3, 4);
void output_pair_number(struct output *o, const char *name, uint64_t n);
void output_pair_time(struct output *o, const char *name, uint64_t ns);
/* As output_pair, but in JSON a number where value is one. */
void output_pair_value(struct output *o, const char *name, const char *value);
/* The value alone, and nothing else: `get`.  In JSON a string, or a number
 * where it is one. */
void output_value(struct output *o, const char *value);
/* A line of text as it is; in JSON all of them are an array of strings. */
void output_line(struct output *o, const char *fmt, ...) PRINTF(2, 3);

/*
 * For a long reply that is produced in pieces.  Appends to dst what is finished of it;
 * what follows is of the same kind.  Returns 0, or -ENOMEM as output_finish does.
 *
 * A table in text is not written then, but measured and forgotten: the widest cell of
 * all rows makes the column.  When its last row has come, output_again() is true once,
 * and its rows are written again, from the first, to appear this time.  A table that
 * comes in one piece need not be written twice.
 */
int output_flush(struct output *o, struct evbuffer *dst);
bool output_again(struct output *o);

/*
 * Appends what was written to dst: text lines, or one line of JSON; o is empty
 * then and may be used again.  Returns 0, or -ENOMEM if anything since
 * output_new (or the last call) failed for want of memory.
 */
int output_finish(struct output *o, struct evbuffer *dst);

#endif
