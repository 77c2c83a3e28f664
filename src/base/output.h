/*
 * output: one description of the data, two writers: aligned text for people, JSON for
 * programs.
 *
 * The caller describes the data (tables of typed cells, single values, lines of text);
 * the writer formats it.  Times and sizes are human-readable in text and plain numbers
 * (seconds, bytes) in JSON.  Control characters in strings become C escapes, so that a
 * line stays one line.
 *
 * In JSON a reply that has a single kind of data is just that: a table is an array of
 * objects, pairs are an object, lines an array of strings.  A reply with several kinds
 * is an object with its pairs, and "rows", "lines" and "value" for the others.  An
 * empty reply is null.
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
 * Begins a table.  The headings are a NULL-terminated list, which is copied; cells
 * follow row by row in the order of the headings.  In JSON it is an array of objects
 * whose members are the headings in lower case, with '_' for blanks.  The last column
 * is not padded.  A second table is a separate table in text; in JSON its rows follow
 * those of the first.
 */
void output_table(struct output *o, const char *const *headings);
/* "-" and "" mean that there is no value: "-" in text, null in JSON. */
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
/* Like output_pair(), but in JSON a number if value is one. */
void output_pair_value(struct output *o, const char *name, const char *value);
/* The value alone, as for `get`.  In JSON a number if it is one, otherwise a string. */
void output_value(struct output *o, const char *value);
/* A line of text; in JSON all lines form an array of strings. */
void output_line(struct output *o, const char *fmt, ...) PRINTF(2, 3);

/*
 * For a long reply that is produced in pieces.  Appends the part that is complete to
 * dst; what follows must be of the same kind.  Returns 0, or -ENOMEM like
 * output_finish().
 *
 * A table in text is not written at first, but only measured, because the width of a
 * column is that of its widest cell.  After the last row, output_again() returns true
 * once, and the caller must produce the rows again from the first; they are then
 * written.  A table that is produced in one piece need not be produced twice.
 */
int output_flush(struct output *o, struct evbuffer *dst);
bool output_again(struct output *o);

/*
 * Appends the reply to dst: lines of text, or one line of JSON; o is empty then and may
 * be used again.  Returns 0, or -ENOMEM if memory ran out since output_new() or the
 * previous call.
 */
int output_finish(struct output *o, struct evbuffer *dst);

#endif
