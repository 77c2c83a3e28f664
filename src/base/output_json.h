/*
 * output_json: a reply in JSON, for output.c.
 *
 * It is built as values, one for each kind of data, and put together at the end.  Of a
 * reply in pieces, which is of one kind, what was built so far is written without the
 * bracket at its end, and what follows goes on inside of it.
 */
#ifndef OUTPUT_JSON_H
#define OUTPUT_JSON_H

#include <jansson.h>

#include "util.h"

struct evbuffer;

struct json_reply {
	bool begun; /* its first bracket has been written */
	/* NULL where the reply has none of that kind. */
	json_t *pairs;
	json_t *rows;
	json_t *lines;
	json_t *value;
};

/* Forgets what was not written. */
void json_reply_clear(struct json_reply *reply);

/*
 * Each adds to the reply; 0 or -ENOMEM.  A json_t is taken over, also on failure; NULL
 * stands for one that could not be made.
 */
int json_reply_pair(struct json_reply *reply, const char *name, json_t *value);
int json_reply_table(struct json_reply *reply);
int json_reply_cell(
    struct json_reply *reply, bool new_row, const char *member, json_t *value);
int json_reply_line(struct json_reply *reply, const char *text);
/* Replaces what was the value before. */
int json_reply_value(struct json_reply *reply, const char *text);

/* "RX BYTES" to "rx_bytes", in place. */
void json_member_name(char *name);
/* The text as a number, NULL when it is not written like one. */
json_t *json_from_number(const char *text);

/* Writes the members so far, and forgets them; end: that was the last piece. */
int json_reply_flush(struct json_reply *reply, struct evbuffer *dst, bool end);
/* Writes the whole reply, or what of it is not written yet. */
int json_reply_finish(struct json_reply *reply, struct evbuffer *dst);

#endif
