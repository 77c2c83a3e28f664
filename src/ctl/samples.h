/*
 * samples: a table of the daemon at two moments, as rows of cells with rates and a history.
 */
#ifndef SAMPLES_H
#define SAMPLES_H

#include <jansson.h>

#include "util.h"

/* Of a row's history. */
#define SAMPLES_HISTORY 16
#define SAMPLES_CELL_MAX 512

enum cell_kind {
	CELL_TEXT,
	CELL_NUMBER,
	CELL_SIZE,	/* bytes: "3.1K" */
	CELL_TIME,	/* seconds: "85us" */
	CELL_RATE,	/* the increase of a number per second... */
	CELL_SIZE_RATE, /* ...of bytes... */
	CELL_SHARE,	/* ...of a time, in percent */
	CELL_HISTORY,	/* the last rates, drawn */
};

struct column {
	const char *title; /* NULL: the end of the list */
	const char *member;
	const char *second; /* NULL, or a member that is added to it */
	enum cell_kind kind;
	int width; /* 0: what is left of the line */
	int most;  /* its width for the longest text, if there is room */
	int from;  /* it is shown on screens that are at least as wide */
};

struct row {
	json_t *now, *before; /* before is NULL in the first sample */
	double seconds;	      /* between the two */
	double history[SAMPLES_HISTORY];
};

struct samples {
	const struct column *columns;
	const char *key;  /* the member that identifies a row */
	uint64_t when_ns; /* of the last sample, 0: there was none */
	struct row *rows;
	size_t nrows;
	/* Those that pass the filter, in the order in which they are shown. */
	size_t *shown;
	size_t nshown;
	char filter[64];
	int sort; /* index of a column, -1: the daemon's order */
	bool reverse;
};

/* Takes a new sample, an array of objects.  -EINVAL: it is none; -ENOMEM. */
int samples_take(struct samples *s, json_t *table, uint64_t now);
/* Applies the filter and the order again. */
int samples_arrange(struct samples *s);
/* Selects the next column to sort by, and after the last one none. */
void samples_next_sort(struct samples *s);
/* The number in a cell, by which it is sorted; rates in units per second. */
double samples_number(const struct row *row, const struct column *column);
/* The text of a cell; "-" where there is no value.  utf8: how the history is drawn. */
void samples_cell(const struct row *row, const struct column *column, bool utf8,
    char *buf, size_t size);
/* The characters of the longest text in a column. */
size_t samples_longest(const struct samples *s, const struct column *column);
void samples_free(struct samples *s);

/*
 * Cuts or pads text to width characters of a terminal; right: its end is aligned.  UTF-8
 * is not cut within a character.
 */
void fit_text(
    const char *text, size_t width, bool right, char *buf, size_t size);
/* The rest of the text after n characters. */
const char *skip_characters(const char *text, size_t n);

#endif
